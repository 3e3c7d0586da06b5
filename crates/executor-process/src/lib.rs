//! Runs tasks as child processes.
