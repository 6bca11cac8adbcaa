//! Whether what the kernel has written to a frame is visible to execution: a word of the frame's record.
//!
//! Whoever lets programs execute a frame makes it visible first, if nobody has since the last write; whoever writes
//! notes it afterwards. A write may come at any time, and several CPUs may make one frame visible at once, so each
//! attempt puts its own number into the word, and is taken for done only if that number still stands there: not where
//! something was written meanwhile, nor where a later attempt, which may have begun because of it, is under way.
use core::sync::atomic::{AtomicU32, Ordering};

/// Written to since. What the word of a fresh frame is set to.
const STALE: u32 = 0;
const VISIBLE: u32 = 1;
/// The first attempt's number: the others are further on by their CPU's.
const UNDER_WAY: u32 = 2;

/// Something was written. Who sees the note sees what was written.
#[inline(always)]
pub fn note_write(state: &AtomicU32) {
    state.store(STALE, Ordering::Release);
}

/// Whether all that was written and noted is visible.
#[inline(always)]
pub fn are_visible(state: &AtomicU32) -> bool {
    state.load(Ordering::Acquire) == VISIBLE
}

/// Begins to make visible what was written and noted up to here. One attempt on a CPU at a time.
#[inline]
pub fn begin(state: &AtomicU32, cpu: usize) {
    state.swap(UNDER_WAY + cpu as u32, Ordering::AcqRel);
}

/// Ends this CPU's attempt.
#[inline]
pub fn end(state: &AtomicU32, cpu: usize) {
    let _ = state.compare_exchange(UNDER_WAY + cpu as u32, VISIBLE, Ordering::Release, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stale() -> AtomicU32 {
        AtomicU32::new(STALE)
    }

    #[test]
    fn one_attempt_does() {
        let state = stale();
        begin(&state, 3);
        assert!(!are_visible(&state));
        end(&state, 3);
        assert!(are_visible(&state));
        note_write(&state);
        assert!(!are_visible(&state));
    }

    #[test]
    fn a_write_meanwhile_is_not_taken_for_visible() {
        let state = stale();
        begin(&state, 0);
        note_write(&state);
        end(&state, 0);
        assert!(!are_visible(&state));
    }

    /// The first attempt began before the write, the second after it.
    #[test]
    fn an_attempt_of_before_the_write_does_not_answer_for_the_one_after() {
        let state = stale();
        begin(&state, 0);
        note_write(&state);
        begin(&state, 1);
        end(&state, 0);
        assert!(!are_visible(&state));
        end(&state, 1);
        assert!(are_visible(&state));
    }
}
