//! Raft log, snapshot files and the node-local database.
