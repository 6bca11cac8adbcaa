//! How often a frame is referred to, and how often it is lent to devices.
//!
//! The record of a frame has a word for its references, and one for loans. Of a block of several frames only the head
//! counts, for all of them; the words of the others say where it is. A frame that an account pays for is a block of
//! one, so that its word can say which. The everyday frame of 4 KiB so costs what it would without blocks and accounts:
//!
//! | word of references | says |
//! |---|---|
//! | below [`FULL`] | so many |
//! | from [`FULL`] on | so many that nobody counts any more: the frame stays for ever |
//! | from [`PART`] on | how many frames behind the head of its block this one lies |
//! | from [`HEAD`] on | the order of the block that begins here and the account that pays for it; `next` counts its references, in the same way |
use super::{Account, allocator, charge, record};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use libkernel::addr::{PAGE_SIZE, PhysAddr};

/// From here on a frame's references are not counted any more, and it is never freed: a program that maps one frame so
/// often, for 4 TiB of addresses, does not bring its count round to zero. The frame of zeros begins here, so that no
/// line is shared by all who read what they have not written.
///
/// Who looks whether it is reached and then counts may be overtaken by others, but not by 2^29 of them: whoever finds
/// it reached and counts nothing first puts the word to [`STUCK`], from where those who have looked before cannot bring
/// it back below.
pub(super) const FULL: u32 = 1 << 30;
/// Half-way between [`FULL`] and [`PART`].
pub(super) const STUCK: u32 = FULL + FULL / 2;
const PART: u32 = 1 << 31;
const HEAD: u32 = PART | FULL;
/// How far the number of an account lies to the left, behind the order.
const ACCOUNT: u32 = 8;
/// How many numbers of accounts there are, 0 for none included.
pub(super) const ACCOUNTS: u32 = (HEAD ^ u32::MAX).wrapping_add(1) >> ACCOUNT;

/// The first reference to a frame that an account has been charged for.
#[inline(always)]
pub(super) fn begin(frame: PhysAddr, account: Account) {
    if account != Account::NONE {
        return begin_block(frame, 0, account);
    }
    let record = record(frame);
    record.count.store(1, Ordering::Relaxed);
    record.previous.store(0, Ordering::Relaxed);
}

/// The first reference to such a block.
#[cold]
#[inline(never)]
pub(super) fn begin_block(head: PhysAddr, order: u32, account: Account) {
    for distance in 1..1 << order {
        let part = head.wrapping_add(u64::from(distance) * PAGE_SIZE);
        record(part).count.store(PART | distance, Ordering::Relaxed);
    }
    let record = record(head);
    record.next.store(1, Ordering::Relaxed);
    record.previous.store(0, Ordering::Relaxed);
    // Whoever finds the head by a part got the reference after all this.
    record.count.store(HEAD | account.in_record() << ACCOUNT | order, Ordering::Relaxed);
}

/// The first frame of the block that a frame belongs to, and the block's order: itself and 0 where it is one alone.
pub(super) fn head_of(frame: PhysAddr) -> (PhysAddr, u32) {
    let word = record(frame).count.load(Ordering::Relaxed);
    if word < PART {
        return (frame, 0);
    }
    let distance = if word < HEAD { word - PART } else { 0 };
    let head = PhysAddr::new(frame.as_u64() - u64::from(distance) * PAGE_SIZE);
    (head, record(head).count.load(Ordering::Relaxed) & ((1 << ACCOUNT) - 1))
}

/// The word that counts references to a frame.
#[inline(always)]
fn counter(frame: PhysAddr) -> &'static AtomicU32 {
    let own = &record(frame).count;
    if own.load(Ordering::Relaxed) < PART { own } else { block_counter(frame) }
}

#[cold]
fn block_counter(frame: PhysAddr) -> &'static AtomicU32 {
    &record(head_of(frame).0).next
}

/// The word that counts loans of a frame.
#[inline(always)]
pub(super) fn loans(frame: PhysAddr) -> &'static AtomicU32 {
    let own = record(frame);
    if own.count.load(Ordering::Relaxed) < PART { &own.previous } else { block_loans(frame) }
}

#[cold]
fn block_loans(frame: PhysAddr) -> &'static AtomicU32 {
    &record(head_of(frame).0).previous
}

/// Counts one reference more.
#[inline(always)]
pub(crate) fn add(frame: PhysAddr) {
    let own = &record(frame).count;
    let word = own.load(Ordering::Relaxed);
    if word < FULL {
        // Relaxed is enough: who makes another reference has one already.
        own.fetch_add(1, Ordering::Relaxed);
    } else if !(STUCK..PART).contains(&word) {
        add_to_block(frame, 1);
    }
}

/// Counts so many references to a block more, or to a frame whose count is full; see [`FULL`].
#[cold]
#[inline(never)]
pub(crate) fn add_to_block(frame: PhysAddr, more: u32) {
    let counter = counter(frame);
    let word = counter.load(Ordering::Relaxed);
    if word < FULL {
        counter.fetch_add(more, Ordering::Relaxed);
    } else if word < STUCK {
        counter.store(STUCK, Ordering::Relaxed);
    }
}

/// Counts one reference less; frees the frame, or its block, with the last.
#[inline(always)]
pub(super) fn remove(frame: PhysAddr) {
    let own = &record(frame).count;
    let word = own.load(Ordering::Relaxed);
    if word < FULL {
        if own.fetch_sub(1, Ordering::Release) == 1 {
            // Pairs with the release of the other references: their accesses are over.
            fence(Ordering::Acquire);
            allocator::free(frame);
        }
    } else if word >= PART {
        remove_from_block(frame);
    }
}

#[cold]
#[inline(never)]
fn remove_from_block(frame: PhysAddr) {
    let (head, order) = head_of(frame);
    let counter = &record(head).next;
    if counter.load(Ordering::Relaxed) < FULL && counter.fetch_sub(1, Ordering::Release) == 1 {
        // As in `remove`.
        fence(Ordering::Acquire);
        let word = record(head).count.load(Ordering::Relaxed);
        charge::give_back((word & !HEAD) >> ACCOUNT, 1 << order);
        allocator::free_block(head, order);
    }
}

/// How many references there are, loans included; others come and go meanwhile.
#[inline]
pub(super) fn of(frame: PhysAddr) -> u32 {
    counter(frame).load(Ordering::Acquire)
}

/// Whether nobody has a frame but so many whom the caller knows, and, if `lends` says that there may be any, devices.
#[inline(always)]
pub(crate) fn are_only(frame: PhysAddr, known: u32, lends: &AtomicBool) -> bool {
    let word = record(frame).count.load(Ordering::Acquire);
    word == known || ((word >= PART || lends.load(Ordering::Relaxed)) && are_only_with_loans(frame, known))
}

/// The same for a block, for what an account pays for, and where there may be loans.
///
/// In this order: who lends a frame has counted a reference before, so that one which is counted here and is no loan
/// yet is somebody's.
#[cold]
#[inline(never)]
pub(crate) fn are_only_with_loans(frame: PhysAddr, known: u32) -> bool {
    let references = of(frame);
    let lent = loans(frame).load(Ordering::Relaxed);
    references < FULL && references.checked_sub(lent) == Some(known)
}

/// Whether a device has a frame.
#[inline(always)]
pub(crate) fn is_lent(frame: PhysAddr) -> bool {
    loans(frame).load(Ordering::Relaxed) != 0
}
