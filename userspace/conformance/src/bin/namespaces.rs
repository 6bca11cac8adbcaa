//! The namespaces that a process is in, what it shares with its parent, and its children, as `/proc` shows them.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::ioctl::*;
use abi::native::nr;
use abi::process::*;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use conformance::files::page;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw};
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::process::getpid;

conformance::tests!(&[
    ("links", links),
    ("all_processes_are_in_the_same", all_processes_are_in_the_same),
    ("files_of_namespaces", files_of_namespaces),
    ("requests", requests),
    ("to_enter_the_same_again", to_enter_the_same_again),
    ("who_may_enter", who_may_enter),
    ("strangers_see_no_namespaces", strangers_see_no_namespaces),
    ("to_share_no_longer", to_share_no_longer),
    ("odd_requests", odd_requests),
    ("what_has_ended_is_in_few", what_has_ended_is_in_few),
    ("children", children),
    ("children_of_a_thread_that_ends", children_of_a_thread_that_ends),
]);

/// The names, what their links begin with, and the flag.
const NAMES: [(&str, &str, u64); 10] = [
    ("cgroup", "cgroup", CLONE_NEWCGROUP),
    ("ipc", "ipc", CLONE_NEWIPC),
    ("mnt", "mnt", CLONE_NEWNS),
    ("net", "net", CLONE_NEWNET),
    ("pid", "pid", CLONE_NEWPID),
    ("pid_for_children", "pid", CLONE_NEWPID),
    ("time", "time", CLONE_NEWTIME),
    ("time_for_children", "time", CLONE_NEWTIME),
    ("user", "user", CLONE_NEWUSER),
    ("uts", "uts", CLONE_NEWUTS),
];

fn link_text(path: &str) -> Result<String, Errno> {
    let mut buffer = [0; 128];
    let path = ulib::c_string(path).map_err(|_| Errno::EINVAL)?;
    let length = readlinkat(AT_FDCWD, &path, &mut buffer)?;
    Ok(String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned())
}

fn open_namespace(name: &str) -> Result<i32, Failure> {
    Ok(open(&ulib::c_string(format!("/proc/self/ns/{name}"))?, O_RDONLY | O_CLOEXEC, 0)?)
}

fn links() -> Outcome {
    files::mount_proc()?;
    for (name, kind, _) in NAMES {
        let text = link_text(&format!("/proc/self/ns/{name}"))?;
        let number = text.strip_prefix(kind).and_then(|rest| rest.strip_prefix(":[")?.strip_suffix(']'));
        check!(
            number.is_some_and(|number| number.parse::<u64>().is_ok_and(|number| number >= 0xefff_fff0)),
            "{text}"
        );
    }
    check_eq!(link_text("/proc/self/ns/none").err(), Some(Errno::ENOENT));
    check_eq!(files::mode_of(c"/proc/self/ns")?, S_IFDIR | 0o511);
    check_eq!(files::mode_of(c"/proc/self/ns/uts")?, S_IFLNK | 0o777);
    // Those of Linux's first ones are fixed.
    for (name, number) in
        [("user", 4_026_531_837_u64), ("pid", 4_026_531_836), ("uts", 4_026_531_838), ("ipc", 4_026_531_839)]
    {
        check_eq!(link_text(&format!("/proc/1/ns/{name}"))?, format!("{name}:[{number}]"));
    }
    Ok(())
}

fn all_processes_are_in_the_same() -> Outcome {
    files::mount_proc()?;
    check!(child::succeeds(|| {
        for (name, ..) in NAMES {
            let (own, of_init) = (format!("/proc/self/ns/{name}"), format!("/proc/1/ns/{name}"));
            check_eq!(link_text(&own)?, link_text(&of_init)?);
            let number = |path: &str| {
                Ok::<_, Failure>(
                    newfstatat(AT_FDCWD, &ulib::c_string(path)?, 0).map(|stat| (stat.st_dev, stat.st_ino))?,
                )
            };
            check_eq!(number(&own)?, number(&of_init)?);
            check_eq!(link_text(&own)?, link_text(&format!("/proc/self/task/{}/ns/{name}", getpid()))?);
        }
        Ok(())
    })?);
    Ok(())
}

