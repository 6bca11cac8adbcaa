//! Every call with arguments that make no sense. It may fail, and the process may die; nothing else may suffer.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::memory::*;
use abi::native::nr;
use abi::process::WNOHANG;
use abi::signal::{SIGKILL, SIGSET_SIZE};
use conformance::{Failure, Outcome, check, check_eq, child, raw, scratch};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use libsyscall::file::*;
use libsyscall::memory::{map_anonymous, mmap, mprotect, munmap};
use libsyscall::process::{kill, wait4};

conformance::tests!(&[
    ("wild_pointers_are_refused", wild_pointers_are_refused),
    ("pointers_at_the_edge_of_a_page", pointers_at_the_edge_of_a_page),
    ("read_only_memory_is_not_written", read_only_memory_is_not_written),
    ("every_call_with_wild_arguments", every_call_with_wild_arguments),
    ("every_call_with_one_wild_argument", every_call_with_one_wild_argument),
    ("endless_forks_end", endless_forks_end),
    ("endless_memory_ends", endless_memory_ends),
    ("endless_descriptors_end", endless_descriptors_end),
    ("deep_folders", deep_folders),
]);

const PAGE: usize = 4096;

/// Addresses at which a program has nothing, or nothing that it may write to.
const WILD: [u64; 9] = [
    8,
    0xfff,
    0x1234_5000,
    0x7fff_ffff_f000,
    0x7fff_ffff_ffff,
    1 << 63,
    0xffff_8000_0000_0000,
    0xffff_ffff_8000_0000,
    u64::MAX,
];

fn wild_pointers_are_refused() -> Outcome {
    scratch::enter()?;
    let (reader, writer) = pipe2(0)?;
    let zero = open(c"/dev/zero", abi::fs::O_RDONLY, 0)?;
    let file = open(c"file", abi::fs::O_RDWR | abi::fs::O_CREAT, 0o600)?;
    let folder = open(c".", abi::fs::O_RDONLY, 0)?;
    write(file, b"content")?;
    let here = abi::fs::AT_FDCWD as u64;
    let name = c"file".as_ptr() as u64;
    for wild in WILD {
        let calls: [(u64, [u64; 6]); 36] = [
            (nr::read, [zero as u64, wild, 100, 0, 0, 0]),
            (nr::pread64, [file as u64, wild, 7, 0, 0, 0]),
            (nr::write, [writer as u64, wild, 100, 0, 0, 0]),
            (nr::pwrite64, [file as u64, wild, 100, 0, 0, 0]),
            (nr::readv, [zero as u64, wild, 2, 0, 0, 0]),
            (nr::writev, [writer as u64, wild, 2, 0, 0, 0]),
            (nr::openat, [here, wild, 0, 0, 0, 0]),
            (nr::newfstatat, [here, wild, 0, 0, 0, 0]),
            (nr::newfstatat, [here, name, wild, 0, 0, 0]),
            (nr::fstat, [file as u64, wild, 0, 0, 0, 0]),
            (nr::statx, [here, name, 0, 0x7ff, wild, 0]),
            (nr::getdents64, [folder as u64, wild, 1000, 0, 0, 0]),
            (nr::getcwd, [wild, 1000, 0, 0, 0, 0]),
            (nr::chdir, [wild, 0, 0, 0, 0, 0]),
            (nr::mkdirat, [here, wild, 0o700, 0, 0, 0]),
            (nr::unlinkat, [here, wild, 0, 0, 0, 0]),
            (nr::symlinkat, [wild, here, name, 0, 0, 0]),
            (nr::linkat, [here, wild, here, name, 0, 0]),
            (nr::renameat2, [here, name, here, wild, 0, 0]),
            (nr::fchmodat, [here, wild, 0o600, 0, 0, 0]),
            (nr::faccessat, [here, wild, 0, 0, 0, 0]),
            (nr::pipe2, [wild, 0, 0, 0, 0, 0]),
            (nr::ppoll, [wild, 1, 0, 0, 0, 0]),
            (nr::uname, [wild, 0, 0, 0, 0, 0]),
            (nr::sysinfo, [wild, 0, 0, 0, 0, 0]),
            (nr::clock_gettime, [0, wild, 0, 0, 0, 0]),
            (nr::nanosleep, [wild, 0, 0, 0, 0, 0]),
            (nr::rt_sigprocmask, [0, wild, 0, SIGSET_SIZE as u64, 0, 0]),
            (nr::rt_sigprocmask, [0, 0, wild, SIGSET_SIZE as u64, 0, 0]),
            (nr::rt_sigaction, [10, wild, 0, SIGSET_SIZE as u64, 0, 0]),
            (nr::sigaltstack, [wild, 0, 0, 0, 0, 0]),
            (nr::setitimer, [0, wild, 0, 0, 0, 0]),
            (nr::prlimit64, [0, 3, wild, 0, 0, 0]),
            (nr::getrandom, [wild, 10, 0, 0, 0, 0]),
            (nr::getrusage, [0, wild, 0, 0, 0, 0]),
            (nr::execve, [wild, 0, 0, 0, 0, 0]),
        ];
        for (number, arguments) in calls {
            let result = raw::call(number, &arguments);
            check!(result == Err(Errno::EFAULT), "call {number} with {wild:#x}: {result:?}");
        }
    }
    // Nothing was written to the pipe.
    check_eq!(fcntl(reader, abi::fs::F_SETFL, abi::fs::O_NONBLOCK.into()), Ok(0));
    check_eq!(read(reader, &mut [0]), Err(Errno::EAGAIN));
    Ok(())
}

