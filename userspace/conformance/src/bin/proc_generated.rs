//! Generated files as files: pieces, positions, names in them, what is left of dead processes, changes that `poll`
//! tells of.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::memory::*;
use abi::native::nr;
use abi::poll::*;
use abi::process::*;
use abi::signal::{SIGKILL, SigInfo};
use abi::time::Timespec;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw, scratch};
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::memory::{map_anonymous, mmap, mprotect};
use libsyscall::process::{getpid, kill};
use libsyscall::system::{mount, umount2};

conformance::tests!(&[
    ("a_long_text_in_pieces", a_long_text_in_pieces),
    ("positions", positions),
    ("a_text_is_made_anew_at_the_beginning", a_text_is_made_anew_at_the_beginning),
    ("a_name_makes_no_line_in_maps", a_name_makes_no_line_in_maps),
    ("a_name_makes_no_line_in_status", a_name_makes_no_line_in_status),
    ("a_name_makes_no_line_in_mounts", a_name_makes_no_line_in_mounts),
    ("part_of_a_file_system_in_mountinfo", part_of_a_file_system_in_mountinfo),
    ("a_dead_process_says_so", a_dead_process_says_so),
    ("a_zombie_is_still_there", a_zombie_is_still_there),
    ("a_dead_thread_says_so", a_dead_thread_says_so),
    ("memory_that_was_left", memory_that_was_left),
    ("poll_tells_of_mounts", poll_tells_of_mounts),
    ("epoll_tells_of_mounts", epoll_tells_of_mounts),
    ("splice_and_sendfile", splice_and_sendfile),
    ("a_title_runs_on", a_title_runs_on),
    ("strangers_may_not_look", strangers_may_not_look),
]);

const PAGE: usize = 4096;

