//! Thread bases and features of x86_64. Source: Linux 6.1, `arch/x86/include/uapi/asm/{prctl,hwcap2,mman}.h`.

constants! { u32:
    ARCH_SET_GS = 0x1001, "arch_prctl: set GS_BASE";
    ARCH_SET_FS = 0x1002, "arch_prctl: set FS_BASE";
    ARCH_GET_FS = 0x1003, "arch_prctl: read FS_BASE";
    ARCH_GET_GS = 0x1004, "arch_prctl: read GS_BASE";
    ARCH_GET_CPUID = 0x1011, "arch_prctl: whether CPUID works";
    ARCH_SET_CPUID = 0x1012, "arch_prctl: make CPUID fault";
    ARCH_GET_XCOMP_SUPP = 0x1021, "arch_prctl: extended states the kernel knows";
    ARCH_GET_XCOMP_PERM = 0x1022, "arch_prctl: extended states the process may use";
    ARCH_REQ_XCOMP_PERM = 0x1023, "arch_prctl: ask for an extended state";
    ARCH_MAP_VDSO_64 = 0x2003, "arch_prctl: map the vDSO";
    MAP_32BIT = 0x40, "mmap: in the low 2 GiB";
}

constants! { u64:
    HWCAP2_RING3MWAIT = 1, "MONITOR and MWAIT in ring 3";
    HWCAP2_FSGSBASE = 2, "the FSGSBASE instructions work";
}

/// Words of the longest auxiliary vector: `AT_VECTOR_SIZE` of `linux/mm_types.h`, with three entries of the
/// architecture's own.
pub const AT_VECTOR_SIZE: usize = 48;

/// AT_PLATFORM and the machine of `uname`.
pub const MACHINE: &str = "x86_64";

/// The sizes of huge pages that `mmap` knows of, as powers of two (with 4 KiB pages).
pub const HUGE_PAGE_SHIFTS: &[u32] = &[21, 30];