fn files_of_namespaces() -> Outcome {
    files::mount_proc()?;
    let fd = open_namespace("uts")?;
    let stat = fstat(fd)?;
    check_eq!((stat.st_mode, stat.st_size), (S_IFREG | 0o444, 0));
    check!(link_text("/proc/self/ns/uts")?.contains(&format!("[{}]", stat.st_ino)));
    check_eq!(link_text(&format!("/proc/self/fd/{fd}"))?, link_text("/proc/self/ns/uts")?);
    let mut byte = [0];
    check_eq!((read(fd, &mut byte), write(fd, b"x")), (Err(Errno::EINVAL), Err(Errno::EBADF)));
    let mut statfs = [0_u64; 16];
    raw::call(nr::fstatfs, &[fd as u64, statfs.as_mut_ptr() as u64])?;
    check_eq!(core::hint::black_box(statfs)[0].cast_signed(), NSFS_MAGIC);
    close(fd)?;
    check_eq!(open(c"/proc/self/ns/uts", O_RDWR, 0), Err(Errno::EPERM));
    Ok(())
}

fn request(fd: i32, request: u32, argument: u64) -> Result<u64, Errno> {
    raw::call(nr::ioctl, &[fd as u64, request.into(), argument])
}

fn requests() -> Outcome {
    files::mount_proc()?;
    for (name, _, flag) in NAMES {
        let fd = open_namespace(name)?;
        check_eq!(request(fd, NS_GET_NSTYPE, 0), Ok(flag));
        let (is_users, is_processes) = (name == "user", name.starts_with("pid"));
        let parent = if is_users || is_processes { Errno::EPERM } else { Errno::EINVAL };
        check_eq!(request(fd, NS_GET_PARENT, 0), Err(parent));
        let mut owner = 77_u32;
        let result = request(fd, NS_GET_OWNER_UID, (&raw mut owner) as u64);
        let owner = core::hint::black_box(owner);
        check_eq!((result, owner), if is_users { (Ok(0), 0) } else { (Err(Errno::EINVAL), 77) });
        if is_users {
            check_eq!(request(fd, NS_GET_USERNS, 0), Err(Errno::EPERM));
            check_eq!(request(fd, NS_GET_OWNER_UID, 8), Err(Errno::EFAULT));
        } else {
            let users = request(fd, NS_GET_USERNS, 0)? as i32;
            check_eq!(request(users, NS_GET_NSTYPE, 0), Ok(CLONE_NEWUSER));
            check_eq!(raw::call(nr::fcntl, &[users as u64, 1]), Ok(1));
            close(users)?;
        }
        check_eq!(request(fd, 0xb7ff, 0), Err(Errno::ENOTTY));
        close(fd)?;
    }
    Ok(())
}

fn setns(fd: i32, kind: u64) -> Result<u64, Errno> {
    raw::call(nr::setns, &[fd as u64, kind])
}

fn to_enter_the_same_again() -> Outcome {
    files::mount_proc()?;
    if libsyscall::process::geteuid() != 0 {
        return Ok(());
    }
    raw::call(nr::chdir, &[c"/proc".as_ptr() as u64])?;
    for (name, _, flag) in NAMES {
        let fd = open_namespace(name)?;
        let expected = if name == "user" { Err(Errno::EINVAL) } else { Ok(0) };
        check!(setns(fd, flag) == expected && setns(fd, 0) == expected, "{name}");
        check!(setns(fd, CLONE_FS) == Err(Errno::EINVAL), "{name}");
        close(fd)?;
    }
    // Whoever enters a namespace of mounts begins at its root.
    check_eq!(link_text("/proc/self/cwd")?, "/");
    Ok(())
}

fn who_may_enter() -> Outcome {
    files::mount_proc()?;
    files::as_user(|| {
        for (name, ..) in NAMES {
            let fd = open_namespace(name)?;
            let expected = if name == "user" { Errno::EINVAL } else { Errno::EPERM };
            check!(setns(fd, 0) == Err(expected), "{name}");
            close(fd)?;
        }
        Ok(())
    })
}

fn strangers_see_no_namespaces() -> Outcome {
    files::mount_proc()?;
    files::as_user(|| {
        check_eq!(link_text("/proc/1/ns/uts").err(), Some(Errno::EACCES));
        check_eq!(open(c"/proc/1/ns/uts", O_RDONLY, 0).err(), Some(Errno::EACCES));
        check!(link_text("/proc/self/ns/uts").is_ok());
        Ok(())
    })
}

fn unshare(flags: u64) -> Result<u64, Errno> {
    raw::call(nr::unshare, &[flags])
}

fn working_directory() -> Result<String, Errno> {
    link_text("/proc/thread-self/cwd")
}

