//! Builds, runs, tests and measures Orlop.

fn main() {}
