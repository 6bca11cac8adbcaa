//! The wrappers against a running Linux.
#![cfg(target_os = "linux")]

use abi::fs::{O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_RDONLY, O_RDWR, S_IFDIR, S_IFMT, SEEK_SET};
use abi::process::{CLONE_VFORK, CLONE_VM, WNOHANG};
use abi::signal::{SIG_BLOCK, SIG_SETMASK, SIGCHLD, SIGKILL, SIGUSR1};
use abi::{Errno, poll::POLLIN, poll::Pollfd, time::CLOCK_MONOTONIC, time::Timespec};
use libsyscall::{arch, file, memory, nr, process, signal, syscall, system, thread, time};
use std::ffi::CString;
use std::sync::atomic::{AtomicU32, Ordering};

#[test]
fn an_unknown_call_is_enosys() {
    // SAFETY: no call has this number.
    assert_eq!(unsafe { syscall(100_000, 0, 0, 0, 0, 0, 0) }, Errno::ENOSYS.to_return());
}

#[test]
fn all_six_arguments_arrive() {
    // SAFETY: the kernel chooses the address of an anonymous mapping; every argument matters to mmap's checks.
    let address = unsafe { syscall(nr::mmap, 0, 4096, 3, 0x22, u64::MAX, 0) };
    assert!(address > 0 && address % 4096 == 0);
    // SAFETY: an offset that is no multiple of the page size is refused.
    assert_eq!(unsafe { syscall(nr::mmap, 0, 4096, 3, 0x22, u64::MAX, 1) }, Errno::EINVAL.to_return());
    // SAFETY: the mapping made above, unused.
    unsafe { memory::munmap(address as *mut u8, 4096) }.unwrap();
}

#[test]
fn a_file_from_creation_to_removal() {
    let directory = std::env::temp_dir().join(format!("libsyscall-{}", process::getpid()));
    let path = CString::new(directory.join("file").to_str().unwrap()).unwrap();
    let directory = CString::new(directory.to_str().unwrap()).unwrap();
    file::mkdirat(abi::fs::AT_FDCWD, &directory, 0o700).unwrap();
    assert_eq!(file::mkdirat(abi::fs::AT_FDCWD, &directory, 0o700), Err(Errno::EEXIST));
    let fd = file::open(&path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600).unwrap();
    assert_eq!(file::write(fd, b"orlop"), Ok(5));
    assert_eq!(file::lseek(fd, 1, SEEK_SET), Ok(1));
    let mut buffer = [0; 8];
    assert_eq!(file::read(fd, &mut buffer), Ok(4));
    assert_eq!(&buffer[..4], b"rlop");
    assert_eq!(file::fstat(fd).unwrap().st_size, 5);
    assert_eq!(file::statx(fd, c"", abi::fs::AT_EMPTY_PATH, abi::fs::STATX_SIZE).unwrap().stx_size, 5);
    file::close(fd).unwrap();
    assert_eq!(file::close(fd), Err(Errno::EBADF));
    file::unlinkat(abi::fs::AT_FDCWD, &path, 0).unwrap();
    file::unlinkat(abi::fs::AT_FDCWD, &directory, abi::fs::AT_REMOVEDIR).unwrap();
}

#[test]
fn a_directory_lists_itself() {
    let fd = file::open(c"/", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0).unwrap();
    assert_eq!(file::fstat(fd).unwrap().st_mode & S_IFMT, S_IFDIR);
    let mut buffer = [0; 4096];
    assert!(file::getdents64(fd, &mut buffer).unwrap() >= size_of::<abi::fs::Dirent64>());
    assert_eq!(file::terminal_modes(fd), Err(Errno::ENOTTY));
    file::close(fd).unwrap();
}

