//! Creating, waiting for and describing processes.
//!
//! Source: Linux 6.1, `include/uapi/linux/{sched,wait,prctl,personality,reboot,capability}.h`.

use crate::time::Timeval;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a process has used (`getrusage`, `wait4`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Rusage {
    /// Time in its own code.
    pub ru_utime: Timeval,
    /// Time in the kernel.
    pub ru_stime: Timeval,
    /// Largest resident set, KiB.
    pub ru_maxrss: i64,
    /// Unused by Linux.
    pub ru_ixrss: i64,
    /// Unused by Linux.
    pub ru_idrss: i64,
    /// Unused by Linux.
    pub ru_isrss: i64,
    /// Page faults served without input.
    pub ru_minflt: i64,
    /// Page faults that needed input.
    pub ru_majflt: i64,
    /// Unused by Linux.
    pub ru_nswap: i64,
    /// Block input operations.
    pub ru_inblock: i64,
    /// Block output operations.
    pub ru_oublock: i64,
    /// Unused by Linux.
    pub ru_msgsnd: i64,
    /// Unused by Linux.
    pub ru_msgrcv: i64,
    /// Unused by Linux.
    pub ru_nsignals: i64,
    /// Switches because it waited.
    pub ru_nvcsw: i64,
    /// Switches because its time was up.
    pub ru_nivcsw: i64,
}

constants! { i32:
    RUSAGE_SELF = 0, "the process";
    RUSAGE_CHILDREN = -1, "its waited-for children";
    RUSAGE_THREAD = 1, "the thread";
}

/// The arguments of `clone3`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct CloneArgs {
    /// `CLONE_*` without a signal.
    pub flags: u64,
    /// Where to store the pidfd (CLONE_PIDFD).
    pub pidfd: u64,
    /// Where the child stores its id (CLONE_CHILD_SETTID, CLONE_CHILD_CLEARTID).
    pub child_tid: u64,
    /// Where the parent stores the child's id (CLONE_PARENT_SETTID).
    pub parent_tid: u64,
    /// Signal to the parent at exit; 0 for none.
    pub exit_signal: u64,
    /// Lowest byte of the child's stack.
    pub stack: u64,
    /// Size of the stack in bytes.
    pub stack_size: u64,
    /// Thread pointer (CLONE_SETTLS).
    pub tls: u64,
    /// Chosen ids, one a namespace.
    pub set_tid: u64,
    /// Number of `set_tid`.
    pub set_tid_size: u64,
    /// Control group (CLONE_INTO_CGROUP).
    pub cgroup: u64,
}

/// What `PR_SET_MM_MAP` says of a program: where its parts lie, its auxiliary vector and its file.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PrctlMmMap {
    /// First byte of the code.
    pub start_code: u64,
    /// End of the code.
    pub end_code: u64,
    /// First byte of the data.
    pub start_data: u64,
    /// End of the data.
    pub end_data: u64,
    /// First byte of the heap.
    pub start_brk: u64,
    /// The program break.
    pub brk: u64,
    /// The stack pointer that the program began with.
    pub start_stack: u64,
    /// First byte of the arguments.
    pub arg_start: u64,
    /// End of the arguments.
    pub arg_end: u64,
    /// First byte of the environment.
    pub env_start: u64,
    /// End of the environment.
    pub env_end: u64,
    /// Address of an auxiliary vector.
    pub auxv: u64,
    /// Its size in bytes; 0 for none.
    pub auxv_size: u32,
    /// Descriptor of the program's file; `u32::MAX` for none.
    pub exe_fd: u32,
}

/// Size of the first published [`CloneArgs`], which ended at `tls`.
pub const CLONE_ARGS_SIZE_VER0: usize = 64;

