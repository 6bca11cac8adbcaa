//! The fixed ACPI description table (FADT, signature `FACP`): which registers switch a machine off and restart it, and
//! its clock.
//!
//! The 64-bit fields count where they are there and not zero, else the 32-bit ones (ACPI 6.4, 5.2.9). What a table is
//! too short for is absent.
use super::sleep::{self, SoftOff};
use super::{Table, tables};
use crate::device_tree::Conduit;
use crate::physical::Memory;

const SIGNATURE: &[u8; 4] = b"FACP";

/// Offsets of table 5.9.
const DSDT: u64 = 40;
const SMI_COMMAND: u64 = 48;
const ACPI_ENABLE: u64 = 52;
const PM1A_CONTROL: u64 = 64;
const PM1B_CONTROL: u64 = 68;
const PM_TIMER: u64 = 76;
const PM_TIMER_BYTES: u64 = 91;
const FLAGS: u64 = 112;
const ARM_BOOT_FLAGS: u64 = 129;
const RESET_REGISTER: u64 = 116;
const RESET_VALUE: u64 = 128;
const EXTENDED_DSDT: u64 = 140;
const EXTENDED_PM1A_CONTROL: u64 = 172;
const EXTENDED_PM1B_CONTROL: u64 = 184;
const EXTENDED_PM_TIMER: u64 = 208;
const SLEEP_CONTROL: u64 = 244;
const SLEEP_STATUS: u64 = 256;

/// Bits of the flags (table 5.10).
const PM_TIMER_OF_32_BITS: u64 = 1 << 8;
const RESET_SUPPORTED: u64 = 1 << 10;
const HARDWARE_REDUCED: u64 = 1 << 20;

/// Bits of Arm's flags (table 5.11).
const PSCI: u64 = 1 << 0;
const PSCI_BY_HVC: u64 = 1 << 1;

/// PM1 control register (4.8.3.2.1).
const SLEEP_TYPE_SHIFT: u32 = 10;
const SLEEP_TYPE: u16 = 0b111 << SLEEP_TYPE_SHIFT;
const SLEEP_ENABLE: u16 = 1 << 13;
/// Set in a PM1 control register while ACPI is in charge.
pub const SCI_ENABLED: u16 = 1 << 0;
/// Sleep control register (4.8.3.7).
const REDUCED_SLEEP_TYPE_SHIFT: u32 = 2;
const REDUCED_SLEEP_ENABLE: u8 = 1 << 5;
/// Clears the wake status when written to the sleep status register.
pub const WAKE_STATUS: u8 = 1 << 7;

/// A register, as a generic address structure names it (5.2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// At a physical address.
    Memory(u64),
    /// An I/O port.
    Port(u16),
    /// In the configuration space of PCI bus 0.
    Pci {
        /// The device.
        device: u8,
        /// Its function.
        function: u8,
        /// The register.
        offset: u8,
    },
}

impl Register {
    /// Reads the structure at `offset` of the table; `None` where it names nothing that this knows.
    fn read(memory: &impl Memory, table: Table, offset: u64) -> Option<Self> {
        const SPACE_MEMORY: u64 = 0;
        const SPACE_PORT: u64 = 1;
        const SPACE_PCI: u64 = 2;
        let space = table.number::<1>(memory, offset)?;
        let address = table.number::<8>(memory, offset + 4).filter(|&address| address != 0)?;
        match space {
            SPACE_MEMORY => Some(Self::Memory(address)),
            SPACE_PORT => u16::try_from(address).ok().map(Self::Port),
            SPACE_PCI => Some(Self::Pci {
                device: u8::try_from(address >> 32).ok().filter(|&device| device < 32)?,
                function: u8::try_from(address >> 16 & 0xffff).ok().filter(|&function| function < 8)?,
                offset: u8::try_from(address & 0xffff).ok()?,
            }),
            _ => None,
        }
    }

    /// The register of a block that has a 32-bit field, which is a port, and a 64-bit one.
    fn of_block(memory: &impl Memory, table: Table, old: u64, extended: u64) -> Option<Self> {
        let port = || table.number::<4>(memory, old).filter(|&port| port != 0);
        Self::read(memory, table, extended).or_else(|| u16::try_from(port()?).ok().map(Self::Port))
    }
}

