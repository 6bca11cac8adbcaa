//! Threads, thread-locals and futexes.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::futex::*;
use abi::memory::*;
use abi::native::nr;
use abi::process::WaitStatus;
use abi::signal::*;
use abi::time::{NANOSECONDS_PER_SECOND, Timespec};
use conformance::{Outcome, check, check_eq, child, files, handler, raw};
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use libsyscall::process::{exit_group, getpid, kill};
use libsyscall::thread::*;
use ulib::thread::{ThreadLocal, spawn};

conformance::tests!(&[
    ("threads_share_memory", threads_share_memory),
    ("threads_share_the_process", threads_share_the_process),
    ("thread_locals_differ", thread_locals_differ),
    ("threads_share_descriptors", threads_share_descriptors),
    ("a_thread_ends_alone", a_thread_ends_alone),
    ("the_first_thread_may_end_first", the_first_thread_may_end_first),
    ("exit_group_ends_all", exit_group_ends_all),
    ("a_fatal_signal_ends_all", a_fatal_signal_ends_all),
    ("a_blocked_signal_goes_to_another_thread", a_blocked_signal_goes_to_another_thread),
    ("fork_copies_one_thread", fork_copies_one_thread),
    ("exec_ends_the_others", exec_ends_the_others),
    ("a_futex_with_another_value", a_futex_with_another_value),
    ("a_futex_times_out", a_futex_times_out),
    ("a_futex_wakes", a_futex_wakes),
    ("a_futex_wakes_as_many_as_asked", a_futex_wakes_as_many_as_asked),
    ("a_futex_between_processes", a_futex_between_processes),
    ("a_futex_is_interrupted", a_futex_is_interrupted),
    ("futexes_with_bits", futexes_with_bits),
    ("futexes_are_requeued", futexes_are_requeued),
    ("futexes_refuse", futexes_refuse),
    ("a_lock_under_contention", a_lock_under_contention),
    ("many_threads", many_threads),
    ("a_robust_lock_is_given_up", a_robust_lock_is_given_up),
    ("a_robust_lock_is_not_forgotten_half_way", a_robust_lock_is_not_forgotten_half_way),
    ("the_processor_is_known", the_processor_is_known),
]);

fn threads_share_memory() -> Outcome {
    static SUM: AtomicU64 = AtomicU64::new(0);
    let threads: alloc::vec::Vec<_> = (1..=10)
        .map(|number| {
            spawn(move || {
                for _ in 0..1000 {
                    SUM.fetch_add(number, Ordering::Relaxed);
                }
            })
        })
        .collect::<Result<_, _>>()?;
    threads.into_iter().for_each(|thread| thread.join());
    check_eq!(SUM.load(Ordering::Relaxed), 55_000);
    Ok(())
}

fn threads_share_the_process() -> Outcome {
    let me = (getpid(), gettid());
    check_eq!(me.0, me.1);
    let other = spawn(|| (getpid(), gettid()))?.join();
    check_eq!(other.0, me.0);
    check!(other.1 != me.1);
    Ok(())
}

fn thread_locals_differ() -> Outcome {
    static LOCAL: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| Cell::new(0));
    LOCAL.with(|local| local.set(1));
    let threads: alloc::vec::Vec<_> = (2..6)
        .map(|number| {
            spawn(move || {
                let fresh = LOCAL.with(|local| local.replace(number)) == 0;
                (0..50).for_each(|_| sched_yield());
                fresh && LOCAL.with(Cell::get) == number
            })
        })
        .collect::<Result<_, _>>()?;
    for thread in threads {
        check!(thread.join());
    }
    check_eq!(LOCAL.with(Cell::get), 1);
    Ok(())
}

fn threads_share_descriptors() -> Outcome {
    let (reader, writer) = spawn(|| libsyscall::file::pipe2(0))?.join()?;
    libsyscall::file::write(writer, b"x")?;
    check_eq!(libsyscall::file::read(reader, &mut [0]), Ok(1));
    spawn(move || libsyscall::file::close(reader))?.join()?;
    check_eq!(libsyscall::file::close(reader), Err(Errno::EBADF));
    Ok(())
}

