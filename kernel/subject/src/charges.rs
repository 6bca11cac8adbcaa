//! Whom memory and tasks are charged to: one place for each, empty until groups of processes are limited (cgroups).
//!
//! Whatever takes a frame for a program calls [`charge_page`] with whom it is for, before it takes the frame; whatever
//! starts a thread keeps a [`TaskCharge`] with it. A limit on tasks is so a change of this file, and of who holds which
//! [`Payer`]. For one on memory a charge has to be given back as well: when the frame goes, and where a fault charged a
//! page that was there already, or has to begin anew.

use abi::Errno;
use hal::frame::OutOfMemory;

/// Who pays: the processes that are limited together. There is one group so far, of all and without limits, which takes
/// no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payer(());

impl Payer {
    /// All processes together.
    pub const EVERYBODY: Self = Self(());
}

/// A frame is about to be taken for a program. [`OutOfMemory`] where those who pay for it have no more.
#[inline(always)]
pub const fn charge_page(_payer: Payer) -> Result<(), OutOfMemory> {
    Ok(())
}

/// One thread that somebody pays for; no more when it is dropped.
#[derive(Debug)]
pub struct TaskCharge(());

impl TaskCharge {
    /// A thread is about to start. EAGAIN where those who pay for it have as many as they may.
    #[inline(always)]
    pub const fn take(_payer: Payer) -> Result<Self, Errno> {
        Ok(Self(()))
    }
}
