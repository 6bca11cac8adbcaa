//! What KVM gives its guests beyond a machine: its clock, the time of day, and the time for which it did not run a CPU.
//!
//! Each CPU tells the hypervisor where to write for it; the hypervisor writes to a CPU's words while it does not run
//! that CPU, so what a CPU reads of its own is whole, and of another CPU's by the version beside it. All is told by
//! CPUID; `nopv`, `no-kvmclock` and `no-steal-acc` leave it alone, as on Linux. Sources: Linux,
//! Documentation/virt/kvm/x86/msr.rst.
use super::{cpuid, hypervisor, msr};
use crate::arch::Arch;
use crate::arch::x86_64::clock::cycles;
use crate::arch::x86_64::paging::IMAGE;
use crate::contract::Cpu as _;
use crate::cpu::MAX_CPUS;
use crate::sync::{Once, SpinLock};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use libkernel::arch::x86_64::kvm::{self, Kvm};
use libkernel::arch::x86_64::pvclock::{self, FLAGS_WORD, Line, STOPPED, WORDS};
use libkernel::command_line::CommandLine;

/// What the hypervisor writes for one CPU.
#[repr(C, align(64))]
struct Area {
    /// 64 bytes, aligned so: steal time as a number of two words, its version.
    steal: [AtomicU32; 16],
    clock: [AtomicU32; WORDS],
}

const _: () = assert!(size_of::<Area>() == 128);

static AREAS: [Area; MAX_CPUS] = [const {
    Area { steal: [const { AtomicU32::new(0) }; 16], clock: [const { AtomicU32::new(0) }; WORDS] }
}; MAX_CPUS];

/// Version, seconds and nanoseconds of the time of day when the clock was zero.
static WALL_CLOCK: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];

/// The bit that turns a register's function on.
const ON: u64 = 1;

static FOUND: Once<Kvm> = Once::new();

/// Looks for KVM, and asks for what it offers, for the boot CPU. Boot, interrupts off.
pub fn initialise(words: CommandLine<'_>) {
    let has_word = |name: &[u8]| words.words().any(|word| word.is_named(name));
    let Some(mut found) = Kvm::find(cpuid::read) else { return };
    for (word, features) in
        [(&b"nopv"[..], u32::MAX), (b"no-kvmclock", kvm::CLOCK), (b"no-steal-acc", kvm::STEAL_TIME)]
    {
        if has_word(word) {
            found.features &= !features;
        }
    }
    let _ = FOUND.set(found);
    hypervisor::initialise(&found, words);
    enable(0);
    // A hypervisor that says more than it does has written nothing.
    if has(kvm::CLOCK) && line(0).0.hertz().is_none() {
        crate::boot::lacks("the clock that its hypervisor promises");
    }
}

fn has(feature: u32) -> bool {
    FOUND.get().is_some_and(|kvm| kvm.features & feature != 0)
}

/// The physical address of one of the statics here.
pub fn physical<T>(place: &'static T) -> u64 {
    core::ptr::from_ref(place) as u64 - IMAGE
}

/// Tells the hypervisor where to write for the executing CPU, whose number is `cpu`.
pub fn enable(cpu: usize) {
    let area = &AREAS[cpu];
    // SAFETY: CPUID announces each register; the hypervisor writes to words that are atomic and are nothing else, for
    // ever.
    unsafe {
        if has(kvm::CLOCK) {
            msr::write(msr::KVM_CLOCK, physical(&area.clock) | ON);
        }
        if has(kvm::STEAL_TIME) {
            msr::write(msr::KVM_STEAL_TIME, physical(&area.steal) | ON);
        }
    }
    hypervisor::enable(cpu);
}

/// The word of a CPU's steal time whose lowest byte says how things stand with it, and that byte's bits: it does not
/// run though it was not halted or is to run again; it is to forget all translations before it runs.
const STANDING: usize = 4;
const PREEMPTED: u32 = 1 << 0;
const FLUSH: u32 = 1 << 1;

/// Whether the hypervisor does not run `cpu` just now.
pub fn is_preempted(cpu: usize) -> bool {
    AREAS[cpu].steal[STANDING].load(Ordering::Relaxed) & PREEMPTED != 0
}

