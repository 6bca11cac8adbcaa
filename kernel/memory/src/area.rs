//! One mapping of an address space (Linux's "VMA"): what a range of pages means.
//!
//! Where an area shows an object, it stores the wrapping difference between the object's page index and the
//! page number of the address. So a piece of an area is described by the same value as the whole, and two
//! neighbours are one area exactly when their values are equal.

use alloc::sync::{Arc, Weak};
use core::ops::Range;

use abi::Errno;
use bitflags::bitflags;
use libkernel::addr::{UserAddr, UserRange};
use libkernel::fault::Access;
use libkernel::paging::Prot;
use libkernel::vma::Interval;

use super::AddressSpace;
use super::file::MappedFile;
use super::layout::STACK_GUARD_GAP;
use super::object::{Mapping, Object, Stores};

bitflags! {
    /// What an area is besides its permissions.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct AreaFlags: u16 {
        /// Stores reach the object and every other mapping of it.
        const SHARED = 1 << 0;
        /// Grows when the page below it is touched.
        const GROWS_DOWN = 1 << 1;
        /// `mlock`ed.
        const LOCKED = 1 << 2;
        /// `MAP_NORESERVE`.
        const NO_RESERVE = 1 << 3;
        /// A child of `fork` does not get it (`MADV_DONTFORK`).
        const DONT_FORK = 1 << 4;
        /// A child of `fork` gets it empty (`MADV_WIPEONFORK`).
        const WIPE_ON_FORK = 1 << 5;
        /// Left out of core dumps (`MADV_DONTDUMP`).
        const DONT_DUMP = 1 << 6;
        /// With [`AreaFlags::LOCKED`]: pages come when they are touched (`MLOCK_ONFAULT`).
        const LOCK_ON_FAULT = 1 << 7;
    }
}

/// What a range of pages means.
pub struct Area {
    /// What the program may do now.
    pub prot: Prot,
    /// What `mprotect` may grant.
    pub max_prot: Prot,
    /// What else it is.
    pub flags: AreaFlags,
    /// Where its content comes from.
    pub backing: Backing,
}

/// Where the content of an area comes from.
pub enum Backing {
    /// Zeroes, private to the address space.
    Anonymous,
    /// The pages of an object.
    Object(ObjectView),
}

/// A window on an object.
pub struct ObjectView {
    mapping: Mapping,
    /// Object page index minus page number, wrapping.
    delta: u64,
    /// The file it was mapped from, if any: for `/proc` and to keep it open.
    file: Option<Arc<dyn MappedFile>>,
}

impl ObjectView {
    /// The window that shows the object's page `first_page` at `start`.
    pub fn new(
        object: Arc<Object>,
        file: Option<Arc<dyn MappedFile>>,
        first_page: u64,
        start: UserAddr,
        space: Weak<AddressSpace>,
        stores: Stores,
    ) -> Result<Self, Errno> {
        let mapping = Mapping::new(object, space, start, stores)?;
        Ok(Self { mapping, delta: first_page.wrapping_sub(start.page_number()), file })
    }

    /// The object shown.
    pub fn object(&self) -> &Arc<Object> {
        self.mapping.object()
    }

    /// The file it was mapped from.
    pub fn file(&self) -> Option<&Arc<dyn MappedFile>> {
        self.file.as_ref()
    }

    /// A program is about to store there: the file's times follow, as those of tmpfs do, with the first store to a page
    /// that was not mapped (Linux's `fault_dirty_shared_page`).
    pub fn note_store(&self) {
        if let Some(file) = &self.file {
            file.note_mapped_store(self.object());
        }
    }

    /// The object's page index that `address` shows.
    pub fn page_index(&self, address: UserAddr) -> u64 {
        address.page_number().wrapping_add(self.delta)
    }

    /// The addresses in `range` that show the given pages of the object.
    pub fn addresses_of(&self, pages: &Range<u64>, range: UserRange) -> Option<UserRange> {
        let first = self.page_index(range.start());
        let start = pages.start.max(first);
        let end = pages.end.min(first.checked_add(range.page_count())?);
        let address = |index: u64| UserAddr::of_page(range.start().page_number() + (index - first));
        if start < end { UserRange::from_bounds(address(start), address(end)) } else { None }
    }

    /// The same window, `pages` page numbers further up (wrapping), for an area of the given space that begins at
    /// `start`.
    fn moved(&self, pages: u64, space: Weak<AddressSpace>, start: UserAddr) -> Result<Self, Errno> {
        let mapping = self.mapping.again(space, start)?;
        Ok(Self { mapping, delta: self.delta.wrapping_sub(pages), file: self.file.clone() })
    }

