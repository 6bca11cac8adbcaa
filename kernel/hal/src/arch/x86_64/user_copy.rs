//! Copies between kernel and user memory, and the table of their faulting instructions.
//!
//! Each instruction that may fault has an entry in `.exception_table`: its address and where to go on. Between `stac`
//! and `clac` nothing else runs; the trap entry clears AC by itself and `iretq` brings it back for a retry.
use super::Arch;
use super::patches::{clac, stac};
use crate::contract::UserAccess;
use core::arch::naked_asm;
use libkernel::addr::UserAddr;

/// An instruction that may fault on user memory, and where to go on then.
#[repr(C)]
struct Entry {
    instruction: u64,
    fixup: u64,
}

unsafe extern "C" {
    static __exception_table_start: [Entry; 0];
    static __exception_table_end: [Entry; 0];
}

/// Where a fault at `instruction` goes on; `None` if it must not fault. The table has about ten entries.
pub fn fixup(instruction: u64) -> Option<u64> {
    let start = &raw const __exception_table_start as *const Entry;
    let bytes = &raw const __exception_table_end as usize - start as usize;
    // SAFETY: the linker script brackets the table, which is read-only data.
    let table = unsafe { core::slice::from_raw_parts(start, bytes / size_of::<Entry>()) };
    table.iter().find(|entry| entry.instruction == instruction).map(|entry| entry.fixup)
}

/// An exception-table entry: a fault at the first label goes on at the second.
macro_rules! on_fault {
    ($instruction:literal, $fixup:literal) => {
        concat!(".pushsection .exception_table, \"a\"\n.quad ", $instruction, ", ", $fixup, "\n.popsection")
    };
}

impl UserAccess for Arch {
    #[inline(always)]
    unsafe fn copy_in(to: *mut u8, from: UserAddr, length: usize) -> usize {
        // SAFETY: the caller vouches for `to`; faults on `from` are recovered.
        unsafe { copy(to as u64, from.as_u64(), length) }
    }

    #[inline(always)]
    unsafe fn copy_out(to: UserAddr, from: *const u8, length: usize) -> usize {
        // SAFETY: the caller vouches for `from`; faults on `to` are recovered.
        unsafe { copy(to.as_u64(), from as u64, length) }
    }

    #[inline]
    unsafe fn copy_halfwords_out(to: UserAddr, from: *const u16, count: usize) -> usize {
        // SAFETY: the caller vouches for `from`; faults on `to` are recovered.
        unsafe { copy_halfwords(to.as_u64(), from, count) }
    }

    #[inline(always)]
    fn clear(to: UserAddr, length: usize) -> usize {
        // SAFETY: the contract says that the range lies in user space; faults are recovered.
        unsafe { clear(to.as_u64(), length) }
    }

    fn load_u32(address: UserAddr) -> Option<u32> {
        // SAFETY: as above.
        unsafe { load(address.as_u64()) }.value()
    }

    fn store_u32(address: UserAddr, value: u32) -> Option<()> {
        // SAFETY: as above.
        unsafe { store(address.as_u64(), value) }.value().map(|_| ())
    }

    fn compare_exchange_u32(address: UserAddr, current: u32, new: u32) -> Option<u32> {
        // SAFETY: as above.
        unsafe { compare_exchange(address.as_u64(), current, new) }.value()
    }
}

/// A word and whether it was reached.
#[repr(C)]
struct Word {
    value: u64,
    failed: u64,
}

impl Word {
    #[inline(always)]
    fn value(self) -> Option<u32> {
        (self.failed == 0).then_some(self.value as u32)
    }
}

pub(super) use on_fault;

