//! `prctl` and `arch_prctl`.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use abi::Errno;
use abi::process::{
    PR_CAPBSET_DROP, PR_CAPBSET_READ, PR_GET_CHILD_SUBREAPER, PR_GET_DUMPABLE, PR_GET_KEEPCAPS, PR_GET_NAME,
    PR_GET_NO_NEW_PRIVS, PR_GET_PDEATHSIG, PR_GET_TAGGED_ADDR_CTRL, PR_GET_TID_ADDRESS,
    PR_SET_CHILD_SUBREAPER, PR_SET_KEEPCAPS, PR_SET_NAME, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG,
    PR_SET_TAGGED_ADDR_CTRL, PR_TAGGED_ADDR_ENABLE,
};
use hal::task;
use libkernel::addr::UserAddr;
use libkernel::arch::native::HAS_ADDRESS_TAGS;

use super::{Caller, Failure};
use crate::process::{Credentials, NAME_SIZE, capability};
use crate::signal::Signal;
use crate::user::{UserPtr, UserSlice};

/// `prctl`; EINVAL for what is not done.
pub fn prctl(
    caller: &mut Caller<'_>,
    option: u32,
    second: u64,
    third: u64,
    fourth: u64,
    fifth: u64,
) -> Result<u64, Failure> {
    let rest_is_zero = third == 0 && fourth == 0 && fifth == 0;
    let thread = caller.thread;
    let process = thread.process();
    match option {
        PR_SET_NAME => set_name(caller, second).map(|()| 0),
        PR_GET_NAME => get_name(caller, second).map(|()| 0),
        PR_SET_PDEATHSIG => {
            thread.set_parent_death_signal(optional_signal(second)?);
            Ok(0)
        }
        PR_GET_PDEATHSIG => {
            let number = thread.parent_death_signal().map_or(0, Signal::number);
            UserPtr::new(UserAddr::new(second)).write(&number)?;
            Ok(0)
        }
        PR_GET_DUMPABLE => Ok(1),
        PR_GET_KEEPCAPS => {
            Ok(u64::from(thread.with_credentials(|credentials| credentials.keep_capabilities)))
        }
        PR_SET_KEEPCAPS if second <= 1 => {
            change(caller, |credentials| credentials.keep_capabilities = second == 1);
            Ok(0)
        }
        PR_CAPBSET_READ => {
            let bit = capability_bit(second)?;
            Ok(u64::from(thread.with_credentials(|credentials| credentials.capabilities.bounding & bit != 0)))
        }
        PR_CAPBSET_DROP => Ok(drop_from_bounding_set(caller, capability_bit(second)?).map(|()| 0)?),
        PR_SET_CHILD_SUBREAPER => {
            process.set_adopts(second != 0);
            Ok(0)
        }
        PR_GET_CHILD_SUBREAPER => {
            UserPtr::new(UserAddr::new(second)).write(&i32::from(process.adopts()))?;
            Ok(0)
        }
        PR_SET_NO_NEW_PRIVS if second == 1 && rest_is_zero => {
            thread.renounce_privileges();
            Ok(0)
        }
        PR_GET_NO_NEW_PRIVS if second == 0 && rest_is_zero => Ok(u64::from(thread.no_new_privileges())),
        PR_GET_TID_ADDRESS => {
            UserPtr::new(UserAddr::new(second)).write(&thread.clear_child_id().as_u64())?;
            Ok(0)
        }
        PR_SET_TAGGED_ADDR_CTRL if rest_is_zero => set_tagged_addresses(second).map(|()| 0),
        PR_GET_TAGGED_ADDR_CTRL if second == 0 && rest_is_zero => tagged_addresses(),
        _ => Err(Failure::Errno(Errno::EINVAL)),
    }
}

/// Whether calls of this thread accept pointers with tags.
fn set_tagged_addresses(bits: u64) -> Result<(), Failure> {
    if !HAS_ADDRESS_TAGS || bits & !PR_TAGGED_ADDR_ENABLE != 0 {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    task::current().tagged_addresses.store(bits & PR_TAGGED_ADDR_ENABLE != 0, Ordering::Relaxed);
    Ok(())
}

fn tagged_addresses() -> Result<u64, Failure> {
    if !HAS_ADDRESS_TAGS {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let enabled = task::current().tagged_addresses.load(Ordering::Relaxed);
    Ok(if enabled { PR_TAGGED_ADDR_ENABLE } else { 0 })
}

/// Zero for none.
fn optional_signal(number: u64) -> Result<Option<Signal>, Errno> {
    if number == 0 {
        return Ok(None);
    }
    u32::try_from(number).ok().and_then(Signal::new).map(Some).ok_or(Errno::EINVAL)
}

fn drop_from_bounding_set(caller: &Caller<'_>, bit: u64) -> Result<(), Errno> {
    caller.thread.with_credentials(|credentials| credentials.require(capability::SETPCAP))?;
    change(caller, |credentials| credentials.capabilities.bounding &= !bit);
    Ok(())
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

fn capability_bit(number: u64) -> Result<u64, Errno> {
    if number <= u64::from(capability::LAST) { Ok(1 << number) } else { Err(Errno::EINVAL) }
}

fn change(caller: &Caller<'_>, change: impl FnOnce(&mut Credentials)) {
    let mut credentials = Credentials::clone(&caller.thread.credentials());
    change(&mut credentials);
    caller.thread.set_credentials(Arc::new(credentials));
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
