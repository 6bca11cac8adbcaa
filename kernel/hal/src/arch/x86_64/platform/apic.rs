//! The local APIC (SDM volume 3, chapter 10): end of interrupt, one-shot timer, interrupts between CPUs.
//!
//! Its registers are memory, the same addresses for every CPU; or model-specific registers in x2APIC mode (10.12):
//! where firmware left it on, and where CPUID offers it, the boot CPU takes it, and firmware does not ask otherwise.
//! `nox2apic` leaves it as it is; `provoke=interrupt` sends one that means nothing, for a test. Lines of devices go to
//! the boot CPU by its number, which works in this mode also without remapping of interrupts as long as that number has
//! eight bits (10.12.10).
use super::mmio::Registers;
use super::{acpi, cpuid, msr};
use crate::arch::Arch;
use crate::arch::x86_64::trap::{VECTOR_SPURIOUS, VECTOR_TIMER};
use crate::contract::Cpu as _;
use crate::cpu::MAX_CPUS;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use libkernel::addr::PhysAddr;
use libkernel::arch::x86_64::apic::Offer;
use libkernel::arch::x86_64::tsc;
use libkernel::command_line::CommandLine;

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
/// The timer interrupts when the time-stamp counter comes to a value.
const BY_DEADLINE: u32 = 0b10 << 17;
/// Divide configuration "by 16": a 32-bit count then lasts a minute at 1 GHz.
const DIVIDE_BY_16: u32 = 0b0011;
/// What the timer's clock is divided by.
pub const TIMER_DIVISOR: u64 = 16;
const BASE_ENABLE: u64 = 1 << 11;
const BASE_X2APIC: u64 = 1 << 10;
const BASE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;

static APIC: Registers = Registers::absent();
/// Whether the registers are model-specific ones.
static X2APIC: AtomicBool = AtomicBool::new(false);
/// Whether the timer can be armed by [`arm`].
static DEADLINES: AtomicBool = AtomicBool::new(false);

/// The local APIC identifier of each CPU that was asked to start, by index.
static IDENTITIES: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(0) }; MAX_CPUS];

/// Maps the APICs, which all CPUs see at the same address, and enables the boot CPU's.
pub fn initialise(words: CommandLine<'_>) {
    // SAFETY: every x86_64 CPU has the register.
    let base = unsafe { msr::read(msr::APIC_BASE) };
    APIC.map(PhysAddr::new(base & BASE_ADDRESS));
    let offer = Offer::read(cpuid::read);
    let is_left_on = base & BASE_X2APIC != 0;
    X2APIC.store(is_left_on || offer.x2apic && wants_x2apic(words) && takes_x2apic(base), Ordering::Relaxed);
    assert!(adopt_mode(), "the local APIC does not stay in its mode");
    enable();
    assert!(timer_counts(), "the timer of the local APIC stands still");
    DEADLINES.store(offer.deadline && keeps_deadlines(), Ordering::Relaxed);
    set_identity(0, identity());
    if words.option("provoke") == Some(b"interrupt") {
        const STRAY: u8 = 236;
        send(0, STRAY);
    }
    if is_x2apic() {
        crate::boot::uses("x2APICs");
    }
    if has_deadlines() {
        crate::boot::uses("a timer that keeps deadlines of the time-stamp counter");
    }
}

/// What a hypervisor makes needs no look at firmware's wishes, which are about chips.
fn wants_x2apic(words: CommandLine<'_>) -> bool {
    !words.words().any(|word| word.is_named(b"nox2apic"))
        && (tsc::is_guest(cpuid::read) || !acpi::refuses_x2apic())
}

