//! The system as a whole, and what a process may use of it: names, figures, limits, `prctl`, power.

use abi::Errno;
use abi::memory::{GRND_INSECURE, GRND_NONBLOCK, GRND_RANDOM};
use abi::process::{
    LINUX_REBOOT_CMD_CAD_OFF, LINUX_REBOOT_CMD_CAD_ON, LINUX_REBOOT_CMD_HALT, LINUX_REBOOT_CMD_POWER_OFF,
    LINUX_REBOOT_CMD_RESTART, LINUX_REBOOT_CMD_RESTART2, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
    LINUX_REBOOT_MAGIC2A, LINUX_REBOOT_MAGIC2B, LINUX_REBOOT_MAGIC2C, Rusage,
};
use abi::resource::Rlimit;
use abi::utsname::{Sysinfo, UTSNAME_LENGTH, Utsname};
use libkernel::addr::{PAGE_SIZE, UserAddr};
use libkernel::sched::load_average::POINT;
use memory::user::{IoSink, UserPtr, UserSlice};
use subject::{Limit, MayRaise, Resource, capability};

use super::{Caller, Failure};
use crate::namespaces::names::{self, Name};
use crate::process::{Process, Thread, Times};
use crate::random;
use crate::time::{SECOND_NS, to_timeval};
use crate::tty;

/// The Linux whose interface this is.
const RELEASE: &[u8] = b"6.1.0-orlop";
const VERSION: &[u8] = concat!("#1 SMP PREEMPT Orlop ", env!("CARGO_PKG_VERSION")).as_bytes();

/// The version that `uname` shows.
pub fn version() -> &'static [u8] {
    VERSION
}

/// The release that `uname` shows.
pub fn release() -> &'static [u8] {
    RELEASE
}

/// `uname`.
pub fn uname(caller: &mut Caller<'_>, names: UserPtr<Utsname>) -> Result<(), Failure> {
    let own = &caller.thread.namespaces().names;
    let names_now = Utsname {
        sysname: Name::new(b"Linux").bytes,
        nodename: own.host.get().bytes,
        release: Name::new(RELEASE).bytes,
        version: Name::new(VERSION).bytes,
        machine: Name::new(abi::native::process::MACHINE.as_bytes()).bytes,
        domainname: own.domain.get().bytes,
    };
    names.write(&names_now)?;
    Ok(())
}

