//! `/proc/PID/smaps`, `smaps_rollup` and `pagemap`: which pages of its memory a process has: proc(5), and Linux's
//! `Documentation/admin-guide/mm/pagemap.rst`.
//!
//! Pages are counted one by one without a lock on the memory: the sums are of pages that were there, not all at one
//! time. Whether a page was used lately is not known, and shown as zero.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use abi::Errno;
use hal::frame::SharedFrame;
use libkernel::addr::{PAGE_SIZE, USER_END, UserAddr, UserRange};
use libkernel::fault::Access;
use libkernel::text::Text;
use memory::AddressSpace;
use memory::area::{AreaDescription, AreaFlags};
use memory::user::IoSink;
use outcome::Failure;
use subject::capability;
use vfs::file::{File, FileOperations};
use vfs::generated::Class;
use vfs::generated::content::{Content, SequenceFile};

use super::maps::{self, Areas};
use super::subject::Subject;
use crate::process::current;

/// Opens `smaps`.
pub fn smaps(subject: Subject) -> Result<Arc<dyn FileOperations>, Errno> {
    Areas::open(subject, describe)
}

/// Opens `smaps_rollup`.
pub fn rollup(subject: Subject) -> Result<Arc<dyn FileOperations>, Errno> {
    let space = subject.memory()?;
    Ok(SequenceFile::open(Rollup { subject, space }, Class::Process))
}

/// What an area holds, in bytes.
#[derive(Default)]
struct Pages {
    resident: u64,
    /// Each page divided by the number of its mappings; in 4,096th of a byte.
    proportional: u64,
    proportional_dirty: u64,
    proportional_anonymous: u64,
    shared_clean: u64,
    shared_dirty: u64,
    private_clean: u64,
    private_dirty: u64,
    anonymous: u64,
    locked: u64,
}

/// As Linux counts the share of a page (`PSS_SHIFT`).
const SHARE_SHIFT: u32 = 12;

/// How many mappings a frame has, and whether it is a page of the area's object.
fn uses(area: &AreaDescription, page: UserAddr, frame: &SharedFrame) -> (u32, bool) {
    let index = (area.offset / PAGE_SIZE).wrapping_add(page.page_number() - area.range.start().page_number());
    let cached = area.object.as_ref().and_then(|object| object.page(index)).is_some_and(|own| own == *frame);
    // One reference is the caller's, one the object's.
    let mappings = frame.references().saturating_sub(1 + u32::from(cached));
    (mappings.max(1), cached)
}

impl Pages {
    fn of(space: &AddressSpace, area: &AreaDescription) -> Pages {
        let mut pages = Pages::default();
        space.page_table().each_mapped(area.range, |page, mapped| {
            if !mapped.frame.is_zero() {
                let (mappings, cached) = uses(area, page, &mapped.frame);
                pages.add(u64::from(mappings), cached, mapped.dirty || !cached);
            }
        });
        if area.flags.contains(AreaFlags::LOCKED) {
            pages.locked = pages.proportional;
        }
        pages
    }

    fn add(&mut self, mappings: u64, cached: bool, dirty: bool) {
        let share = (PAGE_SIZE << SHARE_SHIFT) / mappings;
        self.resident += PAGE_SIZE;
        self.proportional += share;
        self.proportional_dirty += if dirty { share } else { 0 };
        if !cached {
            self.anonymous += PAGE_SIZE;
            self.proportional_anonymous += share;
        }
        *match (mappings > 1, dirty) {
            (true, false) => &mut self.shared_clean,
            (true, true) => &mut self.shared_dirty,
            (false, false) => &mut self.private_clean,
            (false, true) => &mut self.private_dirty,
        } += PAGE_SIZE;
    }

    fn include(&mut self, other: &Pages) {
        self.resident += other.resident;
        self.proportional += other.proportional;
        self.proportional_dirty += other.proportional_dirty;
        self.proportional_anonymous += other.proportional_anonymous;
        self.shared_clean += other.shared_clean;
        self.shared_dirty += other.shared_dirty;
        self.private_clean += other.private_clean;
        self.private_dirty += other.private_dirty;
        self.anonymous += other.anonymous;
        self.locked += other.locked;
    }

