//! Two tokens of one task would run one stack on two CPUs.
// refused: E0277

use hal::task::{Runnable, yield_current};

fn copied<T: Clone>(token: &T) -> T {
    token.clone()
}

fn main() {
    let token: Runnable = yield_current();
    copied(&token);
}
