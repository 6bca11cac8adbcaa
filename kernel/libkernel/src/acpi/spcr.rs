//! The serial port that firmware names as console: SPCR (Microsoft's "Serial Port Console Redirection Table", revision
//! 4).
use super::tables;
use crate::addr::{PhysAddr, PhysRange};
use crate::device_tree::{NO_INTERRUPT, SerialModel, SerialPort};
use crate::physical::Memory;

const KIND: u64 = 36;
/// A generic address structure (ACPI 6.4, 5.2.3.2): where, how wide, how it is reached.
const SPACE: u64 = 40;
const BIT_WIDTH: u64 = 41;
const ACCESS: u64 = 43;
const ADDRESS: u64 = 44;
const INTERRUPT_KIND: u64 = 52;
const INTERRUPT: u64 = 54;

const SPACE_MEMORY: u64 = 0;
/// Words of 32 bits.
const ACCESS_WORD: u64 = 3;
/// The interrupt is one of a GIC.
const INTERRUPT_GIC: u64 = 1 << 3;
/// A page holds any port's registers.
const BYTES: u64 = 0x1000;

/// The console of the machine whose tables start at `root`, if it is in memory and one that this kernel knows.
pub fn console(memory: &impl Memory, root: u64) -> Option<SerialPort> {
    let table = tables(memory, root, b"SPCR").next()?;
    let address = table.number::<8>(memory, ADDRESS).filter(|&address| address != 0)?;
    if table.number::<1>(memory, SPACE)? != SPACE_MEMORY {
        return None;
    }
    let width = table.number::<1>(memory, BIT_WIDTH)?;
    let access = table.number::<1>(memory, ACCESS)?;
    let wide = access == ACCESS_WORD || access == 0 && width == 32;
    let model = match table.number::<1>(memory, KIND)? {
        0x00 | 0x01 | 0x12 => SerialModel::Ns16550 { shift: if wide { 2 } else { 0 }, wide },
        // Arm's own, and what servers must have of it: 32 bits wide (0x0d), or either.
        0x03 | 0x0d | 0x0e => SerialModel::Pl011,
        _ => return None,
    };
    let kind = table.number::<1>(memory, INTERRUPT_KIND)?;
    let interrupt = table.number::<4>(memory, INTERRUPT)?;
    let interrupt = if kind & INTERRUPT_GIC != 0 { interrupt as u32 } else { NO_INTERRUPT };
    let registers = PhysRange::new(PhysAddr::new(address), BYTES);
    Some(SerialPort { model, registers, interrupt, is_edge: false })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Image, root, table};
    use super::*;
    use std::vec::Vec;

    /// QEMU's for `virt`.
    const VIRT: [u8; 44] = [
        3, 0, 0, 0, 0, 32, 0, 3, 0, 0, 0, 9, 0, 0, 0, 0, 8, 0, 33, 0, 0, 0, 3, 0, 1, 2, 0, 3, 0xff, 0xff,
        0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];

    fn found(change: impl FnOnce(&mut Vec<u8>)) -> Option<SerialPort> {
        let mut body = VIRT.to_vec();
        change(&mut body);
        let mut image = Image::default();
        image.0.insert(0x800, root(0, 0x1000));
        image.0.insert(0x1000, table(b"XSDT", &0x2000u64.to_le_bytes()));
        image.0.insert(0x2000, table(b"SPCR", &body));
        console(&image, 0x800)
    }

    #[test]
    fn an_arm_port_is_found_with_its_interrupt() {
        let port = found(|_| {}).unwrap();
        assert_eq!((port.model, port.interrupt, port.is_edge), (SerialModel::Pl011, 33, false));
        assert_eq!(port.registers.start, PhysAddr::new(0x900_0000));
        assert_eq!(found(|body| body[16] = 2).unwrap().interrupt, NO_INTERRUPT);
    }

    #[test]
    fn a_16550_is_reached_as_the_table_says() {
        let model = |width, access| {
            found(|body| {
                (body[0], body[5], body[7]) = (0, width, access);
            })
            .unwrap()
            .model
        };
        assert_eq!(model(8, 1), SerialModel::Ns16550 { shift: 0, wide: false });
        assert_eq!(model(32, 3), SerialModel::Ns16550 { shift: 2, wide: true });
        assert_eq!(model(32, 0), SerialModel::Ns16550 { shift: 2, wide: true });
    }

    #[test]
    fn what_is_no_port_in_memory_is_none() {
        assert_eq!(found(|body| body[4] = 1), None);
        assert_eq!(found(|body| body[11] = 0), None);
        assert_eq!(found(|body| body[0] = 0x20), None);
        assert_eq!(found(|body| body.truncate(20)), None);
    }
}