fn a_thread_ends_alone() -> Outcome {
    for _ in 0..20 {
        spawn(|| ())?.join();
    }
    check_eq!(spawn(|| 5)?.join(), 5);
    Ok(())
}

fn the_first_thread_may_end_first() -> Outcome {
    let status = child::run(|| {
        let other = spawn(|| {
            ulib::time::sleep(Duration::from_millis(20));
            exit_group(7);
        });
        if other.is_err() {
            return 1;
        }
        core::mem::forget(other);
        exit(3)
    })?;
    check_eq!(status, WaitStatus::exited(7));
    let status = child::run(|| exit(9))?;
    check_eq!(status, WaitStatus::exited(9));
    Ok(())
}

/// A process whose other threads do what threads do: run, sleep, wait.
fn busy_process(end: fn() -> i32) -> Result<WaitStatus, conformance::Failure> {
    static NEVER: AtomicU32 = AtomicU32::new(0);
    child::run(|| {
        let runner = spawn(|| -> () {
            loop {
                core::hint::spin_loop();
            }
        });
        let sleeper = spawn(|| ulib::time::sleep(Duration::from_secs(1000)));
        let waiter = spawn(|| {
            let _ = futex_wait(&NEVER, 0, None, Sharing::Private);
        });
        ulib::time::sleep(Duration::from_millis(5));
        core::mem::forget((runner, sleeper, waiter));
        end()
    })
}

fn exit_group_ends_all() -> Outcome {
    check_eq!(busy_process(|| 4)?, WaitStatus::exited(4));
    Ok(())
}

fn a_fatal_signal_ends_all() -> Outcome {
    let status = busy_process(|| {
        let _ = kill(getpid(), SIGTERM);
        0
    })?;
    check_eq!(status.term_signal(), Some(SIGTERM));
    let status = busy_process(|| {
        conformance::fault::load(core::ptr::without_provenance(8));
        0
    })?;
    check_eq!(status.term_signal(), Some(SIGSEGV));
    Ok(())
}

/// Whoever takes the first signal blocks the second one in its handler; the other thread must get that one then. On
/// Linux either thread may be the one.
fn a_blocked_signal_goes_to_another_thread() -> Outcome {
    static SECOND: AtomicU32 = AtomicU32::new(0);
    static IN_TIME: AtomicBool = AtomicBool::new(false);
    const STEP: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
    extern "C" fn wait_for_second(_signal: i32, _info: *const SigInfo, _context: *mut UContext) {
        let came = || SECOND.load(Ordering::Relaxed) != 0;
        let in_time = (0..500).any(|_| {
            let _ = futex_wait(&SECOND, 0, Some(STEP), Sharing::Private);
            came()
        });
        IN_TIME.store(in_time, Ordering::Relaxed);
    }
    extern "C" fn note_second(_signal: i32, _info: *const SigInfo, _context: *mut UContext) {
        SECOND.store(1, Ordering::Relaxed);
    }
    let first = handler::action(wait_for_second, 0, handler::bit(SIGUSR2));
    // SAFETY: the handler makes calls and touches atomics only.
    unsafe { libsyscall::signal::rt_sigaction(SIGUSR1, Some(&first)) }?;
    handler::install(SIGUSR2, note_second, 0)?;
    let other = spawn(|| {
        while SECOND.load(Ordering::Relaxed) == 0 {
            static NEVER: AtomicU32 = AtomicU32::new(0);
            let _ = futex_wait(&NEVER, 0, None, Sharing::Private);
        }
    })?;
    let parent = getpid();
    let child = child::start(|| {
        let sent = kill(parent, SIGUSR1).and_then(|()| kill(parent, SIGUSR2));
        i32::from(sent.is_err())
    })?;
    check_eq!(child::wait(child)?, WaitStatus(0));
    other.join();
    check!(IN_TIME.load(Ordering::Relaxed));
    Ok(())
}

