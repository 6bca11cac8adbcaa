//! `/proc/PID/stat`, `status` and `limits`: proc(5).

use alloc::format;
use alloc::string::String;

use abi::Errno;
use abi::process::{
    PR_SPEC_DISABLE, PR_SPEC_ENABLE, PR_SPEC_FORCE_DISABLE, PR_SPEC_INDIRECT_BRANCH, PR_SPEC_NOT_AFFECTED,
    PR_SPEC_PRCTL, PR_SPEC_STORE_BYPASS,
};
use libkernel::addr::PAGE_SIZE;
use libkernel::sched::{Parameters, cpu_set};
use libkernel::text::{Text, Within};
use memory::layout::Layout;
use sched::settings;
use subject::{Credentials, INFINITY, Identity, Resource};

use super::sizes;
use super::subject::Subject;
use crate::process::{Inspection, NAME_SIZE, Thread, Times, current_user_namespace, speculation};
use crate::syscall::sched::number_of;
use crate::tty;

/// Nanoseconds of a tick as programs count them (`USER_HZ`).
const NS_PER_TICK: u64 = 10_000_000;

/// The letter for what a process or thread is doing, and the word for it.
fn state(subject: &Subject) -> (char, &'static str) {
    if subject.process.ended().is_some() {
        return ('Z', "zombie");
    }
    if subject.process.is_stopped() {
        return ('T', "stopped");
    }
    match subject.thread() {
        Some(thread) if thread.is_runnable() => ('R', "running"),
        Some(_) => ('S', "sleeping"),
        None => ('Z', "zombie"),
    }
}

/// A thread's name, with its padding.
pub struct Name([u8; NAME_SIZE]);

impl Name {
    /// The name without its padding.
    pub fn bytes(&self) -> &[u8] {
        self.0.split(|&byte| byte == 0).next().unwrap_or_default()
    }
}

/// The name of a subject; empty once the process has ended.
pub fn name_of(subject: &Subject) -> Name {
    Name(subject.thread().map_or([0; NAME_SIZE], |thread| thread.name()))
}

/// What a thread, or all of a process, has used.
pub fn times(subject: &Subject) -> Times {
    match subject.thread() {
        Some(thread) if subject.is_thread() => thread.times(),
        _ => subject.process.times(),
    }
}

/// `stat`: fifty-two fields in one line.
pub fn stat(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let process = &subject.process;
    text.field(subject.shown(subject.id()));
    text.put(b"(");
    text.put(name_of(subject).bytes());
    text.put(b") ");
    text.put(&[state(subject).0 as u8, b' ']);
    text.field(subject.shown(process.parent()));
    text.field(subject.shown(process.group()));
    text.field(subject.shown(process.session().id()));
    let (tty_number, foreground) = terminal_of(subject);
    text.field(tty_number);
    text.field(foreground);
    time_fields(subject, text);
    let (total, resident) = sizes::total_and_resident(subject);
    text.field(total * PAGE_SIZE);
    text.field(resident);
    text.field(process.limits().soft(Resource::ResidentSet));
    // Only who may look into the process is told where things are in it.
    let layout = Inspection::begin(process)
        .and_then(|_inspection| process.address_space())
        .map(|space| space.layout());
    address_fields(layout.as_ref(), text);
    signal_fields(subject, text);
    last_fields(subject, layout.as_ref(), text);
    Ok(())
}

/// Flags to the time of the start: page faults, times, priorities, the number of threads.
fn time_fields(subject: &Subject, text: &mut Text) {
    let own = times(subject);
    let children = subject.process.children_times();
    let scheduling = subject.thread().map(|thread| thread.scheduling()).unwrap_or_default();
    text.put(b"0 ");
    text.field(own.faults);
    text.field(children.faults);
    text.put(b"0 0 ");
    for ns in [own.cpu.user_ns, own.cpu.system_ns, children.cpu.user_ns, children.cpu.system_ns] {
        text.field(ns / NS_PER_TICK);
    }
    text.field(shown_priority(scheduling));
    text.field(scheduling.nice);
    text.field(subject.process.thread_count() as u64);
    text.put(b"0 ");
    text.field(subject.process.started_ns() / NS_PER_TICK);
}

