//! The control API: what users and tools ask of the cluster.
//!
//! Every call runs on the leader; followers forward. A read first makes sure that the tables
//! hold every write acknowledged before it began. A write is one transaction: it is checked
//! against everything in flight and answered when it is committed.

pub mod status;

mod rpc;

use std::sync::Arc;
use std::time::Duration;

use control::{ANSWER_BYTES_MAX, ControlError};
use prost::Message;
use store::{Draft, State};
use tonic::{Response, Status};

use crate::ledger::{Ledger, ProposeFailure, Reign, WriteError};
use crate::quorum::Quorum;
use status::{refusal, write_status};

/// How long a write waits for room on the disk before its caller is told.
const STUCK_AFTER: Duration = Duration::from_secs(2);

/// Refuses an answer that no client would take.
fn fitting<R: Message>(answer: R) -> Result<R, ControlError> {
    if answer.encoded_len() <= ANSWER_BYTES_MAX {
        return Ok(answer);
    }
    let text = "the list does not fit into one answer; narrow the filters down";
    Err(ControlError::TooLarge(text.into()))
}

/// Serves the control API of a leader.
#[derive(Clone)]
pub struct ControlApi {
    ledger: Arc<Ledger>,
    quorum: Arc<dyn Quorum>,
}

impl ControlApi {
    /// The control API over a manager's tables.
    pub fn new(ledger: Arc<Ledger>, quorum: Arc<dyn Quorum>) -> Self {
        Self { ledger, quorum }
    }

    /// The newest state: everything acknowledged before this call is in it.
    pub(crate) async fn read(&self) -> Result<Arc<State>, Status> {
        self.quorum
            .read_barrier()
            .await
            .map_err(|why| refusal(ControlError::Read(why)))?;
        Ok(self.ledger.state())
    }

    /// Reads the newest state.
    async fn view<R>(
        &self,
        read: impl FnOnce(&State) -> Result<R, ControlError>,
    ) -> Result<Response<R>, Status> {
        let state = self.read().await?;
        read(&state).map(Response::new).map_err(refusal)
    }

    /// Writes one transaction.
    pub(crate) async fn edit<R>(
        &self,
        edit: impl FnOnce(&mut Draft) -> Result<R, ControlError>,
    ) -> Result<Response<R>, Status> {
        let written = tokio::select! {
            written = self.ledger.write_confirmed(edit, |reign| self.still_leads(reign)) => written,
            trouble = self.stuck() => return Err(stuck_status(&trouble)),
        };
        match (written, self.quorum.standing().disk_trouble) {
            (Ok(done), _) => Ok(Response::new(done)),
            (Err(WriteError::NotLeader), Some(why)) => {
                Err(write_status(WriteError::Log(ProposeFailure::Refused(why))))
            }
            (Err(error), _) => Err(write_status(error)),
        }
    }

    /// Whether this manager leads now as it did in a reign: a majority says so, and in no later
    /// term.
    async fn still_leads(&self, reign: Reign) -> bool {
        self.quorum.read_barrier().await.is_ok() && self.quorum.standing().term == reign.term
    }

    /// Waits until the disk has had no room for a while: what is under way then waits for room.
    async fn stuck(&self) -> String {
        loop {
            tokio::time::sleep(STUCK_AFTER / 2).await;
            if self.quorum.standing().disk_trouble.is_none() {
                continue;
            }
            tokio::time::sleep(STUCK_AFTER / 2).await;
            if let Some(trouble) = self.quorum.standing().disk_trouble {
                return trouble;
            }
        }
    }
}

fn stuck_status(trouble: &str) -> Status {
    Status::unknown(format!(
        "{trouble}; the change was under way and may take effect then: look before trying again"
    ))
}