/// Copies; one side is user memory.
///
/// ```text
/// in:    rdi = to, rsi = from, rdx = bytes
/// out:   rax = bytes not copied
/// clobbered: rcx rdx rsi rdi. stack: none. interrupts: as they are. Faults: recovered.
/// ```
#[unsafe(naked)]
unsafe extern "C" fn copy(to: u64, from: u64, length: usize) -> usize {
    naked_asm!(
        stac!(),
        "mov rcx, rdx",
        "shr rcx, 3",
        "2: rep movsq",
        "mov ecx, edx",
        "and ecx, 7",
        "jz 4f",
        "3: rep movsb",
        "4:",
        clac!(),
        "mov rax, rcx",
        "ret",
        // A word ran into the fault: go on byte by byte to its edge.
        "5: and edx, 7",
        "lea rcx, [rdx + rcx * 8]",
        "jmp 3b",
        on_fault!("2b", "5b"),
        on_fault!("3b", "4b"),
    )
}

/// Copies halfwords to user memory that are eight bytes apart on both sides.
///
/// ```text
/// in:    rdi = to, rsi = from, rdx = halfwords
/// out:   rax = halfwords not copied
/// clobbered: rcx rsi rdi. stack: none. interrupts: as they are. Faults: recovered.
/// ```
#[unsafe(naked)]
unsafe extern "C" fn copy_halfwords(to: u64, from: *const u16, count: usize) -> usize {
    naked_asm!(
        stac!(),
        "mov rax, rdx",
        "test rax, rax",
        "jz 4f",
        "2: movzx ecx, word ptr [rsi]",
        "3: mov [rdi], cx",
        "add rsi, 8",
        "add rdi, 8",
        "dec rax",
        "jnz 2b",
        "4:",
        clac!(),
        "ret",
        on_fault!("3b", "4b"),
    )
}

/// Writes zeros to user memory.
///
/// ```text
/// in:    rdi = to, rsi = bytes
/// out:   rax = bytes not written
/// clobbered: rcx rdi. stack: none. interrupts: as they are. Faults: recovered.
/// ```
#[unsafe(naked)]
unsafe extern "C" fn clear(to: u64, length: usize) -> usize {
    naked_asm!(
        stac!(),
        "xor eax, eax",
        "mov rcx, rsi",
        "shr rcx, 3",
        "2: rep stosq",
        "mov ecx, esi",
        "and ecx, 7",
        "3: rep stosb",
        "4:",
        clac!(),
        "mov rax, rcx",
        "ret",
        "5: and esi, 7",
        "lea rcx, [rsi + rcx * 8]",
        "jmp 3b",
        on_fault!("2b", "5b"),
        on_fault!("3b", "4b"),
    )
}

/// Loads a word of user memory. In: rdi = address. Out: rax = word, rdx = 1 if it could not be reached.
#[unsafe(naked)]
unsafe extern "C" fn load(address: u64) -> Word {
    naked_asm!(
        stac!(),
        "xor edx, edx",
        "2: mov eax, [rdi]",
        "3:",
        clac!(),
        "ret",
        "4: mov edx, 1",
        "jmp 3b",
        on_fault!("2b", "4b"),
    )
}

/// Stores a word of user memory. In: rdi = address, esi = word. Out: rdx = 1 if it could not be reached.
#[unsafe(naked)]
unsafe extern "C" fn store(address: u64, value: u32) -> Word {
    naked_asm!(
        stac!(),
        "xor edx, edx",
        "xor eax, eax",
        "2: mov [rdi], esi",
        "3:",
        clac!(),
        "ret",
        "4: mov edx, 1",
        "jmp 3b",
        on_fault!("2b", "4b"),
    )
}

/// Compares and exchanges a word of user memory.
///
/// ```text
/// in:    rdi = address, esi = expected, edx = new
/// out:   rax = word found, rdx = 1 if it could not be reached
/// ```
#[unsafe(naked)]
unsafe extern "C" fn compare_exchange(address: u64, current: u32, new: u32) -> Word {
    naked_asm!(
        stac!(),
        "mov eax, esi",
        "mov ecx, edx",
        "xor edx, edx",
        "2: lock cmpxchg [rdi], ecx",
        "3:",
        clac!(),
        "ret",
        "4: mov edx, 1",
        "jmp 3b",
        on_fault!("2b", "4b"),
    )
}