/// A page with nothing behind it.
fn last_page() -> Result<*mut u8, Failure> {
    let pages = map_anonymous(2 * PAGE)?;
    // SAFETY: the second page is not used.
    unsafe { munmap(pages.add(PAGE), PAGE) }?;
    Ok(pages)
}

fn pointers_at_the_edge_of_a_page() -> Outcome {
    scratch::enter()?;
    let page = last_page()?;
    let edge = page as u64 + PAGE as u64;
    // SAFETY: the bytes are the page's last.
    unsafe { core::slice::from_raw_parts_mut(page, PAGE) }.fill(b'n');
    // A name without an end.
    check_eq!(raw::call(nr::chdir, &[edge - 10]), Err(Errno::EFAULT));
    // SAFETY: as above.
    unsafe { page.add(PAGE - 1).write(0) };
    check_eq!(raw::call(nr::chdir, &[edge - 10]), Err(Errno::ENOENT));
    // Objects that do not fit.
    check_eq!(raw::call(nr::uname, &[edge - 100]), Err(Errno::EFAULT));
    check_eq!(raw::call(nr::clock_gettime, &[0, edge - 8]), Err(Errno::EFAULT));
    check_eq!(raw::call(nr::clock_gettime, &[0, edge - 16]), Ok(0));
    // What fits is moved, and counted.
    let file = open(c"file", abi::fs::O_RDWR | abi::fs::O_CREAT, 0o600)?;
    check_eq!(raw::call(nr::pwrite64, &[file as u64, edge - 100, 100, 0]), Ok(100));
    let moved = raw::call(nr::pread64, &[file as u64, edge - 60, 100, 0]);
    check!(matches!(moved, Ok(1..=60) | Err(Errno::EFAULT)), "{moved:?}");
    let (_, writer) = pipe2(0)?;
    let moved = raw::call(nr::write, &[writer as u64, edge - 100, 200]);
    check!(matches!(moved, Ok(1..=100) | Err(Errno::EFAULT)), "{moved:?}");
    let zero = open(c"/dev/zero", abi::fs::O_RDONLY, 0)?;
    // Up to the edge, or to the last whole step of the copy: Linux on AArch64 stops at 96.
    let moved = raw::call(nr::read, &[zero as u64, edge - 100, 1 << 20]);
    check!(matches!(moved, Ok(1..=100)), "{moved:?}");
    check_eq!(raw::call(nr::read, &[zero as u64, edge - 100, u64::MAX]), Err(Errno::EFAULT));
    Ok(())
}

fn read_only_memory_is_not_written() -> Outcome {
    let page = map_anonymous(PAGE)?;
    // SAFETY: the page is not used otherwise.
    unsafe { mprotect(page, PAGE, PROT_READ) }?;
    let address = page as u64;
    check_eq!(raw::call(nr::uname, &[address]), Err(Errno::EFAULT));
    check_eq!(raw::call(nr::pipe2, &[address, 0]), Err(Errno::EFAULT));
    let zero = open(c"/dev/zero", abi::fs::O_RDONLY, 0)?;
    check_eq!(raw::call(nr::read, &[zero as u64, address, 10]), Err(Errno::EFAULT));
    let text = every_call_with_wild_arguments as *const () as u64;
    check_eq!(raw::call(nr::getrandom, &[text, 10, 0]), Err(Errno::EFAULT));
    // SAFETY: the page is readable.
    check_eq!(unsafe { page.read_volatile() }, 0);
    Ok(())
}

