//! What UEFI firmware hands over to the kernel that it started as an application: by calls, until it is told to go.
//!
//! This runs before there is anything of the kernel's own: on firmware's stack, interrupts and descriptor tables, with
//! firmware's page tables. On x86_64 the boot tables' window at `IMAGE` is beside them; on AArch64 the code runs where
//! firmware put it and not where it is linked, so that nothing here may read an address out of memory that the linker
//! wrote there: no `dyn`, no table of strings. No lock, no per-CPU data, no panic. Source: UEFI 2.10, chapters 4, 7, 8,
//! 9 and 13; Linux, `Documentation/admin-guide/efi-stub.rst`.
mod files;

use core::ffi::c_void;
use core::ptr;
use libkernel::addr::{PAGE_SIZE, PhysAddr, PhysRange};
use libkernel::calendar::Date;
use r_efi::efi::protocols::{device_path, load_file2, loaded_image, rng};
use r_efi::efi::{
    ACPI_RECLAIM_MEMORY, ALLOCATE_ANY_PAGES, BOOT_SERVICES_CODE, BOOT_SERVICES_DATA, BootServices,
    CONVENTIONAL_MEMORY, Guid, Handle, LOADER_CODE, LOADER_DATA, MemoryDescriptor, Status, SystemTable, Time,
};

/// Where all of it goes.
pub trait Receiver {
    /// The next byte of the command line.
    fn push_command_line(&mut self, byte: u8);
    /// All of the command line that came.
    fn command_line(&self) -> &[u8];
    /// Where the initramfs is.
    fn set_initramfs(&mut self, range: PhysRange);
    /// Memory that is free once firmware is gone.
    fn add_memory(&mut self, range: PhysRange);
    /// Memory in which firmware left tables.
    fn add_tables(&mut self, range: PhysRange);
    /// The next random byte.
    fn push_seed(&mut self, byte: u8);
}

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

/// Takes over from firmware. `None`: it still runs, and can be returned to; why is on its console.
///
/// # Safety
/// Firmware calls with what it gives an application, on the only CPU that runs. Once.
pub unsafe fn take_over(image: Handle, system: *mut SystemTable, into: &mut impl Receiver) -> Option<()> {
    // SAFETY: the caller's promise: the tables are firmware's, and its services may be called.
    unsafe {
        let services = (*system).boot_services;
        copy_load_options(services, image, into);
        let offered = load_initramfs(services);
        let found = offered.unwrap_or_else(|| files::load(services, image, into.command_line()));
        let Ok(initramfs) = found else {
            say(system, b"orlop: the initramfs cannot be read\r\n");
            return None;
        };
        if let Some(range) = initramfs {
            into.set_initramfs(range);
        }
        for byte in random_bytes(services).into_iter().flatten() {
            into.push_seed(byte);
        }
        leave(services, image, into)
    }
}

/// Bytes of firmware's own generator, if it has one: of the algorithm that it likes best (UEFI 2.10, 37.5).
///
/// # Safety
/// As [`take_over`].
unsafe fn random_bytes(services: *mut BootServices) -> Option<[u8; 32]> {
    let (mut name, mut found) = (rng::PROTOCOL_GUID, ptr::null_mut());
    let mut bytes = [0; 32];
    // SAFETY: the caller's promise; firmware writes the locals.
    unsafe {
        let status = ((*services).locate_protocol)(&raw mut name, ptr::null_mut(), &raw mut found);
        if status != Status::SUCCESS || found.is_null() {
            return None;
        }
        let generator = found.cast::<rng::Protocol>();
        let status = ((*generator).get_rng)(generator, ptr::null_mut(), bytes.len(), bytes.as_mut_ptr());
        (status == Status::SUCCESS).then_some(bytes)
    }
}

/// The seconds since 1970 by firmware's clock, if it has one.
///
/// # Safety
/// As [`take_over`].
#[allow(dead_code, reason = "PCs have a clock that they read themselves")]
pub unsafe fn seconds_since_1970(system: *mut SystemTable) -> Option<u64> {
    /// The time is local, and nobody says where: taken for UTC.
    const UNSPECIFIED: i16 = 0x7ff;
    let mut time = core::mem::MaybeUninit::<Time>::zeroed();
    // SAFETY: the caller's promise; firmware writes the local. All zeros are a value of it too.
    let (status, time) = unsafe {
        let status = ((*(*system).runtime_services).get_time)(time.as_mut_ptr(), ptr::null_mut());
        (status, time.assume_init())
    };
    let date = Date {
        year: time.year.into(),
        month: time.month.into(),
        day: time.day.into(),
        hour: time.hour.into(),
        minute: time.minute.into(),
        second: time.second.into(),
    };
    let seconds = date.seconds_since_1970().filter(|_| status == Status::SUCCESS)?;
    let east = if time.timezone == UNSPECIFIED { 0 } else { i64::from(time.timezone) * 60 };
    seconds.checked_add_signed(east)
}

