//! Mounting step by step: `fsopen`, `fsconfig`, `fsmount`, `fspick`.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use conformance::mount_step::*;
use conformance::mount_table::*;
use conformance::{Failure, Outcome, check, check_eq, files, raw};
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::system::mount;

conformance::tests!(&[
    ("a_file_system_is_made_and_mounted", a_file_system_is_made_and_mounted),
    ("steps_have_an_order", steps_have_an_order),
    ("a_failure_ends_it", a_failure_ends_it),
    ("changes_are_made_whole", changes_are_made_whole),
    ("what_is_picked", what_is_picked),
    ("messages", messages),
    ("arguments", arguments),
    ("texts", texts),
    ("attributes_of_a_mount", attributes_of_a_mount),
    ("an_instance_stays", an_instance_stays),
    ("a_root_belongs_to_who_makes_it", a_root_belongs_to_who_makes_it),
    ("users_may_not", users_may_not),
]);

/// The size of a file system by a descriptor, in blocks.
fn blocks_of(fd: i32) -> Result<u64, Failure> {
    let path = CString::new(format!("/proc/self/fd/{fd}")).map_err(Failure::new)?;
    Ok(statfs(&path)?.f_blocks)
}

fn a_file_system_is_made_and_mounted() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    folder("n")?;
    let fd = fsopen(c"tmpfs", 0)?;
    check_eq!((fcntl(fd, F_GETFL, 0)? as u32 & O_ACCMODE, fcntl(fd, F_GETFD, 0)), (O_RDWR, Ok(0)));
    check_eq!((text(fd, c"source", c"from"), text(fd, c"mode", c"0710")), (Ok(()), Ok(())));
    check_eq!((text(fd, c"size", c"1m"), text(fd, c"size", c"8k")), (Ok(()), Ok(())));
    check_eq!((flag(fd, c"sync"), create(fd)), (Ok(()), Ok(())));
    let tree = fsmount(fd, 0, 0)?;
    check_eq!((fcntl(tree, F_GETFL, 0)? as u32 & O_PATH, fcntl(tree, F_GETFD, 0)), (O_PATH, Ok(0)));
    // It can be used before it is attached.
    check_eq!(openat(tree, c"f", O_RDWR | O_CREAT, 0o644).and_then(close), Ok(()));
    check_eq!((shown()?.as_str(), attach(tree, c"n")), ("", Ok(())));
    check_eq!((shown()?.as_str(), files::exists(c"n/f")), ("n", true));
    check_eq!(about("n")?, "tmpfs from rw sync");
    check_eq!((files::mode_of(c"n")? & 0o7777, statfs(c"n")?.f_blocks), (0o710, 2));
    check_eq!(unmount("n", 0), Err(Errno::EBUSY));
    close(tree)?;
    check_eq!((unmount("n", 0), shown()?.as_str()), (Ok(()), ""));
    close(fd)?;
    // Nothing needs to be said, and what is attached nowhere goes.
    let (fd, tree) = new_tmpfs()?;
    check_eq!((fcntl(fd, F_GETFD, 0), fcntl(tree, F_GETFD, 0)), (Ok(1), Ok(1)));
    check_eq!((fstat(tree)?.st_mode & 0o7777, attach(tree, c"n")), (0o1777, Ok(())));
    check_eq!(about("n")?, "tmpfs none rw");
    close(tree)?;
    close(fd)?;
    check_eq!(unmount("n", 0), Ok(()));
    let _ = new_tmpfs()?;
    let fd = fsopen(c"tmpfs", 0)?;
    create(fd)?;
    close(fd)?;
    Ok(())
}

