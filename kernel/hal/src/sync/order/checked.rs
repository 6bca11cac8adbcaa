//! Watching the order of locks.
use super::ClassStatistics;
use super::report::{self, Site};
use crate::arch::Arch;
use crate::contract::Cpu as _;
use crate::sync::preempt::INTERRUPT_UNIT;
use crate::sync::spin_until;
use arrayvec::ArrayVec;
use core::cell::UnsafeCell;
use core::panic::Location;
use core::ptr;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize};
use libkernel::lock_order::{CLASSES, Graph};

/// The class of a lock, inside the lock: its address stands for the lock.
pub struct Class {
    made: Site,
    is_turn: bool,
    /// 0 before the first use.
    id: AtomicUsize,
}

/// What a waiter does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Spins.
    Spin,
    /// Spins with interrupts masked.
    Irq,
    /// Sleeps.
    Sleep,
    /// Sleeps until it is the caller's turn, which may last while a program's memory is touched.
    Turn,
}

/// A lock that is held.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    lock: *const Class,
    pub id: usize,
    kind: Kind,
    pub at: Site,
}

/// The most locks that one task holds, with those of interrupts on top.
const MOST: usize = 32;

/// The locks that a task holds, in the order of their taking.
pub(crate) struct Held(UnsafeCell<ArrayVec<Entry, MOST>>);

// SAFETY: used by the CPU that runs the task alone, with interrupts masked (`with_held`); the pointers are only
// compared.
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

impl Held {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(ArrayVec::new_const()))
    }
}

/// Calls `action` with the running task's locks; `None` before there are tasks.
fn with_held<R>(action: impl FnOnce(&mut ArrayVec<Entry, MOST>) -> R) -> Option<R> {
    let were_enabled = Arch::interrupts_disable();
    let task = Arch::current_task();
    // SAFETY: the current task lives, and with interrupts masked its list is this call's alone.
    let result = (!task.is_null()).then(|| action(unsafe { &mut *(*task).held.0.get() }));
    if were_enabled {
        Arch::interrupts_enable();
    }
    result
}

/// What is known of one class.
struct Known {
    made: AtomicPtr<Location<'static>>,
    /// Where an interrupt handler first took one.
    in_interrupt: AtomicPtr<Location<'static>>,
    /// Where one was first held with interrupts enabled.
    interruptible: AtomicPtr<Location<'static>>,
    acquisitions: AtomicU64,
    contentions: AtomicU64,
}

static KNOWN: [Known; CLASSES] = [const {
    Known {
        made: AtomicPtr::new(ptr::null_mut()),
        in_interrupt: AtomicPtr::new(ptr::null_mut()),
        interruptible: AtomicPtr::new(ptr::null_mut()),
        acquisitions: AtomicU64::new(0),
        contentions: AtomicU64::new(0),
    }
}; CLASSES];
static COUNT: AtomicUsize = AtomicUsize::new(1);
static GRAPH: Graph = Graph::new();
/// Guards the growth of all of the above.
static GROWTH: AtomicBool = AtomicBool::new(false);
/// Where the edges of the graph come from.
static EDGES: Edges = Edges(UnsafeCell::new(ArrayVec::new_const()));

/// "Held the first class there, then waited for the second there."
#[derive(Clone, Copy)]
pub(super) struct Edge {
    pub from: usize,
    pub held_at: Site,
    pub to: usize,
    pub taken_at: Site,
}

struct Edges(UnsafeCell<ArrayVec<Edge, 4096>>);

// SAFETY: used under `GROWTH` alone.
unsafe impl Sync for Edges {}

fn growing<R>(action: impl FnOnce(&mut ArrayVec<Edge, 4096>) -> R) -> R {
    let were_enabled = Arch::interrupts_disable();
    while GROWTH.swap(true, Acquire) {
        spin_until(&GROWTH, |is_taken| !is_taken);
    }
    // SAFETY: `GROWTH` is ours.
    let result = action(unsafe { &mut *EDGES.0.get() });
    GROWTH.store(false, Release);
    if were_enabled {
        Arch::interrupts_enable();
    }
    result
}

fn site(pointer: &AtomicPtr<Location<'static>>) -> Option<Site> {
    // SAFETY: only `Site`s are stored.
    unsafe { pointer.load(Acquire).as_ref() }
}

/// Where the locks of a class are made.
pub(super) fn made(id: usize) -> Option<Site> {
    site(&KNOWN[id % CLASSES].made)
}

/// Where an edge comes from.
pub(super) fn edge(from: usize, to: usize) -> Option<Edge> {
    growing(|edges| edges.iter().find(|edge| edge.from == from && edge.to == to).copied())
}

