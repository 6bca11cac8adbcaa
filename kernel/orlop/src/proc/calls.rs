//! `/proc/PID/syscall`, `stack` and `wchan`: where in the kernel a thread is.

use alloc::format;
use alloc::sync::Arc;

use abi::Errno;
use hal::backtrace::Calls;
use libkernel::text::Text;
use subject::capability;
use vfs::file::FileOperations;
use vfs::generated::Class;
use vfs::generated::content::{Content, SequenceFile};

use super::subject::Subject;
use crate::process::{Inspection, current};

/// Leave to look into the process. EPERM unless the running thread may look into the process, now (Linux:
/// `lock_trace`).
fn inspect(subject: &Subject) -> Result<Inspection<'_>, Errno> {
    Inspection::begin(&subject.process).ok_or(Errno::EPERM)
}

/// `syscall`: number and arguments of the call in which a thread is, -1 if it is in none, its stack pointer and program
/// counter (Linux: `proc_pid_syscall`).
pub fn system_call(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let inspection = inspect(subject)?;
    let Some(task) = subject.thread().and_then(|thread| thread.task()) else {
        // It has ended: nothing is left of its registers.
        text.put(b"-1 0x0 0x0\n");
        return Ok(());
    };
    let registers = task.user_registers();
    drop(inspection);
    let Some(regs) = registers else {
        text.put(b"running\n");
        return Ok(());
    };
    // Of the number programs are shown 32 bits, as the kernel reads no more of it.
    let number = if regs.in_syscall() { regs.syscall_number() as i32 } else { -1 };
    write!(text, "{number}");
    if number >= 0 {
        regs.syscall_arguments().iter().for_each(|argument| write!(text, " {argument:#x}"));
    }
    writeln!(text, " {:#x} {:#x}", regs.stack_pointer(), regs.instruction_pointer());
    Ok(())
}

/// `stack`.
struct Stack {
    subject: Subject,
    is_allowed: bool,
}

/// Opens `stack`. Only who has `CAP_SYS_ADMIN` then is shown anything (Linux: `proc_pid_stack`).
pub fn stack(subject: Subject) -> Result<Arc<dyn FileOperations>, Errno> {
    let is_allowed = current()
        .is_some_and(|thread| thread.with_credentials(|own| own.has_capability(capability::SYS_ADMIN)));
    Ok(SequenceFile::open(Stack { subject, is_allowed }, Class::Process))
}

impl Content for Stack {
    fn fill(&self, _cursor: u64, text: &mut Text) -> Result<Option<u64>, Errno> {
        self.subject.check()?;
        if !self.is_allowed {
            return Err(Errno::EACCES);
        }
        let inspection = inspect(&self.subject)?;
        let calls = calls(&self.subject);
        drop(inspection);
        for (name, offset, size) in calls.iter().flat_map(Calls::iter).filter_map(|place| place.function()) {
            writeln!(text, "[<0>] {name}+{offset:#x}/{size:#x}");
        }
        Ok(None)
    }
}

/// The calls of the thread, if it sleeps or runs this; none of one that has ended.
fn calls(subject: &Subject) -> Option<Calls> {
    Calls::of(&*subject.thread()?.task()?)
}

/// `wchan`: the function in which a thread sleeps, 0 if it does not, or is not the caller's to look into (Linux:
/// `proc_pid_wchan`).
pub fn waiting_place(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let is_own =
        || current().is_some_and(|own| subject.thread().is_some_and(|thread| thread.id() == own.id()));
    let inspection = Inspection::begin(&subject.process);
    let calls = if inspection.is_some() && !is_own() { calls(subject) } else { None };
    drop(inspection);
    // The functions by which everybody sleeps tell nothing.
    // A module of calls is named `sched`, too.
    let is_of = |name: &str, floor: &str| name.match_indices(floor).any(|(at, _)| !name[..at].ends_with(':'));
    let is_told = |name: &str| !["hal::", "sched::"].iter().any(|of_all| is_of(name, of_all));
    let names = calls.iter().flat_map(Calls::iter).filter_map(|place| place.function());
    let found = names.map(|(name, ..)| format!("{name}")).find(|name| is_told(name));
    text.put(found.as_deref().unwrap_or("0").as_bytes());
    Ok(())
}
