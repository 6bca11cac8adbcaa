//! A task without a user side may rest on the tables of another program.
// refused: E0277

use hal::task::Task;
use hal::user::{UserContext, UserRegs};
use core::sync::atomic::AtomicU32;

fn main() {
    let mut context = UserContext::new(UserRegs::new(0, 0));
    let entry = move || {
        let context = &mut context;
        context.run(&AtomicU32::new(0));
    };
    Task::new_kernel(Box::new(entry)).ok();
}
