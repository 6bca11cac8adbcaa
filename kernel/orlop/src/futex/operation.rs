//! The operations on two words: requeueing, and `FUTEX_WAKE_OP`.

use abi::Errno;
use abi::futex::{
    FUTEX_BITSET_MATCH_ANY, FUTEX_OP_ADD, FUTEX_OP_ANDN, FUTEX_OP_CMP_EQ, FUTEX_OP_CMP_GE, FUTEX_OP_CMP_GT,
    FUTEX_OP_CMP_LE, FUTEX_OP_CMP_LT, FUTEX_OP_CMP_NE, FUTEX_OP_OPARG_SHIFT, FUTEX_OP_OR, FUTEX_OP_SET,
    FUTEX_OP_XOR,
};
use hal::user_copy::{self, Missed};
use libkernel::addr::UserAddr;

use super::bucket::{Pair, Walk};
use super::{Attempt, Key, Word, retry_with_page};
use crate::process::Thread;

/// How many waiters an operation on two words wakes at the first, and wakes or moves to at the second.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// At the first word.
    pub first: usize,
    /// At the second.
    pub second: usize,
}

/// Wakes some waiters of `from` and moves others to `to`, if `from` holds `expected`; how many there were of both.
pub fn requeue(
    thread: &Thread,
    from: Word,
    to: Word,
    counts: Counts,
    expected: Option<u32>,
) -> Result<usize, Errno> {
    let (source, target) = (from.key(thread)?, to.key(thread)?);
    let mut progress = retry_with_page(|| {
        let mut buckets = Pair::lock(source, target);
        buckets.of(source).all_are_plain(source).map_err(Attempt::Failed)?;
        if let Some(expected) = expected {
            from.expect(expected)?;
        }
        let mut progress = Progress { walk: Walk::new(), woken: 0, moved: 0 };
        progress.advance(&mut buckets, source, target, counts);
        Ok(progress)
    })?;
    while !progress.walk.is_over() {
        progress.walk.begin_piece();
        progress.advance(&mut Pair::lock(source, target), source, target, counts);
    }
    Ok(progress.woken + progress.moved)
}

/// How far a requeueing has come.
struct Progress {
    walk: Walk,
    woken: usize,
    moved: usize,
}

impl Progress {
    /// Goes on by a piece.
    fn advance(&mut self, buckets: &mut Pair, source: Key, target: Key, counts: Counts) {
        while self.woken < counts.first || self.moved < counts.second {
            let next = buckets.of(source).take_next(source, FUTEX_BITSET_MATCH_ANY, &mut self.walk);
            let Some((order, waiter)) = next else { return };
            if self.woken < counts.first {
                waiter.wake_up();
                self.woken += 1;
            } else {
                buckets.of(target).push_moved(target, order, waiter);
                self.moved += 1;
            }
        }
        self.walk.end();
    }
}

/// Changes the second word, wakes waiters of the first, and those of the second if its old value compares as encoded.
pub fn wake_op(
    thread: &Thread,
    first: Word,
    second: Word,
    counts: Counts,
    encoded: u32,
) -> Result<usize, Errno> {
    let (first_key, second_key) = (first.key(thread)?, second.key(thread)?);
    let operation = Operation::decode(encoded)?;
    let (woken, rest) = retry_with_page(|| {
        let mut buckets = Pair::lock(first_key, second_key);
        for key in [first_key, second_key] {
            buckets.of(key).all_are_plain(key).map_err(Attempt::Failed)?;
        }
        let old = change(second.address, operation)?;
        let mut wake = |key, count| {
            let mut walk = Walk::new();
            let woken = buckets.of(key).wake(key, count, FUTEX_BITSET_MATCH_ANY, &mut walk);
            (woken, (key, count - woken, walk))
        };
        let (woken, rest) = wake(first_key, counts.first);
        if !operation.holds(old) {
            return Ok((woken, [Some(rest), None]));
        }
        let (more, second_rest) = wake(second_key, counts.second);
        Ok((woken + more, [Some(rest), Some(second_rest)]))
    })?;
    let rest = rest.into_iter().flatten().filter(|(_, _, walk)| !walk.is_over());
    Ok(rest.fold(woken, |woken, (key, count, walk)| {
        woken + super::wake_rest(key, count, FUTEX_BITSET_MATCH_ANY, walk)
    }))
}

