//! `mmap(2)`: from flags and a descriptor to a [`MapRequest`].

use alloc::sync::Arc;

use abi::Errno;
use abi::memory::*;
use abi::native::process::{HUGE_PAGE_SHIFTS, MAP_32BIT};
use libkernel::addr::{PAGE_MASK, PAGE_SHIFT, USER_END, UserAddr, page_up};
use libkernel::paging::Prot;
use memory::area::AreaFlags;
use memory::layout::LOWEST_ADDRESS;
use memory::{Content, MapRequest, Object, Placement};
use outcome::Failure;
use vfs::File;
use vfs::file::Mapping;

use crate::syscall::Caller;

/// The flags that every kind of mapping takes (Linux's `LEGACY_MAP_MASK`); `MAP_SHARED_VALIDATE` refuses others.
const KNOWN_FLAGS: u32 = MAP_SHARED
    | MAP_PRIVATE
    | MAP_FIXED
    | MAP_ANONYMOUS
    | MAP_DENYWRITE
    | MAP_EXECUTABLE
    | MAP_UNINITIALIZED
    | MAP_GROWSDOWN
    | MAP_LOCKED
    | MAP_NORESERVE
    | MAP_POPULATE
    | MAP_NONBLOCK
    | MAP_STACK
    | MAP_HUGETLB
    | MAP_HUGE_SIZES
    | MAP_32BIT;

/// The field of a huge page's size, and the bits that the sizes that Linux knows by name take of it.
const MAP_HUGE_SHIFT: u32 = 26;
const MAP_HUGE_MASK: u32 = 0x3f;
/// 2 MiB: what `MAP_HUGETLB` means where it names no size.
const DEFAULT_HUGE_SHIFT: u32 = 21;
const MAP_HUGE_SIZES: u32 = (21 | 30) << MAP_HUGE_SHIFT;

/// `mmap(2)`.
pub fn mmap(
    caller: &mut Caller<'_>,
    address: UserAddr,
    length: u64,
    prot: u64,
    flags: u64,
    fd: i32,
    offset: u64,
) -> Result<u64, Failure> {
    // Only one type of mapping minds bits that nobody knows.
    let has_high_flags = flags >> u32::BITS != 0;
    let [prot, flags] = [prot, flags].map(low_half);
    if offset & PAGE_MASK != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = if flags & MAP_ANONYMOUS == 0 { Some(open_file(caller, fd)?) } else { None };
    let prot = Prot::from_bits_truncate(prot);
    let length = checked_length(address, length, flags, file.is_some())?;
    let placement = placement(address, flags);
    if has_high_flags && flags & MAP_TYPE == MAP_SHARED_VALIDATE && file.is_some() {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let mut request = match &file {
        Some(file) => file_request(file.clone(), prot, flags, offset >> PAGE_SHIFT, length)?,
        None => anonymous_request(prot, flags, length)?,
    };
    request.placement = placement;
    if flags & MAP_LOCKED != 0 {
        caller.thread.bounds().may_lock_something()?;
        request.flags.insert(AreaFlags::LOCKED);
    }
    let space = super::space(caller)?;
    let range = space.map(request, caller.thread.bounds())?;
    // To be mapped is an access, whatever is done with the mapping.
    if let Some(file) = file.filter(|file| file.object().is_some()) {
        file.note_read();
    }
    if flags & (MAP_POPULATE | MAP_NONBLOCK) == MAP_POPULATE {
        space.populate(range);
    }
    Ok(range.start().as_u64())
}

/// The low 32 bits.
const fn low_half(word: u64) -> u32 {
    (word & 0xffff_ffff) as u32
}

fn open_file(caller: &Caller<'_>, fd: i32) -> Result<Arc<File>, Errno> {
    crate::syscall::at::content_file(caller, fd)
}

fn checked_length(address: UserAddr, length: u64, flags: u32, has_file: bool) -> Result<u64, Errno> {
    if flags & MAP_HUGETLB != 0 {
        let size = flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK;
        let exists = size == 0 || HUGE_PAGE_SHIFTS.contains(&size);
        let shift = if size == 0 { DEFAULT_HUGE_SHIFT } else { size };
        let is_fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0;
        let is_astray = is_fixed && address.as_u64() & ((1 << shift) - 1) != 0;
        let is_wrong = has_file || !exists || length == 0 || is_astray;
        return Err(if is_wrong { Errno::EINVAL } else { Errno::ENOMEM });
    }
    if length == 0 {
        return Err(Errno::EINVAL);
    }
    page_up(length).ok_or(Errno::ENOMEM)
}

#[allow(clippy::bad_bit_mask, reason = "MAP_32BIT is zero where there is no such flag")]
fn placement(address: UserAddr, flags: u32) -> Placement {
    match flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) {
        0 if flags & MAP_32BIT != 0 => Placement::Low(address),
        0 => Placement::Hint(address),
        MAP_FIXED => Placement::Fixed(address),
        _ => Placement::FixedIfFree(address),
    }
}

