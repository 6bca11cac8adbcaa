//! Memory: mappings, protections, faults, sharing and copying.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::{AT_FDCWD, O_CREAT, O_RDONLY, O_RDWR};
use abi::memory::*;
use abi::native::nr;
use abi::process::WaitStatus;
use abi::signal::*;
use conformance::fault::{Fault, caught, jump, load, store};
use conformance::{Failure, Outcome, check, check_eq, child, raw, scratch};
use libsyscall::file::{close, ftruncate, open, pread64, pwrite64};
use libsyscall::memory::*;

conformance::tests!(&[
    ("fresh_memory_is_zero", fresh_memory_is_zero),
    ("mappings_refuse", mappings_refuse),
    ("huge_lengths_are_refused", huge_lengths_are_refused),
    ("fixed_addresses", fixed_addresses),
    ("fixed_without_replacing", fixed_without_replacing),
    ("a_hint_is_taken", a_hint_is_taken),
    ("unmapping_makes_holes", unmapping_makes_holes),
    ("unmapping_refuses", unmapping_refuses),
    ("an_unmapped_address_faults", an_unmapped_address_faults),
    ("protections_fault", protections_fault),
    ("permission_to_write_lets_read", permission_to_write_lets_read),
    ("a_page_without_access_keeps_its_content", a_page_without_access_keeps_its_content),
    ("protecting_refuses", protecting_refuses),
    ("data_is_not_executable", data_is_not_executable),
    ("kernel_addresses_fault", kernel_addresses_fault),
    ("the_stack_grows", the_stack_grows),
    ("the_stack_has_a_limit", the_stack_has_a_limit),
    ("private_memory_is_copied", private_memory_is_copied),
    ("shared_memory_is_shared", shared_memory_is_shared),
    ("a_file_is_mapped", a_file_is_mapped),
    ("shared_files_are_written_through", shared_files_are_written_through),
    ("private_files_are_not", private_files_are_not),
    ("beyond_the_file_is_a_bus_error", beyond_the_file_is_a_bus_error),
    ("mapping_needs_an_open_mode", mapping_needs_an_open_mode),
    ("remapping_grows_and_moves", remapping_grows_and_moves),
    ("remapping_refuses", remapping_refuses),
    ("the_break_moves", the_break_moves),
    ("dropped_pages_are_zero_again", dropped_pages_are_zero_again),
    ("residency_is_told", residency_is_told),
    ("zero_can_be_mapped", zero_can_be_mapped),
    ("many_mappings", many_mappings),
]);

const PAGE: usize = 4096;

fn at(address: *mut u8, page: usize) -> *mut u8 {
    address.wrapping_add(page * PAGE)
}

/// The bytes of a mapping.
fn bytes<'a>(address: *mut u8, length: usize) -> &'a mut [u8] {
    // SAFETY: the tests ask for what they have mapped, and for nothing twice at a time.
    unsafe { core::slice::from_raw_parts_mut(address, length) }
}

fn map(address: *mut u8, length: usize, protection: u32, flags: u32) -> Result<*mut u8, Errno> {
    // SAFETY: fixed addresses lie in mappings that the tests made.
    unsafe { mmap(address, length, protection, flags | MAP_ANONYMOUS, -1, 0) }
}

fn unmap(address: *mut u8, length: usize) -> Result<(), Errno> {
    // SAFETY: the tests unmap what they have mapped.
    unsafe { munmap(address, length) }
}

fn protect(address: *mut u8, length: usize, protection: u32) -> Result<(), Errno> {
    // SAFETY: the tests protect what they have mapped.
    unsafe { mprotect(address, length, protection) }
}

fn fresh_memory_is_zero() -> Outcome {
    let memory = map_anonymous(10 * PAGE)?;
    check!(memory.addr().is_multiple_of(PAGE));
    check!(bytes(memory, 10 * PAGE).iter().all(|&byte| byte == 0));
    bytes(memory, 10 * PAGE).fill(7);
    unmap(memory, 10 * PAGE)?;
    let memory = map_anonymous(10 * PAGE)?;
    check!(bytes(memory, 10 * PAGE).iter().all(|&byte| byte == 0));
    Ok(())
}