    fn show(&self, is_rollup: bool, text: &mut Text) {
        row(text, "Rss", self.resident);
        row(text, "Pss", self.proportional >> SHARE_SHIFT);
        row(text, "Pss_Dirty", self.proportional_dirty >> SHARE_SHIFT);
        if is_rollup {
            row(text, "Pss_Anon", self.proportional_anonymous >> SHARE_SHIFT);
            row(text, "Pss_File", (self.proportional - self.proportional_anonymous) >> SHARE_SHIFT);
            row(text, "Pss_Shmem", 0);
        }
        row(text, "Shared_Clean", self.shared_clean);
        row(text, "Shared_Dirty", self.shared_dirty);
        row(text, "Private_Clean", self.private_clean);
        row(text, "Private_Dirty", self.private_dirty);
        row(text, "Referenced", 0);
        row(text, "Anonymous", self.anonymous);
        for label in ["LazyFree", "AnonHugePages", "ShmemPmdMapped", "FilePmdMapped", "Shared_Hugetlb"] {
            row(text, label, 0);
        }
        // Linux has no blank more here.
        writeln!(text, "Private_Hugetlb: {:7} kB", 0);
        row(text, "Swap", 0);
        row(text, "SwapPss", 0);
        row(text, "Locked", self.locked >> SHARE_SHIFT);
    }
}

/// A line: label and kilobytes.
fn row(text: &mut Text, label: &str, bytes: u64) {
    let start = text.bytes().len();
    text.put(label.as_bytes());
    text.put(b":");
    text.pad(start, 16);
    writeln!(text, "{:8} kB", bytes / 1024);
}

/// What `smaps` says of an area.
fn describe(space: &AddressSpace, area: &AreaDescription, text: &mut Text) -> Result<(), Errno> {
    maps::line(area, text);
    row(text, "Size", area.range.length());
    row(text, "KernelPageSize", PAGE_SIZE);
    row(text, "MMUPageSize", PAGE_SIZE);
    Pages::of(space, area).show(false, text);
    text.put(b"THPeligible:    0\nVmFlags:");
    let has = |flag| area.flags.contains(flag);
    let letters = [
        (area.prot.allows(Access::Read), b" rd"),
        (area.prot.is_writable(), b" wr"),
        (area.prot.is_executable(), b" ex"),
        (area.shared, b" sh"),
        (area.max_prot.allows(Access::Read), b" mr"),
        (area.max_prot.is_writable(), b" mw"),
        (area.max_prot.is_executable(), b" me"),
        (area.shared, b" ms"),
        (has(AreaFlags::GROWS_DOWN), b" gd"),
        (has(AreaFlags::LOCKED), b" lo"),
        (has(AreaFlags::DONT_FORK), b" dc"),
        (has(AreaFlags::NO_RESERVE), b" nr"),
        (has(AreaFlags::WIPE_ON_FORK), b" wf"),
        (has(AreaFlags::DONT_DUMP), b" dd"),
    ];
    letters.iter().filter(|(is_set, _)| *is_set).for_each(|(_, letters)| text.put(*letters));
    text.put(b" \n");
    Ok(())
}

/// The sums of all areas.
struct Rollup {
    subject: Subject,
    space: Weak<AddressSpace>,
}

