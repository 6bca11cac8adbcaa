//! Processes, threads and pending signals, beside many. Linux lets so few threads be in 512 MiB.

use crate::Operation;
use crate::arch;
use crate::measure::repeat;
use abi::Errno;
use abi::native::nr;
use abi::process::{__WALL, WNOHANG};
use abi::resource::{PRIO_USER, RLIMIT_SIGPENDING, Rlimit};
use abi::signal::{SI_QUEUE, SIG_BLOCK, SIGCHLD, SIGKILL, SigInfo};
use libsyscall::file::{close, open, pipe2, read};
use libsyscall::process::{exit_group, getpid, kill, prlimit64, setpgid, wait4};
use libsyscall::signal::rt_sigprocmask;

const SOME: usize = 2000;

pub const OPERATIONS: &[(&str, Operation)] = &[
    ("waitpid(any, WNOHANG) beside 2,000 children", || beside_children(|_| wait4(-1, WNOHANG).map(drop))),
    ("waitpid(pid, WNOHANG) beside 2,000 children", || {
        beside_children(|last| wait4(last, WNOHANG).map(drop))
    }),
    ("kill of one beside 2,000 children", || beside_children(|last| kill(last, 0))),
    ("fork + exit + wait beside 2,000 children", || beside_children(|_| fork_wait())),
    ("fork + exit + wait beside 2,000 zombies", beside_zombies),
    ("kill of a group of 2,000, for each", || for_each_child(|group| kill(-group, 0))),
    ("getpriority of a user of 2,000, for each", || {
        for_each_child(|_| call(nr::getpriority, PRIO_USER as u64, 0))
    }),
    ("getdents of /proc with 2,000, for each", || for_each_child(|_| list_proc())),
    ("exit of a parent of 1,000, for each", parent_exits),
    ("sigqueue + take beside 1,000 of another number", beside_signals),
    ("thread create + join beside 1,000 threads", beside_threads),
];

fn call(number: u64, first: u64, second: u64) -> Result<(), Errno> {
    // SAFETY: these calls change no memory.
    Errno::from_return(unsafe { libsyscall::syscall(number, first, second, 0, 0, 0, 0) }).map(drop)
}

/// `clone` of a process that tells of its end by this signal, or by none.
fn start(signal: u32, body: impl FnOnce()) -> Result<i32, Errno> {
    // SAFETY: without a stack of its own the child is a copy, as by `fork`; this program has one thread now.
    let pid = Errno::from_return(unsafe { libsyscall::syscall(nr::clone, signal.into(), 0, 0, 0, 0, 0) })?;
    if pid == 0 {
        body();
        exit_group(0);
    }
    i32::try_from(pid).map_err(|_| Errno::EINVAL)
}

pub fn fork_wait() -> Result<(), Errno> {
    let pid = start(SIGCHLD, || ())?;
    wait4(pid, 0).map(drop)
}

/// Runs `measure` with the number of the first child, which leads their group, and of the last.
fn with_children(count: usize, measure: impl FnOnce(i32, i32) -> Result<u64, Errno>) -> Result<u64, Errno> {
    let (reader, writer) = pipe2(0)?;
    let (mut first, mut last) = (0, 0);
    for _ in 0..count {
        last = start(SIGCHLD, || {
            let _ = close(writer);
            let _ = read(reader, &mut [0]);
        })?;
        first = if first == 0 { last } else { first };
        setpgid(last, first)?;
    }
    let result = measure(first, last);
    close(writer)?;
    close(reader)?;
    for _ in 0..count {
        wait4(-first, 0)?;
    }
    result
}

fn beside_children(operation: fn(i32) -> Result<(), Errno>) -> Result<u64, Errno> {
    with_children(SOME, |_, last| repeat(100, || operation(last)))
}

fn for_each_child(operation: fn(i32) -> Result<(), Errno>) -> Result<u64, Errno> {
    with_children(SOME, |first, _| Ok(repeat(2, || operation(first))? / SOME as u64))
}

