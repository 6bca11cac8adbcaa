//! Where workers meet without the kernel's help, and the marks for who observes.

use abi::Errno;
use abi::memory::{MAP_ANONYMOUS, MAP_FIXED, MAP_SHARED, PROT_READ, PROT_WRITE};
use core::hint::spin_loop;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize};
use libsyscall::memory::mmap;

/// The page of the marks, where nothing else lies; `xtask/src/sharing.rs` has the same number.
const MARKS: usize = 0x10_0000_0000;

/// What all workers share.
struct Shared {
    workers: AtomicUsize,
    /// How often workers have come to a meeting.
    arrivals: AtomicUsize,
    /// The error of the first worker that failed.
    failure: AtomicI32,
}

/// A store to the first word begins an observation, one to the second ends it.
struct Marks {
    begin: AtomicU64,
    end: AtomicU64,
}

/// Meetings of a fixed number of workers.
#[derive(Clone, Copy)]
pub struct Gate {
    shared: &'static Shared,
    marks: &'static Marks,
}

fn shared_page(address: usize, fixed: u32) -> Result<*mut u8, Errno> {
    let flags = MAP_SHARED | MAP_ANONYMOUS | fixed;
    let address = core::ptr::without_provenance_mut(address);
    // SAFETY: the kernel chooses a free range, or it is the page of the marks, which is made here alone.
    unsafe { mmap(address, 4096, PROT_READ | PROT_WRITE, flags, -1, 0) }
}

impl Gate {
    /// For so many workers.
    pub fn new(workers: usize) -> Result<Gate, Errno> {
        // SAFETY: fresh pages of zeros that are never unmapped, but for the marks: those are replaced by the next ones
        // while nobody is at the gate.
        let gate = unsafe {
            let shared = &*shared_page(0, 0)?.cast::<Shared>();
            Gate { shared, marks: &*shared_page(MARKS, MAP_FIXED)?.cast::<Marks>() }
        };
        gate.shared.workers.store(workers, Relaxed);
        Ok(gate)
    }

    /// How many workers there are.
    pub fn workers(self) -> usize {
        self.shared.workers.load(Relaxed)
    }

    /// Waits until all workers are here, or one has failed.
    pub fn meet(self) -> Result<(), Errno> {
        let workers = self.workers();
        let arrivals = self.shared.arrivals.fetch_add(1, AcqRel) + 1;
        let all = arrivals.next_multiple_of(workers);
        while self.shared.arrivals.load(Acquire) < all {
            if let Some(error) = self.failure() {
                return Err(error);
            }
            spin_loop();
        }
        Ok(())
    }

    /// All start together, once the first one has made its mark.
    pub fn start(self, is_first: bool) -> Result<(), Errno> {
        self.meet()?;
        if is_first {
            self.marks.begin.store(1, Release);
        }
        self.meet()
    }

    /// The first one makes its mark when all are done.
    pub fn end(self, is_first: bool) -> Result<(), Errno> {
        self.meet()?;
        if is_first {
            self.marks.end.store(1, Release);
        }
        self.meet()
    }

    /// A worker cannot go on: nobody shall wait for it.
    pub fn fail(self, error: Errno) {
        let _ = self.shared.failure.compare_exchange(0, error.number().into(), Release, Relaxed);
    }

    /// Why a worker could not go on.
    pub fn failure(self) -> Option<Errno> {
        Errno::from_return(-i64::from(self.shared.failure.load(Acquire))).err()
    }
}
