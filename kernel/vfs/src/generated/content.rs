//! Files whose content is made as it is read, in pieces: Linux's `seq_file`.
//!
//! A [`Content`] is a sequence of records. Each opening keeps where its reader is: the text of some records, where in
//! the file they begin, and the cursor of the record that follows. So a reader that goes on where it stopped has each
//! record made once, in pieces of the size that the content chooses, and no more than one piece is held; one that goes
//! back starts anew, and a read from the beginning shows what holds now. Every piece is consistent in itself; between
//! two of them the things described may change.
//!
//! Lock order: an opening's progress (sleeps) comes after the file's position and before whatever a content locks to
//! show it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use abi::Errno;
use hal::sync::Once;
use libkernel::text::Text;
use memory::user::{Halt, IoSink, IoSource};
use outcome::{Failure, OrErrno};
use sched::Mutex;
use sched::wait::WaitQueue;

use super::Class;
use crate::file::{File, FileOperations};
use crate::poll::{PollEvents, Watcher};

/// What a generated file shows.
pub trait Content: Send + Sync {
    /// Writes records from `cursor` on, as many as are to be described at one time, and returns the cursor of the next;
    /// `None` after the last. The first record has cursor 0; what the others mean is the content's own.
    fn fill(&self, cursor: u64, text: &mut Text) -> Result<Option<u64>, Errno>;

    /// Whether it takes what is written.
    fn is_writable(&self) -> bool {
        false
    }

    /// Takes what one write at `position` brought; returns how much of it was used.
    fn store(&self, position: u64, bytes: &[u8]) -> Result<usize, Errno> {
        let _ = (position, bytes);
        Err(Errno::EINVAL)
    }

    /// What tells `poll` that the content has changed.
    fn changes(&self) -> Option<&Changes> {
        None
    }
}

/// An open file over a content.
pub struct SequenceFile<C> {
    content: C,
    class: Class,
    progress: Mutex<Progress>,
    /// The number of changes that `poll` has told of.
    seen: AtomicU64,
}

/// Where a reader is.
struct Progress {
    /// The records that were made last.
    text: Text,
    /// Where in the file they begin, in bytes.
    start: u64,
    /// The cursor of the record after them.
    next: Option<u64>,
}

impl<C: Content + 'static> SequenceFile<C> {
    /// A fresh opening.
    pub fn open(content: C, class: Class) -> Arc<dyn FileOperations> {
        let seen = AtomicU64::new(content.changes().map_or(0, Changes::count));
        let progress = Mutex::new(Progress { text: Text::new(), start: 0, next: Some(0) });
        Arc::new(SequenceFile { content, class, progress, seen })
    }
}

impl Progress {
    fn restart(&mut self) {
        self.text.clear();
        self.start = 0;
        self.next = Some(0);
    }

    /// What is there of the file from `position` on; empty if that lies behind it.
    fn rest(&self, position: u64) -> &[u8] {
        let skipped = usize::try_from(position - self.start).unwrap_or(usize::MAX);
        self.text.bytes().get(skipped..).unwrap_or_default()
    }

    /// Makes the next piece; `false` after the last.
    fn advance(&mut self, content: &impl Content) -> Result<bool, Errno> {
        let Some(cursor) = self.next else { return Ok(false) };
        self.start += self.text.bytes().len() as u64;
        self.text.clear();
        let made = content.fill(cursor, &mut self.text).and_then(|next| {
            self.text.check().or_errno()?;
            Ok(next)
        });
        match made {
            Ok(next) => self.next = next,
            Err(errno) => {
                self.text.clear();
                return Err(errno);
            }
        }
        Ok(true)
    }
}

/// Where a step of a read begins.
#[derive(Clone, Copy)]
enum Start {
    /// Where the read does.
    At(u64),
    /// Further on, after pages were brought in.
    Within(u64),
}

impl<C: Content> SequenceFile<C> {
    /// Reads as far as there are pages to read into.
    fn read_present(&self, start: Start, sink: &mut IoSink<'_>) -> Result<(), Halt> {
        let mut progress = self.progress.lock();
        let (position, is_new) = match start {
            Start::At(position) => (position, position == 0),
            Start::Within(position) => (position, false),
        };
        // Also where another reader has gone back meanwhile, and further than this one had come.
        if is_new || position < progress.start {
            progress.restart();
        }
        let before = sink.moved();
        while sink.remaining() > 0 {
            let rest = progress.rest(position + (sink.moved() - before) as u64);
            if !rest.is_empty() {
                sink.put_present(rest)?;
            } else if !progress.advance(&self.content)? {
                break;
            }
        }
        Ok(())
    }
}

impl<C: Content + 'static> FileOperations for SequenceFile<C> {
    fn read(&self, _file: &File, position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        let before = sink.moved();
        loop {
            let moved = sink.moved() - before;
            let start = if moved == 0 { Start::At(position) } else { Start::Within(position + moved as u64) };
            match self.read_present(start, sink) {
                Ok(()) => return Ok(()),
                Err(halt) => sink.bring_in(halt, 0)?,
            }
        }
    }

    fn write(&self, _file: &File, position: u64, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        /// The longest value that is looked at; what follows is ignored, as Linux ignores it.
        const MOST: usize = 4096;
        if !self.content.is_writable() {
            return Err(self.class.refusal().into());
        }
        let (asked, length) = (source.remaining(), source.remaining().min(MOST));
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length)?;
        bytes.resize(length, 0);
        source.take_whole(&mut bytes)?;
        let stored = self.content.store(position, &bytes)?;
        Ok(if stored == length { asked } else { stored })
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn knows_its_end(&self) -> bool {
        self.class == Class::Sysfs
    }

    fn can_be_spliced(&self) -> bool {
        self.class != Class::Process || self.content.changes().is_some()
    }

    /// As Linux has it: all but most of those of processes.
    fn is_pollable(&self) -> bool {
        self.class != Class::Process || self.content.changes().is_some()
    }

    fn poll(&self, _file: &File, watcher: &mut Watcher<'_>) -> Result<PollEvents, Errno> {
        let Some(changes) = self.content.changes() else { return Ok(PollEvents::ALWAYS_READY) };
        changes.poll(&self.seen, watcher)
    }
}

/// How often something has changed that a generated file shows, and who waits for the next time.
pub struct Changes {
    count: AtomicU64,
    /// Made when somebody waits first.
    waiters: Once<Arc<WaitQueue>>,
}

impl Changes {
    /// Nothing has changed yet.
    pub const fn new() -> Changes {
        Changes { count: AtomicU64::new(0), waiters: Once::new() }
    }

    /// How many there have been.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Tells of a change, which has been made. Wakes; takes no other lock than that of a wait queue.
    pub fn announce(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        // Whoever makes the queue meanwhile looks at the count afterwards.
        fence(Ordering::SeqCst);
        if let Some(waiters) = self.waiters.get() {
            waiters.notify(PollEvents::ALL);
        }
    }

    /// Readable always; an error and urgent once after each change, as Linux reports it (`mounts_poll`,
    /// `proc_sys_poll`).
    pub fn poll(&self, seen: &AtomicU64, watcher: &mut Watcher<'_>) -> Result<PollEvents, Errno> {
        watcher.watch(self.waiters.get_or_init(|| Arc::new(WaitQueue::new())))?;
        fence(Ordering::SeqCst);
        let now = self.count();
        let changed = seen.swap(now, Ordering::Relaxed) != now;
        Ok(PollEvents::READABLE.union(PollEvents::ERROR.union(PollEvents::PRIORITY).when(changed)))
    }
}
