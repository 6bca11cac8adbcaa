//! The first stack of a program: strings, auxiliary vector, pointers and the argument count.
//!
//! From the top down, as Linux lays it out (`fs/binfmt_elf.c`, `create_elf_tables`; System V ABI, "Process
//! Initialization"): eight zero bytes, the program's path, environment strings, argument strings, the platform's
//! name, 16 random bytes; then, with the count at a multiple of 16, from the stack pointer up: argc, argv, NULL,
//! envp, NULL, auxiliary vector.

use alloc::vec::Vec;

use abi::Errno;
use abi::auxv::*;
use libkernel::addr::{PAGE_SIZE, UserAddr, UserRange};
use libkernel::paging::Prot;
use memory::area::AreaFlags;
use memory::{AddressSpace, Bounds, Content, MapRequest, Placement};
use outcome::OrErrno;
use subject::Credentials;
use zerocopy::IntoBytes;

use super::arguments::Strings;
use super::loader::Loaded;

/// The stack area reaches so far below what is on the stack at first; it grows from there.
const FREE_STACK: u64 = 128 << 10;

/// What the stack tells a program.
pub struct StackContent<'a> {
    /// Path by which the program was started (`AT_EXECFN`).
    pub path: &'a [u8],
    /// Arguments.
    pub arguments: &'a Strings,
    /// Environment.
    pub environment: &'a Strings,
    /// What was loaded.
    pub loaded: &'a Loaded,
    /// On whose behalf it runs.
    pub credentials: &'a Credentials,
    /// Whether it gained privileges (`AT_SECURE`).
    pub secure: bool,
    /// Address of the vDSO, if there is one.
    pub vdso: Option<UserAddr>,
}

/// Where things are on the finished stack.
pub struct Stack {
    /// The stack pointer.
    pub pointer: UserAddr,
    /// The argument strings.
    pub arguments: UserRange,
    /// The environment strings.
    pub environment: UserRange,
    /// The auxiliary vector.
    pub auxiliary_vector: UserRange,
}

/// Makes the stack area that ends at `top` and fills it. `E2BIG` or `ENOMEM` where it does not fit.
pub fn build(
    space: &AddressSpace,
    top: UserAddr,
    executable: bool,
    content: &StackContent<'_>,
    bounds: &dyn Bounds,
) -> Result<Stack, Errno> {
    let mut cursor = Cursor { space, address: top.as_u64() };
    let plan = Plan::new(top, content)?;
    map_area(space, plan.pointer, top, executable, bounds)?;
    cursor.address = plan.strings_end;
    let path = cursor.push(&[content.path, b"\0"])?;
    let environment = cursor.push(&[content.environment.bytes()])?;
    let arguments = cursor.push(&[content.arguments.bytes()])?;
    let platform = cursor.push(&[abi::native::process::MACHINE.as_bytes(), b"\0"])?;
    let mut random = [0; 16];
    crate::random::fill(&mut random);
    let random = cursor.push(&[&random])?;
    let addresses = Addresses { path, platform, random, environment, arguments };
    let table = table(content, &addresses, plan.table_words)?;
    write(space, plan.pointer, table.as_bytes())?;
    let range =
        |start: u64, length: usize| UserRange::new(UserAddr::new(start), length as u64).ok_or(Errno::E2BIG);
    Ok(Stack {
        pointer: plan.pointer,
        arguments: range(arguments, content.arguments.bytes().len())?,
        environment: range(environment, content.environment.bytes().len())?,
        auxiliary_vector: range(
            plan.pointer.as_u64() + size_of_val(table.as_slice()) as u64 - AUXILIARY_SIZE as u64,
            AUXILIARY_SIZE,
        )?,
    })
}

/// Sizes, computed before anything is written.
struct Plan {
    pointer: UserAddr,
    strings_end: u64,
    table_words: usize,
}

