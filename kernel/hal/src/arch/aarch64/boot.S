// The Linux Image header, the first instructions, and the way up to the linked address.
//
// Entered as Documentation/arch/arm64/booting.rst of Linux says: MMU and data cache off, interrupts masked, EL1 or EL2
// (non-secure), x0 = physical address of the device tree, x1..x3 = 0, the image at any 2 MiB-aligned physical address.
//
// Everything up to `mmu_on` runs at the physical address: only PC-relative addressing (adr, adrp), no literal pools of
// absolute symbols except where an absolute (virtual) address is meant. There is no stack until `at_link_address`.
//
// UEFI firmware enters elsewhere, at any page, and finds a device tree or none in a table of its own: `efi_entry`.
//
// Registers that live through this file:
//   x21  device tree, physical; 0 under UEFI
//   x22  image start, physical
//   x23  boot tables, physical
//   x25  the virtual counter, soon after the first instruction
//   x26  linked address at which to go on
//
// Boot tables, one 4 KiB page each, in .boot_tables behind .bss (offsets in pages):
//   0      TTBR1 level 0, the kernel's root for ever
//   1      TTBR1 level 1 of the top 512 GiB
//   2      TTBR1 level 2 of the image's GiB: entries 0.. point to the level 3 tables; 256, 257: the device tree's window
//   3..10  TTBR1 level 3: the image by 4 KiB pages (16 MiB at most, asserted by the linker script)
//   11..13 TTBR0 level 0, 1, 2: the identity mapping of the 2 MiB that hold `turn_on_mmu`, dropped soon after

.macro page_address reg, number
    add     \reg, x23, #(\number << 12)
.endm

// Level 3 entries from \attributes for all pages from x1 up to the symbol \end; x0 = next entry. Clobbers x2, x3, x4.
.macro map_pages end, attributes
    ldr     x3, =\attributes
    adrp    x2, \end
1:  orr     x4, x1, x3
    str     x4, [x0], #8
    add     x1, x1, #4096
    cmp     x1, x2
    b.lo    1b
.endm

.section .boot.text, "ax"
.global _start
_start:
    ccmp    x18, #0, #0xd, pl           // code0: does nothing, and reads "MZ", for which firmware looks
    b       entry                       // code1
    .quad   0                           // text_offset
    .quad   __image_size                // image_size, with .bss
    .quad   0xa                         // flags: little-endian, 4 KiB pages, anywhere in memory
    .quad   0, 0, 0                     // reserved
    .ascii  "ARM\x64"                   // magic
    .long   pe_header - _start

// What makes the file an application for UEFI firmware (Microsoft's PE/COFF specification): the file as it lies in memory, this page
// aside, in two sections, the text and all else. Firmware may put it at any page. The build writes how long the file is.
.balign 8
pe_header:
    .ascii  "PE\0\0"
    .short  0xaa64                      // machine: AArch64
    .short  2                           // sections
    .long   0, 0, 0                     // no time, no symbols
    .short  section_table - optional_header
    .short  0x206                       // executable; no line numbers, no debug information
optional_header:
    .short  0x20b                       // PE32+
    .byte   0, 0
    .long   __pe_text_size              // code
    .long   __pe_data_size              // data, some of which is in no file
    .long   0
    .long   __efi_entry_offset
    .long   PE_HEADERS                  // base of code
    .quad   0                           // no address is wanted
    .long   4096, 512                   // alignment in memory and in the file
    .short  0, 0, 0, 0, 0, 0
    .long   0
    .long   __image_size_32
    .long   PE_HEADERS
    .long   0
    .short  10                          // EFI application
    .short  0
    .quad   0, 0, 0, 0
    .long   0
    .long   6                           // directories, all empty
    .quad   0, 0, 0, 0, 0, 0
section_table:
    .ascii  ".text\0\0\0"
    .long   __pe_text_size, PE_HEADERS, __pe_text_size, PE_HEADERS
    .long   0, 0, 0
    .long   0x60000020                  // code, to be executed and read
    .ascii  ".data\0\0\0"
    .long   __pe_data_size, __pe_data_offset, __pe_data_size, __pe_data_offset
    .long   0, 0, 0
    .long   0xc0000040                  // data, to be read and written
