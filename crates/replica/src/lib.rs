//! Drives one raft member: storage, peers, apply.
