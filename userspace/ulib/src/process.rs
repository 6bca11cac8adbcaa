//! Starting programs and waiting for them.
//!
//! [`Command::spawn`] does not copy the address space: the child runs in the parent's memory on a small stack of its
//! own (`CLONE_VM | CLONE_VFORK`), while the parent's thread sleeps, until it executes the program or fails. All it
//! needs is made ready before, so the child allocates nothing and takes no lock.

use crate::{c_string, env};
use abi::Errno;
use abi::fs::{F_GETFD, F_SETFD, FD_CLOEXEC};
use abi::memory::MAP_PRIVATE;
use abi::memory::{MAP_ANONYMOUS, MAP_STACK, PROT_READ, PROT_WRITE};
use abi::process::{CLONE_VFORK, CLONE_VM};
use abi::signal::{SIG_SETMASK, SIGCHLD};
use abi::terminal::TIOCSCTTY;
use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char};
use libsyscall::arch::clone_onto_stack;
use libsyscall::file::{self, RawFd};
use libsyscall::signal::{Disposition, rt_sigaction, rt_sigprocmask, set_disposition};
use libsyscall::{memory, process};

pub use crate::entry::exit;
pub use abi::process::WaitStatus;
pub use libsyscall::process::{getpid as id, kill};

/// Where programs are looked for when `PATH` is not set.
pub const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Bytes of the stack on which a child prepares its program.
const CHILD_STACK: usize = 32 * 1024;

/// A program to start.
pub struct Command {
    candidates: Vec<CString>,
    arguments: Vec<CString>,
    environment: Option<Vec<CString>>,
    plan: Plan,
}

/// What the child does before it executes the program.
#[derive(Default)]
struct Plan {
    redirections: Vec<(RawFd, RawFd)>,
    group: Option<i32>,
    foreground_of: Option<RawFd>,
    session: bool,
    default_signals: u64,
}

impl Plan {
    /// The signals that get their default action.
    fn signals(&self) -> impl Iterator<Item = u32> {
        let set = self.default_signals;
        (1..=64).filter(move |signal| set & 1 << (signal - 1) != 0)
    }
}

impl Command {
    /// The program `name`: a path if it has a slash, else looked for in `PATH`.
    pub fn new(name: &[u8]) -> Result<Command, Errno> {
        let path = env::var(b"PATH").unwrap_or(DEFAULT_PATH);
        Command::found_in(path, name)
    }

    /// The program `name`, looked for in the directories of `path` unless it has a slash.
    pub fn found_in(path: &[u8], name: &[u8]) -> Result<Command, Errno> {
        let candidates = if name.contains(&b'/') {
            Vec::from([c_string(name)?])
        } else if name.is_empty() {
            return Err(Errno::ENOENT);
        } else {
            let directories = path.split(|&byte| byte == b':');
            directories
                .map(|directory| c_string(crate::fs::join(directory, name)))
                .collect::<Result<_, _>>()?
        };
        let arguments = Vec::from([c_string(name)?]);
        Ok(Command { candidates, arguments, environment: None, plan: Plan::default() })
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: &[u8]) -> Result<Command, Errno> {
        self.arguments.push(c_string(argument)?);
        Ok(self)
    }

