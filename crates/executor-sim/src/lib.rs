//! Pretends to run tasks, by script.
