//! What a core dump says of a process and its threads. Source: Linux 6.1, `include/linux/elfcore.h`,
//! `include/uapi/linux/{elf,elfcore}.h`; core(5).
//!
//! The registers in a [`Prstatus`] are the architecture's `GeneralRegisters` of its folder, between the two parts.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::time::Timeval;

constants! { u32:
    NT_PRSTATUS = 1, "Prstatus of a thread";
    NT_PRFPREG = 2, "floating-point registers of a thread";
    NT_PRPSINFO = 3, "Prpsinfo of the process";
    NT_AUXV = 6, "the auxiliary vector";
    NT_X86_XSTATE = 0x202, "x86_64: the XSAVE area of a thread";
    NT_ARM_TLS = 0x401, "AArch64: the thread pointer";
    NT_ARM_SYSTEM_CALL = 0x404, "AArch64: the number of the system call, or -1";
    NT_FILE = 0x4649_4c45, "files that are mapped";
    NT_SIGINFO = 0x5349_4749, "the siginfo_t of the signal that ended the process";
}

constants! { u32:
    MMF_DUMP_ANON_PRIVATE = 1 << 0, "coredump_filter: private memory that was written to";
    MMF_DUMP_ANON_SHARED = 1 << 1, "coredump_filter: shared memory without a named file";
    MMF_DUMP_MAPPED_PRIVATE = 1 << 2, "coredump_filter: private mappings of files";
    MMF_DUMP_MAPPED_SHARED = 1 << 3, "coredump_filter: shared mappings of files";
    MMF_DUMP_ELF_HEADERS = 1 << 4, "coredump_filter: the first page of ELF files";
}

/// The first page of an executable is the smallest dump that is begun (`ELF_EXEC_PAGESIZE`).
pub const MIN_CORE_SIZE: u64 = 4096;

/// The part of a thread's status before its registers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PrstatusHead {
    /// Number of the signal.
    pub si_signo: i32,
    /// Its code.
    pub si_code: i32,
    /// Its error number.
    pub si_errno: i32,
    /// The signal again.
    pub pr_cursig: i16,
    /// Zero.
    pub pad: u16,
    /// Pending signals of the thread.
    pub pr_sigpend: u64,
    /// Blocked signals.
    pub pr_sighold: u64,
    /// The thread.
    pub pr_pid: i32,
    /// The parent of the process.
    pub pr_ppid: i32,
    /// The process group.
    pub pr_pgrp: i32,
    /// The session.
    pub pr_sid: i32,
    /// Time in user mode; of the whole process for its first thread.
    pub pr_utime: Timeval,
    /// Time in the kernel, as `pr_utime`.
    pub pr_stime: Timeval,
    /// User time of children that were waited for.
    pub pr_cutime: Timeval,
    /// Their time in the kernel.
    pub pr_cstime: Timeval,
}

/// The part behind the registers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PrstatusTail {
    /// Whether there are floating-point registers.
    pub pr_fpvalid: i32,
    /// Zero.
    pub pad: u32,
}

/// Longest argument string in a [`Prpsinfo`], with its end.
pub const ELF_PRARGSZ: usize = 80;

/// What is said of the process.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Prpsinfo {
    /// Number of the state, 0 for running.
    pub pr_state: u8,
    /// Its letter.
    pub pr_sname: u8,
    /// Whether it is a zombie.
    pub pr_zomb: u8,
    /// Nice value.
    pub pr_nice: i8,
    /// Zero.
    pub pad: u32,
    /// The kernel's flags.
    pub pr_flag: u64,
    /// Real user.
    pub pr_uid: u32,
    /// Real group.
    pub pr_gid: u32,
    /// Process.
    pub pr_pid: i32,
    /// Parent.
    pub pr_ppid: i32,
    /// Process group.
    pub pr_pgrp: i32,
    /// Session.
    pub pr_sid: i32,
    /// Name.
    pub pr_fname: [u8; 16],
    /// Arguments with blanks between them.
    pub pr_psargs: [u8; ELF_PRARGSZ],
}