/// Calls that would end, stop, copy or replace the tester, reach processes beyond it, or change the machine.
const SPARED: &[u64] = &[
    nr::exit,
    nr::exit_group,
    nr::clone,
    nr::clone3,
    nr::kill,
    nr::tkill,
    nr::tgkill,
    nr::rt_sigqueueinfo,
    nr::rt_tgsigqueueinfo,
    nr::ptrace,
    nr::reboot,
    nr::vhangup,
    nr::syslog,
    nr::settimeofday,
    nr::clock_settime,
    nr::adjtimex,
    nr::clock_adjtime,
    nr::setitimer,
    nr::sethostname,
    nr::setdomainname,
    nr::kexec_load,
    nr::acct,
    nr::swapoff,
    nr::sync,
    nr::setsid,
];

/// Calls of one architecture alone to be spared as well, by their names.
macro_rules! is_spared_by_name {
    ($(($name:ident, $x86_64:tt, $aarch64:tt, $($handler:ident)::+, $completeness:literal),)*) => {
        /// True for calls that only some architectures have and that would do one of these things.
        fn is_spared(name: &str) -> bool {
            matches!(name, "fork" | "vfork" | "alarm" | "iopl" | "ioperm" | "modify_ldt")
        }

        /// The calls that this architecture has.
        fn calls() -> alloc::vec::Vec<u64> {
            let rows: &[(&str, Option<u64>, Option<u64>)] =
                &[$((stringify!($name), number!($x86_64), number!($aarch64)),)*];
            let native = |row: &(&str, Option<u64>, Option<u64>)| if nr::read == 0 { row.1 } else { row.2 };
            rows.iter().filter(|row| !is_spared(row.0)).filter_map(native).filter(|nr| !SPARED.contains(nr)).collect()
        }
    };
}

macro_rules! number {
    (none) => {
        None
    };
    ($number:literal) => {
        Some($number)
    };
}

abi::for_each_syscall!(is_spared_by_name);

/// Values for arguments: descriptors, small and huge numbers, addresses of all kinds.
fn values() -> Result<alloc::vec::Vec<u64>, Failure> {
    let page = last_page()? as u64;
    let read_only = map_anonymous(PAGE)?;
    // SAFETY: the page is not used otherwise.
    unsafe { mprotect(read_only, PAGE, PROT_READ) }?;
    let mut values = alloc::vec![0, 1, 3, 0x7fff_ffff, page + PAGE as u64 - 4, read_only as u64];
    values.extend(WILD);
    Ok(values)
}

/// How far the tester has come, seen by its parent.
fn shared_word() -> Result<&'static AtomicU32, Failure> {
    let flags = MAP_SHARED | MAP_ANONYMOUS;
    // SAFETY: the kernel chooses a free range, which is never unmapped here.
    unsafe { Ok(&*mmap(core::ptr::null_mut(), PAGE, PROT_READ | PROT_WRITE, flags, -1, 0)?.cast()) }
}

/// Makes the calls from number `first` on in a child; one that blocks is killed. Returns where to go on.
fn attempt(first: u32, total: u32, progress: &'static AtomicU32, call: &dyn Fn(u32)) -> Result<u32, Failure> {
    const PATIENCE: Duration = Duration::from_millis(300);
    progress.store(first, Ordering::Relaxed);
    let pid = child::start(|| {
        for number in first..total {
            progress.store(number, Ordering::Relaxed);
            call(number);
        }
        progress.store(total, Ordering::Relaxed);
        0
    })?;
    let mut last = (first, ulib::time::monotonic());
    loop {
        if let Ok(Some(_)) = wait4(pid, WNOHANG) {
            let reached = progress.load(Ordering::Relaxed);
            return Ok(if reached == total { total } else { reached + 1 });
        }
        let reached = progress.load(Ordering::Relaxed);
        if reached != last.0 {
            last = (reached, ulib::time::monotonic());
        } else if ulib::time::monotonic() - last.1 > PATIENCE {
            kill(pid, SIGKILL)?;
        }
        ulib::time::sleep(Duration::from_millis(1));
    }
}