constants! { u64:
    CSIGNAL = 0xff, "clone: mask of the signal sent at exit";
    CLONE_NEWTIME = 0x80, "new time namespace";
    CLONE_VM = 0x100, "share the address space";
    CLONE_FS = 0x200, "share root, working directory and umask";
    CLONE_FILES = 0x400, "share the table of file descriptors";
    CLONE_SIGHAND = 0x800, "share signal handlers";
    CLONE_PIDFD = 0x1000, "return a pidfd";
    CLONE_PTRACE = 0x2000, "trace the child too";
    CLONE_VFORK = 0x4000, "the parent sleeps until the child execs or exits";
    CLONE_PARENT = 0x8000, "the child's parent is the caller's parent";
    CLONE_THREAD = 0x1_0000, "same thread group";
    CLONE_NEWNS = 0x2_0000, "new mount namespace";
    CLONE_SYSVSEM = 0x4_0000, "share semaphore undo lists";
    CLONE_SETTLS = 0x8_0000, "set the child's thread pointer";
    CLONE_PARENT_SETTID = 0x10_0000, "store the child's id in the parent";
    CLONE_CHILD_CLEARTID = 0x20_0000, "clear the id in the child at exit and wake its futex";
    CLONE_DETACHED = 0x40_0000, "ignored";
    CLONE_UNTRACED = 0x80_0000, "a tracer cannot force CLONE_PTRACE";
    CLONE_CHILD_SETTID = 0x100_0000, "store the child's id in the child";
    CLONE_NEWCGROUP = 0x200_0000, "new control-group namespace";
    CLONE_NEWUTS = 0x400_0000, "new host-name namespace";
    CLONE_NEWIPC = 0x800_0000, "new IPC namespace";
    CLONE_NEWUSER = 0x1000_0000, "new user namespace";
    CLONE_NEWPID = 0x2000_0000, "new process namespace";
    CLONE_NEWNET = 0x4000_0000, "new network namespace";
    CLONE_IO = 0x8000_0000, "share the I/O context";
    CLONE_CLEAR_SIGHAND = 0x1_0000_0000, "clone3: reset caught signals to default";
    CLONE_INTO_CGROUP = 0x2_0000_0000, "clone3: start in the given control group";
}

constants! { u32:
    WNOHANG = 1, "do not wait";
    WUNTRACED = 2, "wait4: stopped children too";
    WSTOPPED = 2, "waitid: stopped children";
    WEXITED = 4, "waitid: children that ended";
    WCONTINUED = 8, "continued children too";
    WNOWAIT = 0x0100_0000, "leave the child waitable";
    __WNOTHREAD = 0x2000_0000, "only the calling thread's own children";
    __WALL = 0x4000_0000, "children of every kind";
    __WCLONE = 0x8000_0000, "only children that do not send SIGCHLD";
    P_ALL = 0, "waitid: any child";
    P_PID = 1, "waitid: the child with this id";
    P_PGID = 2, "waitid: any child in this group";
    P_PIDFD = 3, "waitid: the child of this pidfd";
}

/// The status word that `wait4` stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitStatus(pub i32);

impl WaitStatus {
    /// A stopped child that was continued.
    pub const CONTINUED: WaitStatus = WaitStatus(0xffff);

    /// Ended by `exit` with the low eight bits of `code`.
    pub const fn exited(code: i32) -> WaitStatus {
        WaitStatus((code & 0xff) << 8)
    }

    /// Ended by `signal`, without a core dump.
    pub const fn signaled(signal: u32) -> WaitStatus {
        WaitStatus((signal & 0x7f) as i32)
    }

    /// Set in the status of a process that left a core dump.
    const DUMPED: i32 = 0x80;

    /// The same end, with a core dump.
    #[must_use]
    pub const fn with_core_dump(self) -> WaitStatus {
        WaitStatus(self.0 | Self::DUMPED)
    }

    /// Whether a signal ended it that left a core dump.
    pub const fn has_core_dump(self) -> bool {
        self.term_signal().is_some() && self.0 & Self::DUMPED != 0
    }

    /// Stopped by `signal`.
    pub const fn stopped(signal: u32) -> WaitStatus {
        WaitStatus(((signal & 0xff) << 8) as i32 | 0x7f)
    }

    /// The exit code, if the child ended by `exit`.
    pub const fn exit_code(self) -> Option<u8> {
        if self.0 & 0x7f == 0 { Some((self.0 >> 8) as u8) } else { None }
    }

    /// The signal that ended the child, if one did.
    pub const fn term_signal(self) -> Option<u32> {
        match self.0 & 0x7f {
            0 | 0x7f => None,
            signal => Some(signal as u32),
        }
    }

    /// The signal that stopped the child, if it is stopped.
    pub const fn stop_signal(self) -> Option<u32> {
        if self.0 & 0xff == 0x7f { Some((self.0 >> 8) as u32 & 0xff) } else { None }
    }

