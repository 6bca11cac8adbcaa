//! The few facts that ACPI tables are needed for: which CPUs there are, how to switch the machine off and how to
//! restart it.
//!
//! Read when that is wanted; what the bytes mean is `libkernel::acpi`'s business.
use super::port;
use crate::arch::Arch;
use crate::arch::x86_64::paging::map_device;
use crate::contract::Cpu as _;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};
use libkernel::acpi::fadt::{self, PowerOff, Register};
use libkernel::acpi::{self, dmar, hpet};
use libkernel::addr::{PAGE_SIZE, PhysAddr};
use libkernel::arch::x86_64::{madt, mp_table};
use libkernel::efi;
use libkernel::physical::Memory;

/// The root pointer's address: zero before it was looked for, all ones where there is none.
static ROOT: AtomicU64 = AtomicU64::new(0);
const NONE: u64 = u64::MAX;
/// EFI's system table, which names the root pointer too; zero where there is none.
static EFI_SYSTEM_TABLE: AtomicU64 = AtomicU64::new(0);

/// Remembers where the loader says the root pointer is, or EFI's system table; zeros: search.
pub fn remember_root(address: u64, efi_system_table: u64) {
    ROOT.store(address, Ordering::Relaxed);
    EFI_SYSTEM_TABLE.store(efi_system_table, Ordering::Relaxed);
}

/// Physical memory through the device window; keeps the page that was read last.
struct Window {
    page: Cell<u64>,
    pointer: Cell<*const u8>,
}

impl Window {
    const fn new() -> Self {
        Self { page: Cell::new(0), pointer: Cell::new(ptr::null()) }
    }
}

impl Memory for Window {
    fn byte(&self, address: u64) -> Option<u8> {
        let page = address / PAGE_SIZE * PAGE_SIZE;
        if self.pointer.get().is_null() || self.page.get() != page {
            self.pointer.set(map_device(PhysAddr::new(page)).ok()?);
            self.page.set(page);
        }
        // SAFETY: the page is mapped, and firmware tables may be read.
        Some(unsafe { self.pointer.get().add((address - page) as usize).read_volatile() })
    }
}

/// The root pointer: from the loader, else searched where BIOSes put it.
fn root(memory: &Window) -> Option<u64> {
    let mut root = ROOT.load(Ordering::Relaxed);
    if root == 0 {
        let by_efi = || match EFI_SYSTEM_TABLE.load(Ordering::Relaxed) {
            0 => None,
            table => efi::acpi_root(memory, table),
        };
        root = by_efi().or_else(|| acpi::search_root(memory)).unwrap_or_else(|| {
            crate::boot::lacks(
                "ACPI: CPUs are found by an older table, if any, and the off switch is a reset",
            );
            NONE
        });
        ROOT.store(root, Ordering::Relaxed);
    }
    (root != NONE).then_some(root)
}

/// A copy of the table that lists the CPUs; `None` where there is none.
fn cpu_table() -> Option<Vec<u8>> {
    /// More than 64 CPUs with all that belongs to them need.
    const LENGTH_MAX: u64 = 64 << 10;
    let memory = Window::new();
    let table = acpi::tables(&memory, root(&memory)?, madt::SIGNATURE).next()?;
    (0..table.length.min(LENGTH_MAX)).map(|offset| memory.byte(table.address + offset)).collect()
}

/// Calls `visit` with the identifiers of all CPUs that can be started, as long as it says true: by ACPI's table, or by
/// the one before it.
pub fn for_each_cpu(mut visit: impl FnMut(u32) -> bool) {
    if let Some(table) = cpu_table() {
        madt::processors(&table).all(visit);
    } else {
        mp_table::processors(&Window::new()).all(&mut visit);
    }
}

/// The power-management timer's port and bits.
pub fn pm_timer() -> Option<(u16, u32)> {
    let memory = Window::new();
    match fadt::pm_timer(&memory, root(&memory)?)? {
        (Register::Port(port), bits) => Some((port, bits)),
        (Register::Memory(_) | Register::Pci { .. }, _) => None,
    }
}

