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

pub mod list {
    //! Lists without links.
    use alloc::collections::VecDeque;
    use alloc::sync::Arc;
    use core::marker::PhantomData;
    use core::ops::Deref;

    /// Known by its address.
    pub struct Link<T>(u8, PhantomData<fn() -> T>);

    impl<T> Default for Link<T> {
        fn default() -> Link<T> {
            Link(0, PhantomData)
        }
    }

    pub struct List<T>(VecDeque<(usize, Arc<T>)>);

    pub struct Listed<'a, T>(&'a Arc<T>);

    impl<T> Listed<'_, T> {
        pub fn to_arc(&self) -> Arc<T> {
            Arc::clone(self.0)
        }
    }

    impl<T> Deref for Listed<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            self.0
        }
    }

    fn address<T>(link: &Link<T>) -> usize {
        core::ptr::from_ref(link).addr()
    }

    impl<T> List<T> {
        pub const fn new() -> List<T> {
            List(VecDeque::new())
        }

        pub fn is_empty(&self) -> bool {
            self.0.is_empty()
        }

        pub fn first(&self) -> Option<Listed<'_, T>> {
            self.0.front().map(|(_, value)| Listed(value))
        }

        pub fn push_back(&mut self, value: Arc<T>, link: impl FnOnce(&T) -> &Link<T>) -> bool {
            self.0.push_back((address(link(&value)), value));
            true
        }

        pub fn remove(&mut self, link: &Link<T>) -> Option<Arc<T>> {
            let index = self.0.iter().position(|(own, _)| *own == address(link))?;
            self.0.remove(index).map(|(_, value)| value)
        }
    }
}

pub mod task {
    //! Tasks: each is one thread of `loom`.
    use super::atomic::AtomicU32;
    use super::list::Link;
    use alloc::sync::Arc;
    use core::sync::atomic::AtomicBool;
    use core::sync::atomic::Ordering::Relaxed;

    pub type TaskRef = Arc<Task>;

    #[derive(Default)]
    pub struct SchedData {
        pub line: Link<Task>,
        pub shares: AtomicBool,
    }

    pub struct Task {
        pub work: AtomicU32,
        pub sched: SchedData,
        pub thread: loom::thread::Thread,
    }

    loom::thread_local! {
        static CURRENT: TaskRef =
            Arc::new(Task {
                work: AtomicU32::new(0),
                sched: SchedData::default(),
                thread: loom::thread::current(),
            });
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
