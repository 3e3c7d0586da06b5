//! Measures a cluster.

fn main() {}
