//! `/proc/PID/sched`: how a thread is scheduled and what it has used, in Linux's words (`proc_sched_show_task`).
//!
//! Shown is what this kernel keeps: no averages of load, no count of moves between CPUs, nothing about nodes of memory.
//! What a write would clear on Linux are statistics that are not kept either.

use abi::Errno;
use libkernel::text::Text;

use super::status::{name_of, shown_priority, times};
use super::subject::Subject;
use crate::syscall::sched::number_of;

/// Linux counts weights in 1024ths.
const LOAD_SHIFT: u32 = 10;

/// Linux's inner priority 0 to 139 of the one that `stat` shows.
const FIRST_FAIR: i32 = 100;

/// `sched`.
pub fn show(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let threads = subject.process.thread_count();
    text.put(name_of(subject).bytes());
    write!(text, " ({}, #threads: {threads})\n{:-<67}\n", subject.shown(subject.id()), "");
    let used = times(subject);
    let ns = used.cpu.user_ns + used.cpu.system_ns;
    writeln!(text, "{:<45}:{:14}.{:06}", "se.sum_exec_runtime", ns / 1_000_000, ns % 1_000_000);
    let scheduling = subject.thread().map(|thread| thread.scheduling()).unwrap_or_default();
    let rows = [
        ("nr_switches", (used.sleeps + used.preemptions).cast_signed()),
        ("nr_voluntary_switches", used.sleeps.cast_signed()),
        ("nr_involuntary_switches", used.preemptions.cast_signed()),
        ("se.load.weight", i64::from(scheduling.weight()) << LOAD_SHIFT),
        ("policy", i64::from(number_of(scheduling.policy))),
        ("prio", i64::from(shown_priority(scheduling) + FIRST_FAIR)),
    ];
    for (label, value) in rows {
        writeln!(text, "{label:<45}:{value:21}");
    }
    Ok(())
}

/// A write changes nothing.
pub fn clear(_subject: &Subject, _position: u64, bytes: &[u8]) -> Result<usize, Errno> {
    Ok(bytes.len())
}