fn common_flags(flags: u32) -> AreaFlags {
    let mut area = AreaFlags::empty();
    area.set(AreaFlags::GROWS_DOWN, flags & MAP_GROWSDOWN != 0);
    area.set(AreaFlags::NO_RESERVE, flags & MAP_NORESERVE != 0);
    area
}

const ALL: Prot = Prot::READ_WRITE.union(Prot::EXECUTE);

fn anonymous_request(prot: Prot, flags: u32, length: u64) -> Result<MapRequest, Errno> {
    let mut area = common_flags(flags);
    let content = match flags & MAP_TYPE {
        MAP_PRIVATE => Content::Anonymous,
        MAP_SHARED if area.contains(AreaFlags::GROWS_DOWN) => return Err(Errno::EINVAL),
        MAP_SHARED => {
            area.insert(AreaFlags::SHARED);
            Content::Object { object: Object::new(length), file: None, first_page: 0 }
        }
        _ => return Err(Errno::EINVAL),
    };
    let placement = Placement::Hint(UserAddr::new(0));
    Ok(MapRequest { placement, length, prot, max_prot: ALL, flags: area, content })
}

/// The checks on a file's open mode, in the order of Linux's `do_mmap`.
fn file_request(
    file: Arc<File>,
    prot: Prot,
    flags: u32,
    first_page: u64,
    length: u64,
) -> Result<MapRequest, Errno> {
    if length <= USER_END - LOWEST_ADDRESS && !may_have_pages(&file, first_page, length) {
        return Err(Errno::EOVERFLOW);
    }
    let mut area = common_flags(flags);
    let mut max_prot = ALL;
    match flags & MAP_TYPE {
        MAP_PRIVATE => {}
        MAP_SHARED | MAP_SHARED_VALIDATE => {
            if flags & MAP_TYPE == MAP_SHARED_VALIDATE && flags & !KNOWN_FLAGS != 0 {
                return Err(Errno::EOPNOTSUPP);
            }
            if prot.is_writable() && !file.is_writable() {
                return Err(Errno::EACCES);
            }
            if !file.is_writable() {
                max_prot = max_prot.without(Prot::WRITE);
            }
            area.insert(AreaFlags::SHARED);
        }
        _ => return Err(Errno::EINVAL),
    }
    if !file.is_readable() {
        return Err(Errno::EACCES);
    }
    if file.forbids_execution() {
        if prot.is_executable() {
            return Err(Errno::EPERM);
        }
        max_prot = max_prot.without(Prot::EXECUTE);
    }
    if area.contains(AreaFlags::SHARED)
        && file.is_writable()
        && file.object().is_some_and(|object| object.forbids_new_stores())
    {
        if prot.is_writable() {
            return Err(Errno::EPERM);
        }
        max_prot = max_prot.without(Prot::WRITE);
    }
    let content = content_of(file, first_page, length, area)?;
    if area.contains(AreaFlags::GROWS_DOWN) {
        return Err(Errno::EINVAL);
    }
    let placement = Placement::Hint(UserAddr::new(0));
    Ok(MapRequest { placement, length, prot, max_prot, flags: area, content })
}

/// Whether a file could ever be long enough (Linux's `file_mmap_ok`). Those that are not ordinary ones
/// end with the numbers.
fn may_have_pages(file: &File, first_page: u64, length: u64) -> bool {
    let fits = |longest: u64| first_page <= longest.saturating_sub(length) >> PAGE_SHIFT;
    fits(i64::MAX as u64) || fits(u64::MAX) && !matches!(file.mapping(), Mapping::Object(_))
}

/// What a file shows: its pages, or for `/dev/zero` what an anonymous mapping shows.
fn content_of(file: Arc<File>, first_page: u64, length: u64, area: AreaFlags) -> Result<Content, Errno> {
    match file.mapping() {
        Mapping::None => Err(Errno::ENODEV),
        Mapping::Object(object) => Ok(Content::Object { object, file: Some(file), first_page }),
        Mapping::Zeroes if area.contains(AreaFlags::SHARED) => {
            Ok(Content::Object { object: Object::new(length), file: Some(file), first_page: 0 })
        }
        Mapping::Zeroes => Ok(Content::Anonymous),
    }
}
