//! The daemon: one per machine.

fn main() {}
