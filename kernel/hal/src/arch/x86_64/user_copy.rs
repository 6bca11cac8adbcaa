//! Copies between kernel and user memory, and the table of their faulting instructions.
//!
//! Each instruction that may fault has an entry in `.exception_table`: its address and where to go on. Between `stac`
//! and `clac` nothing else runs; the trap entry clears AC by itself and `iretq` brings it back for a retry.
use super::Arch;
use super::patches::{clac, patched, stac};
use crate::contract::UserAccess;
use crate::user_copy::{Missed, OnAbsent};
use core::arch::{asm, naked_asm};
use libkernel::addr::{USER_END, UserAddr};

/// Instructions that may fault on user memory, from the first up to the one behind the last, and where to go on then.
#[repr(C)]
struct Entry {
    start: u64,
    end: u64,
    fixup: u64,
}

unsafe extern "C" {
    static __exception_table_start: [Entry; 0];
    static __exception_table_end: [Entry; 0];
}

/// Where a fault at `instruction` goes on; `None` if it must not fault. The table has some twenty entries.
pub fn fixup(instruction: u64) -> Option<u64> {
    let start = &raw const __exception_table_start as *const Entry;
    let bytes = &raw const __exception_table_end as usize - start as usize;
    // SAFETY: the linker script brackets the table, which is read-only data.
    let table = unsafe { core::slice::from_raw_parts(start, bytes / size_of::<Entry>()) };
    table.iter().find(|entry| (entry.start..entry.end).contains(&instruction)).map(|entry| entry.fixup)
}

/// An exception-table entry: a fault at the first label goes on at the second; or one from the first label on, before
/// the second, at the third.
macro_rules! on_fault {
    ($instruction:literal, $fixup:literal) => {
        concat!(
            ".pushsection .exception_table, \"a\"\n.quad ",
            $instruction,
            ", ",
            $instruction,
            " + 1, ",
            $fixup,
            "\n.popsection"
        )
    };
    ($start:literal, $end:literal, $fixup:literal) => {
        concat!(
            ".pushsection .exception_table, \"a\"\n.quad ",
            $start,
            ", ",
            $end,
            ", ",
            $fixup,
            "\n.popsection"
        )
    };
}

/// Calls one of the routines below. Where a CPU may take a user address for one before it has looked, it goes by way of
/// the second, which makes the address one. What is to be done about an absent page goes along in r8, which no routine
/// touches.
macro_rules! call {
    ($routine:ident or $masked:ident, $absent:expr, $($operand:tt)*) => {
        asm!(patched!(MASKS, "call {routine}" => "call {masked}"), routine = sym $routine, masked = sym $masked,
            clobber_abi("C"), in("r8") $absent as u64, $($operand)*)
    };
}

/// What [`call`] goes by: the routine, with the user address in `$register` no higher than the end of user space. By
/// data and not by a branch. Clobbers rax and the flags besides.
macro_rules! masked {
    ($($name:ident: $register:literal, $routine:ident;)*) => {
        $(
            #[unsafe(naked)]
            unsafe extern "C" fn $name() {
                naked_asm!(
                    "mov rax, {end}",
                    concat!("cmp ", $register, ", rax"),
                    concat!("cmova ", $register, ", rax"),
                    "jmp {routine}",
                    end = const USER_END,
                    routine = sym $routine,
                )
            }
        )*
    };
}

masked! {
    copy_in_masked: "rsi", copy;
    copy_out_masked: "rdi", copy;
    copy_halfwords_masked: "rdi", copy_halfwords;
    clear_masked: "rdi", clear;
    load_masked: "rdi", load;
    store_masked: "rdi", store;
    compare_exchange_masked: "rdi", compare_exchange;
}

impl UserAccess for Arch {
    #[inline(always)]
    unsafe fn copy_shared(to: *mut u8, from: *const u8, length: usize) {
        // SAFETY: the caller vouches for both; nothing faults.
        unsafe {
            asm!("call {}", sym copy, in("rdi") to, in("rsi") from, in("rdx") length, clobber_abi("C"))
        };
    }

    #[inline(always)]
    unsafe fn clear_shared(to: *mut u8, length: usize) {
        // SAFETY: the caller vouches for `to`; nothing faults.
        unsafe { asm!("call {}", sym clear, in("rdi") to, in("rsi") length, clobber_abi("C")) };
    }

    #[inline(always)]
    unsafe fn copy_in(to: *mut u8, from: UserAddr, length: usize, absent: OnAbsent) -> usize {
        let left;
        // SAFETY: the caller vouches for `to`; faults on `from` are recovered.
        unsafe {
            call!(copy or copy_in_masked, absent, in("rdi") to, in("rsi") from.as_u64(), in("rdx") length, lateout("rax") left)
        };
        left
    }

    #[inline(always)]
    unsafe fn copy_out(to: UserAddr, from: *const u8, length: usize, absent: OnAbsent) -> usize {
        let left;
        // SAFETY: the caller vouches for `from`; faults on `to` are recovered.
        unsafe {
            call!(copy or copy_out_masked, absent, in("rdi") to.as_u64(), in("rsi") from, in("rdx") length, lateout("rax") left)
        };
        left
    }

    #[inline]
    unsafe fn copy_halfwords_out(to: UserAddr, from: *const u16, count: usize, absent: OnAbsent) -> usize {
        let left;
        // SAFETY: the caller vouches for `from`; faults on `to` are recovered.
        unsafe {
            call!(copy_halfwords or copy_halfwords_masked, absent, in("rdi") to.as_u64(), in("rsi") from, in("rdx") count,
                lateout("rax") left)
        };
        left
    }