/// A child that shares descriptors and directories, and then does not.
fn to_share_no_longer() -> Outcome {
    files::mount_proc()?;
    check_eq!(
        (unshare(0), unshare(CLONE_SYSVSEM), unshare(CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)),
        (Ok(0), Ok(0), Ok(0))
    );
    let fd = open(c"/proc", O_RDONLY, 0)?;
    let thread = ulib::thread::spawn(move || {
        let shared = raw::call(nr::chdir, &[c"/proc".as_ptr() as u64]).is_ok();
        let outcome = (unshare(CLONE_VM), unshare(CLONE_THREAD), unshare(CLONE_FS | CLONE_FILES));
        let moved = raw::call(nr::chdir, &[c"/proc/self".as_ptr() as u64]).is_ok();
        let closed = close(fd).is_ok();
        (shared && moved && closed, outcome)
    })?;
    let outcome = thread.join();
    check_eq!(outcome, (true, (Err(Errno::EINVAL), Err(Errno::EINVAL), Ok(0))));
    check_eq!(working_directory()?, "/proc");
    check!(fstat(fd).is_ok());
    Ok(())
}

fn odd_requests() -> Outcome {
    files::mount_proc()?;
    // The number for the signal at the end, and flags that only `clone` knows.
    for flags in [1, CLONE_PARENT, CLONE_SETTLS, CLONE_VFORK, CLONE_IO, CLONE_CLEAR_SIGHAND, 1 << 40] {
        check!(unshare(flags) == Err(Errno::EINVAL), "{flags:#x}");
    }
    check_eq!((setns(-1, 0), setns(999, CLONE_NEWUTS)), (Err(Errno::EBADF), Err(Errno::EBADF)));
    let path: &CStr = c"/proc/self/status";
    let fd = open(path, O_RDONLY, 0)?;
    check_eq!((setns(fd, 0), setns(fd, CLONE_NEWUTS)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    check_eq!(request(fd, NS_GET_NSTYPE, 0), Err(Errno::ENOTTY));
    let place = open(c"/proc/self/ns/uts", O_PATH, 0)?;
    check_eq!((setns(place, 0), request(place, NS_GET_NSTYPE, 0)), (Err(Errno::EBADF), Err(Errno::EBADF)));
    Ok(())
}

/// A zombie has its numbers and its users still.
fn what_has_ended_is_in_few() -> Outcome {
    files::mount_proc()?;
    let pid = child::start(|| 0)?;
    let mut info = [0_u8; 128];
    raw::call(nr::waitid, &[1, pid as u64, info.as_mut_ptr() as u64, u64::from(WEXITED | WNOWAIT), 0])?;
    for (name, ..) in NAMES {
        let expected = if ["pid", "user"].contains(&name) { Ok(()) } else { Err(Errno::ENOENT) };
        let found = link_text(&format!("/proc/{pid}/ns/{name}")).map(drop);
        check!(found == expected, "{name}: {found:?}");
    }
    child::wait(pid)?;
    Ok(())
}

fn children_of(thread: i32) -> Result<BTreeSet<i32>, Failure> {
    let text = page(&format!("/proc/self/task/{thread}/children"))?;
    check!(text.is_empty() || text.ends_with(' '), "{text:?}");
    Ok(text.split_whitespace().filter_map(|word| word.parse().ok()).collect())
}

fn children() -> Outcome {
    let own = getpid();
    check_eq!(children_of(own)?, BTreeSet::new());
    let mut made = BTreeSet::new();
    for _ in 0..100 {
        made.insert(child::sleeper()?);
        check!(children_of(own)? == made);
    }
    let exists = |path: &str| Ok::<_, Failure>(files::exists(&ulib::c_string(path)?));
    check_eq!(
        (exists("/proc/self/children")?, exists(&format!("/proc/self/task/{own}/children"))?),
        (false, true)
    );
    for &pid in &made {
        child::end(pid)?;
    }
    check_eq!(children_of(own)?, BTreeSet::new());
    // One that has ended is there until somebody has waited for it.
    let pid = child::start(|| 0)?;
    let mut info = [0_u8; 128];
    raw::call(nr::waitid, &[1, pid as u64, info.as_mut_ptr() as u64, u64::from(WEXITED | WNOWAIT), 0])?;
    check_eq!(children_of(own)?, BTreeSet::from([pid]));
    child::wait(pid)?;
    check_eq!(page(&format!("/proc/self/task/{own}/children"))?, "".to_string());
    Ok(())
}

fn children_of_a_thread_that_ends() -> Outcome {
    let own = getpid();
    let first = child::sleeper()?;
    let thread = ulib::thread::spawn(|| {
        let tid = libsyscall::thread::gettid();
        let pid = child::sleeper().unwrap_or(0);
        (pid, children_of(tid).unwrap_or_default())
    })?;
    let (second, of_thread) = thread.join();
    check_eq!(of_thread, BTreeSet::from([second]));
    // The last of a thread's end may still be under way.
    while children_of(own)? != BTreeSet::from([first, second]) {
        ulib::thread::yield_now();
    }
    child::end(first)?;
    child::end(second)
}