/// How the machine is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerOff {
    /// By PM1 control registers of 16 bits each: [`sleep_word`] with their sleep types. Where ACPI is not in charge
    /// yet, `enable` hands it over: a port and what to write there.
    Fixed {
        /// The first block's register and sleep type.
        a: (Register, u8),
        /// The second block's.
        b: Option<(Register, u8)>,
        /// How ACPI is put in charge.
        enable: Option<(u16, u8)>,
    },
    /// By the sleep control register of eight bits.
    Reduced {
        /// The register, and what to write there.
        control: (Register, u8),
        /// Where the wake status is cleared first.
        status: Option<Register>,
    },
}

/// What to write to a PM1 control register in which `now` stands.
pub const fn sleep_word(now: u16, sleep_type: u8) -> u16 {
    now & !(SLEEP_TYPE | SLEEP_ENABLE) | (sleep_type as u16) << SLEEP_TYPE_SHIFT | SLEEP_ENABLE
}

fn table(memory: &impl Memory, root: u64) -> Option<Table> {
    tables(memory, root, SIGNATURE).next()
}

/// The types of "soft off", from the DSDT or else a secondary table.
fn soft_off(memory: &impl Memory, root: u64, fadt: Table) -> Option<SoftOff> {
    let extended = fadt.number::<8>(memory, EXTENDED_DSDT).filter(|&address| address != 0);
    let address = extended.or_else(|| fadt.number::<4>(memory, DSDT))?;
    let main = Table::at(memory, address, b"DSDT");
    main.into_iter().chain(tables(memory, root, b"SSDT")).find_map(|table| sleep::soft_off(memory, table))
}

/// Counts a second of the power-management timer (4.8.3.3).
pub const PM_TIMER_HERTZ: u64 = 3_579_545;

/// The register of the power-management timer, which counts up, and its bits.
pub fn pm_timer(memory: &impl Memory, root: u64) -> Option<(Register, u32)> {
    /// A machine without the timer says so by no length.
    const LENGTH: u64 = 4;
    let fadt = table(memory, root)?;
    let flags = fadt.number::<4>(memory, FLAGS)?;
    if flags & HARDWARE_REDUCED != 0 || fadt.number::<1>(memory, PM_TIMER_BYTES)? != LENGTH {
        return None;
    }
    let register = Register::of_block(memory, fadt, PM_TIMER, EXTENDED_PM_TIMER)?;
    Some((register, if flags & PM_TIMER_OF_32_BITS != 0 { 32 } else { 24 }))
}

/// How the machine whose tables start at `root` is switched off; `None` where they do not say it whole.
pub fn power_off(memory: &impl Memory, root: u64) -> Option<PowerOff> {
    let fadt = table(memory, root)?;
    let types = soft_off(memory, root, fadt)?;
    if fadt.number::<4>(memory, FLAGS)? & HARDWARE_REDUCED != 0 {
        let word = types.a << REDUCED_SLEEP_TYPE_SHIFT | REDUCED_SLEEP_ENABLE;
        let control = (Register::read(memory, fadt, SLEEP_CONTROL)?, word);
        return Some(PowerOff::Reduced { control, status: Register::read(memory, fadt, SLEEP_STATUS) });
    }
    let a = Register::of_block(memory, fadt, PM1A_CONTROL, EXTENDED_PM1A_CONTROL)?;
    let b = Register::of_block(memory, fadt, PM1B_CONTROL, EXTENDED_PM1B_CONTROL);
    let command = fadt.number::<4>(memory, SMI_COMMAND).and_then(|port| u16::try_from(port).ok());
    let value = fadt.number::<1>(memory, ACPI_ENABLE)? as u8;
    let enable = command.filter(|&port| port != 0 && value != 0).map(|port| (port, value));
    Some(PowerOff::Fixed { a: (a, types.a), b: b.map(|register| (register, types.b)), enable })
}