    /// Adds arguments.
    pub fn args<'a>(self, arguments: impl IntoIterator<Item = &'a [u8]>) -> Result<Command, Errno> {
        arguments.into_iter().try_fold(self, Command::arg)
    }

    /// Replaces the environment, which is this program's otherwise; each variable is `NAME=value`.
    pub fn environment(mut self, variables: Vec<CString>) -> Command {
        self.environment = Some(variables);
        self
    }

    /// Gives the child this program's `from` as its `to`. Redirections are made in order.
    pub fn redirect(mut self, from: RawFd, to: RawFd) -> Command {
        self.plan.redirections.push((from, to));
        self
    }

    /// Puts the child into a process group; 0 is a new one of its own.
    pub fn group(mut self, group: i32) -> Command {
        self.plan.group = Some(group);
        self
    }

    /// Puts the child's group into the foreground of a terminal.
    pub fn foreground_of(mut self, terminal: RawFd) -> Command {
        self.plan.foreground_of = Some(terminal);
        self
    }

    /// Starts a session with the child as leader and its standard input, if that is a terminal, as controlling
    /// terminal.
    pub fn session(mut self) -> Command {
        self.plan.session = true;
        self
    }

    /// Signals that have their default action in the child; bit n-1 is signal n.
    pub fn default_signals(mut self, signals: u64) -> Command {
        self.plan.default_signals |= signals;
        self
    }

    /// Starts the program. An error to find or execute it comes back here: ENOENT, EACCES, ENOEXEC … Then all is as
    /// before: the terminal's foreground, too.
    pub fn spawn(&self) -> Result<Child, Errno> {
        let arguments = pointers(&self.arguments);
        let environment = match &self.environment {
            Some(variables) => pointers(variables),
            None => null_terminated(env::vars()),
        };
        let mut errand = Errand {
            command: self,
            arguments: &arguments,
            environment: &environment,
            old_mask: rt_sigprocmask(SIG_SETMASK, u64::MAX)?,
            error: None,
        };
        let terminal = self.plan.foreground_of;
        let foreground =
            terminal.and_then(|terminal| Some((terminal, file::foreground_group(terminal).ok()?)));
        let child = run_errand(&mut errand);
        if let (Some(_), Some((terminal, group))) = (errand.error, foreground) {
            // The child had the terminal and is no more. All signals are blocked here, so nothing stops who takes it
            // back.
            let _ = file::set_foreground_group(terminal, group);
        }
        rt_sigprocmask(SIG_SETMASK, errand.old_mask)?;
        let pid = child?;
        if let Some(error) = errand.error {
            process::wait4(pid, 0)?;
            return Err(error);
        }
        Ok(Child { pid })
    }

    /// Replaces this program. Returns only if that fails; this program's signals then do what they did.
    pub fn execute(&self) -> Errno {
        let arguments = pointers(&self.arguments);
        let environment = match &self.environment {
            Some(variables) => pointers(variables),
            None => null_terminated(env::vars()),
        };
        let old_mask = rt_sigprocmask(SIG_SETMASK, u64::MAX).unwrap_or(0);
        // SAFETY: only read.
        let action = |signal| Some((signal, unsafe { rt_sigaction(signal, None) }.ok()?));
        let actions: Vec<_> = self.plan.signals().filter_map(action).collect();
        let mut errand =
            Errand { command: self, arguments: &arguments, environment: &environment, old_mask, error: None };
        let error = errand.run();
        for (signal, action) in &actions {
            // SAFETY: this was the signal's action before.
            let _ = unsafe { rt_sigaction(*signal, Some(action)) };
        }
        let _ = rt_sigprocmask(SIG_SETMASK, old_mask);
        error
    }
}

/// The addresses of strings, ended by a null pointer.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    null_terminated(strings.iter().map(CString::as_c_str))
}

/// The addresses of strings, ended by a null pointer.
fn null_terminated<'a>(strings: impl Iterator<Item = &'a CStr>) -> Vec<*const c_char> {
    strings.map(CStr::as_ptr).chain([core::ptr::null()]).collect()
}

/// What the parent hands to the child, and what the child hands back.
struct Errand<'a> {
    command: &'a Command,
    arguments: &'a [*const c_char],
    environment: &'a [*const c_char],
    old_mask: u64,
    error: Option<Errno>,
}

impl Errand<'_> {
    /// Prepares and executes the program. Returns only if that fails.
    fn run(&mut self) -> Errno {
        if let Err(error) = self.prepare() {
            return error;
        }
        let mut answer = Errno::ENOENT;
        for path in &self.command.candidates {
            // SAFETY: both arrays were made by `null_terminated` from strings that live in the parent.
            match unsafe { process::execve(path, self.arguments.as_ptr(), self.environment.as_ptr()) } {
                Errno::ENOENT | Errno::ENOTDIR => {}
                Errno::EACCES => answer = Errno::EACCES,
                error => return error,
            }
        }
        answer
    }

    fn prepare(&self) -> Result<(), Errno> {
        let plan = &self.command.plan;
        if plan.session {
            process::setsid()?;
            // SAFETY: TIOCSCTTY takes a number. That standard input is no terminal is allowed.
            let _ = unsafe { file::ioctl(0, TIOCSCTTY, 1) };
        }
        if let Some(group) = plan.group {
            process::setpgid(0, group)?;
        }
        if let Some(terminal) = plan.foreground_of {
            file::set_foreground_group(terminal, process::getpgid(0)?)?;
        }
        for &(from, to) in &plan.redirections {
            redirect(from, to)?;
        }
        for signal in plan.signals() {
            set_disposition(signal, Disposition::Default)?;
        }
        rt_sigprocmask(SIG_SETMASK, self.old_mask).map(drop)
    }
}

