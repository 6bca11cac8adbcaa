//! Trees of mounts by descriptors: `open_tree`, `move_mount`, `mount_setattr`.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use alloc::format;
use conformance::mount_table::*;
use conformance::{Failure, Outcome, check, check_eq, files, raw, scratch};
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::process::geteuid;

conformance::tests!(&[
    ("places", places),
    ("copies_that_a_descriptor_keeps", copies_that_a_descriptor_keeps),
    ("copies_are_attached", copies_are_attached),
    ("moves_between_places", moves_between_places),
    ("copies_share", copies_share),
    ("what_cannot_be_opened_or_moved", what_cannot_be_opened_or_moved),
    ("groups_are_joined", groups_are_joined),
    ("attributes", attributes),
    ("attributes_of_trees", attributes_of_trees),
    ("attributes_that_cannot_be", attributes_that_cannot_be),
    ("users_may_not", users_may_not),
]);

/// A tmpfs of its own, private, as the working directory, with a tmpfs `m` that has a file and a mount inside; false
/// where this process may not mount.
fn begin() -> Result<bool, Failure> {
    if geteuid() != 0 {
        return Ok(false);
    }
    scratch::enter_tmpfs()?;
    tmpfs("m")?;
    close(files::create(c"m/f", b"x")?)?;
    folder("m/d")?;
    tmpfs("m/in")?;
    close(files::create(c"m/in/deep", b"x")?)?;
    folder("n")?;
    Ok(true)
}

fn open_tree(directory: i32, path: &CStr, flags: u32) -> Result<i32, Errno> {
    raw::call(nr::open_tree, &[directory as u64, path.as_ptr() as u64, flags.into()]).map(|fd| fd as i32)
}

fn move_mount(from: (i32, &CStr), to: (i32, &CStr), flags: u32) -> Result<(), Errno> {
    let [source, target] = [from.1, to.1].map(|path| path.as_ptr() as u64);
    raw::call(nr::move_mount, &[from.0 as u64, source, to.0 as u64, target, flags.into()]).map(drop)
}

/// Attaches what a descriptor stands for.
fn attach(fd: i32, to: &CStr) -> Result<(), Errno> {
    move_mount((fd, c""), (AT_FDCWD, to), MOVE_MOUNT_F_EMPTY_PATH)
}

fn set_attributes(path: &CStr, flags: u32, attributes: MountAttr) -> Result<(), Errno> {
    set_attributes_at(AT_FDCWD, path, flags, attributes)
}

fn set_attributes_at(directory: i32, path: &CStr, flags: u32, attributes: MountAttr) -> Result<(), Errno> {
    let size = size_of::<MountAttr>() as u64;
    let attributes = (&raw const attributes).addr() as u64;
    raw::call(nr::mount_setattr, &[directory as u64, path.as_ptr() as u64, flags.into(), attributes, size])
        .map(drop)
}

fn places() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let fd = open_tree(AT_FDCWD, c"m", 0)?;
    check_eq!((fcntl(fd, F_GETFL, 0)? as u32 & O_PATH, fcntl(fd, F_GETFD, 0)), (O_PATH, Ok(0)));
    check_eq!((read(fd, &mut [0]), openat(fd, c"in/deep", O_RDONLY, 0).is_ok()), (Err(Errno::EBADF), true));
    let again = open_tree(fd, c"", AT_EMPTY_PATH | OPEN_TREE_CLOEXEC)?;
    check_eq!(fcntl(again, F_GETFD, 0), Ok(1));
    check_eq!(open_tree(fd, c"", 0), Err(Errno::ENOENT));
    files::symlink(c"m", c"link")?;
    let link = open_tree(AT_FDCWD, c"link", AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT)?;
    check_eq!(readlinkat(link, c"", &mut [0; 8]), Ok(1));
    check_eq!(open_tree(AT_FDCWD, c"m", AT_RECURSIVE), Err(Errno::EINVAL));
    check_eq!(
        (open_tree(AT_FDCWD, c"m", 2), open_tree(AT_FDCWD, c"none", 0)),
        (Err(Errno::EINVAL), Err(Errno::ENOENT))
    );
    check_eq!(open_tree(99, c"m", OPEN_TREE_CLONE), Err(Errno::EBADF));
    check_eq!(shown()?, "m, m/in");
    Ok(())
}