fn fork_copies_one_thread() -> Outcome {
    static RUN: AtomicBool = AtomicBool::new(true);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let other = spawn(|| {
        while RUN.load(Ordering::Relaxed) {
            COUNT.fetch_add(1, Ordering::Relaxed);
            sched_yield();
        }
    })?;
    let status = child::run(|| {
        let before = COUNT.load(Ordering::Relaxed);
        (0..100).for_each(|_| sched_yield());
        i32::from(COUNT.load(Ordering::Relaxed) != before)
    })?;
    RUN.store(false, Ordering::Relaxed);
    other.join();
    check_eq!(status, WaitStatus(0));
    Ok(())
}

fn exec_ends_the_others() -> Outcome {
    let status = busy_process(|| {
        let Some(path) = ulib::args::args().next() else { return 1 };
        // Without a name it runs no test.
        let arguments = [c"".as_ptr(), core::ptr::null()];
        // SAFETY: both arrays end with a null pointer.
        unsafe { libsyscall::process::execve(path, arguments.as_ptr(), arguments[1..].as_ptr()) };
        2
    })?;
    check_eq!(status, WaitStatus(0));
    Ok(())
}

fn a_futex_with_another_value() -> Outcome {
    let word = AtomicU32::new(5);
    check_eq!(futex_wait(&word, 4, None, Sharing::Private), Err(Errno::EAGAIN));
    check_eq!(futex_wake(&word, 10, Sharing::Private), Ok(0));
    Ok(())
}

fn a_futex_times_out() -> Outcome {
    let word = AtomicU32::new(5);
    let start = ulib::time::monotonic();
    let timeout = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
    check_eq!(futex_wait(&word, 5, Some(timeout), Sharing::Private), Err(Errno::ETIMEDOUT));
    check!(ulib::time::monotonic() - start >= Duration::from_millis(10));
    let bad = Timespec { tv_sec: 0, tv_nsec: NANOSECONDS_PER_SECOND };
    check_eq!(futex_wait(&word, 5, Some(bad), Sharing::Private), Err(Errno::EINVAL));
    Ok(())
}

fn a_futex_wakes() -> Outcome {
    static WORD: AtomicU32 = AtomicU32::new(0);
    let waiter = spawn(|| {
        while WORD.load(Ordering::Acquire) == 0 {
            let _ = futex_wait(&WORD, 0, None, Sharing::Private);
        }
    })?;
    while futex_wake(&WORD, 1, Sharing::Private)? == 0 {
        sched_yield();
    }
    WORD.store(1, Ordering::Release);
    futex_wake(&WORD, 1, Sharing::Private)?;
    waiter.join();
    Ok(())
}

/// Starts `count` threads that wait once each on the word, and returns when all of them do.
fn sleepers(
    word: &'static AtomicU32,
    count: u32,
) -> Result<alloc::vec::Vec<ulib::thread::JoinHandle<Result<(), Errno>>>, conformance::Failure> {
    static READY: AtomicU32 = AtomicU32::new(0);
    READY.store(0, Ordering::Relaxed);
    let threads = (0..count)
        .map(|_| {
            spawn(move || {
                READY.fetch_add(1, Ordering::Relaxed);
                futex_wait(word, 0, None, Sharing::Private)
            })
        })
        .collect::<Result<_, _>>()?;
    while READY.load(Ordering::Relaxed) != count {
        sched_yield();
    }
    // From counting itself to sleeping is one call.
    ulib::time::sleep(Duration::from_millis(20));
    Ok(threads)
}

fn a_futex_wakes_as_many_as_asked() -> Outcome {
    static WORD: AtomicU32 = AtomicU32::new(0);
    let threads = sleepers(&WORD, 5)?;
    check_eq!(futex_wake(&WORD, 2, Sharing::Private), Ok(2));
    check_eq!(futex_wake(&WORD, 100, Sharing::Private), Ok(3));
    for thread in threads {
        check_eq!(thread.join(), Ok(()));
    }
    Ok(())
}

