//! What a thread asks of input and output: a priority, which nothing acts on, shared by those that were made with
//! `CLONE_IO`.
//!
//! As on Linux there is a context only once a priority was set: who is made with `CLONE_IO` before that shares nothing.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU16, Ordering};

use abi::resource::{IOPRIO_CLASS_NONE, IOPRIO_CLASS_SHIFT};
use hal::sync::Once;

/// One thread's hold on its context.
#[derive(Default)]
pub struct IoContext(Once<Arc<AtomicU16>>);

impl IoContext {
    /// None so far.
    pub fn new() -> IoContext {
        IoContext(Once::new())
    }

    /// What a child gets: the same context, or a copy of the priority if there is one.
    pub fn for_child(&self, is_shared: bool) -> IoContext {
        let own = IoContext::new();
        let Some(context) = self.0.get() else { return own };
        let has_priority = u32::from(self.priority()) >> IOPRIO_CLASS_SHIFT != IOPRIO_CLASS_NONE;
        if is_shared {
            own.0.get_or_init(|| context.clone());
        } else if has_priority {
            own.set_priority(self.priority());
        }
        own
    }

    /// The priority that was set (`ioprio_set`); 0 for none.
    pub fn priority(&self) -> u16 {
        self.0.get().map_or(0, |priority| priority.load(Ordering::Relaxed))
    }

    /// Sets it, for all that share it.
    pub fn set_priority(&self, priority: u16) {
        self.0.get_or_init(Arc::default).store(priority, Ordering::Relaxed);
    }
}