    #[inline(always)]
    fn clear(to: UserAddr, length: usize, absent: OnAbsent) -> usize {
        let left;
        // SAFETY: the contract says that the range lies in user space; faults are recovered.
        unsafe {
            call!(clear or clear_masked, absent, in("rdi") to.as_u64(), in("rsi") length, lateout("rax") left)
        };
        left
    }

    fn load_u32(address: UserAddr, absent: OnAbsent) -> Option<u32> {
        let (value, failed);
        // SAFETY: as above.
        unsafe {
            call!(load or load_masked, absent, in("rdi") address.as_u64(), lateout("rax") value, lateout("rdx") failed)
        };
        Word { value, failed }.value()
    }

    fn store_u32(address: UserAddr, value: u32, absent: OnAbsent) -> Option<()> {
        let (found, failed);
        // SAFETY: as above.
        unsafe {
            call!(store or store_masked, absent, in("rdi") address.as_u64(), in("rsi") u64::from(value), lateout("rax") found,
                lateout("rdx") failed)
        };
        Word { value: found, failed }.value().map(|_| ())
    }

    fn compare_exchange_u32(
        address: UserAddr,
        current: u32,
        new: u32,
        absent: OnAbsent,
    ) -> Result<u32, Missed> {
        let (value, failed);
        // SAFETY: as above.
        unsafe {
            call!(compare_exchange or compare_exchange_masked, absent, in("rdi") address.as_u64(), in("rsi") u64::from(current),
                inlateout("rdx") u64::from(new) => failed, lateout("rax") value)
        };
        Word { value, failed }.value().ok_or(Missed::BadAddress)
    }
}

/// A word and whether it was reached, as the routines return them in rax and rdx.
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

/// Copies; one side is user memory, or none is.
///
/// Up to 16 bytes go by two moves, which overlap where they have to. More go by one `rep`, which takes some 30 cycles
/// to start, and a move for the end; or by `rep movsb` alone where the CPU is as fast with bytes (ERMS). What fails is
/// done again byte by byte, up to the byte that cannot be reached.
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
        "cmp rdx, 16",
        "ja {many}",
        "cmp edx, 8",
        "jb 6f",
        "2: mov rax, [rsi]",
        "mov rcx, [rsi + rdx - 8]",
        "mov [rdi], rax",
        "mov [rdi + rdx - 8], rcx",
        "3: xor eax, eax",
        clac!(),
        "ret",
        "6: test dl, 4",
        "jz 7f",
        "22: mov eax, [rsi]",
        "mov ecx, [rsi + rdx - 4]",
        "mov [rdi], eax",
        "mov [rdi + rdx - 4], ecx",
        "23: xor eax, eax",
        clac!(),
        "ret",
        "7: test dl, 2",
        "jz 8f",
        "32: movzx eax, word ptr [rsi]",
        "movzx ecx, word ptr [rsi + rdx - 2]",
        "mov [rdi], ax",
        "mov [rdi + rdx - 2], cx",
        "33: xor eax, eax",
        clac!(),
        "ret",
        "8: test edx, edx",
        "jz 43f",
        "42: movzx eax, byte ptr [rsi]",
        "mov [rdi], al",
        "43: xor eax, eax",
        clac!(),
        "ret",
        on_fault!("2b", "3b", "{bytes}"),
        on_fault!("22b", "23b", "{bytes}"),
        on_fault!("32b", "33b", "{bytes}"),
        on_fault!("42b", "43b", "{bytes}"),
        many = sym copy_many,
        bytes = sym copy_bytes,
    )
}

/// The rest of [`copy`], for more than 16 bytes: the same registers, and user memory is open.
#[unsafe(naked)]
unsafe extern "C" fn copy_many() {
    naked_asm!(
        "mov rcx, rdx",
        patched!(ERMS, "shr rcx, 3" => ".byte 0x0f, 0x1f, 0x40, 0x00"),
        "2:",
        patched!(ERMS, "rep movsq" => "rep movsb"),
        patched!(ERMS, "and edx, 7" => "xor edx, edx"),
        "jz 4f",
        "3: mov rax, [rsi + rdx - 8]",
        "mov [rdi + rdx - 8], rax",
        "4: xor eax, eax",
        clac!(),
        "ret",
        // In words: the rest of a word that ran into the fault is to be looked at too.
        "5:",
        patched!(ERMS, "and edx, 7\nlea rdx, [rdx + rcx * 8]" => "mov rdx, rcx"),
        "jmp {bytes}",
        on_fault!("2b", "5b"),
        on_fault!("3b", "4b", "{bytes}"),
        bytes = sym copy_bytes,
    )
}

/// The end of [`copy`] after a fault: the same registers, and user memory is open.
#[unsafe(naked)]
unsafe extern "C" fn copy_bytes() {
    naked_asm!("mov rcx, rdx", "2: rep movsb", "3:", clac!(), "mov rax, rcx", "ret", on_fault!("2b", "3b"))
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
        patched!(ERMS, "shr rcx, 3" => ".byte 0x0f, 0x1f, 0x40, 0x00"),
        "2:",
        patched!(ERMS, "rep stosq" => "rep stosb"),
        patched!(ERMS, "and esi, 7" => "xor esi, esi"),
        "jz 4f",
        "mov ecx, esi",
        "3: rep stosb",
        "4:",
        clac!(),
        "mov rax, rcx",
        "ret",
        "5:",
        patched!(ERMS, "and esi, 7\nlea rcx, [rsi + rcx * 8]" => "xor esi, esi"),
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
