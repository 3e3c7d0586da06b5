//! What every executor must do, as one test that each of them runs against itself.
//!
//! Panics with the broken rule; meant for tests only.