/// Zombies that an ordinary wait passes by.
fn beside_zombies() -> Result<u64, Errno> {
    for _ in 0..SOME {
        start(0, || ())?;
    }
    let result = repeat(50, fork_wait);
    while wait4(-1, __WALL).is_ok() {}
    result
}

fn list_proc() -> Result<(), Errno> {
    let mut buffer = [0u8; 4096];
    let fd = open(c"/proc", abi::fs::O_RDONLY, 0)?;
    loop {
        let (address, size) = (buffer.as_mut_ptr() as u64, buffer.len() as u64);
        // SAFETY: the kernel writes at most `size` bytes into the buffer.
        let count = unsafe { libsyscall::syscall(nr::getdents64, fd as u64, address, size, 0, 0, 0) };
        if Errno::from_return(count)? == 0 {
            return close(fd);
        }
    }
}

/// A process makes 1,000 children that go on when it has ended; its end alone is measured, by its parent.
fn parent_exits() -> Result<u64, Errno> {
    const CHILDREN: u64 = 1000;
    let (reader, writer) = pipe2(0)?;
    let (go_reader, go_writer) = pipe2(0)?;
    let parent = start(SIGCHLD, || {
        for _ in 0..CHILDREN {
            let _ = start(SIGCHLD, || {
                let _ = close(writer);
                let _ = read(reader, &mut [0]);
            });
        }
        let _ = libsyscall::file::write(go_writer, b"x");
        // Killed here.
        let _ = read(reader, &mut [0]);
    })?;
    read(go_reader, &mut [0])?;
    let begin = arch::counter();
    kill(parent, SIGKILL)?;
    wait4(parent, 0)?;
    let spent = arch::counter().wrapping_sub(begin);
    for fd in [reader, writer, go_reader, go_writer] {
        close(fd)?;
    }
    Ok(spent / CHILDREN)
}

fn beside_signals() -> Result<u64, Errno> {
    const QUEUED: u32 = 45;
    const TAKEN: u32 = 46;
    let old = prlimit64(0, RLIMIT_SIGPENDING, Some(&Rlimit { rlim_cur: 1500, rlim_max: u64::MAX }))?;
    let bit = |signal: u32| 1u64 << (signal - 1);
    let mask = rt_sigprocmask(SIG_BLOCK, bit(QUEUED) | bit(TAKEN))?;
    let queue = |signal: u32| {
        let info = SigInfo::new(signal, SI_QUEUE);
        let (pid, address) = (getpid() as u64, (&raw const info) as u64);
        // SAFETY: the kernel reads the information.
        Errno::from_return(unsafe {
            libsyscall::syscall(nr::rt_sigqueueinfo, pid, signal.into(), address, 0, 0, 0)
        })
    };
    let take = |signal: u32| {
        let (set, none) = (bit(signal), [0u64; 2]);
        let (set, none) = ((&raw const set) as u64, none.as_ptr() as u64);
        // SAFETY: the kernel reads the set and the time.
        Errno::from_return(unsafe { libsyscall::syscall(nr::rt_sigtimedwait, set, 0, none, 8, 0, 0) })
    };
    for _ in 0..1000 {
        queue(QUEUED)?;
    }
    let result = repeat(100, || {
        queue(TAKEN)?;
        take(TAKEN).map(drop)
    });
    while take(QUEUED).is_ok() {}
    rt_sigprocmask(abi::signal::SIG_SETMASK, mask)?;
    prlimit64(0, RLIMIT_SIGPENDING, Some(&old))?;
    result
}

fn beside_threads() -> Result<u64, Errno> {
    let (reader, writer) = pipe2(0)?;
    let threads: alloc::vec::Vec<_> = (0..1000)
        .map(|_| ulib::thread::spawn(move || read(reader, &mut [0]).map(drop)))
        .collect::<Result<_, _>>()?;
    let result = repeat(50, || {
        ulib::thread::spawn(|| ())?.join();
        Ok(())
    });
    close(writer)?;
    for thread in threads {
        thread.join()?;
    }
    close(reader)?;
    result
}
