//! Real-time tasks between CPUs: where one goes, and whose a CPU fetches.
//!
//! On N CPUs the N highest priorities run, as far as the tasks are allowed there (Linux: `find_lowest_rq`,
//! `pull_rt_task`). Each CPU publishes two numbers: its *level*, the highest priority that runs or waits there
//! ([`super::Queue::level`]), and the highest that waits there though it could run elsewhere
//! ([`super::Queue::waiting_level`]). Both are 0 without real-time tasks.
//!
//! A task that waits is pushed to a CPU of a lower level ([`target`]); a CPU whose level has fallen pulls one that
//! waits above it ([`source`]). Who publishes a number looks at the other CPUs' afterwards: so of two CPUs that change
//! at once, one sees the other.

/// How many waiting real-time tasks of a CPU are looked at, at most: those that may run nowhere else count too.
pub(super) const TRIES: usize = 64;

/// The CPUs of a mask, from `start` on and round.
fn each(cpus: u64, start: usize) -> impl Iterator<Item = usize> {
    let mut rest = cpus.rotate_right(start as u32 % 64);
    core::iter::from_fn(move || {
        let offset = rest.trailing_zeros() as usize;
        rest &= rest.checked_sub(1)?;
        Some((start + offset) % 64)
    })
}

/// The CPU of a mask with the lowest level, if that is below `priority`. Among equals the first of `preferred`, then
/// the next one after them.
pub fn target(priority: u8, cpus: u64, preferred: [usize; 2], level: impl Fn(usize) -> u8) -> Option<usize> {
    let rank = |cpu| preferred.iter().position(|preferred| *preferred == cpu).unwrap_or(preferred.len());
    each(cpus, preferred[1])
        .map(|cpu| (level(cpu), rank(cpu), cpu))
        .filter(|(level, ..)| *level < priority)
        .min_by_key(|(level, rank, _)| (*level, *rank))
        .map(|(.., cpu)| cpu)
}

/// The CPU of a mask for which the highest priority waits, if that is above `level`.
pub fn source(level: u8, cpus: u64, waiting_level: impl Fn(usize) -> u8) -> Option<usize> {
    each(cpus, 0)
        .map(|cpu| (waiting_level(cpu), cpu))
        .filter(|(waiting, _)| *waiting > level)
        .max_by_key(|(waiting, _)| *waiting)
        .map(|(_, cpu)| cpu)
}

#[cfg(test)]
mod tests;
