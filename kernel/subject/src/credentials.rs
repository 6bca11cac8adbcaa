//! On whose behalf a thread acts: user and group identifiers, and capabilities.
//!
//! Credentials do not change once made: a thread that changes identity gets new ones (`credentials(7)`), so whoever
//! holds an `Arc<Credentials>` has a consistent picture. The rules by which the identifiers change together are here as
//! functions of the old credentials; the system calls only decode their arguments.

use alloc::sync::Arc;

use abi::Errno;
use abi::process::{SECBIT_KEEP_CAPS, SECBIT_NO_SETUID_FIXUP};

use crate::{GroupId, Id, Limits, OfGroup, OfUser, User, UserId, UserNamespace};

/// Capability numbers, `linux/capability.h`.
pub mod capability {
    /// Change the owner of any file.
    pub const CHOWN: u32 = 0;
    /// Pass by the permission bits of files.
    pub const DAC_OVERRIDE: u32 = 1;
    /// Read files and search directories without permission.
    pub const DAC_READ_SEARCH: u32 = 2;
    /// Act as the owner of any file.
    pub const FOWNER: u32 = 3;
    /// Keep set-id bits when a file is modified.
    pub const FSETID: u32 = 4;
    /// Send signals to any process.
    pub const KILL: u32 = 5;
    /// Change group identifiers at will.
    pub const SETGID: u32 = 6;
    /// Change user identifiers at will.
    pub const SETUID: u32 = 7;
    /// Change the bounding set.
    pub const SETPCAP: u32 = 8;
    /// Change the flags of files that nobody may change.
    pub const LINUX_IMMUTABLE: u32 = 9;
    /// Lock memory beyond the limit.
    pub const IPC_LOCK: u32 = 14;
    /// Reach the hardware, and map the lowest addresses.
    pub const SYS_RAWIO: u32 = 17;
    /// Change the root directory.
    pub const SYS_CHROOT: u32 = 18;
    /// Observe any process.
    pub const SYS_PTRACE: u32 = 19;
    /// Mount, name the host, and much else.
    pub const SYS_ADMIN: u32 = 21;
    /// Restart or power off the machine.
    pub const SYS_BOOT: u32 = 22;
    /// Raise priorities.
    pub const SYS_NICE: u32 = 23;
    /// Raise hard limits.
    pub const SYS_RESOURCE: u32 = 24;
    /// Set the clock.
    pub const SYS_TIME: u32 = 25;
    /// Take a terminal from another session.
    pub const SYS_TTY_CONFIG: u32 = 26;
    /// Make device nodes.
    pub const MKNOD: u32 = 27;
    /// Take leases on others' files.
    pub const LEASE: u32 = 28;
    /// Give files capabilities.
    pub const SETFCAP: u32 = 31;
    /// Say again who has logged in.
    pub const AUDIT_CONTROL: u32 = 30;
    /// Override mandatory access control.
    pub const MAC_OVERRIDE: u32 = 32;
    /// Read and clear the kernel log.
    pub const SYSLOG: u32 = 34;
    /// Set timers that wake the machine.
    pub const WAKE_ALARM: u32 = 35;
    /// Restore processes as they were.
    pub const CHECKPOINT_RESTORE: u32 = 40;
    /// The highest number that Linux 6.1 knows.
    pub const LAST: u32 = CHECKPOINT_RESTORE;
    /// Every capability.
    pub const ALL: u64 = (1 << (LAST + 1)) - 1;
}

/// The capabilities that travel with the file-system identity rather than the effective one: Linux's `CAP_FS_SET`.
const FILE_CAPABILITIES: u64 = (1 << capability::CHOWN)
    | (1 << capability::DAC_OVERRIDE)
    | (1 << capability::DAC_READ_SEARCH)
    | (1 << capability::FOWNER)
    | (1 << capability::FSETID)
    | (1 << capability::MKNOD)
    | (1 << capability::LINUX_IMMUTABLE)
    | (1 << capability::MAC_OVERRIDE);