/// Runs all attempts, in a folder and with descriptors that can be spoilt.
fn torment(total: u32, call: &dyn Fn(u32)) -> Outcome {
    scratch::enter()?;
    let null = open(c"/dev/null", abi::fs::O_RDWR, 0)?;
    let progress = shared_word()?;
    let quiet = |number| {
        let _ = (dup3(null, 0, 0), dup3(null, 1, 0), dup3(null, 2, 0));
        call(number);
    };
    let mut next = 0;
    while next < total {
        next = attempt(next, total, progress, &quiet)?;
    }
    Ok(())
}

/// The calls are cut into parts, because a test has a time limit.
fn every_call_with_wild_arguments() -> Outcome {
    let (calls, values) = (calls(), values()?);
    let total = calls.len() * values.len();
    torment(total as u32, &|number| {
        let (call, value) = (number as usize / values.len(), values[number as usize % values.len()]);
        let _ = raw::call(calls[call], &[value; 6]);
    })
}

/// All arguments but one are small and may make sense.
fn every_call_with_one_wild_argument() -> Outcome {
    let (calls, values) = (calls(), values()?);
    let positions = 4;
    let wild = &values[values.len() - WILD.len()..];
    let few = [wild[0], wild[4], wild[6], wild[8]];
    let total = calls.len() * positions * few.len();
    torment(total as u32, &|number| {
        let number = number as usize;
        let (call, position, value) =
            (number / (positions * few.len()), number / few.len() % positions, few[number % few.len()]);
        let mut arguments = [3, 1, 1, 0, 0, 0];
        arguments[position] = value;
        let _ = raw::call(calls[call], &arguments);
    })
}

fn endless_forks_end() -> Outcome {
    let status = child::run(|| {
        let limit = abi::resource::Rlimit { rlim_cur: 50, rlim_max: 50 };
        let _ = raw::call(nr::setresuid, &[4321, 4321, 4321]);
        let _ = libsyscall::process::prlimit64(0, abi::resource::RLIMIT_NPROC, Some(&limit));
        let mut count = 0;
        loop {
            // SAFETY: the child makes no use of the heap.
            match unsafe { libsyscall::process::fork() } {
                Ok(0) => {
                    ulib::time::sleep(Duration::from_millis(300));
                    libsyscall::process::exit_group(0);
                }
                Ok(_) if count < 200 => count += 1,
                Ok(_) => return 200,
                Err(Errno::EAGAIN) => return count,
                Err(_) => return 255,
            }
        }
    })?;
    if libsyscall::process::geteuid() == 0 {
        check!(status.exit_code().is_some_and(|count| (40..=50).contains(&count)), "{status:?}");
    }
    Ok(())
}

/// Memory beyond what the machine has: refused, or the end of the process that wants it.
fn endless_memory_ends() -> Outcome {
    let limit = abi::resource::Rlimit { rlim_cur: 64 << 20, rlim_max: 64 << 20 };
    let status = child::run(|| {
        let _ = libsyscall::process::prlimit64(0, abi::resource::RLIMIT_AS, Some(&limit));
        let mut total = 0;
        while map_anonymous(1 << 20).is_ok() {
            total += 1;
        }
        i32::from(!(1..=64).contains(&total))
    })?;
    check_eq!(status.exit_code(), Some(0));
    Ok(())
}

fn endless_descriptors_end() -> Outcome {
    let mut last = Ok(0);
    for _ in 0..100_000 {
        last = dup(0).or_else(|_| open(c"/", abi::fs::O_RDONLY, 0));
        if last.is_err() {
            break;
        }
    }
    let limit = libsyscall::process::prlimit64(0, abi::resource::RLIMIT_NOFILE, None)?;
    if limit.rlim_cur < 100_000 {
        check_eq!(last, Err(Errno::EMFILE));
    }
    Ok(())
}

fn deep_folders() -> Outcome {
    scratch::enter()?;
    for _ in 0..1000 {
        mkdirat(abi::fs::AT_FDCWD, c"d", 0o700)?;
        chdir(c"d")?;
    }
    let path = ulib::c_string("../".repeat(1000))?;
    check!(open(&path, abi::fs::O_RDONLY, 0).is_ok());
    for _ in 0..1000 {
        chdir(c"..")?;
        unlinkat(abi::fs::AT_FDCWD, c"d", abi::fs::AT_REMOVEDIR)?;
    }
    Ok(())
}
