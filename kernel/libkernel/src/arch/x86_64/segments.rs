//! Segment selectors and descriptors of the 64-bit GDT and TSS.
//!
//! The order serves `syscall` and `sysretq`: `syscall` takes CS from STAR[47:32] and SS from the slot behind it;
//! `sysretq` takes SS from the slot behind STAR[63:48] and CS from the second behind it (SDM volume 2, SYSCALL,
//! SYSRET). The numbers are Linux's, because programs save, compare and restore them.
//!
//! ```text
//! 0x00 null        0x10 kernel code   0x18 kernel data   0x20 user code, 32-bit: not present
//! 0x28 user data   0x30 user code     0x38 null          0x40 TSS (two slots)
//! 0x50 to 0x70 null                   0x78 the CPU's number
//! ```

/// Kernel code selector.
pub const KERNEL_CODE: u16 = 0x10;
/// Kernel data selector; also `ss` after `syscall`.
pub const KERNEL_DATA: u16 = 0x18;
/// Base of the `sysret` group; its own slot would be 32-bit code and is not present.
pub const SYSRET_BASE: u16 = 0x20 | RING_3;
/// User data selector with its privilege level.
pub const USER_DATA: u16 = 0x28 | RING_3;
/// User 64-bit code selector with its privilege level.
pub const USER_CODE: u16 = 0x30 | RING_3;
/// Task-state segment selector.
pub const TASK_STATE: u16 = 0x40;
/// A data segment whose limit is the CPU's number, for programs to ask with `lsl`: `getcpu` of the vDSO.
pub const CPU_NUMBER: u16 = 0x78 | RING_3;
/// Slots in the GDT.
pub const GDT_ENTRIES: usize = 16;

/// Requested privilege level of programs.
pub const RING_3: u16 = 3;

/// What IA32_STAR holds (SDM volume 3, 5.8.8).
pub const STAR: u64 = (SYSRET_BASE as u64) << 48 | (KERNEL_CODE as u64) << 32;

/// Descriptor of flat 64-bit kernel code: present, ring 0, executable, readable, accessed, L.
pub const KERNEL_CODE_DESCRIPTOR: u64 = 0x00af_9b00_0000_ffff;
/// Descriptor of flat kernel data: present, ring 0, writable, accessed.
pub const KERNEL_DATA_DESCRIPTOR: u64 = 0x00cf_9300_0000_ffff;
/// Descriptor of flat user data: present, ring 3, writable, accessed.
pub const USER_DATA_DESCRIPTOR: u64 = 0x00cf_f300_0000_ffff;
/// Descriptor of flat 64-bit user code: present, ring 3, executable, readable, accessed, L.
pub const USER_CODE_DESCRIPTOR: u64 = 0x00af_fb00_0000_ffff;

/// The two words of an available 64-bit TSS descriptor (SDM volume 3, 8.2.3).
pub const fn task_state_descriptor(base: u64, limit: u32) -> [u64; 2] {
    let limit = limit as u64;
    let low = (limit & 0xffff)
        | (base & 0xff_ffff) << 16
        | 0x89 << 40
        | (limit >> 16 & 0xf) << 48
        | (base >> 24 & 0xff) << 56;
    [low, base >> 32]
}

/// The descriptor behind [`CPU_NUMBER`]: read-only data, present, ring 3, accessed. The limit counts bytes, so it is
/// what `lsl` gives, and has room for 20 bits: twelve of the number, and above them the node, which is 0 (Linux:
/// `GDT_ENTRY_CPUNODE`).
pub const fn cpu_number_descriptor(cpu: u32) -> u64 {
    0x0040_f100_0000_0000 | (cpu & 0xfff) as u64
}

/// The whole table for a CPU of this number whose TSS lies at `tss_base` with its last byte at offset `tss_limit`.
pub const fn gdt(cpu: u32, tss_base: u64, tss_limit: u32) -> [u64; GDT_ENTRIES] {
    let [tss_low, tss_high] = task_state_descriptor(tss_base, tss_limit);
    [
        0,
        0,
        KERNEL_CODE_DESCRIPTOR,
        KERNEL_DATA_DESCRIPTOR,
        0,
        USER_DATA_DESCRIPTOR,
        USER_CODE_DESCRIPTOR,
        0,
        tss_low,
        tss_high,
        0,
        0,
        0,
        0,
        0,
        cpu_number_descriptor(cpu),
    ]
}

/// An IDT interrupt gate (SDM volume 3, 6.14.1): interrupts are off inside. `stack` is 0 or an IST number 1 to 7,
/// `ring` the least privileged level that may use it with `int`.
pub const fn interrupt_gate(handler: u64, stack: u8, ring: u16) -> [u64; 2] {
    let low = (handler & 0xffff)
        | (KERNEL_CODE as u64) << 16
        | ((stack & 7) as u64) << 32
        | 0x8e << 40
        | ((ring & 3) as u64) << 45
        | (handler >> 16 & 0xffff) << 48;
    [low, handler >> 32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_leads_to_the_selectors() {
        assert_eq!((STAR >> 48) as u16 + 8, USER_DATA);
        assert_eq!((STAR >> 48) as u16 + 16, USER_CODE);
        assert_eq!((STAR >> 32) as u16 + 8, KERNEL_DATA);
        let table = gdt(5, 0, 0);
        assert_eq!(table[usize::from(SYSRET_BASE >> 3)], 0, "32-bit code is not present");
        assert_eq!(table[usize::from(USER_CODE >> 3)], USER_CODE_DESCRIPTOR);
        assert_eq!(table[usize::from(CPU_NUMBER >> 3)] & 0xffff, 5);
    }

    #[test]
    fn a_task_state_descriptor_carries_base_and_limit() {
        let [low, high] = task_state_descriptor(0xffff_8123_4567_89ab, 0x67);
        let base = (low >> 16 & 0xff_ffff) | (low >> 56) << 24 | high << 32;
        assert_eq!(base, 0xffff_8123_4567_89ab);
        assert_eq!(low & 0xffff, 0x67);
    }

    #[test]
    fn a_gate_carries_its_handler() {
        let [low, high] = interrupt_gate(0xffff_ffff_8123_4567, 2, 3);
        assert_eq!((low & 0xffff) | (low >> 48) << 16 | high << 32, 0xffff_ffff_8123_4567);
        assert_eq!(low >> 32 & 0xffff, 0xee02);
    }
}
