//! Instances of procfs: each mount has options of its own, and hides processes from who may not look into them.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw, scratch};
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::process::{exit_group, geteuid, getpid};
use libsyscall::system::{mount, umount2};

conformance::tests!(&[
    ("options", options),
    ("options_that_are_refused", options_that_are_refused),
    ("a_remount_changes_what_it_names", a_remount_changes_what_it_names),
    ("words_that_every_type_knows", words_that_every_type_knows),
    ("each_mount_is_an_instance", each_mount_is_an_instance),
    ("what_is_hidden", what_is_hidden),
    ("a_group_sees_all", a_group_sees_all),
    ("what_was_open_before", what_was_open_before),
    ("processes_only", processes_only),
]);

fn is_root() -> bool {
    geteuid() == 0
}

/// A folder with a place for a mount, `p`.
fn enter() -> Outcome {
    files::mount_proc()?;
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"p", 0o755)?;
    Ok(())
}

fn mount_with(options: &str) -> Result<(), Errno> {
    mount_flags(0, options)
}

fn mount_flags(flags: u64, options: &str) -> Result<(), Errno> {
    let options = CString::new(options).map_err(|_| Errno::EINVAL)?;
    mount(c"proc", c"p", c"proc", flags, Some(&options))
}

/// The options of the latest mount at `p`, of the mount and of the file system.
fn shown() -> Result<(String, String), Failure> {
    let text = String::from_utf8_lossy(&files::content(c"/proc/self/mountinfo")?).into_owned();
    let line = text.lines().rev().find(|line| line.contains("/p ")).unwrap_or_default();
    let (own, whole) = line.split_once(" - ").unwrap_or_default();
    let last = |text: &str| text.split(' ').next_back().unwrap_or_default().to_string();
    Ok((last(own), last(whole)))
}

fn options() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    enter()?;
    for (options, expected) in [
        ("", ""),
        ("hidepid=0", ""),
        ("hidepid=off", ""),
        ("hidepid=1", ",hidepid=noaccess"),
        ("hidepid=noaccess", ",hidepid=noaccess"),
        ("hidepid=2", ",hidepid=invisible"),
        ("hidepid=invisible", ",hidepid=invisible"),
        ("hidepid=4", ",hidepid=ptraceable"),
        ("hidepid=ptraceable", ",hidepid=ptraceable"),
        ("hidepid=02,gid=0x10", ",gid=16,hidepid=invisible"),
        ("hidepid=+2,,gid=50,", ",gid=50,hidepid=invisible"),
        ("hidepid=1,hidepid=0", ""),
        ("gid=4294967295", ",gid=65534"),
        ("subset=pid,hidepid=4,gid=7", ",gid=7,hidepid=ptraceable,subset=pid"),
        (",", ""),
    ] {
        check_eq!((options, mount_with(options)), (options, Ok(())));
        check_eq!(shown()?, ("rw,relatime".into(), format!("rw{expected}")));
        umount2(c"p", 0)?;
    }
    Ok(())
}

const REFUSED: &[&str] = &[
    "hidepid=3",
    "hidepid=5",
    "hidepid=x",
    "hidepid",
    "hidepid=",
    "hidepid= 2",
    "hidepid=2 ",
    "gid=-1",
    "gid=x",
    "gid",
    "gid=4294967296",
    "subset=",
    "subset=pid:pid",
    "subset=x",
    "subset",
    "foo",
    "foo=1",
    "mode=700",
    "noexec",
    "hidepid=2,foo",
];

fn options_that_are_refused() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    enter()?;
    for options in REFUSED {
        check_eq!((options, mount_with(options)), (options, Err(Errno::EINVAL)));
    }
    files::as_user(|| {
        check_eq!(mount_with("hidepid=2"), Err(Errno::EPERM));
        Ok(())
    })
}

