//! `PR_GET_SPECULATION_CTRL` and `PR_SET_SPECULATION_CTRL`: what a thread gives up of speculation (Linux:
//! `arch/*/…/bugs.c`, `proton-pack.c`; Documentation/userspace-api/spec_ctrl.rst).
//!
//! Each thread has a word of its own, which its children inherit; `execve` takes back what was asked for without that.

use core::sync::atomic::{AtomicU8, Ordering};

use abi::Errno;
use abi::process::{
    PR_SPEC_DISABLE, PR_SPEC_DISABLE_NOEXEC, PR_SPEC_ENABLE, PR_SPEC_FORCE_DISABLE, PR_SPEC_INDIRECT_BRANCH,
    PR_SPEC_L1D_FLUSH, PR_SPEC_NOT_AFFECTED, PR_SPEC_PRCTL, PR_SPEC_STORE_BYPASS,
};
use hal::speculation;
use libkernel::arch::native::{HAS_BRANCH_CONTROL, UserRegs};
use libkernel::speculation::{Limits, Means};

use super::Thread;

/// What a thread has asked for, by weakness: one of `PR_SPEC_ENABLE` (0 too), `_DISABLE`, `_FORCE_DISABLE`,
/// `_DISABLE_NOEXEC`.
#[derive(Default)]
pub struct Wishes {
    store_bypass: AtomicU8,
    indirect_branches: AtomicU8,
}

impl Wishes {
    /// Those of a child of this thread.
    pub fn inherited(&self) -> Self {
        let copy = |wish: &AtomicU8| AtomicU8::new(wish.load(Ordering::Relaxed));
        Self { store_bypass: copy(&self.store_bypass), indirect_branches: copy(&self.indirect_branches) }
    }

    /// The thread, whose registers these are, begins a new program.
    pub fn execute(&self, regs: &mut UserRegs) {
        if u64::from(self.store_bypass.load(Ordering::Relaxed)) == PR_SPEC_DISABLE_NOEXEC {
            self.store_bypass.store(PR_SPEC_ENABLE as u8, Ordering::Relaxed);
        }
        self.apply(regs);
    }

    fn apply(&self, regs: &mut UserRegs) {
        let is_limited = |wish: &AtomicU8| u64::from(wish.load(Ordering::Relaxed)) > PR_SPEC_ENABLE;
        let limits = Limits {
            store_bypass: is_limited(&self.store_bypass),
            indirect_branches: is_limited(&self.indirect_branches),
        };
        speculation::limit(regs, limits);
    }
}

/// `PR_GET_SPECULATION_CTRL`.
pub fn get(thread: &Thread, which: u64) -> Result<u64, Errno> {
    let wishes = &thread.speculation;
    let (wish, means) = match which {
        PR_SPEC_STORE_BYPASS => (&wishes.store_bypass, speculation::store_bypass()),
        PR_SPEC_INDIRECT_BRANCH => {
            (&wishes.indirect_branches, speculation::indirect_branches().ok_or(Errno::ENODEV)?)
        }
        // Nobody may have it flushed.
        PR_SPEC_L1D_FLUSH if HAS_BRANCH_CONTROL => return Ok(PR_SPEC_FORCE_DISABLE),
        _ => return Err(Errno::ENODEV),
    };
    let wish = u64::from(wish.load(Ordering::Relaxed)).max(PR_SPEC_ENABLE);
    Ok(match means {
        Means::NotAffected => PR_SPEC_NOT_AFFECTED,
        Means::None | Means::Refused => PR_SPEC_ENABLE,
        Means::Limits => PR_SPEC_PRCTL | wish,
    })
}

/// `PR_SET_SPECULATION_CTRL`.
pub fn set(thread: &Thread, regs: &mut UserRegs, which: u64, control: u64) -> Result<u64, Errno> {
    match which {
        PR_SPEC_STORE_BYPASS => set_store_bypass(&thread.speculation.store_bypass, control)?,
        PR_SPEC_INDIRECT_BRANCH => set_indirect_branches(&thread.speculation.indirect_branches, control)?,
        PR_SPEC_L1D_FLUSH if HAS_BRANCH_CONTROL => return Err(Errno::EPERM),
        _ => return Err(Errno::ENODEV),
    }
    thread.speculation.apply(regs);
    Ok(0)
}

/// x86_64 refuses whatever would change nothing, AArch64 takes it.
fn set_store_bypass(wish: &AtomicU8, control: u64) -> Result<(), Errno> {
    let means = speculation::store_bypass();
    if HAS_BRANCH_CONTROL && means != Means::Limits {
        return Err(Errno::ENXIO);
    }
    let is_known =
        matches!(control, PR_SPEC_ENABLE | PR_SPEC_DISABLE | PR_SPEC_FORCE_DISABLE | PR_SPEC_DISABLE_NOEXEC);
    if !is_known {
        return Err(Errno::ERANGE);
    }
    if means == Means::Refused && control != PR_SPEC_ENABLE {
        return Err(Errno::EPERM);
    }
    change(wish, control)
}

fn set_indirect_branches(wish: &AtomicU8, control: u64) -> Result<(), Errno> {
    let means = speculation::indirect_branches().ok_or(Errno::ENODEV)?;
    match control {
        PR_SPEC_ENABLE if means != Means::Limits => Ok(()),
        PR_SPEC_DISABLE | PR_SPEC_FORCE_DISABLE if means != Means::Limits => Err(Errno::EPERM),
        PR_SPEC_ENABLE | PR_SPEC_DISABLE | PR_SPEC_FORCE_DISABLE => change(wish, control),
        _ => Err(Errno::ERANGE),
    }
}

/// What was forced stays, and only being forced or disabled again is no error.
fn change(wish: &AtomicU8, control: u64) -> Result<(), Errno> {
    let is_forced = u64::from(wish.load(Ordering::Relaxed)) == PR_SPEC_FORCE_DISABLE;
    match control {
        PR_SPEC_ENABLE | PR_SPEC_DISABLE_NOEXEC if is_forced => return Err(Errno::EPERM),
        PR_SPEC_DISABLE if is_forced => {}
        _ => wish.store(control as u8, Ordering::Relaxed),
    }
    Ok(())
}
