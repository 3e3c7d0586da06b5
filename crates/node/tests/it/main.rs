//! Whole nodes against each other: what users and other nodes are promised.

mod api;
mod identity;
mod logs;
mod progress;
mod refusals;
mod roles;
mod settings;
mod standing;
mod support;
mod watch;