/// Real, effective, saved and file-system identifier, of user or group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<Kind> {
    /// Who started it.
    pub real: Id<Kind>,
    /// Who it acts as.
    pub effective: Id<Kind>,
    /// Who it may become again.
    pub saved: Id<Kind>,
    /// Who it acts as towards files.
    pub file_system: Id<Kind>,
}

/// The capability sets of a thread, bit N for capability N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What is checked.
    pub effective: u64,
    /// What may become effective.
    pub permitted: u64,
    /// What survives `execve`, with the file's consent.
    pub inheritable: u64,
    /// What no `execve` can exceed.
    pub bounding: u64,
    /// What survives `execve` of an ordinary file.
    pub ambient: u64,
}

/// Identity and capabilities of a thread.
#[derive(Clone)]
pub struct Credentials {
    /// User identifiers.
    pub user: Identity<OfUser>,
    /// Where these have numbers that the thread sees.
    pub user_namespace: Arc<UserNamespace>,
    /// The real user, who is charged for what the thread has.
    pub charged: Arc<User>,
    /// Group identifiers.
    pub group: Identity<OfGroup>,
    /// Supplementary groups, sorted.
    pub groups: Arc<[GroupId]>,
    /// Capability sets.
    pub capabilities: Capabilities,
    /// How capabilities follow the user: `SECBIT_*`.
    pub securebits: u32,
}

impl Credentials {
    /// The credentials of the first process: root with every capability.
    pub fn root() -> Credentials {
        let namespace = UserNamespace::initial();
        Credentials {
            user: Identity::all(UserId::ROOT),
            user_namespace: namespace.clone(),
            charged: User::find(namespace, UserId::ROOT),
            group: Identity::all(GroupId::ROOT),
            groups: Arc::from([]),
            capabilities: Capabilities {
                effective: capability::ALL,
                permitted: capability::ALL,
                inheritable: 0,
                bounding: capability::ALL,
                ambient: 0,
            },
            securebits: 0,
        }
    }

    /// Whether the thread has a capability (a constant of [`capability`]).
    pub fn has_capability(&self, number: u32) -> bool {
        number <= capability::LAST && self.capabilities.effective & (1 << number) != 0
    }

    /// Whether one of the `SECBIT_*` is set.
    pub fn has_securebit(&self, bit: u32) -> bool {
        self.securebits & bit != 0
    }