    /// What a shell reports: the exit code, or 128 + the signal.
    pub const fn shell_status(self) -> u8 {
        match (self.exit_code(), self.term_signal(), self.stop_signal()) {
            (Some(code), _, _) => code,
            (_, Some(signal), _) | (_, _, Some(signal)) => 128u8.wrapping_add(signal as u8),
            _ => 0,
        }
    }
}

constants! { u32:
    PR_SET_PDEATHSIG = 1, "signal at the parent's death";
    PR_GET_PDEATHSIG = 2, "read it";
    PR_GET_DUMPABLE = 3, "whether core dumps and tracing are allowed";
    PR_SET_DUMPABLE = 4, "set it";
    PR_GET_UNALIGN = 5, "what unaligned access does";
    PR_SET_UNALIGN = 6, "set it";
    PR_GET_KEEPCAPS = 7, "whether capabilities survive a change of user";
    PR_SET_KEEPCAPS = 8, "set it";
    PR_GET_TIMING = 13, "how processor time is measured";
    PR_SET_TIMING = 14, "set it";
    PR_SET_NAME = 15, "the thread's name, 16 bytes";
    PR_GET_NAME = 16, "read it";
    PR_GET_SECCOMP = 21, "the seccomp mode";
    PR_SET_SECCOMP = 22, "set it";
    PR_CAPBSET_READ = 23, "whether a capability is in the bounding set";
    PR_CAPBSET_DROP = 24, "take it out";
    PR_GET_TSC = 25, "whether RDTSC is allowed (x86)";
    PR_TSC_ENABLE = 1, "PR_SET_TSC: it is";
    PR_SET_TSC = 26, "set it";
    PR_GET_SECUREBITS = 27, "read the securebits";
    PR_SET_SECUREBITS = 28, "set them";
    PR_SET_TIMERSLACK = 29, "timer slack, ns";
    PR_GET_TIMERSLACK = 30, "read it";
    PR_SET_MM = 35, "fields of the memory descriptor";
    PR_SET_MM_START_CODE = 1, "PR_SET_MM: first byte of the code";
    PR_SET_MM_END_CODE = 2, "PR_SET_MM: end of the code";
    PR_SET_MM_START_DATA = 3, "PR_SET_MM: first byte of the data";
    PR_SET_MM_END_DATA = 4, "PR_SET_MM: end of the data";
    PR_SET_MM_START_STACK = 5, "PR_SET_MM: the first stack pointer";
    PR_SET_MM_START_BRK = 6, "PR_SET_MM: first byte of the heap";
    PR_SET_MM_BRK = 7, "PR_SET_MM: the program break";
    PR_SET_MM_ARG_START = 8, "PR_SET_MM: first byte of the arguments";
    PR_SET_MM_ARG_END = 9, "PR_SET_MM: end of the arguments";
    PR_SET_MM_ENV_START = 10, "PR_SET_MM: first byte of the environment";
    PR_SET_MM_ENV_END = 11, "PR_SET_MM: end of the environment";
    PR_SET_MM_AUXV = 12, "PR_SET_MM: the auxiliary vector";
    PR_SET_MM_EXE_FILE = 13, "PR_SET_MM: the program's file";
    PR_SET_MM_MAP = 14, "PR_SET_MM: all of that at once";
    PR_SET_MM_MAP_SIZE = 15, "PR_SET_MM: the size of PrctlMmMap";
    PR_SET_CHILD_SUBREAPER = 36, "adopt orphaned descendants";
    PR_GET_CHILD_SUBREAPER = 37, "read it";
    PR_SET_NO_NEW_PRIVS = 38, "execve grants nothing from now on";
    PR_GET_NO_NEW_PRIVS = 39, "read it";
    PR_GET_TID_ADDRESS = 40, "the set_tid_address pointer";
    PR_SET_THP_DISABLE = 41, "no transparent huge pages";
    PR_GET_THP_DISABLE = 42, "read it";
    PR_CAP_AMBIENT = 47, "ambient capabilities";
    PR_CAP_AMBIENT_IS_SET = 1, "PR_CAP_AMBIENT: whether one is there";
    PR_CAP_AMBIENT_RAISE = 2, "PR_CAP_AMBIENT: add one";
    PR_CAP_AMBIENT_LOWER = 3, "PR_CAP_AMBIENT: take one away";
    PR_CAP_AMBIENT_CLEAR_ALL = 4, "PR_CAP_AMBIENT: take all away";
    PR_GET_SPECULATION_CTRL = 52, "state of a speculation feature";
    PR_SET_SPECULATION_CTRL = 53, "set it";
    PR_SET_TAGGED_ADDR_CTRL = 55, "whether calls accept tagged addresses (AArch64)";
    PR_GET_TAGGED_ADDR_CTRL = 56, "read it";
    PR_SET_SYSCALL_USER_DISPATCH = 59, "signal on system calls outside a range";
    PR_SET_VMA = 0x5356_4d41, "attributes of a mapping";
    PR_SET_PTRACER = 0x5961_6d61, "who may trace";
}

