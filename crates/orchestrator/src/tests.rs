//! Tests of the stages as a whole, on a small cluster in memory.

mod cluster;
mod enforcing;
mod modes;
mod properties;
mod races;
mod restarts;
mod schedules;
mod updates;
mod upstream;