/// Where the high-precision event timer's registers are.
pub fn event_timer() -> Option<PhysAddr> {
    let memory = Window::new();
    hpet::registers(&memory, root(&memory)?).map(PhysAddr::new)
}

/// Whether firmware asks that the APICs stay out of x2APIC mode.
pub fn refuses_x2apic() -> bool {
    let memory = Window::new();
    root(&memory).is_some_and(|root| dmar::refuses_x2apic(&memory, root))
}

/// Writes one byte to a register that the firmware names for this purpose.
fn write_byte(register: Register, value: u8) -> Option<()> {
    const PCI_ADDRESS: u16 = 0xcf8;
    const PCI_DATA: u16 = 0xcfc;
    // SAFETY: these registers switch the machine off or restart it, or do nothing; memory was just mapped.
    unsafe {
        match register {
            Register::Port(at) => port::write_u8(at, value),
            Register::Memory(at) => map_device(PhysAddr::new(at)).ok()?.write_volatile(value),
            Register::Pci { device, function, offset } => {
                let (device, function) = (u32::from(device), u32::from(function));
                let word = u32::from(offset) & !3;
                port::write_u32(PCI_ADDRESS, 1 << 31 | device << 11 | function << 8 | word);
                port::write_u8(PCI_DATA + u16::from(offset & 3), value);
            }
        }
    }
    Some(())
}

/// A PM1 control register.
struct Control {
    register: Register,
    pointer: *mut u16,
}

impl Control {
    fn find(register: Register) -> Option<Self> {
        let pointer = match register {
            Register::Memory(at) if at % 2 == 0 => map_device(PhysAddr::new(at)).ok()?.cast(),
            Register::Port(_) => ptr::null_mut(),
            Register::Memory(_) | Register::Pci { .. } => return None,
        };
        Some(Self { register, pointer })
    }

    fn read(&self) -> u16 {
        // SAFETY: the power-management register that the firmware names; memory was mapped by `find`.
        unsafe {
            if let Register::Port(at) = self.register {
                port::read_u16(at)
            } else {
                self.pointer.read_volatile()
            }
        }
    }

    fn write(&self, value: u16) {
        // SAFETY: as above.
        unsafe {
            if let Register::Port(at) = self.register {
                port::write_u16(at, value);
            } else {
                self.pointer.write_volatile(value);
            }
        }
    }
}

/// Puts ACPI in charge of the registers, where it is not yet: firmware then does what it is told there (ACPI 6.4,
/// 16.3.1).
fn take_charge(control: &Control, enable: Option<(u16, u8)>) {
    /// Reads of the register, a microsecond each or longer: firmware may take its time.
    const PATIENCE: u32 = 1_000_000;
    let Some((command, value)) = enable.filter(|_| control.read() & fadt::SCI_ENABLED == 0) else { return };
    // SAFETY: the port and the value that the firmware names for this.
    unsafe { port::write_u8(command, value) };
    let mut reads = 0..PATIENCE;
    reads.find(|_| {
        Arch::relax();
        control.read() & fadt::SCI_ENABLED != 0
    });
}

/// Tries to switch the machine off; returns if there is no way.
pub fn power_off() -> Option<()> {
    let memory = Window::new();
    match fadt::power_off(&memory, root(&memory)?)? {
        PowerOff::Reduced { control: (register, value), status } => {
            if let Some(status) = status {
                write_byte(status, fadt::WAKE_STATUS);
            }
            write_byte(register, value)
        }
        PowerOff::Fixed { a: (first, first_type), b, enable } => {
            let first = Control::find(first)?;
            take_charge(&first, enable);
            first.write(fadt::sleep_word(first.read(), first_type));
            if let Some((second, second_type)) = b
                && let Some(second) = Control::find(second)
            {
                second.write(fadt::sleep_word(second.read(), second_type));
            }
            Some(())
        }
    }
}

/// Tries the reset register; returns if there is none.
pub fn restart() -> Option<()> {
    let memory = Window::new();
    let (register, value) = fadt::restart(&memory, root(&memory)?)?;
    write_byte(register, value)
}
