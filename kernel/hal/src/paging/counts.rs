//! What one table holds, in one word: so that a fault counts its page with one addition.
use crate::frame::record;
use core::sync::atomic::{AtomicU32, Ordering};
use libkernel::addr::{PAGE_SIZE, PhysAddr};
use libkernel::arch::native::paging::Entry;
use libkernel::paging::{ENTRIES, Kind, level_size};

/// Entries that own frames, those with anonymous pages, and those with pages of objects: ten bits each, as a table has
/// 512 entries. Sums and differences may be added to a table's word, where no field falls below zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts(u32);

const FIELD: u32 = 10;
const MASK: u32 = (1 << FIELD) - 1;
const _: () = assert!(ENTRIES < MASK as usize);

impl Counts {
    /// One entry with a page of this kind.
    #[inline(always)]
    pub const fn one(kind: Kind) -> Self {
        Self(match kind {
            Kind::Uncounted => 1,
            Kind::Anonymous => 1 | 1 << FIELD,
            Kind::Object => 1 | 1 << (2 * FIELD),
        })
    }

    /// So many entries, whose [`Entry::tally`] adds up to this.
    #[inline(always)]
    pub const fn sum(entries: u32, tally: u64) -> Self {
        let (anonymous, objects) = Entry::counted(tally);
        Self(entries | anonymous << FIELD | objects << (2 * FIELD))
    }

    /// What `table` holds now.
    #[inline(always)]
    pub fn of(table: PhysAddr) -> Self {
        Self(record(table).count.load(Ordering::Relaxed))
    }

    /// Empties the word of a new table, of which the level is remembered.
    #[inline(always)]
    pub fn begin(table: PhysAddr, level: u32) {
        let record = record(table);
        record.count.store(0, Ordering::Relaxed);
        record.free.store(level, Ordering::Relaxed);
    }

    /// How many pages of 4 KiB each entry of `table` is.
    #[inline(always)]
    fn scale(table: PhysAddr) -> u64 {
        level_size(record(table).free.load(Ordering::Relaxed)) / PAGE_SIZE
    }

    /// The pages that `table` itself maps and that are counted.
    pub fn pages_of(table: PhysAddr) -> u64 {
        Self::of(table).pages() * Self::scale(table)
    }

    /// The same, by kind.
    pub fn resident_of(table: PhysAddr) -> Resident {
        let (entries, scale) = (Self::of(table).resident(), Self::scale(table));
        Resident { anonymous: entries.anonymous * scale, objects: entries.objects * scale }
    }

    /// So many of these; at most a table's.
    #[inline(always)]
    pub const fn times(self, count: u32) -> Self {
        Self(self.0 * count)
    }

    /// Counts this more in `table`.
    #[inline(always)]
    pub fn add_to(self, table: PhysAddr) {
        record(table).count.fetch_add(self.0, Ordering::Relaxed);
    }

    /// Counts this less in `table`.
    #[inline(always)]
    pub fn take_from(self, table: PhysAddr) {
        record(table).count.fetch_sub(self.0, Ordering::Relaxed);
    }

    /// All entries in use.
    #[inline(always)]
    pub const fn entries(self) -> u32 {
        self.0 & MASK
    }

    /// How many entries with pages are counted.
    #[inline(always)]
    pub const fn pages(self) -> u64 {
        ((self.0 >> FIELD & MASK) + (self.0 >> (2 * FIELD))) as u64
    }

    /// Entries with pages that are counted, by kind.
    const fn resident(self) -> Resident {
        let (anonymous, objects) = (self.0 >> FIELD & MASK, self.0 >> (2 * FIELD) & MASK);
        Resident { anonymous: anonymous as u64, objects: objects as u64 }
    }
}

/// Pages of a program that are mapped, without those of zeros.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Resident {
    /// Its own, or shared with those that it was forked with (`RssAnon`).
    pub anonymous: u64,
    /// Objects', as everybody sees them (`RssFile`, `RssShmem`).
    pub objects: u64,
}

impl Resident {
    /// All of them (`VmRSS`).
    pub const fn total(self) -> u64 {
        self.anonymous + self.objects
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        Self { anonymous: self.anonymous + other.anonymous, objects: self.objects + other.objects }
    }
}

/// The most pages that were resident at a time.
///
/// It is looked at when pages are taken out, and not each time: counting them means looking at every table. So it may
/// be too low by as many pages as are taken out between two looks: 32, or a quarter of the tables (Linux's counts wait
/// for 64 events of each thread).
pub(super) struct Peak {
    pages: AtomicU32,
    /// Taken out since it was last looked at.
    taken: AtomicU32,
    /// Look again after so many.
    step: AtomicU32,
}

impl Peak {
    const STEP: u32 = 32;

    pub const fn new() -> Self {
        Self { pages: AtomicU32::new(0), taken: AtomicU32::new(0), step: AtomicU32::new(Self::STEP) }
    }

    /// Pages were taken out; whether it is time to look.
    #[inline(always)]
    pub fn is_due(&self, pages: u32) -> bool {
        let taken = self.taken.fetch_add(pages, Ordering::Relaxed).wrapping_add(pages);
        taken >= self.step.load(Ordering::Relaxed)
    }

    /// So many pages, in so many tables, were there.
    pub fn note(&self, pages: u64, tables: u32) {
        self.taken.store(0, Ordering::Relaxed);
        self.step.store(Self::STEP.max(tables / 4), Ordering::Relaxed);
        self.pages.fetch_max(u32::try_from(pages).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// What was found.
    pub fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed).into()
    }
}