/// Whether the boot CPU's APIC goes into x2APIC mode when it is told to, and answers there. If not, it is as before.
fn takes_x2apic(base: u64) -> bool {
    let wanted = base | BASE_ENABLE | BASE_X2APIC;
    // SAFETY: every x86_64 CPU has the register; the address stays what firmware chose, and nothing is delivered yet.
    // From off to x2APIC mode the way leads through on, and back through off (10.12.5).
    unsafe {
        msr::write(msr::APIC_BASE, base | BASE_ENABLE);
        let is_there = msr::try_write(msr::APIC_BASE, wanted)
            && msr::read(msr::APIC_BASE) & BASE_X2APIC != 0
            && msr::try_read(x2apic_register(IDENTITY)).is_some();
        if !is_there {
            msr::try_write(msr::APIC_BASE, base & !(BASE_ENABLE | BASE_X2APIC));
            msr::write(msr::APIC_BASE, base | BASE_ENABLE);
        }
        is_there
    }
}

/// Brings this CPU's APIC into the mode of the boot CPU's, the one in which this module talks to it. Not every CPU
/// comes in that mode from its start. False: it stays in another one, and cannot be talked to.
pub fn adopt_mode() -> bool {
    // SAFETY: as above; the boot CPU, which is of the same kind, has tried x2APIC mode.
    unsafe {
        let base = msr::read(msr::APIC_BASE);
        msr::write(msr::APIC_BASE, base | BASE_ENABLE);
        if is_x2apic() {
            msr::write(msr::APIC_BASE, base | BASE_ENABLE | BASE_X2APIC);
        }
        (msr::read(msr::APIC_BASE) & BASE_X2APIC != 0) == is_x2apic()
    }
}

/// Makes this CPU's APIC deliver interrupts, timer stopped.
pub fn enable() {
    write(SPURIOUS_VECTOR, SOFTWARE_ENABLE | u32::from(VECTOR_SPURIOUS));
    write(TIMER_DIVIDE, DIVIDE_BY_16);
    write(TIMER_ENTRY, MASKED | u32::from(VECTOR_TIMER));
    let is_enabled = read(SPURIOUS_VECTOR) & SOFTWARE_ENABLE != 0;
    assert!(
        is_enabled && read(TIMER_ENTRY) & MASKED != 0,
        "the local APIC does not keep what is written to it"
    );
}

/// Whether the timer, still masked, counts: nothing else would wake who sleeps.
fn timer_counts() -> bool {
    /// Takes seconds on any machine.
    const LOOKS: u32 = 100_000_000;
    start_timer(u32::MAX);
    let counts = (0..LOOKS).any(|_| timer_left() != u32::MAX);
    start_timer(0);
    counts
}

/// Whether the timer, still masked, keeps a deadline that is far away. A hypervisor may offer more than it does.
fn keeps_deadlines() -> bool {
    const FAR: u64 = 1 << 62;
    write(TIMER_ENTRY, MASKED | BY_DEADLINE | u32::from(VECTOR_TIMER));
    wait_for_mode();
    // SAFETY: CPUID announces the register; the timer is masked, and counts again in the end.
    let kept = unsafe {
        let kept = msr::try_write(msr::TSC_DEADLINE, FAR) && msr::try_read(msr::TSC_DEADLINE) == Some(FAR);
        msr::try_write(msr::TSC_DEADLINE, 0);
        kept
    };
    write(TIMER_ENTRY, MASKED | u32::from(VECTOR_TIMER));
    kept
}

/// Whether identifiers are 32 bits wide, else eight.
#[inline]
pub fn is_x2apic() -> bool {
    X2APIC.load(Ordering::Relaxed)
}

/// The model-specific register that stands for the one at `offset` (10.12.1.2).
fn x2apic_register(offset: usize) -> u32 {
    0x800 + (offset >> 4) as u32
}

#[inline]
fn read(offset: usize) -> u32 {
    if is_x2apic() {
        // SAFETY: in this mode the registers that this module names exist.
        return unsafe { msr::read(x2apic_register(offset)) } as u32;
    }
    APIC.read(offset)
}

#[inline]
fn write(offset: usize, value: u32) {
    if is_x2apic() {
        // SAFETY: as above; they rule interrupts alone.
        return unsafe { msr::write(x2apic_register(offset), value.into()) };
    }
    APIC.write(offset, value);
}

