//! raft-rs as a state machine of inputs and effects.
