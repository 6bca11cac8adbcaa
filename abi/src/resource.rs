//! Resource limits and priorities. Source: Linux 6.1, `include/uapi/asm-generic/resource.h`, `linux/resource.h`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A soft and a hard limit (`prlimit64`; `getrlimit` has the same layout on 64-bit machines).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Rlimit {
    /// What is enforced.
    pub rlim_cur: u64,
    /// What `rlim_cur` may be raised to.
    pub rlim_max: u64,
}

/// No limit.
pub const RLIM_INFINITY: u64 = u64::MAX;

constants! { u32:
    RLIMIT_CPU = 0, "processor time, s";
    RLIMIT_FSIZE = 1, "size of a file, bytes";
    RLIMIT_DATA = 2, "data segment, bytes";
    RLIMIT_STACK = 3, "stack, bytes";
    RLIMIT_CORE = 4, "core dump, bytes";
    RLIMIT_RSS = 5, "resident set, bytes; not enforced";
    RLIMIT_NPROC = 6, "processes of a user";
    RLIMIT_NOFILE = 7, "open files";
    RLIMIT_MEMLOCK = 8, "locked memory, bytes";
    RLIMIT_AS = 9, "address space, bytes";
    RLIMIT_LOCKS = 10, "file locks; not enforced";
    RLIMIT_SIGPENDING = 11, "queued signals";
    RLIMIT_MSGQUEUE = 12, "bytes in message queues";
    RLIMIT_NICE = 13, "20 - the lowest nice value allowed";
    RLIMIT_RTPRIO = 14, "highest realtime priority";
    RLIMIT_RTTIME = 15, "realtime processor time without a wait, µs";
    RLIM_NLIMITS = 16, "number of limits";
    PRIO_PROCESS = 0, "getpriority: a process";
    PRIO_PGRP = 1, "getpriority: a process group";
    PRIO_USER = 2, "getpriority: a user";
    IOPRIO_CLASS_SHIFT = 13, "ioprio_set: where the class stands, above the level";
    IOPRIO_CLASS_NONE = 0, "ioprio_set: as the nice value says";
    IOPRIO_CLASS_RT = 1, "ioprio_set: before all others";
    IOPRIO_CLASS_BE = 2, "ioprio_set: by levels";
    IOPRIO_CLASS_IDLE = 3, "ioprio_set: when nobody else wants the device";
    IOPRIO_NR_LEVELS = 8, "ioprio_set: number of levels";
    IOPRIO_WHO_PROCESS = 1, "ioprio_set: a thread";
    IOPRIO_WHO_PGRP = 2, "ioprio_set: a process group";
    IOPRIO_WHO_USER = 3, "ioprio_set: a user";
}