/// Makes `to` a copy of `from` that survives execve.
fn redirect(from: RawFd, to: RawFd) -> Result<(), Errno> {
    if from != to {
        return file::dup3(from, to, 0).map(drop);
    }
    let flags = file::fcntl(to, F_GETFD, 0)?;
    file::fcntl(to, F_SETFD, flags & !u64::from(FD_CLOEXEC)).map(drop)
}

/// Runs the errand in a child that shares this memory; returns the child's id when it has executed or ended.
fn run_errand(errand: &mut Errand<'_>) -> Result<i32, Errno> {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK;
    // SAFETY: the kernel chooses a free range.
    let stack =
        unsafe { memory::mmap(core::ptr::null_mut(), CHILD_STACK, PROT_READ | PROT_WRITE, flags, -1, 0) }?;
    let null = core::ptr::null_mut();
    // SAFETY: the stack is fresh, the errand lives in this frame, and CLONE_VFORK keeps this thread from running until
    // the child uses neither any more. All signals are blocked, so no handler of this program runs in the child.
    let pid = unsafe {
        clone_onto_stack(
            CLONE_VM | CLONE_VFORK | u64::from(SIGCHLD),
            stack.add(CHILD_STACK),
            null,
            null,
            0,
            run_in_child,
            core::ptr::from_mut(errand).cast(),
        )
    };
    // SAFETY: the child has left the stack.
    unsafe { memory::munmap(stack, CHILD_STACK) }?;
    Errno::from_return(pid).map(|pid| pid as i32)
}

/// The child's side of [`run_errand`].
extern "C" fn run_in_child(argument: *mut u8) -> ! {
    // SAFETY: the argument is the parent's `Errand`, which the parent does not touch while this runs.
    let errand = unsafe { &mut *argument.cast::<Errand<'_>>() };
    errand.error = Some(errand.run());
    process::exit_group(127)
}

/// A started program.
#[derive(Debug)]
pub struct Child {
    pid: i32,
}

impl Child {
    /// Its process id.
    pub const fn id(&self) -> i32 {
        self.pid
    }

    /// Waits until it has ended.
    pub fn wait(self) -> Result<WaitStatus, Errno> {
        loop {
            match process::wait4(self.pid, 0) {
                Ok(Some((_, status))) => return Ok(status),
                Ok(None) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Splits this process: `None` in the child, the child in the parent. Buffered output is flushed before, so that it
/// does not appear twice.
///
/// EBUSY in a program that has other threads, or has not joined those that ended: the child would have the calling
/// thread only, and might find a lock, the heap's among them, held for ever.
pub fn fork() -> Result<Option<Child>, Errno> {
    if !crate::thread::is_alone() {
        return Err(Errno::EBUSY);
    }
    // An error stays in the buffer and is reported at the end.
    let _ = crate::io::stdout().finish();
    // SAFETY: no other thread is there that could hold anything, nor one that could start another meanwhile.
    let pid = unsafe { process::fork() }?;
    Ok((pid != 0).then_some(Child { pid }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_run_and_waited_for() {
        let status = Command::found_in(b"/nowhere:/bin:/usr/bin", b"sh").unwrap();
        let status = status.args([&b"-c"[..], b"exit 41"]).unwrap().environment(Vec::new());
        assert_eq!(status.spawn().unwrap().wait().unwrap().exit_code(), Some(41));
    }

    #[test]
    fn what_is_not_there_is_said_at_once() {
        assert_eq!(Command::new(b"/nowhere/at/all").unwrap().spawn().unwrap_err(), Errno::ENOENT);
        assert_eq!(
            Command::found_in(b"/bin", b"no-such-program").unwrap().spawn().unwrap_err(),
            Errno::ENOENT
        );
        assert_eq!(Command::new(b"/").unwrap().spawn().unwrap_err(), Errno::EACCES);
        assert!(Command::new(b"a\0b").is_err());
    }

    #[test]
    fn output_goes_where_it_is_sent() {
        let (read_end, write_end) = file::pipe2(abi::fs::O_CLOEXEC).unwrap();
        let command = Command::new(b"/bin/sh").unwrap().args([&b"-c"[..], b"echo hello"]).unwrap();
        let child = command.environment(Vec::new()).redirect(write_end, 1).spawn().unwrap();
        file::close(write_end).unwrap();
        assert_eq!(crate::io::read_to_end(read_end).unwrap(), b"hello\n");
        assert_eq!(child.wait().unwrap(), WaitStatus::exited(0));
        file::close(read_end).unwrap();
    }
}
