//! The notes of a core dump: what is said of threads and of the process. elf(5); Linux 6.1, `fs/binfmt_elf.c`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::core_dump::{
    ELF_PRARGSZ, NT_AUXV, NT_PRPSINFO, NT_PRSTATUS, NT_SIGINFO, Prpsinfo, PrstatusHead, PrstatusTail,
};
use abi::time::{NANOSECONDS_PER_SECOND, Timeval};
use hal::task;
use hal::user::UserRegs;
use libkernel::addr::UserRange;
use libkernel::arch::native::core_dump::{self as registers, Others};
use libkernel::core_dump::{Notes, Owner};
use memory::AddressSpace;
use outcome::OrErrno;
use zerocopy::IntoBytes;

use super::Cause;
use super::gathering::Gathering;
use crate::process::Thread;

/// What is said of a thread: its status, and the registers that have notes of their own.
pub struct ThreadNotes {
    status: Vec<u8>,
    others: Notes,
}

impl ThreadNotes {
    /// The notes of the running thread, which came out of its program with these registers.
    pub fn of(thread: &Thread, regs: &UserRegs, cause: &Cause<'_>) -> Result<ThreadNotes, Errno> {
        let mut image = zeroes(task::floating_point_size())?;
        task::copy_floating_point(&mut image);
        let others = Others {
            floating_point: &image,
            thread_pointer: task::tls(),
            second_pointer: task::gs_base().unwrap_or(0),
            selectors: task::data_selectors(),
        };
        let general = registers::general_registers(regs, &others);
        let tail = PrstatusTail { pr_fpvalid: 1, pad: 0 };
        let head = status_head(thread, cause);
        let parts = [head.as_bytes(), general.as_bytes(), tail.as_bytes()];
        let mut status = Vec::new();
        status.try_reserve_exact(parts.iter().map(|part| part.len()).sum()).or_errno()?;
        parts.iter().for_each(|part| status.extend_from_slice(part));
        let mut notes = Notes::default();
        registers::add_notes(regs, &others, &mut notes).or_errno()?;
        Ok(ThreadNotes { status, others: notes })
    }
}

fn zeroes(size: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).or_errno()?;
    bytes.resize(size, 0);
    Ok(bytes)
}

fn status_head(thread: &Thread, cause: &Cause<'_>) -> PrstatusHead {
    let process = thread.process();
    let is_leader = thread.id() == process.pid();
    let times = if is_leader { process.times() } else { thread.times() };
    let children = process.children_times();
    let pending = thread.signals.pending.lock().set();
    PrstatusHead {
        si_signo: cause.info.si_signo,
        si_code: cause.info.si_code,
        si_errno: cause.info.si_errno,
        pr_cursig: cause.signal.number() as i16,
        pad: 0,
        pr_sigpend: pending.bits(),
        pr_sighold: thread.signal_mask().bits(),
        pr_pid: process.shown(thread.id()),
        pr_ppid: process.shown(process.parent()),
        pr_pgrp: process.shown(process.group()),
        pr_sid: process.shown(process.session().id()),
        pr_utime: timeval(times.cpu.user_ns),
        pr_stime: timeval(times.cpu.system_ns),
        pr_cutime: timeval(children.cpu.user_ns),
        pr_cstime: timeval(children.cpu.system_ns),
    }
}

fn timeval(ns: u64) -> Timeval {
    let second = NANOSECONDS_PER_SECOND.cast_unsigned();
    Timeval { tv_sec: (ns / second).cast_signed(), tv_usec: (ns % second / 1000).cast_signed() }
}

/// Puts all notes in order: the status of the thread that dumps, what `of_process` adds, its other registers, then the
/// threads that came.
pub fn collect(
    notes: &mut Notes,
    own: ThreadNotes,
    gathering: &Gathering,
    of_process: impl FnOnce(&mut Notes) -> Result<(), Errno>,
) -> Result<(), Errno> {
    notes.push(Owner::Core, NT_PRSTATUS, own.status).or_errno()?;
    of_process(notes)?;
    notes.append(own.others).or_errno()?;
    for (_, other) in gathering.take() {
        let other = other?;
        notes.push(Owner::Core, NT_PRSTATUS, other.status).or_errno()?;
        notes.append(other.others).or_errno()?;
    }
    Ok(())
}

/// Adds what is said of the process: owner and arguments, the signal, the auxiliary vector.
pub fn add_process(
    notes: &mut Notes,
    thread: &Arc<Thread>,
    space: &AddressSpace,
    cause: &Cause<'_>,
) -> Result<(), Errno> {
    notes.add(Owner::Core, NT_PRPSINFO, &[process_info(thread, space).as_bytes()]).or_errno()?;
    notes.add(Owner::Core, NT_SIGINFO, &[cause.info.as_bytes()]).or_errno()?;
    notes.push(Owner::Core, NT_AUXV, space.auxiliary_vector()?).or_errno()
}

/// The first bytes of a range, at most `limit`, as far as they can be read.
fn read(space: &AddressSpace, range: UserRange, limit: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = zeroes(limit.min(range.length() as usize))?;
    let length = space.read_remote(range.start(), &mut bytes);
    bytes.truncate(length);
    Ok(bytes)
}

/// Linux's flags of a process that is ended by a signal and dumps (`PF_SIGNALED`, `PF_DUMPCORE`).
const FLAGS: u64 = 0x400 | 0x200;

fn process_info(thread: &Thread, space: &AddressSpace) -> Prpsinfo {
    let process = thread.process();
    let (user, group) = thread.with_credentials(|own| {
        (own.user.real.number_in(&own.user_namespace), own.group.real.number_in(&own.user_namespace))
    });
    let mut arguments = [0; ELF_PRARGSZ];
    let shown = read(space, space.layout().arguments, ELF_PRARGSZ - 1).unwrap_or_default();
    for (to, &from) in arguments.iter_mut().zip(&shown) {
        *to = if from == 0 { b' ' } else { from };
    }
    Prpsinfo {
        pr_state: 0,
        pr_sname: b'R',
        pr_zomb: 0,
        pr_nice: thread.scheduling().nice,
        pad: 0,
        pr_flag: FLAGS,
        pr_uid: user,
        pr_gid: group,
        pr_pid: process.shown(process.pid()),
        pr_ppid: process.shown(process.parent()),
        pr_pgrp: process.shown(process.group()),
        pr_sid: process.shown(process.session().id()),
        pr_fname: thread.name(),
        pr_psargs: arguments,
    }
}
