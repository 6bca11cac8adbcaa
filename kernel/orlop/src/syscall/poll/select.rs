//! `select` and `pselect6`: sets of descriptors as bit strings.

use alloc::vec::Vec;

use abi::Errno;
use abi::poll::{
    POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI, POLLRDBAND, POLLRDNORM, POLLWRBAND, POLLWRNORM,
    PselectSigmask,
};
use abi::time::Timeval;
use libkernel::addr::UserAddr;

use super::{Interest, deadline_argument, wait, write_time_left};
use crate::fs::poll::PollEvents;
use crate::sched::wait::Deadline;
use crate::syscall::{Caller, Failure};
use crate::user::{UserPtr, UserSlice};

/// Which events put a descriptor into each of the three sets, in the order readable, writable, exceptional: select(2).
const EVENTS: [u16; 3] = [
    POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR,
    POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR,
    POLLPRI,
];

const WORD_BITS: usize = 64;

/// `select(count, readable, writable, exceptional, timeout)`: writes the time left back.
pub fn select(
    caller: &mut Caller<'_>,
    count: i32,
    readable: UserAddr,
    writable: UserAddr,
    exceptional: UserAddr,
    timeout: UserAddr,
) -> Result<usize, Failure> {
    let deadline = timeval_deadline(timeout)?;
    let outcome = select_until(caller, count, [readable, writable, exceptional], deadline);
    if let Some(left_ns) = deadline.left_ns() {
        let left_us = left_ns / 1000;
        let left = Timeval { tv_sec: (left_us / 1_000_000) as i64, tv_usec: (left_us % 1_000_000) as i64 };
        // A timeout in read-only memory is no error: Linux ignores it too.
        let _ = UserPtr::new(timeout).write(&left);
    }
    outcome
}

fn timeval_deadline(timeout: UserAddr) -> Result<Deadline, Errno> {
    if timeout.is_null() {
        return Ok(Deadline::NEVER);
    }
    let timeout: Timeval = UserPtr::new(timeout).read()?;
    match (u64::try_from(timeout.tv_sec), u64::try_from(timeout.tv_usec)) {
        (Ok(seconds), Ok(microseconds)) => {
            let total = seconds.saturating_mul(1_000_000).saturating_add(microseconds);
            Ok(Deadline::after(total.saturating_mul(1000)))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// `pselect6(count, readable, writable, exceptional, timeout, mask)`.
pub fn pselect6(
    caller: &mut Caller<'_>,
    count: i32,
    readable: UserAddr,
    writable: UserAddr,
    exceptional: UserAddr,
    timeout: UserAddr,
) -> Result<usize, Failure> {
    let mask = UserAddr::new(caller.argument(5));
    let deadline = deadline_argument(timeout)?;
    if !mask.is_null() {
        let PselectSigmask { sigmask, sigset_size } = UserPtr::new(mask).read()?;
        let size = usize::try_from(sigset_size).map_err(|_| Errno::EINVAL)?;
        crate::syscall::mask::set_temporarily(caller, UserAddr::new(sigmask), size)?;
    }
    let outcome = select_until(caller, count, [readable, writable, exceptional], deadline);
    write_time_left(timeout, deadline);
    outcome
}

/// One of the three sets, as far as the call looks at it.
struct DescriptorSet {
    claim: Option<UserSlice<u64>>,
    words: Vec<u64>,
}

impl DescriptorSet {
    fn read(address: UserAddr, words: usize) -> Result<DescriptorSet, Errno> {
        if address.is_null() {
            return Ok(DescriptorSet { claim: None, words: Vec::new() });
        }
        let claim = UserSlice::new(address, words);
        Ok(DescriptorSet { claim: Some(claim), words: claim.read_to_vec()? })
    }

    fn contains(&self, fd: usize) -> bool {
        self.words.get(fd / WORD_BITS).is_some_and(|word| word >> (fd % WORD_BITS) & 1 != 0)
    }

    fn insert(&mut self, fd: usize) {
        if let Some(word) = self.words.get_mut(fd / WORD_BITS) {
            *word |= 1 << (fd % WORD_BITS);
        }
    }
}

fn select_until(
    caller: &Caller<'_>,
    count: i32,
    addresses: [UserAddr; 3],
    deadline: Deadline,
) -> Result<usize, Failure> {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let count = count.min(caller.thread.with_files(|files| files.capacity()));
    let words = count.div_ceil(WORD_BITS);
    let [readable, writable, exceptional] = addresses;
    let mut sets = [
        DescriptorSet::read(readable, words)?,
        DescriptorSet::read(writable, words)?,
        DescriptorSet::read(exceptional, words)?,
    ];
    let mut interests = interests_of(&sets, count)?;
    wait(caller, &mut interests, deadline)?;
    if interests.iter().any(|interest| interest.ready.intersects(PollEvents::INVALID)) {
        return Err(Errno::EBADF.into());
    }
    let mut total = 0;
    for (set, events) in sets.iter_mut().zip(EVENTS) {
        total += answer(set, PollEvents(u32::from(events)), &interests)?;
    }
    Ok(total)
}

/// One interest for each descriptor that is in any set.
fn interests_of(sets: &[DescriptorSet; 3], count: usize) -> Result<Vec<Interest>, Failure> {
    let mut interests = Vec::new();
    for fd in 0..count {
        let mut events = 0;
        for (set, wanted) in sets.iter().zip(EVENTS) {
            if set.contains(fd) {
                events |= wanted;
            }
        }
        if events != 0 {
            interests.try_reserve(1)?;
            interests.push(Interest {
                fd: fd as i32,
                events: PollEvents(u32::from(events)),
                ready: PollEvents::NONE,
            });
        }
    }
    Ok(interests)
}

/// Replaces a set by those of its descriptors that are ready; returns how many.
fn answer(set: &mut DescriptorSet, events: PollEvents, interests: &[Interest]) -> Result<usize, Failure> {
    let Some(claim) = set.claim else { return Ok(0) };
    let length = set.words.len();
    let asked = DescriptorSet { claim: None, words: core::mem::take(&mut set.words) };
    set.words.resize(length, 0);
    let mut total = 0;
    for interest in interests {
        let fd = interest.fd as usize;
        if asked.contains(fd) && interest.ready.intersects(events) {
            set.insert(fd);
            total += 1;
        }
    }
    claim.write(&set.words)?;
    Ok(total)
}
