//! Futex operations and robust lists. Source: Linux 6.1, `include/uapi/linux/futex.h`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

constants! { u32:
    FUTEX_WAIT = 0, "sleep while the word holds the value";
    FUTEX_WAKE = 1, "wake sleepers";
    FUTEX_FD = 2, "removed from Linux";
    FUTEX_REQUEUE = 3, "wake some, move others";
    FUTEX_CMP_REQUEUE = 4, "FUTEX_REQUEUE if the word holds the value";
    FUTEX_WAKE_OP = 5, "change a second word, wake on both";
    FUTEX_LOCK_PI = 6, "lock with priority inheritance";
    FUTEX_UNLOCK_PI = 7, "unlock";
    FUTEX_TRYLOCK_PI = 8, "lock if free";
    FUTEX_WAIT_BITSET = 9, "FUTEX_WAIT with a mask and an absolute time";
    FUTEX_WAKE_BITSET = 10, "wake those whose mask meets this";
    FUTEX_WAIT_REQUEUE_PI = 11, "wait for a move to a PI futex";
    FUTEX_CMP_REQUEUE_PI = 12, "move to a PI futex";
    FUTEX_LOCK_PI2 = 13, "FUTEX_LOCK_PI with a choice of clock";
    FUTEX_PRIVATE_FLAG = 128, "not shared between processes";
    FUTEX_CLOCK_REALTIME = 256, "the time is on the wall clock";
    FUTEX_CMD_MASK = !(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME), "mask of the operation";
    FUTEX_BITSET_MATCH_ANY = 0xffff_ffff, "every mask";
    FUTEX_WAITERS = 0x8000_0000, "lock word: somebody sleeps";
    FUTEX_OWNER_DIED = 0x4000_0000, "lock word: the owner died";
    FUTEX_TID_MASK = 0x3fff_ffff, "lock word: the owner";
    FUTEX_32 = 2, "futex_waitv: a 32-bit word";
    FUTEX_WAITV_MAX = 128, "words a futex_waitv can wait for";
    ROBUST_LIST_LIMIT = 2048, "entries the kernel walks";
    FUTEX_OP_SET = 0, "word = operand";
    FUTEX_OP_ADD = 1, "word += operand";
    FUTEX_OP_OR = 2, "word |= operand";
    FUTEX_OP_ANDN = 3, "word &= !operand";
    FUTEX_OP_XOR = 4, "word ^= operand";
    FUTEX_OP_OPARG_SHIFT = 8, "the operand is a shift count";
    FUTEX_OP_CMP_EQ = 0, "wake if the old value ==";
    FUTEX_OP_CMP_NE = 1, "wake if the old value !=";
    FUTEX_OP_CMP_LT = 2, "wake if the old value <";
    FUTEX_OP_CMP_LE = 3, "wake if the old value <=";
    FUTEX_OP_CMP_GT = 4, "wake if the old value >";
    FUTEX_OP_CMP_GE = 5, "wake if the old value >=";
}

/// One word of a `futex_waitv`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FutexWaitv {
    /// Expected value.
    pub val: u64,
    /// Address of the word.
    pub uaddr: u64,
    /// [`FUTEX_32`] | [`FUTEX_PRIVATE_FLAG`].
    pub flags: u32,
    /// Zero.
    pub __reserved: u32,
}

/// The head of a thread's list of held robust locks.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RobustListHead {
    /// First entry; the head's own address when empty. Bit 0 marks a PI lock.
    pub list: u64,
    /// From an entry to its lock word, bytes.
    pub futex_offset: i64,
    /// The entry being taken or released, or 0.
    pub list_op_pending: u64,
}
