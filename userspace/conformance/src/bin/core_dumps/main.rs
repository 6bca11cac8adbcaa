//! Core dumps: when there is one, where it goes, and what it holds.
#![no_std]
#![no_main]

extern crate alloc;

mod content;
mod dump;
mod pipe;
mod place;
mod threads;

use abi::process::*;
use abi::signal::*;
use conformance::{Outcome, check, check_eq, child, files, handler, raw};
use libsyscall::file::*;
use libsyscall::process::wait4;

use dump::{Core, UNLIMITED, crash, die, limit, prepare};

conformance::tests!(
    &[
        ("the_limit_decides", the_limit_decides),
        ("signals_that_dump", signals_that_dump),
        ("signals_that_do_not", signals_that_do_not),
        ("the_parent_is_told", the_parent_is_told),
        ("dumpable_or_not", dumpable_or_not),
        ("more_rights_than_its_user", more_rights_than_its_user),
        ("programs_that_cannot_be_read", programs_that_cannot_be_read),
        ("names_by_pattern", place::names_by_pattern),
        ("names_with_a_number", place::names_with_a_number),
        ("names_lead_nowhere", place::names_lead_nowhere),
        ("a_pipe_that_cannot_be_opened", place::a_pipe_that_cannot_be_opened),
        ("what_had_the_name_is_replaced", place::what_had_the_name_is_replaced),
        ("what_cannot_be_replaced", place::what_cannot_be_replaced),
        ("owner_and_mode", place::owner_and_mode),
        ("cut_by_the_limit", place::cut_by_the_limit),
        ("cut_by_the_size_of_files", place::cut_by_the_size_of_files),
        ("cut_by_a_full_file_system", place::cut_by_a_full_file_system),
        ("what_is_said_of_the_process", content::what_is_said_of_the_process),
        ("pages_and_holes", content::pages_and_holes),
        ("advice_about_dumps", content::advice_about_dumps),
        ("the_filter", content::the_filter),
        ("files_that_are_mapped", content::files_that_are_mapped),
        ("registers_of_two_threads", threads::registers_of_two_threads),
        ("many_threads", threads::many_threads),
        ("threads_that_wait", threads::threads_that_wait),
        ("a_dump_is_killed", threads::a_dump_is_killed),
        ("a_program_takes_the_dump", pipe::a_program_takes_the_dump),
        ("the_limit_is_not_asked_but_for_one", pipe::the_limit_is_not_asked_but_for_one),
        ("who_has_more_rights_is_dumped_too", pipe::who_has_more_rights_is_dumped_too),
        ("a_limit_of_helpers", pipe::a_limit_of_helpers),
        ("a_waiting_dump_is_killed", pipe::a_waiting_dump_is_killed),
    ],
    &[
        ("collect", pipe::collect),
        ("dawdle", pipe::dawdle),
        ("dumpable", |_| prctl(PR_GET_DUMPABLE, 0).map_or(9, |seen| seen as i32 + 10)),
    ]
);

fn the_limit_decides() -> Outcome {
    let _pattern = prepare("core")?;
    for (bytes, is_made) in [(0, false), (1, false), (4095, false), (4096, true), (UNLIMITED, true)] {
        let (_, status) = crash(bytes, || Ok(()))?;
        check_eq!((status.term_signal(), status.has_core_dump()), (Some(SIGABRT), is_made));
        check!(files::exists(c"core") == is_made, "with a limit of {bytes}");
        let _ = files::unlink(c"core");
    }
    Ok(())
}

const DUMPING: [u32; 10] =
    [SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGXCPU, SIGXFSZ, SIGSYS];

fn signals_that_dump() -> Outcome {
    let _pattern = prepare("core")?;
    limit(UNLIMITED)?;
    for signal in DUMPING {
        let status = child::run(|| die(signal))?;
        check_eq!((signal, status), (signal, WaitStatus::signaled(signal).with_core_dump()));
        let core = Core::read(c"core")?;
        check_eq!(core.size(), core.whole_size());
        let threads = core.threads()?;
        check_eq!(threads.len(), 1);
        check_eq!((threads[0].head.si_signo, threads[0].head.pr_cursig), (signal as i32, signal as i16));
        files::unlink(c"core")?;
    }
    Ok(())
}

fn signals_that_do_not() -> Outcome {
    let _pattern = prepare("core")?;
    limit(UNLIMITED)?;
    for signal in [SIGHUP, SIGINT, SIGKILL, SIGUSR1, SIGPIPE, SIGALRM, SIGTERM, SIGIO, SIGRTMIN] {
        check_eq!(child::run(|| die(signal))?, WaitStatus::signaled(signal));
        check!(!files::exists(c"core"));
    }
    // One that is handled or ignored does nothing.
    check!(child::succeeds(|| {
        handler::record_signal(SIGQUIT, 0)?;
        libsyscall::process::kill(libsyscall::process::getpid(), SIGQUIT)?;
        check_eq!(handler::count(), 1);
        Ok(())
    })?);
    check!(!files::exists(c"core"));
    Ok(())
}

