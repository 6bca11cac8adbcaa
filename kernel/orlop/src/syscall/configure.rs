//! `fsopen`, `fspick`, `fsconfig` and `fsmount`: instances of file systems step by step.

use abi::Errno;
use abi::fs::{
    AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, FSCONFIG_CMD_CREATE, FSCONFIG_CMD_RECONFIGURE,
    FSCONFIG_SET_BINARY, FSCONFIG_SET_FD, FSCONFIG_SET_FLAG, FSCONFIG_SET_PATH, FSCONFIG_SET_PATH_EMPTY,
    FSCONFIG_SET_STRING, FSMOUNT_CLOEXEC, FSOPEN_CLOEXEC, FSPICK_CLOEXEC, FSPICK_EMPTY_PATH,
    FSPICK_NO_AUTOMOUNT, FSPICK_SYMLINK_NOFOLLOW, O_RDWR,
};
use alloc::vec::Vec;
use libkernel::addr::UserAddr;
use memory::user::string::read_string;
use memory::user::{IoSource, PathBuffer};
use subject::capability;
use vfs::configuration::{Configuration, ConfigurationFile};
use vfs::fd_table::OnExec;
use vfs::parameter::Value;
use vfs::{anonymous, types};

use super::at::{PathCall, content_file, follow_unless, only, path_argument};
use super::mount_tree::{ATTRIBUTES, descriptor_of_tree, single_flags, times_flag};
use super::{Caller, Failure};

/// The longest parameter and the longest text for one, each with its NUL (Linux: `SYSCALL_DEFINE5(fsconfig)`).
const TEXT_SIZE: usize = 256;
/// The longest name of a type, with its NUL.
const NAME_SIZE: usize = 4096;
/// The most bytes for one.
const MOST_BYTES: i32 = 1 << 20;

fn text(address: UserAddr, limit: usize) -> Result<Vec<u8>, Errno> {
    read_string(address, limit)?.ok_or(Errno::EINVAL)
}

fn open(caller: &Caller<'_>, configuration: Configuration, closes: bool) -> Result<u32, Failure> {
    let thread = caller.thread;
    let operations = ConfigurationFile::new(configuration);
    let file = anonymous::open(operations, ConfigurationFile::LABEL, O_RDWR, &thread.credentials())?;
    let on_exec = if closes { OnExec::Close } else { OnExec::Keep };
    Ok(thread.files().insert(file, on_exec, thread.descriptor_limit())?)
}

/// `fsopen(type, flags)`: for an instance that is to be made.
pub fn fsopen(caller: &mut Caller<'_>, name: UserAddr, flags: u32) -> Result<u32, Failure> {
    let credentials = caller.thread.credentials();
    credentials.require(capability::SYS_ADMIN)?;
    only(flags, FSOPEN_CLOEXEC)?;
    let kind = types::find(&text(name, NAME_SIZE)?)?;
    open(caller, Configuration::of_new(kind, credentials, 0), flags & FSOPEN_CLOEXEC != 0)
}

/// `fspick(dfd, path, flags)`: for one that is mounted at a place.
pub fn fspick(caller: &mut Caller<'_>, dfd: i32, path: UserAddr, flags: u32) -> Result<u32, Failure> {
    let call = PathCall::of(caller);
    call.credentials.require(capability::SYS_ADMIN)?;
    only(flags, FSPICK_CLOEXEC | FSPICK_SYMLINK_NOFOLLOW | FSPICK_NO_AUTOMOUNT | FSPICK_EMPTY_PATH)?;
    let at_flags = (if flags & FSPICK_EMPTY_PATH != 0 { AT_EMPTY_PATH } else { 0 })
        | (if flags & FSPICK_SYMLINK_NOFOLLOW != 0 { AT_SYMLINK_NOFOLLOW } else { 0 });
    let mut buffer = PathBuffer::new();
    let path = path_argument(path, at_flags, &mut buffer)?;
    let place = call.resolve_or_self(caller, dfd, path, at_flags, follow_unless(at_flags))?;
    if !place.is_mount_root() {
        return Err(Errno::EINVAL.into());
    }
    let configuration = Configuration::of_existing(&place.mount, call.credentials, 0, 0);
    open(caller, configuration, flags & FSPICK_CLOEXEC != 0)
}