    /// EPERM unless the thread has the capability.
    pub fn require(&self, number: u32) -> Result<(), Errno> {
        if self.has_capability(number) { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// EAGAIN if the user may not have another thread within these limits.
    pub fn check_another_thread(&self, limits: &Limits) -> Result<(), Errno> {
        let is_exempt =
            || self.has_capability(capability::SYS_RESOURCE) || self.has_capability(capability::SYS_ADMIN);
        if self.charged.may_have_another_thread(limits) || is_exempt() { Ok(()) } else { Err(Errno::EAGAIN) }
    }

    /// Whether others act as somebody else than these do, or can do more: what they then have in memory is not for the
    /// same people (Linux: `commit_creds`).
    pub fn is_exceeded_by(&self, new: &Credentials) -> bool {
        self.user.acts_otherwise(&new.user)
            || self.group.acts_otherwise(&new.group)
            || new.capabilities.permitted & !self.capabilities.permitted != 0
    }

    /// Whether files of this group grant their group permissions.
    pub fn in_group(&self, group: GroupId) -> bool {
        self.group.file_system == group || self.groups.binary_search(&group).is_ok()
    }

    /// `setuid`: all identifiers with privilege, else the effective one within real and saved.
    pub fn set_user(&mut self, id: UserId) -> Result<(), Errno> {
        let old = self.user;
        self.user = set_identity(old, id, self.has_capability(capability::SETUID))?;
        self.user_changed(old);
        Ok(())
    }

    /// `setgid`, as [`Credentials::set_user`].
    pub fn set_group(&mut self, id: GroupId) -> Result<(), Errno> {
        self.group = set_identity(self.group, id, self.has_capability(capability::SETGID))?;
        Ok(())
    }

    /// `setreuid`; `None` leaves an identifier as it is.
    pub fn set_real_effective_user(
        &mut self,
        real: Option<UserId>,
        effective: Option<UserId>,
    ) -> Result<(), Errno> {
        let old = self.user;
        self.user = set_real_effective(old, real, effective, self.has_capability(capability::SETUID))?;
        self.user_changed(old);
        Ok(())
    }

    /// `setregid`.
    pub fn set_real_effective_group(
        &mut self,
        real: Option<GroupId>,
        effective: Option<GroupId>,
    ) -> Result<(), Errno> {
        self.group =
            set_real_effective(self.group, real, effective, self.has_capability(capability::SETGID))?;
        Ok(())
    }

    /// `setresuid`: real, effective, saved.
    pub fn set_three_users(&mut self, wanted: [Option<UserId>; 3]) -> Result<(), Errno> {
        let old = self.user;
        self.user = set_three(old, wanted, self.has_capability(capability::SETUID))?;
        self.user_changed(old);
        Ok(())
    }

    /// `setresgid`.
    pub fn set_three_groups(&mut self, wanted: [Option<GroupId>; 3]) -> Result<(), Errno> {
        self.group = set_three(self.group, wanted, self.has_capability(capability::SETGID))?;
        Ok(())
    }

    /// `setfsuid`: changes if allowed, and never fails.
    pub fn set_file_system_user(&mut self, id: UserId) {
        let old = self.user;
        if old.holds(id) || self.has_capability(capability::SETUID) {
            self.user.file_system = id;
            self.file_system_user_changed(old.file_system);
        }
    }

    /// `setfsgid`.
    pub fn set_file_system_group(&mut self, id: GroupId) {
        if self.group.holds(id) || self.has_capability(capability::SETGID) {
            self.group.file_system = id;
        }
    }

    /// Another real user is charged from now on. Leaving and regaining user 0 takes and gives capabilities:
    /// `capabilities(7)`, "Effect of user ID changes to capabilities".
    fn user_changed(&mut self, old: Identity<OfUser>) {
        if self.user.real != old.real {
            self.charged = User::find(&self.user_namespace, self.user.real);
        }
        if self.has_securebit(SECBIT_NO_SETUID_FIXUP) {
            return;
        }
        let keeps = self.has_securebit(SECBIT_KEEP_CAPS);
        let was_root = [old.real, old.effective, old.saved].contains(&UserId::ROOT);
        let is_root = [self.user.real, self.user.effective, self.user.saved].contains(&UserId::ROOT);
        let sets = &mut self.capabilities;
        if was_root && !is_root {
            if !keeps {
                sets.permitted = 0;
                sets.effective = 0;
            }
            sets.ambient = 0;
        }
        if old.effective == UserId::ROOT && self.user.effective != UserId::ROOT {
            sets.effective = 0;
        } else if old.effective != UserId::ROOT && self.user.effective == UserId::ROOT {
            sets.effective = sets.permitted;
        }
    }

    fn file_system_user_changed(&mut self, old: UserId) {
        if self.has_securebit(SECBIT_NO_SETUID_FIXUP) {
            return;
        }
        let sets = &mut self.capabilities;
        if old == UserId::ROOT && self.user.file_system != UserId::ROOT {
            sets.effective &= !FILE_CAPABILITIES;
        } else if old != UserId::ROOT && self.user.file_system == UserId::ROOT {
            sets.effective |= sets.permitted & FILE_CAPABILITIES;
        }
    }
}

impl<Kind: Copy + PartialEq> Identity<Kind> {
    fn holds(&self, id: Id<Kind>) -> bool {
        [self.real, self.effective, self.saved, self.file_system].contains(&id)
    }

    const fn all(id: Id<Kind>) -> Self {
        Identity { real: id, effective: id, saved: id, file_system: id }
    }

    /// Becomes for good whom it acts as: saved and towards files.
    pub fn settle(&mut self) {
        (self.saved, self.file_system) = (self.effective, self.effective);
    }

    /// Whether all four are one.
    pub fn is_single(&self) -> bool {
        self.real == self.effective && self.effective == self.saved && self.effective == self.file_system
    }

    /// Whether whom it acts as is another than that of `new`.
    fn acts_otherwise(&self, new: &Self) -> bool {
        (self.effective, self.file_system) != (new.effective, new.file_system)
    }
}

fn set_identity<Kind: Copy + PartialEq>(
    old: Identity<Kind>,
    id: Id<Kind>,
    privileged: bool,
) -> Result<Identity<Kind>, Errno> {
    if privileged {
        Ok(Identity::all(id))
    } else if id == old.real || id == old.saved {
        Ok(Identity { effective: id, file_system: id, ..old })
    } else {
        Err(Errno::EPERM)
    }
}

fn set_real_effective<Kind: Copy + PartialEq>(
    old: Identity<Kind>,
    real: Option<Id<Kind>>,
    effective: Option<Id<Kind>>,
    privileged: bool,
) -> Result<Identity<Kind>, Errno> {
    let real_allowed = real.is_none_or(|id| id == old.real || id == old.effective);
    let effective_allowed =
        effective.is_none_or(|id| id == old.real || id == old.effective || id == old.saved);
    let allowed = privileged || real_allowed && effective_allowed;
    if !allowed {
        return Err(Errno::EPERM);
    }
    let mut new =
        Identity { real: real.unwrap_or(old.real), effective: effective.unwrap_or(old.effective), ..old };
    if real.is_some() || effective.is_some_and(|id| id != old.real) {
        new.saved = new.effective;
    }
    new.file_system = new.effective;
    Ok(new)
}

fn set_three<Kind: Copy + PartialEq>(
    old: Identity<Kind>,
    wanted: [Option<Id<Kind>>; 3],
    privileged: bool,
) -> Result<Identity<Kind>, Errno> {
    let allowed = |id: Id<Kind>| id == old.real || id == old.effective || id == old.saved;
    if !privileged && !wanted.iter().flatten().all(|&id| allowed(id)) {
        return Err(Errno::EPERM);
    }
    let effective = wanted[1].unwrap_or(old.effective);
    Ok(Identity {
        real: wanted[0].unwrap_or(old.real),
        effective,
        saved: wanted[2].unwrap_or(old.saved),
        file_system: effective,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> UserId {
        UserNamespace::initial().user(number).expect("a user")
    }

    fn user(number: u32) -> Credentials {
        let mut credentials = Credentials::root();
        credentials.set_user(id(number)).expect("root may become anyone");
        credentials
    }

    #[test]
    fn root_loses_everything_by_setuid() {
        let credentials = user(1000);
        assert_eq!(credentials.user, Identity::all(id(1000)));
        assert_eq!(credentials.capabilities.permitted, 0);
        assert!(!credentials.has_capability(capability::SETUID));
    }

    #[test]
    fn a_user_cannot_become_another() {
        let mut credentials = user(1000);
        assert_eq!(credentials.set_user(UserId::ROOT), Err(Errno::EPERM));
        assert_eq!(credentials.set_three_users([None, Some(id(1)), None]), Err(Errno::EPERM));
        assert_eq!(credentials.set_user(id(1000)), Ok(()));
    }

    #[test]
    fn effective_root_comes_back_through_the_saved_identifier() {
        let mut credentials = Credentials::root();
        credentials.set_three_users([Some(id(7)), Some(id(7)), Some(UserId::ROOT)]).expect("root may");
        assert_eq!(credentials.capabilities.effective, 0);
        credentials.set_three_users([None, Some(UserId::ROOT), None]).expect("saved identifier");
        assert_eq!(credentials.capabilities.effective, capability::ALL);
    }

    #[test]
    fn file_system_identity_takes_file_capabilities_along() {
        let mut credentials = Credentials::root();
        credentials.set_file_system_user(id(5));
        assert!(!credentials.has_capability(capability::DAC_OVERRIDE));
        assert!(credentials.has_capability(capability::KILL));
        credentials.set_file_system_user(UserId::ROOT);
        assert!(credentials.has_capability(capability::DAC_OVERRIDE));
    }
}
