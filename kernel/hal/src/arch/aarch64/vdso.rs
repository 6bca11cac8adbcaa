//! The vDSO's functions for AArch64: clocks from the virtual counter, and the return from a signal handler.
//!
//! AAPCS64. A clock of the data page is read under its sequence number, with load barriers on both sides (Arm ARM,
//! B2.3.12); `isb` keeps the counter from being read early (Arm ARM, D12.1.2).
use core::mem::offset_of;
use libkernel::clock::SECOND_NS;
use libkernel::vdso::{CLOCKS, RAW_CLOCK, VdsoClock, VdsoData, WALL_CLOCKS};

crate::vdso::vdso_image! {
    machine: 183,
    version: "LINUX_2.6.39",
    version_hash: 0x75fcb89,
    count: 4,
    functions: [
        "__kernel_rt_sigreturn", "__kernel_gettimeofday", "__kernel_clock_gettime", "__kernel_clock_getres",
    ],
    code: [
        // Unwinders recognise a signal frame by exactly these two instructions.
        "vdso___kernel_rt_sigreturn:",
        "mov x8, #{rt_sigreturn}",
        "svc #0",
        "vdso___kernel_rt_sigreturn_end:",

        // in: nothing. out: X10 monotonic ns, X11 what makes it wall time. clobbers X9, X12-X15, flags.
        "vdso_now:",
        "adr x9, vdso_image_start - 4096 + {steered}",
        // in: X9 the clock. out and clobbers as above.
        "vdso_now_of:",
        "2:",
        "ldr w12, [x9, #{sequence}]",
        "tbnz w12, #0, 3f",
        "dmb ishld",
        "isb",
        "mrs x10, cntvct_el0",
        "ldr x13, [x9, #{origin}]",
        "ldr x14, [x9, #{per_cycle}]",
        "sub x10, x10, x13",
        "mul x13, x10, x14",
        "umulh x15, x10, x14",
        "extr x10, x15, x13, #32",
        "ldr x13, [x9, #{offset}]",
        "ldr x11, [x9, #{wall_offset}]",
        "add x10, x10, x13",
        "dmb ishld",
        "ldr w13, [x9, #{sequence}]",
        "cmp w12, w13",
        "b.ne 2b",
        "ret",
        "3:",
        "yield",
        "b 2b",

        // in: W0 clock id, X1 timespec. out: W0 0 or a negative error.
        "vdso___kernel_clock_gettime:",
        "cmp w0, #31",
        "b.hi 2f",
        "mov w2, #{clocks}",
        "lsr w2, w2, w0",
        "tbz w2, #0, 2f",
        "mov x3, x30",
        "bl vdso_now",
        "mov w2, #{wall_clocks}",
        "lsr w2, w2, w0",
        "tbz w2, #0, 3f",
        "add x10, x10, x11",
        "3:",
        "mov w12, #{billion_low}",
        "movk w12, #{billion_high}, lsl #16",
        "udiv x13, x10, x12",
        "msub x11, x13, x12, x10",
        "stp x13, x11, [x1]",
        "mov w0, #0",
        "ret x3",
        "2:",
        "cmp w0, #{raw_clock}",
        "b.ne 4f",
        "mov x3, x30",
        "adr x9, vdso_image_start - 4096 + {raw}",
        "bl vdso_now_of",
        "b 3b",
        "4:",
        "mov x8, #{clock_gettime}",
        "svc #0",
        "ret",
        "vdso___kernel_clock_gettime_end:",

        // in: X0 timeval or null, X1 timezone or null. out: W0 0 or a negative error.
        "vdso___kernel_gettimeofday:",
        "cbnz x1, 2f",
        "cbz x0, 3f",
        "mov x3, x30",
        "bl vdso_now",
        "add x10, x10, x11",
        "mov w12, #{billion_low}",
        "movk w12, #{billion_high}, lsl #16",
        "udiv x13, x10, x12",
        "msub x11, x13, x12, x10",
        "mov w12, #1000",
        "udiv x11, x11, x12",
        "stp x13, x11, [x0]",
        "mov w0, #0",
        "ret x3",
        "3:",
        "mov w0, #0",
        "ret",
        "2:",
        "mov x8, #{gettimeofday}",
        "svc #0",
        "ret",
        "vdso___kernel_gettimeofday_end:",

        // in: W0 clock id, X1 timespec or null. Rare: the kernel answers.
        "vdso___kernel_clock_getres:",
        "mov x8, #{clock_getres}",
        "svc #0",
        "ret",
        "vdso___kernel_clock_getres_end:",
    ],
    operands: [
        steered = const offset_of!(VdsoData, steered),
        raw = const offset_of!(VdsoData, raw),
        sequence = const offset_of!(VdsoClock, sequence),
        origin = const offset_of!(VdsoClock, origin),
        offset = const offset_of!(VdsoClock, offset_ns),
        per_cycle = const offset_of!(VdsoClock, nanoseconds_per_cycle),
        wall_offset = const offset_of!(VdsoClock, wall_offset_ns),
        raw_clock = const RAW_CLOCK,
        clocks = const CLOCKS,
        wall_clocks = const WALL_CLOCKS,
        billion_low = const SECOND_NS & 0xffff,
        billion_high = const SECOND_NS >> 16,
        // include/uapi/asm-generic/unistd.h
        rt_sigreturn = const 139,
        clock_gettime = const 113,
        gettimeofday = const 169,
        clock_getres = const 114,
    ]
}

unsafe extern "C" {
    #[link_name = "vdso___kernel_rt_sigreturn"]
    static SIGRETURN: u8;
}

/// Where handlers return: C libraries for AArch64 name no restorer.
pub fn sigreturn_offset() -> Option<u64> {
    Some(((&raw const SIGRETURN).addr() - (&raw const IMAGE_START).addr()) as u64)
}