fn steps_have_an_order() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let busy = Err(Errno::EBUSY);
    let fd = fsopen(c"tmpfs", 0)?;
    check_eq!((fsmount(fd, 0, 0), reconfigure(fd)), (Err(Errno::EINVAL), busy));
    check_eq!((flag(fd, c"rw"), create(fd)), (Ok(()), Ok(())));
    check_eq!((create(fd), reconfigure(fd), flag(fd, c"ro")), (busy, busy, busy));
    check_eq!((text(fd, c"nonsense", c""), message(fd)), (busy, Err(Errno::ENODATA)));
    check_eq!(fsmount(fd, 0, 0).and_then(close), Ok(()));
    check_eq!((fsmount(fd, 0, 0), create(fd)), (Err(Errno::EBUSY), busy));
    check_eq!(
        (text(fd, c"size", c"4k"), flag(fd, c"ro"), text(fd, c"source", c"x")),
        (Ok(()), Ok(()), Ok(()))
    );
    check_eq!((reconfigure(fd), reconfigure(fd), text(fd, c"source", c"x")), (Ok(()), Ok(()), Ok(())));
    check_eq!((fsmount(fd, 0, 0), create(fd)), (Err(Errno::EBUSY), busy));
    Ok(())
}

fn a_failure_ends_it() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let busy = Err(Errno::EBUSY);
    // A wrong parameter does not.
    let (fd, tree) = new_tmpfs()?;
    check_eq!((text(fd, c"size", c"x"), text(fd, c"size", c"4k")), (Err(Errno::EINVAL), Ok(())));
    check_eq!((flag(fd, c"dirsync"), reconfigure(fd)), (Ok(()), Err(Errno::EINVAL)));
    check_eq!((reconfigure(fd), create(fd), flag(fd, c"ro")), (busy, busy, busy));
    check_eq!((fsmount(fd, 0, 0), blocks_of(tree)? == 1), (Err(Errno::EBUSY), false));
    let fd = fsopen(c"devtmpfs", 0)?;
    check_eq!((flag(fd, c"nonsense"), create(fd)), (Ok(()), Err(Errno::EINVAL)));
    check_eq!((create(fd), flag(fd, c"ro"), fsmount(fd, 0, 0)), (busy, busy, Err(Errno::EINVAL)));
    Ok(())
}

fn changes_are_made_whole() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    folder("n")?;
    let (fd, tree) = new_tmpfs()?;
    attach(tree, c"n")?;
    close(tree)?;
    let file = open(c"n/f", O_RDWR | O_CREAT, 0o644)?;
    check_eq!(write(file, &[1; 8192]), Ok(8192));
    check_eq!(
        (flag(fd, c"ro"), text(fd, c"size", c"4m"), reconfigure(fd)),
        (Ok(()), Ok(()), Err(Errno::EBUSY))
    );
    check!(statfs(c"n")?.f_blocks != 1024);
    let fd = fspick(AT_FDCWD, c"n", FSPICK_CLOEXEC)?;
    check_eq!((fcntl(fd, F_GETFD, 0), text(fd, c"size", c"4k")), (Ok(1), Ok(())));
    close(file)?;
    // Less than there is.
    check_eq!(
        (flag(fd, c"ro"), reconfigure(fd), about("n")?.as_str()),
        (Ok(()), Err(Errno::EINVAL), "tmpfs none rw")
    );
    let fd = fspick(AT_FDCWD, c"n", 0)?;
    check_eq!((flag(fd, c"ro"), text(fd, c"size", c"8k"), reconfigure(fd)), (Ok(()), Ok(()), Ok(())));
    check_eq!((about("n")?.as_str(), statfs(c"n")?.f_blocks), ("tmpfs none ro", 2));
    check_eq!(open(c"n/f", O_RDWR, 0), Err(Errno::EROFS));
    // What was never said stays, but a flag that was set goes unless it is set again.
    check_eq!((flag(fd, c"mand"), flag(fd, c"lazytime"), reconfigure(fd)), (Ok(()), Ok(()), Ok(())));
    check_eq!((about("n")?.as_str(), statfs(c"n")?.f_blocks), ("tmpfs none rw mand lazytime", 2));
    check_eq!(open(c"n/f", O_RDWR, 0).and_then(close), Ok(()));
    let other = fspick(AT_FDCWD, c"n", 0)?;
    check_eq!((flag(other, c"ro"), reconfigure(other)), (Ok(()), Ok(())));
    check_eq!(about("n")?, "tmpfs none ro mand lazytime");
    check_eq!(
        (flag(fd, c"mand"), reconfigure(fd), about("n")?.as_str()),
        (Ok(()), Ok(()), "tmpfs none rw mand")
    );
    let fd = fsopen(c"tmpfs", 0)?;
    check_eq!((flag(fd, c"dirsync"), create(fd)), (Ok(()), Ok(())));
    check_eq!((fsmount(fd, 0, 0).and_then(close), reconfigure(fd)), (Ok(()), Err(Errno::EINVAL)));
    Ok(())
}

