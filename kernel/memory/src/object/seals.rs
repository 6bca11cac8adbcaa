//! Seals of a file in memory: what will not be done with it any more. Source: fcntl(2), and `mm/memfd.c` and
//! `mm/shmem.c` of Linux 6.1.
//!
//! They change in turn (`writers`), as size and content do. That the content can be changed through no mapping either
//! is the part of the list of mappings, under its own lock.

use core::sync::atomic::{AtomicU32, Ordering};

use abi::Errno;
use abi::fs::{F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE};

use outcome::OrErrno;

use super::Object;

/// The seals of an object.
pub(super) struct Seals(AtomicU32);

/// No more writes.
const UNWRITABLE: u32 = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;

impl Seals {
    /// Nobody may add any.
    pub(super) const fn new() -> Seals {
        Seals(AtomicU32::new(F_SEAL_SEAL))
    }

    fn any(&self, seals: u32) -> bool {
        self.0.load(Ordering::Relaxed) & seals != 0
    }

    /// Whether a write has to be looked at.
    pub(super) fn concern_writes(&self) -> bool {
        self.any(UNWRITABLE | F_SEAL_GROW)
    }

    /// EPERM for a change of content.
    pub(super) fn check_content(&self) -> Result<(), Errno> {
        if self.any(UNWRITABLE) { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// EPERM for a change of size.
    pub(super) fn check_size(&self, before: u64, after: u64) -> Result<(), Errno> {
        let is_refused = after < before && self.any(F_SEAL_SHRINK) || after > before && self.any(F_SEAL_GROW);
        if is_refused { Err(Errno::EPERM) } else { Ok(()) }
    }
}

impl Object {
    /// `F_GET_SEALS`.
    pub fn seals(&self) -> u32 {
        self.seals.0.load(Ordering::Relaxed)
    }

    /// Seals may be added: `MFD_ALLOW_SEALING`, before anybody else knows of the object.
    pub fn allow_sealing(&self) {
        self.seals.0.store(0, Ordering::Relaxed);
    }

    /// `F_ADD_SEALS`. EPERM where no more may be added; EBUSY where it shall not be written, and is mapped so that it
    /// can be.
    pub fn add_seals(&self, seals: u32) -> Result<(), Errno> {
        let _writer = self.writers.take().or_errno()?;
        if self.seals.any(F_SEAL_SEAL) {
            return Err(Errno::EPERM);
        }
        if seals & F_SEAL_WRITE != 0 {
            self.mappings.lock().forbid_stores()?;
        }
        self.seals.0.fetch_or(seals, Ordering::Relaxed);
        Ok(())
    }

    /// Whether no new mapping may store.
    pub fn forbids_new_stores(&self) -> bool {
        self.seals.any(UNWRITABLE)
    }
}