/// Writes to firmware's console.
///
/// # Safety
/// As [`take_over`].
unsafe fn say(system: *mut SystemTable, words: &[u8]) {
    // SAFETY: the caller's promise; each text ends with its zero.
    unsafe {
        let console = (*system).con_out;
        if console.is_null() {
            return;
        }
        for &byte in words {
            let mut text = [u16::from(byte), 0];
            let _ = ((*console).output_string)(console, text.as_mut_ptr());
        }
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
unsafe fn copy_load_options(services: *mut BootServices, image: Handle, into: &mut impl Receiver) {
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

/// There is an initramfs, and it cannot be had.
struct Unreadable;

/// The initramfs, if there is one.
type Found = Result<Option<PhysRange>, Unreadable>;

/// Pages of this kernel's for so many bytes.
///
/// # Safety
/// `services` are firmware's.
unsafe fn allocate(services: *mut BootServices, bytes: usize) -> Option<u64> {
    let mut address = 0;
    let pages = bytes.div_ceil(PAGE_SIZE as usize);
    // SAFETY: the caller's promise; the address is a local.
    let status =
        unsafe { ((*services).allocate_pages)(ALLOCATE_ANY_PAGES, LOADER_DATA, pages, &raw mut address) };
    (status == Status::SUCCESS).then_some(address)
}

/// The initramfs that a loader offers, loaded into memory of this kernel's; `None` where nobody offers one.
///
/// # Safety
/// As [`take_over`].
unsafe fn load_initramfs(services: *mut BootServices) -> Option<Found> {
    let path = INITRAMFS_PATH;
    let mut rest = (&raw const path).cast_mut().cast::<device_path::Protocol>();
    let mut handle: Handle = ptr::null_mut();
    let mut name = load_file2::PROTOCOL_GUID;
    // SAFETY: the caller's promise; firmware reads the path, and writes locals.
    unsafe {
        let status = ((*services).locate_device_path)(&raw mut name, &raw mut rest, &raw mut handle);
        if status != Status::SUCCESS {
            return None;
        }
        let file = interface::<load_file2::Protocol>(services, handle, load_file2::PROTOCOL_GUID)?;
        Some(load_offered(services, file, rest).map(Some).ok_or(Unreadable))
    }
}

/// What `file` offers behind the path that ends with `rest`.
///
/// # Safety
/// As [`take_over`]; the two pointers are firmware's.
unsafe fn load_offered(
    services: *mut BootServices,
    file: *mut load_file2::Protocol,
    rest: *mut device_path::Protocol,
) -> Option<PhysRange> {
    let mut size = 0;
    // SAFETY: the caller's promise; firmware writes the size and the pages that it gave.
    unsafe {
        let status = ((*file).load_file)(file, rest, false.into(), &raw mut size, ptr::null_mut());
        if status != Status::BUFFER_TOO_SMALL || size == 0 {
            return None;
        }
        let address = allocate(services, size)?;
        let status = ((*file).load_file)(file, rest, false.into(), &raw mut size, address as *mut c_void);
        (status == Status::SUCCESS).then(|| PhysRange::new(PhysAddr::new(address), size as u64))
    }
}

/// Asks for the memory map and says farewell, again where the map has changed in between.
///
/// # Safety
/// As [`take_over`].
unsafe fn leave(services: *mut BootServices, image: Handle, into: &mut impl Receiver) -> Option<()> {
    // SAFETY: the caller's promise. The pages are free with the others once firmware is gone; nobody takes them before
    // the end.
    let map = unsafe { allocate(services, MAP_BYTES)? } as *mut u8;
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
                let start = PhysAddr::new(entry.physical_start);
                let range = PhysRange::new(start, entry.number_of_pages * PAGE_SIZE);
                if FREE.contains(&entry.r#type) {
                    into.add_memory(range);
                } else if entry.r#type == ACPI_RECLAIM_MEMORY {
                    into.add_tables(range);
                }
            }
            return Some(());
        }
    }
    None
}
