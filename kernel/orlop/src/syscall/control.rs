//! `prctl` and `arch_prctl`.

use core::sync::atomic::Ordering;

use abi::Errno;
use abi::process::{
    PR_GET_CHILD_SUBREAPER, PR_GET_DUMPABLE, PR_GET_NAME, PR_GET_PDEATHSIG, PR_GET_SECCOMP,
    PR_GET_SPECULATION_CTRL, PR_GET_TAGGED_ADDR_CTRL, PR_GET_THP_DISABLE, PR_GET_TID_ADDRESS,
    PR_GET_TIMERSLACK, PR_GET_TIMING, PR_GET_TSC, PR_SET_CHILD_SUBREAPER, PR_SET_DUMPABLE, PR_SET_MM,
    PR_SET_NAME, PR_SET_PDEATHSIG, PR_SET_SPECULATION_CTRL, PR_SET_TAGGED_ADDR_CTRL, PR_SET_THP_DISABLE,
    PR_SET_TIMERSLACK, PR_SET_TIMING, PR_SET_TSC, PR_TAGGED_ADDR_ENABLE, PR_TSC_ENABLE,
};
use hal::task;
use libkernel::addr::UserAddr;
use libkernel::arch::native::HAS_ADDRESS_TAGS;
use memory::user::{UserPtr, UserSlice};
use memory::{Dumpable, flags};

use super::{Caller, Failure, privilege};
use crate::process::{NAME_SIZE, speculation};
use crate::signal::Signal;

/// `prctl`; EINVAL for what is not done.
pub fn prctl(
    caller: &mut Caller<'_>,
    option: u32,
    second: u64,
    third: u64,
    fourth: u64,
    fifth: u64,
) -> Result<u64, Failure> {
    let rest = [third, fourth, fifth];
    if let Some(result) = privilege::prctl(caller, option, second, rest) {
        return result.map_err(Failure::Errno);
    }
    let rest_is_zero = rest == [0; 3];
    let thread = caller.thread;
    let process = thread.process();
    let done = |()| 0;
    match option {
        PR_SET_NAME => set_name(caller, second).map(done),
        PR_GET_NAME => get_name(caller, second).map(done),
        PR_SET_PDEATHSIG => {
            thread.set_parent_death_signal(optional_signal(second)?);
            Ok(0)
        }
        PR_GET_PDEATHSIG => {
            let number = thread.parent_death_signal().map_or(0, Signal::number);
            Ok(UserPtr::new(UserAddr::new(second)).write(&number).map(done)?)
        }
        PR_SET_CHILD_SUBREAPER => {
            process.set_adopts(second != 0);
            Ok(0)
        }
        PR_GET_CHILD_SUBREAPER => {
            Ok(UserPtr::new(UserAddr::new(second)).write(&i32::from(process.adopts())).map(done)?)
        }
        PR_SET_TIMERSLACK => {
            thread.set_timer_slack_ns(second);
            Ok(0)
        }
        PR_GET_TIMERSLACK => Ok(thread.timer_slack_ns()),
        PR_GET_TIMING => Ok(0),
        // Statistical: by the tick.
        PR_SET_TIMING if second == 0 => Ok(0),
        PR_GET_TSC if abi::native::HAS_TSC => {
            Ok(UserPtr::new(UserAddr::new(second)).write(&PR_TSC_ENABLE).map(done)?)
        }
        PR_SET_TSC if abi::native::HAS_TSC && second == u64::from(PR_TSC_ENABLE) => Ok(0),
        // No filter and no strict mode: SECCOMP_MODE_DISABLED.
        PR_GET_SECCOMP => Ok(0),
        PR_GET_TID_ADDRESS => {
            let address = thread.clear_child_id().as_u64();
            Ok(UserPtr::new(UserAddr::new(second)).write(&address).map(done)?)
        }
        PR_SET_TAGGED_ADDR_CTRL if rest_is_zero => set_tagged_addresses(second).map(done),
        PR_GET_TAGGED_ADDR_CTRL if second == 0 && rest_is_zero => tagged_addresses(),
        PR_GET_DUMPABLE | PR_SET_DUMPABLE | PR_GET_THP_DISABLE | PR_SET_THP_DISABLE | PR_SET_MM => {
            Ok(of_memory(caller, option, second, rest)?)
        }
        _ => Ok(of_speculation(caller, option, second, rest)?),
    }
}

