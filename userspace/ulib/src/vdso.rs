//! The functions of the shared object that the kernel maps into every program.
//!
//! Source: ELF-64 Object File Format; `Documentation/ABI/stable/vdso` of Linux.

use crate::auxv;
use abi::auxv::AT_SYSINFO_EHDR;
use core::ffi::CStr;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;

/// Tables of the object, as addresses in this program.
#[derive(Default)]
struct Tables {
    hash: u64,
    strings: u64,
    symbols: u64,
}

/// Where the vDSO's function of this name begins; `None` where the kernel maps no vDSO or it lacks the function.
pub fn function(wanted: &CStr) -> Option<*const ()> {
    let base = auxv::value(AT_SYSINFO_EHDR)?;
    // SAFETY: the kernel says that a whole shared object is mapped there; everything read below lies in it.
    unsafe {
        let (bias, tables) = tables(base)?;
        let count = read::<u32>(tables.hash + 4);
        let address = (0..u64::from(count)).find_map(|index| {
            let symbol = tables.symbols + index * 24;
            let name = CStr::from_ptr((tables.strings + u64::from(read::<u32>(symbol))) as *const _);
            (name == wanted).then(|| bias + read::<u64>(symbol + 8))
        })?;
        Some(address as *const ())
    }
}

/// The difference between addresses in memory and in the file, and where the dynamic section leads.
unsafe fn tables(base: u64) -> Option<(u64, Tables)> {
    // SAFETY: the caller says that an ELF object is mapped at `base`.
    unsafe {
        let headers = base + read::<u64>(base + 32);
        let count = u64::from(read::<u16>(base + 56));
        let find =
            |kind| (0..count).map(|index| headers + index * 56).find(|&header| read::<u32>(header) == kind);
        let load = find(PT_LOAD)?;
        let bias = base.wrapping_add(read::<u64>(load + 8)).wrapping_sub(read::<u64>(load + 16));
        let mut entry = bias.wrapping_add(read::<u64>(find(PT_DYNAMIC)? + 16));
        let mut tables = Tables::default();
        loop {
            let value = bias.wrapping_add(read::<u64>(entry + 8));
            match read::<u64>(entry) {
                0 => break,
                DT_HASH => tables.hash = value,
                DT_STRTAB => tables.strings = value,
                DT_SYMTAB => tables.symbols = value,
                _ => {}
            }
            entry += 16;
        }
        (tables.hash != 0 && tables.strings != 0 && tables.symbols != 0).then_some((bias, tables))
    }
}

unsafe fn read<T: Copy>(address: u64) -> T {
    // SAFETY: the caller says that a `T` lies at the address.
    unsafe { (address as *const T).read_unaligned() }
}
