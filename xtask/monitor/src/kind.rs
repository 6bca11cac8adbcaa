//! The kinds of machines: what the kernel finds there, and how it is entered.

use anyhow::{Result, bail};

/// How the kernel is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// In long mode, with Linux's boot parameters.
    Linux,
    /// In protected mode, with Xen's structure.
    Pvh,
}

/// A kind.
#[derive(Debug)]
pub struct Kind {
    /// How the kernel is entered.
    pub protocol: Protocol,
    /// All of KVM's interrupt controllers, or its local APICs alone beside an I/O APIC of the monitor's.
    pub has_all_controllers: bool,
    /// KVM's 8254.
    pub has_timer: bool,
    /// Intel's table of CPUs.
    pub has_mp_table: bool,
    /// ACPI's tables, of hardware-reduced machines, with their registers.
    pub has_acpi: bool,
    /// How far the identifiers of the CPUs' APICs lie apart.
    pub step: u32,
    /// Where the memory below an old PC's devices ends.
    pub low_end: u64,
}

const BARE: Kind = Kind {
    protocol: Protocol::Pvh,
    has_all_controllers: true,
    has_timer: false,
    has_mp_table: false,
    has_acpi: false,
    step: 1,
    low_end: 0x9_fc00,
};

impl Kind {
    /// By its name.
    pub fn named(name: &str) -> Result<Self> {
        Ok(match name {
            // Up to version 1.7; later ones have ACPI besides.
            "firecracker" => Self { protocol: Protocol::Linux, has_timer: true, has_mp_table: true, ..BARE },
            "cloud-hypervisor" => {
                Self { has_all_controllers: false, has_acpi: true, low_end: 0xa_0000, ..BARE }
            }
            // Identifiers of many sockets: only x2APICs have those from the second on.
            "large" => Self { step: 300, ..Self::named("cloud-hypervisor")? },
            "bare" => BARE,
            other => bail!("{other} is no kind of machine"),
        })
    }
}
