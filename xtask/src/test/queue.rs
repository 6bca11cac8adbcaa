//! Work for two QEMUs at a time.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// More would slow each other down on the two CPUs that this must run on, and run into their time limits.
const WORKERS: usize = 2;

type Work<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Pieces of work that may run in any order.
#[derive(Default)]
pub struct Queue<'a> {
    work: Mutex<VecDeque<Work<'a>>>,
}

impl<'a> Queue<'a> {
    /// Adds a piece of work.
    pub fn push(&self, work: impl FnOnce() + Send + 'a) {
        self.lock().push_back(Box::new(work));
    }

    /// Does everything, in order of arrival, two pieces at a time.
    pub fn run(&self) {
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    while let Some(work) = self.take() {
                        work();
                    }
                });
            }
        });
    }

    fn take(&self) -> Option<Work<'a>> {
        self.lock().pop_front()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Work<'a>>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn everything_is_done_once() {
        let done = AtomicUsize::new(0);
        let queue = Queue::default();
        for _ in 0..10 {
            queue.push(|| {
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        queue.run();
        assert_eq!(done.load(Ordering::Relaxed), 10);
    }
}