fn copies_that_a_descriptor_keeps() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let one = open_tree(AT_FDCWD, c"m", OPEN_TREE_CLONE)?;
    let all = open_tree(AT_FDCWD, c"m", OPEN_TREE_CLONE | AT_RECURSIVE)?;
    let part = open_tree(AT_FDCWD, c"m/d", OPEN_TREE_CLONE)?;
    check_eq!(shown()?, "m, m/in");
    check!(openat(one, c"f", O_RDONLY, 0).is_ok() && openat(one, c"in/deep", O_RDONLY, 0).is_err());
    check!(openat(all, c"in/deep", O_RDONLY, 0).is_ok() && openat(all, c"..", O_PATH, 0).is_ok());
    close(files::create(c"m/d/g", b"x")?)?;
    check!(openat(part, c"g", O_RDONLY, 0).is_ok() && openat(part, c"../f", O_RDONLY, 0).is_err());
    // What is mounted later is not in it.
    tmpfs("m/d")?;
    check!(openat(all, c"d/g", O_RDONLY, 0).is_ok());
    unmount("m", MNT_DETACH)?;
    check!(openat(all, c"in/deep", O_RDONLY, 0).is_ok());
    // It goes with the last descriptor, and what is open in it stays.
    let file = openat(all, c"f", O_RDONLY, 0)?;
    let more = fcntl(all, F_DUPFD, 0)? as i32;
    close(all)?;
    check_eq!(attach(more, c"n"), Ok(()));
    check_eq!((shown()?.as_str(), files::exists(c"n/in/deep")), ("n, n/in", true));
    close(more)?;
    check_eq!((read(file, &mut [0]), files::exists(c"n/in/deep")), (Ok(1), true));
    close(one)?;
    Ok(())
}

fn copies_are_attached() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let fd = open_tree(AT_FDCWD, c"m", OPEN_TREE_CLONE | AT_RECURSIVE)?;
    // A part of a copy does not come out.
    check_eq!(move_mount((fd, c"in"), (AT_FDCWD, c"n"), 0), Err(Errno::EINVAL));
    check_eq!(move_mount((fd, c"d"), (AT_FDCWD, c"n"), 0), Err(Errno::EINVAL));
    check_eq!(attach(fd, c"none"), Err(Errno::ENOENT));
    check_eq!(attach(fd, c"m/f"), Err(Errno::EINVAL));
    check_eq!(attach(fd, c"n"), Ok(()));
    check_eq!(shown()?, "m, m/in, n, n/in");
    // From there it is moved as any other.
    folder("o")?;
    check_eq!(attach(fd, c"o"), Ok(()));
    check_eq!((shown()?.as_str(), unmount("o/in", 0)), ("m, m/in, o, o/in", Ok(())));
    check_eq!(unmount("o", 0), Err(Errno::EBUSY));
    close(fd)?;
    check_eq!((unmount("o", 0), shown()?.as_str()), (Ok(()), "m, m/in"));
    // A file.
    close(files::create(c"target", b"")?)?;
    let fd = open_tree(AT_FDCWD, c"m/f", OPEN_TREE_CLONE)?;
    check_eq!((attach(fd, c"n"), attach(fd, c"target")), (Err(Errno::EINVAL), Ok(())));
    check_eq!(files::content(c"target")?, b"x");
    // Nothing is attached to what is attached nowhere.
    let tree = open_tree(AT_FDCWD, c"m", OPEN_TREE_CLONE)?;
    let other = open_tree(AT_FDCWD, c"m", OPEN_TREE_CLONE)?;
    let into = move_mount((other, c""), (tree, c"d"), MOVE_MOUNT_F_EMPTY_PATH);
    check_eq!(
        (into, change("m/in", &format!("/proc/self/fd/{tree}/d"), MS_BIND)),
        (Err(Errno::EINVAL), Err(Errno::EINVAL))
    );
    check_eq!(change(&format!("/proc/self/fd/{tree}"), "n", MS_BIND), Err(Errno::EINVAL));
    check_eq!(unmount(&format!("/proc/self/fd/{tree}"), MNT_DETACH), Err(Errno::EINVAL));
    check_eq!(open_tree(tree, c"", OPEN_TREE_CLONE | AT_EMPTY_PATH), Err(Errno::EINVAL));
    Ok(())
}

