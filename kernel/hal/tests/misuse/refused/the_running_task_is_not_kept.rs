//! What is lent of the running task ends with the call: the task may be gone when another looks.
// refused: E0521

use hal::task::{Task, with_current};
use std::sync::OnceLock;

static KEPT: OnceLock<&'static Task> = OnceLock::new();

fn main() {
    with_current(|task| KEPT.set(task).is_ok());
}
