//! What a loader for Linux hands over: the zero page, which `libkernel::arch::x86_64::zero_page` reads.
use super::loader::{Loaded, read, wipe};
use crate::random;
use libkernel::arch::x86_64::zero_page::ZeroPage;

/// Copies the hand-over; `None` if it is not one.
pub fn read_zero_page(address: u64, into: &mut Loaded) -> Option<()> {
    let memory = read::<u8>;
    let page = ZeroPage::find(&memory, address)?;
    page.for_each_range(&mut |range, usable| {
        if usable {
            into.add_memory(range);
        }
    });
    // Firmware lists some memory twice; what else it says of it counts.
    page.for_each_range(&mut |range, usable| {
        if !usable {
            into.remove_memory(range);
        }
    });
    into.initramfs = page.initramfs();
    into.acpi_root = page.acpi_root().unwrap_or(0);
    into.efi_system_table = page.efi_system_table().unwrap_or(0);
    into.copy_command_line(page.command_line().unwrap_or(0));
    random::add_loader_seed(&page.seed());
    page.for_each_seed_byte(&mut |_, place, _| wipe(place));
    Some(())
}
