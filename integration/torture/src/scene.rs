//! What clients share, wherever they run: the ways into a cluster and the record of what they saw.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;

use anyhow::Context;
use linearizability::models::{ObjectsInput, ObjectsOutput};
use linearizability::{CONFIGURATIONS_MAX, Model, Outcome, check};

use crate::calls::Caller;
use crate::record::{Call, Kind, Record};

/// Number of the client that reads everything in the end.
const LAST_CLIENT: u64 = 999_999;

/// The ways into a cluster, one through each manager.
pub trait Doors: Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// Someone to call through one of them; `None` if nobody answers there.
    fn open(&self, via: usize) -> Opened<'_>;
}

/// A way in that is being opened.
pub type Opened<'a> = Pin<Box<dyn Future<Output = Option<Caller>> + Send + 'a>>;

/// What all clients share.
pub struct Scene {
    /// What they saw.
    pub record: Record,
    /// How they get in.
    pub doors: Box<dyn Doors>,
}

impl Scene {
    /// Reads everything through a manager, as the last client, so that every acknowledged write has
    /// someone who must see it.
    ///
    /// # Errors
    /// If the manager does not answer.
    pub async fn read_all(&self, via: usize) -> anyhow::Result<()> {
        let mut caller = self.doors.open(via).await.context("nobody answers")?;
        for kind in [Kind::Config, Kind::Service] {
            let model = kind.model();
            let calls = self.record.of(kind);
            let names: BTreeSet<String> = calls.iter().map(|c| model.key(&c.input)).collect();
            let invoked = self.record.now();
            let all: BTreeMap<_, _> = caller.list(kind, "").await?.into_iter().collect();
            let at = self.record.now();
            for name in names {
                let output = ObjectsOutput::Found(all.get(&name).cloned());
                let call = Call {
                    client: LAST_CLIENT,
                    invoked,
                    input: ObjectsInput::Read { name },
                    outcome: Outcome::Returned { at, output },
                };
                self.record.call(kind, call);
            }
        }
        Ok(())
    }

    /// Whether what clients saw can be explained, for each kind of object.
    pub fn judge(&self) {
        for kind in [Kind::Config, Kind::Service] {
            if let Err(failure) = check(&kind.model(), &self.record.of(kind), CONFIGURATIONS_MAX) {
                self.record.finding(format!("not linearizable: {failure}"));
            }
        }
    }
}
