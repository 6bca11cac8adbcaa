//! The dispatch table: one entry for each system-call number of this architecture.

use abi::Errno;
use abi::table::{NUMBER_LIMIT, ROWS};
use hal::{frame, speculation};

use super::{Caller, Failure, FromArg};

/// A handler whose arguments are still in the registers.
type Entry = fn(&mut Caller<'_>) -> Result<u64, Failure>;

/// The entry of every number without a handler.
fn absent(_caller: &mut Caller<'_>) -> Result<u64, Failure> {
    Err(Failure::Errno(Errno::ENOSYS))
}

/// One row's entry: `entry!(process::getpid)` is `|caller| super::Handler::handle(super::process::getpid, caller)`, and
/// `entry!(none)` is `absent`.
macro_rules! entry {
    (none) => {
        absent
    };
    ($($handler:ident)::+) => {
        |caller| super::Handler::handle(super::$($handler)::+, caller)
    };
}

/// Makes the entries in the order of `abi::table::ROWS`:
/// `static BY_ROW: [Entry; …] = [entry!(none), entry!(file::read), …];`.
macro_rules! entries {
    ($(($name:ident, $x86_64:tt, $aarch64:tt, $($handler:ident)::+, $completeness:literal),)*) => {
        static BY_ROW: &[Entry] = &[$(entry!($($handler)::+),)*];
    };
}
abi::for_each_syscall!(entries);

/// By number and one; the first is for numbers beyond all.
static BY_NUMBER: [Entry; NUMBER_LIMIT + 1] = {
    let mut entries = [absent as Entry; NUMBER_LIMIT + 1];
    let mut row = 0;
    while row < ROWS.len() {
        if let Some(number) = abi::native::nr::of(&ROWS[row]) {
            entries[number as usize + 1] = BY_ROW[row];
        }
        row += 1;
    }
    entries
};

/// Runs the system call that the caller's registers ask for. As Linux, it looks at the low half of the number only.
/// ENOMEM when the kernel's own memory is nearly gone.
#[inline]
pub fn dispatch(caller: &mut Caller<'_>) -> Result<u64, Failure> {
    let number = u32::from_arg(caller.context.regs.syscall_number())?;
    if frame::is_critical() && !works_without_memory(number) {
        return Err(Failure::Errno(Errno::ENOMEM));
    }
    BY_NUMBER[speculation::slot::<NUMBER_LIMIT>(number)](caller)
}

/// What a program can still do when the kernel's own memory is nearly gone: calls that give memory back, that end
/// something, or that only move data.
const WITHOUT_MEMORY: &[&str] = &[
    "brk",
    "close",
    "close_range",
    "exit",
    "exit_group",
    "ftruncate",
    "futex",
    "getpid",
    "gettid",
    "kill",
    "madvise",
    "munmap",
    "nanosleep",
    "read",
    "reboot",
    "rmdir",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_yield",
    "tgkill",
    "truncate",
    "umount2",
    "unlink",
    "unlinkat",
    "wait4",
    "waitid",
    "write",
];

#[cold]
fn works_without_memory(number: u32) -> bool {
    abi::native::nr::name(number.into()).is_some_and(|name| WITHOUT_MEMORY.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_work_without_memory_exist() {
        for name in WITHOUT_MEMORY {
            let row = ROWS.iter().find(|row| row.name == *name).expect("a call of the table");
            let entry = ROWS.iter().position(|other| other.name == row.name).map(|index| BY_ROW[index]);
            assert!(entry.is_some_and(|entry| entry as usize != absent as Entry as usize), "{name}");
        }
    }
}