fn moves_between_places() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let here = AT_FDCWD;
    files::symlink(c"m", c"from")?;
    files::symlink(c"n", c"to")?;
    check_eq!(move_mount((here, c"from"), (here, c"n"), 0), Err(Errno::EINVAL));
    check_eq!(move_mount((here, c"m"), (here, c"to"), 0), Err(Errno::EINVAL));
    check_eq!(
        move_mount((here, c"from"), (here, c"to"), MOVE_MOUNT_F_SYMLINKS | MOVE_MOUNT_T_SYMLINKS),
        Ok(())
    );
    check_eq!(shown()?, "n, n/in");
    let target = open(c"m", O_PATH, 0)?;
    check_eq!(move_mount((here, c"n/in"), (target, c""), 0), Err(Errno::ENOENT));
    check_eq!(move_mount((here, c"n/in"), (target, c""), MOVE_MOUNT_T_EMPTY_PATH), Ok(()));
    check_eq!((shown()?.as_str(), files::exists(c"m/deep")), ("m, n", true));
    check_eq!(move_mount((here, c"n"), (here, c"n/d"), 0), Err(Errno::ELOOP));
    check_eq!(move_mount((here, c"n/d"), (here, c"m"), 0), Err(Errno::EINVAL));
    check_eq!(move_mount((here, c"n"), (here, c"m"), 8), Err(Errno::EINVAL));
    Ok(())
}

fn copies_share() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    change("", "m", MS_SHARED)?;
    change("", "m/in", MS_UNBINDABLE)?;
    let fd = open_tree(AT_FDCWD, c"m", OPEN_TREE_CLONE | AT_RECURSIVE)?;
    // What is mounted in the original comes only to a copy that is attached.
    tmpfs("m/d")?;
    close(files::create(c"m/d/late", b"")?)?;
    check!(openat(fd, c"d/late", O_RDONLY, 0).is_err() && openat(fd, c"in/deep", O_RDONLY, 0).is_err());
    attach(fd, c"n")?;
    check_eq!(shown()?, "m shared:A, m/d shared:B, m/in unbindable, n shared:A");
    unmount("m/d", 0)?;
    tmpfs("m/d")?;
    check_eq!(shown()?, "m shared:A, m/d shared:B, m/in unbindable, n shared:A, n/d shared:B");
    // But what is unmounted goes from any copy.
    let fd = open_tree(AT_FDCWD, c"n", OPEN_TREE_CLONE | AT_RECURSIVE)?;
    close(files::create(c"m/d/late", b"")?)?;
    check_eq!(openat(fd, c"d/late", O_RDONLY, 0).and_then(close), Ok(()));
    unmount("n/d", 0)?;
    check!(openat(fd, c"d/late", O_RDONLY, 0).is_err());
    close(fd)?;
    check_eq!(shown()?, "m shared:A, m/in unbindable, n shared:A");
    // Into a shared mount it is passed on.
    tmpfs("p")?;
    change("", "p", MS_SHARED)?;
    folder("p/d")?;
    bind("p", "q")?;
    let fd = open_tree(AT_FDCWD, c"n", OPEN_TREE_CLONE)?;
    set_attributes_at(fd, c"", AT_EMPTY_PATH, MountAttr { propagation: MS_PRIVATE, ..MountAttr::default() })?;
    attach(fd, c"p/d")?;
    check_eq!(
        shown()?,
        "m shared:A, m/in unbindable, n shared:A, p shared:B, p/d shared:C, q shared:B, q/d shared:C"
    );
    Ok(())
}

fn what_cannot_be_opened_or_moved() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let clone = |path: &CStr| open_tree(AT_FDCWD, path, OPEN_TREE_CLONE);
    change("", "m/in", MS_UNBINDABLE)?;
    check_eq!(clone(c"m/in"), Err(Errno::EINVAL));
    let (reader, _writer) = pipe2(0)?;
    check_eq!(open_tree(reader, c"", OPEN_TREE_CLONE | AT_EMPTY_PATH), Err(Errno::EINVAL));
    check_eq!(move_mount((reader, c""), (AT_FDCWD, c"n"), MOVE_MOUNT_F_EMPTY_PATH), Err(Errno::EINVAL));
    let gone = open(c"m", O_PATH, 0)?;
    unmount("m", MNT_DETACH)?;
    check_eq!(open_tree(gone, c"", OPEN_TREE_CLONE | AT_EMPTY_PATH), Err(Errno::EINVAL));
    check_eq!(attach(gone, c"n"), Err(Errno::EINVAL));
    check_eq!(
        set_attributes_at(gone, c"", AT_EMPTY_PATH, MountAttr { attr_set: 1, ..MountAttr::default() }),
        Err(Errno::EINVAL)
    );
    Ok(())
}