/// How an Arm machine's firmware is called.
pub fn psci_conduit(memory: &impl Memory, root: u64) -> Conduit {
    let flags = table(memory, root).and_then(|fadt| fadt.number::<2>(memory, ARM_BOOT_FLAGS));
    match flags.unwrap_or(0) & (PSCI | PSCI_BY_HVC) {
        PSCI => Conduit::SecureMonitor,
        flags if flags & PSCI != 0 => Conduit::Hypervisor,
        _ => Conduit::None,
    }
}

/// The register that restarts the machine, and what to write there: one byte.
pub fn restart(memory: &impl Memory, root: u64) -> Option<(Register, u8)> {
    let fadt = table(memory, root)?;
    if fadt.number::<4>(memory, FLAGS)? & RESET_SUPPORTED == 0 {
        return None;
    }
    let value = fadt.number::<1>(memory, RESET_VALUE)?;
    Some((Register::read(memory, fadt, RESET_REGISTER)?, value as u8))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Image, root, table};
    use super::*;
    use std::vec::Vec;

    const ROOT: u64 = 0x800;
    const S5: &[u8] = b"\x08_S5_\x12\x08\x02\x0a\x05\x0a\x06";

    /// A machine with the FADT's bytes that `fields` gives.
    fn machine(length: usize, fields: &[(u64, &[u8])], dsdt: &[u8]) -> Image {
        let mut body = std::vec![0; length - 36];
        for (offset, bytes) in [(DSDT, &0x3000u32.to_le_bytes()[..])].iter().chain(fields) {
            let start = *offset as usize - 36;
            body[start..start + bytes.len()].copy_from_slice(bytes);
        }
        let mut image = Image::default();
        let directory: Vec<u8> = [0x2000u64, 0x5000].iter().flat_map(|at| at.to_le_bytes()).collect();
        image.0.insert(ROOT, root(0, 0x1000));
        image.0.insert(0x1000, table(b"XSDT", &directory));
        image.0.insert(0x2000, table(SIGNATURE, &body));
        image.0.insert(0x3000, table(b"DSDT", dsdt));
        image
    }

    fn generic(space: u8, address: u64) -> Vec<u8> {
        let mut structure = std::vec![space, 8, 0, 1];
        structure.extend(address.to_le_bytes());
        structure
    }

    #[test]
    fn the_timer_is_found() {
        let wide = PM_TIMER_OF_32_BITS.to_le_bytes();
        let reduced = HARDWARE_REDUCED.to_le_bytes();
        let at = |fields: &[(u64, &[u8])]| pm_timer(&machine(276, fields, S5), ROOT);
        let (port, length) = ((PM_TIMER, &[8, 6][..]), (PM_TIMER_BYTES, &[4][..]));
        assert_eq!(at(&[port, length]), Some((Register::Port(0x608), 24)));
        assert_eq!(at(&[port, length, (FLAGS, &wide[..4])]), Some((Register::Port(0x608), 32)));
        assert_eq!(at(&[port, length, (FLAGS, &reduced[..4])]), None);
        assert_eq!(at(&[port]), None);
        assert_eq!(at(&[length]), None);
        let memory = generic(0, 0xfed8_0808);
        let expected = Some((Register::Memory(0xfed8_0808), 24));
        assert_eq!(at(&[port, length, (EXTENDED_PM_TIMER, &memory)]), expected);
        assert_eq!(pm_timer(&machine(90, &[port], S5), ROOT), None);
    }

    #[test]
    fn firmware_of_arm_machines_is_called_as_the_table_says() {
        let conduit = |flags: u8| psci_conduit(&machine(276, &[(ARM_BOOT_FLAGS, &[flags])], S5), ROOT);
        assert_eq!([0, 1, 2, 3].map(conduit), {
            use Conduit::{Hypervisor, None, SecureMonitor};
            [None, SecureMonitor, None, Hypervisor]
        });
        assert_eq!(psci_conduit(&machine(116, &[], S5), ROOT), Conduit::None);
    }

    #[test]
    fn an_old_table_switches_off_by_ports() {
        let fields: [(u64, &[u8]); 4] =
            [(PM1A_CONTROL, &[4, 6]), (PM1B_CONTROL, &[8, 6]), (SMI_COMMAND, &[0xb2]), (ACPI_ENABLE, &[2])];
        let expected = PowerOff::Fixed {
            a: (Register::Port(0x604), 5),
            b: Some((Register::Port(0x608), 6)),
            enable: Some((0xb2, 2)),
        };
        assert_eq!(power_off(&machine(116, &fields, S5), ROOT), Some(expected));
        assert_eq!(restart(&machine(116, &fields, S5), ROOT), None);
    }

    #[test]
    fn extended_fields_come_first() {
        let (block, dsdt) = (generic(0, 0xfed0_0004), 0x4000u64.to_le_bytes());
        let fields: [(u64, &[u8]); 3] =
            [(PM1A_CONTROL, &[4, 6]), (EXTENDED_PM1A_CONTROL, &block), (EXTENDED_DSDT, &dsdt)];
        let mut image = machine(276, &fields, b"");
        image.0.insert(0x4000, table(b"DSDT", S5));
        let expected = PowerOff::Fixed { a: (Register::Memory(0xfed0_0004), 5), b: None, enable: None };
        assert_eq!(power_off(&image, ROOT), Some(expected));
    }

    #[test]
    fn a_type_that_was_not_found_is_never_used() {
        let fields: [(u64, &[u8]); 1] = [(PM1A_CONTROL, &[4, 6])];
        assert_eq!(power_off(&machine(116, &fields, b"no such name"), ROOT), None);
        let mut image = machine(116, &fields, b"no such name");
        image.0.insert(0x5000, table(b"SSDT", S5));
        assert!(power_off(&image, ROOT).is_some());
        image.0.get_mut(&0x5000).unwrap()[40] ^= 1;
        assert_eq!(power_off(&image, ROOT), None);
    }

    #[test]
    fn reduced_hardware_has_sleep_registers() {
        let (control, status) = (generic(1, 0x600), generic(1, 0x601));
        let flags = (HARDWARE_REDUCED as u32).to_le_bytes();
        let fields: [(u64, &[u8]); 4] =
            [(FLAGS, &flags), (SLEEP_CONTROL, &control), (SLEEP_STATUS, &status), (PM1A_CONTROL, &[4, 6])];
        let expected =
            |status| PowerOff::Reduced { control: (Register::Port(0x600), 5 << 2 | 1 << 5), status };
        let found = power_off(&machine(276, &fields, S5), ROOT);
        assert_eq!(found, Some(expected(Some(Register::Port(0x601)))));
        assert_eq!(power_off(&machine(256, &fields[..2], S5), ROOT), Some(expected(None)));
        assert_eq!(power_off(&machine(276, &fields[..1], S5), ROOT), None);
    }

    #[test]
    fn the_reset_register_may_lie_in_any_space() {
        let flags = (RESET_SUPPORTED as u32).to_le_bytes();
        let reset = |structure: Vec<u8>| {
            let fields: [(u64, &[u8]); 3] =
                [(FLAGS, &flags), (RESET_REGISTER, &structure), (RESET_VALUE, &[0xf])];
            restart(&machine(244, &fields, b""), ROOT)
        };
        assert_eq!(reset(generic(1, 0xcf9)), Some((Register::Port(0xcf9), 0xf)));
        assert_eq!(reset(generic(0, 1 << 40)), Some((Register::Memory(1 << 40), 0xf)));
        let pci = Register::Pci { device: 31, function: 2, offset: 0x44 };
        assert_eq!(reset(generic(2, 31 << 32 | 2 << 16 | 0x44)), Some((pci, 0xf)));
        for (space, address) in [(1, 0x1_0000), (1, 0), (2, 32 << 32), (9, 1)] {
            assert_eq!(reset(generic(space, address)), None);
        }
    }

    #[test]
    fn the_other_bits_of_a_control_register_stay() {
        assert_eq!(sleep_word(0xffff, 0), 0xe3ff);
        assert_eq!(sleep_word(SCI_ENABLED, 5), 1 | 5 << 10 | 1 << 13);
    }
}
