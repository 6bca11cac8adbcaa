//! Tests of the ELF reader: good files, every kind of bad one, and noise.

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

const MACHINE: u16 = 62;

fn header(count: u16) -> RawHeader {
    RawHeader {
        magic: *b"\x7fELF",
        class: CLASS_64,
        data: LITTLE_ENDIAN,
        version: 1,
        abi: 0,
        padding: [0; 8],
        kind: TYPE_EXECUTABLE,
        machine: MACHINE,
        object_version: 1,
        entry: 0x40_1000,
        program_headers: 64,
        section_headers: 0,
        flags: 0,
        header_size: 64,
        program_header_size: 56,
        program_header_count: count,
        section_header_size: 0,
        section_header_count: 0,
        section_names: 0,
    }
}

fn load(address: u64, memory_size: u64, offset: u64, file_size: u64) -> RawProgramHeader {
    RawProgramHeader {
        kind: PT_LOAD,
        flags: READ | EXECUTE,
        offset,
        address,
        physical_address: 0,
        file_size,
        memory_size,
        alignment: 0x1000,
    }
}

const FILE_SIZE: u64 = 0x3000;

fn error_of(table: &[RawProgramHeader]) -> Option<ElfError> {
    let header = Header::parse(header(table.len() as u16).as_bytes(), FILE_SIZE, MACHINE).unwrap();
    Image::parse(header, table.as_bytes(), FILE_SIZE).err()
}

#[test]
fn a_program_is_read() {
    let interpreter = RawProgramHeader { kind: PT_INTERP, ..load(0, 0, 0x200, 28) };
    let data = RawProgramHeader { flags: READ | WRITE, ..load(0x40_2000, 0x5000, 0x2000, 0x1000) };
    let table = [interpreter, load(0x40_0000, 0x2000, 0, 0x2000), data];
    let header = Header::parse(header(3).as_bytes(), FILE_SIZE, MACHINE).unwrap();
    let image = Image::parse(header, table.as_bytes(), FILE_SIZE).unwrap();
    assert_eq!(image.span(), 0x40_0000..0x40_7000);
    assert_eq!(image.table_address(), Some(0x40_0040));
    assert_eq!(image.interpreter(), Some(0x200..0x21c));
    assert_eq!(image.segments().nth(1).unwrap().prot, Prot::READ_WRITE);
    assert!(!image.wants_executable_stack());
}

#[test]
fn bad_headers_are_told_apart() {
    let parse = |change: fn(&mut RawHeader)| {
        let mut raw = header(1);
        change(&mut raw);
        Header::parse(raw.as_bytes(), FILE_SIZE, MACHINE).unwrap_err()
    };
    assert_eq!(parse(|raw| raw.magic[3] = b'G'), ElfError::NotElf);
    assert_eq!(parse(|raw| raw.machine = 183), ElfError::WrongMachine);
    assert_eq!(parse(|raw| raw.class = 1), ElfError::WrongMachine);
    assert_eq!(parse(|raw| raw.kind = 1), ElfError::NotExecutable);
    assert_eq!(parse(|raw| raw.program_header_count = 0), ElfError::BadTable);
    assert_eq!(parse(|raw| raw.program_header_count = u16::MAX), ElfError::BadTable);
    assert_eq!(parse(|raw| raw.program_header_size = 32), ElfError::BadTable);
    assert_eq!(parse(|raw| raw.program_headers = u64::MAX), ElfError::BadTable);
    assert_eq!(parse(|raw| raw.program_headers = FILE_SIZE - 55), ElfError::Truncated);
    assert_eq!(parse(|raw| raw.entry = 0xffff_8000_0000_0000), ElfError::AddressOutOfRange);
    assert_eq!(Header::parse(&header(1).as_bytes()[..63], 63, MACHINE), Err(ElfError::NotElf));
}

#[test]
fn zeros_need_no_place_in_the_file() {
    assert_eq!(error_of(&[load(0x1000, 0x1000, 0, 0x1000), load(0x2fe8, 0x18, 0xffe8, 0)]), None);
}

