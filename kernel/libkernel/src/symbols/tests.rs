//! Tests of the symbol table: what goes in comes out, and nonsense does no harm.

use super::*;
use proptest::prelude::*;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

fn lookup(table: &[u8], address: u64) -> Option<(String, u64)> {
    Table::parse(table)?.lookup(address).map(|(name, offset)| (name.to_string(), offset))
}

#[test]
fn an_address_finds_its_function() {
    let table = encode(&[(0xffff_ffff_8000_0000, "start"), (0xffff_ffff_8000_0100, "orlop::boot::run")]);
    assert_eq!(lookup(&table, 0xffff_ffff_8000_00ff), Some(("start".into(), 0xff)));
    assert_eq!(lookup(&table, 0xffff_ffff_8000_0104), Some(("orlop::boot::run".into(), 4)));
    assert_eq!(lookup(&table, 0x1000), None);
    let size = |address| Table::parse(&table).and_then(|table| table.size(address));
    assert_eq!(size(0xffff_ffff_8000_00ff), Some(0x100));
    assert_eq!((size(0xffff_ffff_8000_0104), size(0x1000)), (Some(5), None));
    let at = |index| Table::parse(&table)?.get(index).map(|(address, name)| (address, name.to_string()));
    assert_eq!(at(1), Some((0xffff_ffff_8000_0100, "orlop::boot::run".into())));
    assert_eq!(at(2), None);
}

#[test]
fn zeroes_are_no_table() {
    assert!(Table::parse(&[0; 64]).is_none());
}

#[test]
fn common_names_take_less_room() {
    let names: Vec<String> =
        (0..500).map(|n| format!("orlop::memory::address_space::function_{n}")).collect();
    let symbols: Vec<(u64, &str)> =
        names.iter().enumerate().map(|(n, name)| (n as u64 * 16, &name[..])).collect();
    let table = encode(&symbols);
    assert!(table.len() < names.iter().map(String::len).sum::<usize>() / 2 + 500 * 8);
    assert_eq!(lookup(&table, 499 * 16), Some((names[499].clone(), 0)));
}

proptest! {
    #[test]
    fn every_name_survives(names in proptest::collection::vec("[ -~]{0,40}", 1..60)) {
        let symbols: Vec<(u64, &str)> = names.iter().enumerate().map(|(n, name)| (n as u64 * 8, &name[..])).collect();
        let table = encode(&symbols);
        for (address, name) in symbols {
            prop_assert_eq!(lookup(&table, address + 7), Some((name.to_string(), 7)));
        }
    }

    #[test]
    fn a_damaged_table_does_no_harm(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20), cut: prop::sample::Index,
    ) {
        let mut table = encode(&[(0, "one"), (16, "two"), (32, "three"), (48, "three hundred and three")]);
        for (place, byte) in damage {
            let place = place.index(table.len());
            table[place] = byte;
        }
        table.truncate(cut.index(table.len() + 1));
        lookup(&table, 40);
    }
}