fn groups_are_joined() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    bind("m", "n")?;
    let join = |from: &CStr, to: &CStr| move_mount((AT_FDCWD, from), (AT_FDCWD, to), MOVE_MOUNT_SET_GROUP);
    let invalid = Err(Errno::EINVAL);
    check_eq!(join(c"m", c"n"), invalid);
    change("", "m", MS_SHARED)?;
    check_eq!((join(c"m", c"n/d"), join(c"m/d", c"n"), join(c"m", c"m/in")), (invalid, invalid, invalid));
    check_eq!(join(c"m", c"n"), Ok(()));
    check_eq!((shown()?.as_str(), join(c"m", c"n")), ("m shared:A, m/in, n shared:A", invalid));
    tmpfs("n/d")?;
    check_eq!(shown()?, "m shared:A, m/d shared:B, m/in, n shared:A, n/d shared:B");
    unmount("n/d", 0)?;
    // A slave's master, and what shows less.
    change("", "n", MS_SLAVE)?;
    folder("o")?;
    change("n/d", "o", MS_BIND)?;
    change("", "o", MS_PRIVATE)?;
    check_eq!((join(c"n", c"o"), join(c"o", c"n")), (Ok(()), invalid));
    check_eq!(shown()?, "m shared:A, m/in, n master:A, o master:A");
    Ok(())
}

fn flags_of(path: &CStr) -> Result<i64, Failure> {
    const ALL: i64 = ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME | ST_NODIRATIME | ST_RELATIME;
    Ok(statfs(path)?.f_flags & ALL)
}

