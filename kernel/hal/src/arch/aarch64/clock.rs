//! The clock: the generic timer's virtual counter, whose frequency CNTFRQ_EL0 tells (D11.2), and the wall clock at
//! boot.
use super::cpu::read_register;
use super::paging::DeviceRegisters;
use super::patches::patched;
use crate::sync::Once;
use crate::time;
use core::arch::{asm, naked_asm};
use core::sync::atomic::{AtomicU64, Ordering};
use libkernel::clock::SECOND_NS;

/// Starts the clock, which was zero when the counter was `boot_count`.
pub(super) fn initialise(boot_count: u64) {
    let hertz = read_register!("cntfrq_el0");
    assert!(hertz != 0, "CNTFRQ_EL0 does not say how fast the counter runs");
    time::start(boot_count, hertz);
}

/// The virtual counter, not read early (D11.2.2).
#[inline(always)]
pub(super) fn count() -> u64 {
    // SAFETY: a barrier.
    unsafe { asm!("isb", options(nomem, nostack, preserves_flags)) };
    read()
}

/// As [`count`], with what was read before in place (D11.2.2).
pub(super) fn count_in_order() -> u64 {
    // SAFETY: a barrier, for the compiler too.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
    read()
}

/// CNTVCT_EL0. On a core that reads it wrong for a moment the branch takes the instruction's place.
#[inline(always)]
fn read() -> u64 {
    let count;
    // SAFETY: reads a register; the other way keeps all registers but the result and the link.
    unsafe {
        asm!(patched!(COUNTER, "mrs x0, cntvct_el0" => "bl {twice}"), twice = sym read_twice, out("x0") count, out("x30") _,
            options(nomem, preserves_flags))
    };
    count
}

/// Erratum 858921: a read may be wrong where the counter's lower half overflows. Of two reads that differ in bit 32 the
/// first is right, of others the second (Linux, `arch_timer`'s work-around). Clobbers x30; x0 is the result.
#[unsafe(naked)]
unsafe extern "C" fn read_twice() -> u64 {
    naked_asm!(
        "stp x1, x2, [sp, #-16]!",
        "mrs x0, cntvct_el0",
        "mrs x1, cntvct_el0",
        "eor x2, x0, x1",
        "tbnz x2, #32, 2f",
        "mov x0, x1",
        "2:",
        "ldp x1, x2, [sp], #16",
        "ret",
    )
}

/// The PL031 real-time clock (DDI 0224), if there is one: its data register counts seconds since 1970.
static REAL_TIME_CLOCK: Once<DeviceRegisters> = Once::new();

/// Names the real-time clock.
pub(super) fn set_real_time_clock(registers: DeviceRegisters) {
    let _ = REAL_TIME_CLOCK.set(registers);
}

/// Seconds since 1970 when the kernel began, as firmware said that; zero: it said nothing.
static TIME_AT_BOOT: AtomicU64 = AtomicU64::new(0);

/// Tells the seconds since 1970 when the kernel began.
pub(super) fn set_time_at_boot(seconds: u64) {
    TIME_AT_BOOT.store(seconds, Ordering::Relaxed);
}

/// Nanoseconds since 1970 when `time::now_ns` was zero; zero without a clock.
pub(super) fn wall_clock_at_boot_ns() -> u64 {
    const DATA: usize = 0;
    if let Some(clock) = REAL_TIME_CLOCK.get() {
        return (u64::from(clock.read32(DATA)) * SECOND_NS).saturating_sub(time::now_ns());
    }
    TIME_AT_BOOT.load(Ordering::Relaxed).saturating_mul(SECOND_NS)
}
