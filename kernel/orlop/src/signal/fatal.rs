//! What the kernel log says when a fault ends a program.

use core::sync::atomic::{AtomicU32, Ordering};

use hal::user::UserContext;
use klog::{Limited, log};
use libkernel::addr::UserAddr;

use super::{SigInfo, Signal, SignalSet};
use crate::process::Thread;

/// Whether such deaths are logged: `/proc/sys/debug/exception-trace`.
pub static TRACE: AtomicU32 = AtomicU32::new(1);

/// A program may die as often as it likes.
static LIMIT: Limited = Limited::new();

/// Logs one line for signals that an instruction caused: program, process, where, and in which mapping.
pub(super) fn report(thread: &Thread, context: &UserContext, signal: Signal, info: &SigInfo) {
    let raised_by_kernel = info.si_code > 0;
    if !SignalSet::SYNCHRONOUS.contains(signal) || !raised_by_kernel || TRACE.load(Ordering::Relaxed) == 0 {
        return;
    }
    if !LIMIT.permits("signal") {
        return;
    }
    let pc = context.regs.instruction_pointer();
    let sp = context.regs.stack_pointer();
    let area = thread.memory().and_then(|space| space.describe_area(UserAddr::new(pc)));
    let (start, length) = area.map_or((0, 0), |area| (area.range.start().as_u64(), area.range.length()));
    log!(
        "{}[{:?}]: signal {} code {} at pc {pc:#x} sp {sp:#x} address {:#x} in mapping {start:#x}+{length:#x}",
        thread.shown_name(),
        thread.id(),
        signal.number(),
        info.si_code,
        info.si_addr(),
    );
}
