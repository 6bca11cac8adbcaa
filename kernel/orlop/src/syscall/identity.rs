//! Who a thread acts as: user and group identifiers, supplementary groups, capabilities.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::process::{
    CapUserData, CapUserHeader, LINUX_CAPABILITY_VERSION_1, LINUX_CAPABILITY_VERSION_2,
    LINUX_CAPABILITY_VERSION_3,
};
use memory::user::{UserPtr, UserSlice};
use outcome::OrErrno;
use subject::{Capabilities, Credentials, Id, Identity, UserNamespace, capability};

use super::{Caller, Failure};

/// The most supplementary groups (`NGROUPS_MAX`).
const GROUP_LIMIT: usize = 65_536;

/// "Leave it as it is" in `setresuid` and its relatives.
const UNCHANGED: u32 = u32::MAX;

/// Whom one of several numbers means, or none to be left alone; EINVAL where it is nobody's.
fn wanted<Kind>(number: u32, find: impl Fn(u32) -> Option<Id<Kind>>) -> Result<Option<Id<Kind>>, Errno> {
    if number == UNCHANGED { Ok(None) } else { find(number).map(Some).ok_or(Errno::EINVAL) }
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

/// `getuid`.
pub fn getuid(caller: &mut Caller<'_>) -> Result<u32, Failure> {
    Ok(caller
        .thread
        .with_credentials(|credentials| credentials.user.real.number_in(&credentials.user_namespace)))
}

/// `geteuid`.
pub fn geteuid(caller: &mut Caller<'_>) -> Result<u32, Failure> {
    Ok(caller
        .thread
        .with_credentials(|credentials| credentials.user.effective.number_in(&credentials.user_namespace)))
}

/// `getgid`.
pub fn getgid(caller: &mut Caller<'_>) -> Result<u32, Failure> {
    Ok(caller
        .thread
        .with_credentials(|credentials| credentials.group.real.number_in(&credentials.user_namespace)))
}

/// `getegid`.
pub fn getegid(caller: &mut Caller<'_>) -> Result<u32, Failure> {
    Ok(caller
        .thread
        .with_credentials(|credentials| credentials.group.effective.number_in(&credentials.user_namespace)))
}

/// `setuid`.
pub fn setuid(caller: &mut Caller<'_>, id: u32) -> Result<(), Failure> {
    let id = caller.thread.user_namespace().user(id).ok_or(Errno::EINVAL)?;
    change(caller, |credentials| credentials.set_user(id))
}

/// `setgid`.
pub fn setgid(caller: &mut Caller<'_>, id: u32) -> Result<(), Failure> {
    let id = caller.thread.user_namespace().group(id).ok_or(Errno::EINVAL)?;
    change(caller, |credentials| credentials.set_group(id))
}

/// `setreuid`.
pub fn setreuid(caller: &mut Caller<'_>, real: u32, effective: u32) -> Result<(), Failure> {
    let names = caller.thread.user_namespace();
    let named = |number| wanted(number, |number| names.user(number));
    let (real, effective) = (named(real)?, named(effective)?);
    change(caller, |credentials| credentials.set_real_effective_user(real, effective))
}

/// `setregid`.
pub fn setregid(caller: &mut Caller<'_>, real: u32, effective: u32) -> Result<(), Failure> {
    let names = caller.thread.user_namespace();
    let named = |number| wanted(number, |number| names.group(number));
    let (real, effective) = (named(real)?, named(effective)?);
    change(caller, |credentials| credentials.set_real_effective_group(real, effective))
}

/// `setresuid`.
pub fn setresuid(caller: &mut Caller<'_>, real: u32, effective: u32, saved: u32) -> Result<(), Failure> {
    let names = caller.thread.user_namespace();
    let named = |number| wanted(number, |number| names.user(number));
    let three = [named(real)?, named(effective)?, named(saved)?];
    change(caller, |credentials| credentials.set_three_users(three))
}

/// `setresgid`.
pub fn setresgid(caller: &mut Caller<'_>, real: u32, effective: u32, saved: u32) -> Result<(), Failure> {
    let names = caller.thread.user_namespace();
    let named = |number| wanted(number, |number| names.group(number));
    let three = [named(real)?, named(effective)?, named(saved)?];
    change(caller, |credentials| credentials.set_three_groups(three))
}

fn write_identity<Kind>(
    identity: &Identity<Kind>,
    reader: &UserNamespace,
    to: [UserPtr<u32>; 3],
) -> Result<(), Failure> {
    let [real, effective, saved] = to;
    real.write(&identity.real.number_in(reader))?;
    effective.write(&identity.effective.number_in(reader))?;
    saved.write(&identity.saved.number_in(reader))?;
    Ok(())
}

/// `getresuid`.
pub fn getresuid(
    caller: &mut Caller<'_>,
    real: UserPtr<u32>,
    effective: UserPtr<u32>,
    saved: UserPtr<u32>,
) -> Result<(), Failure> {
    let own = caller.thread.credentials();
    write_identity(&own.user, &own.user_namespace, [real, effective, saved])
}

/// `getresgid`.
pub fn getresgid(
    caller: &mut Caller<'_>,
    real: UserPtr<u32>,
    effective: UserPtr<u32>,
    saved: UserPtr<u32>,
) -> Result<(), Failure> {
    let own = caller.thread.credentials();
    write_identity(&own.group, &own.user_namespace, [real, effective, saved])
}

/// `setfsuid`: the old identifier, whatever happens.
pub fn setfsuid(caller: &mut Caller<'_>, id: u32) -> Result<u32, Failure> {
    let old = caller.thread.credentials();
    if let Some(id) = old.user_namespace.user(id) {
        change(caller, |credentials| {
            credentials.set_file_system_user(id);
            Ok(())
        })?;
    }
    Ok(old.user.file_system.number_in(&old.user_namespace))
}

/// `setfsgid`: the old identifier, whatever happens.
pub fn setfsgid(caller: &mut Caller<'_>, id: u32) -> Result<u32, Failure> {
    let old = caller.thread.credentials();
    if let Some(id) = old.user_namespace.group(id) {
        change(caller, |credentials| {
            credentials.set_file_system_group(id);
            Ok(())
        })?;
    }
    Ok(old.group.file_system.number_in(&old.user_namespace))
}

/// `getgroups`.
pub fn getgroups(caller: &mut Caller<'_>, size: i32, list: UserPtr<u32>) -> Result<usize, Failure> {
    let own = caller.thread.credentials();
    let groups = &own.groups;
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    if size == 0 {
        return Ok(groups.len());
    }
    if size < groups.len() {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let numbers: Vec<u32> = groups.iter().map(|group| group.number_in(&own.user_namespace)).collect();
    UserSlice::new(list.address(), numbers.len()).write(&numbers)?;
    Ok(numbers.len())
}

/// `setgroups`.
pub fn setgroups(caller: &mut Caller<'_>, size: u32, list: UserPtr<u32>) -> Result<(), Failure> {
    caller.thread.with_credentials(|credentials| credentials.require(capability::SETGID))?;
    let (names, size) = (caller.thread.user_namespace(), size as usize);
    if size > GROUP_LIMIT {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let numbers: Vec<u32> = UserSlice::new(list.address(), size).read_to_vec()?;
    let mut groups = Vec::new();
    groups.try_reserve_exact(numbers.len()).or_errno()?;
    for number in numbers {
        groups.push(names.group(number).ok_or(Errno::EINVAL)?);
    }
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
