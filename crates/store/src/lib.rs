//! The replicated tables: indexes, snapshots, actions and the change feed.
