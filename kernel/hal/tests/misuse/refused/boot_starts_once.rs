//! Boot is begun by the architecture, once.
// refused: E0603 E0603

use hal::boot::{Handover, start};

fn main() {}
