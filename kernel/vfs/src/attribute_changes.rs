//! Changing what `stat` shows: who may change mode, owner and times of a file, and what goes with such a change.

use abi::Errno;
use abi::fs::S_ISGID;
use abi::time::{NANOSECONDS_PER_SECOND, Timespec};
use subject::{Credentials, capability};

use super::attribute_operations::Change;
use super::clock;
use super::extended;
use super::limits;
use super::mount::Location;
use super::notify::Event;
use super::permission::{self, Access, Attribute};
use super::writers::MountWriter;

/// Sets the permission bits: chmod(2).
pub fn set_mode(place: &Location, mode: u32, credentials: &Credentials) -> Result<(), Errno> {
    let _writer = MountWriter::enter(&place.mount)?;
    let inode = place.dentry.inode();
    if inode.is_symlink() {
        return Err(Errno::EOPNOTSUPP);
    }
    let changes = inode.lock_attributes();
    permission::require_owner(inode, credentials)?;
    permission::require_changeable(inode, Attribute::Mode)?;
    let keeps_group_bit =
        credentials.in_group(inode.attributes.group()) || credentials.has_capability(capability::FSETID);
    let mode = if keeps_group_bit { mode } else { mode & !S_ISGID };
    changes.make(&Change { permissions: Some(mode), changed: Some(clock::now()), ..Change::NONE })?;
    drop(changes);
    place.dentry.tell(Event::Attributes);
    Ok(())
}

/// Sets owner and group, either left alone if it is -1: chown(2).
pub fn set_owner(place: &Location, owner: u32, group: u32, credentials: &Credentials) -> Result<(), Errno> {
    const UNCHANGED: u32 = u32::MAX;
    let names = &credentials.user_namespace;
    let owner = if owner == UNCHANGED { None } else { Some(names.user(owner).ok_or(Errno::EINVAL)?) };
    let group = if group == UNCHANGED { None } else { Some(names.group(group).ok_or(Errno::EINVAL)?) };
    let _writer = MountWriter::enter(&place.mount)?;
    let inode = place.dentry.inode();
    let attributes = &inode.attributes;
    let changes = inode.lock_attributes();
    let (old_owner, old_group) = (attributes.owner(), attributes.group());
    let (new_owner, new_group) = (owner.unwrap_or(old_owner), group.unwrap_or(old_group));
    if !credentials.has_capability(capability::CHOWN) {
        let owns = credentials.user.file_system == old_owner;
        let gives_away = owner.is_some_and(|owner| !(owns && owner == old_owner));
        let foreign_group =
            group.is_some_and(|group| !(owns && (credentials.in_group(group) || group == old_group)));
        if gives_away || foreign_group {
            return Err(Errno::EPERM);
        }
    }
    if (new_owner, new_group) != (old_owner, old_group) {
        permission::require_changeable(inode, Attribute::Owner)?;
    }
    let lost = if inode.is_directory() { 0 } else { limits::lost_bits(inode, credentials) };
    if lost != 0 {
        permission::require_owner(inode, credentials)?;
    }
    // Those of a directory stay, as on Linux: nobody executes it.
    if !inode.is_directory() && inode.extended.has_capabilities() {
        extended::drop_capabilities(&changes)?;
    }
    changes.make(&Change {
        permissions: (lost != 0).then(|| attributes.permissions() & !lost),
        owner: Some((new_owner, new_group)),
        changed: Some(clock::now()),
        ..Change::NONE
    })?;
    drop(changes);
    if owner.is_some() || group.is_some() || lost != 0 {
        place.dentry.tell(Event::Attributes);
    }
    Ok(())
}

/// What a time is set to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum NewTime {
    /// Now.
    Now,
    /// What it is.
    Keep,
    /// This.
    At(Timespec),
}

impl NewTime {
    fn resolve(self, now: Timespec) -> Option<Timespec> {
        match self {
            NewTime::Now => Some(now),
            NewTime::Keep => None,
            NewTime::At(time) => Some(time),
        }
    }
}

/// Sets the times. Who may write may say "now"; any other time is for the owner: utimensat(2).
pub fn set_times(place: &Location, times: [NewTime; 2], credentials: &Credentials) -> Result<(), Errno> {
    let is_time = |time: &NewTime| match time {
        NewTime::At(time) => (0..NANOSECONDS_PER_SECOND).contains(&time.tv_nsec),
        NewTime::Now | NewTime::Keep => true,
    };
    if !times.iter().all(is_time) {
        return Err(Errno::EINVAL);
    }
    let _writer = MountWriter::enter(&place.mount)?;
    let inode = place.dentry.inode();
    let changes = inode.lock_attributes();
    permission::require_changeable(inode, Attribute::Time)?;
    if !permission::is_owner(inode, credentials) {
        if times != [NewTime::Now; 2] {
            return Err(Errno::EPERM);
        }
        permission::check(inode, credentials, Access::WRITE)?;
    }
    let now = clock::now();
    let [accessed, modified] = times.map(|time| time.resolve(now));
    changes.make(&Change { accessed, modified, changed: Some(now), ..Change::NONE })?;
    drop(changes);
    let event = match (accessed, modified) {
        (Some(_), None) => Event::Accessed,
        (None, Some(_)) => Event::Modified,
        _ => Event::Attributes,
    };
    place.dentry.tell(event);
    Ok(())
}