constants! { u64:
    PR_SPEC_STORE_BYPASS = 0, "which: loads that pass older stores";
    PR_SPEC_INDIRECT_BRANCH = 1, "which: targets of indirect branches";
    PR_SPEC_L1D_FLUSH = 2, "which: the first-level cache at a switch";
    PR_SPEC_NOT_AFFECTED = 0, "state: the CPU does not do it";
    PR_SPEC_PRCTL = 1 << 0, "state: each thread can say";
    PR_SPEC_ENABLE = 1 << 1, "it speculates";
    PR_SPEC_DISABLE = 1 << 2, "it does not";
    PR_SPEC_FORCE_DISABLE = 1 << 3, "nor will";
    PR_SPEC_DISABLE_NOEXEC = 1 << 4, "it does not until execve";
}

constants! { u32:
    SECBIT_NOROOT = 0x01, "user 0 gets no capabilities by execve";
    SECBIT_NOROOT_LOCKED = 0x02, "that stays so";
    SECBIT_NO_SETUID_FIXUP = 0x04, "changes of user leave capabilities alone";
    SECBIT_NO_SETUID_FIXUP_LOCKED = 0x08, "that stays so";
    SECBIT_KEEP_CAPS = 0x10, "leaving user 0 keeps the permitted capabilities";
    SECBIT_KEEP_CAPS_LOCKED = 0x20, "that stays so";
    SECBIT_NO_CAP_AMBIENT_RAISE = 0x40, "no ambient capability can be added";
    SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED = 0x80, "that stays so";
    SECURE_ALL_BITS = 0x55, "mask of what is not a lock";
    SECURE_ALL_LOCKS = 0xaa, "mask of the locks";
}

constants! { u64:
    PR_TAGGED_ADDR_ENABLE = 1, "PR_SET_TAGGED_ADDR_CTRL: calls accept tagged addresses";
}

constants! { u32:
    PER_LINUX = 0, "personality: Linux";
    PER_LINUX32 = 8, "personality: uname says a 32-bit machine";
    PER_MASK = 0xff, "mask of the persona without flags";
    UNAME26 = 0x002_0000, "uname says 2.6";
    ADDR_NO_RANDOMIZE = 0x004_0000, "no address-space randomisation from the next execve on";
    FDPIC_FUNCPTRS = 0x008_0000, "function pointers are descriptors";
    MMAP_PAGE_ZERO = 0x010_0000, "page 0 is mapped";
    ADDR_COMPAT_LAYOUT = 0x020_0000, "old memory layout";
    READ_IMPLIES_EXEC = 0x040_0000, "PROT_READ gives PROT_EXEC";
    ADDR_LIMIT_32BIT = 0x080_0000, "32-bit addresses";
    SHORT_INODE = 0x100_0000, "16-bit inode numbers";
    WHOLE_SECONDS = 0x200_0000, "times in whole seconds";
    STICKY_TIMEOUTS = 0x400_0000, "select leaves its timeout unchanged";
    ADDR_LIMIT_3GB = 0x800_0000, "3 GiB of addresses";
}

