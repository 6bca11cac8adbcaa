//! Robust futexes: locks that are released when their owner dies (`get_robust_list(2)`).

use core::sync::atomic::Ordering;

use abi::futex::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS, ROBUST_LIST_LIMIT, RobustListHead};
use hal::user_copy;
use libkernel::addr::UserAddr;
use memory::user::UserPtr;

use super::lock::number;
use super::{ATTEMPTS, Sharing, Word, wake_one};
use crate::process::Thread;

/// Bit 0 of an entry's address marks a lock with priority inheritance.
const PRIORITY_INHERITANCE: u64 = 1;

/// Marks every lock on the dying thread's list and wakes a waiter of each. A list that is broken is left where it
/// breaks.
#[inline]
pub fn release_all(thread: &Thread) {
    let address = thread.robust_list.swap(0, Ordering::Relaxed);
    if address != 0 {
        release_list(thread, address);
    }
}

fn release_list(thread: &Thread, address: u64) {
    let Ok(head) = UserPtr::<RobustListHead>::new(UserAddr::new(address)).read() else { return };
    let mut entry = head.list;
    for _ in 0..ROBUST_LIST_LIMIT {
        let place = entry & !PRIORITY_INHERITANCE;
        if place == address {
            break;
        }
        // The next entry is read first: the lock's memory may be gone once its waiter runs.
        let next = UserPtr::<u64>::new(UserAddr::new(place)).read();
        if entry != head.list_op_pending {
            release(thread, entry, head.futex_offset, Stage::Held);
        }
        match next {
            Ok(next) => entry = next,
            Err(_) => return,
        }
    }
    if head.list_op_pending != 0 {
        release(thread, head.list_op_pending, head.futex_offset, Stage::Changing);
    }
}

/// How far the thread had come with a lock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It held it.
    Held,
    /// It was about to take it or to give it up.
    Changing,
}

fn release(thread: &Thread, entry: u64, offset: i64, stage: Stage) {
    let address = UserAddr::new((entry & !PRIORITY_INHERITANCE).wrapping_add_signed(offset));
    let Ok(word) = Word::new(address, Sharing::Shared) else { return };
    let own = number(thread);
    let is_own = |value: u32| value & FUTEX_TID_MASK == own;
    let mark = |value: u32| if is_own(value) { (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED } else { value };
    let Ok(old) = user_copy::fetch_update_u32(address, ATTEMPTS, mark) else { return };
    // A lock that has been given up already, but nobody woken. Who waits for one with priority inheritance is given it
    // later.
    let forgotten = stage == Stage::Changing && old == 0;
    if entry & PRIORITY_INHERITANCE == 0 && (forgotten || is_own(old) && old & FUTEX_WAITERS != 0) {
        wake_one(thread, word);
    }
}
