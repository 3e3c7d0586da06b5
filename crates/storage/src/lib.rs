//! What a node keeps on disk: the raft log, snapshot files, the node-local database and the layout
//! of the state directory.
//!
//! Every write here is acknowledged only after it is on the device, and every record that is read
//! back is checked. Damage is reported with a named error; it is never passed over.
//!
//! This crate never decides anything about the cluster, never talks to a network and never retries
//! a failed sync.

mod disk;
mod local_db;
mod log;
mod records;
mod snapshot;
mod state_dir;

pub use disk::{SmallFileError, available_bytes, read_small_file, sync_dir, write_atomic};
pub use local_db::{Batch, LocalDb, LocalDbError, OpenOutcome, Tree};
pub use log::{
    AppendError, DiskBudget, DiskFaults, EngineLog, EngineLogConfig, LoadedLog, LogBatch, LogStore,
    MemoryDisk, MemoryLog, OpenLogError, SnapshotMark,
};
pub use snapshot::{
    DamagedSnapshot, SnapshotError, SnapshotFile, SnapshotId, SnapshotInfo, SnapshotPayload,
    SnapshotReceiver, SnapshotStore, SnapshotWriter,
};
pub use state_dir::{FORMAT_VERSION, StateDir, StateDirError};
