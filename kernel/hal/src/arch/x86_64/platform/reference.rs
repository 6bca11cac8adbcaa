//! The machine's other clocks, of known frequency, which the time-stamp counter is measured against.
use super::mmio::Registers;
use super::{acpi, apic, pit, port};
use crate::boot;
use libkernel::acpi::{fadt, hpet};
use libkernel::clock::SECOND_NS;
use libkernel::clock::frequency::Reference;

static EVENT_TIMER: Registers = Registers::absent();

/// One of them.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// The 8254 interval timer.
    Pit,
    /// ACPI's power-management timer.
    AcpiPm {
        /// Its port.
        port: u16,
        /// Its bits.
        bits: u32,
    },
    /// The high-precision event timer.
    Hpet {
        /// Its counts a second.
        hertz: u64,
    },
    /// The local APIC's timer, in a virtual machine: there it counts nanoseconds before they are divided (QEMU; KVM,
    /// unless it says otherwise).
    Apic,
}

impl Source {
    /// The first that the machine has, those that are found soonest first. The APIC's timer runs.
    pub fn find(is_guest: bool) -> Option<Self> {
        pit::start();
        if pit::is_there() {
            return Some(Self::Pit);
        }
        let source = Self::find_by_acpi().or_else(|| is_guest.then_some(Self::Apic));
        boot::lacks(match source {
            Some(Self::AcpiPm { .. }) => "an 8254 timer: ACPI's timer measures the time-stamp counter",
            Some(Self::Hpet { .. }) => "an 8254 timer: the HPET measures the time-stamp counter",
            Some(_) => {
                "an 8254 timer: the APIC's timer, taken for a virtual one, measures the time-stamp counter"
            }
            None => {
                "an 8254 timer, and any other: a cycle of the time-stamp counter is taken for a nanosecond"
            }
        });
        source
    }

    fn find_by_acpi() -> Option<Self> {
        Self::acpi_timer().or_else(Self::event_timer)
    }

    /// ACPI's power-management timer, if there is one that counts.
    pub fn acpi_timer() -> Option<Self> {
        let (port, bits) = acpi::pm_timer()?;
        let timer = Self::AcpiPm { port, bits };
        // Virtual machines have been seen that name a timer which stands still.
        let first = timer.read();
        (0..1000).any(|_| timer.read() != first).then_some(timer)
    }

    /// The high-precision event timer, which counts from now on, if there is one.
    pub fn event_timer() -> Option<Self> {
        if !EVENT_TIMER.is_mapped() {
            EVENT_TIMER.map(acpi::event_timer()?);
        }
        let hertz = hpet::hertz(EVENT_TIMER.read(hpet::CAPABILITIES + 4))?;
        EVENT_TIMER.write(hpet::CONFIGURATION, EVENT_TIMER.read(hpet::CONFIGURATION) | hpet::ENABLE);
        Some(Self::Hpet { hertz })
    }

    /// What it is.
    pub const fn reference(self) -> Reference {
        match self {
            Self::Pit => Reference { hertz: pit::FREQUENCY, bits: 16 },
            Self::AcpiPm { bits, .. } => Reference { hertz: fadt::PM_TIMER_HERTZ, bits },
            Self::Hpet { hertz } => Reference { hertz, bits: 32 },
            Self::Apic => Reference { hertz: SECOND_NS / apic::TIMER_DIVISOR, bits: 32 },
        }
    }

    /// Whether it can be looked at a second later: the APIC's timer has other work by then.
    pub const fn goes_on(self) -> bool {
        !matches!(self, Self::Apic)
    }

    /// What it shows; it counts up.
    pub fn read(self) -> u64 {
        match self {
            Self::Pit => u64::from(pit::count().wrapping_neg()),
            // SAFETY: the timer's port, which firmware names; reading changes nothing.
            Self::AcpiPm { port, .. } => u64::from(unsafe { port::read_u32(port) }),
            Self::Hpet { .. } => u64::from(EVENT_TIMER.read(hpet::COUNTER)),
            Self::Apic => u64::from(apic::timer_left().wrapping_neg()),
        }
    }
}