fn a_remount_changes_what_it_names() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    enter()?;
    mount_with("hidepid=1,gid=7")?;
    for (options, expected) in [
        ("", "gid=7,hidepid=noaccess"),
        ("hidepid=2", "gid=7,hidepid=invisible"),
        ("gid=8", "gid=8,hidepid=invisible"),
        ("subset=pid", "gid=8,hidepid=invisible,subset=pid"),
        ("hidepid=0", "gid=8,subset=pid"),
    ] {
        mount_flags(MS_REMOUNT, options)?;
        check_eq!(shown()?.1, format!("rw,{expected}"));
    }
    for options in REFUSED {
        check_eq!((options, mount_flags(MS_REMOUNT, options)), (options, Err(Errno::EINVAL)));
        check_eq!(shown()?.1, "rw,gid=8,subset=pid");
    }
    // That of one mount leaves the instance alone, whatever is said.
    mount_flags(MS_REMOUNT | MS_BIND | MS_RDONLY, "hidepid=2")?;
    check_eq!(shown()?, ("ro,relatime".into(), "rw,gid=8,subset=pid".into()));
    umount2(c"p", 0)?;
    Ok(())
}

fn words_that_every_type_knows() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    enter()?;
    for kind in [c"proc", c"tmpfs"] {
        for (options, expected) in
            [(c"ro", "ro"), (c"rw", "rw"), (c"ro,rw", "rw"), (c"sync", "rw,sync"), (c"sync,async", "rw")]
        {
            mount(c"none", c"p", kind, 0, Some(options))?;
            let (own, whole) = shown()?;
            // What else a type shows of itself comes behind.
            check!(whole.starts_with(expected), "{whole}");
            check_eq!((own, whole.contains("sync")), ("rw,relatime".into(), expected.contains("sync")));
            umount2(c"p", 0)?;
        }
    }
    mount(c"none", c"p", c"tmpfs", 0, Some(c"ro"))?;
    check_eq!(mkdirat(AT_FDCWD, c"p/d", 0o755), Err(Errno::EROFS));
    mount(c"none", c"p", c"tmpfs", MS_REMOUNT, Some(c"rw"))?;
    check_eq!(mkdirat(AT_FDCWD, c"p/d", 0o755), Ok(()));
    umount2(c"p", 0)?;
    Ok(())
}

fn each_mount_is_an_instance() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    enter()?;
    mkdirat(AT_FDCWD, c"q", 0o755)?;
    mount_with("hidepid=2")?;
    mount(c"proc", c"q", c"proc", 0, None)?;
    let of = |path: &CStr| newfstatat(AT_FDCWD, path, 0);
    check!(of(c"p")?.st_dev != of(c"q")?.st_dev && of(c"p")?.st_dev != of(c"/proc")?.st_dev);
    check_eq!(of(c"p/uptime")?.st_ino, of(c"q/uptime")?.st_ino);
    files::as_user(|| {
        check_eq!((files::exists(c"p/1"), files::exists(c"q/1")), (false, true));
        Ok(())
    })?;
    // A second view of an instance is that instance.
    mount(c"p", c"q", c"none", MS_BIND, None)?;
    check_eq!(of(c"p")?.st_dev, of(c"q")?.st_dev);
    files::as_user(|| {
        check!(!files::exists(c"q/1"));
        Ok(())
    })?;
    for place in [c"q", c"q", c"p"] {
        umount2(place, 0)?;
    }
    Ok(())
}

/// Whether a process is listed.
fn lists(directory: &CStr, wanted: &str) -> Result<bool, Failure> {
    let fd = open(directory, O_RDONLY | O_DIRECTORY, 0)?;
    let mut buffer = vec![0u8; 4096];
    let mut found = false;
    loop {
        let count = raw::call(nr::getdents64, &[fd as u64, buffer.as_mut_ptr() as u64, 4096])? as usize;
        if count == 0 {
            break;
        }
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let size = usize::from(u16::from_le_bytes([rest[16], rest[17]]));
            found |= rest[19..size].split(|&byte| byte == 0).next() == Some(wanted.as_bytes());
            rest = &rest[size..];
        }
    }
    close(fd)?;
    Ok(found)
}

/// What a user gets who looks at, opens, and looks into the directory of process 1.
type Tried = [Result<(), Errno>; 4];

fn tried() -> Tried {
    let tried = |result: Result<i32, Errno>| {
        result.map(|fd| {
            let _ = close(fd);
        })
    };
    [
        newfstatat(AT_FDCWD, c"p/1", 0).map(drop),
        tried(open(c"p/1", O_RDONLY | O_DIRECTORY, 0)),
        tried(open(c"p/1/status", O_RDONLY, 0)),
        newfstatat(AT_FDCWD, c"p/1/task/1", 0).map(drop),
    ]
}

