//! Affinity: which CPUs a thread may run on, and which one it runs on.

use alloc::sync::Arc;

use abi::Errno;
use memory::user::{UserPtr, UserSlice};
use sched::settings;
use subject::capability;

use super::sched::thread_or_self;
use super::{Caller, Failure};
use crate::process::Thread;

/// The thread that is meant. Linux finds none under a negative number.
fn meant(caller: &Caller<'_>, pid: i32) -> Result<Arc<Thread>, Errno> {
    if pid < 0 { Err(Errno::ESRCH) } else { thread_or_self(caller, pid) }
}

/// `sched_getaffinity`: the bytes that were written.
pub fn sched_getaffinity(
    caller: &mut Caller<'_>,
    pid: i32,
    size: u32,
    mask: UserPtr<u64>,
) -> Result<usize, Failure> {
    // Linux counts the bits in 32 bits.
    let has_room = size.wrapping_mul(u8::BITS) as usize >= hal::cpu::count();
    if !has_room || !size.is_multiple_of(u64::BITS / u8::BITS) {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let thread = meant(caller, pid)?;
    mask.write(&(thread.affinity() & settings::online()))?;
    Ok(size_of::<u64>())
}

/// `sched_setaffinity`: CPUs that do not run are left out of the mask; EINVAL if no other is in it.
pub fn sched_setaffinity(
    caller: &mut Caller<'_>,
    pid: i32,
    size: u32,
    mask: UserPtr<u8>,
) -> Result<(), Failure> {
    let mut bytes = [0; size_of::<u64>()];
    let known = bytes.len().min(size as usize);
    UserSlice::new(mask.address(), known).read_into(&mut bytes[..known])?;
    let thread = meant(caller, pid)?;
    let own = caller.thread.credentials();
    let other = thread.credentials();
    if own.user.effective != other.user.effective && own.user.effective != other.user.real {
        own.require(capability::SYS_NICE)?;
    }
    let allowed = u64::from_le_bytes(bytes) & settings::online();
    if allowed == 0 {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    thread.set_affinity(allowed);
    Ok(())
}

/// `getcpu`. There is one node. What can be written is, whatever the other address is.
pub fn getcpu(_caller: &mut Caller<'_>, cpu: UserPtr<u32>, node: UserPtr<u32>) -> Result<(), Failure> {
    let number = u32::try_from(hal::cpu::id()).unwrap_or(0);
    let first = cpu.optional().map_or(Ok(()), |cpu| cpu.write(&number));
    let second = node.optional().map_or(Ok(()), |node| node.write(&0));
    Ok(first.and(second)?)
}