impl Class {
    /// The class of locks that are made where the caller was called.
    #[track_caller]
    pub const fn here() -> Self {
        Self { made: Location::caller(), is_turn: false, id: AtomicUsize::new(0) }
    }

    /// The class of locks that are made there to be held while a program's memory is touched.
    #[track_caller]
    pub const fn of_turns() -> Self {
        Self { made: Location::caller(), is_turn: true, id: AtomicUsize::new(0) }
    }

    /// How one waits for it and holds it, given how that would be for an ordinary lock.
    fn kind(&self, ordinary: Kind) -> Kind {
        if self.is_turn { Kind::Turn } else { ordinary }
    }

    fn id(&self) -> usize {
        match self.id.load(Relaxed) {
            0 => self.register(),
            id => id,
        }
    }

    #[cold]
    fn register(&self) -> usize {
        let id = growing(|_| {
            let count = COUNT.load(Relaxed);
            let same = |id: &usize| made(*id) == Some(self.made);
            (1..count).find(same).unwrap_or_else(|| {
                assert!(count < CLASSES - 1, "more lock classes than the checker has room for");
                KNOWN[count].made.store(ptr::from_ref(self.made).cast_mut(), Release);
                COUNT.store(count + 1, Release);
                count
            })
        });
        self.id.store(id, Relaxed);
        id
    }

    /// The running task is about to wait for the lock, if it is not free.
    #[track_caller]
    pub fn wait(&self, kind: Kind) {
        if report::is_over() {
            return;
        }
        let (id, at, kind) = (self.id(), Location::caller(), self.kind(kind));
        let mut index = 0;
        while let Some(held) = with_held(|held| held.get(index).copied()).flatten() {
            index += 1;
            if ptr::eq(held.lock, self) {
                report::twice(held, at);
            }
            if matches!(kind, Kind::Sleep | Kind::Turn) && matches!(held.kind, Kind::Spin | Kind::Irq) {
                report::sleeping(held, id, at);
            }
            if kind == Kind::Turn && held.kind == Kind::Sleep {
                report::turn(held, id, at);
            }
            if held.id != id && !GRAPH.contains(held.id, id) {
                learn(held, id, at);
            }
        }
    }

    /// The lock was not free.
    pub fn contended(&self) {
        KNOWN[self.id()].contentions.fetch_add(1, Relaxed);
    }

    /// The running task has the lock.
    #[track_caller]
    pub fn taken(&self, kind: Kind) {
        let (id, at, kind) = (self.id(), Location::caller(), self.kind(kind));
        KNOWN[id].acquisitions.fetch_add(1, Relaxed);
        let entry = Entry { lock: self, id, kind, at };
        let kept = with_held(|held| held.try_push(entry).is_ok());
        assert!(kept != Some(false), "more locks held than the checker has room for");
        if matches!(kind, Kind::Sleep | Kind::Turn) || report::is_over() {
            return;
        }
        if Arch::preempt_count() >= INTERRUPT_UNIT {
            if kind == Kind::Spin {
                report::plain(id, at);
            }
            note_use(&KNOWN[id].in_interrupt, id, at);
        }
        if kind == Kind::Spin && Arch::interrupts_enabled() {
            note_use(&KNOWN[id].interruptible, id, at);
        }
    }

    /// The running task gives the lock up.
    pub fn left(&self) {
        with_held(|held| {
            if let Some(index) = held.iter().rposition(|entry| ptr::eq(entry.lock, self)) {
                held.remove(index);
            }
        });
    }
}

/// The running task is about to touch a program's memory, and to wait for it where it is absent.
#[track_caller]
pub fn will_page_in() {
    let held = with_held(|held| held.iter().rfind(|entry| entry.kind != Kind::Turn).copied()).flatten();
    if let Some(held) = held
        && !report::is_over()
    {
        report::paging(held, Location::caller());
    }
}

/// Adds an edge, unless it closes a cycle.
#[cold]
fn learn(held: Entry, id: usize, at: Site) {
    let cycle = growing(|edges| {
        let back = GRAPH.path(id, held.id);
        if back.is_none() {
            GRAPH.insert(held.id, id);
            // Without room the order is watched all the same; a report names fewer places.
            let _ = edges.try_push(Edge { from: held.id, held_at: held.at, to: id, taken_at: at });
        }
        back
    });
    if let Some(back) = cycle {
        report::cycle(held, id, at, &back);
    }
    check_interrupts(held.id, id);
}

/// Notes the first use of a kind, and looks whether it goes with the others.
fn note_use(first: &AtomicPtr<Location<'static>>, id: usize, at: Site) {
    let at = ptr::from_ref(at).cast_mut();
    if !first.load(Relaxed).is_null()
        || first.compare_exchange(ptr::null_mut(), at, Release, Relaxed).is_err()
    {
        return;
    }
    check_interrupts(id, id);
    for other in 1..COUNT.load(Acquire) {
        if GRAPH.contains(id, other) {
            check_interrupts(id, other);
        }
        if GRAPH.contains(other, id) {
            check_interrupts(other, id);
        }
    }
}