fn mappings_refuse() -> Outcome {
    let null = core::ptr::null_mut();
    check_eq!(map(null, 0, PROT_READ, MAP_PRIVATE), Err(Errno::EINVAL));
    check_eq!(map(null, PAGE, PROT_READ, 0), Err(Errno::EINVAL));
    check_eq!(
        map(core::ptr::without_provenance_mut(1), PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED),
        Err(Errno::EINVAL)
    );
    let call = |flags: u32, fd: u64, offset: u64| {
        raw::call(nr::mmap, &[0, 4096, PROT_READ.into(), flags.into(), fd, offset])
    };
    check_eq!(call(MAP_PRIVATE, 99, 0), Err(Errno::EBADF));
    check_eq!(call(MAP_PRIVATE, u64::MAX, 0), Err(Errno::EBADF));
    check_eq!(call(MAP_PRIVATE | MAP_ANONYMOUS, u64::MAX, 1), Err(Errno::EINVAL));
    Ok(())
}

fn huge_lengths_are_refused() -> Outcome {
    for length in [usize::MAX, usize::MAX - PAGE, 1 << 48, 1 << 56, 1 << 63, (1 << 48) - PAGE] {
        check_eq!(map(core::ptr::null_mut(), length, PROT_READ, MAP_PRIVATE), Err(Errno::ENOMEM));
    }
    let top = core::ptr::without_provenance_mut(usize::MAX & !(PAGE - 1));
    check!(map(top, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED).is_err());
    check!(map(top, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED).is_err());
    check!(protect(top, PAGE, PROT_READ).is_err());
    Ok(())
}

fn fixed_addresses() -> Outcome {
    let memory = map_anonymous(3 * PAGE)?;
    bytes(memory, 3 * PAGE).fill(1);
    check_eq!(map(at(memory, 1), PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED), Ok(at(memory, 1)));
    check_eq!(bytes(memory, 3 * PAGE)[PAGE - 1..=PAGE], [1, 0]);
    check_eq!(bytes(memory, 3 * PAGE)[2 * PAGE - 1..=2 * PAGE], [0, 1]);
    Ok(())
}

fn fixed_without_replacing() -> Outcome {
    let memory = map_anonymous(3 * PAGE)?;
    let flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE;
    check_eq!(map(at(memory, 1), PAGE, PROT_READ, flags), Err(Errno::EEXIST));
    unmap(at(memory, 1), PAGE)?;
    check_eq!(map(at(memory, 1), 2 * PAGE, PROT_READ, flags), Err(Errno::EEXIST));
    check_eq!(map(at(memory, 1), PAGE, PROT_READ, flags), Ok(at(memory, 1)));
    Ok(())
}

fn a_hint_is_taken() -> Outcome {
    let memory = map_anonymous(2 * PAGE)?;
    unmap(memory, 2 * PAGE)?;
    check_eq!(map(memory.wrapping_add(5), PAGE, PROT_READ, MAP_PRIVATE), Ok(memory));
    check!(map(memory, PAGE, PROT_READ, MAP_PRIVATE)? != memory);
    Ok(())
}

fn unmapping_makes_holes() -> Outcome {
    let memory = map_anonymous(5 * PAGE)?;
    bytes(memory, 5 * PAGE).fill(3);
    unmap(at(memory, 1), PAGE)?;
    unmap(at(memory, 3), PAGE)?;
    for page in 0..5 {
        let fault = caught(|| load(at(memory, page)))?;
        check_eq!(fault.is_some(), page % 2 == 1);
    }
    unmap(memory, 5 * PAGE)?;
    Ok(())
}

fn unmapping_refuses() -> Outcome {
    let memory = map_anonymous(PAGE)?;
    check_eq!(unmap(memory.wrapping_add(1), PAGE), Err(Errno::EINVAL));
    check_eq!(unmap(memory, 0), Err(Errno::EINVAL));
    check_eq!(unmap(memory, usize::MAX), Err(Errno::EINVAL));
    // Not a tagged user address on AArch64 either: bit 55 says which half (Arm ARM, D8.2).
    check_eq!(unmap(core::ptr::without_provenance_mut(0xff80 << 48), PAGE), Err(Errno::EINVAL));
    check_eq!(unmap(memory, 1), Ok(()));
    Ok(())
}

fn expect_fault(body: impl FnOnce(), signal: u32, code: i32, address: *const u8) -> Outcome {
    check_eq!(caught(body)?, Some(Fault::new(signal, code, address.cast())));
    Ok(())
}