/// `fsconfig(fd, command, key, value, aux)`: a parameter, or a step.
pub fn fsconfig(
    caller: &mut Caller<'_>,
    fd: i32,
    command: u32,
    key: UserAddr,
    value: UserAddr,
    auxiliary: i32,
) -> Result<(), Failure> {
    if fd < 0 {
        return Err(Errno::EINVAL.into());
    }
    check_arguments(command, key, value, auxiliary)?;
    let file = content_file(caller, fd)?;
    let file = file.operations::<ConfigurationFile>().ok_or(Errno::EINVAL)?;
    let is_text = !(FSCONFIG_SET_BINARY..=FSCONFIG_SET_FD).contains(&command);
    if file.takes_texts_only && !is_text {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let call = PathCall::of(caller);
    match command {
        FSCONFIG_CMD_CREATE => file.configuration.take()?.make(&call.context, &call.credentials)?,
        FSCONFIG_CMD_RECONFIGURE => file.configuration.take()?.change(&call.credentials)?,
        _ => {
            let key = text(key, TEXT_SIZE)?;
            let written = check_value(caller, command, value, auxiliary)?;
            let value = match (&written, command) {
                (Some(text), _) => Value::Text(text),
                (None, FSCONFIG_SET_FLAG) => Value::None,
                (None, _) => Value::Other,
            };
            file.configuration.take()?.set(&key, value)?;
        }
    }
    Ok(())
}

/// Which arguments there are, and which not.
fn check_arguments(command: u32, key: UserAddr, value: UserAddr, auxiliary: i32) -> Result<(), Errno> {
    let (has_key, has_value) = (!key.is_null(), !value.is_null());
    let are_right = match command {
        FSCONFIG_SET_FLAG => has_key && !has_value && auxiliary == 0,
        FSCONFIG_SET_STRING => has_key && has_value && auxiliary == 0,
        FSCONFIG_SET_BINARY => has_key && has_value && (1..=MOST_BYTES).contains(&auxiliary),
        FSCONFIG_SET_PATH | FSCONFIG_SET_PATH_EMPTY => {
            has_key && has_value && (auxiliary == AT_FDCWD || auxiliary >= 0)
        }
        FSCONFIG_SET_FD => has_key && !has_value && auxiliary >= 0,
        FSCONFIG_CMD_CREATE | FSCONFIG_CMD_RECONFIGURE => !has_key && !has_value && auxiliary == 0,
        _ => return Err(Errno::EOPNOTSUPP),
    };
    if are_right { Ok(()) } else { Err(Errno::EINVAL) }
}

/// The value, where it is a text; of others it is only looked whether they are there, as no type here takes any.
fn check_value(
    caller: &Caller<'_>,
    command: u32,
    value: UserAddr,
    auxiliary: i32,
) -> Result<Option<Vec<u8>>, Errno> {
    match command {
        FSCONFIG_SET_STRING => return text(value, TEXT_SIZE).map(Some),
        FSCONFIG_SET_BINARY => check_bytes(value, auxiliary as usize)?,
        FSCONFIG_SET_PATH => drop(path_argument(value, 0, &mut PathBuffer::new())?),
        FSCONFIG_SET_PATH_EMPTY => drop(path_argument(value, AT_EMPTY_PATH, &mut PathBuffer::new())?),
        FSCONFIG_SET_FD => drop(content_file(caller, auxiliary)?),
        _ => {}
    }
    Ok(None)
}

/// EFAULT where bytes cannot be read.
fn check_bytes(address: UserAddr, length: usize) -> Result<(), Errno> {
    let mut source = IoSource::user(address, length);
    let mut piece = [0; 256];
    while source.remaining() > 0 {
        let length = source.remaining().min(piece.len());
        source.take_whole(piece.get_mut(..length).unwrap_or_default())?;
    }
    Ok(())
}

/// `fsmount(fd, flags, attributes)`: what was made as a tree of mounts that only the descriptor keeps.
pub fn fsmount(caller: &mut Caller<'_>, fd: i32, flags: u32, attributes: u32) -> Result<u32, Failure> {
    caller.thread.credentials().require(capability::SYS_ADMIN)?;
    only(flags, FSMOUNT_CLOEXEC)?;
    let attributes = u64::from(attributes);
    if attributes & !ATTRIBUTES != 0 {
        return Err(Errno::EINVAL.into());
    }
    let own = single_flags(attributes) | times_flag(attributes)?;
    let file = content_file(caller, fd)?;
    let file = file.operations::<ConfigurationFile>().ok_or(Errno::EINVAL)?;
    let mount = file.configuration.take()?.mount(own)?;
    let tree = caller.mount_turn().detached(mount);
    let on_exec = if flags & FSMOUNT_CLOEXEC != 0 { OnExec::Close } else { OnExec::Keep };
    descriptor_of_tree(caller, tree, on_exec)
}