fn what_is_picked() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    tmpfs("m")?;
    folder("m/d")?;
    files::symlink(c"m", c"link")?;
    let pick = |path: &CStr, flags: u32| fspick(AT_FDCWD, path, flags).and_then(close);
    check_eq!((pick(c"m", 0), pick(c"link", 0)), (Ok(()), Ok(())));
    check_eq!(
        (pick(c"link", FSPICK_SYMLINK_NOFOLLOW), pick(c"m/d", 0)),
        (Err(Errno::EINVAL), Err(Errno::EINVAL))
    );
    check_eq!((pick(c"none", 0), pick(c"", 0)), (Err(Errno::ENOENT), Err(Errno::ENOENT)));
    check_eq!(
        (pick(c"", FSPICK_EMPTY_PATH | FSPICK_NO_AUTOMOUNT), pick(c"m", 16)),
        (Ok(()), Err(Errno::EINVAL))
    );
    let place = open(c"m", O_PATH, 0)?;
    check_eq!(fspick(place, c"", FSPICK_EMPTY_PATH).and_then(close), Ok(()));
    check_eq!(fspick(99, c"m", 0), Err(Errno::EBADF));
    Ok(())
}

fn messages() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let fd = fsopen(c"tmpfs", 0)?;
    check_eq!((message(fd), read(fd, &mut [])), (Err(Errno::ENODATA), Err(Errno::ENODATA)));
    for number in 0..10 {
        let key = CString::new(format!("n{number}")).map_err(Failure::new)?;
        check_eq!(flag(fd, &key), Err(Errno::EINVAL));
    }
    // The last eight; one that does not fit stays.
    check_eq!(message(fd), Ok(String::from("e tmpfs: Unknown parameter 'n2'\n")));
    check_eq!((read(fd, &mut [0; 31]), read(fd, &mut [])), (Err(Errno::EMSGSIZE), Err(Errno::EMSGSIZE)));
    let mut exact = [0; 32];
    check_eq!((read(fd, &mut exact), &exact[..]), (Ok(32), &b"e tmpfs: Unknown parameter 'n3'\n"[..]));
    let bad = raw::call(nr::read, &[fd as u64, 8, 100]);
    check_eq!(
        (bad, message(fd)),
        (Err(Errno::EFAULT), Ok(String::from("e tmpfs: Unknown parameter 'n5'\n")))
    );
    for _ in 6..10 {
        check!(message(fd).is_ok());
    }
    check_eq!(message(fd), Err(Errno::ENODATA));
    check_eq!((write(fd, b"x"), lseek(fd, 0, SEEK_SET)), (Err(Errno::EINVAL), Err(Errno::ESPIPE)));
    let mut name = [0; 64];
    let path = CString::new(format!("/proc/self/fd/{fd}")).map_err(Failure::new)?;
    let length = readlinkat(AT_FDCWD, &path, &mut name)?;
    check_eq!(&name[..length], b"anon_inode:[fscontext]");
    Ok(())
}

