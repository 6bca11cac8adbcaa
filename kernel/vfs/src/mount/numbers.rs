//! The numbers by which `/proc/PID/mountinfo`, statx(2) and name_to_handle_at(2) know mounts: each belongs to one mount
//! at a time, and is the lowest that was free.

use hal::sync::SpinLock;
use libkernel::runs::Runs;

/// All of them fit into an `int`. No memory holds as many mounts.
const LIMIT: u32 = i32::MAX.cast_unsigned();

static IN_USE: SpinLock<Runs> = SpinLock::new(Runs::new());

/// A number that no other mount has.
pub(super) fn take() -> u32 {
    IN_USE.lock().take_lowest(1, LIMIT).expect("fewer mounts than numbers")
}

/// The mount of this number is gone.
pub(super) fn give_back(number: u32) {
    IN_USE.lock().release(number);
}