// A CPU without pages of 4 KiB ends here. No console is known yet: a semihosting host hears of it and ends; where none listens the
// instruction is undefined, and the vectors are this page, where an exception waits for ever. In: x22.
no_small_pages:
    msr     spsel, #1
    msr     vbar_el1, x22
    isb
    mov     x0, #0x04                   // SYS_WRITE0
    adr     x1, no_small_pages_text
    hlt     #0xf000
    mov     x0, #0x18                   // SYS_EXIT
    adr     x1, no_small_pages_status
    hlt     #0xf000
.org 0x200                              // an exception of EL1 (D1.3.1)
never:
    wfi
    b       never
no_small_pages_status:
    .quad   0x20026, 1                  // ADP_Stopped_ApplicationExit, and a status
no_small_pages_text:
    .asciz  "orlop: this CPU has no pages of 4 KiB\n"
.org PE_HEADERS

// Where UEFI firmware enters (UEFI 2.10, 2.3.6): EL1 or EL2, memory mapped at its own addresses, caches on, a stack of 128 KiB and more.
// In: x0 = the image's handle, x1 = EFI's system table. To `entry` with X0 = 0, the image written back to memory; or returns
// EFI_LOAD_ERROR where firmware does not let go. In EL2 its translation stays on: nothing runs there any more.
.global efi_entry
efi_entry:
    stp     x29, x30, [sp, #-16]!
    mov     x29, sp
    bl      aarch64_efi_main
    tbnz    w0, #0, 1f
    ldp     x29, x30, [sp], #16
    mov     x0, #1
    movk    x0, #0x8000, lsl #48
    ret
1:  mov     x0, xzr

entry:
    msr     daifset, #0xf
    mov     x21, x0
    adrp    x22, _start
    adrp    x23, __boot_tables
    ldr     x26, =at_link_address
    bl      to_el1
    mrs     x0, id_aa64mmfr0_el1
.global small_pages_told
small_pages_told:
    tbnz    x0, #31, no_small_pages     // ID_AA64MMFR0_EL1.TGran4 is negative; UEFI promises such pages
    mrs     x25, cntvct_el0
    bl      forget_stale_lines          // first: a dirty line that is written back later would undo what is written here
    bl      clear_boot_tables
    bl      map_image
    bl      map_identity
    bl      forget_stale_lines          // again: what a prefetcher brought in before the tables were written
    b       turn_on_mmu

// Where firmware lets another CPU begin (PSCI CPU_ON), as the boot CPU began: MMU and data cache off, interrupts masked.
// In: x0 = the address of its `Start`, virtual. Lives on in x20.
.global secondary_entry
secondary_entry:
    msr     daifset, #0xf
    mov     x20, x0
    adrp    x23, __boot_tables
    ldr     x26, =secondary_at_link_address
    bl      to_el1
    mrs     x0, id_aa64mmfr0_el1
    tbnz    x0, #31, never              // as for the boot CPU; which reports that this one did not come
    b       turn_on_mmu

// ---- EL2 ------------------------------------------------------------------------------------------------------------

// Returns in EL1, MMU and data cache off, whichever exception level it is called in. Clobbers x0, x1.
to_el1:
    ldr     x0, =SCTLR_MMU_OFF
    mrs     x1, CurrentEL
    cmp     x1, #(2 << 2)
    b.eq    leave_el2
    msr     sctlr_el1, x0
    isb
    ret

// Gives EL1 the machine as if there were no EL2: AArch64, no traps, timers open, GICv3 system registers on. What EL2 would
// have to switch on for EL1 (SVE, SME, MTE, pointer authentication keys aside) stays off: programs are not offered it.
//
// In: EL2, x0 = SCTLR_MMU_OFF. Clobbers x0, x1. Returns by eret, EL1h, all interrupts masked. All registers here are
// unknown after reset. HCRX_EL2 is left alone, as by Linux 6.1: nothing in it concerns this kernel, and the PSCI of QEMU 7.2
// starts CPUs below EL3 with access to it trapped.
leave_el2:
    ldr     x1, =((1 << 31) | (1 << 40) | (1 << 41))    // HCR_EL2: RW; APK, API: pointer authentication not trapped
    msr     hcr_el2, x1
    isb
    mrs     x1, hcr_el2
    tbnz    x1, #34, 1f                 // E2H is fixed at 1 (no FEAT_E2H0): other names, other layouts (D8.10.2)
    msr     sctlr_el1, x0
    mov     x0, #3                      // CNTHCTL_EL2: EL1PCEN, EL1PCTEN
    msr     cnthctl_el2, x0
    mov     x0, #0x33ff                 // CPTR_EL2: RES1 bits, SVE and SME trapped; FP and SIMD not trapped
    msr     cptr_el2, x0
    b       2f
1:  msr     s3_5_c1_c0_0, x0            // SCTLR_EL12
    mov     x0, #(3 << 10)              // CNTHCTL_EL2: EL1PCTEN, EL1PTEN
    msr     cnthctl_el2, x0
    mov     x0, #(3 << 20)              // CPTR_EL2: FPEN
    msr     cptr_el2, x0
2:  msr     cntvoff_el2, xzr
    msr     hstr_el2, xzr
    msr     vttbr_el2, xzr
    mrs     x0, midr_el1
    msr     vpidr_el2, x0
    mrs     x0, mpidr_el1
    msr     vmpidr_el2, x0

    // MDCR_EL2: no debug traps; HPMN = all performance counters, where there are any (0 there is unpredictable).
    mrs     x0, id_aa64dfr0_el1
    sbfx    x0, x0, #8, #4
    cmp     x0, #0
    mov     x1, xzr
    b.le    1f
    mrs     x1, pmcr_el0
    ubfx    x1, x1, #11, #5
1:  msr     mdcr_el2, x1

    mrs     x0, id_aa64mmfr1_el1
    ubfx    x0, x0, #16, #4             // FEAT_LOR: no limited ordering regions
    cbz     x0, 1f
    msr     s3_0_c10_c4_3, xzr          // LORC_EL1
1:  mrs     x0, id_aa64mmfr0_el1
    ubfx    x0, x0, #56, #4             // FEAT_FGT: no fine-grained traps
    cbz     x0, 1f
    msr     s3_4_c1_c1_4, xzr           // HFGRTR_EL2
    msr     s3_4_c1_c1_5, xzr           // HFGWTR_EL2
    msr     s3_4_c1_c1_6, xzr           // HFGITR_EL2
    msr     s3_4_c3_c1_4, xzr           // HDFGRTR_EL2
    msr     s3_4_c3_c1_5, xzr           // HDFGWTR_EL2
    mrs     x0, id_aa64pfr0_el1
    ubfx    x0, x0, #44, #4             // FEAT_AMUv1
    cbz     x0, 1f
    msr     s3_4_c3_c1_6, xzr           // HAFGRTR_EL2
1:  mrs     x0, id_aa64pfr0_el1
    ubfx    x0, x0, #24, #4             // GIC system registers
    cbz     x0, 1f
    mrs     x0, s3_4_c12_c9_5           // ICC_SRE_EL2
    mov     x1, #9                      // SRE, Enable
    orr     x0, x0, x1
    msr     s3_4_c12_c9_5, x0
    isb
    mrs     x0, s3_4_c12_c9_5           // firmware may insist on the registers of a GICv2
    tbz     x0, #0, 1f
    msr     s3_4_c12_c11_0, xzr         // ICH_HCR_EL2
1:  mov     x0, #0x3c5                  // EL1h, D A I F masked
    msr     spsr_el2, x0
    msr     elr_el2, x30
    eret

// ---- Tables ---------------------------------------------------------------------------------------------------------

// Zeroes the boot tables. Clobbers x0, x1.
clear_boot_tables:
    mov     x0, x23
    adrp    x1, __boot_tables_end
1:  stp     xzr, xzr, [x0], #16
    cmp     x0, x1
    b.lo    1b
    ret

// Invalidates every cache line of the boot tables, so that the table walker sees what was stored with the cache off.
// Clobbers x0, x1, x2, x3.
forget_stale_lines:
    dmb     sy
    mrs     x2, ctr_el0
    ubfx    x2, x2, #16, #4             // DminLine: log2 of words
    mov     x3, #4
    lsl     x2, x3, x2
    mov     x0, x23
    adrp    x1, __boot_tables_end
1:  dc      ivac, x0
    add     x0, x0, x2
    cmp     x0, x1
    b.lo    1b
    dsb     sy
    ret

// Maps the image at its link address by 4 KiB pages, each section with its own permissions. Clobbers x0..x4.
map_image:
    page_address x0, 1
    orr     x1, x0, #TABLE
    str     x1, [x23, #(511 * 8)]       // level 0: the top 512 GiB
    page_address x1, 2
    orr     x1, x1, #TABLE
    str     x1, [x0, #(510 * 8)]        // level 1: 0xffff_ffff_8000_0000
    page_address x0, 2
    page_address x1, 3
    mov     x2, #8
1:  orr     x3, x1, #TABLE              // level 2: all level 3 tables, side by side
    str     x3, [x0], #8
    add     x1, x1, #4096
    subs    x2, x2, #1
    b.ne    1b

    page_address x0, 3                  // level 3
    mov     x1, x22
    map_pages __text_end, PAGE_TEXT
    map_pages __rodata_end, PAGE_RODATA
    map_pages __symbols_start, PAGE_DATA
    map_pages __bss_start, PAGE_RODATA
    map_pages __image_end, PAGE_DATA
    ret

// Maps the 2 MiB that hold `turn_on_mmu` to themselves. Clobbers x0..x3.
map_identity:
    adr     x0, turn_on_mmu
    page_address x1, 11
    page_address x2, 12
    ubfx    x3, x0, #39, #9
    orr     x2, x2, #TABLE
    str     x2, [x1, x3, lsl #3]
    page_address x1, 12
    page_address x2, 13
    ubfx    x3, x0, #30, #9
    orr     x2, x2, #TABLE
    str     x2, [x1, x3, lsl #3]
    page_address x1, 13
    ubfx    x3, x0, #21, #9
    and     x0, x0, #~0x1fffff
    ldr     x2, =BLOCK_IDENTITY
    orr     x0, x0, x2
    str     x0, [x1, x3, lsl #3]
    ret

// ---- MMU ------------------------------------------------------------------------------------------------------------

// In: x23, x26. Goes on at the linked address x26, with the MMU and the caches on. Clobbers x0..x3.
turn_on_mmu:
    tlbi    vmalle1
    ic      iallu
    dsb     nsh
    ldr     x0, =MAIR_VALUE
    msr     mair_el1, x0
    ldr     x0, =TCR_VALUE
    mrs     x1, id_aa64mmfr0_el1
    ubfx    x2, x1, #0, #4              // PARange: 48 bits at most without FEAT_LPA2
    mov     x3, #5
    cmp     x2, x3
    csel    x2, x2, x3, lo
    bfi     x0, x2, #32, #3             // IPS
    ubfx    x2, x1, #4, #4              // ASIDBits
    cmp     x2, #2
    b.ne    1f
    orr     x0, x0, #(1 << 36)          // AS: 16-bit ASIDs
1:  msr     tcr_el1, x0
    page_address x0, 11
    msr     ttbr0_el1, x0
    msr     ttbr1_el1, x23
    isb
    ldr     x0, =SCTLR_MMU_ON
    msr     sctlr_el1, x0
    isb
    br      x26

at_link_address:
    ldr     x0, =__bss_start
    ldr     x1, =__bss_end
1:  stp     xzr, xzr, [x0], #16         // both ends are page starts
    stp     xzr, xzr, [x0], #16
    stp     xzr, xzr, [x0], #16
    stp     xzr, xzr, [x0], #16
    cmp     x0, x1
    b.lo    1b
    ldr     x0, =vectors
    msr     vbar_el1, x0
    isb
    ldr     x0, =BOOT_STACKS + 2 * STACK_SIZE + STACK_SIZE - RUNNING_SIZE   // slot 1
    msr     tpidr_el1, x0               // the stack's block, zeroed with .bss
    mov     sp, x0
    mov     x29, xzr
    mov     x30, xzr
    mov     x0, x21
    mov     x1, x22
    mov     x2, x25
    b       aarch64_start

secondary_at_link_address:
    ldr     x0, =vectors
    msr     vbar_el1, x0
    isb
    ldr     x0, [x20, #START_STACK_TOP]
    sub     x0, x0, #RUNNING_SIZE
    msr     tpidr_el1, x0               // the stack's block, which the boot CPU filled
    mov     sp, x0
    mov     x29, xzr
    mov     x30, xzr
    mov     x0, x20
    b       aarch64_start_cpu
    .ltorg

.section .boot_tables, "aw", @nobits
.balign 4096
    .skip   14 * 4096