const FORBIDDEN: Tried = [Ok(()), Err(Errno::EPERM), Err(Errno::EPERM), Err(Errno::EPERM)];

fn what_is_hidden() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    enter()?;
    for (options, expected, is_listed) in [
        ("hidepid=0", [Ok(()); 4], true),
        ("hidepid=1", FORBIDDEN, true),
        ("hidepid=2", [Err(Errno::ENOENT); 4], false),
        ("hidepid=4", [Err(Errno::ENOENT); 4], false),
    ] {
        mount_with(options)?;
        files::as_user(|| {
            check_eq!((options, tried(), lists(c"p", "1")?), (options, expected, is_listed));
            // What is one's own is there, and what is about the system.
            check!(lists(c"p", &getpid().to_string())?);
            for path in [c"p/self/status", c"p/thread-self/comm", c"p/uptime", c"p/sys/kernel/ostype"] {
                close(open(path, O_RDONLY, 0)?)?;
            }
            Ok(())
        })?;
        check_eq!((options, tried()), (options, [Ok(()); 4]));
        umount2(c"p", 0)?;
    }
    // So it is at once where the options change.
    mount_with("")?;
    mount_flags(MS_REMOUNT, "hidepid=2")?;
    files::as_user(|| {
        check_eq!(tried(), [Err(Errno::ENOENT); 4]);
        Ok(())
    })?;
    umount2(c"p", 0)?;
    Ok(())
}

fn a_group_sees_all() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    enter()?;
    for (options, expected, is_listed) in [
        ("hidepid=1,gid=1000", [Ok(()); 4], true),
        ("hidepid=2,gid=1000", [Ok(()); 4], true),
        ("hidepid=2,gid=1001", [Err(Errno::ENOENT); 4], false),
        ("hidepid=4,gid=1000", [Err(Errno::ENOENT); 4], false),
    ] {
        mount_with(options)?;
        files::as_user(|| {
            check_eq!((options, tried(), lists(c"p", "1")?), (options, expected, is_listed));
            Ok(())
        })?;
        umount2(c"p", 0)?;
    }
    Ok(())
}

fn what_was_open_before() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    enter()?;
    for (options, name, look) in [
        ("hidepid=0", Ok(()), Ok(())),
        ("hidepid=1", Err(Errno::EPERM), Ok(())),
        ("hidepid=2", Err(Errno::ENOENT), Err(Errno::ENOENT)),
        ("hidepid=4", Err(Errno::EPERM), Err(Errno::ENOENT)),
    ] {
        mount_with(options)?;
        let status = open(c"p/1/status", O_RDONLY, 0)?;
        let directory = open(c"p/1", O_RDONLY | O_DIRECTORY, 0)?;
        files::as_user(|| {
            let mut byte = [0];
            check_eq!((options, pread64(status, &mut byte, 0)), (options, Ok(1)));
            let found = openat(directory, c"comm", O_RDONLY, 0).map(drop);
            check_eq!((options, found, fstat(directory).map(drop)), (options, name, look));
            Ok(())
        })?;
        close(status)?;
        close(directory)?;
        umount2(c"p", 0)?;
    }
    Ok(())
}

fn processes_only() -> Outcome {
    if !is_root() {
        return Ok(());
    }
    enter()?;
    mount_with("subset=pid")?;
    for path in [c"p/uptime", c"p/sys", c"p/mounts", c"p/version"] {
        check!(!files::exists(path));
    }
    check!(!lists(c"p", "uptime")? && !lists(c"p", "sys")?);
    check!(lists(c"p", "self")? && lists(c"p", "thread-self")? && lists(c"p", "1")?);
    close(open(c"p/self/status", O_RDONLY, 0)?)?;
    let pid = child::start(|| exit_group(0))?;
    // One that has ended is there until somebody waits for it.
    check!(files::exists(&ulib::c_string(format!("p/{pid}/stat"))?));
    child::wait(pid)?;
    check!(!files::exists(&ulib::c_string(format!("p/{pid}/stat"))?));
    umount2(c"p", 0)?;
    Ok(())
}
