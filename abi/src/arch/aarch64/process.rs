//! Features of AArch64. Source: Linux 6.1, `arch/arm64/include/uapi/asm/{hwcap,mman}.h`.

constants! { u64:
    HWCAP_FP = 1 << 0, "the feature FP of AT_HWCAP";
    HWCAP_ASIMD = 1 << 1, "the feature ASIMD of AT_HWCAP";
    HWCAP_EVTSTRM = 1 << 2, "the feature EVTSTRM of AT_HWCAP";
    HWCAP_AES = 1 << 3, "the feature AES of AT_HWCAP";
    HWCAP_PMULL = 1 << 4, "the feature PMULL of AT_HWCAP";
    HWCAP_SHA1 = 1 << 5, "the feature SHA1 of AT_HWCAP";
    HWCAP_SHA2 = 1 << 6, "the feature SHA2 of AT_HWCAP";
    HWCAP_CRC32 = 1 << 7, "the feature CRC32 of AT_HWCAP";
    HWCAP_ATOMICS = 1 << 8, "the feature ATOMICS of AT_HWCAP";
    HWCAP_FPHP = 1 << 9, "the feature FPHP of AT_HWCAP";
    HWCAP_ASIMDHP = 1 << 10, "the feature ASIMDHP of AT_HWCAP";
    HWCAP_CPUID = 1 << 11, "the feature CPUID of AT_HWCAP";
    HWCAP_ASIMDRDM = 1 << 12, "the feature ASIMDRDM of AT_HWCAP";
    HWCAP_JSCVT = 1 << 13, "the feature JSCVT of AT_HWCAP";
    HWCAP_FCMA = 1 << 14, "the feature FCMA of AT_HWCAP";
    HWCAP_LRCPC = 1 << 15, "the feature LRCPC of AT_HWCAP";
    HWCAP_DCPOP = 1 << 16, "the feature DCPOP of AT_HWCAP";
    HWCAP_SHA3 = 1 << 17, "the feature SHA3 of AT_HWCAP";
    HWCAP_SM3 = 1 << 18, "the feature SM3 of AT_HWCAP";
    HWCAP_SM4 = 1 << 19, "the feature SM4 of AT_HWCAP";
    HWCAP_ASIMDDP = 1 << 20, "the feature ASIMDDP of AT_HWCAP";
    HWCAP_SHA512 = 1 << 21, "the feature SHA512 of AT_HWCAP";
    HWCAP_SVE = 1 << 22, "the feature SVE of AT_HWCAP";
    HWCAP_ASIMDFHM = 1 << 23, "the feature ASIMDFHM of AT_HWCAP";
    HWCAP_DIT = 1 << 24, "the feature DIT of AT_HWCAP";
    HWCAP_USCAT = 1 << 25, "the feature USCAT of AT_HWCAP";
    HWCAP_ILRCPC = 1 << 26, "the feature ILRCPC of AT_HWCAP";
    HWCAP_FLAGM = 1 << 27, "the feature FLAGM of AT_HWCAP";
    HWCAP_SSBS = 1 << 28, "the feature SSBS of AT_HWCAP";
    HWCAP_SB = 1 << 29, "the feature SB of AT_HWCAP";
    HWCAP_PACA = 1 << 30, "the feature PACA of AT_HWCAP";
    HWCAP_PACG = 1 << 31, "the feature PACG of AT_HWCAP";
    HWCAP2_DCPODP = 1 << 0, "the feature DCPODP of AT_HWCAP2";
    HWCAP2_SVE2 = 1 << 1, "the feature SVE2 of AT_HWCAP2";
    HWCAP2_SVEAES = 1 << 2, "the feature SVEAES of AT_HWCAP2";
    HWCAP2_SVEPMULL = 1 << 3, "the feature SVEPMULL of AT_HWCAP2";
    HWCAP2_SVEBITPERM = 1 << 4, "the feature SVEBITPERM of AT_HWCAP2";
    HWCAP2_SVESHA3 = 1 << 5, "the feature SVESHA3 of AT_HWCAP2";
    HWCAP2_SVESM4 = 1 << 6, "the feature SVESM4 of AT_HWCAP2";
    HWCAP2_FLAGM2 = 1 << 7, "the feature FLAGM2 of AT_HWCAP2";
    HWCAP2_FRINT = 1 << 8, "the feature FRINT of AT_HWCAP2";
    HWCAP2_SVEI8MM = 1 << 9, "the feature SVEI8MM of AT_HWCAP2";
    HWCAP2_SVEF32MM = 1 << 10, "the feature SVEF32MM of AT_HWCAP2";
    HWCAP2_SVEF64MM = 1 << 11, "the feature SVEF64MM of AT_HWCAP2";
    HWCAP2_SVEBF16 = 1 << 12, "the feature SVEBF16 of AT_HWCAP2";
    HWCAP2_I8MM = 1 << 13, "the feature I8MM of AT_HWCAP2";
    HWCAP2_BF16 = 1 << 14, "the feature BF16 of AT_HWCAP2";
    HWCAP2_DGH = 1 << 15, "the feature DGH of AT_HWCAP2";
    HWCAP2_RNG = 1 << 16, "the feature RNG of AT_HWCAP2";
    HWCAP2_BTI = 1 << 17, "the feature BTI of AT_HWCAP2";
    HWCAP2_MTE = 1 << 18, "the feature MTE of AT_HWCAP2";
    HWCAP2_ECV = 1 << 19, "the feature ECV of AT_HWCAP2";
    HWCAP2_AFP = 1 << 20, "the feature AFP of AT_HWCAP2";
    HWCAP2_RPRES = 1 << 21, "the feature RPRES of AT_HWCAP2";
    HWCAP2_MTE3 = 1 << 22, "the feature MTE3 of AT_HWCAP2";
    HWCAP2_SME = 1 << 23, "the feature SME of AT_HWCAP2";
    HWCAP2_SME_I16I64 = 1 << 24, "the feature SME_I16I64 of AT_HWCAP2";
    HWCAP2_SME_F64F64 = 1 << 25, "the feature SME_F64F64 of AT_HWCAP2";
    HWCAP2_SME_I8I32 = 1 << 26, "the feature SME_I8I32 of AT_HWCAP2";
    HWCAP2_SME_F16F32 = 1 << 27, "the feature SME_F16F32 of AT_HWCAP2";
    HWCAP2_SME_B16F32 = 1 << 28, "the feature SME_B16F32 of AT_HWCAP2";
    HWCAP2_SME_F32F32 = 1 << 29, "the feature SME_F32F32 of AT_HWCAP2";
    HWCAP2_SME_FA64 = 1 << 30, "the feature SME_FA64 of AT_HWCAP2";
    HWCAP2_WFXT = 1 << 31, "the feature WFXT of AT_HWCAP2";
    HWCAP2_EBF16 = 1 << 32, "the feature EBF16 of AT_HWCAP2";
    HWCAP2_SVE_EBF16 = 1 << 33, "the feature SVE_EBF16 of AT_HWCAP2";
}

constants! { u32:
    PROT_BTI = 0x10, "mmap: guarded against branches to anything but a landing pad";
    PROT_MTE = 0x20, "mmap: with memory tags";
    MAP_32BIT = 0, "mmap: x86_64 only, no bit here";
}

/// Words of the longest auxiliary vector: `AT_VECTOR_SIZE` of `linux/mm_types.h`, with two entries of the
/// architecture's own.
pub const AT_VECTOR_SIZE: usize = 46;

/// AT_PLATFORM and the machine of `uname`.
pub const MACHINE: &str = "aarch64";

/// The sizes of huge pages that `mmap` knows of, as powers of two (with 4 KiB pages).
pub const HUGE_PAGE_SHIFTS: &[u32] = &[16, 21, 25, 30];
