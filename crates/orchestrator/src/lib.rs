//! Turns services into tasks: one reconciler over slots.