impl Plan {
    fn new(top: UserAddr, content: &StackContent<'_>) -> Result<Self, Errno> {
        let strings_end = top.as_u64() - size_of::<u64>() as u64;
        let strings = content.path.len()
            + 1
            + content.environment.bytes().len()
            + content.arguments.bytes().len()
            + abi::native::process::MACHINE.len()
            + 1
            + 16;
        let table_words = 3 + content.arguments.count() + content.environment.count() + 2 * AUXILIARY_ENTRIES;
        let below_strings = strings_end.checked_sub(strings as u64).ok_or(Errno::E2BIG)?;
        let pointer =
            below_strings.checked_sub((table_words * size_of::<u64>()) as u64).ok_or(Errno::E2BIG)?;
        Ok(Self { pointer: UserAddr::new(pointer & !15), strings_end, table_words })
    }
}

fn map_area(
    space: &AddressSpace,
    pointer: UserAddr,
    top: UserAddr,
    executable: bool,
    bounds: &dyn Bounds,
) -> Result<(), Errno> {
    let start = UserAddr::new(pointer.as_u64().saturating_sub(FREE_STACK)).page_down();
    let range = UserRange::from_bounds(start, top).ok_or(Errno::ENOMEM)?;
    let all = Prot::READ_WRITE.union(Prot::EXECUTE);
    let request = MapRequest {
        placement: Placement::FixedIfFree(start),
        length: range.length(),
        prot: if executable { all } else { Prot::READ_WRITE },
        max_prot: all,
        flags: AreaFlags::GROWS_DOWN,
        content: Content::Anonymous,
    };
    space.map(request, bounds).map(|_| ())
}

/// Writes strings from the top down.
struct Cursor<'a> {
    space: &'a AddressSpace,
    address: u64,
}

impl Cursor<'_> {
    /// Puts the pieces, one behind the other, below what was put before; their address.
    fn push(&mut self, pieces: &[&[u8]]) -> Result<u64, Errno> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.address = self.address.checked_sub(length as u64).ok_or(Errno::E2BIG)?;
        let mut address = self.address;
        for piece in pieces {
            write(self.space, UserAddr::new(address), piece)?;
            address += piece.len() as u64;
        }
        Ok(self.address)
    }
}

fn write(space: &AddressSpace, address: UserAddr, bytes: &[u8]) -> Result<(), Errno> {
    if space.write_remote(address, bytes) == bytes.len() { Ok(()) } else { Err(Errno::ENOMEM) }
}

/// Where the strings went.
struct Addresses {
    path: u64,
    platform: u64,
    random: u64,
    environment: u64,
    arguments: u64,
}

/// The words from the stack pointer up.
fn table(content: &StackContent<'_>, addresses: &Addresses, words: usize) -> Result<Vec<u64>, Errno> {
    let mut table = Vec::new();
    table.try_reserve_exact(words).or_errno()?;
    table.push(content.arguments.count() as u64);
    table.extend(content.arguments.offsets().map(|offset| addresses.arguments + offset));
    table.push(0);
    table.extend(content.environment.offsets().map(|offset| addresses.environment + offset));
    table.push(0);
    table.extend(auxiliary_vector(content, addresses).as_flattened());
    Ok(table)
}

/// Entries of the auxiliary vector, the final one included.
const AUXILIARY_ENTRIES: usize = 21;

/// Bytes of it.
const AUXILIARY_SIZE: usize = AUXILIARY_ENTRIES * size_of::<[u64; 2]>();

