//! What an executor of tasks must do.
