//! What a sample of the running thread makes due: alarms on its time and its process's, and the limits on both.

use abi::signal::{SI_KERNEL, SigInfo};
use libkernel::sched::cpu_time::CpuTime;
use subject::{INFINITY, Resource};

use super::{Process, Thread};
use crate::signal::{Signal, send};
use crate::time::SECOND_NS;

/// How far a soft limit that was reached moves on, in the limit's own units: one second, as on Linux.
const CPU_STEP_S: u64 = 1;
const REAL_TIME_STEP_US: u64 = 1_000_000;

/// What there is to do about a limit.
#[derive(Debug, PartialEq, Eq)]
enum Reached {
    Neither,
    Soft,
    Hard,
}

/// Compares a value with the limits of a resource; where the soft one is reached, it moves on by `step`.
fn reached(process: &Process, resource: Resource, value: u64, step: u64) -> Reached {
    let limit = process.limits().get(resource);
    if value >= limit.hard {
        return Reached::Hard;
    }
    if value < limit.soft {
        return Reached::Neither;
    }
    process.limits().move_on(resource, limit.soft, step);
    Reached::Soft
}

/// Warns or kills the running thread's process.
fn answer(thread: &Thread, reached: &Reached) {
    let signal = match reached {
        Reached::Neither => return,
        Reached::Soft => Signal::XCPU,
        Reached::Hard => Signal::KILL,
    };
    // A standard signal is never refused.
    let _ = send::to_process(thread.process(), signal, &SigInfo::new(signal.number(), SI_KERNEL));
}

/// Serves what is due now that the running thread has used more time.
pub(super) fn attend(thread: &Thread) {
    if thread.cpu_alarms.may_be_due() {
        thread.cpu_alarms.serve(thread.times().cpu, None, || 1);
    }
    let process = thread.process();
    if process.cpu_alarms.may_be_due() {
        let cpu = process.times().cpu;
        let limit_ns = limit_cpu_time(thread, cpu);
        process.cpu_alarms.serve(cpu, limit_ns, || process.thread_count().min(hal::cpu::count()));
    }
}

/// Enforces `RLIMIT_CPU`; the processor time at which to look again.
fn limit_cpu_time(thread: &Thread, cpu: CpuTime) -> Option<u64> {
    let process = thread.process();
    answer(thread, &reached(process, Resource::Cpu, cpu.total_ns() / SECOND_NS, CPU_STEP_S));
    let limit = process.limits().get(Resource::Cpu);
    let next = limit.soft.min(limit.hard);
    (next != INFINITY).then(|| next.saturating_mul(SECOND_NS))
}

/// Enforces `RLIMIT_RTTIME` on a real-time thread that has run for so long without a sleep.
pub(super) fn limit_real_time(thread: &Thread, awake_ns: u64) {
    answer(thread, &reached(thread.process(), Resource::RealTimeTime, awake_ns / 1000, REAL_TIME_STEP_US));
}
