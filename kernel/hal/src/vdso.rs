//! The vDSO: a one-page shared object that the kernel maps into every program.
//!
//! The image is a complete ELF file written in assembly, so that no second link is needed: the macro here lays out
//! the headers, symbol, version and hash tables that every C library's loader walks, and each architecture's
//! `vdso.rs` adds its functions. Everything inside is relative to the image's start. The data page of
//! [`libkernel::vdso::VdsoData`] lies one page below it.
//!
//! Format: System V gABI, chapters 4 and 5; symbol versions: LSB 5.0, section 10.7; names: vdso(7).

use crate::arch::vdso as arch;

/// The ELF image, shorter than a page. Empty where programs get none.
pub fn image() -> &'static [u8] {
    arch::image()
}

/// Offset in the image of the code that a signal handler returns to when it named no restorer.
pub fn sigreturn_offset() -> Option<u64> {
    arch::sigreturn_offset()
}

/// Assembles an image. `version_hash` is the ELF hash of `version`; `count` the number of functions; each function's
/// code must define the label `vdso_NAME` and end with `vdso_NAME_end:`.
///
/// ```ignore
/// vdso_image! {
///     machine: 62, version: "LINUX_2.6", version_hash: 0x3ae75f6, count: 1, functions: ["__vdso_time"],
///     code: ["vdso___vdso_time:", "ret", "vdso___vdso_time_end:"], operands: [page = const 4096]
/// }
/// // expands to one global_asm! that defines vdso_image_start and vdso_image_end in .rodata
/// ```
#[cfg(not(target_os = "linux"))]
macro_rules! vdso_image {
    (machine: $machine:literal, version: $version:literal, version_hash: $hash:literal, count: $count:literal,
     functions: [$($name:literal),* $(,)?], code: [$($code:expr),* $(,)?], operands: [$($operands:tt)*]) => {
        core::arch::global_asm!(
            ".pushsection .rodata.vdso, \"a\"",
            ".balign 4096",
            "vdso_image_start:",
            // ELF header: 64-bit, little-endian, shared object.
            ".byte 0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0",
            ".8byte 0",
            concat!(".2byte 3, ", $machine),
            ".4byte 1",
            ".8byte 0",
            ".8byte vdso_program_headers - vdso_image_start",
            ".8byte 0",
            ".4byte 0",
            ".2byte 64, 56, 2, 64, 0, 0",
            "vdso_program_headers:",
            // PT_LOAD, read and execute, the whole image.
            ".4byte 1, 5",
            ".8byte 0, 0, 0",
            ".8byte vdso_image_end - vdso_image_start, vdso_image_end - vdso_image_start, 4096",
            // PT_DYNAMIC, read.
            ".4byte 2, 4",
            ".8byte vdso_dynamic - vdso_image_start, vdso_dynamic - vdso_image_start, vdso_dynamic - vdso_image_start",
            ".8byte vdso_dynamic_end - vdso_dynamic, vdso_dynamic_end - vdso_dynamic, 8",
            // DT_SONAME, HASH, STRTAB, SYMTAB, STRSZ, SYMENT, VERSYM, VERDEF, VERDEFNUM, NULL.
            "vdso_dynamic:",
            ".8byte 14, vdso_name_soname - vdso_strings",
            ".8byte 4, vdso_hash - vdso_image_start",
            ".8byte 5, vdso_strings - vdso_image_start",
            ".8byte 6, vdso_symbols - vdso_image_start",
            ".8byte 10, vdso_strings_end - vdso_strings",
            ".8byte 11, 24",
            ".8byte 0x6ffffff0, vdso_versions - vdso_image_start",
            ".8byte 0x6ffffffc, vdso_definitions - vdso_image_start",
            ".8byte 0x6ffffffd, 2",
            ".8byte 0, 0",
            "vdso_dynamic_end:",
            // Symbols: the null symbol, then one global function each.
            "vdso_symbols:",
            ".8byte 0, 0, 0",
            $(
                concat!(".4byte vdso_name_", $name, " - vdso_strings"),
                // STB_GLOBAL | STT_FUNC; any defined section index.
                ".byte 0x12, 0",
                ".2byte 1",
                concat!(".8byte vdso_", $name, " - vdso_image_start"),
                concat!(".8byte vdso_", $name, "_end - vdso_", $name),
            )*
            // One bucket: its chain runs from the last symbol down to the first, so no name is hashed here.
            "vdso_hash:",
            concat!(".4byte 1, ", $count, " + 1, ", $count),
            ".4byte 0",
            ".set vdso_previous, 0",
            $(
                // `$name` gives the repetition; each symbol's successor is the one before it.
                concat!(".4byte vdso_previous // ", $name),
                ".set vdso_previous, vdso_previous + 1",
            )*
            // Version 2 is the only one that symbols have; version 1 names the object itself.
            "vdso_versions:",
            ".2byte 0",
            $(concat!(".2byte 2 // ", $name),)*
            ".balign 4",
            "vdso_definitions:",
            ".2byte 1, 1, 1, 1",
            ".4byte 0xdeebfa1, 20, 28",
            ".4byte vdso_name_soname - vdso_strings, 0",
            ".2byte 1, 0, 2, 1",
            concat!(".4byte ", $hash, ", 20, 0"),
            ".4byte vdso_name_version - vdso_strings, 0",
            "vdso_strings:",
            ".byte 0",
            "vdso_name_soname:",
            ".asciz \"linux-vdso.so.1\"",
            "vdso_name_version:",
            concat!(".asciz \"", $version, "\""),
            $(
                concat!("vdso_name_", $name, ":"),
                concat!(".asciz \"", $name, "\""),
            )*
            "vdso_strings_end:",
            ".balign 16",
            $($code,)*
            ".balign 16",
            "vdso_image_end:",
            ".popsection",
            $($operands)*
        );

        unsafe extern "C" {
            #[link_name = "vdso_image_start"]
            static IMAGE_START: u8;
            #[link_name = "vdso_image_end"]
            static IMAGE_END: u8;
        }

        /// The ELF image, shorter than a page.
        pub fn image() -> &'static [u8] {
            let start = &raw const IMAGE_START;
            let length = (&raw const IMAGE_END).addr() - start.addr();
            // SAFETY: the two labels enclose initialised read-only bytes of the kernel image.
            unsafe { core::slice::from_raw_parts(start, length) }
        }
    };
}
#[cfg(not(target_os = "linux"))]
pub(crate) use vdso_image;