    fn try_clone(&self, start: UserAddr) -> Option<Self> {
        let mapping = self.mapping.try_clone(start)?;
        Some(Self { mapping, delta: self.delta, file: self.file.clone() })
    }

    fn shows_the_same(&self, other: &Self) -> bool {
        let file = |view: &Self| view.file.as_ref().map(|file| Arc::as_ptr(file).addr());
        self.delta == other.delta && Arc::ptr_eq(self.object(), other.object()) && file(self) == file(other)
    }
}

impl Area {
    /// Private memory that starts as zeroes.
    pub fn anonymous(prot: Prot) -> Self {
        let max_prot = Prot::READ_WRITE.union(Prot::EXECUTE);
        Self { prot, max_prot, flags: AreaFlags::empty(), backing: Backing::Anonymous }
    }

    /// A copy for the given address space, at addresses `pages` page numbers further up (wrapping), of which `start` is
    /// the first.
    pub fn copy_to(&self, space: &Weak<AddressSpace>, pages: u64, start: UserAddr) -> Result<Self, Errno> {
        let backing = match &self.backing {
            Backing::Anonymous => Backing::Anonymous,
            Backing::Object(view) => Backing::Object(view.moved(pages, space.clone(), start)?),
        };
        Ok(Self { prot: self.prot, max_prot: self.max_prot, flags: self.flags, backing })
    }

    /// The window on an object, if this is one.
    pub fn view(&self) -> Option<&ObjectView> {
        match &self.backing {
            Backing::Anonymous => None,
            Backing::Object(view) => Some(view),
        }
    }

    /// Whether stores are seen by others.
    pub fn is_shared(&self) -> bool {
        self.flags.contains(AreaFlags::SHARED)
    }

    /// Whether its pages count as the program's own data (`RLIMIT_DATA`).
    pub fn is_data(&self) -> bool {
        self.is_data_with(self.prot)
    }

    /// Whether they would with other rights.
    pub fn is_data_with(&self, prot: Prot) -> bool {
        prot.is_writable() && !self.flags.intersects(AreaFlags::SHARED.union(AreaFlags::GROWS_DOWN))
    }

    /// Whether they count as code (Linux: `is_exec_mapping`).
    pub fn is_code(&self) -> bool {
        self.prot.is_executable() && !self.prot.is_writable() && !self.is_stack()
    }

    /// Whether its pages count as a stack's.
    pub fn is_stack(&self) -> bool {
        self.flags.contains(AreaFlags::GROWS_DOWN)
    }

    /// Whether the program may make this access.
    pub fn allows(&self, access: Access) -> bool {
        self.prot.allows(access)
    }
}

impl Interval for Area {
    fn try_clone(&self, start: UserAddr) -> Option<Self> {
        let backing = match &self.backing {
            Backing::Anonymous => Backing::Anonymous,
            Backing::Object(view) => Backing::Object(view.try_clone(start)?),
        };
        Some(Self { prot: self.prot, max_prot: self.max_prot, flags: self.flags, backing })
    }

    fn room_below(&self) -> u64 {
        if self.flags.contains(AreaFlags::GROWS_DOWN) { STACK_GUARD_GAP } else { 0 }
    }

    fn merges_with(&self, next: &Self) -> bool {
        // What differs most often first.
        self.prot == next.prot
            && self.flags == next.flags
            && self.max_prot == next.max_prot
            && match (&self.backing, &next.backing) {
                (Backing::Anonymous, Backing::Anonymous) => true,
                (Backing::Object(view), Backing::Object(other)) => view.shows_the_same(other),
                _ => false,
            }
    }
}

/// What `/proc/PID/maps` tells about one area.
pub struct AreaDescription {
    /// The addresses.
    pub range: UserRange,
    /// What the program may do.
    pub prot: Prot,
    /// Whether stores are shared.
    pub shared: bool,
    /// What `mprotect` may grant.
    pub max_prot: Prot,
    /// What else it is.
    pub flags: AreaFlags,
    /// Byte offset of the first address in the file or object; zero for anonymous memory.
    pub offset: u64,
    /// The mapped file.
    pub file: Option<Arc<dyn MappedFile>>,
    /// The object whose pages it shows.
    pub object: Option<Arc<Object>>,
    /// What it is, where no file says so.
    pub role: Role,
}

/// The name of an area that shows no file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Nothing special.
    None,
    /// Holds the program break: `[heap]`.
    Heap,
    /// Holds the initial stack: `[stack]`.
    Stack,
    /// The kernel's data for the vDSO: `[vvar]`.
    Vvar,
    /// The vDSO: `[vdso]`.
    Vdso,
    /// Shared anonymous memory, which Linux shows as `/dev/zero (deleted)`.
    SharedAnonymous,
}
