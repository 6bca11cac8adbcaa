//! What a dump says of several threads, and what may happen to it meanwhile.

use abi::core_dump::{NT_FILE, NT_PRFPREG};
use abi::native::nr;
use abi::process::WaitStatus;
use abi::signal::*;
use alloc::vec::Vec;
use conformance::{Failure, Outcome, arch, check, check_eq, child, files, raw};
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use libsyscall::file::*;
use libsyscall::memory::map_anonymous;
use libsyscall::process::kill;
use libsyscall::thread::{Sharing, allowed_cpus, futex_wait, gettid, sched_yield, set_allowed_cpus};
use ulib::thread::spawn;

use crate::dump::{Core, Thread, UNLIMITED, crash, die, limit, prepare};

/// The vector register that a thread has set.
fn vector(thread: &Thread<'_>) -> Result<u64, Failure> {
    let content = thread.note(NT_PRFPREG)?;
    check_eq!(content.len(), arch::core_dump::VECTORS);
    let word = |content: &[u8], at: usize| content.get(at..).and_then(|rest| rest.first_chunk().copied());
    let wanted = word(content, arch::core_dump::VECTOR).map_or(0, u64::from_le_bytes);
    if let Some((kind, at)) = arch::core_dump::OTHER_VECTOR
        && let Ok(content) = thread.note(kind)
    {
        check_eq!(word(content, at).map(u64::from_le_bytes), Some(wanted));
    }
    Ok(wanted)
}

pub fn registers_of_two_threads() -> Outcome {
    static READY: AtomicU32 = AtomicU32::new(0);
    static OTHER: AtomicI32 = AtomicI32::new(0);
    let _pattern = prepare("core")?;
    let (pid, status) = crash(UNLIMITED, || {
        let everywhere = allowed_cpus()?;
        // Linux 6.1 takes vector registers as they were when the thread last left its CPU, if the thread is only about
        // to stop (its `wait_task_inactive` does not wait for one that runs). So this one leaves once with the number.
        set_allowed_cpus(everywhere & everywhere.wrapping_neg())?;
        spawn(|| {
            OTHER.store(gettid(), Ordering::Relaxed);
            // SAFETY: the word outlives the process.
            unsafe { arch::core_dump::spin(1000, READY.as_ptr()) }
        })?;
        while READY.load(Ordering::Acquire) == 0 {
            sched_yield();
        }
        let other = OTHER.load(Ordering::Relaxed) as u64;
        raw::call(nr::sched_setaffinity, &[other, 8, (&raw const everywhere) as u64])?;
        (0..10).for_each(|_| sched_yield());
        arch::core_dump::die(2000)
    })?;
    check_eq!(status, WaitStatus::signaled(SIGILL).with_core_dump());
    let core = Core::read(c"core")?;
    let threads = core.threads()?;
    check_eq!(threads.len(), 2);
    // The one that died comes first, and the notes of the process with it.
    check_eq!((threads[0].head.pr_pid, threads[0].note(NT_FILE).is_ok()), (pid, true));
    check!(threads[1].head.pr_pid != pid && threads[1].note(NT_FILE).is_err());
    let functions = [arch::core_dump::die as *const () as u64, arch::core_dump::spin as *const () as u64];
    for ((thread, first), function) in threads.iter().zip([2000, 1000]).zip(functions) {
        let (numbers, place) = arch::core_dump::numbers(&thread.registers);
        check_eq!(numbers, [first, first + 1, first + 2]);
        check!((function..function + 64).contains(&place), "{place:#x}");
        check_eq!(vector(thread)?, first);
        let (stack, pointer) = arch::core_dump::pointers(&thread.registers, &thread.notes);
        check!(core.byte(stack).is_some() && core.byte(pointer).is_some(), "{stack:#x} {pointer:#x}");
        check_eq!(thread.head.pr_cursig, SIGILL as i16);
    }
    let pointers: Vec<_> =
        threads.iter().map(|one| arch::core_dump::pointers(&one.registers, &one.notes)).collect();
    check!(pointers[0].0 != pointers[1].0 && pointers[0].1 != pointers[1].1);
    Ok(())
}

