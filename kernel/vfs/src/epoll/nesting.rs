//! How epoll instances may watch each other: Linux's bounds (`fs/eventpoll.c`), which also bound every recursion
//! through them.
//!
//! No chain of instances has more than [`MOST_LINKS`] links, whichever end it was built from, and none is a circle.
//! Where instances watch each other, the ways from one file up to instances that nobody watches are counted by their
//! length: each is a way that a wake-up goes.
//!
//! One instance is added to another, and a file to a watched instance, under [`STRUCTURE`]. Removing needs no lock: it
//! makes no chain longer. The structure found is a graph without circles that may have many more paths than instances;
//! so a walk marks each instance with its number and goes below it once.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use abi::Errno;
use sched::Mutex;
use sched::mutex::MutexGuard;

use super::{Epoll, ItemRef, Watchers};
use crate::file::File;

/// The most links in a chain of instances (Linux: `EP_MAX_NESTS`).
const MOST_LINKS: usize = 4;

/// The most ways up from one file, by the links between instances on the way; those without any are not counted (Linux:
/// `path_limits`).
const MOST_WAYS: [usize; MOST_LINKS + 1] = [usize::MAX, 500, 100, 50, 10];

/// The number of the last walk.
static STRUCTURE: Mutex<u64> = Mutex::new(0);

/// What the last walk has found at an instance. Changes under [`STRUCTURE`].
pub(super) struct Level {
    walk: AtomicU64,
    links: AtomicUsize,
}

impl Level {
    pub(super) const fn new() -> Level {
        Level { walk: AtomicU64::new(0), links: AtomicUsize::new(0) }
    }

    /// Marks it as met by this walk; whether it had been.
    fn is_met(&self, walk: u64) -> bool {
        self.walk.swap(walk, Ordering::Relaxed) == walk
    }

    fn links(&self) -> usize {
        self.links.load(Ordering::Relaxed)
    }

    fn set_links(&self, links: usize) -> usize {
        self.links.store(links, Ordering::Relaxed);
        links
    }
}

/// The right to add a link.
pub(super) struct Structure {
    walk: MutexGuard<'static, u64>,
}

/// The right to have `outer` watch `file`, if the structure matters: the file is an instance, or `outer` is watched.
/// ELOOP where that would close a circle or make too long a chain.
pub(super) fn check(outer: &Epoll, file: &File) -> Result<Option<Structure>, Errno> {
    let inner = instance(file);
    if inner.is_none() && outer.watchers.is_empty() {
        return Ok(None);
    }
    let walk = STRUCTURE.lock();
    let mut structure = Structure { walk };
    if let Some(inner) = inner {
        let walk = structure.start_walk();
        let below = links_below(inner, outer, walk, 0)?;
        let above = links_above(outer, walk, 0)?;
        if below + 1 + above > MOST_LINKS {
            return Err(Errno::ELOOP);
        }
    }
    Ok(Some(structure))
}

impl Structure {
    fn start_walk(&mut self) -> u64 {
        *self.walk += 1;
        *self.walk
    }

    /// EINVAL if there are too many ways up from `file`, or from one below it.
    pub(super) fn check_paths(mut self, file: &File) -> Result<(), Errno> {
        let walk = self.start_walk();
        match instance(file) {
            None => check_ways(file),
            Some(inner) => check_ways_below(inner, walk, 0),
        }
    }
}

fn instance(file: &File) -> Option<&Epoll> {
    file.operations()
}

/// Calls `visit` with each file that an instance watches.
fn each_file(epoll: &Epoll, mut visit: impl FnMut(&File) -> Result<(), Errno>) -> Result<(), Errno> {
    let mut last = None;
    loop {
        let items = epoll.items.lock().some(last);
        let Some(end) = items.last() else { return Ok(()) };
        last = Some(end.key);
        for item in &items {
            if let Some(file) = item.file() {
                visit(&file)?;
            }
        }
    }
}

/// Calls `visit` with each instance that watches.
fn each_watcher(
    watchers: &Watchers,
    mut visit: impl FnMut(&Epoll) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mut last: Option<ItemRef> = None;
    loop {
        let items = watchers.some(last.as_ref());
        let Some(end) = items.last() else { return Ok(()) };
        for item in &items {
            if let Some(epoll) = item.epoll() {
                visit(&epoll)?;
            }
        }
        last = Some(end.clone());
    }
}

/// The links of the longest chain below an instance. ELOOP if `outer` is there. `depth` is bounded by [`MOST_LINKS`].
fn links_below(epoll: &Epoll, outer: &Epoll, walk: u64, depth: usize) -> Result<usize, Errno> {
    if core::ptr::eq(epoll, outer) || depth > MOST_LINKS {
        return Err(Errno::ELOOP);
    }
    if epoll.level.is_met(walk) {
        return Ok(epoll.level.links());
    }
    let mut longest = 0;
    each_file(epoll, |file| {
        if let Some(inner) = instance(file) {
            longest = longest.max(links_below(inner, outer, walk, depth + 1)? + 1);
        }
        Ok(())
    })?;
    Ok(epoll.level.set_links(longest))
}

/// The links of the longest chain above an instance. `depth` is bounded by [`MOST_LINKS`].
fn links_above(epoll: &Epoll, walk: u64, depth: usize) -> Result<usize, Errno> {
    if depth > MOST_LINKS {
        return Err(Errno::ELOOP);
    }
    if epoll.level.is_met(walk) {
        return Ok(epoll.level.links());
    }
    let mut longest = 0;
    each_watcher(&epoll.watchers, |outer| {
        longest = longest.max(links_above(outer, walk, depth + 1)? + 1);
        Ok(())
    })?;
    Ok(epoll.level.set_links(longest))
}

/// Checks each file below an instance, each once.
fn check_ways_below(epoll: &Epoll, walk: u64, depth: usize) -> Result<(), Errno> {
    if depth > MOST_LINKS || epoll.level.is_met(walk) {
        return Ok(());
    }
    each_file(epoll, |file| match instance(file) {
        Some(inner) => check_ways_below(inner, walk, depth + 1),
        None => check_ways(file),
    })
}

/// EINVAL if there are too many ways from a file up to instances that nobody watches.
fn check_ways(file: &File) -> Result<(), Errno> {
    count_ways(file.watchers(), 0, &mut [0; MOST_LINKS + 1])
}

fn count_ways(watchers: &Watchers, links: usize, found: &mut [usize; MOST_LINKS + 1]) -> Result<(), Errno> {
    let (Some(&most), true) = (MOST_WAYS.get(links), links <= MOST_LINKS) else { return Err(Errno::EINVAL) };
    each_watcher(watchers, |epoll| {
        if !epoll.watchers.is_empty() {
            return count_ways(&epoll.watchers, links + 1, found);
        }
        let count = &mut found[links];
        *count += 1;
        if *count > most { Err(Errno::EINVAL) } else { Ok(()) }
    })
}
