//! Who is signalled when something in a directory changes: `F_NOTIFY`, as fcntl(2) has it. Source: Linux 6.1's
//! `fs/notify/dnotify`.
//!
//! What happens to a file is told to the directory of the name by which it was reached, and what happens to a directory
//! to itself, too. While nobody watches anything, which is one load, nothing is looked up, and a directory knows
//! whether anybody watches it.
//!
//! Lock order: the watches' lock is a leaf. Signals are sent without it.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use abi::Errno;
use abi::fs::{DN_ACCESS, DN_ATTRIB, DN_CREATE, DN_DELETE, DN_MODIFY, DN_MULTISHOT, DN_RENAME};
use hal::sync::SpinLock;

use super::owner::{News, Owner};

/// `dir-notify-enable`: whether new watches are taken.
pub static ENABLED: AtomicI32 = AtomicI32::new(1);

/// What has happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A file was read, or a directory listed.
    Accessed,
    /// A file's content changed.
    Modified,
    /// And its set-id bits went with that.
    ModifiedWithAttributes,
    /// A name came.
    Created,
    /// A name went.
    Deleted,
    /// A name became another one of the same directory.
    Renamed,
    /// Attributes changed.
    Attributes,
}

impl Event {
    fn bits(self) -> u32 {
        match self {
            Event::Accessed => DN_ACCESS,
            Event::Modified => DN_MODIFY,
            Event::ModifiedWithAttributes => DN_MODIFY | DN_ATTRIB,
            Event::Created => DN_CREATE,
            Event::Deleted => DN_DELETE,
            Event::Renamed => DN_RENAME,
            Event::Attributes => DN_ATTRIB,
        }
    }
}

/// What a directory's inode knows of those that watch it: whether there are any. Its address is their name for the
/// directory.
pub struct Watched(AtomicBool);

/// By what a directory is watched: the addresses of the open directory and of the descriptor table by which it was
/// asked for.
pub type Opening = (usize, usize);

/// A watch by the addresses of what is watched and by what.
type Key = (usize, usize, usize);

#[derive(Clone)]
struct Watch {
    owner: Arc<Owner>,
    fd: i32,
    mask: u32,
}

/// How many watches there are; changed under their lock.
static COUNT: AtomicUsize = AtomicUsize::new(0);
static WATCHES: SpinLock<BTreeMap<Key, Watch>> = SpinLock::new(BTreeMap::new());

/// How many watches are looked at under their lock at a time.
const AT_ONCE: usize = 32;

/// Whether anybody watches anything.
#[inline(always)]
pub fn is_any() -> bool {
    COUNT.load(Ordering::Relaxed) != 0
}

fn change<R>(change: impl FnOnce(&mut BTreeMap<Key, Watch>) -> R) -> R {
    let mut watches = WATCHES.lock();
    let result = change(&mut watches);
    COUNT.store(watches.len(), Ordering::Relaxed);
    result
}

impl Watched {
    /// By nobody.
    pub const fn new() -> Watched {
        Watched(AtomicBool::new(false))
    }

    fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    fn all(&self) -> RangeInclusive<Key> {
        (self.address(), 0, 0)..=(self.address(), usize::MAX, usize::MAX)
    }

    /// Watches the directory, or watches it for more. Whoever asks looks afterwards whether the table still has the
    /// file by this descriptor, as its close may have come before. ENOMEM where only the kernel's reserve of memory is
    /// left.
    pub fn add(&self, by: Opening, owner: &Arc<Owner>, fd: i32, mask: u32) -> Result<(), Errno> {
        if !hal::frame::may_allocate() {
            return Err(Errno::ENOMEM);
        }
        let new = Watch { owner: owner.clone(), fd, mask: 0 };
        change(|watches| {
            let watch = watches.entry((self.address(), by.0, by.1)).or_insert(new);
            watch.fd = fd;
            watch.mask |= mask;
            self.0.store(true, Ordering::Relaxed);
        });
        Ok(())
    }

    /// A descriptor of the open directory is closed by the user of the table, or its watch is given up.
    pub fn end(&self, by: Opening) {
        let watch = change(|watches| self.remove(watches, &(self.address(), by.0, by.1)));
        drop(watch);
    }

    /// Takes a watch away; that it was the last one is noted.
    fn remove(&self, watches: &mut BTreeMap<Key, Watch>, key: &Key) -> Option<Watch> {
        let watch = watches.remove(key)?;
        self.0.store(watches.range(self.all()).next().is_some(), Ordering::Relaxed);
        Some(watch)
    }

    /// Signals those that watch the directory for an event.
    #[inline]
    pub fn tell(&self, event: Event) {
        if is_any() && self.0.load(Ordering::Relaxed) {
            self.tell_all(event);
        }
    }

    /// A watch is told once, unless it is for many times.
    #[cold]
    fn tell_all(&self, event: Event) {
        let all = self.all();
        let mut from = *all.start();
        while let Some((key, wanted)) = change(|watches| self.next(watches, from..=*all.end(), event)) {
            if let Some(watch) = wanted {
                watch.owner.tell(watch.fd, News::Message);
            }
            from = (key.0, key.1, key.2 + 1);
        }
    }

    /// The next watch that is to be told, or the last one that was looked at; `None` behind the last.
    fn next(
        &self,
        watches: &mut BTreeMap<Key, Watch>,
        range: RangeInclusive<Key>,
        event: Event,
    ) -> Option<(Key, Option<Watch>)> {
        let mut last = None;
        for (key, watch) in watches.range(range).take(AT_ONCE) {
            last = Some(*key);
            if watch.mask & event.bits() != 0 {
                let (key, watch) = (*key, watch.clone());
                if watch.mask & DN_MULTISHOT == 0 {
                    self.remove(watches, &key);
                }
                return Some((key, Some(watch)));
            }
        }
        Some((last?, None))
    }
}
