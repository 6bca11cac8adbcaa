// The exception vectors (Arm ARM D1.3.1, table of vector offsets).
//
// From EL0 the stack pointer is the one that `user::enter` left: always good, so nothing is checked there. From EL1 the
// stack may be the thing that broke: each vector looks at it before the first push. All kernel stacks are 16 KiB in
// the lower half of 32 KiB-aligned slots, so a stack pointer below its stack has bit 14 set.
//
// The kernel's frame, on the interrupted stack (offsets are checked against `TrapFrame` in trap.rs):
//
//      304  ─────────────────  interrupted sp
//      296  pc  ┐ a frame record, so that backtraces
//      288  x29 ┘ walk through the exception
//      280  spsr
//      272  elr (pc)
//      264  far
//      256  esr
//      248  sp, as it was
//      240  x30
//      ...
//        0  x0   ─────────────  sp

// One 128-byte vector taken from EL1: room on the stack, the overflow test, and away.
.macro kernel_vector target
    .balign 128
    sub     sp, sp, #TRAP_FRAME_SIZE
    add     sp, sp, x0                  // test a bit of sp without a register to spare: sp' = sp + x0
    sub     x0, sp, x0                  // x0' = sp
    tbnz    x0, #STACK_SHIFT, 1f
    sub     x0, sp, x0                  // x0 again
    sub     sp, sp, x0                  // sp again
    b       \target
1:  b       stack_overflow
.endm