fn an_unmapped_address_faults() -> Outcome {
    let memory = map_anonymous(2 * PAGE)?;
    unmap(at(memory, 1), PAGE)?;
    let gone = at(memory, 1).wrapping_add(123);
    expect_fault(|| load(gone), SIGSEGV, SEGV_MAPERR, gone)?;
    expect_fault(|| store(gone), SIGSEGV, SEGV_MAPERR, gone)?;
    expect_fault(|| jump(gone), SIGSEGV, SEGV_MAPERR, gone)?;
    let null = core::ptr::without_provenance_mut(16);
    expect_fault(|| store(null), SIGSEGV, SEGV_MAPERR, null)?;
    Ok(())
}

fn protections_fault() -> Outcome {
    let memory = map_anonymous(PAGE)?;
    bytes(memory, PAGE).fill(1);
    let place = memory.wrapping_add(77);
    protect(memory, PAGE, PROT_READ)?;
    check_eq!(caught(|| load(place))?, None);
    expect_fault(|| store(place), SIGSEGV, SEGV_ACCERR, place)?;
    protect(memory, PAGE, PROT_NONE)?;
    expect_fault(|| load(place), SIGSEGV, SEGV_ACCERR, place)?;
    let untouched = map(core::ptr::null_mut(), PAGE, PROT_NONE, MAP_PRIVATE)?;
    expect_fault(|| load(untouched), SIGSEGV, SEGV_ACCERR, untouched)?;
    Ok(())
}

fn permission_to_write_lets_read() -> Outcome {
    let fd = file()?;
    for protection in [PROT_WRITE, PROT_WRITE | PROT_EXEC] {
        // By the program and by the kernel, in pages that nobody has touched; a copy in a file's.
        let memory = map(core::ptr::null_mut(), 2 * PAGE, protection, MAP_PRIVATE)?;
        check_eq!(caught(|| load(memory))?, None);
        check_eq!(raw::call(nr::chdir, &[at(memory, 1) as u64]), Err(Errno::ENOENT));
        let file = map_file(fd, PAGE, protection, MAP_PRIVATE, 0)?;
        check_eq!(caught(|| load(file))?, None);
        check_eq!(bytes(file, PAGE)[0], 1);
    }
    Ok(())
}

fn a_page_without_access_keeps_its_content() -> Outcome {
    let memory = map_anonymous(PAGE)?;
    bytes(memory, PAGE).fill(9);
    protect(memory, PAGE, PROT_NONE)?;
    let status = child::run(|| match protect(memory, PAGE, PROT_READ | PROT_WRITE) {
        Ok(()) => core::mem::replace(&mut bytes(memory, 1)[0], 1).into(),
        Err(_) => 255,
    })?;
    check_eq!(status, WaitStatus::exited(9));
    protect(memory, PAGE, PROT_READ)?;
    check!(bytes(memory, PAGE).iter().all(|&byte| byte == 9));
    Ok(())
}

fn protecting_refuses() -> Outcome {
    let memory = map_anonymous(3 * PAGE)?;
    unmap(at(memory, 1), PAGE)?;
    check_eq!(protect(memory, 3 * PAGE, PROT_READ), Err(Errno::ENOMEM));
    check_eq!(protect(memory.wrapping_add(1), PAGE, PROT_READ), Err(Errno::EINVAL));
    check_eq!(protect(memory, PAGE, 0x100), Err(Errno::EINVAL));
    check_eq!(protect(memory, usize::MAX, PROT_READ), Err(Errno::ENOMEM));
    check_eq!(protect(memory, 0, PROT_READ), Ok(()));
    Ok(())
}

fn data_is_not_executable() -> Outcome {
    let memory = map_anonymous(PAGE)?;
    bytes(memory, PAGE).fill(0);
    expect_fault(|| jump(memory), SIGSEGV, SEGV_ACCERR, memory)?;
    let local = [0u8; 16];
    let fault = caught(|| jump(local.as_ptr()))?;
    check_eq!(fault.map(|fault| (fault.signal, fault.code)), Some((SIGSEGV, SEGV_ACCERR)));
    Ok(())
}

