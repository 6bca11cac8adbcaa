//! Who a thread acts as: user and group identifiers, supplementary groups, capabilities.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::process::{
    CapUserData, CapUserHeader, LINUX_CAPABILITY_VERSION_1, LINUX_CAPABILITY_VERSION_2,
    LINUX_CAPABILITY_VERSION_3,
};
use memory::user::{UserPtr, UserSlice};
use subject::{Capabilities, Credentials, Identity, capability};

use super::{Caller, Failure};

/// The most supplementary groups (`NGROUPS_MAX`).
const GROUP_LIMIT: usize = 65_536;

/// "Leave it as it is" in `setresuid` and its relatives.
const UNCHANGED: u32 = u32::MAX;

fn wanted(id: u32) -> Option<u32> {
    (id != UNCHANGED).then_some(id)
}

/// Gives the thread changed credentials.
fn change(
    caller: &Caller<'_>,
    change: impl FnOnce(&mut Credentials) -> Result<(), Errno>,
) -> Result<(), Failure> {
    let mut credentials = Credentials::clone(&caller.thread.credentials());
    change(&mut credentials)?;
    caller.thread.set_credentials(Arc::new(credentials));
    Ok(())
}

/// EINVAL for the identifier that stands for none.
fn valid(id: u32) -> Result<u32, Errno> {
    wanted(id).ok_or(Errno::EINVAL)
}

/// `getuid`.
pub fn getuid(caller: &mut Caller<'_>) -> Result<u32, Failure> {
    Ok(caller.thread.with_credentials(|credentials| credentials.user.real))
}

/// `geteuid`.
pub fn geteuid(caller: &mut Caller<'_>) -> Result<u32, Failure> {
    Ok(caller.thread.with_credentials(|credentials| credentials.user.effective))
}

/// `getgid`.
pub fn getgid(caller: &mut Caller<'_>) -> Result<u32, Failure> {
    Ok(caller.thread.with_credentials(|credentials| credentials.group.real))
}

/// `getegid`.
pub fn getegid(caller: &mut Caller<'_>) -> Result<u32, Failure> {
    Ok(caller.thread.with_credentials(|credentials| credentials.group.effective))
}

/// `setuid`.
pub fn setuid(caller: &mut Caller<'_>, id: u32) -> Result<(), Failure> {
    let id = valid(id)?;
    change(caller, |credentials| credentials.set_user(id))
}

/// `setgid`.
pub fn setgid(caller: &mut Caller<'_>, id: u32) -> Result<(), Failure> {
    let id = valid(id)?;
    change(caller, |credentials| credentials.set_group(id))
}

/// `setreuid`.
pub fn setreuid(caller: &mut Caller<'_>, real: u32, effective: u32) -> Result<(), Failure> {
    change(caller, |credentials| credentials.set_real_effective_user(wanted(real), wanted(effective)))
}

/// `setregid`.
pub fn setregid(caller: &mut Caller<'_>, real: u32, effective: u32) -> Result<(), Failure> {
    change(caller, |credentials| credentials.set_real_effective_group(wanted(real), wanted(effective)))
}

/// `setresuid`.
pub fn setresuid(caller: &mut Caller<'_>, real: u32, effective: u32, saved: u32) -> Result<(), Failure> {
    change(caller, |credentials| credentials.set_three_users([real, effective, saved].map(wanted)))
}

/// `setresgid`.
pub fn setresgid(caller: &mut Caller<'_>, real: u32, effective: u32, saved: u32) -> Result<(), Failure> {
    change(caller, |credentials| credentials.set_three_groups([real, effective, saved].map(wanted)))
}

fn write_identity(identity: Identity, to: [UserPtr<u32>; 3]) -> Result<(), Failure> {
    let [real, effective, saved] = to;
    real.write(&identity.real)?;
    effective.write(&identity.effective)?;
    saved.write(&identity.saved)?;
    Ok(())
}

/// `getresuid`.
pub fn getresuid(
    caller: &mut Caller<'_>,
    real: UserPtr<u32>,
    effective: UserPtr<u32>,
    saved: UserPtr<u32>,
) -> Result<(), Failure> {
    write_identity(caller.thread.with_credentials(|credentials| credentials.user), [real, effective, saved])
}

/// `getresgid`.
pub fn getresgid(
    caller: &mut Caller<'_>,
    real: UserPtr<u32>,
    effective: UserPtr<u32>,
    saved: UserPtr<u32>,
) -> Result<(), Failure> {
    write_identity(caller.thread.with_credentials(|credentials| credentials.group), [real, effective, saved])
}

/// `setfsuid`: the old identifier, whatever happens.
pub fn setfsuid(caller: &mut Caller<'_>, id: u32) -> Result<u32, Failure> {
    let old = caller.thread.with_credentials(|credentials| credentials.user.file_system);
    if let Some(id) = wanted(id) {
        change(caller, |credentials| {
            credentials.set_file_system_user(id);
            Ok(())
        })?;
    }
    Ok(old)
}