// One vector taken from EL0. In: sp = the frame of `user::enter`. Parks x0, x1 on the stack, then saves everything.
.macro user_vector code
    .balign 128
    stp     x0, x1, [sp, #-16]!
    mov     x1, #\code
    b       user_exit
.endm

.macro unused_vector
    .balign 128
    b       unexpected_vector
.endm

// Saves the whole interrupted state below \sp_before. Clobbers x0, x1 (after saving them), x29.
.macro save_frame
    stp     x0, x1, [sp, #(16 * 0)]
    stp     x2, x3, [sp, #(16 * 1)]
    stp     x4, x5, [sp, #(16 * 2)]
    stp     x6, x7, [sp, #(16 * 3)]
    stp     x8, x9, [sp, #(16 * 4)]
    stp     x10, x11, [sp, #(16 * 5)]
    stp     x12, x13, [sp, #(16 * 6)]
    stp     x14, x15, [sp, #(16 * 7)]
    stp     x16, x17, [sp, #(16 * 8)]
    stp     x18, x19, [sp, #(16 * 9)]
    stp     x20, x21, [sp, #(16 * 10)]
    stp     x22, x23, [sp, #(16 * 11)]
    stp     x24, x25, [sp, #(16 * 12)]
    stp     x26, x27, [sp, #(16 * 13)]
    stp     x28, x29, [sp, #(16 * 14)]
    add     x0, sp, #TRAP_FRAME_SIZE
    stp     x30, x0, [sp, #(16 * 15)]
    mrs     x0, esr_el1
    mrs     x1, far_el1
    stp     x0, x1, [sp, #(16 * 16)]
    mrs     x0, elr_el1
    mrs     x1, spsr_el1
    stp     x0, x1, [sp, #(16 * 17)]
    stp     x29, x0, [sp, #(16 * 18)]
    add     x29, sp, #(16 * 18)
.endm

// Restores what `save_frame` saved and returns from the exception. Interrupts must be masked.
.macro restore_frame
    ldp     x0, x1, [sp, #(16 * 17)]
    msr     elr_el1, x0
    msr     spsr_el1, x1
    ldp     x2, x3, [sp, #(16 * 1)]
    ldp     x4, x5, [sp, #(16 * 2)]
    ldp     x6, x7, [sp, #(16 * 3)]
    ldp     x8, x9, [sp, #(16 * 4)]
    ldp     x10, x11, [sp, #(16 * 5)]
    ldp     x12, x13, [sp, #(16 * 6)]
    ldp     x14, x15, [sp, #(16 * 7)]
    ldp     x16, x17, [sp, #(16 * 8)]
    ldp     x18, x19, [sp, #(16 * 9)]
    ldp     x20, x21, [sp, #(16 * 10)]
    ldp     x22, x23, [sp, #(16 * 11)]
    ldp     x24, x25, [sp, #(16 * 12)]
    ldp     x26, x27, [sp, #(16 * 13)]
    ldp     x28, x29, [sp, #(16 * 14)]
    ldr     x30, [sp, #(16 * 15)]
    ldp     x0, x1, [sp, #(16 * 0)]
    add     sp, sp, #TRAP_FRAME_SIZE
    eret
.endm

.section .text.vectors, "ax"
.balign 2048
.global vectors
vectors:
    unused_vector                       // from EL1 with SP_EL0: never used
    unused_vector
    unused_vector
    unused_vector
    kernel_vector kernel_synchronous    // from EL1
    kernel_vector kernel_interrupt
    kernel_vector kernel_urgent         // FIQ
    kernel_vector kernel_fatal          // SError
    user_vector EXIT_SYNCHRONOUS        // from EL0, AArch64
    user_vector EXIT_INTERRUPT
    user_vector EXIT_URGENT
    user_vector EXIT_FATAL
    unused_vector                       // from EL0, AArch32: never entered
    unused_vector
    unused_vector
    unused_vector
    .balign 128

// In: sp = TrapFrame (unfilled). The handler may take faults, and may sleep in an upcall when the interrupted code could.
kernel_synchronous:
    save_frame
    mov     x0, sp
    bl      aarch64_kernel_synchronous
    msr     daifset, #3
    restore_frame

// In: sp = TrapFrame (unfilled), I and F masked. Runs the handler on this CPU's interrupt stack, then, back on the task's
// own stack, gives way to another task if that is due.
kernel_interrupt:
    save_frame
    mov     x19, sp                     // callee-saved: survives the handler
    mrs     x0, tpidr_el1
    ldr     x0, [x0, #CPU_INTERRUPT_STACK]
    mov     sp, x0
    mov     x0, x19
    bl      aarch64_interrupt
    mov     sp, x19
    bl      aarch64_kernel_interrupt_exit
    msr     daifset, #3
    restore_frame

// In: sp = TrapFrame (unfilled), I and F masked. On whatever stack it has found: the handler needs little.
kernel_urgent:
    save_frame
    mov     x0, sp
    bl      aarch64_kernel_urgent
    restore_frame

kernel_fatal:
    save_frame
    mov     x0, sp
    bl      aarch64_kernel_fatal
1:  b       1b

// The stack pointer left its stack: x0 = sp, sp = sp + the old x0. Goes on on a stack of its own, to die with a message.
stack_overflow:
    msr     tpidrro_el0, x0             // scratch: no program goes on after this
    sub     x0, sp, x0
    msr     tpidr_el0, x0
    msr     sp_el0, x1                  // scratch as well
    ldr     x0, =OVERFLOW_STACK_TAKEN
1:  ldaxr   w1, [x0]
    cbnz    w1, 2f                      // another CPU has it: one report is enough
    stxr    w1, w0, [x0]
    cbnz    w1, 1b
    mrs     x1, sp_el0
    ldr     x0, =BOOT_STACKS + (1 << STACK_SHIFT)         // slot 0
    mov     sp, x0
    sub     sp, sp, #TRAP_FRAME_SIZE
    mrs     x0, tpidr_el0
    save_frame
    mrs     x0, tpidrro_el0
    add     x0, x0, #TRAP_FRAME_SIZE
    str     x0, [sp, #TRAP_FRAME_SP]
    mov     x0, sp
    bl      aarch64_stack_overflow
2:  wfi
    b       2b

unexpected_vector:
    sub     sp, sp, #TRAP_FRAME_SIZE
    save_frame
    mov     x0, sp
    bl      aarch64_kernel_fatal
1:  b       1b
    .ltorg
