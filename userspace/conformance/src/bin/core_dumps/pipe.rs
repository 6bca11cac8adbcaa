//! Dumps that a program takes: `|/path arguments` as `core_pattern`.

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use abi::resource::{RLIMIT_CORE, RLIMIT_NOFILE};
use abi::signal::*;
use alloc::format;
use alloc::string::String;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw};
use libsyscall::file::*;
use libsyscall::process::{getpid, prlimit64};
use libsyscall::signal::rt_sigprocmask;

use crate::dump::{Core, Setting, UNLIMITED, crash, limit, prepare};

/// A pattern that runs a helper of this program in the test's folder.
fn pattern(helper: &str, rest: &str) -> Result<String, Failure> {
    let program = ulib::args::args().next().unwrap_or_default().to_string_lossy().into_owned();
    let mut folder = [0u8; 128];
    let length = raw::call(nr::getcwd, &[folder.as_mut_ptr() as u64, 128])? as usize;
    let folder = String::from_utf8_lossy(&folder[..length - 1]).into_owned();
    Ok(format!("|{program} --helper {helper} {folder} {rest}"))
}

fn wait_for(name: &core::ffi::CStr) {
    while !files::exists(name) {
        ulib::time::sleep(core::time::Duration::from_millis(1));
    }
}

/// Gone into the folder that is the first argument; what the kernel has made of the helper.
fn surroundings(arguments: &[&'static [u8]]) -> Result<String, Failure> {
    let number = |number: u64| raw::call(number, &[0]);
    let ids = [number(nr::getuid)?, number(nr::geteuid)?, number(nr::getgid)?];
    let groups = [number(nr::getpgid)?, number(nr::getsid)?];
    let core = prlimit64(0, RLIMIT_CORE, None)?;
    let open_files = prlimit64(0, RLIMIT_NOFILE, None)?.rlim_cur;
    let mut descriptors = String::new();
    for fd in 0..16 {
        if raw::call(nr::fcntl, &[fd, F_GETFD.into()]).is_ok() {
            descriptors += &format!("{fd} ");
        }
    }
    let mask = rt_sigprocmask(SIG_BLOCK, 0)?;
    let variables = files::content(c"/proc/self/environ")?.len();
    let folder = ulib::c_string(*arguments.first().ok_or(Failure::new("no folder"))?)?;
    chdir(&folder)?;
    let umask = raw::call(nr::umask, &[0])?;
    let rest = arguments[1..].iter().map(|argument| String::from_utf8_lossy(argument).into_owned() + ";");
    Ok(format!(
        "{} ids {ids:?} groups {groups:?} core {} {} files {open_files} open {descriptors}mask {mask} umask {umask:o} environment {variables}",
        rest.collect::<String>(),
        core.rlim_cur,
        core.rlim_max,
    ))
}

/// The helper that keeps a dump: `core`, and `facts` about itself.
pub fn collect(arguments: &[&'static [u8]]) -> i32 {
    let keep = || -> Outcome {
        let facts = surroundings(arguments)?;
        files::create(c"facts", facts.as_bytes())?;
        let bytes = ulib::io::read_to_end(0)?;
        let fd = files::create(c"unfinished", b"")?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            rest = &rest[write(fd, rest)?..];
        }
        files::rename(c"unfinished", c"core", 0)?;
        Ok(())
    };
    i32::from(keep().is_err())
}

/// The helper that reads nothing until it may, then nothing more.
pub fn dawdle(arguments: &[&'static [u8]]) -> i32 {
    if surroundings(arguments).is_err() || files::create(c"started", b"").is_err() {
        return 1;
    }
    wait_for(c"go");
    0
}

pub fn a_program_takes_the_dump() -> Outcome {
    let setting = prepare("core")?;
    setting.set(pattern("collect", "%p 'a  %s%q %e")?.as_bytes())?;
    let (pid, status) = crash(0, || {
        let name = c"a b/c";
        raw::call(nr::prctl, &[abi::process::PR_SET_NAME.into(), name.as_ptr() as u64])?;
        rt_sigprocmask(SIG_BLOCK, conformance::handler::bit(SIGUSR1))?;
        raw::call(nr::umask, &[0o77])?;
        raw::call(nr::setresuid, &[1000, 1000, 1000])?;
        raw::call(nr::prctl, &[abi::process::PR_SET_DUMPABLE.into(), 1])?;
        // A hole before a page.
        let area = libsyscall::memory::map_anonymous(64 << 12)?;
        // SAFETY: the last page of a mapping of 64.
        unsafe { area.add(63 << 12).write(7) };
        Ok(())
    })?;
    check!(status.has_core_dump());
    wait_for(c"core");
    let facts = files::content(c"facts")?;
    check_eq!(
        String::from_utf8_lossy(&facts),
        format!(
            "{pid};'a;6;a b!c; ids [0, 0, 0] groups [0, 0] core 1 1 files 1024 open 0 mask 0 umask 22 environment 0"
        )
    );
    let core = Core::read(c"core")?;
    check_eq!(core.size(), core.whole_size());
    check_eq!(core.threads()?[0].head.pr_pid, pid);
    Ok(())
}

pub fn the_limit_is_not_asked_but_for_one() -> Outcome {
    let setting = prepare("core")?;
    setting.set(pattern("collect", "%c")?.as_bytes())?;
    check!(!crash(1, || Ok(()))?.1.has_core_dump());
    check!(!files::exists(c"facts"));
    for (bytes, is_dumpable) in [(2, true), (4095, false)] {
        let (_, status) = crash(bytes, || {
            raw::call(nr::prctl, &[abi::process::PR_SET_DUMPABLE.into(), is_dumpable.into()])?;
            Ok(())
        })?;
        check_eq!((bytes, status.has_core_dump()), (bytes, is_dumpable));
        if is_dumpable {
            wait_for(c"core");
            check!(files::content(c"facts")?.starts_with(b"2; ids"));
            files::unlink(c"facts")?;
        }
        check!(!files::exists(c"facts"));
    }
    Ok(())
}

pub fn who_has_more_rights_is_dumped_too() -> Outcome {
    let setting = prepare("core")?;
    let _dumpable = Setting::new(c"/proc/sys/fs/suid_dumpable", "2")?;
    setting.set(pattern("collect", "%d")?.as_bytes())?;
    let (_, status) = crash(0, || {
        raw::call(nr::setresuid, &[1000, 1000, 0])?;
        Ok(())
    })?;
    check!(status.has_core_dump());
    wait_for(c"core");
    check!(files::content(c"facts")?.starts_with(b"2; ids [0, 0, 0]"));
    Ok(())
}

/// With a limit the process waits until its helper has closed the pipe, and too many at once are not dumped.
pub fn a_limit_of_helpers() -> Outcome {
    let setting = prepare("core")?;
    let most = Setting::new(c"/proc/sys/kernel/core_pipe_limit", "1")?;
    setting.set(pattern("collect", "x")?.as_bytes())?;
    check!(crash(0, || Ok(()))?.1.has_core_dump());
    check!(files::exists(c"core"));
    setting.set(pattern("dawdle", "x")?.as_bytes())?;
    let first = child::start(|| match limit(0) {
        Ok(()) => crate::dump::die(SIGSEGV),
        Err(_) => 1,
    })?;
    wait_for(c"started");
    check!(!crash(0, || Ok(()))?.1.has_core_dump());
    check_eq!(libsyscall::process::wait4(first, abi::process::WNOHANG), Ok(None));
    most.set(b"0")?;
    close(files::create(c"go", b"")?)?;
    check!(child::wait(first)?.has_core_dump());
    // Nobody waits for this one, which is cut when nobody reads.
    check!(crash(UNLIMITED, || Ok(()))?.1.has_core_dump());
    Ok(())
}

pub fn a_waiting_dump_is_killed() -> Outcome {
    let setting = prepare("core")?;
    setting.set(pattern("dawdle", "x")?.as_bytes())?;
    let size = 1 << 20;
    let pid = child::start(|| {
        let area = libsyscall::memory::map_anonymous(size);
        if let Ok(area) = area {
            for page in (0..size).step_by(4096) {
                // SAFETY: within the mapping.
                unsafe { area.add(page).write(1) };
            }
        }
        crate::dump::die(SIGSEGV)
    })?;
    wait_for(c"started");
    libsyscall::process::kill(pid, SIGTERM)?;
    check_eq!(libsyscall::process::wait4(pid, abi::process::WNOHANG), Ok(None));
    libsyscall::process::kill(pid, SIGKILL)?;
    check_eq!(child::wait(pid)?, abi::process::WaitStatus::signaled(SIGKILL));
    close(files::create(c"go", b"")?)?;
    check!(getpid() > 0 && raw::call(nr::kill, &[pid as u64, 0]) == Err(Errno::ESRCH));
    Ok(())
}
