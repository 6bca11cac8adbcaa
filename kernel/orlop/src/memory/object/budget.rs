//! How many pages the objects of one file system may hold together.

use core::sync::atomic::{AtomicU64, Ordering};

use abi::Errno;

/// A limit on pages, shared by objects.
#[derive(Debug)]
pub struct PageBudget {
    limit: AtomicU64,
    used: AtomicU64,
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
        if limit < self.used() {
            return Err(Errno::EINVAL);
        }
        self.limit.store(limit, Ordering::Relaxed);
        Ok(())
    }

    /// Pages in use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn charge(&self) -> Result<(), Errno> {
        let limit = self.limit();
        let one_more = |used: u64| (used < limit).then_some(used + 1);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Ok(_) => Ok(()),
            Err(_) => Err(Errno::ENOSPC),
        }
    }

    pub(super) fn release(&self, pages: u64) {
        self.used.fetch_sub(pages, Ordering::Relaxed);
    }
}

/// One page charged, given back unless it is kept.
pub(super) struct Charge<'a>(Option<&'a PageBudget>);

impl<'a> Charge<'a> {
    /// `ENOSPC` if the budget is used up. Without a budget nothing is charged.
    pub(super) fn take(budget: Option<&'a PageBudget>) -> Result<Self, Errno> {
        if let Some(budget) = budget {
            budget.charge()?;
        }
        Ok(Self(budget))
    }

    /// The page is there to stay.
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        if let Some(budget) = self.0 {
            budget.release(1);
        }
    }
}
