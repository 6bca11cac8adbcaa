// The loops of user_copy.rs. Every routine may fault on user memory between its labels: `recoverable START, END, TO`
// records that in the exception table. Each opens user memory when it begins and closes it before it returns (PSTATE.PAN, where the CPU
// has it); an exception closes it by itself, and its `eret` opens it again. No stack is used; interrupts are as the caller has them.

.arch_extension pan
.arch_extension lse

.macro open_user
    site    PATCH_PAN, "nop", "msr pan, #0"
.endm

.macro close_user
    site    PATCH_PAN, "nop", "msr pan, #1"
.endm

.macro recoverable start, end, recovery
    .pushsection .exception_table, "a"
    .balign 8
    .quad   \start, \end, \recovery
    .popsection
.endm

.text

// Copies bytes; the two ranges do not overlap.
//
//   register   in              out
//   x0         destination     bytes NOT copied
//   x1         source          clobbered
//   x2         length          clobbered
//   x3 .. x12                  clobbered
//   x15        what is to be done about an absent page, in all routines: for the handler of the fault
//
// The fast part moves 64 bytes a round. A fault there that stays is repeated byte by byte from the last byte stored, so
// that the count is exact.
.global user_copy_bytes
.balign 16
user_copy_bytes:
    open_user
    add     x3, x0, x2                  // end of the destination
    sub     x4, x1, x0                  // source - destination
copy_fast:
    subs    x2, x2, #64
    b.lo    2f
1:  ldp     x5, x6, [x1], #16
    ldp     x7, x8, [x1], #16
    ldp     x9, x10, [x1], #16
    ldp     x11, x12, [x1], #16
    stp     x5, x6, [x0], #16
    stp     x7, x8, [x0], #16
    stp     x9, x10, [x0], #16
    stp     x11, x12, [x0], #16
    subs    x2, x2, #64
    b.hs    1b
2:  tbz     x2, #5, 3f                  // x2 = what is left, minus 64: its low six bits are right
    ldp     x5, x6, [x1], #16
    ldp     x7, x8, [x1], #16
    stp     x5, x6, [x0], #16
    stp     x7, x8, [x0], #16
3:  tbz     x2, #4, 4f
    ldp     x5, x6, [x1], #16
    stp     x5, x6, [x0], #16
4:  tbz     x2, #3, 5f
    ldr     x5, [x1], #8
    str     x5, [x0], #8
5:  tbz     x2, #2, 6f
    ldr     w5, [x1], #4
    str     w5, [x0], #4
6:  tbz     x2, #1, 7f
    ldrh    w5, [x1], #2
    strh    w5, [x0], #2
7:  tbz     x2, #0, 8f
    ldrb    w5, [x1], #1
    strb    w5, [x0], #1
8:
copy_fast_end:
    mov     x0, #0
    close_user
    ret
copy_slow:
    cmp     x0, x3
    b.hs    copy_done
    ldrb    w5, [x0, x4]
    strb    w5, [x0], #1
    b       copy_slow
copy_done:
    sub     x0, x3, x0
    close_user
    ret
recoverable copy_fast, copy_fast_end, copy_slow
recoverable copy_slow, copy_done, copy_done

// Copies halfwords that are eight bytes apart on both sides.
//
//   register   in              out
//   x0         destination     halfwords NOT copied
//   x1         source          clobbered
//   x2         halfwords       clobbered
//   x3                         clobbered
.global user_copy_halfwords
user_copy_halfwords:
    open_user
    cbz     x2, 2f
1:  ldrh    w3, [x1], #8
halfword_store:
    strh    w3, [x0], #8
halfword_store_end:
    subs    x2, x2, #1
    b.ne    1b
2:  mov     x0, x2
    close_user
    ret
recoverable halfword_store, halfword_store_end, 2b

// Writes zeros.
//
//   register   in              out
//   x0         destination     bytes NOT written
//   x1         length          clobbered
//   x2                         clobbered
.global user_clear_bytes
.balign 16
user_clear_bytes:
    open_user
    add     x2, x0, x1                  // end
clear_fast:
    subs    x1, x1, #64
    b.lo    2f
1:  stp     xzr, xzr, [x0], #16
    stp     xzr, xzr, [x0], #16
    stp     xzr, xzr, [x0], #16
    stp     xzr, xzr, [x0], #16
    subs    x1, x1, #64
    b.hs    1b
2:  tbz     x1, #5, 3f                  // x1 = what is left, minus 64: its low six bits are right
    stp     xzr, xzr, [x0], #16
    stp     xzr, xzr, [x0], #16
3:  tbz     x1, #4, 4f
    stp     xzr, xzr, [x0], #16
4:  tbz     x1, #3, 5f
    str     xzr, [x0], #8
5:  tbz     x1, #2, 6f
    str     wzr, [x0], #4
6:  tbz     x1, #1, 7f
    strh    wzr, [x0], #2
7:  tbz     x1, #0, 8f
    strb    wzr, [x0], #1
8:
clear_fast_end:
    mov     x0, #0
    close_user
    ret
clear_slow:
    cmp     x0, x2
    b.hs    clear_done
    strb    wzr, [x0], #1
    b       clear_slow
clear_done:
    sub     x0, x2, x0
    close_user
    ret
recoverable clear_fast, clear_fast_end, clear_slow
recoverable clear_slow, clear_done, clear_done

// One aligned word.
//
//   routine                     x0        x1       x2    x3            out: w0
//   user_load_u32               address   &value                       0, or 1 after a fault
//   user_store_u32              address   value                        the same
//   user_compare_exchange_u32   address   current  new   &found        the same
//
// x4 to x7 are clobbered. The exchange is sequentially consistent, as Linux's futex operations are; it is 2 where the word was written to
// by others between load and store as often as 128 times (Linux's FUTEX_MAX_LOOPS): a program may go on with that for ever.
.global user_load_u32
user_load_u32:
    open_user
    mov     w4, #1
word_load:
    ldar    w5, [x0]
    str     w5, [x1]
    mov     w4, #0
word_load_end:
    mov     w0, w4
    close_user
    ret
recoverable word_load, word_load_end, word_load_end

.global user_store_u32
user_store_u32:
    open_user
    mov     w4, #1
word_store:
    stlr    w1, [x0]
    mov     w4, #0
word_store_end:
    mov     w0, w4
    close_user
    ret
recoverable word_store, word_store_end, word_store_end

.global user_compare_exchange_u32
user_compare_exchange_u32:
    open_user
    mov     w6, #1
    mov     w7, #128
word_exchange:
1:  site    PATCH_ATOMICS, "ldaxr w5, [x0]; cmp w5, w1; b.ne 2f", "mov w5, w1; casal w5, w2, [x0]; b 2f"
    stlxr   w4, w2, [x0]
    cbz     w4, 2f
    subs    w7, w7, #1
    b.ne    1b
    mov     w6, #2
    b       word_exchange_end
2:  dmb     ish
    mov     w6, #0
word_exchange_end:
    str     w5, [x3]
    mov     w0, w6
    close_user
    ret
recoverable word_exchange, word_exchange_end, word_exchange_end
.purgem site
.purgem open_user
.purgem close_user