fn the_parent_is_told() -> Outcome {
    let _pattern = prepare("core")?;
    for (bytes, code) in [(0, CLD_KILLED), (UNLIMITED, CLD_DUMPED)] {
        handler::record_signal(SIGCHLD, SA_RESTART)?;
        let pid = child::start(|| match limit(bytes) {
            Ok(()) => die(SIGSEGV),
            Err(_) => 1,
        })?;
        let mut info = SigInfo::default();
        let options = (WEXITED | WNOWAIT).into();
        raw::call(abi::native::nr::waitid, &[P_PID.into(), pid as u64, &raw mut info as u64, options, 0])?;
        check_eq!((info.si_signo, info.si_code), (SIGCHLD as i32, code));
        check_eq!(info.fields[1] as u32, SIGSEGV);
        let (_, status) = wait4(pid, 0)?.unwrap_or((0, WaitStatus(0)));
        check_eq!((status.term_signal(), status.has_core_dump()), (Some(SIGSEGV), bytes > 0));
        while handler::count() == 0 {}
        check_eq!(handler::CODE.load(core::sync::atomic::Ordering::Relaxed), code);
        check_eq!(handler::VALUE.load(core::sync::atomic::Ordering::Relaxed) as u32, SIGSEGV);
    }
    Ok(())
}

fn prctl(option: u32, argument: u64) -> Result<u64, abi::Errno> {
    raw::call(abi::native::nr::prctl, &[option.into(), argument, 0, 0, 0])
}

fn dumpable_or_not() -> Outcome {
    let _pattern = prepare("core")?;
    let (_, status) = crash(UNLIMITED, || {
        prctl(PR_SET_DUMPABLE, 0)?;
        Ok(())
    })?;
    check_eq!((status, files::exists(c"core")), (WaitStatus::signaled(SIGABRT), false));
    let (_, status) = crash(UNLIMITED, || {
        prctl(PR_SET_DUMPABLE, 0)?;
        check_eq!(prctl(PR_GET_DUMPABLE, 0), Ok(0));
        prctl(PR_SET_DUMPABLE, 1)?;
        Ok(())
    })?;
    check_eq!((status.has_core_dump(), files::exists(c"core")), (true, true));
    Ok(())
}

/// Nor in a dump.
fn programs_that_cannot_be_read() -> Outcome {
    conformance::scratch::enter()?;
    let program = ulib::args::args().next().unwrap_or_default();
    close(files::create(c"program", &files::content(program)?)?)?;
    for (mode, expected) in [(0o755, 11), (0o711, 10)] {
        fchmodat(abi::fs::AT_FDCWD, c"program", mode)?;
        files::as_user(|| {
            let status = child::run(|| {
                let arguments =
                    [c"program".as_ptr(), c"--helper".as_ptr(), c"dumpable".as_ptr(), core::ptr::null()];
                let _ = raw::call(
                    abi::native::nr::execve,
                    &[c"program".as_ptr() as u64, arguments.as_ptr() as u64, arguments[3..].as_ptr() as u64],
                );
                1
            })?;
            check_eq!((mode, status), (mode, WaitStatus::exited(expected)));
            Ok(())
        })?;
    }
    Ok(())
}

/// Who has changed user is dumped as `suid_dumpable` says.
fn more_rights_than_its_user() -> Outcome {
    let pattern = prepare("core")?;
    let setting = dump::Setting::new(c"/proc/sys/fs/suid_dumpable", "0")?;
    let change = |expected: u64| {
        move || {
            raw::call(abi::native::nr::setresuid, &[1000, 1000, 0])?;
            check_eq!(prctl(PR_GET_DUMPABLE, 0), Ok(expected));
            check_eq!(prctl(PR_SET_DUMPABLE, 2).map(drop), Err(abi::Errno::EINVAL));
            Ok(())
        }
    };
    check!(!crash(UNLIMITED, change(0))?.1.has_core_dump());
    setting.set(b"1")?;
    check!(crash(UNLIMITED, change(1))?.1.has_core_dump());
    check_eq!(newfstatat(abi::fs::AT_FDCWD, c"core", 0)?.st_uid, 1000);
    files::unlink(c"core")?;
    // As root, to a path from the root alone; nothing is replaced.
    setting.set(b"2")?;
    check!(!crash(UNLIMITED, change(2))?.1.has_core_dump());
    check!(!files::exists(c"core"));
    pattern.set(b"/tmp/core.of.root.%d")?;
    let _ = files::unlink(c"/tmp/core.of.root.2");
    check!(crash(UNLIMITED, change(2))?.1.has_core_dump());
    check_eq!(newfstatat(abi::fs::AT_FDCWD, c"/tmp/core.of.root.2", 0)?.st_uid, 0);
    check!(!crash(UNLIMITED, change(2))?.1.has_core_dump());
    files::unlink(c"/tmp/core.of.root.2")?;
    setting.set(b"3").map_or(Ok(()), |()| Err(conformance::Failure::new("3 was stored")))
}
