//! Turns: exclusion among calls that lasts as long as they touch a program's memory.
//!
//! No lock is held while memory is touched: a page may be long in coming, and who waits for a lock waits for its holder
//! whatever happens. Some things are one call's at a time all the same, however long it copies: the position of an open
//! file, writing to a stored file (Linux: `f_pos_lock`, `i_rwsem`). They are taken in turns. Who waits for its turn
//! stops waiting when it is to end, as who waits for a page does, so nothing that programs do to each other's pages
//! keeps them from being killed; and nothing that brings pages in takes a turn, so none waits for itself.
//!
//! Lock order: turns come before all locks. Nobody waits for one with a lock held; builds with debug assertions watch
//! that.

use super::mutex::{Mutex, MutexGuard};
pub use super::wait::Killed;

/// A value that calls use in turns.
pub struct Turns<T>(Mutex<T>);

/// Access to the value while it is the caller's turn.
pub type Turn<'a, T> = MutexGuard<'a, T>;

impl<T> Turns<T> {
    /// Nobody's turn.
    #[cfg_attr(debug_assertions, track_caller)]
    pub const fn new(value: T) -> Turns<T> {
        Turns(Mutex::for_turns(value))
    }

    /// Waits for the caller's turn.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn take(&self) -> Result<Turn<'_, T>, Killed> {
        Ok(self.0.lock_unless_killed()?)
    }

    /// Takes the turn if it is nobody's.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_take(&self) -> Option<Turn<'_, T>> {
        self.0.try_lock()
    }
}