fn kernel_addresses_fault() -> Outcome {
    for address in [0xffff_8000_0000_0000usize, 0xffff_ffff_8000_0000, usize::MAX - 7, (1 << 47) - PAGE] {
        let place: *mut u8 = core::ptr::without_provenance_mut(address);
        for fault in [caught(|| load(place))?, caught(|| store(place))?] {
            check_eq!(fault.map(|fault| fault.signal), Some(SIGSEGV));
        }
    }
    Ok(())
}

/// Uses `depth` frames of 1 KiB.
#[inline(never)]
fn dig(depth: u32) -> u32 {
    let room = core::hint::black_box([depth as u8; 1024]);
    if depth == 0 { 0 } else { dig(depth - 1) + u32::from(core::hint::black_box(room)[5] == depth as u8) }
}

fn the_stack_grows() -> Outcome {
    check_eq!(dig(1000), 1000);
    Ok(())
}

fn the_stack_has_a_limit() -> Outcome {
    let fault = caught(|| {
        dig(1 << 20);
    })?;
    check_eq!(fault.map(|fault| fault.signal), Some(SIGSEGV));
    Ok(())
}

fn private_memory_is_copied() -> Outcome {
    let memory = map_anonymous(64 * PAGE)?;
    bytes(memory, 64 * PAGE).fill(1);
    let pid = child::start(|| {
        let seen = bytes(memory, 64 * PAGE).iter().all(|&byte| byte == 1);
        bytes(memory, 64 * PAGE).fill(2);
        i32::from(!seen)
    })?;
    bytes(memory, PAGE).fill(3);
    check_eq!(child::wait(pid)?, WaitStatus(0));
    check!(bytes(at(memory, 1), 63 * PAGE).iter().all(|&byte| byte == 1));
    check!(bytes(memory, PAGE).iter().all(|&byte| byte == 3));
    Ok(())
}

fn shared_memory_is_shared() -> Outcome {
    let memory = map(core::ptr::null_mut(), 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED)?;
    bytes(memory, PAGE).fill(1);
    let status = child::run(|| {
        let seen = bytes(memory, PAGE).iter().all(|&byte| byte == 1);
        bytes(memory, 4 * PAGE).fill(2);
        i32::from(!seen)
    })?;
    check_eq!(status, WaitStatus(0));
    check!(bytes(memory, 4 * PAGE).iter().all(|&byte| byte == 2));
    Ok(())
}

/// A file of two and a half pages, in which byte n is n / 4096 + 1.
fn file() -> Result<i32, Failure> {
    scratch::enter()?;
    let fd = open(c"file", O_RDWR | O_CREAT, 0o600)?;
    for (page, length) in [(0u64, PAGE), (1, PAGE), (2, PAGE / 2)] {
        check_written(fd, page, length)?;
    }
    Ok(fd)
}

fn check_written(fd: i32, page: u64, length: usize) -> Outcome {
    check_eq!(pwrite64(fd, &[page as u8 + 1; PAGE][..length], page * PAGE as u64)?, length);
    Ok(())
}

fn map_file(fd: i32, length: usize, protection: u32, flags: u32, offset: u64) -> Result<*mut u8, Errno> {
    // SAFETY: the kernel chooses a free range.
    unsafe { mmap(core::ptr::null_mut(), length, protection, flags, fd, offset) }
}

fn a_file_is_mapped() -> Outcome {
    let fd = file()?;
    let memory = map_file(fd, 3 * PAGE, PROT_READ, MAP_PRIVATE, 0)?;
    let second = map_file(fd, PAGE, PROT_READ, MAP_SHARED, PAGE as u64)?;
    close(fd)?;
    check_eq!((bytes(memory, PAGE)[5], bytes(at(memory, 1), PAGE)[5], bytes(second, PAGE)[0]), (1, 2, 2));
    check_eq!(bytes(at(memory, 2), PAGE)[PAGE / 2 - 1..=PAGE / 2], [3, 0]);
    check_eq!(map_file(0, PAGE, PROT_READ, MAP_PRIVATE, 1), Err(Errno::EINVAL));
    Ok(())
}