#[test]
fn bad_segments_are_told_apart() {
    assert_eq!(error_of(&[load(0x1000, 1, 0x2000, 2)]), Some(ElfError::BadSegment));
    assert_eq!(error_of(&[load(0x1001, 8, 0x2000, 8)]), Some(ElfError::BadSegment));
    assert_eq!(error_of(&[load(0x1000, 0, 0x2000, 8)]), Some(ElfError::BadSegment));
    assert_eq!(error_of(&[load(0x1000, 0x2000, 0x2000, 0x1001)]), Some(ElfError::Truncated));
    assert_eq!(error_of(&[load(0x1000, u64::MAX, !0xfff, 0x1000)]), Some(ElfError::AddressOutOfRange));
    assert_eq!(error_of(&[load(u64::MAX - 0xfff, 0x2000, 0, 0)]), Some(ElfError::AddressOutOfRange));
    assert_eq!(error_of(&[load(USER_END - 0x1000, 0x1001, 0, 0)]), Some(ElfError::AddressOutOfRange));
    assert_eq!(error_of(&[load(0xffff_8000_0000_0000, 1, 0, 0)]), Some(ElfError::AddressOutOfRange));
    assert_eq!(error_of(&[load(0x1000, 0x1001, 0, 0), load(0x2000, 1, 0, 0)]), Some(ElfError::Overlapping));
    assert_eq!(error_of(&[load(0x2000, 1, 0, 0), load(0x1000, 1, 0, 0)]), Some(ElfError::Overlapping));
    assert_eq!(error_of(&[load(0x1000, 0, 0, 0)]), Some(ElfError::NothingToLoad));
    assert_eq!(
        error_of(&[RawProgramHeader { kind: PT_INTERP, ..load(0, 0, 0, 1) }]),
        Some(ElfError::BadInterpreter)
    );
    assert_eq!(
        error_of(&[RawProgramHeader { kind: PT_INTERP, ..load(0, 0, 0x2fff, 2) }]),
        Some(ElfError::Truncated)
    );
}

fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0u64..0x8000, Just(u64::MAX), (0u64..3).prop_map(|n| USER_END - n * 0x1000)]
}

fn any_program_header() -> impl Strategy<Value = RawProgramHeader> {
    let kind = prop_oneof![4 => Just(PT_LOAD), 1 => Just(PT_INTERP), 1 => Just(PT_PHDR), 1 => any::<u32>()];
    (kind, any::<u32>(), any_number(), any_number(), any_number(), any_number(), any_number()).prop_map(
        |(kind, flags, offset, address, file_size, memory_size, alignment)| RawProgramHeader {
            kind,
            flags,
            offset,
            address,
            physical_address: 0,
            file_size,
            memory_size,
            alignment,
        },
    )
}

proptest! {
    #[test]
    fn noise_is_no_program(bytes: Vec<u8>, size: u64) {
        prop_assert!(Header::parse(&bytes, size, MACHINE).is_err());
    }

    #[test]
    fn an_image_keeps_its_promises(table in proptest::collection::vec(any_program_header(), 1..5)) {
        let header = Header::parse(header(table.len() as u16).as_bytes(), FILE_SIZE, MACHINE).unwrap();
        let Ok(image) = Image::parse(header, table.as_bytes(), FILE_SIZE) else { return Ok(()) };
        let mut reached = 0;
        for segment in image.segments() {
            prop_assert!(segment.address >= reached && segment.end() <= USER_END);
            prop_assert!(segment.file_size == 0 || segment.file_offset + segment.file_size <= FILE_SIZE);
            prop_assert!(segment.file_size <= segment.memory_size && segment.memory_size > 0);
            reached = segment.end();
        }
        prop_assert!(image.alignment().is_power_of_two());
        prop_assert!(image.interpreter().is_none_or(|range| range.end <= FILE_SIZE));
        image.table_address();
    }
}