const THREADS: usize = 20;

pub fn many_threads() -> Outcome {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    static NUMBERS: [AtomicI32; THREADS] = [const { AtomicI32::new(0) }; THREADS];
    let _pattern = prepare("core")?;
    // Another one than the first thread dies, while some sleep and some run.
    let (pid, status) = crash(UNLIMITED, || {
        for index in 0..THREADS {
            spawn(move || {
                if let Some(number) = NUMBERS.get(index) {
                    number.store(gettid(), Ordering::Relaxed);
                }
                STARTED.fetch_add(1, Ordering::Release);
                loop {
                    if index % 2 == 0 {
                        core::hint::spin_loop();
                    } else {
                        ulib::time::sleep(core::time::Duration::from_secs(1000));
                    }
                }
            })?;
        }
        while STARTED.load(Ordering::Acquire) < THREADS as u32 {
            sched_yield();
        }
        spawn(|| arch::core_dump::die(3))?;
        loop {
            ulib::time::sleep(core::time::Duration::from_secs(1000));
        }
    })?;
    check_eq!(status, WaitStatus::signaled(SIGILL).with_core_dump());
    let core = Core::read(c"core")?;
    check_eq!(core.size(), core.whole_size());
    let threads = core.threads()?;
    check_eq!(threads.len(), THREADS + 2);
    check!(threads[0].head.pr_pid != pid);
    check_eq!(arch::core_dump::numbers(&threads[0].registers).0, [3, 4, 5]);
    let mut numbers: Vec<_> = threads.iter().map(|thread| thread.head.pr_pid).collect();
    numbers.sort_unstable();
    numbers.dedup();
    check!(numbers.len() == THREADS + 2 && numbers.contains(&pid));
    Ok(())
}

/// Threads that wait for what never comes, in every way that a signal must end.
pub fn threads_that_wait() -> Outcome {
    static NEVER: AtomicU32 = AtomicU32::new(0);
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let _pattern = prepare("core")?;
    let (_, status) = crash(UNLIMITED, || {
        let (reader, _writer) = pipe2(0)?;
        spawn(|| {
            STARTED.fetch_add(1, Ordering::Release);
            let _ = futex_wait(&NEVER, 0, None, Sharing::Private);
        })?;
        spawn(move || {
            STARTED.fetch_add(1, Ordering::Release);
            let _ = read(reader, &mut [0]);
        })?;
        spawn(|| {
            STARTED.fetch_add(1, Ordering::Release);
            let _ = child::wait(-1);
        })?;
        spawn(|| {
            STARTED.fetch_add(1, Ordering::Release);
            libsyscall::thread::exit(0);
        })?;
        while STARTED.load(Ordering::Acquire) < 4 {
            sched_yield();
        }
        Ok(())
    })?;
    check_eq!(status, WaitStatus::signaled(SIGABRT).with_core_dump());
    let threads = Core::read(c"core")?.threads()?.len();
    check!((1..=5).contains(&threads), "{threads} threads");
    Ok(())
}

/// Whether the signal comes before, during or after the dump: the process ends by either, and not at all by both.
pub fn a_dump_is_killed() -> Outcome {
    let _pattern = prepare("core")?;
    for wait in 0..8 {
        let pid = child::start(|| {
            let filled = limit(UNLIMITED).map_err(|_| 1).and_then(|()| map_anonymous(8 << 20).map_err(|_| 1));
            let Ok(bytes) = filled else { return 1 };
            for page in 0..2048 {
                // SAFETY: inside the mapping.
                unsafe { bytes.add(page * 4096).write_volatile(1) };
            }
            die(SIGQUIT)
        })?;
        while !files::exists(c"core") {
            sched_yield();
        }
        for _ in 0..wait * 20 {
            sched_yield();
        }
        kill(pid, SIGKILL)?;
        let status = child::wait(pid)?;
        let ends = [WaitStatus::signaled(SIGKILL), WaitStatus::signaled(SIGQUIT).with_core_dump()];
        check!(ends.contains(&status), "{status:?}");
        files::unlink(c"core")?;
    }
    Ok(())
}