/// Says that the interrupt in service is done with.
#[inline]
pub fn end_of_interrupt() {
    write(END_OF_INTERRUPT, 0);
}

/// Whether the timer can be armed by [`arm`].
#[inline]
pub fn has_deadlines() -> bool {
    DEADLINES.load(Ordering::Relaxed)
}

/// Lets the timer interrupt, and count.
pub fn unmask_timer() {
    write(TIMER_ENTRY, u32::from(VECTOR_TIMER));
}

/// Lets the timer interrupt, and be armed by [`arm`]. What it was to do before is forgotten.
pub fn unmask_timer_by_deadline() {
    write(TIMER_ENTRY, BY_DEADLINE | u32::from(VECTOR_TIMER));
    wait_for_mode();
}

/// The timer's entry is written before its deadline, which is no access to device memory and so would not wait for one
/// (10.5.4.1).
fn wait_for_mode() {
    // SAFETY: orders memory accesses.
    unsafe { asm!("mfence", "lfence", options(nostack, preserves_flags)) };
}

/// Lets the timer interrupt when the time-stamp counter comes to a value, at once if it has passed; zero stops it.
#[inline]
pub fn arm(cycles: u64) {
    // SAFETY: [`has_deadlines`]; the interrupt is the timer's own.
    unsafe { msr::write(msr::TSC_DEADLINE, cycles) };
}

/// Starts the one-shot timer; zero stops it.
#[inline]
pub fn start_timer(ticks: u32) {
    write(TIMER_INITIAL, ticks);
}

/// Ticks left of the timer.
pub fn timer_left() -> u32 {
    read(TIMER_CURRENT)
}

/// This CPU's identifier.
pub fn identity() -> u32 {
    if is_x2apic() { read(IDENTITY) } else { read(IDENTITY) >> 24 }
}

/// Says which APIC is that of `cpu`, before anything is sent there.
pub fn set_identity(cpu: usize, identity: u32) {
    IDENTITIES[cpu].store(identity, Ordering::Relaxed);
}

/// The number of the APIC of `cpu`; zero before that is known.
pub fn identity_of(cpu: usize) -> u32 {
    IDENTITIES.get(cpu).map_or(0, |identity| identity.load(Ordering::Relaxed))
}

/// Sends `vector` to `cpu`.
pub fn send(cpu: usize, vector: u8) {
    command(IDENTITIES[cpu].load(Ordering::Relaxed), u32::from(vector));
}

/// Interrupts `cpu` whatever it does.
pub fn send_non_maskable(cpu: usize) {
    command(IDENTITIES[cpu].load(Ordering::Relaxed), DELIVER_NON_MASKABLE);
}

/// Brings all CPUs but this one to where they wait for [`send_start`].
pub fn send_initialise_to_others() {
    command(0, TO_OTHERS | ASSERT | DELIVER_INITIALISE);
}

/// Lets the CPU with `identity` run in real mode from `page`, below 1 MiB.
pub fn send_start(identity: u32, page: PhysAddr) {
    command(identity, ASSERT | DELIVER_START | page.frame_number() as u32);
}

/// Writes the interrupt command register (10.6.1). Its two halves belong together: no interrupt in between. The other
/// CPU finds what was written to memory before: an access to device memory sees to that, one to a model-specific
/// register does not (10.12.3).
fn command(identity: u32, low: u32) {
    if is_x2apic() {
        // SAFETY: orders memory accesses; then the register exists, and only interrupts come of it.
        unsafe {
            asm!("mfence", "lfence", options(nostack, preserves_flags));
            msr::write(x2apic_register(COMMAND_LOW), u64::from(identity) << 32 | u64::from(low));
        }
        return;
    }
    let were_enabled = Arch::interrupts_disable();
    while read(COMMAND_LOW) & PENDING != 0 {
        Arch::relax();
    }
    write(COMMAND_HIGH, identity << 24);
    write(COMMAND_LOW, low);
    if were_enabled {
        Arch::interrupts_enable();
    }
}
