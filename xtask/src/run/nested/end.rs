//! The program that ends the outer machine with a status: the byte of its standard input.
//!
//! Linux itself only turns a machine off, which is status 0 of any QEMU; and a shell reaches no port, as Debian's kernels have no `/dev/port`. So
//! it is an ELF file of a few instructions.

use crate::arch::Arch;

/// Where it is loaded.
const ADDRESS: u64 = 0x40_0000;
const HEADERS: usize = 64 + 56;

/// `iopl(3)`; reads the byte, whose lowest bit QEMU's `isa-debug-exit` adds itself, and gives the rest to that device.
const X86_64: [u8; 33] = [
    0xbf, 0x03, 0x00, 0x00, 0x00, // mov edi, 3
    0xb8, 0xac, 0x00, 0x00, 0x00, // mov eax, 172
    0x0f, 0x05, // syscall
    0x50, // push rax
    0x31, 0xff, // xor edi, edi
    0x48, 0x89, 0xe6, // mov rsi, rsp
    0xba, 0x01, 0x00, 0x00, 0x00, // mov edx, 1
    0x31, 0xc0, // xor eax, eax: read
    0x0f, 0x05, // syscall
    0x58, // pop rax
    0xd0, 0xe8, // shr al, 1
    0xe6, 0xf4, // out 0xf4, al
    0xf4, // hlt: never reached
];

/// Reads the byte and gives it to the host of semihosting (SYS_EXIT_EXTENDED, ADP_Stopped_ApplicationExit), which listens to programs here.
const AARCH64: [u32; 13] = [
    0xd100_43ff, // sub sp, sp, #16
    0xd280_0000, // mov x0, #0
    0x9100_03e1, // mov x1, sp
    0xd280_0022, // mov x2, #1
    0xd280_07e8, // mov x8, #63: read
    0xd400_0001, // svc #0
    0x3940_03e3, // ldrb w3, [sp]
    0x5280_04c2, // mov w2, #0x26
    0x72a0_0042, // movk w2, #2, lsl #16
    0xa900_0fe2, // stp x2, x3, [sp]
    0x5280_0400, // mov w0, #0x20
    0x9100_03e1, // mov x1, sp
    0xd45e_0000, // hlt #0xf000
];

/// What QEMU needs, that the program is heard.
pub const fn device(arch: Arch) -> [&'static str; 2] {
    match arch {
        Arch::X86_64 => ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"],
        Arch::Aarch64 => ["-semihosting-config", "enable=on,target=native,userspace=on"],
    }
}

/// The file: one segment, with the headers (ELF-64, `Elf64_Ehdr` and `Elf64_Phdr`).
pub fn program(arch: Arch) -> Vec<u8> {
    let (machine, code) = match arch {
        Arch::X86_64 => (62u16, X86_64.to_vec()),
        Arch::Aarch64 => (183, AARCH64.into_iter().flat_map(u32::to_le_bytes).collect()),
    };
    let length = (HEADERS + code.len()) as u64;
    // 64-bit, little-endian, version 1; an executable file.
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([2, machine].into_iter().flat_map(u16::to_le_bytes));
    file.extend(1u32.to_le_bytes());
    file.extend([ADDRESS + HEADERS as u64, 64, 0].into_iter().flat_map(u64::to_le_bytes));
    file.extend(0u32.to_le_bytes());
    file.extend([64u16, 56, 1, 0, 0, 0].into_iter().flat_map(u16::to_le_bytes));
    // PT_LOAD, readable and executable.
    file.extend([1u32, 5].into_iter().flat_map(u32::to_le_bytes));
    file.extend([0, ADDRESS, ADDRESS, length, length, 0x1000].into_iter().flat_map(u64::to_le_bytes));
    file.extend(code);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_headers_are_as_long_as_they_say() {
        for arch in Arch::ALL {
            let file = program(arch);
            assert_eq!(u64::from_le_bytes(file[24..32].try_into().unwrap()), ADDRESS + HEADERS as u64);
            assert_eq!(u64::from_le_bytes(file[96..104].try_into().unwrap()), file.len() as u64);
        }
        assert_eq!(program(Arch::X86_64)[HEADERS], 0xbf);
    }
}
