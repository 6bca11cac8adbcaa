//! From `_start` to the program's main function.
//!
//! The image of a static PIE is linked at 0 and loaded anywhere: until [`relocate`] has run, a word in it that holds an
//! address is wrong. Up to then nothing here may use such a word: no table of function pointers, no string, no static
//! that holds a reference. A static image that is not a PIE has no dynamic section, and there is nothing to do.

use crate::{arch, entry, thread};
use core::ffi::c_char;
use libsyscall::process::exit_group;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const DT_NULL: usize = 0;
const DT_RELA: usize = 7;
const DT_RELASZ: usize = 8;

/// The part of an ELF header that is used here (ELF-64 Object File Format, 3).
#[repr(C)]
pub struct ElfHeader {
    ident: [u8; 16],
    kind: [u16; 2],
    version: u32,
    entry: usize,
    program_headers: usize,
    section_headers: usize,
    flags: u32,
    header_size: u16,
    program_header_size: u16,
    program_header_count: u16,
}

/// A program header (ELF-64 Object File Format, 8).
#[repr(C)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: usize,
    virtual_address: usize,
    sizes_and_alignment: [usize; 4],
}

/// A relocation with its addend (ELF-64 Object File Format, 7).
#[repr(C)]
struct Rela {
    offset: usize,
    info: usize,
    addend: usize,
}

/// The first Rust code of the program. `stack` is the initial stack pointer, `header` the image's ELF header.
///
/// # Safety
/// To be called by `_start` alone, with what the kernel gave.
pub unsafe extern "C" fn first(stack: *const usize, header: *const ElfHeader) -> ! {
    // SAFETY: the header is this program's own, and nothing has used a relocated word yet.
    unsafe { relocate(header) };
    // SAFETY: the kernel laid argc, argv, 0, envp, 0, auxv at the stack pointer.
    unsafe {
        let count = *stack;
        let arguments = stack.add(1).cast::<*const c_char>();
        entry::record(count, arguments, arguments.add(count + 1));
    }
    // SAFETY: this is the only thread, and no thread-local has been used.
    unsafe { thread::adopt_main_thread() };
    entry::run_main()
}

/// Adds the load address to every word of the image that holds an address.
///
/// # Safety
/// `header` must be the ELF header of the running program, whose relocations have not been applied.
unsafe fn relocate(header: *const ElfHeader) {
    let image = header as usize;
    let mut bias = image;
    let mut dynamic = 0;
    let mut index = 0;
    // SAFETY: the program headers lie where the ELF header says, in the first loaded segment.
    unsafe {
        while index < (*header).program_header_count as usize {
            let at = image.wrapping_add((*header).program_headers);
            let program_header = at.wrapping_add(index.wrapping_mul((*header).program_header_size as usize))
                as *const ProgramHeader;
            if (*program_header).kind == PT_LOAD && (*program_header).offset == 0 {
                bias = image.wrapping_sub((*program_header).virtual_address);
            } else if (*program_header).kind == PT_DYNAMIC {
                dynamic = (*program_header).virtual_address;
            }
            index = index.wrapping_add(1);
        }
        if dynamic != 0 {
            apply(bias, bias.wrapping_add(dynamic) as *const [usize; 2]);
        }
    }
}

/// Applies the relocations that the dynamic section at `entry` lists.
///
/// # Safety
/// `entry` must be the dynamic section of an image loaded `bias` above its link address.
unsafe fn apply(bias: usize, mut entry: *const [usize; 2]) {
    let (mut table, mut bytes) = (0, 0);
    // SAFETY: the section ends with DT_NULL; the table it names lies in the image, and so does each word that is named.
    unsafe {
        while (*entry)[0] != DT_NULL {
            match (*entry)[0] {
                DT_RELA => table = bias.wrapping_add((*entry)[1]),
                DT_RELASZ => bytes = (*entry)[1],
                _ => {}
            }
            entry = (entry as usize).wrapping_add(size_of::<[usize; 2]>()) as *const [usize; 2];
        }
        let end = table.wrapping_add(bytes);
        while table < end {
            let rela = table as *const Rela;
            if (*rela).info as u32 != arch::RELATIVE {
                exit_group(127); // a linker made what this runtime does not know; going on would crash anyway
            }
            *(bias.wrapping_add((*rela).offset) as *mut usize) = bias.wrapping_add((*rela).addend);
            table = table.wrapping_add(size_of::<Rela>());
        }
    }
}
