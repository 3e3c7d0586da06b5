//! Sessions, heartbeats and assignment sets.
