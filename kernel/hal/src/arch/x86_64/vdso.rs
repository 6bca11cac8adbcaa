//! The vDSO's functions for x86_64: clocks from the time-stamp counter.
//!
//! System V calling convention. A clock of the data page is read under its sequence number.
use core::mem::offset_of;
use libkernel::vdso::{CLOCKS, RAW_CLOCK, VdsoClock, VdsoData, WALL_CLOCKS};

crate::vdso::vdso_image! {
    machine: 62,
    version: "LINUX_2.6",
    version_hash: 0x3ae75f6,
    count: 4,
    functions: ["__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time", "__vdso_clock_getres"],
    code: [
        // in: nothing. out: RAX monotonic ns, R11 what makes it wall time. clobbers RDX, R8, R9, flags.
        "vdso_now:",
        "lea r8, [rip + vdso_image_start - 4096 + {steered}]",
        // in: R8 the clock. out and clobbers as above.
        "vdso_now_of:",
        "2:",
        "mov r9d, dword ptr [r8 + {sequence}]",
        "test r9d, 1",
        "jnz 3f",
        "lfence",
        "rdtsc",
        "shl rdx, 32",
        "or rax, rdx",
        "sub rax, qword ptr [r8 + {origin}]",
        "mul qword ptr [r8 + {per_cycle}]",
        "shrd rax, rdx, 32",
        "add rax, qword ptr [r8 + {offset}]",
        "mov r11, qword ptr [r8 + {wall_offset}]",
        "cmp r9d, dword ptr [r8 + {sequence}]",
        "jne 2b",
        "ret",
        "3:",
        "pause",
        "jmp 2b",

        // in: EDI clock id, RSI timespec. out: EAX 0 or a negative error.
        "vdso___vdso_clock_gettime:",
        "cmp edi, 31",
        "ja 2f",
        "mov eax, {clocks}",
        "bt eax, edi",
        "jnc 2f",
        "call vdso_now",
        "mov edx, {wall_clocks}",
        "bt edx, edi",
        "jnc 3f",
        "add rax, r11",
        "3:",
        "xor edx, edx",
        "mov ecx, 1000000000",
        "div rcx",
        "mov qword ptr [rsi], rax",
        "mov qword ptr [rsi + 8], rdx",
        "xor eax, eax",
        "ret",
        "2:",
        "cmp edi, {raw_clock}",
        "jne 4f",
        "lea r8, [rip + vdso_image_start - 4096 + {raw}]",
        "call vdso_now_of",
        "jmp 3b",
        "4:",
        "mov eax, {clock_gettime}",
        "syscall",
        "ret",
        "vdso___vdso_clock_gettime_end:",

        // in: RDI timeval or null, RSI timezone or null. out: EAX 0 or a negative error.
        "vdso___vdso_gettimeofday:",
        "test rsi, rsi",
        "jnz 2f",
        "test rdi, rdi",
        "jz 3f",
        "call vdso_now",
        "add rax, r11",
        "xor edx, edx",
        "mov ecx, 1000000000",
        "div rcx",
        "mov qword ptr [rdi], rax",
        "mov eax, edx",
        "xor edx, edx",
        "mov ecx, 1000",
        "div ecx",
        "mov qword ptr [rdi + 8], rax",
        "3:",
        "xor eax, eax",
        "ret",
        "2:",
        "mov eax, {gettimeofday}",
        "syscall",
        "ret",
        "vdso___vdso_gettimeofday_end:",

        // in: RDI where to store the seconds too, or null. out: RAX seconds since 1970.
        "vdso___vdso_time:",
        "call vdso_now",
        "add rax, r11",
        "xor edx, edx",
        "mov ecx, 1000000000",
        "div rcx",
        "test rdi, rdi",
        "jz 2f",
        "mov qword ptr [rdi], rax",
        "2:",
        "ret",
        "vdso___vdso_time_end:",

        // in: EDI clock id, RSI timespec or null. Rare: the kernel answers.
        "vdso___vdso_clock_getres:",
        "mov eax, {clock_getres}",
        "syscall",
        "ret",
        "vdso___vdso_clock_getres_end:",
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
        // arch/x86/entry/syscalls/syscall_64.tbl
        clock_gettime = const 228,
        gettimeofday = const 96,
        clock_getres = const 229,
    ]
}

/// x86_64 programs always name a restorer (`SA_RESTORER` is required), so the image has none.
pub fn sigreturn_offset() -> Option<u64> {
    None
}
