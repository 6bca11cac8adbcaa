//! `select` and `pselect6`: sets of descriptors as bit strings.

use alloc::vec::Vec;

use abi::Errno;
use abi::poll::{
    POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDBAND, POLLRDNORM, POLLWRBAND, POLLWRNORM,
    Pollfd, PselectSigmask,
};
use abi::time::Timeval;
use libkernel::addr::UserAddr;
use memory::user::{UserPtr, UserSlice};
use outcome::Failure;
use sched::wait::Deadline;

use super::{deadline_argument, wait, write_time_left};
use crate::syscall::Caller;
use crate::syscall::mask::with_temporary;

/// Which events put a descriptor into each of the three sets, in the order readable, writable, exceptional: select(2).
/// One that is not open for its content, or was closed meanwhile, is in all (Linux 6.1, `fs/select.c`, `POLLIN_SET` and
/// its kin).
const EVENTS: [u16; 3] = [
    POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR | POLLNVAL,
    POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR | POLLNVAL,
    POLLPRI | POLLNVAL,
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
    let PselectSigmask { sigmask, sigset_size } =
        if mask.is_null() { PselectSigmask::default() } else { UserPtr::new(mask).read()? };
    let size = usize::try_from(sigset_size).map_err(|_| Errno::EINVAL)?;
    let outcome = with_temporary(caller, UserAddr::new(sigmask), size, |caller| {
        select_until(caller, count, [readable, writable, exceptional], deadline)
    });
    write_time_left(timeout, deadline);
    outcome
}

/// One of the three sets, as far as the call looks at it; without words if it is not given.
struct DescriptorSet {
    claim: UserSlice<u64>,
    words: Vec<u64>,
}

impl DescriptorSet {
    /// The bits below `count`.
    fn read(address: UserAddr, count: usize) -> Result<DescriptorSet, Errno> {
        let length = if address.is_null() { 0 } else { count.div_ceil(WORD_BITS) };
        let claim = UserSlice::new(address, length);
        let mut words = claim.read_to_vec()?;
        if let Some(last) = words.last_mut()
            && !count.is_multiple_of(WORD_BITS)
        {
            *last &= (1 << (count % WORD_BITS)) - 1;
        }
        Ok(DescriptorSet { claim, words })
    }

    fn word(&self, index: usize) -> u64 {
        self.words.get(index).copied().unwrap_or(0)
    }

    fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Takes all of its descriptors out; how many are left.
    fn clear(&mut self) -> usize {
        self.words.fill(0);
        0
    }

    /// Takes out those of its descriptors that are not ready for any of these events; returns how many are left.
    fn retain_ready(&mut self, events: u16, entries: &[Pollfd]) -> usize {
        if self.words.is_empty() {
            return 0;
        }
        for entry in entries.iter().filter(|entry| entry.revents & events == 0) {
            let fd = entry.fd as usize;
            if let Some(word) = self.words.get_mut(fd / WORD_BITS) {
                *word &= !(1 << (fd % WORD_BITS));
            }
        }
        self.len()
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
    let [readable, writable, exceptional] = addresses;
    let mut sets = [
        DescriptorSet::read(readable, count)?,
        DescriptorSet::read(writable, count)?,
        DescriptorSet::read(exceptional, count)?,
    ];
    let words = (0..count.div_ceil(WORD_BITS)).map(|index| sets.each_ref().map(|set| set.word(index)));
    if !caller.thread.with_files(|files| files.are_taken(words.clone().map(any))) {
        return Err(Errno::EBADF.into());
    }
    let mut entries = entries_of(words)?;
    let ready = wait(caller, &mut entries, deadline)?;
    let mut total = 0;
    for (set, events) in sets.iter_mut().zip(EVENTS) {
        total += if ready == 0 { set.clear() } else { set.retain_ready(events, &entries) };
    }
    for set in &sets {
        set.claim.write(&set.words)?;
    }
    Ok(total)
}

/// What is in any of the sets.
fn any(words: [u64; 3]) -> u64 {
    words[0] | words[1] | words[2]
}

/// The events that a descriptor is asked for, by the sets that it is in: the first is bit 0.
const ASKED: [u16; 8] = {
    let mut asked = [0; 8];
    let mut sets = 0;
    while sets < asked.len() {
        let mut set = 0;
        while set < EVENTS.len() {
            if sets >> set & 1 != 0 {
                asked[sets] |= EVENTS[set];
            }
            set += 1;
        }
        sets += 1;
    }
    asked
};

/// One entry for each descriptor that is in any set, in their order.
fn entries_of(words: impl Iterator<Item = [u64; 3]> + Clone) -> Result<Vec<Pollfd>, Failure> {
    let length = words.clone().map(|words| any(words).count_ones() as usize).sum();
    let mut entries = Vec::new();
    entries.try_reserve_exact(length)?;
    for (index, words) in words.enumerate() {
        let (first, mut left) = ((index * WORD_BITS) as i32, any(words));
        while left != 0 {
            let bit = left.trailing_zeros();
            left &= left - 1;
            let [readable, writable, exceptional] = words.map(|word| (word >> bit & 1) as usize);
            let events = ASKED[(readable | writable << 1 | exceptional << 2) % ASKED.len()];
            entries.push(Pollfd { fd: first + bit as i32, events, revents: 0 });
        }
    }
    Ok(entries)
}
