//! The real-mode part of a bzImage: what the BIOS knows of memory goes into a zero page, and on to protected mode.
//!
//! The build copies these bytes behind the setup header, at `OFFSET` of the segment into which a loader puts them
//! (Linux, `Documentation/arch/x86/boot.rst`, "The Real-mode Kernel Header", "Running the Kernel"). The kernel itself
//! never runs them.
use core::arch::global_asm;

/// Where the setup header ends.
const OFFSET: u32 = 0x268;
/// In the same segment: the zero page, and the end of the stack. A loader leaves 32 KiB to this code.
const ZERO_PAGE: u32 = 0x3000;
const STACK_END: u32 = 0x7ff0;

// linux_setup: real mode, DS = the segment, CS = DS + 0x20. Uses all registers, and the stack above.
// To the kernel's 32-bit entry, which the header names: protected mode, flat segments, ESI = the zero page.
global_asm!(
    r#"
    .pushsection .rodata.linux_setup, "a"
    .code16
    .global linux_setup, linux_setup_end
linux_setup:
    cli
    cld
    movw %ds, %ax
    movw %ax, %es
    movw %ax, %ss
    movl ${stack_end}, %esp
    sti
    pushw %ds
    pushw $setup_begin - linux_setup + {offset}
    lretw

setup_begin:
    movl $0x80000000, %eax
    cpuid
    cmpl $0x80000001, %eax
    jb setup_refuse
    movl $0x80000001, %eax
    cpuid
    btl $29, %edx
    jnc setup_refuse

    xorl %eax, %eax
    movw ${zero_page}, %di
    movw $1024, %cx
    rep stosl
    movw $0x1f1, %si
    movw ${zero_page} + 0x1f1, %di
    movw ${offset} - 0x1f1, %cx
    rep movsb

    movw ${zero_page} + 0x2d0, %di
    xorl %ebx, %ebx
1:
    movl $0xe820, %eax
    movl $20, %ecx
    movl $0x534d4150, %edx
    int $0x15
    jc 2f
    cmpl $0x534d4150, %eax
    jne 2f
    incb {zero_page} + 0x1e8
    addw $20, %di
    cmpb $128, {zero_page} + 0x1e8
    jae 2f
    testl %ebx, %ebx
    jnz 1b
2:
    movw $0x2401, %ax
    int $0x15
    inb $0x92, %al
    orb $2, %al
    andb $0xfe, %al
    outb %al, $0x92

    cli
    movl 0x214, %edx
    xorl %eax, %eax
    movw %ds, %ax
    shll $4, %eax
    movl %eax, %esi
    addl ${zero_page}, %esi
    movl %eax, %ecx
    addl $setup_gdt - linux_setup + {offset}, %ecx
    movl %ecx, setup_gdt_pointer - linux_setup + {offset} + 2
    addl $setup_protected - linux_setup + {offset}, %eax
    movl %eax, setup_jump - linux_setup + {offset} + 2
    lgdtl setup_gdt_pointer - linux_setup + {offset}
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
setup_jump:
    .byte 0x66, 0xea
    .long 0
    .word 0x10

    .code32
setup_protected:
    movl $0x18, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movl %eax, %ss
    xorl %ebx, %ebx
    xorl %ebp, %ebp
    xorl %edi, %edi
    jmp *%edx

    .code16
setup_refuse:
    movw $setup_words - linux_setup + {offset}, %si
3:
    lodsb
    testb %al, %al
    jz 4f
    movb $0x0e, %ah
    movw $7, %bx
    int $0x10
    jmp 3b
4:
    hlt
    jmp 4b
setup_words:
    .asciz "This kernel needs a 64-bit CPU.\r\n"

    .balign 8
setup_gdt:
    .quad 0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
setup_gdt_pointer:
    .word 31
    .long 0
linux_setup_end:
    .code64
    .popsection
    "#,
    offset = const OFFSET,
    zero_page = const ZERO_PAGE,
    stack_end = const STACK_END,
    options(att_syntax),
);
