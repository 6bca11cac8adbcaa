//! Spinning until another CPU stores: in the way in which the CPU saves power, lets its other thread work, and tells a
//! hypervisor.
//!
//! x86_64 has a hint for the loop. AArch64 watches the word and sleeps until somebody writes to its line (WFE, with the
//! exclusive monitor); the timer's event stream wakes it ten thousand times a second besides (`arch/aarch64/timer.rs`),
//! so that no mistake here can hang it.
use crate::arch::Arch;
use crate::contract::Cpu as _;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// A word to which another CPU stores.
pub trait Awaited {
    /// What it holds.
    type Value: Copy;
    /// Loads it, sequentially consistent, so that a flag that was raised before is seen by whoever is not seen here.
    fn look(&self) -> Self::Value;
    /// Passes a moment, which ends when the word holds something else; perhaps at once, and after a tenth of a
    /// millisecond at the latest.
    fn pause_while(&self, value: Self::Value);
}

/// `awaited!(AtomicBool: bool, pause_while_u8, AtomicU8, u8)`: the word's type and its value's; how to pause by a word
/// of that size.
macro_rules! awaited {
    ($($word:ty: $value:ty, $pause:ident, $same:ty, $number:ty;)*) => {
        $(
            impl Awaited for $word {
                type Value = $value;

                #[inline(always)]
                fn look(&self) -> $value {
                    self.load(Ordering::SeqCst)
                }

                #[inline(always)]
                fn pause_while(&self, value: $value) {
                    // SAFETY: the two atomic types have one size and alignment, and the word is only loaded.
                    let word = unsafe { <$same>::from_ptr(self.as_ptr().cast()) };
                    Arch::$pause(word, value as $number);
                }
            }
        )*
    };
}

awaited! {
    AtomicBool: bool, pause_while_u8, AtomicU8, u8;
    AtomicU8: u8, pause_while_u8, AtomicU8, u8;
    AtomicU32: u32, pause_while_u32, AtomicU32, u32;
    AtomicU64: u64, pause_while_u64, AtomicU64, u64;
    AtomicUsize: usize, pause_while_u64, AtomicU64, u64;
}

const _: () = assert!(size_of::<usize>() == size_of::<u64>());

/// Spins until `is_done` likes what `word` holds. Always a part of its caller, in which the build looks for the pause.
#[inline(always)]
pub fn spin_until<W: Awaited>(word: &W, is_done: impl Fn(W::Value) -> bool) {
    loop {
        let value = word.look();
        if is_done(value) {
            return;
        }
        word.pause_while(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn each_size_is_waited_for() {
        let (flag, byte, word, long) =
            (AtomicBool::new(true), AtomicU8::new(1), AtomicU32::new(1), AtomicUsize::new(1));
        thread::scope(|scope| {
            scope.spawn(|| {
                spin_until(&flag, |held| !held);
                spin_until(&byte, |value| value == 2);
                spin_until(&word, |value| value == 2);
                spin_until(&long, |value| value == 2);
            });
            flag.store(false, Ordering::Release);
            byte.store(2, Ordering::Release);
            word.store(2, Ordering::Release);
            long.store(2, Ordering::Release);
        });
    }
}
