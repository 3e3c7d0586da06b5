//! The tables as the state machine of the replicated log.

use std::io;
use std::sync::Arc;

use consensus::Membership;
use replica::{Applied, RestoreError, SnapshotSource, StateMachine};
use store::State;
use tokio::sync::watch;
use wire::log::decode_transaction;
use wire::snapshot::{Reader, Writer};

use crate::ledger::Ledger;

/// Pieces in which a snapshot is read back.
const READ_BYTES: usize = 256 * 1024;

/// Feeds committed entries to the ledger.
pub struct Machine {
    ledger: Arc<Ledger>,
    membership: watch::Sender<Arc<Membership>>,
}

impl Machine {
    /// The state machine over a ledger, and the membership as it changes.
    pub fn new(ledger: Arc<Ledger>) -> (Self, watch::Receiver<Arc<Membership>>) {
        let (membership, changes) = watch::channel(Arc::default());
        (Self { ledger, membership }, changes)
    }
}

impl StateMachine for Machine {
    /// # Panics
    /// If an entry cannot be read or does not follow from the tables: it was made by a newer
    /// program, or managers have diverged. Either way this manager must not go on.
    fn apply(&mut self, committed: &[Applied]) {
        for entry in committed {
            self.ledger.apply(entry.term, || {
                decode_transaction(&entry.data).unwrap_or_else(|e| {
                    panic!(
                        "log entry {} cannot be applied by this program: {e}",
                        entry.index
                    )
                })
            });
        }
    }

    fn membership(&mut self, membership: &Arc<Membership>) {
        self.membership.send_replace(membership.clone());
    }

    fn capture(&self) -> Box<dyn SnapshotSource> {
        Box::new(Captured(self.ledger.state()))
    }

    fn restore(&mut self, payload: &mut dyn io::Read) -> Result<(), RestoreError> {
        let mut reader = Reader::new();
        let mut piece = vec![0; READ_BYTES];
        loop {
            match payload.read(&mut piece)? {
                0 => break,
                n => reader.feed(&piece[..n])?,
            }
        }
        self.ledger.restore(reader.finish()?);
        Ok(())
    }
}

struct Captured(Arc<State>);

impl SnapshotSource for Captured {
    fn write_to(&self, out: &mut dyn io::Write) -> io::Result<()> {
        Writer::new(&self.0).try_for_each(|piece| out.write_all(&piece))
    }
}
