//! The local APIC (SDM volume 3, chapter 10): end of interrupt, one-shot timer, interrupts between CPUs.
use super::mmio::Registers;
use super::msr;
use crate::arch::Arch;
use crate::arch::x86_64::trap::{VECTOR_SPURIOUS, VECTOR_TIMER};
use crate::contract::Cpu as _;
use crate::cpu::MAX_CPUS;
use core::sync::atomic::{AtomicU32, Ordering};
use libkernel::addr::PhysAddr;

const IDENTITY: usize = 0x20;
const END_OF_INTERRUPT: usize = 0xb0;
const SPURIOUS_VECTOR: usize = 0xf0;
const COMMAND_LOW: usize = 0x300;
const COMMAND_HIGH: usize = 0x310;
const TIMER_ENTRY: usize = 0x320;
const TIMER_INITIAL: usize = 0x380;
const TIMER_CURRENT: usize = 0x390;
const TIMER_DIVIDE: usize = 0x3e0;

/// Bits of the interrupt command register's low half.
const DELIVER_NON_MASKABLE: u32 = 0b100 << 8;
const DELIVER_INITIALISE: u32 = 0b101 << 8;
const DELIVER_START: u32 = 0b110 << 8;
const PENDING: u32 = 1 << 12;
const ASSERT: u32 = 1 << 14;
const TO_OTHERS: u32 = 0b11 << 18;

const SOFTWARE_ENABLE: u32 = 1 << 8;
const MASKED: u32 = 1 << 16;
/// Divide configuration "by 16": a 32-bit count then lasts a minute at 1 GHz.
const DIVIDE_BY_16: u32 = 0b0011;
const BASE_ENABLE: u64 = 1 << 11;
const BASE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;

static APIC: Registers = Registers::absent();

/// The local APIC identifier of each CPU that was asked to start, by index.
static IDENTITIES: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];

/// Maps the APICs, which all CPUs see at the same address, and enables the boot CPU's.
pub fn initialise() {
    // SAFETY: every x86_64 CPU has the register; the address stays what firmware chose.
    let base = unsafe { msr::read(msr::APIC_BASE) };
    // SAFETY: enabling the APIC delivers nothing yet.
    unsafe { msr::write(msr::APIC_BASE, base | BASE_ENABLE) };
    APIC.map(PhysAddr::new(base & BASE_ADDRESS));
    set_identity(0, identity());
    enable();
}

/// Makes this CPU's APIC deliver interrupts, timer stopped.
pub fn enable() {
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

/// This CPU's identifier.
pub fn identity() -> u32 {
    APIC.read(IDENTITY) >> 24
}

/// Says which APIC is that of `cpu`, before anything is sent there.
pub fn set_identity(cpu: usize, identity: u32) {
    IDENTITIES[cpu].store(identity, Ordering::Relaxed);
}

/// Sends `vector` to `cpu`.
pub fn send(cpu: usize, vector: u8) {
    command(IDENTITIES[cpu].load(Ordering::Relaxed), u32::from(vector));
}

/// Stops all CPUs but this one where they are, by a non-maskable interrupt.
pub fn send_non_maskable_to_others() {
    command(0, TO_OTHERS | DELIVER_NON_MASKABLE);
}

/// Brings all CPUs but this one to where they wait for [`send_start`].
pub fn send_initialise_to_others() {
    command(0, TO_OTHERS | ASSERT | DELIVER_INITIALISE);
}

/// Lets the CPU with `identity` run in real mode from `page`, below 1 MiB.
pub fn send_start(identity: u32, page: PhysAddr) {
    command(identity, ASSERT | DELIVER_START | page.frame_number() as u32);
}

/// Writes the interrupt command register (SDM volume 3, 11.6.1). Its two halves belong together: no interrupt in between.
fn command(identity: u32, low: u32) {
    let were_enabled = Arch::interrupts_disable();
    while APIC.read(COMMAND_LOW) & PENDING != 0 {
        Arch::relax();
    }
    APIC.write(COMMAND_HIGH, identity << 24);
    APIC.write(COMMAND_LOW, low);
    if were_enabled {
        Arch::interrupts_enable();
    }
}