fn shared_files_are_written_through() -> Outcome {
    let fd = file()?;
    let memory = map_file(fd, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 0)?;
    bytes(memory, 3 * PAGE)[PAGE + 1] = 99;
    let mut byte = [0];
    pread64(fd, &mut byte, PAGE as u64 + 1)?;
    check_eq!(byte, [99]);
    pwrite64(fd, &[98], 7)?;
    check_eq!(bytes(memory, PAGE)[7], 98);
    let status = child::run(|| {
        bytes(memory, PAGE)[8] = 97;
        0
    })?;
    check_eq!((status, bytes(memory, PAGE)[8]), (WaitStatus(0), 97));
    check_eq!(raw::call(nr::msync, &[memory as u64, PAGE as u64, MS_SYNC.into()]), Ok(0));
    check_eq!(raw::call(nr::msync, &[memory as u64 + 1, PAGE as u64, MS_SYNC.into()]), Err(Errno::EINVAL));
    Ok(())
}

fn private_files_are_not() -> Outcome {
    let fd = file()?;
    let memory = map_file(fd, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0)?;
    // Read first, so that the page is mapped from the file before it is copied.
    check_eq!(bytes(memory, PAGE)[0], 1);
    bytes(memory, PAGE)[1] = 99;
    pwrite64(fd, &[88], 1)?;
    let mut byte = [0];
    pread64(fd, &mut byte, 1)?;
    check_eq!((byte, bytes(memory, PAGE)[1]), ([88], 99));
    Ok(())
}

fn beyond_the_file_is_a_bus_error() -> Outcome {
    let fd = file()?;
    let memory = map_file(fd, 5 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 0)?;
    let beyond = at(memory, 3).wrapping_add(9);
    expect_fault(|| load(beyond), SIGBUS, BUS_ADRERR, beyond)?;
    expect_fault(|| store(beyond), SIGBUS, BUS_ADRERR, beyond)?;
    check_eq!(bytes(at(memory, 1), PAGE)[0], 2);
    ftruncate(fd, 10)?;
    expect_fault(|| load(at(memory, 1)), SIGBUS, BUS_ADRERR, at(memory, 1))?;
    check_eq!(bytes(memory, PAGE)[9..=10], [1, 0]);
    ftruncate(fd, 2 * PAGE as u64)?;
    check_eq!((bytes(memory, PAGE)[9], bytes(memory, PAGE)[10], bytes(at(memory, 1), PAGE)[0]), (1, 0, 0));
    Ok(())
}

fn mapping_needs_an_open_mode() -> Outcome {
    close(file()?)?;
    let fd = open(c"file", O_RDONLY, 0)?;
    check_eq!(map_file(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 0), Err(Errno::EACCES));
    let memory = map_file(fd, PAGE, PROT_READ, MAP_SHARED, 0)?;
    check_eq!(protect(memory, PAGE, PROT_READ | PROT_WRITE), Err(Errno::EACCES));
    check!(map_file(fd, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0).is_ok());
    let fd = libsyscall::file::openat(AT_FDCWD, c"file", abi::fs::O_WRONLY, 0)?;
    check_eq!(map_file(fd, PAGE, PROT_READ, MAP_PRIVATE, 0), Err(Errno::EACCES));
    let (pipe, _) = libsyscall::file::pipe2(0)?;
    check_eq!(map_file(pipe, PAGE, PROT_READ, MAP_PRIVATE, 0), Err(Errno::ENODEV));
    Ok(())
}

fn remap(address: *mut u8, old: usize, new: usize, flags: u32) -> Result<*mut u8, Errno> {
    // SAFETY: the tests remap what they have mapped.
    unsafe { mremap(address, old, new, flags) }
}

fn remapping_grows_and_moves() -> Outcome {
    let memory = map_anonymous(8 * PAGE)?;
    bytes(memory, 2 * PAGE).fill(5);
    check_eq!(remap(memory, 8 * PAGE, 2 * PAGE, 0), Ok(memory));
    check_eq!(remap(memory, 2 * PAGE, 4 * PAGE, 0), Ok(memory));
    check_eq!((bytes(memory, 4 * PAGE)[2 * PAGE - 1], bytes(memory, 4 * PAGE)[2 * PAGE]), (5, 0));
    map(at(memory, 4), PAGE, PROT_NONE, MAP_PRIVATE | MAP_FIXED)?;
    check_eq!(remap(memory, 4 * PAGE, 6 * PAGE, 0), Err(Errno::ENOMEM));
    let moved = remap(memory, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE)?;
    check!(moved != memory);
    check_eq!((bytes(moved, 6 * PAGE)[2 * PAGE - 1], bytes(moved, 6 * PAGE)[6 * PAGE - 1]), (5, 0));
    expect_fault(|| load(memory), SIGSEGV, SEGV_MAPERR, memory)?;
    Ok(())
}

