//! Buckets of waiting threads.

use abi::Errno;
use hal::sync::{SpinGuard, SpinLock};
use hal::task::{Task, Waiting};

use super::inheritance::{self, Inheriting, Left};
use super::key::{BUCKETS, Key};
use super::queue::{self, Order, Queue, Waiter};

static TABLE: [SpinLock<Bucket>; BUCKETS] = [const { SpinLock::new(Bucket::new()) }; BUCKETS];

/// How many waiters are looked at before a bucket is let go of.
pub(super) const PIECE: usize = 64;

/// Waiters whose keys hash alike.
pub(super) struct Bucket {
    pub(super) index: usize,
    /// The number of who came last.
    last_ticket: u64,
    waiting: Queue,
    pub(super) inheriting: Inheriting,
}

/// Locks a bucket.
#[inline(always)]
pub(super) fn lock(index: usize) -> SpinGuard<'static, Bucket> {
    let mut bucket = TABLE[index % BUCKETS].lock();
    bucket.index = index % BUCKETS;
    bucket
}

/// The buckets of two keys; one, if they share it.
pub(super) struct Pair {
    first_key: Key,
    first: SpinGuard<'static, Bucket>,
    /// The other key's, if it is another one.
    second: Option<SpinGuard<'static, Bucket>>,
}

impl Pair {
    /// Locks the buckets of both keys, the lower first.
    pub(super) fn lock(first_key: Key, second_key: Key) -> Pair {
        let [index, other] = [first_key, second_key].map(Key::bucket);
        let before = (other < index).then(|| lock(other));
        let first = lock(index);
        let second = if other > index { Some(lock(other)) } else { before };
        Pair { first_key, first, second }
    }

    /// The bucket of one of the keys.
    #[inline]
    pub(super) fn of(&mut self, key: Key) -> &mut Bucket {
        match &mut self.second {
            Some(second) if key != self.first_key => second,
            _ => &mut self.first,
        }
    }
}

/// How far one has come along the waiters of a word. The bucket is let go of after each piece; who comes after the
/// beginning is not met, so the walk ends.
pub(super) struct Walk {
    from: Order,
    last_ticket: Option<u64>,
    /// How many more are looked at in this piece.
    left: usize,
    is_over: bool,
}

impl Walk {
    /// At the beginning.
    pub(super) const fn new() -> Walk {
        Walk { from: Order::FIRST, last_ticket: None, left: PIECE, is_over: false }
    }

    /// Whether there is nobody more, or nobody more is wanted.
    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Nobody more is wanted.
    pub(super) const fn end(&mut self) {
        self.is_over = true;
    }

    /// The bucket has been let go of.
    pub(super) const fn begin_piece(&mut self) {
        self.left = PIECE;
    }
}

impl Bucket {
    const fn new() -> Bucket {
        Bucket { index: 0, last_ticket: 0, waiting: Queue::new(), inheriting: Inheriting::new() }
    }

    /// The order of who comes now with this priority.
    #[inline]
    pub(super) fn next_order(&mut self, priority: u8) -> Order {
        self.last_ticket += 1;
        Order::new(priority, self.last_ticket)
    }

    /// Whether somebody waits plainly at the key.
    pub(super) fn has_plain(&self, key: Key) -> bool {
        self.waiting.first(key, Order::FIRST).is_some()
    }

    /// EINVAL if somebody waits at the key who wants more than to be woken.
    #[inline]
    pub(super) fn all_are_plain(&self, key: Key) -> Result<(), Errno> {
        if self.inheriting.concerns(key) { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// Adds a waiter.
    #[inline]
    pub(super) fn push(&mut self, key: Key, waiter: Waiter) {
        let order = self.next_order(waiter.task().map_or(0, |task| queue::own_priority(task)));
        self.waiting.enter(self.index, key, order, waiter);
    }

    /// Adds one who waited elsewhere in this order, behind those of the same priority.
    pub(super) fn push_moved(&mut self, key: Key, order: Order, waiter: Waiter) {
        let order = self.next_order(order.priority());
        self.waiting.enter(self.index, key, order, waiter);
    }

    /// Wakes the waiter for one of `bits` of the key if nobody else waits in the bucket, the usual case; whether there
    /// was one.
    #[inline]
    pub(super) fn wake_only(&mut self, key: Key, bits: u32) -> bool {
        self.waiting.take_only(key, bits).map(Waiter::wake_up).is_some()
    }

    /// Wakes up to `count` waiters for one of `bits` of the key; how many there were in this piece of the walk.
    #[inline]
    pub(super) fn wake(&mut self, key: Key, count: usize, bits: u32, walk: &mut Walk) -> usize {
        for woken in 0..count {
            let Some((_, waiter)) = self.take_next(key, bits, walk) else { return woken };
            waiter.wake_up();
        }
        walk.end();
        count
    }

    /// Takes the next waiter for one of `bits` out; `None` at the end of the walk, or of a piece.
    #[inline]
    pub(super) fn take_next(&mut self, key: Key, bits: u32, walk: &mut Walk) -> Option<(Order, Waiter)> {
        let last_ticket = *walk.last_ticket.get_or_insert(self.last_ticket);
        let is_wanted =
            |order: Order, waiting: &Waiting| waiting.bits & bits != 0 && order.ticket() <= last_ticket;
        let from = walk.from;
        if walk.left != 0
            && let Some(next) =
                self.waiting.take_first_if(key, |order, waiting| order >= from && is_wanted(order, waiting))
        {
            walk.left -= 1;
            walk.from = next.0.next();
            return Some(next);
        }
        while walk.left != 0 {
            let Some((order, waiting)) = self.waiting.first(key, walk.from) else {
                walk.end();
                return None;
            };
            walk.left -= 1;
            walk.from = order.next();
            if is_wanted(order, waiting) {
                return self.waiting.take(key, order).map(|waiter| (order, waiter));
            }
        }
        None
    }
}

/// Locks the bucket where a thread waits; `None` if it waits nowhere.
pub(super) fn lock_place_of(task: &Task) -> Option<SpinGuard<'static, Bucket>> {
    loop {
        let index = queue::station(task)?;
        let bucket = lock(index);
        if queue::station(task) == Some(index) {
            return Some(bucket);
        }
    }
}

/// Takes a thread out that no longer wants to wait, and says where it stood; `None` if somebody has woken it meanwhile.
pub(super) fn withdraw(task: &Task) -> Option<Left> {
    let mut bucket = lock_place_of(task)?;
    queue::leave(task);
    let (key, order) = queue::place(task);
    if let Some(waiter) = bucket.waiting.take(key, order) {
        drop(bucket);
        drop(waiter.stand_down());
        return Some(Left::Word);
    }
    inheritance::withdraw(bucket, key, order)
}