/// Reports a class that interrupt handlers take, if `inner`, which is it or is waited for with it held, may be held by
/// a task that such an interrupt stops.
fn check_interrupts(outer: usize, inner: usize) {
    if let Some(handler) = site(&KNOWN[outer].in_interrupt)
        && let Some(task) = site(&KNOWN[inner].interruptible)
    {
        report::interrupt(outer, handler, inner, task);
    }
}

/// Use of all classes so far.
pub fn statistics() -> impl Iterator<Item = ClassStatistics> {
    (1..COUNT.load(Acquire)).filter_map(|id| {
        let made = made(id)?;
        Some(ClassStatistics {
            file: made.file(),
            line: made.line(),
            acquisitions: KNOWN[id].acquisitions.load(Relaxed),
            contentions: KNOWN[id].contentions.load(Relaxed),
        })
    })
}

#[cfg(test)]
mod tests {
    use crate::sync::{IrqLock, SpinLock, TryLock};

    #[test]
    #[should_panic(expected = "lock order")]
    fn a_cycle_of_two_is_reported() {
        let (first, second) = (SpinLock::new(()), SpinLock::new(()));
        {
            let _first = first.lock();
            drop(second.lock());
        }
        let _second = second.lock();
        drop(first.lock());
    }

    #[test]
    #[should_panic(expected = "lock order")]
    fn a_cycle_of_three_sleeping_locks_is_reported() {
        let (first, second, third) = (TryLock::new((), ()), TryLock::new((), ()), TryLock::new((), ()));
        for (outer, inner) in [(&first, &second), (&second, &third), (&third, &first)] {
            let _outer = outer.try_lock();
            inner.will_wait();
            drop(inner.try_lock());
        }
    }

    #[test]
    #[should_panic(expected = "twice")]
    fn a_lock_taken_twice_is_reported() {
        let lock = SpinLock::new(());
        let _first = lock.lock();
        drop(lock.lock());
    }

    #[test]
    #[should_panic(expected = "sleeping lock")]
    fn sleeping_under_a_spin_lock_is_reported() {
        let (spin, sleeping) = (SpinLock::new(()), TryLock::new((), ()));
        let _spin = spin.lock();
        sleeping.will_wait();
    }

    #[test]
    #[should_panic(expected = "a program's memory")]
    fn touching_memory_under_a_lock_is_reported() {
        let lock = TryLock::new((), ());
        let _held = lock.try_lock();
        crate::user_copy::copy_from_user(&mut [0], libkernel::addr::UserAddr::new(0x1000));
    }

    #[test]
    fn memory_is_touched_in_turns_and_without_faults_under_locks() {
        let (turn, lock) = (TryLock::for_turns((), ()), TryLock::new((), ()));
        turn.will_wait();
        let _turn = turn.try_lock();
        let nowhere = libkernel::addr::UserAddr::new(0x1000);
        assert_eq!(crate::user_copy::copy_from_user(&mut [0], nowhere), 0);
        lock.will_wait();
        let _held = lock.try_lock();
        assert_eq!(crate::user_copy::copy_from_user_nofault(&mut [0], nowhere), 0);
    }

    #[test]
    #[should_panic(expected = "turn")]
    fn waiting_for_a_turn_under_a_lock_is_reported() {
        let (turn, lock) = (TryLock::for_turns((), ()), TryLock::new((), ()));
        let _held = lock.try_lock();
        turn.will_wait();
    }

    #[test]
    #[should_panic(expected = "interrupt")]
    fn a_plain_lock_in_an_interrupt_is_reported() {
        use crate::arch::Arch;
        use crate::contract::Cpu as _;
        let lock = SpinLock::new(());
        drop(lock.lock());
        Arch::interrupts_disable();
        Arch::preempt_add(super::INTERRUPT_UNIT);
        drop(lock.lock());
    }

    #[test]
    fn one_order_is_no_cycle() {
        let (first, second) = (SpinLock::new(0), IrqLock::new(0));
        for _ in 0..3 {
            let outer = first.lock();
            let inner = second.lock();
            drop((outer, inner));
        }
        drop(second.lock());
        drop(first.lock());
    }

    #[test]
    fn uses_are_counted() {
        let lock = SpinLock::new(());
        let line = line!() - 1;
        (0..5).for_each(|_| drop(lock.lock()));
        let own = super::statistics().find(|class| class.file.ends_with("checked.rs") && class.line == line);
        assert_eq!(own.map(|class| (class.acquisitions, class.contentions)), Some((5, 0)));
    }
}
