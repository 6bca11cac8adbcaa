//! The local APIC (SDM volume 3, chapter 10): end of interrupt, one-shot timer, interrupts between CPUs.
use super::mmio::Registers;
use super::msr;
use crate::arch::Arch;
use crate::arch::x86_64::paging::flush_all;
use crate::arch::x86_64::trap::{VECTOR_FLUSH, VECTOR_SPURIOUS, VECTOR_TIMER};
use crate::contract::Cpu as _;
use crate::sync::SpinLock;
use core::sync::atomic::{AtomicU64, Ordering};
use libkernel::addr::PhysAddr;

const END_OF_INTERRUPT: usize = 0xb0;
const SPURIOUS_VECTOR: usize = 0xf0;
const COMMAND_LOW: usize = 0x300;
const COMMAND_HIGH: usize = 0x310;
const TIMER_ENTRY: usize = 0x320;
const TIMER_INITIAL: usize = 0x380;
const TIMER_CURRENT: usize = 0x390;
const TIMER_DIVIDE: usize = 0x3e0;

const SOFTWARE_ENABLE: u32 = 1 << 8;
const MASKED: u32 = 1 << 16;
/// Divide configuration "by 16": a 32-bit count then lasts a minute at 1 GHz.
const DIVIDE_BY_16: u32 = 0b0011;
const BASE_ENABLE: u64 = 1 << 11;
const BASE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;

static APIC: Registers = Registers::absent();

/// Maps and enables this CPU's APIC, timer stopped.
pub fn initialise() {
    // SAFETY: every x86_64 CPU has the register; the address stays what firmware chose.
    let base = unsafe { msr::read(msr::APIC_BASE) };
    // SAFETY: enabling the APIC delivers nothing yet.
    unsafe { msr::write(msr::APIC_BASE, base | BASE_ENABLE) };
    APIC.map(PhysAddr::new(base & BASE_ADDRESS));
    APIC.write(SPURIOUS_VECTOR, SOFTWARE_ENABLE | u32::from(VECTOR_SPURIOUS));
    APIC.write(TIMER_DIVIDE, DIVIDE_BY_16);
    APIC.write(TIMER_ENTRY, MASKED | u32::from(VECTOR_TIMER));
}

/// Says that the interrupt in service is done with.
#[inline]
pub fn end_of_interrupt() {
    APIC.write(END_OF_INTERRUPT, 0);
}

/// Lets the timer interrupt.
pub fn unmask_timer() {
    APIC.write(TIMER_ENTRY, u32::from(VECTOR_TIMER));
}

/// Starts the one-shot timer; zero stops it.
#[inline]
pub fn start_timer(ticks: u32) {
    APIC.write(TIMER_INITIAL, ticks);
}

/// Ticks left of the timer.
pub fn timer_left() -> u32 {
    APIC.read(TIMER_CURRENT)
}

/// Sends `vector` to `cpu`. APIC identifiers are taken to be CPU indices until other CPUs are started.
pub fn send(cpu: usize, vector: u8) {
    APIC.write(COMMAND_HIGH, (cpu as u32) << 24);
    APIC.write(COMMAND_LOW, u32::from(vector));
}

/// CPUs that have not forgotten yet; one request at a time.
static UNFLUSHED: AtomicU64 = AtomicU64::new(0);
static FLUSH: SpinLock<()> = SpinLock::new(());

/// Makes the CPUs in the mask forget all user translations and waits for them. Interrupts on, or two CPUs could wait
/// for each other.
pub fn flush_remote(cpus: u64) {
    if cpus == 0 {
        return;
    }
    let _guard = FLUSH.lock();
    UNFLUSHED.store(cpus, Ordering::SeqCst);
    for cpu in (0..u64::BITS).filter(|cpu| cpus & 1 << cpu != 0) {
        send(cpu as usize, VECTOR_FLUSH);
    }
    while UNFLUSHED.load(Ordering::SeqCst) != 0 {
        Arch::relax();
    }
}

/// This CPU's answer to [`flush_remote`].
pub fn answer_flush() {
    flush_all();
    UNFLUSHED.fetch_and(!(1 << Arch::id()), Ordering::SeqCst);
}
