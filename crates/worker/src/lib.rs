//! The agent's task state machine.