fn page(path: &str) -> Result<String, Failure> {
    files::mount_proc()?;
    let bytes = files::content(&ulib::c_string(path)?)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn opened(path: &str) -> Result<i32, Failure> {
    files::mount_proc()?;
    Ok(open(&ulib::c_string(path)?, O_RDONLY, 0)?)
}

/// Fills `text`, which has room, from the file in pieces of this size, by position or by going on.
fn in_pieces(text: &mut Vec<u8>, size: usize, by_position: bool) -> Outcome {
    let fd = open(c"/proc/self/maps", O_RDONLY, 0)?;
    text.clear();
    let mut piece = [0; 4096];
    loop {
        let piece = &mut piece[..size];
        let count = if by_position { pread64(fd, piece, text.len() as u64)? } else { read(fd, piece)? };
        if count == 0 {
            break;
        }
        text.extend_from_slice(&piece[..count]);
    }
    close(fd)?;
    Ok(())
}

fn a_long_text_in_pieces() -> Outcome {
    const AREAS: usize = 600;
    files::mount_proc()?;
    let start = map_anonymous(AREAS * PAGE)?;
    for index in (0..AREAS).step_by(2) {
        // SAFETY: nothing refers to these pages.
        unsafe { mprotect(start.wrapping_add(index * PAGE), PAGE, PROT_READ) }?;
    }
    // From here on no memory is mapped any more.
    let (mut whole, mut again) = (Vec::with_capacity(1 << 17), Vec::with_capacity(1 << 17));
    in_pieces(&mut whole, 4096, false)?;
    check!(whole.split(|&byte| byte == b'\n').count() > AREAS);
    for size in [37, 100, 1024, 4095] {
        for by_position in [false, true] {
            in_pieces(&mut again, size, by_position)?;
            check!(again == whole, "by {size}, by position: {by_position}");
        }
    }
    let fd = open(c"/proc/self/maps", O_RDONLY, 0)?;
    let mut piece = [0; 100];
    for position in [20_000, 19_990, 7, 0, 25_000, 25_100] {
        check_eq!(pread64(fd, &mut piece, position)?, 100);
        check!(piece[..] == whole[position as usize..][..100], "at {position}");
    }
    Ok(())
}

fn positions() -> Outcome {
    let fd = opened("/proc/self/status")?;
    let mut bytes = [0; 16];
    check_eq!(read(fd, &mut bytes[..5])?, 5);
    check_eq!((&bytes[..5], lseek(fd, 0, SEEK_CUR)), (&b"Name:"[..], Ok(5)));
    check_eq!(lseek(fd, 2, SEEK_SET), Ok(2));
    check_eq!((read(fd, &mut bytes[..3])?, &bytes[..3]), (3, &b"me:"[..]));
    check_eq!(lseek(fd, -1, SEEK_SET), Err(Errno::EINVAL));
    for whence in [SEEK_END, SEEK_DATA, SEEK_HOLE] {
        check_eq!(lseek(fd, 0, whence), Err(Errno::EINVAL));
    }
    check_eq!(lseek(fd, 1 << 40, SEEK_SET), Ok(1 << 40));
    check_eq!(read(fd, &mut bytes), Ok(0));
    check_eq!(pread64(fd, &mut bytes[..4], 0), Ok(4));
    check_eq!(&bytes[..4], b"Name");
    let memory = opened("/proc/self/environ")?;
    check_eq!((lseek(memory, 0, SEEK_END), lseek(memory, 0, SEEK_DATA)), (Ok(0), Err(Errno::ENXIO)));
    Ok(())
}

fn name_thread(name: &CStr) -> Result<u64, Errno> {
    raw::call(nr::prctl, &[PR_SET_NAME.into(), name.as_ptr() as u64])
}

fn a_text_is_made_anew_at_the_beginning() -> Outcome {
    name_thread(c"before")?;
    let fd = opened("/proc/self/comm")?;
    let mut bytes = [0; 16];
    check_eq!((read(fd, &mut bytes[..3])?, &bytes[..3]), (3, &b"bef"[..]));
    name_thread(c"afterwards")?;
    check_eq!((read(fd, &mut bytes)?, &bytes[..4]), (4, &b"ore\n"[..]));
    check_eq!((read(fd, &mut bytes)?, pread64(fd, &mut bytes, 0)?), (0, 11));
    check_eq!(&bytes[..11], b"afterwards\n");
    Ok(())
}

fn a_name_makes_no_line_in_maps() -> Outcome {
    scratch::enter()?;
    let fd = files::create(c"a b\n\\0 c", &[0; PAGE])?;
    // SAFETY: the kernel chooses a free range.
    unsafe { mmap(core::ptr::null_mut(), PAGE, PROT_READ, MAP_PRIVATE, fd, 0) }?;
    let maps = page("/proc/self/maps")?;
    check!(maps.contains("/a b\\012\\0 c\n"), "{maps}");
    unlinkat(AT_FDCWD, c"a b\n\\0 c", 0)?;
    check!(page("/proc/self/maps")?.contains("/a b\\012\\0 c (deleted)\n"));
    Ok(())
}

fn a_name_makes_no_line_in_status() -> Outcome {
    name_thread(c"x\nUid:\t0\\ \t")?;
    check!(page("/proc/self/status")?.starts_with("Name:\tx\\nUid:\t0\\\\ \t\n"));
    check!(page("/proc/self/stat")?.contains(" (x\nUid:\t0\\ \t) "));
    check_eq!(page("/proc/self/comm")?, "x\nUid:\t0\\ \t\n");
    Ok(())
}

/// Mounts a tmpfs of this name at `place`, hands the tables to `look`, and takes it off again.
fn with_mount(source: &CStr, place: &CStr, look: impl FnOnce(&str, &str) -> Outcome) -> Outcome {
    files::mount_proc()?;
    mkdirat(AT_FDCWD, place, 0o755)?;
    mount(source, place, c"tmpfs", 0, None)?;
    let (mounts, information) = (page("/proc/self/mounts")?, page("/proc/self/mountinfo")?);
    umount2(place, 0)?;
    look(&mounts, &information)
}

fn a_name_makes_no_line_in_mounts() -> Outcome {
    scratch::enter()?;
    with_mount(c"#a b\n\tc\\", c"d e\n\tf\\#", |mounts, information| {
        check!(mounts.contains("\n\\043a\\040b\\012\\011c\\134 "), "{mounts}");
        check!(mounts.contains("/d\\040e\\012\\011f\\134# tmpfs rw"), "{mounts}");
        check!(information.contains("/d\\040e\\012\\011f\\134# rw"), "{information}");
        check!(information.contains(" - tmpfs \\043a\\040b\\012\\011c\\134 rw"), "{information}");
        Ok(())
    })
}

fn part_of_a_file_system_in_mountinfo() -> Outcome {
    files::mount_proc()?;
    scratch::enter()?;
    for name in [c"fs", c"at"] {
        mkdirat(AT_FDCWD, name, 0o755)?;
    }
    mount(c"here", c"fs", c"tmpfs", 0, None)?;
    mkdirat(AT_FDCWD, c"fs/one", 0o755)?;
    mkdirat(AT_FDCWD, c"fs/one/t w", 0o755)?;
    mount(c"fs/one/t w", c"at", c"none", MS_BIND, None)?;
    let information = page("/proc/self/mountinfo")?;
    umount2(c"at", 0)?;
    umount2(c"fs", 0)?;
    check!(
        information.lines().any(|line| line.contains(" /one/t\\040w ") && line.contains("/at rw")),
        "{information}"
    );
    Ok(())
}

/// A child that sleeps until it is killed.
fn sleeper() -> Result<i32, Failure> {
    child::start(|| {
        loop {
            ulib::time::sleep(core::time::Duration::from_secs(1000));
        }
    })
}

fn a_dead_process_says_so() -> Outcome {
    files::mount_proc()?;
    let pid = sleeper()?;
    let path = |name: &str| format!("/proc/{pid}{name}");
    let folder = opened(&path(""))?;
    let (tasks, files) = (opened(&path("/task"))?, opened(&path("/fd"))?);
    let names = ["stat", "status", "statm", "comm", "limits", "cmdline", "maps", "environ", "mounts"];
    let opened: Vec<i32> =
        names.iter().map(|name| opened(&path(&format!("/{name}")))).collect::<Result<_, _>>()?;
    kill(pid, SIGKILL)?;
    child::wait(pid)?;
    check_eq!(newfstatat(AT_FDCWD, &ulib::c_string(path(""))?, 0).map(drop), Err(Errno::ENOENT));
    let mut bytes = [0; 512];
    for (name, fd) in names.iter().zip(&opened) {
        let read = pread64(*fd, &mut bytes, 0);
        match *name {
            // What it had is gone with it.
            "environ" => check_eq!(read, Ok(0)),
            // The table outlives it.
            "mounts" => check!(read.is_ok_and(|count| count > 0)),
            _ => check_eq!(read, Err(Errno::ESRCH)),
        }
    }
    for name in [c"stat", c"status", c"fd", c"task", c"nothing", c"exe"] {
        check_eq!(openat(folder, name, O_RDONLY, 0), Err(Errno::ESRCH));
    }
    check_eq!(readlinkat(folder, c"exe", &mut bytes), Err(Errno::ESRCH));
    check_eq!(openat(files, c"0", O_RDONLY, 0), Err(Errno::ENOENT));
    for fd in [folder, tasks, files] {
        check_eq!(getdents64(fd, &mut bytes), Err(Errno::ENOENT));
    }
    Ok(())
}

fn a_zombie_is_still_there() -> Outcome {
    files::mount_proc()?;
    let pid = child::start(|| 0)?;
    let mut info = SigInfo::default();
    raw::call(
        nr::waitid,
        &[P_PID.into(), pid as u64, (&raw mut info) as u64, (WEXITED | WNOWAIT).into(), 0],
    )?;
    check!(page(&format!("/proc/{pid}/stat"))?.contains(") Z "));
    for name in ["maps", "cmdline", "environ", "auxv"] {
        check_eq!(page(&format!("/proc/{pid}/{name}"))?, "");
    }
    let mut bytes = [0; 512];
    check_eq!(
        readlinkat(AT_FDCWD, &ulib::c_string(format!("/proc/{pid}/exe"))?, &mut bytes),
        Err(Errno::ENOENT)
    );
    check_eq!(open(&ulib::c_string(format!("/proc/{pid}/mounts"))?, O_RDONLY, 0), Err(Errno::EINVAL));
    check_eq!(ulib::fs::read_dir(format!("/proc/{pid}/fd").as_bytes())?.len(), 0);
    child::wait(pid)?;
    Ok(())
}

fn a_dead_thread_says_so() -> Outcome {
    use core::sync::atomic::{AtomicI32, Ordering};
    static TID: AtomicI32 = AtomicI32::new(0);
    static GO: AtomicI32 = AtomicI32::new(0);
    files::mount_proc()?;
    let thread = ulib::thread::spawn(|| {
        TID.store(libsyscall::thread::gettid(), Ordering::SeqCst);
        while GO.load(Ordering::SeqCst) == 0 {
            libsyscall::thread::sched_yield();
        }
    })?;
    while TID.load(Ordering::SeqCst) == 0 {
        libsyscall::thread::sched_yield();
    }
    let tid = TID.load(Ordering::SeqCst);
    let fd = opened(&format!("/proc/self/task/{tid}/stat"))?;
    GO.store(1, Ordering::SeqCst);
    thread.join();
    let mut bytes = [0; 64];
    // It is joined a little before it is gone.
    while pread64(fd, &mut bytes, 0).is_ok() {
        libsyscall::thread::sched_yield();
    }
    check_eq!(pread64(fd, &mut bytes, 0), Err(Errno::ESRCH));
    Ok(())
}

/// What was opened shows the memory of then, which `execve` takes away.
fn memory_that_was_left() -> Outcome {
    files::mount_proc()?;
    let (gate, go) = pipe2(0)?;
    let (told, tell) = pipe2(O_CLOEXEC)?;
    let pid = child::start(|| {
        let _ = close(told);
        let _ = read(gate, &mut [0]);
        let program = [c"/proc/self/exe".as_ptr(), c"waits".as_ptr(), core::ptr::null()];
        let _ = raw::call(nr::execve, &[program[0] as u64, program.as_ptr() as u64, 0]);
        1
    })?;
    close(tell)?;
    let maps = opened(&format!("/proc/{pid}/maps"))?;
    let mut bytes = [0; 64];
    check_eq!(pread64(maps, &mut bytes, 0), Ok(64));
    write(go, b"x")?;
    check_eq!(read(told, &mut bytes), Ok(0));
    // The program has been replaced, or has ended since.
    check!(matches!(pread64(maps, &mut bytes, 0), Ok(0)));
    child::wait(pid)?;
    Ok(())
}

/// What `poll` finds at once.
fn ready(fd: i32, events: u16) -> Result<u16, Failure> {
    let mut polled = [Pollfd { fd, events, revents: 0 }];
    ppoll(&mut polled, Some(Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(polled[0].revents)
}

fn poll_tells_of_mounts() -> Outcome {
    scratch::enter()?;
    for name in ["mounts", "mountinfo"] {
        let fd = opened(&format!("/proc/self/{name}"))?;
        check_eq!(ready(fd, POLLIN | POLLOUT | POLLPRI)?, POLLIN);
        let other = opened(&format!("/proc/self/{name}"))?;
        with_mount(c"none", &ulib::c_string(name)?, |_, _| Ok(()))?;
        check_eq!(ready(fd, POLLPRI)?, POLLPRI | POLLERR);
        check_eq!(ready(fd, POLLPRI)?, 0);
        check_eq!(ready(other, 0)?, POLLERR);
    }
    let fd = opened("/proc/self/mounts")?;
    let pid = child::start(|| i32::from(with_mount(c"none", c"later", |_, _| Ok(())).is_err()))?;
    let mut polled = [Pollfd { fd, events: POLLPRI, revents: 0 }];
    check_eq!(ppoll(&mut polled, None), Ok(1));
    check_eq!(child::wait(pid)?, WaitStatus::exited(0));
    Ok(())
}

fn epoll_tells_of_mounts() -> Outcome {
    scratch::enter()?;
    let fd = opened("/proc/self/mounts")?;
    let epoll = raw::call(nr::epoll_create1, &[0])?;
    let mut event = [0u32; 4];
    event[0] = 0x2;
    raw::call(nr::epoll_ctl, &[epoll, 1, fd as u64, event.as_ptr() as u64])?;
    let mut wait =
        |timeout: u64| raw::call(nr::epoll_pwait, &[epoll, event.as_mut_ptr() as u64, 1, timeout, 0, 8]);
    check_eq!(wait(0), Ok(0));
    with_mount(c"none", c"here", |_, _| Ok(()))?;
    check_eq!(wait(u64::MAX), Ok(1));
    check_eq!(wait(0), Ok(0));
    Ok(())
}

fn splice_and_sendfile() -> Outcome {
    scratch::enter()?;
    let out = files::create(c"out", b"")? as u64;
    let (reader, writer) = pipe2(0)?;
    let splice = |fd: i32| raw::call(nr::splice, &[fd as u64, 0, writer as u64, 0, 64, 0]);
    let sendfile = |fd: i32| raw::call(nr::sendfile, &[out, fd as u64, 0, 64]);
    for name in ["meminfo", "version", "self/mounts", "sys/kernel/hostname"] {
        let fd = opened(&format!("/proc/{name}"))?;
        let mut bytes = [0; 64];
        let count = splice(fd)? as usize;
        check!(count > 0);
        check_eq!(read(reader, &mut bytes)?, count);
        lseek(fd, 0, SEEK_SET)?;
        check!(sendfile(fd)? > 0);
        check_eq!(raw::call(nr::copy_file_range, &[fd as u64, 0, out, 0, 64, 0]), Err(Errno::EXDEV));
        close(fd)?;
    }
    // What is about a process is read in the ordinary way alone.
    for name in ["maps", "stat", "cmdline"] {
        let fd = opened(&format!("/proc/self/{name}"))?;
        check_eq!((splice(fd), sendfile(fd)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
        close(fd)?;
    }
    Ok(())
}

/// Where the arguments and the environment lie: fields 48 to 51 of `stat`.
fn strings() -> Result<[usize; 4], Failure> {
    let stat = page("/proc/self/stat")?;
    let (_, rest) = stat.rsplit_once(") ").ok_or_else(|| Failure::new("no name in stat"))?;
    let mut fields = rest.split_whitespace().skip(45).map(|field| field.parse().unwrap_or(0));
    Ok(core::array::from_fn(|_| fields.next().unwrap_or(0)))
}

fn a_title_runs_on() -> Outcome {
    let [start, end, environment, last] = strings()?;
    check!(start < end && end == environment && environment < last, "{start} {end} {environment} {last}");
    let plain = page("/proc/self/cmdline")?;
    check_eq!(plain.len(), end - start);
    // SAFETY: the strings of the arguments are the program's own, and nothing refers to them any more.
    let memory = unsafe { core::slice::from_raw_parts_mut(start as *mut u8, last - start) };
    let title = b"a title that is longer than all arguments were, and stands in the environment as well";
    check!(memory.len() > title.len(), "the environment is too short: {}", memory.len());
    memory[..title.len()].copy_from_slice(title);
    memory[title.len()] = 0;
    check_eq!(page("/proc/self/cmdline")?.as_bytes(), [&title[..], b"\0"].concat());
    let fd = opened("/proc/self/cmdline")?;
    let mut bytes = [0; 5];
    check_eq!((pread64(fd, &mut bytes, 2)?, &bytes), (5, b"title"));
    check_eq!(pread64(fd, &mut bytes, title.len() as u64 + 1), Ok(0));
    // With the last byte in place again the arguments are all there is.
    memory[end - start - 1] = 0;
    check_eq!(page("/proc/self/cmdline")?.as_bytes(), &memory[..end - start]);
    Ok(())
}

fn strangers_may_not_look() -> Outcome {
    files::mount_proc()?;
    let pid = getpid();
    let path = |name: &str| CString::new(format!("/proc/{pid}/{name}")).unwrap_or_default();
    files::as_user(|| {
        for name in ["maps", "environ", "auxv", "mem", "fd", "mountstats"] {
            check_eq!(open(&path(name), O_RDONLY, 0).map(drop), Err(Errno::EACCES));
        }
        let mut bytes = [0; 64];
        for name in ["exe", "cwd", "root"] {
            check_eq!(readlinkat(AT_FDCWD, &path(name), &mut bytes), Err(Errno::EACCES));
            check_eq!(newfstatat(AT_FDCWD, &path(name), 0).map(drop), Err(Errno::EACCES));
        }
        for name in ["stat", "status", "cmdline", "limits", "mounts"] {
            check!(open(&path(name), O_RDONLY, 0).is_ok(), "{name}");
        }
        // Its own files are its own.
        check!(opened("/proc/self/maps").is_ok());
        Ok(())
    })
}