fn attributes() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let set = |attr_set: u64, attr_clr: u64| {
        set_attributes(c"m", 0, MountAttr { attr_set, attr_clr, ..MountAttr::default() })
    };
    check_eq!(
        set(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODIRATIME, 0),
        Ok(())
    );
    check_eq!(flags_of(c"m")?, ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NODIRATIME | ST_RELATIME);
    check_eq!(set(MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NODIRATIME), Ok(()));
    check_eq!(flags_of(c"m")?, ST_NODEV | ST_NOEXEC | ST_RELATIME);
    for (times, flag) in
        [(MOUNT_ATTR_NOATIME, ST_NOATIME), (MOUNT_ATTR_STRICTATIME, 0), (MOUNT_ATTR_RELATIME, ST_RELATIME)]
    {
        check_eq!(set(times, MOUNT_ATTR__ATIME), Ok(()));
        check_eq!(flags_of(c"m")?, ST_NODEV | ST_NOEXEC | flag);
    }
    check_eq!(set(MOUNT_ATTR_NOATIME, MOUNT_ATTR_NOATIME), Err(Errno::EINVAL));
    check_eq!(
        (set(MOUNT_ATTR_NOATIME, 0), set(0x30, MOUNT_ATTR__ATIME)),
        (Err(Errno::EINVAL), Err(Errno::EINVAL))
    );
    check_eq!((set(0x100, 0), set(0, 1 << 40)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    // Read-only: not while somebody writes.
    let fd = open(c"m/f", O_RDWR, 0)?;
    check_eq!(set(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0), Err(Errno::EBUSY));
    close(fd)?;
    check_eq!((flags_of(c"m")? & ST_NOSUID, set(MOUNT_ATTR_RDONLY, 0)), (0, Ok(())));
    check_eq!((open(c"m/f", O_RDWR, 0), set(0, MOUNT_ATTR_RDONLY)), (Err(Errno::EROFS), Ok(())));
    check_eq!(open(c"m/f", O_RDWR, 0).and_then(close), Ok(()));
    files::symlink(c"f", c"m/link")?;
    check_eq!(set(MOUNT_ATTR_NOSYMFOLLOW, 0), Ok(()));
    check_eq!(open(c"m/link", O_RDONLY, 0), Err(Errno::ELOOP));
    Ok(())
}

fn attributes_of_trees() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let set = |flags: u32, attr_set: u64, propagation: u64| {
        set_attributes(c"m", flags, MountAttr { attr_set, propagation, ..MountAttr::default() })
    };
    let fd = open(c"m/in/deep", O_RDWR, 0)?;
    // All or none.
    check_eq!(set(AT_RECURSIVE, MOUNT_ATTR_RDONLY, MS_SHARED), Err(Errno::EBUSY));
    check_eq!((shown()?.as_str(), open(c"m/f", O_RDWR, 0).and_then(close)), ("m, m/in", Ok(())));
    check_eq!(set(0, MOUNT_ATTR_RDONLY, MS_SHARED), Ok(()));
    check_eq!((shown()?.as_str(), flags_of(c"m/in")?), ("m shared:A, m/in", ST_RELATIME));
    close(fd)?;
    check_eq!(set(AT_RECURSIVE, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC, MS_SHARED), Ok(()));
    check_eq!(
        (shown()?.as_str(), flags_of(c"m/in")?),
        ("m shared:A, m/in shared:B", ST_RDONLY | ST_NOEXEC | ST_RELATIME)
    );
    check_eq!(set(AT_RECURSIVE, 0, MS_UNBINDABLE), Ok(()));
    check_eq!(shown()?, "m unbindable, m/in unbindable");
    check_eq!((set(0, 0, MS_SHARED | MS_SLAVE), set(0, 0, MS_REC)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    Ok(())
}

fn attributes_that_cannot_be() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let read_only = MountAttr { attr_set: MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    check_eq!(
        (set_attributes(c"m/d", 0, read_only), set_attributes(c"none", 0, read_only)),
        (Err(Errno::EINVAL), Err(Errno::ENOENT))
    );
    check_eq!(set_attributes(c"none", 0, MountAttr::default()), Ok(()));
    check_eq!(set_attributes(c"m", 1, read_only), Err(Errno::EINVAL));
    let mut longer = [0_u64; 5];
    longer[0] = MOUNT_ATTR_NOSUID;
    let call = |attributes: &[u64; 5], size: u64| {
        let arguments = [AT_FDCWD as u64, c"m".as_ptr() as u64, 0, attributes.as_ptr() as u64, size];
        raw::call(nr::mount_setattr, &arguments).map(drop)
    };
    check_eq!(
        (call(&longer, 24), call(&longer, 4097), call(&longer, 40)),
        (Err(Errno::EINVAL), Err(Errno::E2BIG), Ok(()))
    );
    longer[4] = 1;
    check_eq!((call(&longer, 40), flags_of(c"m")?), (Err(Errno::E2BIG), ST_NOSUID | ST_RELATIME));
    // Users are not mapped to those of the first namespace.
    let users = open(c"/proc/self/ns/user", O_RDONLY, 0)?;
    let other = open(c"/proc/self/ns/uts", O_RDONLY, 0)?;
    let map =
        |fd: i32| MountAttr { attr_set: MOUNT_ATTR_IDMAP, userns_fd: fd as u64, ..MountAttr::default() };
    check_eq!(
        (set_attributes(c"m", 0, map(users)), set_attributes(c"m", 0, map(other))),
        (Err(Errno::EPERM), Err(Errno::EINVAL))
    );
    check_eq!(
        (set_attributes(c"m", 0, map(999)), set_attributes(c"m", 0, map(-1))),
        (Err(Errno::EBADF), Err(Errno::EINVAL))
    );
    let unmap = MountAttr { attr_clr: MOUNT_ATTR_IDMAP, ..MountAttr::default() };
    check_eq!(set_attributes(c"m", 0, unmap), Err(Errno::EINVAL));
    Ok(())
}

fn users_may_not() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    files::as_user(|| {
        check!(open_tree(AT_FDCWD, c"m", 0).is_ok());
        check_eq!(open_tree(AT_FDCWD, c"none", OPEN_TREE_CLONE), Err(Errno::EPERM));
        check_eq!(move_mount((AT_FDCWD, c"m"), (AT_FDCWD, c"n"), 8), Err(Errno::EPERM));
        check_eq!(set_attributes(c"m", 0, MountAttr::default()), Err(Errno::EPERM));
        Ok(())
    })
}