impl Content for Rollup {
    fn fill(&self, _cursor: u64, text: &mut Text) -> Result<Option<u64>, Errno> {
        self.subject.check()?;
        // Linux: `show_smaps_rollup`.
        let space = self.space.upgrade().ok_or(Errno::ESRCH)?;
        let (mut sum, mut first, mut end) = (Pages::default(), 0, 0);
        loop {
            let batch = space.describe_areas(UserAddr::new(end), maps::BATCH)?;
            let Some(last) = batch.last() else { break };
            if end == 0 {
                first = batch.first().map_or(0, |area| area.range.start().as_u64());
            }
            end = last.range.end().as_u64();
            batch.iter().for_each(|area| sum.include(&Pages::of(&space, area)));
        }
        let start = text.bytes().len();
        write!(text, "{first:08x}-{end:08x} ---p 00000000 00:00 0 ");
        text.pad(start, maps::NAME_COLUMN);
        text.put(b"[rollup]\n");
        sum.show(true, text);
        Ok(None)
    }
}

/// `pagemap`: eight bytes for each page of the user half.
struct PageMap {
    space: Weak<AddressSpace>,
    /// Whether frames' numbers are shown.
    shows_frames: bool,
}

/// Opens `pagemap`. Only who has `CAP_SYS_ADMIN` is shown the numbers of frames.
pub fn page_map(subject: Subject) -> Result<Arc<dyn FileOperations>, Errno> {
    let space = subject.memory()?;
    let shows_frames =
        current().is_some_and(|thread| thread.credentials().has_capability(capability::SYS_ADMIN));
    Ok(Arc::new(PageMap { space, shows_frames }))
}

/// Bits of an entry: the page is mapped; it belongs to a file or is shared; it is mapped here alone.
const PRESENT: u64 = 1 << 63;
const OF_FILE: u64 = 1 << 61;
const EXCLUSIVE: u64 = 1 << 56;

impl PageMap {
    /// The entries of the pages of a range.
    fn entries(&self, space: &AddressSpace, range: UserRange, entries: &mut [u64]) -> Result<(), Errno> {
        let mut from = range.start();
        while from < range.end() {
            let Some(area) = space.describe_areas(from, 1)?.pop() else { break };
            from = area.range.end();
            let Some(part) = area.range.intersection(range) else { break };
            space.page_table().each_mapped(part, |page, mapped| {
                let (mappings, cached) = uses(&area, page, &mapped.frame);
                let is_exclusive = mappings == 1 && !mapped.frame.is_zero();
                let number = if self.shows_frames { mapped.frame.phys().frame_number() } else { 0 };
                let bits =
                    PRESENT | if cached { OF_FILE } else { 0 } | if is_exclusive { EXCLUSIVE } else { 0 };
                let index = (page.page_number() - range.start().page_number()) as usize;
                if let Some(entry) = entries.get_mut(index) {
                    *entry = bits | number;
                }
            });
        }
        Ok(())
    }
}

impl FileOperations for PageMap {
    fn is_pollable(&self) -> bool {
        false
    }

    /// EINVAL for parts of entries.
    fn read(&self, _file: &File, position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        /// Bytes of an entry, and entries that are made at once.
        const SIZE: u64 = 8;
        const STEP: u64 = 512;
        let Some(space) = self.space.upgrade() else { return Ok(()) };
        if !position.is_multiple_of(SIZE) || !(sink.remaining() as u64).is_multiple_of(SIZE) {
            return Err(Errno::EINVAL.into());
        }
        let mut page = position / SIZE;
        let end = USER_END / PAGE_SIZE;
        while page < end && sink.remaining() > 0 {
            let count = STEP.min(end - page).min(sink.remaining() as u64 / SIZE);
            let (start, stop) = (UserAddr::of_page(page), UserAddr::of_page(page + count));
            let Some(range) = UserRange::from_bounds(start, stop) else { break };
            let mut entries = Vec::new();
            entries.try_reserve_exact(count as usize)?;
            entries.resize(count as usize, 0);
            self.entries(&space, range, &mut entries)?;
            let mut bytes = Vec::new();
            bytes.try_reserve_exact((count * SIZE) as usize)?;
            bytes.extend(entries.iter().flat_map(|entry| entry.to_ne_bytes()));
            if sink.put(&bytes)? < bytes.len() || sched::work::signal_is_pending() {
                break;
            }
            page += count;
        }
        Ok(())
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn knows_its_end(&self) -> bool {
        false
    }
}