fn change(address: UserAddr, operation: Operation) -> Result<u32, Attempt> {
    /// Tries before the buckets are let go of: a program may write to the word for ever.
    const TRIES: u32 = 128;
    let fault = Attempt::NeedsWritablePage(address);
    let Ok(mut old) = user_copy::load_u32_nofault(address) else { return Err(fault) };
    for _ in 0..TRIES {
        match user_copy::compare_exchange_u32_nofault(address, old, operation.apply(old)) {
            Ok(found) if found == old => return Ok(old),
            Ok(found) => old = found,
            Err(Missed::Contended) => break,
            Err(Missed::BadAddress) => return Err(fault),
        }
    }
    Err(Attempt::Changed)
}

/// The change and the comparison that the last argument of `FUTEX_WAKE_OP` encodes (`futex(2)`).
#[derive(Clone, Copy, Debug)]
struct Operation {
    change: u32,
    operand: i32,
    comparison: u32,
    against: i32,
}

impl Operation {
    /// ENOSYS for unknown changes and comparisons.
    fn decode(encoded: u32) -> Result<Operation, Errno> {
        let signed_12_bits = |value: u32| ((value << 20).cast_signed()) >> 20;
        let change = encoded >> 28;
        let argument = signed_12_bits(encoded >> 12 & 0xfff);
        let shift = change & FUTEX_OP_OPARG_SHIFT != 0;
        let operation = Operation {
            change: change & !FUTEX_OP_OPARG_SHIFT,
            operand: if shift { 1i32.wrapping_shl(argument.cast_unsigned() & 31) } else { argument },
            comparison: encoded >> 24 & 0xf,
            against: signed_12_bits(encoded & 0xfff),
        };
        if operation.change > FUTEX_OP_XOR || operation.comparison > FUTEX_OP_CMP_GE {
            return Err(Errno::ENOSYS);
        }
        Ok(operation)
    }

    fn apply(self, old: u32) -> u32 {
        let operand = self.operand.cast_unsigned();
        match self.change {
            FUTEX_OP_SET => operand,
            FUTEX_OP_ADD => old.wrapping_add(operand),
            FUTEX_OP_OR => old | operand,
            FUTEX_OP_ANDN => old & !operand,
            _ => old ^ operand,
        }
    }

    fn holds(self, old: u32) -> bool {
        let old = old.cast_signed();
        match self.comparison {
            FUTEX_OP_CMP_EQ => old == self.against,
            FUTEX_OP_CMP_NE => old != self.against,
            FUTEX_OP_CMP_LT => old < self.against,
            FUTEX_OP_CMP_LE => old <= self.against,
            FUTEX_OP_CMP_GT => old > self.against,
            _ => old >= self.against,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `FUTEX_OP(change, operand, comparison, against)` of `futex(2)`.
    fn encode(change: u32, operand: i32, comparison: u32, against: i32) -> u32 {
        (change << 28)
            | (comparison << 24)
            | ((operand.cast_unsigned() & 0xfff) << 12)
            | (against.cast_unsigned() & 0xfff)
    }

    #[test]
    fn operations_do_what_the_manual_says() {
        let add = Operation::decode(encode(FUTEX_OP_ADD, -1, FUTEX_OP_CMP_GT, 1)).expect("valid");
        assert_eq!(add.apply(5), 4);
        assert!(add.holds(2) && !add.holds(1));
        let shifted = Operation::decode(encode(FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT, 4, FUTEX_OP_CMP_EQ, -3))
            .expect("valid");
        assert_eq!(shifted.apply(1), 17);
        assert!(shifted.holds((-3i32).cast_unsigned()));
    }

    #[test]
    fn unknown_operations_are_refused() {
        assert!(Operation::decode(encode(5, 0, 0, 0)).is_err());
        assert!(Operation::decode(encode(0, 0, 6, 0)).is_err());
    }
}