fn a_futex_between_processes() -> Outcome {
    // SAFETY: the kernel chooses a free range.
    let page = unsafe {
        let flags = MAP_SHARED | MAP_ANONYMOUS;
        libsyscall::memory::mmap(core::ptr::null_mut(), 4096, PROT_READ | PROT_WRITE, flags, -1, 0)?
    };
    // SAFETY: the page is mapped until the process ends, and zeroed.
    let word = unsafe { &*page.cast::<AtomicU32>() };
    let pid = child::start(|| {
        while word.load(Ordering::Acquire) == 0 {
            let _ = futex_wait(word, 0, None, Sharing::Shared);
        }
        0
    })?;
    while futex_wake(word, 1, Sharing::Shared)? == 0 {
        sched_yield();
    }
    word.store(1, Ordering::Release);
    futex_wake(word, 1, Sharing::Shared)?;
    check_eq!(child::wait(pid)?, WaitStatus(0));
    Ok(())
}

fn a_futex_is_interrupted() -> Outcome {
    conformance::handler::record_signal(SIGUSR1, 0)?;
    let word = AtomicU32::new(0);
    let target = getpid();
    let pest = child::start(|| {
        loop {
            ulib::time::sleep(Duration::from_millis(5));
            let _ = kill(target, SIGUSR1);
        }
    })?;
    check_eq!(futex_wait(&word, 0, None, Sharing::Private), Err(Errno::EINTR));
    kill(pest, SIGKILL)?;
    Ok(())
}

fn futex(
    word: &AtomicU32,
    operation: u32,
    value: u64,
    fourth: u64,
    second: u64,
    third: u64,
) -> Result<u64, Errno> {
    raw::call(nr::futex, &[word.as_ptr() as u64, operation.into(), value, fourth, second, third])
}

fn futexes_with_bits() -> Outcome {
    static WORD: AtomicU32 = AtomicU32::new(0);
    let waiter = spawn(|| futex(&WORD, FUTEX_WAIT_BITSET, 0, 0, 0, 2))?;
    ulib::time::sleep(Duration::from_millis(20));
    check_eq!(futex(&WORD, FUTEX_WAKE_BITSET, 10, 0, 0, 1), Ok(0));
    while futex(&WORD, FUTEX_WAKE_BITSET, 10, 0, 0, 3)? == 0 {
        sched_yield();
    }
    check_eq!(waiter.join(), Ok(0));
    check_eq!(futex(&WORD, FUTEX_WAKE_BITSET, 10, 0, 0, 0), Err(Errno::EINVAL));
    Ok(())
}

fn futexes_are_requeued() -> Outcome {
    static FIRST: AtomicU32 = AtomicU32::new(0);
    static SECOND: AtomicU32 = AtomicU32::new(0);
    let threads = sleepers(&FIRST, 4)?;
    let target = SECOND.as_ptr() as u64;
    let operation = FUTEX_CMP_REQUEUE | FUTEX_PRIVATE_FLAG;
    check_eq!(futex(&FIRST, operation, 1, 2, target, 9), Err(Errno::EAGAIN));
    check_eq!(futex(&FIRST, operation, 1, 2, target, 0), Ok(3));
    check_eq!(futex_wake(&SECOND, 10, Sharing::Private), Ok(2));
    check_eq!(futex_wake(&FIRST, 10, Sharing::Private), Ok(1));
    for thread in threads {
        check_eq!(thread.join(), Ok(()));
    }
    Ok(())
}

fn futexes_refuse() -> Outcome {
    let wait = |address: u64| raw::call(nr::futex, &[address, FUTEX_WAIT.into(), 0, 0]);
    check_eq!(wait(0x1001), Err(Errno::EINVAL));
    check_eq!(wait(0x1000), Err(Errno::EFAULT));
    check_eq!(wait(0xffff_8000_0000_0000), Err(Errno::EFAULT));
    check_eq!(wait(!3), Err(Errno::EFAULT));
    check_eq!(raw::call(nr::futex, &[0x1000, 99, 0, 0]), Err(Errno::ENOSYS));
    Ok(())
}

fn a_lock_under_contention() -> Outcome {
    static LOCK: ulib::sync::Mutex<u64> = ulib::sync::Mutex::new(0);
    let threads: alloc::vec::Vec<_> = (0..8)
        .map(|_| {
            spawn(|| {
                for _ in 0..500 {
                    let mut value = LOCK.lock();
                    let seen = *value;
                    sched_yield();
                    *value = seen + 1;
                }
            })
        })
        .collect::<Result<_, _>>()?;
    threads.into_iter().for_each(|thread| thread.join());
    check_eq!(*LOCK.lock(), 4000);
    Ok(())
}

