//! Clusters on hosts with their own Docker Engines. Skipped, with the reason, where a machine
//! cannot make such hosts; see `integration/rig/hosts.sh`.

mod containers;
mod engines;
mod network;
mod power;
mod scheduling;
mod stock_engine;
mod support;
