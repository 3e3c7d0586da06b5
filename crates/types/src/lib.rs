//! Ids, objects and task states of a cluster.
