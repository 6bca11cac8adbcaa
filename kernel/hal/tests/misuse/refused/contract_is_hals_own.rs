//! What the architecture promises hal is promised to nobody else.
// refused: E0603

use hal::contract::Paging;

fn main() {}
