//! Keys of the auxiliary vector. Source: Linux 6.1, `include/uapi/linux/auxvec.h`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One entry of the vector.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct AuxvEntry {
    /// `AT_*`.
    pub a_type: u64,
    /// Its value or address.
    pub a_val: u64,
}

constants! { u64:
    AT_NULL = 0, "end of the vector";
    AT_IGNORE = 1, "to be skipped";
    AT_EXECFD = 2, "descriptor of the program";
    AT_PHDR = 3, "address of the program headers";
    AT_PHENT = 4, "size of one of them";
    AT_PHNUM = 5, "their number";
    AT_PAGESZ = 6, "page size";
    AT_BASE = 7, "load address of the interpreter";
    AT_FLAGS = 8, "flags, 0";
    AT_ENTRY = 9, "the program's entry point";
    AT_NOTELF = 10, "the program is not ELF";
    AT_UID = 11, "real user";
    AT_EUID = 12, "effective user";
    AT_GID = 13, "real group";
    AT_EGID = 14, "effective group";
    AT_PLATFORM = 15, "address of the machine's name";
    AT_HWCAP = 16, "features of the CPU";
    AT_CLKTCK = 17, "ticks a second in `times`";
    AT_SECURE = 23, "1 if the program gained privileges";
    AT_BASE_PLATFORM = 24, "address of the real machine's name";
    AT_RANDOM = 25, "address of 16 random bytes";
    AT_HWCAP2 = 26, "more features of the CPU";
    AT_RSEQ_FEATURE_SIZE = 27, "size of rseq's features (Linux 6.3)";
    AT_RSEQ_ALIGN = 28, "alignment of rseq (Linux 6.3)";
    AT_EXECFN = 31, "address of the program's path";
    AT_SYSINFO = 32, "entry of the 32-bit vDSO";
    AT_SYSINFO_EHDR = 33, "address of the vDSO";
    AT_MINSIGSTKSZ = 51, "smallest stack a signal can be delivered on";
}