/// A name that a program gives. EPERM unless it may, EINVAL for one that is too long.
fn given_name(caller: &Caller<'_>, text: UserPtr<u8>, length: i32) -> Result<Name, Failure> {
    caller.thread.with_credentials(|credentials| credentials.require(capability::SYS_ADMIN))?;
    let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
    if length >= UTSNAME_LENGTH {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let mut bytes = [0; UTSNAME_LENGTH];
    UserSlice::new(text.address(), length).read_into(&mut bytes[..length])?;
    Ok(Name::new(&bytes[..length]))
}

/// `sethostname`.
pub fn sethostname(caller: &mut Caller<'_>, name: UserPtr<u8>, length: i32) -> Result<(), Failure> {
    caller.thread.namespaces().names.host.set(given_name(caller, name, length)?);
    names::HOST_CHANGES.announce();
    Ok(())
}

/// `setdomainname`.
pub fn setdomainname(caller: &mut Caller<'_>, name: UserPtr<u8>, length: i32) -> Result<(), Failure> {
    caller.thread.namespaces().names.domain.set(given_name(caller, name, length)?);
    names::DOMAIN_CHANGES.announce();
    Ok(())
}

/// `sysinfo`.
pub fn sysinfo(_caller: &mut Caller<'_>, info: UserPtr<Sysinfo>) -> Result<(), Failure> {
    let frames = hal::frame::statistics();
    let page = PAGE_SIZE;
    info.write(&Sysinfo {
        uptime: (hal::time::now_ns() / SECOND_NS).cast_signed(),
        // SI_LOAD_SHIFT: 16 bits behind the point.
        loads: sched::load::averages().map(|average| average << (16 - POINT)),
        totalram: frames.total as u64 * page,
        freeram: frames.free as u64 * page,
        procs: u16::try_from(sched::task_count()).unwrap_or(u16::MAX),
        mem_unit: 1,
        ..Sysinfo::default()
    })?;
    Ok(())
}

/// Times as `getrusage` and `wait4` show them.
pub(super) fn rusage_of(times: Times) -> Rusage {
    let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
    Rusage {
        ru_utime: to_timeval(times.cpu.user_ns),
        ru_stime: to_timeval(times.cpu.system_ns),
        ru_maxrss: count(times.peak_pages * (PAGE_SIZE / 1024)),
        ru_minflt: count(times.faults),
        ru_nvcsw: count(times.sleeps),
        ru_nivcsw: count(times.preemptions),
        ..Rusage::default()
    }
}

/// `getrandom`. Waits until the generator is seeded, but for `GRND_INSECURE`.
pub fn getrandom(
    _caller: &mut Caller<'_>,
    buffer: UserAddr,
    length: usize,
    flags: u32,
) -> Result<usize, Failure> {
    let contradiction = GRND_RANDOM | GRND_INSECURE;
    if flags & !(GRND_NONBLOCK | contradiction) != 0 || flags & contradiction == contradiction {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    if flags & GRND_INSECURE == 0 && !random::seeding::is_seeded() {
        if flags & GRND_NONBLOCK != 0 {
            return Err(Failure::Errno(Errno::EAGAIN));
        }
        random::seeding::wait()?;
    }
    let mut sink = IoSink::user(buffer, length);
    match random::fill_sink(&mut sink) {
        Err(failure) if sink.moved() == 0 => Err(failure),
        _ => Ok(sink.moved()),
    }
}

/// `getrlimit`.
pub fn getrlimit(caller: &mut Caller<'_>, resource: u32, limit: UserPtr<Rlimit>) -> Result<(), Failure> {
    let now = caller.thread.process().limits().get(Resource::from_number(resource)?);
    limit.write(&Rlimit { rlim_cur: now.soft, rlim_max: now.hard })?;
    Ok(())
}

/// `setrlimit`.
pub fn setrlimit(caller: &mut Caller<'_>, resource: u32, limit: UserPtr<Rlimit>) -> Result<(), Failure> {
    let new = limit.read()?;
    let resource = Resource::from_number(resource)?;
    set_limit(caller, caller.thread.process(), resource, new)
}

/// `prlimit64`.
pub fn prlimit64(
    caller: &mut Caller<'_>,
    pid: i32,
    resource: u32,
    new: UserPtr<Rlimit>,
    old: UserPtr<Rlimit>,
) -> Result<(), Failure> {
    let resource = Resource::from_number(resource)?;
    let new = new.optional().map(UserPtr::read).transpose()?;
    let thread = match pid {
        0 => caller.thread.clone(),
        pid => caller.thread.named(pid).ok_or(Errno::ESRCH)?,
    };
    may_limit(caller, &thread)?;
    let process = thread.process();
    let before = process.limits().get(resource);
    if let Some(new) = new {
        set_limit(caller, process, resource, new)?;
    }
    if let Some(old) = old.optional() {
        old.write(&Rlimit { rlim_cur: before.soft, rlim_max: before.hard })?;
    }
    Ok(())
}

/// EPERM unless the thread is the caller, or of the same user in every respect.
fn may_limit(caller: &Caller<'_>, thread: &Thread) -> Result<(), Errno> {
    let own = caller.thread.credentials();
    let other = thread.credentials();
    let same =
        [other.user.real, other.user.effective, other.user.saved].iter().all(|&id| id == own.user.real)
            && [other.group.real, other.group.effective, other.group.saved]
                .iter()
                .all(|&id| id == own.group.real);
    if same || core::ptr::eq(thread, &raw const **caller.thread) {
        Ok(())
    } else {
        own.require(capability::SYS_RESOURCE)
    }
}

fn set_limit(caller: &Caller<'_>, process: &Process, resource: Resource, new: Rlimit) -> Result<(), Failure> {
    let privileged =
        caller.thread.with_credentials(|credentials| credentials.has_capability(capability::SYS_RESOURCE));
    let may_raise = if privileged { MayRaise::Yes } else { MayRaise::No };
    process.limits().set(resource, Limit { soft: new.rlim_cur, hard: new.rlim_max }, may_raise)?;
    if resource == Resource::Cpu {
        process.cpu_alarms.look_again();
    }
    Ok(())
}

/// `personality`: the flags as they were; all ones only asks.
pub fn personality(caller: &mut Caller<'_>, flags: u32) -> Result<u32, Failure> {
    let process = caller.thread.process();
    let before = process.personality();
    if flags != u32::MAX {
        process.set_personality(flags);
    }
    Ok(before)
}

/// `vhangup`: takes the caller's terminal away from everybody who has it.
pub fn vhangup(caller: &mut Caller<'_>) -> Result<(), Failure> {
    caller.thread.with_credentials(|credentials| credentials.require(capability::SYS_TTY_CONFIG))?;
    if let Some(terminal) = tty::terminal_of(caller.thread.process()) {
        terminal.take_away();
    }
    Ok(())
}

/// `reboot`. Memory holds all files, so there is nothing to write out first.
pub fn reboot(caller: &mut Caller<'_>, magic: u32, second_magic: u32, command: u32) -> Result<(), Failure> {
    caller.thread.with_credentials(|credentials| credentials.require(capability::SYS_BOOT))?;
    let known = [LINUX_REBOOT_MAGIC2, LINUX_REBOOT_MAGIC2A, LINUX_REBOOT_MAGIC2B, LINUX_REBOOT_MAGIC2C];
    if magic != LINUX_REBOOT_MAGIC1 || !known.contains(&second_magic) {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    match command {
        LINUX_REBOOT_CMD_RESTART | LINUX_REBOOT_CMD_RESTART2 => {
            klog::notice!("reboot: Restarting system");
            hal::power::restart()
        }
        LINUX_REBOOT_CMD_POWER_OFF | LINUX_REBOOT_CMD_HALT => {
            klog::notice!("reboot: Power down");
            hal::power::power_off()
        }
        LINUX_REBOOT_CMD_CAD_ON | LINUX_REBOOT_CMD_CAD_OFF => Ok(()),
        _ => Err(Failure::Errno(Errno::EINVAL)),
    }
}
