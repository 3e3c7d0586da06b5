//! Clusters of real processes on loopback: no root, no containers, the process executor.

mod admission;
mod clocks;
mod dev;
mod disks;
mod faults;
mod follow;
mod idle;
mod leaving;
mod moving;
mod refusals;
mod roles;
mod scheduling;
mod seed;
mod services;
mod support;