fn many_threads() -> Outcome {
    static GATE: AtomicU32 = AtomicU32::new(0);
    let threads: alloc::vec::Vec<_> = (0..100u64)
        .map(|number| {
            spawn(move || {
                while GATE.load(Ordering::Acquire) == 0 {
                    let _ = futex_wait(&GATE, 0, None, Sharing::Private);
                }
                number
            })
        })
        .collect::<Result<_, _>>()?;
    GATE.store(1, Ordering::Release);
    futex_wake(&GATE, u32::MAX >> 1, Sharing::Private)?;
    check_eq!(threads.into_iter().map(|thread| thread.join()).sum::<u64>(), 4950);
    Ok(())
}

/// The kernel marks a lock whose owner died, and wakes who waits for it.
fn a_robust_lock_is_given_up() -> Outcome {
    #[repr(C)]
    struct Lock {
        next: AtomicU64,
        word: AtomicU32,
    }
    static LOCK: Lock = Lock { next: AtomicU64::new(0), word: AtomicU32::new(0) };
    #[repr(C)]
    struct Head {
        list: AtomicU64,
        offset: u64,
        pending: AtomicU64,
    }
    static HEAD: Head = Head { list: AtomicU64::new(0), offset: 8, pending: AtomicU64::new(0) };
    spawn(|| {
        let head = (&raw const HEAD) as u64;
        LOCK.next.store(head, Ordering::Relaxed);
        LOCK.word.store(gettid() as u32 | FUTEX_WAITERS, Ordering::Relaxed);
        HEAD.list.store((&raw const LOCK) as u64, Ordering::Relaxed);
        raw::call(nr::set_robust_list, &[head, 24]).map(drop)
    })?
    .join()?;
    check_eq!(LOCK.word.load(Ordering::Relaxed), FUTEX_OWNER_DIED | FUTEX_WAITERS);
    check_eq!(raw::call(nr::set_robust_list, &[(&raw const HEAD) as u64, 23]), Err(Errno::EINVAL));
    Ok(())
}

/// Whoever dies between giving a lock up and waking who waits for it has the kernel do the latter.
fn a_robust_lock_is_not_forgotten_half_way() -> Outcome {
    static LOCK: AtomicU32 = AtomicU32::new(0);
    static WAITER: AtomicI32 = AtomicI32::new(0);
    // First entry, offset, and the lock that is being given up.
    static HEAD: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
    let waiter = spawn(|| {
        WAITER.store(gettid(), Ordering::SeqCst);
        futex_wait(&LOCK, 0, None, Sharing::Shared)
    })?;
    while WAITER.load(Ordering::SeqCst) == 0 {
        sched_yield();
    }
    let stat = ulib::c_string(alloc::format!("/proc/self/task/{}/stat", WAITER.load(Ordering::SeqCst)))?;
    while !files::content(&stat)?.windows(4).any(|part| part == b") S ") {
        sched_yield();
    }
    spawn(|| {
        let head = (&raw const HEAD) as u64;
        HEAD[0].store(head, Ordering::Relaxed);
        HEAD[2].store((&raw const LOCK) as u64, Ordering::Relaxed);
        raw::call(nr::set_robust_list, &[head, 24]).map(drop)
    })?
    .join()?;
    check_eq!(waiter.join(), Ok(()));
    check_eq!(LOCK.load(Ordering::Relaxed), 0);
    Ok(())
}

fn the_processor_is_known() -> Outcome {
    let mut mask = [0u64; 16];
    let length = raw::call(nr::sched_getaffinity, &[0, 128, mask.as_mut_ptr() as u64])?;
    check!(length >= 8 && length.is_multiple_of(8));
    check!(core::hint::black_box(mask).iter().any(|&word| word != 0));
    let (mut processor, mut node) = (u32::MAX, u32::MAX);
    raw::call(nr::getcpu, &[(&raw mut processor) as u64, (&raw mut node) as u64, 0])?;
    check!(core::hint::black_box(processor) < 1024 && core::hint::black_box(node) < 1024);
    Ok(())
}
