//! The table of DMA and interrupt remapping, of which one bit is of interest here.
//!
//! Source: Intel Virtualization Technology for Directed I/O, 8.1.
use super::tables;
use crate::physical::Memory;

/// Whether firmware asks the system not to bring the APICs into x2APIC mode.
pub fn refuses_x2apic(memory: &impl Memory, root: u64) -> bool {
    const FLAGS: u64 = 37;
    const X2APIC_OPT_OUT: u64 = 1 << 1;
    let flags = tables(memory, root, b"DMAR").next().and_then(|table| table.number::<1>(memory, FLAGS));
    flags.is_some_and(|flags| flags & X2APIC_OPT_OUT != 0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Image, root, table};
    use super::*;

    #[test]
    fn one_bit_refuses() {
        let mut image = Image::default();
        image.0.insert(0x800, root(0, 0x1000));
        image.0.insert(0x1000, table(b"XSDT", &0x2000u64.to_le_bytes()));
        assert!(!refuses_x2apic(&image, 0x800));
        for (flags, refuses) in [(0, false), (1, false), (2, true), (3, true)] {
            image.0.insert(0x2000, table(b"DMAR", &[46, flags]));
            assert_eq!(refuses_x2apic(&image, 0x800), refuses);
        }
        image.0.insert(0x2000, table(b"DMAR", &[46]));
        assert!(!refuses_x2apic(&image, 0x800));
    }
}
