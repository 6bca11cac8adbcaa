//! As many runs as tokens.
// refused: E0382

use hal::sync::preempt;
use hal::task::{Runnable, switch_to, yield_current};

fn main() {
    let token: Runnable = yield_current();
    switch_to(token, preempt::disable());
    switch_to(token, preempt::disable());
}
