// refused: E0603
use hal::contract::Paging;

fn main() {}