/// From the places where the process waits, which are not shown, to the exit status, which is not either.
fn last_fields(subject: &Subject, layout: Option<&Layout>, text: &mut Text) {
    let thread = subject.thread();
    let scheduling = thread.as_ref().map(|thread| thread.scheduling()).unwrap_or_default();
    text.put(b"0 0 0 ");
    text.field(subject.process.exit_signal());
    text.field(thread.and_then(|thread| thread.task()).map_or(0, |task| task.cpu()) as u64);
    text.field(scheduling.priority);
    text.field(number_of(scheduling.policy));
    text.put(b"0 0 0 ");
    string_fields(layout, text);
    text.put(b"0\n");
}

/// Linux's inner priority, as `stat` shows it: 0 to 39 by nice value, below 0 for real-time policies, also by a boost.
pub fn shown_priority(scheduling: Parameters) -> i32 {
    let scheduling = scheduling.effective();
    if scheduling.is_real_time() {
        -1 - i32::from(scheduling.priority)
    } else {
        20 + i32::from(scheduling.nice)
    }
}

/// The controlling terminal's device number and foreground group; 0 and -1 without one.
fn terminal_of(subject: &Subject) -> (u64, i64) {
    match tty::terminal_of(&subject.process) {
        None => (0, -1),
        Some(terminal) => {
            let foreground = terminal.foreground().map_or(0, |group| i64::from(subject.shown(group)));
            (terminal.number.encode(), foreground)
        }
    }
}

/// Start and end of the code, the stack's start, and registers, which are never shown.
fn address_fields(layout: Option<&Layout>, text: &mut Text) {
    text.field(layout.map_or(0, |layout| layout.code.start().as_u64()));
    text.field(layout.map_or(0, |layout| layout.code.end().as_u64()));
    text.field(layout.map_or(0, |layout| layout.stack_start.as_u64()));
    text.put(b"0 0 ");
}

/// Start and end of the data, the start of the heap, and the strings of arguments and environment.
fn string_fields(layout: Option<&Layout>, text: &mut Text) {
    let Some(layout) = layout else { return text.put(b"0 0 0 0 0 0 0 ") };
    text.field(layout.data.start().as_u64());
    text.field(layout.data.end().as_u64());
    text.field(layout.brk_start.as_u64());
    for range in [layout.arguments, layout.environment] {
        text.field(range.start().as_u64());
        text.field(range.end().as_u64());
    }
}

/// Pending, blocked, ignored and handled signals, as far as 32 bits show them.
fn signal_fields(subject: &Subject, text: &mut Text) {
    let sets = signal_sets(subject);
    for set in [sets.pending, sets.blocked, sets.ignored, sets.handled] {
        text.field(set & 0x7fff_ffff);
    }
}

#[derive(Default)]
struct SignalSets {
    /// Of the thread.
    pending: u64,
    /// Of the process.
    shared: u64,
    blocked: u64,
    ignored: u64,
    handled: u64,
}

fn signal_sets(subject: &Subject) -> SignalSets {
    let Some(thread) = subject.thread() else { return SignalSets::default() };
    let (ignored, handled) = subject.process.signal_dispositions();
    // One lock after the other, and not one under the other.
    let pending = thread.signals.pending.lock().set().bits();
    let shared = subject.process.signals.shared.lock().pending.set().bits();
    SignalSets {
        pending,
        shared,
        blocked: thread.signal_mask().bits(),
        ignored: ignored.bits(),
        handled: handled.bits(),
    }
}