fn arguments() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let (invalid, invalid_fd) = (Err(Errno::EINVAL), Err(Errno::EINVAL));
    let (key, value) = (address(c"nonsense"), address(c"x"));
    let fd = fsopen(c"tmpfs", 0)?;
    for (command, key, value, auxiliary) in [
        (FSCONFIG_SET_FLAG, 0, 0, 0),
        (FSCONFIG_SET_FLAG, key, value, 0),
        (FSCONFIG_SET_FLAG, key, 0, 1),
        (FSCONFIG_SET_STRING, 0, value, 0),
        (FSCONFIG_SET_STRING, key, 0, 0),
        (FSCONFIG_SET_STRING, key, value, 1),
        (FSCONFIG_SET_BINARY, key, value, 0),
        (FSCONFIG_SET_BINARY, key, value, -1),
        (FSCONFIG_SET_BINARY, key, value, (1 << 20) + 1),
        (FSCONFIG_SET_BINARY, key, 0, 1),
        (FSCONFIG_SET_PATH, key, value, -1),
        (FSCONFIG_SET_PATH, key, 0, AT_FDCWD),
        (FSCONFIG_SET_PATH_EMPTY, key, value, -99),
        (FSCONFIG_SET_FD, key, 0, -1),
        (FSCONFIG_SET_FD, key, value, 0),
        (FSCONFIG_CMD_CREATE, key, 0, 0),
        (FSCONFIG_CMD_CREATE, 0, value, 0),
        (FSCONFIG_CMD_CREATE, 0, 0, 1),
        (FSCONFIG_CMD_RECONFIGURE, key, 0, 0),
    ] {
        // Before the descriptor is looked at.
        check_eq!((command, fsconfig(999, command, key, value, auxiliary)), (command, invalid));
    }
    check_eq!(fsconfig(-1, 99, 0, 0, 0), invalid);
    check_eq!(
        (fsconfig(999, 8, 0, 0, 0), fsconfig(999, 99, key, value, 0)),
        (Err(Errno::EOPNOTSUPP), Err(Errno::EOPNOTSUPP))
    );
    let (reader, _writer) = pipe2(0)?;
    let place = open(c".", O_PATH, 0)?;
    check_eq!((create(999), create(reader), create(place)), (Err(Errno::EBADF), invalid, Err(Errno::EBADF)));
    check_eq!((fsopen(c"tmpfs", 2), fsopen(c"tmpfs", 0).and_then(close)), (invalid_fd, Ok(())));
    check_eq!((fsmount(fd, 2, 0), fsmount(999, 0, 0)), (invalid_fd, Err(Errno::EBADF)));
    check_eq!((fsmount(999, 0, 0x30), fsmount(999, 0, MOUNT_ATTR_IDMAP)), (invalid_fd, invalid_fd));
    check_eq!((fsmount(reader, 0, 0), fsmount(place, 0, 0)), (invalid_fd, Err(Errno::EBADF)));
    Ok(())
}

fn texts() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let (invalid, key) = (Err(Errno::EINVAL), address(c"nonsense"));
    let fd = fsopen(c"tmpfs", 0)?;
    let place = open(c".", O_PATH, 0)?;
    // They have 255 bytes at most.
    let long = CString::new([b'a'; 255]).map_err(Failure::new)?;
    let longer = CString::new([b'a'; 256]).map_err(Failure::new)?;
    check_eq!((text(fd, c"source", &longer), text(fd, &longer, c"")), (invalid, invalid));
    check_eq!((message(fd), text(fd, c"source", &long)), (Err(Errno::ENODATA), Ok(())));
    check_eq!((flag(fd, &long), message(fd).map(|text| text.len())), (invalid, Ok(2 + 7 + 19 + 255 + 2)));
    let fault = Err(Errno::EFAULT);
    check_eq!(
        (fsconfig(fd, FSCONFIG_SET_FLAG, 8, 0, 0), fsconfig(fd, FSCONFIG_SET_STRING, key, 8, 0)),
        (fault, fault)
    );
    check_eq!(fsconfig(fd, FSCONFIG_SET_BINARY, key, 8, 1), fault);
    check_eq!(fsconfig(fd, FSCONFIG_SET_FD, key, 0, 999), Err(Errno::EBADF));
    check_eq!(fsconfig(fd, FSCONFIG_SET_FD, key, 0, place), Err(Errno::EBADF));
    check_eq!(fsconfig(fd, FSCONFIG_SET_PATH, key, address(c""), AT_FDCWD), Err(Errno::ENOENT));
    check_eq!(message(fd), Err(Errno::ENODATA));
    check_eq!(raw::call(nr::fsopen, &[8, 0]), Err(Errno::EFAULT));
    Ok(())
}

