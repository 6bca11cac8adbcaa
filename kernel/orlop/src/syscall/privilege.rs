//! `prctl` as far as it changes what a thread may do: capabilities, securebits, no_new_privs.
//!
//! Source: Linux 6.1, `security/commoncap.c`, `cap_task_prctl`; capabilities(7).

use alloc::sync::Arc;

use abi::Errno;
use abi::process::{
    PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, PR_CAP_AMBIENT_IS_SET, PR_CAP_AMBIENT_LOWER,
    PR_CAP_AMBIENT_RAISE, PR_CAPBSET_DROP, PR_CAPBSET_READ, PR_GET_KEEPCAPS, PR_GET_NO_NEW_PRIVS,
    PR_GET_SECUREBITS, PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS, PR_SET_SECUREBITS, SECBIT_KEEP_CAPS,
    SECBIT_KEEP_CAPS_LOCKED, SECBIT_NO_CAP_AMBIENT_RAISE, SECURE_ALL_BITS, SECURE_ALL_LOCKS,
};
use subject::{Credentials, capability};

use super::Caller;

/// The options of `prctl` that are about privileges; `None` for the others.
pub fn prctl(caller: &Caller<'_>, option: u32, second: u64, rest: [u64; 3]) -> Option<Result<u64, Errno>> {
    let thread = caller.thread;
    let own = thread.credentials();
    Some(match option {
        PR_CAPBSET_READ => capability_bit(second).map(|bit| u64::from(own.capabilities.bounding & bit != 0)),
        PR_CAPBSET_DROP => drop_from_bounding_set(caller, second),
        PR_GET_SECUREBITS => Ok(u64::from(own.securebits)),
        PR_SET_SECUREBITS => set_securebits(caller, second),
        PR_GET_KEEPCAPS => Ok(u64::from(own.has_securebit(SECBIT_KEEP_CAPS))),
        PR_SET_KEEPCAPS => keep_capabilities(caller, second),
        PR_CAP_AMBIENT => ambient(caller, second, rest),
        PR_SET_NO_NEW_PRIVS if second == 1 && rest == [0; 3] => {
            thread.renounce_privileges();
            Ok(0)
        }
        PR_GET_NO_NEW_PRIVS if second == 0 && rest == [0; 3] => Ok(u64::from(thread.no_new_privileges())),
        PR_SET_NO_NEW_PRIVS | PR_GET_NO_NEW_PRIVS => Err(Errno::EINVAL),
        _ => return None,
    })
}

fn capability_bit(number: u64) -> Result<u64, Errno> {
    if number <= u64::from(capability::LAST) { Ok(1 << number) } else { Err(Errno::EINVAL) }
}

/// Gives the thread changed credentials.
fn change(caller: &Caller<'_>, change: impl FnOnce(&mut Credentials)) -> Result<u64, Errno> {
    let mut credentials = Credentials::clone(&caller.thread.credentials());
    change(&mut credentials);
    caller.thread.set_credentials(Arc::new(credentials));
    Ok(0)
}

fn drop_from_bounding_set(caller: &Caller<'_>, number: u64) -> Result<u64, Errno> {
    caller.thread.credentials().require(capability::SETPCAP)?;
    let bit = capability_bit(number)?;
    change(caller, |credentials| credentials.capabilities.bounding &= !bit)
}

/// EPERM for what is locked, for a lock that is to be opened, for unknown bits, and without `CAP_SETPCAP`.
fn set_securebits(caller: &Caller<'_>, bits: u64) -> Result<u64, Errno> {
    let own = caller.thread.credentials();
    let new = u32::try_from(bits).map_err(|_| Errno::EPERM)?;
    let locked = (own.securebits & SECURE_ALL_LOCKS) >> 1;
    let opens = own.securebits & SECURE_ALL_LOCKS & !new != 0;
    if locked & (own.securebits ^ new) != 0 || opens || new & !(SECURE_ALL_LOCKS | SECURE_ALL_BITS) != 0 {
        return Err(Errno::EPERM);
    }
    own.require(capability::SETPCAP)?;
    change(caller, |credentials| credentials.securebits = new)
}

fn keep_capabilities(caller: &Caller<'_>, value: u64) -> Result<u64, Errno> {
    if value > 1 {
        return Err(Errno::EINVAL);
    }
    if caller.thread.credentials().has_securebit(SECBIT_KEEP_CAPS_LOCKED) {
        return Err(Errno::EPERM);
    }
    change(caller, |credentials| {
        let others = credentials.securebits & !SECBIT_KEEP_CAPS;
        credentials.securebits = if value == 1 { others | SECBIT_KEEP_CAPS } else { others };
    })
}

/// `PR_CAP_AMBIENT`: what is ambient is permitted and inheritable, too.
fn ambient(caller: &Caller<'_>, operation: u64, rest: [u64; 3]) -> Result<u64, Errno> {
    let operation = u32::try_from(operation).map_err(|_| Errno::EINVAL)?;
    let [number, fourth, fifth] = rest;
    if operation == PR_CAP_AMBIENT_CLEAR_ALL && rest == [0; 3] {
        return change(caller, |credentials| credentials.capabilities.ambient = 0);
    }
    let bit = capability_bit(number)?;
    if operation == PR_CAP_AMBIENT_CLEAR_ALL || [fourth, fifth] != [0; 2] {
        return Err(Errno::EINVAL);
    }
    let own = caller.thread.credentials();
    let sets = own.capabilities;
    match operation {
        PR_CAP_AMBIENT_IS_SET => Ok(u64::from(sets.ambient & bit != 0)),
        PR_CAP_AMBIENT_RAISE => {
            let may = sets.permitted & sets.inheritable & bit != 0;
            if !may || own.has_securebit(SECBIT_NO_CAP_AMBIENT_RAISE) {
                return Err(Errno::EPERM);
            }
            change(caller, |credentials| credentials.capabilities.ambient |= bit)
        }
        PR_CAP_AMBIENT_LOWER => change(caller, |credentials| credentials.capabilities.ambient &= !bit),
        _ => Err(Errno::EINVAL),
    }
}
