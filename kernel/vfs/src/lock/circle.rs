//! Who waits for whose record locks, on any file: where a circle would close, the last one is refused.
//!
//! A process stands here from before it sleeps until whoever wakes it takes it out, both under the lock of the file's
//! table; so nobody is listed behind a lock that is gone. Only processes are: an open file may be used by many, and
//! Linux does not ask for these either.

use alloc::collections::BTreeMap;

use abi::Errno;
use hal::sync::SpinLock;

use super::Holder;

/// By the address of who waits and the number of the wait (its threads may wait for several): who stands in the way.
static WAITS: SpinLock<BTreeMap<(usize, u64), usize>> = SpinLock::new(BTreeMap::new());

/// Steps that a search takes at most. Longer circles, which take as many processes, are not found; Linux gives up after
/// ten.
const STEPS: usize = 256;

/// Enters a wait. EDEADLK if `owner`, by what it waits for itself, waits for the one that is to wait.
pub fn enter(number: u64, waiter: Holder, owner: Holder) -> Result<(), Errno> {
    if !waiter.is_process() {
        return Ok(());
    }
    let mut waits = WAITS.lock();
    let mut next = owner.is_process().then_some(owner.address);
    for _ in 0..STEPS {
        let Some(address) = next else { break };
        if address == waiter.address {
            return Err(Errno::EDEADLK);
        }
        next = waits.range((address, 0)..=(address, u64::MAX)).next().map(|(_, &owner)| owner);
    }
    waits.insert((waiter.address, number), owner.address);
    Ok(())
}

/// The wait is over.
pub fn leave(number: u64, waiter: Holder) {
    if waiter.is_process() {
        WAITS.lock().remove(&(waiter.address, number));
    }
}

#[cfg(test)]
mod tests {
    use subject::Pid;

    use super::*;

    #[test]
    fn the_last_of_a_circle_is_refused() {
        let process = |address| Holder { address, process: Some(Pid::INIT), file: 0 };
        for number in 1..20 {
            assert_eq!(enter(number as u64, process(number), process(number + 1)), Ok(()));
        }
        assert_eq!(enter(20, process(20), process(1)), Err(Errno::EDEADLK));
        assert_eq!(enter(20, Holder { address: 20, process: None, file: 0 }, process(1)), Ok(()));
        leave(7, process(7));
        assert_eq!(enter(20, process(20), process(1)), Ok(()));
        for number in 1..=20 {
            leave(number as u64, process(number));
        }
    }
}
