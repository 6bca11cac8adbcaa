// The memory functions that compiled code calls, in place of the compiler's own, which move a word at a time.
//
// All follow AAPCS64, use no stack, and do not fault: they touch kernel memory only, with the caches on. Accesses may be
// unaligned, which normal memory allows (B2.8.2).

.section .text.memory, "ax"

// memcpy: copies; the ranges do not overlap. Up to 64 bytes all loads come before all stores, so that memmove can use it.
//
//   register   in              out
//   x0         destination     destination
//   x1         source          clobbered
//   x2         length          clobbered
//   x3 .. x13                  clobbered
.global memcpy
.balign 16
memcpy:
    add     x4, x1, x2                  // source end
    add     x5, x0, x2                  // destination end
    cmp     x2, #16
    b.lo    copy_below_16
    ldp     x6, x7, [x1]
    ldp     x8, x9, [x4, #-16]
    cmp     x2, #32
    b.ls    1f
    cmp     x2, #64
    b.hi    copy_above_64
    ldp     x10, x11, [x1, #16]
    ldp     x12, x13, [x4, #-32]
    stp     x10, x11, [x0, #16]
    stp     x12, x13, [x5, #-32]
1:  stp     x6, x7, [x0]
    stp     x8, x9, [x5, #-16]
    ret

copy_below_16:
    tbz     x2, #3, 1f
    ldr     x6, [x1]
    ldr     x7, [x4, #-8]
    str     x6, [x0]
    str     x7, [x5, #-8]
    ret
1:  tbz     x2, #2, 2f
    ldr     w6, [x1]
    ldr     w7, [x4, #-4]
    str     w6, [x0]
    str     w7, [x5, #-4]
    ret
2:  tbz     x2, #1, 3f
    ldrh    w6, [x1]
    ldrh    w7, [x4, #-2]
    strh    w6, [x0]
    strh    w7, [x5, #-2]
    ret
3:  cbz     x2, 4f
    ldrb    w6, [x1]
    strb    w6, [x0]
4:  ret

copy_above_64:
    mov     x3, x0
    sub     x2, x2, #64
1:  ldp     x6, x7, [x1], #16
    ldp     x8, x9, [x1], #16
    ldp     x10, x11, [x1], #16
    ldp     x12, x13, [x1], #16
    stp     x6, x7, [x3], #16
    stp     x8, x9, [x3], #16
    stp     x10, x11, [x3], #16
    stp     x12, x13, [x3], #16
    subs    x2, x2, #64
    b.hi    1b
    ldp     x6, x7, [x4, #-64]          // the last 64 bytes, some of them twice
    ldp     x8, x9, [x4, #-48]
    ldp     x10, x11, [x4, #-32]
    ldp     x12, x13, [x4, #-16]
    stp     x6, x7, [x5, #-64]
    stp     x8, x9, [x5, #-48]
    stp     x10, x11, [x5, #-32]
    stp     x12, x13, [x5, #-16]
    ret

// memmove: copies; the ranges may overlap. Registers as memcpy.
.global memmove
.balign 16
memmove:
    sub     x3, x0, x1
    cmp     x3, x2                      // destination below the source, or behind its end: forwards is right
    b.hs    move_forwards
    cmp     x2, #64
    b.ls    memcpy
    add     x4, x1, x2
    add     x5, x0, x2
1:  ldp     x6, x7, [x4, #-16]!
    ldp     x8, x9, [x4, #-16]!
    ldp     x10, x11, [x4, #-16]!
    ldp     x12, x13, [x4, #-16]!
    stp     x6, x7, [x5, #-16]!
    stp     x8, x9, [x5, #-16]!
    stp     x10, x11, [x5, #-16]!
    stp     x12, x13, [x5, #-16]!
    sub     x2, x2, #64
    cmp     x2, #64
    b.hi    1b
    b       memcpy                      // the first 64 bytes at most, all loads first
move_forwards:
    neg     x4, x3                      // source - destination
    cmp     x4, #64
    b.hs    memcpy                      // apart by a whole round, or not overlapping
    cmp     x2, #64
    b.ls    memcpy
    mov     x3, x0
    cmp     x4, #8
    b.lo    2f
1:  ldr     x6, [x1], #8
    str     x6, [x3], #8
    sub     x2, x2, #8
    cmp     x2, #8
    b.hs    1b
    cbz     x2, 3f
2:  ldrb    w6, [x1], #1
    strb    w6, [x3], #1
    subs    x2, x2, #1
    b.ne    2b
3:  ret

// memset: fills with a byte. Zeros in bulk go by DC ZVA where its block is 64 bytes (DCZID_EL0: BS = 4, DZP = 0).
//
//   register   in              out
//   x0         destination     destination
//   w1         byte            clobbered
//   x2         length          clobbered
//   x3 .. x6                   clobbered
.global memset
.balign 16
memset:
    and     w1, w1, #0xff
    mov     x3, #0x0101010101010101
    mul     x1, x1, x3
    add     x4, x0, x2                  // end
    cmp     x2, #16
    b.lo    set_below_16
    stp     x1, x1, [x0]
    stp     x1, x1, [x4, #-16]
    cmp     x2, #32
    b.ls    2f
    stp     x1, x1, [x0, #16]
    stp     x1, x1, [x4, #-32]
    cmp     x2, #64
    b.ls    2f
    mov     x3, x0
    cbnz    x1, set_rounds
    cmp     x2, #256
    b.lo    set_rounds
    mrs     x5, dczid_el0
    and     x5, x5, #0x1f
    cmp     x5, #4
    b.ne    set_rounds
    stp     xzr, xzr, [x0, #32]         // the first 64 bytes; then from the next block on
    stp     xzr, xzr, [x0, #48]
    add     x3, x0, #64
    and     x3, x3, #~63
    sub     x5, x4, #64
1:  dc      zva, x3
    add     x3, x3, #64
    cmp     x3, x5
    b.ls    1b
    b       set_last
set_rounds:
    sub     x5, x4, #64
1:  stp     x1, x1, [x3], #16
    stp     x1, x1, [x3], #16
    stp     x1, x1, [x3], #16
    stp     x1, x1, [x3], #16
    cmp     x3, x5
    b.lo    1b
set_last:
    stp     x1, x1, [x4, #-64]
    stp     x1, x1, [x4, #-48]
    stp     x1, x1, [x4, #-32]
2:  ret
set_below_16:
    tbz     x2, #3, 1f
    str     x1, [x0]
    str     x1, [x4, #-8]
    ret
1:  tbz     x2, #2, 2f
    str     w1, [x0]
    str     w1, [x4, #-4]
    ret
2:  tbz     x2, #1, 3f
    strh    w1, [x0]
    strh    w1, [x4, #-2]
    ret
3:  cbz     x2, 4f
    strb    w1, [x0]
4:  ret

// memcmp and bcmp: compare as unsigned bytes.
//
//   register   in              out
//   x0         first           w0: negative, zero or positive
//   x1         second          clobbered
//   x2         length          clobbered
//   x3, x4                     clobbered
.global memcmp
.global bcmp
.balign 16
memcmp:
bcmp:
    subs    x2, x2, #8
    b.lo    2f
1:  ldr     x3, [x0], #8
    ldr     x4, [x1], #8
    cmp     x3, x4
    b.ne    4f
    subs    x2, x2, #8
    b.hs    1b
2:  adds    x2, x2, #8
    b.eq    5f
3:  ldrb    w3, [x0], #1
    ldrb    w4, [x1], #1
    subs    w3, w3, w4
    b.ne    6f
    subs    x2, x2, #1
    b.ne    3b
5:  mov     w0, #0
    ret
6:  mov     w0, w3
    ret
4:  rev     x3, x3                      // the first byte that differs decides: it becomes the highest
    rev     x4, x4
    cmp     x3, x4
    cset    w0, hi
    csinv   w0, w0, wzr, hs             // 1 or -1
    ret
