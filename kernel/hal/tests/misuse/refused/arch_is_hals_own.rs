//! The architecture takes any address at all.
// refused: E0603

use hal::arch::Arch;

fn main() {}