/// If the hypervisor does not run `cpu`, has it forget all translations before that runs again; whether it was so. What
/// the caller stored before is seen by then: the hypervisor takes the word by an exchange on the way into the guest.
pub fn flushes_later(cpu: usize) -> bool {
    let standing = &AREAS[cpu].steal[STANDING];
    let found = standing.load(Ordering::Relaxed);
    found & PREEMPTED != 0
        && standing.compare_exchange(found, found | FLUSH, Ordering::SeqCst, Ordering::Relaxed).is_ok()
}

/// The line of `cpu` and the time-stamp counter while it held.
fn line(cpu: usize) -> (Line, u64) {
    let words = &AREAS[cpu].clock;
    // The counter is read in the order of the program: not before the words, nor after their version is looked at
    // again.
    let load = |word: usize| words[word].load(Ordering::Acquire);
    let count = || {
        // SAFETY: only waits.
        unsafe { core::arch::x86_64::_mm_lfence() };
        let count = cycles();
        // SAFETY: as above.
        unsafe { core::arch::x86_64::_mm_lfence() };
        count
    };
    pvclock::read(load, count, Arch::relax)
}

/// Whether there is a clock.
pub fn has_clock() -> bool {
    has(kvm::CLOCK) && AREAS[0].clock[6].load(Ordering::Relaxed) != 0
}

/// The time-stamp counter's frequency in hertz, as the hypervisor knows it.
pub fn tsc_hertz() -> Option<u64> {
    has_clock().then(|| line(0).0.hertz())?
}

/// The frequency of the APIC's timer before it is divided, in hertz.
pub fn timer_hertz() -> Option<u64> {
    FOUND.get().map(|kvm| kvm.timer_hertz)
}

/// The clock: nanoseconds from the hypervisor's zero on. Never back, on whatever CPU.
pub fn now_ns() -> u64 {
    /// The latest that was read where each CPU has a line of its own.
    static LATEST: AtomicU64 = AtomicU64::new(0);
    let (shared, count) = line(Arch::id());
    if shared.is_stable && has(kvm::CLOCK_STABLE) {
        return shared.at(count);
    }
    // Line and counter are to be of one CPU.
    let were_enabled = Arch::interrupts_disable();
    let (own, count) = line(Arch::id());
    if were_enabled {
        Arch::interrupts_enable();
    }
    let now = own.at(count);
    now.max(LATEST.fetch_max(now, Ordering::AcqRel))
}

/// The hypervisor's time of day, in nanoseconds since 1970; `None` if it does not know.
pub fn wall_clock_ns() -> Option<u64> {
    /// Keeps those apart who ask.
    static ASKED: SpinLock<()> = SpinLock::new(());
    if !has_clock() {
        return None;
    }
    let _one_at_a_time = ASKED.lock();
    // SAFETY: CPUID announces the register; the hypervisor writes to the static's words at once.
    unsafe { msr::write(msr::KVM_WALL_CLOCK, physical(&WALL_CLOCK)) };
    let [_, seconds, nanoseconds] = [0, 1, 2].map(|word| u64::from(WALL_CLOCK[word].load(Ordering::Acquire)));
    let zero_ns = seconds * libkernel::clock::SECOND_NS + nanoseconds;
    (zero_ns != 0).then(|| zero_ns + now_ns())
}

/// Whether somebody stopped the machine since the executing CPU asked last. Interrupts off.
pub fn take_pause() -> bool {
    let flags = &AREAS[Arch::id()].clock[FLAGS_WORD];
    // The hypervisor writes while this CPU does not run: nothing comes between the two.
    flags.load(Ordering::Relaxed) & STOPPED != 0
        && flags.fetch_and(!STOPPED, Ordering::Relaxed) & STOPPED != 0
}

/// For how long the hypervisor has not run `cpu` though that could have run, in nanoseconds.
pub fn stolen_ns(cpu: usize) -> u64 {
    let Some(Area { steal: words, .. }) = AREAS.get(cpu) else { return 0 };
    let load = |word: usize| words[word].load(Ordering::Acquire);
    loop {
        let version = load(2);
        let stolen_ns = u64::from(load(0)) | u64::from(load(1)) << 32;
        if version & 1 == 0 && load(2) == version {
            return stolen_ns;
        }
        Arch::relax();
    }
}