constants! { u32:
    LINUX_REBOOT_MAGIC1 = 0xfee1_dead, "first argument of reboot";
    LINUX_REBOOT_MAGIC2 = 672_274_793, "second argument of reboot";
    LINUX_REBOOT_MAGIC2A = 85_072_278, "also accepted as second";
    LINUX_REBOOT_MAGIC2B = 369_367_448, "also accepted as second";
    LINUX_REBOOT_MAGIC2C = 537_993_216, "also accepted as second";
    LINUX_REBOOT_CMD_RESTART = 0x0123_4567, "restart";
    LINUX_REBOOT_CMD_HALT = 0xcdef_0123, "stop";
    LINUX_REBOOT_CMD_CAD_ON = 0x89ab_cdef, "Ctrl-Alt-Del restarts";
    LINUX_REBOOT_CMD_CAD_OFF = 0, "Ctrl-Alt-Del signals init";
    LINUX_REBOOT_CMD_POWER_OFF = 0x4321_fedc, "switch off";
    LINUX_REBOOT_CMD_RESTART2 = 0xa1b2_c3d4, "restart with a command string";
    LINUX_REBOOT_CMD_SW_SUSPEND = 0xd000_fce2, "suspend to disk";
    LINUX_REBOOT_CMD_KEXEC = 0x4558_4543, "start the loaded kernel";
}

/// Header of `capget` and `capset`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct CapUserHeader {
    /// [`LINUX_CAPABILITY_VERSION_3`], which has two [`CapUserData`].
    pub version: u32,
    /// Thread; 0 is the caller.
    pub pid: i32,
}

/// 32 of the capability bits of `capget` and `capset`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct CapUserData {
    /// In force.
    pub effective: u32,
    /// May be put in force.
    pub permitted: u32,
    /// Kept over execve.
    pub inheritable: u32,
}

constants! { u32:
    LINUX_CAPABILITY_VERSION_1 = 0x1998_0330, "one CapUserData";
    LINUX_CAPABILITY_VERSION_2 = 0x2007_1026, "two, deprecated";
    LINUX_CAPABILITY_VERSION_3 = 0x2008_0522, "two";
    CAP_LAST_CAP = 40, "the highest capability of Linux 6.1";
}

/// The priority of a realtime thread (`sched_setparam`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SchedParam {
    /// 1..=99 for SCHED_FIFO and SCHED_RR, else 0.
    pub sched_priority: i32,
}

/// How a thread is scheduled (`sched_setattr`), as of Linux 5.3; the first version ends before `sched_util_min`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SchedAttr {
    /// Bytes of the structure.
    pub size: u32,
    /// `SCHED_*`.
    pub sched_policy: u32,
    /// `SCHED_FLAG_*`.
    pub sched_flags: u64,
    /// Nice value, for the time-sharing policies.
    pub sched_nice: i32,
    /// Priority, for the realtime policies.
    pub sched_priority: u32,
    /// SCHED_DEADLINE: nanoseconds of each period.
    pub sched_runtime: u64,
    /// SCHED_DEADLINE: by when.
    pub sched_deadline: u64,
    /// SCHED_DEADLINE: length of the period.
    pub sched_period: u64,
    /// Least utilisation to assume.
    pub sched_util_min: u32,
    /// Most utilisation to assume.
    pub sched_util_max: u32,
}

/// Bytes of the first version of [`SchedAttr`].
pub const SCHED_ATTR_SIZE_VER0: usize = 48;

constants! { u64:
    SCHED_FLAG_RESET_ON_FORK = 0x01, "children start as SCHED_NORMAL";
    SCHED_FLAG_RECLAIM = 0x02, "SCHED_DEADLINE: use what others leave";
    SCHED_FLAG_DL_OVERRUN = 0x04, "SCHED_DEADLINE: signal an overrun";
    SCHED_FLAG_KEEP_POLICY = 0x08, "only change parameters";
    SCHED_FLAG_KEEP_PARAMS = 0x10, "only change the policy";
    SCHED_FLAG_UTIL_CLAMP_MIN = 0x20, "sched_util_min is set";
    SCHED_FLAG_UTIL_CLAMP_MAX = 0x40, "sched_util_max is set";
}

constants! { u32:
    SCHED_NORMAL = 0, "shared time";
    SCHED_FIFO = 1, "realtime, first in first out";
    SCHED_RR = 2, "realtime, round robin";
    SCHED_BATCH = 3, "shared time without interactivity";
    SCHED_IDLE = 5, "only when nothing else runs";
    SCHED_DEADLINE = 6, "earliest deadline first";
    SCHED_RESET_ON_FORK = 0x4000_0000, "children start as SCHED_NORMAL";
}