/// `status`: the same for people.
pub fn status(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    text.put(b"Name:\t");
    text.name(name_of(subject).bytes(), Within::Status);
    text.put(b"\n");
    let umask = subject.thread().and_then(|thread| thread.try_fs()).map(|context| context.umask());
    if let Some(umask) = umask {
        writeln!(text, "Umask:\t{umask:04o}");
    }
    let (letter, word) = state(subject);
    let process = &subject.process;
    write!(
        text,
        "State:\t{letter} ({word})\nTgid:\t{tgid}\nNgid:\t0\nPid:\t{pid}\nPPid:\t{parent}\nTracerPid:\t0\n",
        tgid = subject.shown(process.pid()),
        pid = subject.shown(subject.id()),
        parent = subject.shown(process.parent()),
    );
    if let Some(thread) = subject.thread() {
        identities(text, &thread.credentials());
        let slots = thread.try_files().map_or(0, |files| files.capacity());
        writeln!(text, "FDSize:\t{slots}");
        groups(text, &thread.credentials());
        namespace_lines(text, subject);
        sizes::lines(text, subject);
        writeln!(text, "Threads:\t{}", process.thread_count());
        signal_lines(text, subject);
        capability_lines(text, &thread.credentials());
        writeln!(text, "NoNewPrivs:\t{}", u32::from(thread.no_new_privileges()));
        // There are no filters (PR_GET_SECCOMP).
        text.put(b"Seccomp:\t0\nSeccomp_filters:\t0\n");
        speculation_lines(text, &thread);
        affinity_lines(text, thread.task().map_or(0, |task| settings::affinity(&task)));
        let times = thread.times();
        writeln!(text, "voluntary_ctxt_switches:\t{}", times.sleeps);
        writeln!(text, "nonvoluntary_ctxt_switches:\t{}", times.preemptions);
    } else {
        writeln!(text, "Threads:\t0");
    }
    Ok(())
}

fn identities(text: &mut Text, credentials: &Credentials) {
    let reader = current_user_namespace();
    let Identity { real, effective, saved, file_system } = credentials.user;
    let [real, effective, saved, file_system] =
        [real, effective, saved, file_system].map(|user| user.number_in(&reader));
    writeln!(text, "Uid:\t{real}\t{effective}\t{saved}\t{file_system}");
    let Identity { real, effective, saved, file_system } = credentials.group;
    let [real, effective, saved, file_system] =
        [real, effective, saved, file_system].map(|group| group.number_in(&reader));
    writeln!(text, "Gid:\t{real}\t{effective}\t{saved}\t{file_system}");
}

fn groups(text: &mut Text, credentials: &Credentials) {
    text.put(b"Groups:\t");
    let reader = current_user_namespace();
    for (index, group) in credentials.groups.iter().enumerate() {
        write!(text, "{}{}", if index > 0 { " " } else { "" }, group.number_in(&reader));
    }
    text.put(b" \n");
}

/// The numbers in each namespace of processes, of which there is one.
fn namespace_lines(text: &mut Text, subject: &Subject) {
    let process = &subject.process;
    for (label, number) in [
        ("NStgid", process.pid()),
        ("NSpid", subject.id()),
        ("NSpgid", process.group()),
        ("NSsid", process.session().id()),
    ] {
        writeln!(text, "{label}:\t{}", subject.shown(number));
    }
}

/// What a thread gives up of speculation, in the words of Linux's `task_seccomp`.
fn speculation_lines(text: &mut Text, thread: &Thread) {
    let store_bypass = match speculation::get(thread, PR_SPEC_STORE_BYPASS) {
        Ok(PR_SPEC_NOT_AFFECTED) => "not vulnerable",
        Ok(state) if state == PR_SPEC_PRCTL | PR_SPEC_FORCE_DISABLE => "thread force mitigated",
        Ok(state) if state == PR_SPEC_PRCTL | PR_SPEC_DISABLE => "thread mitigated",
        Ok(state) if state == PR_SPEC_PRCTL | PR_SPEC_ENABLE => "thread vulnerable",
        Ok(PR_SPEC_DISABLE) => "globally mitigated",
        Ok(PR_SPEC_ENABLE) => "vulnerable",
        _ => "unknown",
    };
    let indirect_branches = match speculation::get(thread, PR_SPEC_INDIRECT_BRANCH) {
        Err(_) => "unsupported",
        Ok(PR_SPEC_NOT_AFFECTED) => "not affected",
        Ok(state) if state == PR_SPEC_PRCTL | PR_SPEC_FORCE_DISABLE => "conditional force disabled",
        Ok(state) if state == PR_SPEC_PRCTL | PR_SPEC_DISABLE => "conditional disabled",
        Ok(state) if state == PR_SPEC_PRCTL | PR_SPEC_ENABLE => "conditional enabled",
        Ok(PR_SPEC_ENABLE) => "always enabled",
        Ok(PR_SPEC_DISABLE) => "always disabled",
        _ => "unknown",
    };
    writeln!(
        text,
        "Speculation_Store_Bypass:\t{store_bypass}\nSpeculationIndirectBranch:\t{indirect_branches}"
    );
}