/// `setfsgid`: the old identifier, whatever happens.
pub fn setfsgid(caller: &mut Caller<'_>, id: u32) -> Result<u32, Failure> {
    let old = caller.thread.with_credentials(|credentials| credentials.group.file_system);
    if let Some(id) = wanted(id) {
        change(caller, |credentials| {
            credentials.set_file_system_group(id);
            Ok(())
        })?;
    }
    Ok(old)
}

/// `getgroups`.
pub fn getgroups(caller: &mut Caller<'_>, size: i32, list: UserPtr<u32>) -> Result<usize, Failure> {
    let groups = caller.thread.with_credentials(|credentials| credentials.groups.clone());
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    if size == 0 {
        return Ok(groups.len());
    }
    if size < groups.len() {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    UserSlice::new(list.address(), groups.len()).write(&groups)?;
    Ok(groups.len())
}

/// `setgroups`.
pub fn setgroups(caller: &mut Caller<'_>, size: u32, list: UserPtr<u32>) -> Result<(), Failure> {
    caller.thread.with_credentials(|credentials| credentials.require(capability::SETGID))?;
    let size = size as usize;
    if size > GROUP_LIMIT {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let mut groups: Vec<u32> = UserSlice::new(list.address(), size).read_to_vec()?;
    groups.sort_unstable();
    change(caller, |credentials| {
        credentials.groups = Arc::from(groups);
        Ok(())
    })
}

/// How many [`CapUserData`] a version has; EINVAL for unknown ones, after telling ours.
fn capability_words(header: UserPtr<CapUserHeader>) -> Result<(CapUserHeader, usize), Errno> {
    // The version is the first member, and the only one that an unknown version need have.
    let version = UserPtr::<u32>::new(header.address());
    let words = match version.read()? {
        LINUX_CAPABILITY_VERSION_1 => 1,
        LINUX_CAPABILITY_VERSION_2 | LINUX_CAPABILITY_VERSION_3 => 2,
        _ => {
            version.write(&LINUX_CAPABILITY_VERSION_3)?;
            return Err(Errno::EINVAL);
        }
    };
    Ok((header.read()?, words))
}

/// `capget`.
pub fn capget(
    caller: &mut Caller<'_>,
    header: UserPtr<CapUserHeader>,
    data: UserPtr<CapUserData>,
) -> Result<(), Failure> {
    let (header, words) = match capability_words(header) {
        Err(Errno::EINVAL) if data.is_null() => return Ok(()),
        other => other?,
    };
    if header.pid < 0 {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let credentials = match header.pid {
        0 => caller.thread.credentials(),
        pid => caller.thread.named(pid).ok_or(Errno::ESRCH)?.credentials(),
    };
    let Some(data) = data.optional() else { return Ok(()) };
    let sets = credentials.capabilities;
    let word = |shift: u32| CapUserData {
        effective: half(sets.effective, shift),
        permitted: half(sets.permitted, shift),
        inheritable: half(sets.inheritable, shift),
    };
    UserSlice::new(data.address(), words).write(&[word(0), word(32)][..words])?;
    Ok(())
}

/// 32 bits of a set, from this bit on.
fn half(set: u64, shift: u32) -> u32 {
    u32::try_from(set >> shift & u64::from(u32::MAX)).unwrap_or(0)
}

/// `capset`, of the thread itself.
pub fn capset(
    caller: &mut Caller<'_>,
    header: UserPtr<CapUserHeader>,
    data: UserPtr<CapUserData>,
) -> Result<(), Failure> {
    let (header, words) = capability_words(header)?;
    if header.pid != 0 && header.pid != caller.thread.shown(caller.thread.id()) {
        return Err(Failure::Errno(Errno::EPERM));
    }
    let data = UserSlice::new(data.address(), words).read_to_vec()?;
    let set = |field: fn(&CapUserData) -> u32| {
        let low = data.first().map_or(0, |word| u64::from(field(word)));
        let high = data.get(1).map_or(0, |word| u64::from(field(word)));
        (low | high << 32) & capability::ALL
    };
    let (effective, permitted, inheritable) =
        (set(|word| word.effective), set(|word| word.permitted), set(|word| word.inheritable));
    change(caller, |credentials| {
        let old = credentials.capabilities;
        let may_inherit = old.permitted | old.inheritable;
        let allowed = permitted & !old.permitted == 0
            && effective & !permitted == 0
            && (inheritable & !may_inherit == 0 || credentials.has_capability(capability::SETPCAP))
            && inheritable & !(old.inheritable | old.bounding) == 0;
        if !allowed {
            return Err(Errno::EPERM);
        }
        let ambient = old.ambient & permitted & inheritable;
        credentials.capabilities = Capabilities { effective, permitted, inheritable, ambient, ..old };
        Ok(())
    })
}
