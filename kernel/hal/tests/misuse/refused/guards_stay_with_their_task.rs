//! Guards are true where they were made.
// refused: E0277 E0277 E0277 E0277 E0277

use hal::sync::{IrqLock, PreemptGuard, SpinLock, TryLock, TryRwLock, preempt};

fn moves<T: Send>(_: T) {}

static SPIN: SpinLock<u32> = SpinLock::new(0);
static IRQ: IrqLock<u32> = IrqLock::new(0);
static TRY: TryLock<u32> = TryLock::new(0, ());
static TRY_RW: TryRwLock<u32> = TryRwLock::new(0, ());

fn main() {
    moves::<PreemptGuard>(preempt::disable());
    moves(SPIN.lock());
    moves(IRQ.lock());
    moves(TRY.try_lock());
    moves(TRY_RW.try_read());
}