fn attributes_of_a_mount() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    const ALL: i64 = ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME | ST_NODIRATIME | ST_RELATIME;
    folder("n")?;
    for (attributes, flags) in [
        (0, ST_RELATIME),
        (MOUNT_ATTR_STRICTATIME, 0),
        (MOUNT_ATTR_NOATIME | MOUNT_ATTR_NODEV, ST_NOATIME | ST_NODEV),
        (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, ST_RDONLY | ST_NOSUID | ST_RELATIME),
        (MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODIRATIME, ST_NOEXEC | ST_NODIRATIME | ST_RELATIME),
    ] {
        let fd = fsopen(c"tmpfs", 0)?;
        create(fd)?;
        let tree = fsmount(fd, 0, attributes)?;
        attach(tree, c"n")?;
        check_eq!((statfs(c"n")?.f_flags & ALL, about("n")?.as_str()), (flags, "tmpfs none rw"));
        close(tree)?;
        unmount("n", 0)?;
    }
    Ok(())
}

/// The descriptor keeps the instance, not the mount.
fn an_instance_stays() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    folder("n")?;
    let (fd, tree) = new_tmpfs()?;
    attach(tree, c"n")?;
    close(tree)?;
    let picked = fspick(AT_FDCWD, c"n", 0)?;
    check_eq!((unmount("n", 0), shown()?.as_str()), (Ok(()), ""));
    check_eq!((flag(fd, c"ro"), reconfigure(fd)), (Ok(()), Ok(())));
    check_eq!((flag(picked, c"rw"), reconfigure(picked)), (Ok(()), Ok(())));
    // A second mount of one instance is a copy of the first.
    let fd = fsopen(c"tmpfs", 0)?;
    create(fd)?;
    let tree = fsmount(fd, 0, 0)?;
    attach(tree, c"n")?;
    bind("n", "m")?;
    check_eq!((flag(fd, c"ro"), reconfigure(fd)), (Ok(()), Ok(())));
    check_eq!((about("n")?.as_str(), about("m")?.as_str()), ("tmpfs none ro", "tmpfs none ro"));
    Ok(())
}

fn a_root_belongs_to_who_makes_it() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    folder("n")?;
    let identity = |user: u64, group: u64| {
        raw::call(nr::setfsgid, &[group])?;
        raw::call(nr::setfsuid, &[user]).map(drop)
    };
    let owner = |path: &CStr| newfstatat(AT_FDCWD, path, 0).map(|stat| (stat.st_uid, stat.st_gid));
    // Who has another number there loses what lets him pass files, not what lets him mount.
    libsyscall::file::fchmodat(AT_FDCWD, c"n", 0o777)?;
    identity(1000, 2000)?;
    let made = mount(c"s", c"n", c"tmpfs", 0, None);
    identity(0, 0)?;
    check_eq!((made, owner(c"n")?), (Ok(()), (1000, 2000)));
    unmount("n", 0)?;
    // Of the steps the first one counts.
    identity(1000, 2000)?;
    let fd = fsopen(c"tmpfs", 0);
    identity(0, 0)?;
    let fd = fd?;
    check_eq!((text(fd, c"gid", c"7"), create(fd)), (Ok(()), Ok(())));
    let tree = fsmount(fd, 0, 0)?;
    attach(tree, c"n")?;
    check_eq!(owner(c"n")?, (1000, 7));
    Ok(())
}

fn users_may_not() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let open = fsopen(c"tmpfs", 0)?;
    let (_, tree) = new_tmpfs()?;
    attach(tree, c".")?;
    let picked = fspick(tree, c"", FSPICK_EMPTY_PATH)?;
    let made = fsopen(c"tmpfs", 0)?;
    create(made)?;
    files::as_user(|| {
        check_eq!((fsopen(c"none", 99), fspick(999, c"", 99)), (Err(Errno::EPERM), Err(Errno::EPERM)));
        check_eq!((fsmount(made, 99, 99), fsmount(999, 0, 0)), (Err(Errno::EPERM), Err(Errno::EPERM)));
        check_eq!((text(open, c"size", c"4k"), create(open)), (Ok(()), Err(Errno::EPERM)));
        check_eq!((text(picked, c"size", c"4k"), reconfigure(picked)), (Ok(()), Err(Errno::EPERM)));
        Ok(())
    })?;
    // To be made it waits; the change has failed.
    check_eq!((create(open), reconfigure(picked)), (Ok(()), Err(Errno::EBUSY)));
    Ok(())
}
