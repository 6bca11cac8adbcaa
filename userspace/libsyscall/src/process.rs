//! Processes: their making, their end, their groups and identities.

use crate::{call, nr};
use abi::Errno;
use abi::process::{Rusage, WaitStatus};
use abi::resource::Rlimit;
use abi::signal::SIGCHLD;
use core::ffi::{CStr, c_char};

/// Splits the process: 0 in the child, the child's id in the parent.
///
/// # Safety
/// The child has the calling thread only: locks that other threads held stay locked for ever.
pub unsafe fn fork() -> Result<i32, Errno> {
    // SAFETY: passed on to the caller. AArch64 has no `fork`; `clone` with nothing but a signal is the same.
    unsafe { call!(nr::clone, SIGCHLD, 0, 0, 0, 0) }.map(|pid| pid as i32)
}

/// Replaces the program by the one at `path`; returns only if that fails.
///
/// # Safety
/// `arguments` and `environment` must be arrays of NUL-terminated strings that end with a null pointer.
pub unsafe fn execve(
    path: &CStr,
    arguments: *const *const c_char,
    environment: *const *const c_char,
) -> Errno {
    // SAFETY: passed on to the caller.
    match unsafe { call!(nr::execve, path.as_ptr(), arguments, environment) } {
        Ok(_) => Errno::EINVAL,
        Err(error) => error,
    }
}

/// Ends the process and all its threads at once; buffers are not flushed.
pub fn exit_group(status: i32) -> ! {
    loop {
        // SAFETY: nothing runs after the call.
        let _ = unsafe { call!(nr::exit_group, status) };
    }
}

/// Waits for a child: `pid` as in wait4(2), `options` are `WNOHANG | WUNTRACED | WCONTINUED`. Returns its id and what
/// became of it; `None` if `WNOHANG` is set and nothing did.
pub fn wait4(pid: i32, options: u32) -> Result<Option<(i32, WaitStatus)>, Errno> {
    wait4_with_usage(pid, options, None)
}

/// [`wait4`] that also stores what the child has used.
pub fn wait4_with_usage(
    pid: i32,
    options: u32,
    usage: Option<&mut Rusage>,
) -> Result<Option<(i32, WaitStatus)>, Errno> {
    let mut status = 0i32;
    let usage = usage.map_or(core::ptr::null_mut(), core::ptr::from_mut);
    // SAFETY: the kernel writes one number and one `Rusage`.
    let pid = unsafe { call!(nr::wait4, pid, &raw mut status, options, usage) }? as i32;
    Ok((pid != 0).then_some((pid, WaitStatus(status))))
}

/// Sends a signal to a process, a group (negative) or everybody (-1); signal 0 only checks.
pub fn kill(pid: i32, signal: u32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    unsafe { call!(nr::kill, pid, signal) }.map(drop)
}

/// `getpid() -> i32`: a call without arguments that cannot fail.
macro_rules! identities {
    ($($(#[$attribute:meta])* $name:ident -> $type:ty;)*) => {
        $(
            $(#[$attribute])*
            pub fn $name() -> $type {
                // SAFETY: no pointers; the call cannot fail.
                unsafe { call!(nr::$name) }.map_or(0, |value| value as $type)
            }
        )*
    };
}

identities! {
    /// This process.
    getpid -> i32;
    /// Its parent; 0 if that is outside the namespace.
    getppid -> i32;
    /// The real user.
    getuid -> u32;
    /// The effective user.
    geteuid -> u32;
    /// The real group.
    getgid -> u32;
    /// The effective group.
    getegid -> u32;
}

/// Starts a session with this process as its leader; returns its id.
pub fn setsid() -> Result<i32, Errno> {
    // SAFETY: no pointers.
    unsafe { call!(nr::setsid) }.map(|session| session as i32)
}

/// The session of a process; 0 is this one.
pub fn getsid(pid: i32) -> Result<i32, Errno> {
    // SAFETY: no pointers.
    unsafe { call!(nr::getsid, pid) }.map(|session| session as i32)
}

/// Moves a process (0: this one) into a group (0: its own).
pub fn setpgid(pid: i32, group: i32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    unsafe { call!(nr::setpgid, pid, group) }.map(drop)
}

/// The group of a process; 0 is this one.
pub fn getpgid(pid: i32) -> Result<i32, Errno> {
    // SAFETY: no pointers.
    unsafe { call!(nr::getpgid, pid) }.map(|group| group as i32)
}

/// Sets and reads a limit of a process (0: this one).
pub fn prlimit64(pid: i32, resource: u32, new: Option<&Rlimit>) -> Result<Rlimit, Errno> {
    let mut old = Rlimit::default();
    let new = new.map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: the kernel reads one `Rlimit` and writes one.
    unsafe { call!(nr::prlimit64, pid, resource, new, &raw mut old) }.map(|_| old)
}

/// What the process (`RUSAGE_SELF`) or its children have used.
pub fn getrusage(who: i32) -> Result<Rusage, Errno> {
    let mut usage = Rusage::default();
    // SAFETY: the kernel writes one `Rusage`.
    unsafe { call!(nr::getrusage, who, &raw mut usage) }.map(|_| usage)
}

/// Sets the execution domain; `u32::MAX` only reads. Returns the old one.
pub fn personality(persona: u32) -> Result<u32, Errno> {
    // SAFETY: no pointers.
    unsafe { call!(nr::personality, persona) }.map(|old| old as u32)
}