#[test]
fn a_pipe_is_ready_when_written() {
    let (read_end, write_end) = file::pipe2(O_CLOEXEC).unwrap();
    let mut fds = [Pollfd { fd: read_end, events: POLLIN, revents: 0 }];
    assert_eq!(file::ppoll(&mut fds, Some(Timespec::default())), Ok(0));
    assert_eq!(file::write(write_end, b"x"), Ok(1));
    assert_eq!(file::ppoll(&mut fds, None), Ok(1));
    assert_eq!(fds[0].revents, POLLIN);
    file::close(read_end).unwrap();
    file::close(write_end).unwrap();
}

#[test]
fn a_forked_child_is_waited_for() {
    // SAFETY: the child makes one call, which takes no lock.
    match unsafe { process::fork() }.unwrap() {
        0 => process::exit_group(300),
        child => {
            let (pid, status) = process::wait4(child, 0).unwrap().unwrap();
            assert_eq!((pid, status.exit_code()), (child, Some(300u16 as u8)));
            assert_eq!(process::wait4(child, WNOHANG), Err(Errno::ECHILD));
        }
    }
}

/// Stores 7 where its argument points, and ends its process.
extern "C" fn store_and_exit(argument: *mut u8) -> ! {
    // SAFETY: the argument is the address of an `AtomicU32` in memory that parent and child share.
    unsafe { &*argument.cast::<AtomicU32>() }.store(7, Ordering::Relaxed);
    process::exit_group(5)
}

#[test]
fn a_child_starts_on_its_own_stack() {
    const STACK: usize = 64 * 1024;
    let stack = memory::map_anonymous(STACK).unwrap();
    let word = AtomicU32::new(0);
    let flags = CLONE_VM | CLONE_VFORK | u64::from(SIGCHLD);
    // SAFETY: the stack is fresh and big enough, and the parent sleeps until the child is gone.
    let child = Errno::from_return(unsafe {
        let null = std::ptr::null_mut();
        arch::clone_onto_stack(flags, stack.add(STACK), null, null, 0, store_and_exit, word.as_ptr().cast())
    })
    .unwrap() as i32;
    assert_eq!(process::wait4(child, 0).unwrap().unwrap().1.exit_code(), Some(5));
    assert_eq!(word.load(Ordering::Relaxed), 7);
}

#[test]
fn a_killed_child_says_so() {
    // SAFETY: the child only sleeps.
    match unsafe { process::fork() }.unwrap() {
        0 => loop {
            let _ = time::nanosleep(Timespec { tv_sec: 100, tv_nsec: 0 });
        },
        child => {
            process::kill(child, SIGKILL).unwrap();
            let (_, status) = process::wait4(child, 0).unwrap().unwrap();
            assert_eq!((status.term_signal(), status.shell_status()), (Some(SIGKILL), 137));
        }
    }
}

#[test]
fn masks_nest() {
    let old = signal::rt_sigprocmask(SIG_BLOCK, 1 << (SIGUSR1 - 1)).unwrap();
    assert_ne!(signal::rt_sigprocmask(SIG_SETMASK, old).unwrap() & 1 << (SIGUSR1 - 1), 0);
}

#[test]
fn a_futex_that_changed_does_not_sleep() {
    let word = AtomicU32::new(1);
    let private = thread::Sharing::Private;
    assert_eq!(thread::futex_wait(&word, 0, None, private), Err(Errno::EAGAIN));
    let short = Some(Timespec { tv_sec: 0, tv_nsec: 1000 });
    assert_eq!(thread::futex_wait(&word, 1, short, private), Err(Errno::ETIMEDOUT));
    assert_eq!(thread::futex_wake(&word, 1, private), Ok(0));
}

#[test]
fn the_system_names_itself() {
    assert!(system::uname().unwrap().sysname.starts_with(b"Linux\0"));
    assert!(system::sysinfo().unwrap().totalram > 0);
    assert!(time::clock_gettime(CLOCK_MONOTONIC).unwrap() > Timespec::default());
    assert_eq!(time::clock_gettime(-1_000_000), Err(Errno::EINVAL));
    assert_eq!(memory::getrandom(&mut [0; 16], 0), Ok(16));
}