/// What concerns guessing.
fn of_speculation(caller: &mut Caller<'_>, option: u32, second: u64, rest: [u64; 3]) -> Result<u64, Errno> {
    match (option, rest) {
        (PR_GET_SPECULATION_CTRL, [0, 0, 0]) => speculation::get(caller.thread, second),
        (PR_SET_SPECULATION_CTRL, [control, 0, 0]) => {
            speculation::set(caller.thread, &mut caller.context.regs, second, control)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// What concerns the memory of the process.
fn of_memory(caller: &Caller<'_>, option: u32, second: u64, rest: [u64; 3]) -> Result<u64, Errno> {
    let space = caller.thread.process().address_space().ok_or(Errno::ESRCH)?;
    let is_set = |flag: u32| Ok(u64::from(space.flags() & flag != 0));
    match option {
        PR_GET_DUMPABLE => Ok(space.dumpable() as u64),
        PR_SET_DUMPABLE if second <= 1 => {
            space.set_dumpable(if second == 1 { Dumpable::ByUser } else { Dumpable::No });
            Ok(0)
        }
        PR_GET_THP_DISABLE if second == 0 && rest == [0; 3] => is_set(flags::NO_HUGE_PAGES),
        PR_SET_THP_DISABLE if rest == [0; 3] => {
            space.set_flags(flags::NO_HUGE_PAGES, second != 0);
            Ok(0)
        }
        PR_SET_MM => super::set_mm::set_mm(caller, &space, second, rest).map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}

/// Whether calls of this thread accept pointers with tags.
fn set_tagged_addresses(bits: u64) -> Result<(), Failure> {
    if !HAS_ADDRESS_TAGS || bits & !PR_TAGGED_ADDR_ENABLE != 0 {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    task::with_current(|task| {
        task.tagged_addresses.store(bits & PR_TAGGED_ADDR_ENABLE != 0, Ordering::Relaxed)
    });
    Ok(())
}

fn tagged_addresses() -> Result<u64, Failure> {
    if !HAS_ADDRESS_TAGS {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let enabled = task::with_current(|task| task.tagged_addresses.load(Ordering::Relaxed));
    Ok(if enabled { PR_TAGGED_ADDR_ENABLE } else { 0 })
}

/// Zero for none.
fn optional_signal(number: u64) -> Result<Option<Signal>, Errno> {
    if number == 0 {
        return Ok(None);
    }
    u32::try_from(number).ok().and_then(Signal::new).map(Some).ok_or(Errno::EINVAL)
}

fn get_name(caller: &Caller<'_>, address: u64) -> Result<(), Failure> {
    Ok(UserSlice::new(UserAddr::new(address), NAME_SIZE).write(&caller.thread.name())?)
}

fn set_name(caller: &Caller<'_>, address: u64) -> Result<(), Failure> {
    let mut name = [0; NAME_SIZE];
    for (index, byte) in name.iter_mut().enumerate().take(NAME_SIZE - 1) {
        let address = address.checked_add(index as u64).ok_or(Errno::EFAULT)?;
        *byte = UserPtr::<u8>::new(UserAddr::new(address)).read()?;
        if *byte == 0 {
            break;
        }
    }
    caller.thread.set_name(&name);
    Ok(())
}

/// `arch_prctl`: the bases of FS and GS; EINVAL for the rest.
pub fn arch_prctl(_caller: &mut Caller<'_>, code: u32, address: u64) -> Result<(), Failure> {
    use abi::arch::x86_64::process::{ARCH_GET_FS, ARCH_GET_GS, ARCH_SET_FS, ARCH_SET_GS};
    match code {
        ARCH_SET_FS if task::set_tls(address) => Ok(()),
        ARCH_SET_GS if task::set_gs_base(address) => Ok(()),
        ARCH_SET_FS | ARCH_SET_GS => Err(Failure::Errno(Errno::EPERM)),
        ARCH_GET_FS => Ok(UserPtr::new(UserAddr::new(address)).write(&task::tls())?),
        ARCH_GET_GS => {
            let base = task::gs_base().ok_or(Errno::EINVAL)?;
            Ok(UserPtr::new(UserAddr::new(address)).write(&base)?)
        }
        _ => Err(Failure::Errno(Errno::EINVAL)),
    }
}