fn signal_lines(text: &mut Text, subject: &Subject) {
    if let Some(thread) = subject.thread() {
        let charged = thread.with_credentials(|credentials| credentials.charged.signals());
        writeln!(text, "SigQ:\t{charged}/{}", subject.process.limits().soft(Resource::PendingSignals));
    }
    let sets = signal_sets(subject);
    for (label, set) in [
        ("SigPnd", sets.pending),
        ("ShdPnd", sets.shared),
        ("SigBlk", sets.blocked),
        ("SigIgn", sets.ignored),
        ("SigCgt", sets.handled),
    ] {
        writeln!(text, "{label}:\t{set:016x}");
    }
}

fn affinity_lines(text: &mut Text, allowed: u64) {
    let cpus = hal::cpu::count();
    writeln!(text, "Cpus_allowed:\t{}", cpu_set::mask(allowed & settings::online(), cpus));
    writeln!(text, "Cpus_allowed_list:\t{}", cpu_set::list(allowed & settings::online()));
    // All memory is one node.
    text.put(b"Mems_allowed:\t1\nMems_allowed_list:\t0\n");
}

fn capability_lines(text: &mut Text, credentials: &Credentials) {
    let sets = &credentials.capabilities;
    for (label, set) in [
        ("CapInh", sets.inheritable),
        ("CapPrm", sets.permitted),
        ("CapEff", sets.effective),
        ("CapBnd", sets.bounding),
        ("CapAmb", sets.ambient),
    ] {
        writeln!(text, "{label}:\t{set:016x}");
    }
}

/// `limits`: name, soft limit, hard limit, unit.
pub fn limits(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    writeln!(text, "{:<26}{:<21}{:<21}{:<10}", "Limit", "Soft Limit", "Hard Limit", "Units");
    let show = |value: u64| if value == INFINITY { String::from("unlimited") } else { format!("{value}") };
    for &(label, resource, unit) in LIMITS {
        let limit = subject.process.limits().get(resource);
        writeln!(text, "{label:<26}{:<21}{:<21}{unit:<10}", show(limit.soft), show(limit.hard));
    }
    Ok(())
}

const LIMITS: &[(&str, Resource, &str)] = &[
    ("Max cpu time", Resource::Cpu, "seconds"),
    ("Max file size", Resource::FileSize, "bytes"),
    ("Max data size", Resource::Data, "bytes"),
    ("Max stack size", Resource::Stack, "bytes"),
    ("Max core file size", Resource::Core, "bytes"),
    ("Max resident set", Resource::ResidentSet, "bytes"),
    ("Max processes", Resource::Processes, "processes"),
    ("Max open files", Resource::OpenFiles, "files"),
    ("Max locked memory", Resource::LockedMemory, "bytes"),
    ("Max address space", Resource::AddressSpace, "bytes"),
    ("Max file locks", Resource::FileLocks, "locks"),
    ("Max pending signals", Resource::PendingSignals, "signals"),
    ("Max msgqueue size", Resource::MessageQueues, "bytes"),
    ("Max nice priority", Resource::Nice, ""),
    ("Max realtime priority", Resource::RealTimePriority, ""),
    ("Max realtime timeout", Resource::RealTimeTime, "us"),
];

/// `io`: what was moved, which is not counted.
pub fn transfers(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    drop(subject.inspect()?);
    for label in ["rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes", "cancelled_write_bytes"] {
        writeln!(text, "{label}: 0");
    }
    Ok(())
}

/// `personality`.
pub fn personality(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    // Linux: `proc_pid_personality` locks as a debugger would.
    let inspection = Inspection::begin(&subject.process).ok_or(Errno::EPERM)?;
    let personality = subject.process.personality();
    drop(inspection);
    writeln!(text, "{personality:08x}");
    Ok(())
}
