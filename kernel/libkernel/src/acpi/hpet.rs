//! The high-precision event timer: where its registers are, and what they mean.
//!
//! Source: IA-PC HPET specification 1.0a, 2.3 (registers), 3.2.4 (table).
use super::tables;
use crate::physical::Memory;

/// Offsets of the registers: capabilities and period, configuration, main counter.
pub const CAPABILITIES: usize = 0x00;
/// See [`CAPABILITIES`].
pub const CONFIGURATION: usize = 0x10;
/// See [`CAPABILITIES`].
pub const COUNTER: usize = 0xf0;
/// In the configuration: the counter counts.
pub const ENABLE: u32 = 1 << 0;

/// The physical address of the registers.
pub fn registers(memory: &impl Memory, root: u64) -> Option<u64> {
    const SPACE: u64 = 40;
    const ADDRESS: u64 = 44;
    const SPACE_MEMORY: u64 = 0;
    let table = tables(memory, root, b"HPET").next()?;
    if table.number::<1>(memory, SPACE)? != SPACE_MEMORY {
        return None;
    }
    table.number::<8>(memory, ADDRESS).filter(|&address| address != 0 && address % 8 == 0)
}

/// The counter's frequency in hertz, by the upper half of the capabilities: femtoseconds, at most 100 ns.
pub const fn hertz(period_fs: u32) -> Option<u64> {
    const FEMTOSECONDS: u64 = 1_000_000_000_000_000;
    const LONGEST: u32 = 100_000_000;
    if period_fs == 0 || period_fs > LONGEST {
        return None;
    }
    let period = period_fs as u64;
    Some((FEMTOSECONDS + period / 2) / period)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Image, root, table};
    use super::*;

    fn found(body: &[u8]) -> Option<u64> {
        let mut image = Image::default();
        image.0.insert(0x800, root(0, 0x1000));
        image.0.insert(0x1000, table(b"XSDT", &0x2000u64.to_le_bytes()));
        image.0.insert(0x2000, table(b"HPET", body));
        registers(&image, 0x800)
    }

    #[test]
    fn the_registers_are_where_the_table_says() {
        let body = [0x01, 0xa2, 0x86, 0x80, 0, 64, 0, 0, 0, 0, 0xd0, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(found(&body), Some(0xfed0_0000));
        assert_eq!(found(&body[..15]), None);
        let mut port = body;
        port[4] = 1;
        assert_eq!(found(&port), None);
        assert_eq!(found(&[0; 20]), None);
    }

    #[test]
    fn periods_are_frequencies() {
        assert_eq!(hertz(10_000_000), Some(100_000_000));
        assert_eq!(hertz(69_841_279), Some(14_318_180));
        assert_eq!(hertz(0), None);
        assert_eq!(hertz(100_000_001), None);
    }
}
