//! An initramfs that the command line names: `initrd=`, files of the volume that the kernel itself came from.
use super::{Found, Unreadable, allocate, interface};
use core::ffi::c_void;
use core::ptr;
use libkernel::addr::{PhysAddr, PhysRange};
use libkernel::command_line::CommandLine;
use r_efi::efi::protocols::{file, loaded_image, simple_file_system};
use r_efi::efi::{BootServices, Handle, Status};

/// The longest path, with its final zero.
const PATH_MAX: usize = 256;
/// Archives begin at multiples of this many bytes.
const ALIGNMENT: usize = 4;
/// A file is read in pieces: some firmware fails to read much at once (Linux, `efi_chunk_size`).
const PIECE: usize = 1 << 20;

/// All files that `initrd=` names, one behind the other in memory of this kernel's.
///
/// # Safety
/// As `take_over`.
pub unsafe fn load(services: *mut BootServices, image: Handle, command_line: &[u8]) -> Found {
    let words = CommandLine::new(command_line);
    if words.options("initrd").next().is_none() {
        return Ok(None);
    }
    // SAFETY: the caller's promise, here and for all that is called.
    unsafe {
        let root = volume(services, image).ok_or(Unreadable)?;
        let mut total = 0usize;
        for path in words.options("initrd") {
            let size = with_file(root, path, size).ok_or(Unreadable)?;
            total = total.checked_add(size.next_multiple_of(ALIGNMENT)).ok_or(Unreadable)?;
        }
        let start = allocate(services, total.max(1)).ok_or(Unreadable)?;
        ptr::write_bytes(start as *mut u8, 0, total);
        let mut offset = 0;
        for path in words.options("initrd") {
            let place = start + offset as u64;
            let room = total - offset;
            let read = with_file(root, path, |file| read(file, place as *mut c_void, room));
            offset += read.ok_or(Unreadable)?.next_multiple_of(ALIGNMENT);
        }
        let _ = ((*root).close)(root);
        Ok(Some(PhysRange::new(PhysAddr::new(start), total as u64)))
    }
}

/// The root of the volume that holds the kernel.
///
/// # Safety
/// As [`load`].
unsafe fn volume(services: *mut BootServices, image: Handle) -> Option<*mut file::Protocol> {
    // SAFETY: the caller's promise; the interfaces are firmware's.
    unsafe {
        let loaded = interface::<loaded_image::Protocol>(services, image, loaded_image::PROTOCOL_GUID)?;
        let name = simple_file_system::PROTOCOL_GUID;
        let system = interface::<simple_file_system::Protocol>(services, (*loaded).device_handle, name)?;
        let mut root = ptr::null_mut();
        (((*system).open_volume)(system, &raw mut root) == Status::SUCCESS).then_some(root)
    }
}

/// Opens a file, whose path has slashes of either kind, for `job`.
///
/// # Safety
/// `root` is an open directory of firmware's.
unsafe fn with_file<T>(
    root: *mut file::Protocol,
    path: &[u8],
    job: impl FnOnce(*mut file::Protocol) -> Option<T>,
) -> Option<T> {
    let mut text = [0u16; PATH_MAX];
    if path.len() >= PATH_MAX {
        return None;
    }
    for (unit, &byte) in text.iter_mut().zip(path) {
        *unit = u16::from(if byte == b'/' { b'\\' } else { byte });
    }
    let mut opened = ptr::null_mut();
    // SAFETY: the caller's promise; the path ends with a zero, as the array is longer.
    unsafe {
        let status = ((*root).open)(root, &raw mut opened, text.as_mut_ptr(), file::MODE_READ, 0);
        if status != Status::SUCCESS {
            return None;
        }
        let result = job(opened);
        let _ = ((*opened).close)(opened);
        result
    }
}

/// The bytes of a file.
fn size(opened: *mut file::Protocol) -> Option<usize> {
    /// Behind the last byte (13.5).
    const END: u64 = u64::MAX;
    let mut size = 0;
    // SAFETY: `with_file` opened it; the size is a local.
    let found = unsafe {
        ((*opened).set_position)(opened, END) == Status::SUCCESS
            && ((*opened).get_position)(opened, &raw mut size) == Status::SUCCESS
    };
    usize::try_from(size).ok().filter(|_| found)
}

/// Reads the file to `place`, where there is `room`, and returns its bytes.
fn read(opened: *mut file::Protocol, place: *mut c_void, room: usize) -> Option<usize> {
    let mut done = 0;
    while done < room {
        let mut bytes = (room - done).min(PIECE);
        // SAFETY: `with_file` opened it, and the place has room for so many bytes.
        let status = unsafe { ((*opened).read)(opened, &raw mut bytes, place.byte_add(done)) };
        if status != Status::SUCCESS {
            return None;
        }
        if bytes == 0 {
            break;
        }
        done += bytes;
    }
    Some(done)
}