fn auxiliary_vector(content: &StackContent<'_>, addresses: &Addresses) -> [[u64; 2]; AUXILIARY_ENTRIES] {
    let loaded = content.loaded;
    let credentials = content.credentials;
    let features = hal::cpu::hardware_capabilities();
    // Without a vDSO its entry says that it is to be skipped.
    let vdso = content.vdso.map_or([AT_IGNORE, 0], |address| [AT_SYSINFO_EHDR, address.as_u64()]);
    let names = &credentials.user_namespace;
    [
        vdso,
        [AT_MINSIGSTKSZ, features.minimum_signal_stack],
        [AT_HWCAP, features.hwcap],
        [AT_PAGESZ, PAGE_SIZE],
        [AT_CLKTCK, 100],
        [AT_PHDR, loaded.program_headers],
        [AT_PHENT, loaded.program_header_size],
        [AT_PHNUM, loaded.program_header_count],
        [AT_BASE, loaded.interpreter_base],
        [AT_FLAGS, 0],
        [AT_ENTRY, loaded.program_entry],
        [AT_UID, u64::from(credentials.user.real.number_in(names))],
        [AT_EUID, u64::from(credentials.user.effective.number_in(names))],
        [AT_GID, u64::from(credentials.group.real.number_in(names))],
        [AT_EGID, u64::from(credentials.group.effective.number_in(names))],
        [AT_SECURE, u64::from(content.secure)],
        [AT_RANDOM, addresses.random],
        [AT_HWCAP2, features.hwcap2],
        [AT_EXECFN, addresses.path],
        [AT_PLATFORM, addresses.platform],
        [AT_NULL, 0],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::arguments::Room;
    use subject::Limits;

    fn strings(list: &[&[u8]]) -> Strings {
        let mut strings = Strings::default();
        let mut room = Room::new(0);
        list.iter().for_each(|string| strings.push(string, &mut room).unwrap());
        strings
    }

    fn word(space: &AddressSpace, address: u64) -> u64 {
        let mut bytes = [0; 8];
        assert_eq!(space.read_remote(UserAddr::new(address), &mut bytes), 8);
        u64::from_le_bytes(bytes)
    }

    fn string(space: &AddressSpace, address: u64) -> Vec<u8> {
        let byte = |address| {
            let mut byte = [0];
            assert_eq!(space.read_remote(UserAddr::new(address), &mut byte), 1);
            byte[0]
        };
        (address..).map(byte).take_while(|byte| *byte != 0).collect()
    }

    #[test]
    fn a_program_finds_its_arguments_and_the_auxiliary_vector() {
        let space = AddressSpace::new().unwrap();
        let loaded = Loaded {
            code: UserRange::EMPTY,
            data: UserRange::EMPTY,
            start: 1,
            program_entry: 2,
            program_headers: 3,
            program_header_size: 56,
            program_header_count: 4,
            interpreter_base: 5,
            end: UserAddr::new(6),
            among_mappings: false,
        };
        let (arguments, environment) = (strings(&[b"sh", b"-c", b""]), strings(&[b"A=1"]));
        let credentials = Credentials::root();
        let content = StackContent {
            path: b"/bin/sh",
            arguments: &arguments,
            environment: &environment,
            loaded: &loaded,
            credentials: &credentials,
            secure: false,
            vdso: None,
        };
        let top = UserAddr::new(0x7000_0000);
        let stack = build(&space, top, false, &content, &Limits::initial()).unwrap();
        let pointer = stack.pointer.as_u64();
        let at = |index: u64| word(&space, pointer + 8 * index);
        assert_eq!((pointer % 16, at(0), at(4), at(6)), (0, 3, 0, 0));
        assert_eq!(
            [at(1), at(2), at(3), at(5)].map(|address| string(&space, address)),
            [&b"sh"[..], b"-c", b"", b"A=1"]
        );
        let auxiliary =
            |key| (0..).map(|entry| 7 + 2 * entry).find(|index| at(*index) == key).map(|index| at(index + 1));
        assert_eq!(auxiliary(AT_ENTRY), Some(2));
        assert_eq!(auxiliary(AT_EXECFN).map(|address| string(&space, address)), Some(b"/bin/sh".to_vec()));
        assert_eq!(stack.arguments.length(), 7);
        assert_eq!(word(&space, top.as_u64() - 8), 0);
    }
}