fn remapping_refuses() -> Outcome {
    let memory = map_anonymous(2 * PAGE)?;
    check_eq!(remap(memory.wrapping_add(1), PAGE, PAGE, 0), Err(Errno::EINVAL));
    check_eq!(remap(memory, PAGE, 0, 0), Err(Errno::EINVAL));
    check_eq!(remap(memory, PAGE, PAGE, 0x80), Err(Errno::EINVAL));
    check_eq!(remap(memory, PAGE, usize::MAX & !(PAGE - 1), MREMAP_MAYMOVE).is_err(), true);
    unmap(at(memory, 1), PAGE)?;
    check_eq!(remap(memory, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE), Err(Errno::EFAULT));
    Ok(())
}

fn the_break_moves() -> Outcome {
    // SAFETY: nothing else in this program uses the break.
    let move_to = |address| unsafe { brk(address) };
    let start = move_to(0);
    check_eq!(move_to(start + 3 * PAGE as u64), start + 3 * PAGE as u64);
    let heap: *mut u8 = core::ptr::with_exposed_provenance_mut(start as usize);
    bytes(heap, 3 * PAGE).fill(1);
    check_eq!(move_to(1), start + 3 * PAGE as u64);
    check_eq!(move_to(u64::MAX), start + 3 * PAGE as u64);
    check_eq!(move_to(start), start);
    check_eq!(move_to(start + 2 * PAGE as u64), start + 2 * PAGE as u64);
    let aligned = heap.map_addr(|address| address.next_multiple_of(PAGE));
    check_eq!(bytes(aligned, PAGE)[0], 0);
    Ok(())
}

fn dropped_pages_are_zero_again() -> Outcome {
    let memory = map_anonymous(4 * PAGE)?;
    bytes(memory, 4 * PAGE).fill(1);
    // SAFETY: nothing relies on the content.
    let advise = |address: *mut u8, length, advice| unsafe { madvise(address, length, advice) };
    advise(at(memory, 1), 2 * PAGE, MADV_DONTNEED)?;
    check_eq!([0, 1, 2, 3].map(|page| bytes(at(memory, page), PAGE)[0]), [1, 0, 0, 1]);
    check_eq!(advise(memory.wrapping_add(1), PAGE, MADV_DONTNEED), Err(Errno::EINVAL));
    check_eq!(advise(memory, PAGE, 9999), Err(Errno::EINVAL));
    unmap(at(memory, 1), PAGE)?;
    check_eq!(advise(memory, 4 * PAGE, MADV_DONTNEED), Err(Errno::ENOMEM));
    Ok(())
}

fn residency_is_told() -> Outcome {
    let memory = map_anonymous(3 * PAGE)?;
    bytes(at(memory, 1), 1)[0] = 1;
    let mut resident = [9u8; 3];
    raw::call(nr::mincore, &[memory as u64, 3 * PAGE as u64, resident.as_mut_ptr() as u64])?;
    check_eq!(resident.map(|byte| byte & 1), [0, 1, 0]);
    Ok(())
}

fn zero_can_be_mapped() -> Outcome {
    let fd = open(c"/dev/zero", O_RDWR, 0)?;
    let memory = map_file(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0)?;
    check_eq!(bytes(memory, 2 * PAGE)[PAGE], 0);
    bytes(memory, 2 * PAGE).fill(4);
    check_eq!(bytes(memory, 2 * PAGE)[PAGE], 4);
    Ok(())
}

fn many_mappings() -> Outcome {
    const COUNT: usize = 2000;
    let memory = map(core::ptr::null_mut(), COUNT * PAGE, PROT_NONE, MAP_PRIVATE)?;
    for page in (0..COUNT).step_by(2) {
        protect(at(memory, page), PAGE, PROT_READ | PROT_WRITE)?;
        bytes(at(memory, page), 1)[0] = page as u8;
    }
    for page in (0..COUNT).step_by(2) {
        check_eq!(bytes(at(memory, page), 1)[0], page as u8);
    }
    unmap(memory, COUNT * PAGE)?;
    Ok(())
}
