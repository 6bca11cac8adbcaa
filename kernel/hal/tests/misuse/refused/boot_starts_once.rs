// refused: E0603 E0603
use hal::boot::{Handover, start};

fn main() {}
