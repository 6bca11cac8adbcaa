//! How many pages the objects of one file system may hold together, and how many all objects hold.

use core::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;
use hal::cpu::MAX_CPUS;
use hal::sync::PerCpu;

/// A limit on pages, shared by objects.
#[derive(Debug)]
pub struct PageBudget {
    limit: AtomicU64,
    used: AtomicU64,
}

/// Pages that all objects hold, as what each CPU has added and taken away: a sum over objects or file systems would
/// take as long as there are many, and one count would be written by all CPUs.
static IN_USE: PerCpu<AtomicU64> = PerCpu::new([const { AtomicU64::new(0) }; MAX_CPUS]);

/// Pages that all objects hold: those of stored files, linked or not, and of shared memory.
pub fn pages_in_use() -> u64 {
    let sum = IN_USE.iter().fold(0, |sum: u64, count| sum.wrapping_add(count.load(Ordering::Relaxed)));
    // A page that moves while the CPUs are looked at may be seen only where it went.
    sum.cast_signed().max(0).cast_unsigned()
}

fn count(pages: i64) {
    // No interrupt handler counts, so the CPU's own count needs no atomic step.
    IN_USE.with(|count| {
        count.store(count.load(Ordering::Relaxed).wrapping_add_signed(pages), Ordering::Relaxed);
    });
}

impl PageBudget {
    /// A budget of `limit` pages.
    pub const fn new(limit: u64) -> Self {
        Self { limit: AtomicU64::new(limit), used: AtomicU64::new(0) }
    }

    /// Pages in all.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Sets another limit. EINVAL below what is in use.
    pub fn set_limit(&self, limit: u64) -> Result<(), Errno> {
        // First the limit: who charges a page meanwhile is seen here, or sees it.
        let before = self.limit.swap(limit, Ordering::SeqCst);
        if self.used.load(Ordering::SeqCst) > limit {
            self.limit.store(before, Ordering::SeqCst);
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// Pages in use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn charge(&self) -> Result<(), Errno> {
        let limit = self.limit();
        let one_more = |used: u64| (used < limit).then_some(used + 1);
        let used = self.used.fetch_update(Ordering::SeqCst, Ordering::Relaxed, one_more);
        match used {
            Ok(used) if used < self.limit.load(Ordering::SeqCst) => Ok(()),
            Ok(_) => {
                self.release(1);
                Err(Errno::ENOSPC)
            }
            Err(_) => Err(Errno::ENOSPC),
        }
    }

    fn release(&self, pages: u64) {
        self.used.fetch_sub(pages, Ordering::Relaxed);
    }
}

/// Pages have left an object.
pub(super) fn release(budget: Option<&PageBudget>, pages: u64) {
    if let Some(budget) = budget {
        budget.release(pages);
    }
    count(-pages.cast_signed());
}

/// One page charged, given back unless it is kept.
pub(super) struct Charge<'a>(Option<&'a PageBudget>);

impl<'a> Charge<'a> {
    /// `ENOSPC` if the budget is used up. Without a budget the page is only counted.
    pub(super) fn take(budget: Option<&'a PageBudget>) -> Result<Self, Errno> {
        if let Some(budget) = budget {
            budget.charge()?;
        }
        Ok(Self(budget))
    }

    /// The page is there to stay.
    pub(super) fn keep(mut self) {
        self.0 = None;
        count(1);
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        if let Some(budget) = self.0 {
            budget.release(1);
        }
    }
}
