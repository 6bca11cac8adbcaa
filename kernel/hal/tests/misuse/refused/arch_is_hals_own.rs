// refused: E0603
//! It takes any address at all.
use hal::arch::Arch;

fn main() {}
