//! What the kernel's files stand on, made of `loom`.

pub mod arch {
    //! A machine whose CPUs are `loom`'s threads.
    pub struct Arch;
}

pub mod contract {
    //! What the locks ask of it.
    use super::arch::Arch;

    pub trait Cpu {
        fn id() -> usize {
            super::cpu::THIS.with(core::cell::Cell::get)
        }
        fn interrupts_disable() -> bool {
            false
        }
        fn preempt_disable() {}
        fn preempt_enable_interrupts() {}
        fn preempt_sub(_amount: u32) {}
        fn relax() {
            loom::thread::yield_now();
        }
    }

    impl Cpu for Arch {}
}

pub mod cpu {
    //! Two CPUs; a thread says on which it is.
    use core::cell::Cell;

    loom::thread_local! {
        pub static THIS: Cell<usize> = Cell::new(0);
    }

    pub fn count() -> usize {
        2
    }
}

pub mod atomic {
    //! Atomics whose every outcome is tried.
    pub use core::sync::atomic::Ordering;
    pub use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence};
}

/// As `hal`'s, with a fence for sequentially consistent loads, which `loom` takes for those that acquire.
pub fn spin_until<W: Awaited>(word: &W, is_done: impl Fn(W::Value) -> bool) {
    use contract::Cpu as _;
    loop {
        atomic::fence(atomic::Ordering::SeqCst);
        if is_done(word.look()) {
            return;
        }
        arch::Arch::relax();
    }
}

/// A word that `loom` knows.
pub trait Awaited {
    type Value;
    fn look(&self) -> Self::Value;
}

impl Awaited for atomic::AtomicBool {
    type Value = bool;
    fn look(&self) -> bool {
        self.load(atomic::Ordering::Acquire)
    }
}

impl Awaited for atomic::AtomicU8 {
    type Value = u8;
    fn look(&self) -> u8 {
        self.load(atomic::Ordering::Acquire)
    }
}

impl Awaited for atomic::AtomicUsize {
    type Value = usize;
    fn look(&self) -> usize {
        self.load(atomic::Ordering::Acquire)
    }
}

pub mod preempt {
    //! Nothing is preempted: `loom` switches where it likes.
    pub struct PreemptGuard;

    /// As the kernel's, which has something to do.
    impl Drop for PreemptGuard {
        fn drop(&mut self) {}
    }

    pub fn disable() -> PreemptGuard {
        PreemptGuard
    }

    pub fn assert_may_block() {}
}

pub mod order {
    //! The order of locks is watched elsewhere.
    #[derive(Clone, Copy)]
    pub enum Kind {
        Spin,
        Irq,
        Sleep,
    }

    pub struct Class;

    impl Class {
        pub const fn here() -> Self {
            Self
        }
        pub const fn of_turns() -> Self {
            Self
        }
        pub fn wait(&self, _kind: Kind) {}
        pub fn contended(&self) {}
        pub fn taken(&self, _kind: Kind) {}
        pub fn left(&self) {}
    }
}

pub mod task {
    //! Tasks: each is one thread of `loom`.
    use super::atomic::AtomicU32;
    use alloc::sync::Arc;
    use core::sync::atomic::Ordering::Relaxed;

    pub type TaskRef = Arc<Task>;

    pub struct Task {
        pub work: AtomicU32,
        pub thread: loom::thread::Thread,
    }

    loom::thread_local! {
        static CURRENT: TaskRef =
            Arc::new(Task { work: AtomicU32::new(0), thread: loom::thread::current() });
    }

    pub fn current_ref() -> TaskRef {
        CURRENT.with(Arc::clone)
    }

    pub fn own_work() -> u32 {
        current_ref().work.load(Relaxed)
    }
}

pub mod sched {
    //! A scheduler with a CPU for each task: a wake that comes before the sleep is kept by `loom`'s thread.
    use super::task::TaskRef;

    pub fn block_unless(ready: impl FnOnce() -> bool) {
        if !ready() {
            loom::thread::park();
        }
    }

    pub fn wake(task: &TaskRef) {
        task.thread.unpark();
    }

    pub mod deadline {
        //! Deadlines that never come.
        #[derive(Clone, Copy)]
        pub struct Deadline;

        impl Deadline {
            pub const NEVER: Deadline = Deadline;

            pub fn has_passed(self) -> bool {
                false
            }
        }
    }

    pub mod work {
        //! The bits that end a wait.
        pub const SIGNAL: u32 = 1 << 8;
        pub const KILL: u32 = 1 << 9;
        pub const INTERRUPTING: u32 = SIGNAL | KILL;
    }

    pub mod timer {
        //! No timers.
        use crate::sched::wait::Deadline;

        pub struct Timeout;

        impl Timeout {
            pub fn start(_deadline: Deadline) -> Timeout {
                Timeout
            }
        }
    }
}
