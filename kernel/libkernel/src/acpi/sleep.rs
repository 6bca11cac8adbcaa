//! How a machine is told to switch off: the two numbers of the package `_S5_`, found without executing AML.
//!
//! Compilers write `Name (_S5, Package () { a, b, … })` as these bytes: NameOp, the name (perhaps behind a root
//! character), PackageOp, its length, the number of its elements, the elements (ACPI 6.4, 7.4.2, 20.2). What does not
//! look so is not taken for it.
use super::Table;
use crate::physical::Memory;

const NAME: u8 = 0x08;
const ROOT_CHARACTER: u8 = b'\\';
const PACKAGE: u8 = 0x12;
const ZERO: u8 = 0x00;
const ONE: u8 = 0x01;
const BYTE: u8 = 0x0a;
const WORD: u8 = 0x0b;
const DOUBLE_WORD: u8 = 0x0c;
/// Sleep types have three bits.
const LARGEST: u64 = 7;

/// The sleep types of "soft off" for the two power-management blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftOff {
    /// For the first block, and for the sleep control register.
    pub a: u8,
    /// For the second block.
    pub b: u8,
}

/// Looks for the package in the AML of `table`.
pub fn soft_off(memory: &impl Memory, table: Table) -> Option<SoftOff> {
    let body = table.body();
    body.clone().find_map(|name| package(&Code { memory, at: name, end: body.end }))
}

/// What is left of a table's code.
struct Code<'a, M> {
    memory: &'a M,
    at: u64,
    end: u64,
}

impl<M: Memory> Code<'_, M> {
    fn next(&mut self) -> Option<u8> {
        let byte = if self.at < self.end { self.memory.byte(self.at)? } else { return None };
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, text: &[u8]) -> Option<()> {
        text.iter().try_for_each(|&byte| (self.next()? == byte).then_some(()))
    }

    /// A whole number (20.2.3).
    fn integer(&mut self) -> Option<u64> {
        let bytes = match self.next()? {
            ZERO => return Some(0),
            ONE => return Some(1),
            BYTE => 1,
            WORD => 2,
            DOUBLE_WORD => 4,
            _ => return None,
        };
        (0..bytes).try_fold(0, |value, index| Some(value | u64::from(self.next()?) << (8 * index)))
    }

    fn sleep_type(&mut self) -> Option<u8> {
        self.integer().filter(|&value| value <= LARGEST).map(|value| value as u8)
    }
}

/// The package, if its definition begins at the start of the code.
fn package(code: &Code<'_, impl Memory>) -> Option<SoftOff> {
    let mut code = Code { memory: code.memory, at: code.at, end: code.end };
    code.expect(&[NAME])?;
    if code.memory.byte(code.at)? == ROOT_CHARACTER {
        code.next()?;
    }
    code.expect(b"_S5_")?;
    code.expect(&[PACKAGE])?;
    // The first byte says how many follow in its two highest bits (20.2.4).
    let following = code.next()? >> 6;
    (0..following).try_for_each(|_| code.next().map(drop))?;
    let elements = code.next()?;
    let a = if elements > 0 { code.sleep_type()? } else { return None };
    // Some firmware gives only one, for one block.
    let b = if elements > 1 { code.sleep_type()? } else { a };
    Some(SoftOff { a, b })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Image, table};
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn soft_off_of(code: &[u8]) -> Option<SoftOff> {
        let mut image = Image::default();
        let bytes = table(b"DSDT", code);
        let length = bytes.len() as u64;
        image.0.insert(0x1000, bytes);
        soft_off(&image, Table { address: 0x1000, length })
    }

    #[test]
    fn types_are_read_in_every_form() {
        let found = |a, b| Some(SoftOff { a, b });
        // As iasl writes q35's and pc's, microvm's (5 for both), and a real board's.
        assert_eq!(soft_off_of(b"\x08_S5_\x12\x06\x04\0\0\0\0"), found(0, 0));
        assert_eq!(soft_off_of(b"\x08_S5_\x12\x08\x04\x0a\x05\x0a\x05\0\0"), found(5, 5));
        assert_eq!(soft_off_of(b"....\x08\\_S5_\x12\x0a\x02\x0a\x07\x0a\x06"), found(7, 6));
        assert_eq!(soft_off_of(b"\x08_S5_\x12\x40\x01\x02\x0b\x05\0\x01"), found(5, 1));
        assert_eq!(soft_off_of(b"\x08_S5_\x12\x03\x01\x0c\x05\0\0\0"), found(5, 5));
    }

    #[test]
    fn what_is_no_definition_gives_no_type() {
        for code in [
            &b"_S5_\x12\x06\x04\0\0\0\0"[..],
            b"\x08_S4_\x12\x06\x04\0\0\0\0",
            b"\x14\x10_S5_\0\xa4\x12\x06\x04\x0a\x05",
            b"\x08_S5_\x12\x06\x04",
            b"\x08_S5_\x12\x06\0\0\0",
            b"\x08_S5_\x12\x06\x04\x0a\x08\0",
            b"\x08_S5_\x12\x06\x04ABCD",
            b"\x08_S5_\x12\xc0\0\0",
        ] {
            assert_eq!(soft_off_of(code), None, "{code:?}");
        }
        // The first name that is a definition counts.
        assert_eq!(soft_off_of(b"_S5_\x08_S5_\x12\x06\x02\x01\0"), Some(SoftOff { a: 1, b: 0 }));
    }

    proptest! {
        #[test]
        fn any_code_is_read_to_an_end(code: Vec<u8>) {
            let mut with_name = b"\x08_S5_\x12".to_vec();
            with_name.extend(code);
            if let Some(SoftOff { a, b }) = soft_off_of(&with_name) {
                prop_assert!(a <= 7 && b <= 7);
            }
        }
    }
}
