//! Connects a node to its managers and runs what they assign.
