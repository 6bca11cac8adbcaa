//! Seeding: the pool, what is put into it and when it counts as seeded, and those who wait for that.
//!
//! At boot everything that the machine offers goes in. A seed of CPU, firmware or loader counts at once, unless
//! `random.trust_cpu=off` or `random.trust_bootloader=off` say otherwise, as in Debian's Linux. Where none does,
//! whoever needs a seeded generator collects the times of a loop (`timing`), and the times of interrupts come to count
//! in the end.
//!
//! Lock order: the generator's lock before the pool's; both spin and are never taken by interrupt handlers.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use abi::Errno;
use hal::random;
use hal::sync::{Once, SpinLock};
use klog::log;
use klog::notice;
use libkernel::command_line::CommandLine;
use libkernel::entropy::{Drawn, KEY_BYTES, Key, Pool, draw, interrupts_credit};
use outcome::{Failure, Restart};
use sched::wait::WaitQueue;
use sched::work;
use vfs::asynchronous::AsyncFiles;
use vfs::owner::News;
use vfs::poll::Watcher;

use super::timing::Collector;
use crate::time::clock;

static POOL: SpinLock<Option<Pool>> = SpinLock::new(None);
/// The pool is seeded, and the generator with it.
static SEEDED: AtomicBool = AtomicBool::new(false);
/// Those who want a signal then.
pub static ASYNC_FILES: AsyncFiles = AsyncFiles::new();
/// Interrupts that were counted.
static INTERRUPTS_SEEN: AtomicU32 = AtomicU32::new(0);

fn with_pool<R>(action: impl FnOnce(&mut Pool) -> R) -> R {
    action(POOL.lock().get_or_insert_with(Pool::new))
}

/// Whether the generator is seeded; it stays so.
#[inline]
pub fn is_seeded() -> bool {
    SEEDED.load(Ordering::Acquire)
}

/// Bits that the pool counts: 256 when it is seeded.
pub fn bits() -> u32 {
    with_pool(|pool| pool.bits())
}

/// Adds bytes that count for nothing.
pub fn mix(bytes: &[u8]) {
    with_pool(|pool| pool.mix(bytes));
}

/// Counts bits of what was added before. Not under a lock: if they are the ones that were missing, those who wait are
/// told.
pub fn credit(bits: u32) {
    if with_pool(|pool| pool.credit(bits)) {
        announce();
    }
}

/// The generator starts anew with the seeded pool, and everybody hears of it.
fn announce() {
    super::reseed();
    SEEDED.store(true, Ordering::Release);
    notice!("random: crng init done");
    waiters().wake_all();
    ASYNC_FILES.tell(News::Input);
}

/// Collects what there is at boot. `command_line` says what is trusted.
pub fn start(command_line: CommandLine<'_>) {
    let is_trusted = |who| command_line.option(who).and_then(truth).unwrap_or(true);
    let loader = random::take_loader_seed();
    with_pool(|pool| {
        pool.mix(&loader.bytes);
        pool.mix(&clock::wall_clock_ns().to_le_bytes());
    });
    let from_loader = if is_trusted("random.trust_bootloader") { loader.bits } else { 0 };
    let mut from_machine = 0;
    with_pool(|pool| {
        draw_from_sources(pool, &mut |name, drawn| {
            from_machine += drawn.bits();
            if drawn == Drawn::Broken {
                log!("random: what {name} gives is not random, and is not counted");
            }
        });
    });
    if !is_trusted("random.trust_cpu") {
        from_machine = 0;
    }
    credit(from_loader.saturating_add(from_machine));
    if !is_seeded() {
        // What needs random numbers before programs can wait for them gets at least these.
        Collector::first_times(&mut |time| mix(&time.to_le_bytes()));
    }
}

/// A word that turns something on or off (Linux: `kstrtobool`).
fn truth(word: &[u8]) -> Option<bool> {
    match word {
        [b'y' | b'Y' | b'1', ..] | [b'o' | b'O', b'n' | b'N', ..] => Some(true),
        [b'n' | b'N' | b'0', ..] | [b'o' | b'O', b'f' | b'F', ..] => Some(false),
        _ => None,
    }
}

fn draw_from_sources(pool: &mut Pool, judge: &mut dyn FnMut(&'static str, Drawn)) {
    random::for_each_source(&mut |name, source| {
        judge(name, draw(source, &mut |word| pool.mix(&word.to_le_bytes())));
    });
}

/// A key for the generator, of the pool with all that came since the last one, and of the generator's key so far.
pub(super) fn fresh_key(previous: &[u8; KEY_BYTES]) -> Key {
    with_pool(|pool| {
        pool.mix(previous);
        pool.mix(&random::timestamp().to_le_bytes());
        draw_from_sources(pool, &mut |_, _| {});
        random::for_each_cpu_times(&mut |state| state.iter().for_each(|word| pool.mix(&word.to_le_bytes())));
        pool.take_key()
    })
}

/// Mixes in the times of interrupts and counts them. Only what has come since the last time counts.
fn count_interrupts() {
    let bits = with_pool(|pool| {
        let count = random::for_each_cpu_times(&mut |state| {
            state.iter().for_each(|word| pool.mix(&word.to_le_bytes()))
        });
        let (bits, seen) = interrupts_credit(count, INTERRUPTS_SEEN.load(Ordering::Relaxed));
        INTERRUPTS_SEEN.store(seen, Ordering::Relaxed);
        bits
    });
    credit(bits);
}

/// Returns once the generator is seeded. Whoever waits collects: that has an end on every machine.
pub fn wait() -> Result<(), Failure> {
    if is_seeded() {
        return Ok(());
    }
    let mut collector = Collector::new();
    while !is_seeded() {
        if work::signal_is_pending() {
            return Err(Failure::Restart(Restart::IfAllowed));
        }
        collect(&mut collector);
    }
    Ok(())
}

fn collect(collector: &mut Collector) {
    count_interrupts();
    match collector.window(&mut |piece| mix(piece)) {
        Some(bits) => credit(bits),
        None => {
            log!("random: nothing on this machine is random, not even time; the generator can be predicted");
            credit(u32::MAX);
        }
    }
}

/// Those who poll for a seeded generator.
fn waiters() -> &'static Arc<WaitQueue> {
    static WAITERS: Once<Arc<WaitQueue>> = Once::new();
    WAITERS.get_or_init(|| Arc::new(WaitQueue::new()))
}

/// Enters `watcher` with those who wait for a seeded generator.
pub fn watch(watcher: &mut Watcher<'_>) -> Result<(), Errno> {
    watcher.watch(waiters())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_truth_are_those_of_linux() {
        for (word, value) in
            [("y", true), ("1", true), ("on", true), ("ON", true), ("n", false), ("0", false), ("off", false)]
        {
            assert_eq!(truth(word.as_bytes()), Some(value), "{word}");
        }
        for word in ["", "o", "maybe"] {
            assert_eq!(truth(word.as_bytes()), None, "{word}");
        }
    }
}
