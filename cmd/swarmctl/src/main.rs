//! The command line of a cluster.

fn main() {}
