//! The control API: what users and tools ask of the cluster.
//!
//! Every call runs on the leader; followers forward. A read first makes sure that the tables
//! hold every write acknowledged before it began. A write is one transaction: it is checked
//! against everything in flight and answered when it is committed.

pub mod cluster;
pub mod crud;
pub mod error;
pub mod filter;
pub mod node;
pub mod objects;
pub mod service;
pub mod task;

mod rpc;

use std::sync::Arc;

use store::{Draft, State};
use tonic::{Response, Status};

use crate::ledger::Ledger;
use crate::quorum::Quorum;
use error::{ControlError, write_status};

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
            .map_err(ControlError::Read)?;
        Ok(self.ledger.state())
    }

    /// Reads the newest state.
    async fn view<R>(
        &self,
        read: impl FnOnce(&State) -> Result<R, ControlError>,
    ) -> Result<Response<R>, Status> {
        let state = self.read().await?;
        Ok(Response::new(read(&state)?))
    }

    /// Writes one transaction.
    async fn edit<R>(
        &self,
        edit: impl FnOnce(&mut Draft) -> Result<R, ControlError>,
    ) -> Result<Response<R>, Status> {
        self.ledger
            .write(edit)
            .await
            .map(Response::new)
            .map_err(write_status)
    }
}
