//! The ACPI table of the generic timer: GTDT (ACPI 6.4, 5.2.25).
use crate::acpi::tables;
use crate::physical::Memory;

/// The virtual timer's interrupt.
const VIRTUAL: u64 = 64;

/// The virtual timer's interrupt.
pub fn virtual_timer_interrupt(memory: &impl Memory, root: u64) -> Option<u32> {
    let table = tables(memory, root, b"GTDT").next()?;
    table.number::<4>(memory, VIRTUAL).filter(|&interrupt| interrupt != 0).map(|interrupt| interrupt as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acpi::tests::{Image, root, table};

    fn found(body: &[u8]) -> Option<u32> {
        let mut image = Image::default();
        image.0.insert(0x800, root(0, 0x1000));
        image.0.insert(0x1000, table(b"XSDT", &0x2000u64.to_le_bytes()));
        image.0.insert(0x2000, table(b"GTDT", body));
        virtual_timer_interrupt(&image, 0x800)
    }

    #[test]
    fn the_virtual_timer_is_the_third_for_the_kernel() {
        let mut body = [0; 60];
        (body[12], body[20], body[28], body[36]) = (29, 30, 27, 26);
        assert_eq!(found(&body), Some(27));
        assert_eq!(found(&body[..28]), None);
        body[28] = 0;
        assert_eq!(found(&body), None);
    }
}
