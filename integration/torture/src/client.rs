//! A client: it creates, updates, removes and reads through managers that it picks at random, one
//! call at a time, and records what it saw.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use linearizability::Outcome;
use linearizability::models::{ObjectsInput, ObjectsOutput, Seen};

use crate::calls::{Answer, Caller};
use crate::dice::Dice;
use crate::record::{Call, Kind};
use crate::scene::Scene;

/// Names of configs that clients fight for. Few, so that they meet.
const CONFIGS: u64 = 6;
/// Names of services.
const SERVICES: u64 = 3;
/// Clients that are the same client after a call of unknown outcome have numbers this far apart:
/// the old one may still be at work.
const CLIENTS_MAX: u64 = 1_000;

/// One client.
pub struct Client {
    number: u64,
    dice: Dice,
    scene: Arc<Scene>,
    kind: Kind,
    /// Between two calls, in milliseconds.
    pause_ms: RangeInclusive<u64>,
    callers: BTreeMap<usize, Caller>,
    last_seen: BTreeMap<String, Seen>,
    values: u64,
    /// Configs that it made to stay.
    kept: u64,
}

impl Client {
    /// A client with a number of its own, below a thousand, that works on one kind of objects and
    /// pauses for so many milliseconds between two calls.
    pub fn new(
        (number, dice): (u64, Dice),
        (kind, pause_ms): (Kind, RangeInclusive<u64>),
        scene: Arc<Scene>,
    ) -> Self {
        Self {
            number,
            dice,
            scene,
            kind,
            pause_ms,
            callers: BTreeMap::new(),
            last_seen: BTreeMap::new(),
            values: 0,
            kept: 0,
        }
    }

    /// Calls until it is to stop.
    pub async fn run(mut self, is_over: impl Fn() -> bool) {
        while !is_over() {
            let input = self.choose();
            self.one(input).await;
            let pause_ms = self
                .dice
                .between(*self.pause_ms.start(), *self.pause_ms.end());
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }

    fn choose(&mut self) -> ObjectsInput {
        let name = match self.kind {
            Kind::Config => format!("c{}", self.dice.below(CONFIGS)),
            Kind::Service => format!("s{}", self.dice.below(SERVICES)),
        };
        let known = self.last_seen.get(&name).cloned();
        match (self.dice.below(20), known) {
            (0, _) if self.kind == Kind::Config => {
                self.kept += 1;
                let name = format!("kept-{}-{}", self.number, self.kept);
                let value = self.value();
                ObjectsInput::Create { name, value }
            }
            (1..=9, Some(seen)) => ObjectsInput::Update {
                name,
                id: seen.id,
                expected: seen.version,
                value: self.value(),
            },
            (10..=12, Some(seen)) => ObjectsInput::Remove { name, id: seen.id },
            (10..=14, _) => {
                let value = self.value();
                ObjectsInput::Create { name, value }
            }
            _ => ObjectsInput::Read { name },
        }
    }

    /// A value that no other call writes; see the services for its last two parts.
    fn value(&mut self) -> String {
        self.values += 1;
        let (replicas, generation) = (self.dice.below(4), self.dice.below(2));
        format!("{}.{}-{replicas}-{generation}", self.number, self.values)
    }

    /// Makes one call and records it.
    async fn one(&mut self, input: ObjectsInput) {
        let via = self.dice.index(self.scene.doors.count());
        let Some(mut caller) = self.caller(via).await else {
            return;
        };
        let invoked = self.scene.record.now();
        let answer = caller.call(self.kind, &input).await;
        let at = self.scene.record.now();
        let client = self.number;
        let outcome = match answer {
            Answer::Known(output) => {
                self.callers.insert(via, caller);
                self.learn(&input, &output);
                Outcome::Returned { at, output }
            }
            Answer::Unknown(why) => {
                self.note_odd(&input, &why);
                // The connection is given up, and so is the identity.
                self.number += CLIENTS_MAX;
                Outcome::Unknown
            }
        };
        let is_read = matches!(input, ObjectsInput::Read { .. });
        if is_read && outcome == Outcome::Unknown {
            return;
        }
        let call = Call {
            client,
            invoked,
            input,
            outcome,
        };
        self.scene.record.call(self.kind, call);
    }

    async fn caller(&mut self, via: usize) -> Option<Caller> {
        match self.callers.remove(&via) {
            Some(caller) => Some(caller),
            None => self.scene.doors.open(via).await,
        }
    }

    /// Refusals that no fault explains are findings.
    fn note_odd(&self, input: &ObjectsInput, why: &str) {
        let odd = ["Internal", "DataLoss", "InvalidArgument", "OutOfRange"];
        if odd.iter().any(|code| why.starts_with(code)) {
            let finding = format!("client {}: {input:?}: {why}", self.number);
            self.scene.record.finding(finding);
        }
    }

    fn learn(&mut self, input: &ObjectsInput, output: &ObjectsOutput) {
        let (name, value) = match input {
            ObjectsInput::Create { name, value } | ObjectsInput::Update { name, value, .. } => {
                (name, value.as_str())
            }
            ObjectsInput::Remove { name, .. } | ObjectsInput::Read { name } => (name, ""),
        };
        match output {
            ObjectsOutput::Stored { id, version } => {
                let seen = Seen {
                    id: id.clone(),
                    version: *version,
                    value: value.to_owned(),
                };
                self.last_seen.insert(name.clone(), seen);
            }
            ObjectsOutput::Found(Some(seen)) => {
                self.last_seen.insert(name.clone(), seen.clone());
            }
            // What is stale stays known for a while: late updates must be refused.
            ObjectsOutput::Stale if self.dice.below(2) == 0 => {}
            ObjectsOutput::Taken => {}
            _ => {
                if self.dice.below(4) > 0 {
                    self.last_seen.remove(name);
                }
            }
        }
    }
}
