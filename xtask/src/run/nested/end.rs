//! The program that ends the outer x86_64 machine with a status: the byte of its standard input. An outer AArch64
//! machine knows only off, and writes the status to the console: by semihosting, which could end it with one, every
//! program of the inner machine would end it too.
//!
//! Linux itself only turns a machine off, which is status 0 of any QEMU; and a shell reaches no port, as Debian's
//! kernels have no `/dev/port`. So it is an ELF file of a few instructions.

/// Where it is loaded.
const ADDRESS: u64 = 0x40_0000;
const HEADERS: usize = 64 + 56;

/// `iopl(3)`; reads the byte, whose lowest bit QEMU's `isa-debug-exit` adds itself, and gives the rest to that device.
const CODE: [u8; 33] = [
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

/// What QEMU needs, that the program is heard.
pub const DEVICE: [&str; 2] = ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"];

/// The file: one segment, with the headers (ELF-64, `Elf64_Ehdr` and `Elf64_Phdr`).
pub fn program() -> Vec<u8> {
    const MACHINE: u16 = 62;
    let length = (HEADERS + CODE.len()) as u64;
    // 64-bit, little-endian, version 1; an executable file.
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([2, MACHINE].into_iter().flat_map(u16::to_le_bytes));
    file.extend(1u32.to_le_bytes());
    file.extend([ADDRESS + HEADERS as u64, 64, 0].into_iter().flat_map(u64::to_le_bytes));
    file.extend(0u32.to_le_bytes());
    file.extend([64u16, 56, 1, 0, 0, 0].into_iter().flat_map(u16::to_le_bytes));
    // PT_LOAD, readable and executable.
    file.extend([1u32, 5].into_iter().flat_map(u32::to_le_bytes));
    file.extend([0, ADDRESS, ADDRESS, length, length, 0x1000].into_iter().flat_map(u64::to_le_bytes));
    file.extend(CODE);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_headers_are_as_long_as_they_say() {
        let file = program();
        assert_eq!(u64::from_le_bytes(file[24..32].try_into().unwrap()), ADDRESS + HEADERS as u64);
        assert_eq!(u64::from_le_bytes(file[96..104].try_into().unwrap()), file.len() as u64);
        assert_eq!(file[HEADERS], 0xbf);
    }
}
