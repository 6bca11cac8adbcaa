//! What UEFI firmware hands over to the kernel that it started as an application: by calls, until it is told to go.
//!
//! This runs before there is anything of the kernel's own: on firmware's stack, interrupts and descriptor tables, with firmware's
//! page tables and the boot tables' window at `IMAGE` beside them. No lock, no per-CPU data, no panic. Source: UEFI 2.10, chapters 7,
//! 9 and 13; Linux, `Documentation/admin-guide/efi-stub.rst`.
use super::loader::Loaded;
use core::ffi::c_void;
use core::ptr;
use libkernel::addr::{PAGE_SIZE, PhysAddr, PhysRange};
use r_efi::efi::protocols::{device_path, load_file2, loaded_image};
use r_efi::efi::{
    ALLOCATE_ANY_PAGES, BOOT_SERVICES_CODE, BOOT_SERVICES_DATA, BootServices, CONVENTIONAL_MEMORY, Guid,
    Handle, LOADER_CODE, LOADER_DATA, MemoryDescriptor, Status, SystemTable,
};

/// Memory of these kinds is free once firmware is gone.
const FREE: [u32; 5] =
    [LOADER_CODE, LOADER_DATA, BOOT_SERVICES_CODE, BOOT_SERVICES_DATA, CONVENTIONAL_MEMORY];
/// Room for the memory map, which has some hundred entries of 48 bytes.
const MAP_BYTES: usize = 64 << 10;
/// The map changes when firmware's own tasks run between the question and the farewell.
const FAREWELLS: usize = 16;

/// The device path under which loaders offer an initramfs: LINUX_EFI_INITRD_MEDIA_GUID, and the path's end.
#[repr(C, packed)]
#[derive(Clone, Copy)]
struct InitramfsPath {
    media: [u8; 4],
    vendor: [u8; 16],
    end: [u8; 4],
}

const INITRAMFS_PATH: InitramfsPath = InitramfsPath {
    media: [4, 3, 20, 0],
    vendor: [0x27, 0xe4, 0x68, 0x55, 0xfc, 0x68, 0x3d, 0x4f, 0xac, 0x74, 0xca, 0x55, 0x52, 0x31, 0xcc, 0x68],
    end: [0x7f, 0xff, 4, 0],
};

#[repr(C, align(8))]
struct Map([u8; MAP_BYTES]);

static mut MAP: Map = Map([0; MAP_BYTES]);

/// Takes over from firmware. `None`: it still runs, and can be returned to.
///
/// # Safety
/// Firmware calls with what it gives an application, on the only CPU that runs. Once.
pub unsafe fn take_over(image: Handle, system: *mut SystemTable, into: &mut Loaded) -> Option<()> {
    // SAFETY: the caller's promise: the tables are firmware's, and its services may be called.
    unsafe {
        let services = (*system).boot_services;
        copy_load_options(services, image, into);
        into.initramfs = load_initramfs(services);
        into.efi_system_table = system as u64;
        leave(services, image, into)
    }
}

/// The interface of `handle` with this name.
///
/// # Safety
/// `services` are firmware's.
unsafe fn interface<T>(services: *mut BootServices, handle: Handle, mut name: Guid) -> Option<*mut T> {
    let mut found: *mut c_void = ptr::null_mut();
    // SAFETY: the caller's promise; both pointers lead to locals.
    let status = unsafe { ((*services).handle_protocol)(handle, &raw mut name, &raw mut found) };
    (status == Status::SUCCESS && !found.is_null()).then_some(found.cast())
}

/// The command line: UCS-2 there.
///
/// # Safety
/// As [`take_over`].
unsafe fn copy_load_options(services: *mut BootServices, image: Handle, into: &mut Loaded) {
    // SAFETY: the interface of a loaded image describes its options.
    unsafe {
        let name = loaded_image::PROTOCOL_GUID;
        let Some(loaded) = interface::<loaded_image::Protocol>(services, image, name) else { return };
        let (options, bytes) = ((*loaded).load_options.cast::<u16>(), (*loaded).load_options_size);
        if options.is_null() {
            return;
        }
        for index in 0..bytes as usize / 2 {
            match options.add(index).read_unaligned() {
                0 => break,
                unit => into.push_command_line(u8::try_from(unit).unwrap_or(b'?')),
            }
        }
    }
}

/// The initramfs that a loader offers, loaded into memory of this kernel's.
///
/// # Safety
/// As [`take_over`].
unsafe fn load_initramfs(services: *mut BootServices) -> Option<PhysRange> {
    let path = INITRAMFS_PATH;
    let mut rest = (&raw const path).cast_mut().cast::<device_path::Protocol>();
    let mut handle: Handle = ptr::null_mut();
    let mut name = load_file2::PROTOCOL_GUID;
    // SAFETY: the caller's promise; firmware reads the path, and writes locals and the pages that it gave.
    unsafe {
        let status = ((*services).locate_device_path)(&raw mut name, &raw mut rest, &raw mut handle);
        if status != Status::SUCCESS {
            return None;
        }
        let file = interface::<load_file2::Protocol>(services, handle, load_file2::PROTOCOL_GUID)?;
        let mut size = 0;
        let status = ((*file).load_file)(file, rest, false.into(), &raw mut size, ptr::null_mut());
        if status != Status::BUFFER_TOO_SMALL || size == 0 {
            return None;
        }
        let mut address = 0;
        let pages = size.div_ceil(PAGE_SIZE as usize);
        let status = ((*services).allocate_pages)(ALLOCATE_ANY_PAGES, LOADER_DATA, pages, &raw mut address);
        if status != Status::SUCCESS {
            return None;
        }
        let status = ((*file).load_file)(file, rest, false.into(), &raw mut size, address as *mut c_void);
        (status == Status::SUCCESS).then(|| PhysRange::new(PhysAddr::new(address), size as u64))
    }
}

/// Asks for the memory map and says farewell, again where the map has changed in between.
///
/// # Safety
/// As [`take_over`].
unsafe fn leave(services: *mut BootServices, image: Handle, into: &mut Loaded) -> Option<()> {
    let map = (&raw mut MAP).cast::<u8>();
    for _ in 0..FAREWELLS {
        let (mut size, mut key, mut entry_bytes, mut version) = (MAP_BYTES, 0, 0, 0);
        // SAFETY: the caller's promise; the map is this function's, and the rest are locals.
        let left = unsafe {
            let (map, size) = (map.cast::<MemoryDescriptor>(), &raw mut size);
            let status =
                ((*services).get_memory_map)(size, map, &raw mut key, &raw mut entry_bytes, &raw mut version);
            if status != Status::SUCCESS {
                return None;
            }
            ((*services).exit_boot_services)(image, key) == Status::SUCCESS
        };
        if left && entry_bytes >= size_of::<MemoryDescriptor>() {
            for index in 0..size / entry_bytes {
                // SAFETY: firmware wrote so many entries of this size there.
                let entry =
                    unsafe { map.add(index * entry_bytes).cast::<MemoryDescriptor>().read_unaligned() };
                if FREE.contains(&entry.r#type) {
                    let start = PhysAddr::new(entry.physical_start);
                    into.add_memory(PhysRange::new(start, entry.number_of_pages * PAGE_SIZE));
                }
            }
            return Some(());
        }
    }
    None
}
