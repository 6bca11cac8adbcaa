//! The screen of a VGA in text mode, for the last words of a kernel that fails.
//!
//! Whether there is one is asked when it is wanted: the registers of a VGA that is not there read as ones, and in the
//! linear modes of UEFI the graphics controller says so. Source: IBM VGA; graphics controller, register 6.
use super::port;
use crate::arch::x86_64::paging::{DEVICES, IMAGE};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use libkernel::addr::PhysAddr;
use libkernel::arch::x86_64::text_screen::Screen;

/// The text of colour modes: 80 cells by 25, which one page holds.
pub const TEXT: PhysAddr = PhysAddr::new(0xb8000);
/// Where it is mapped: by the boot tables at first, then in the window of devices.
static MAPPED: AtomicU64 = AtomicU64::new(IMAGE + TEXT.as_u64());

/// The final tables, which map the text in the window of devices, come next.
pub fn enter_window() {
    MAPPED.store(DEVICES + TEXT.as_u64(), Ordering::Relaxed);
}

/// Whether text is shown from [`TEXT`] on.
fn shows_text() -> bool {
    const GRAPHICS_INDEX: u16 = 0x3ce;
    const MISCELLANEOUS: u8 = 6;
    const ABSENT: u8 = 0xff;
    // Not graphics; 32 KiB from 0xb8000 on.
    const KIND: u8 = 0b1101;
    const COLOUR_TEXT: u8 = 0b1100;
    // SAFETY: the ports are a VGA's, of which nobody else takes care, or nobody's.
    let register = unsafe {
        port::write_u8(GRAPHICS_INDEX, MISCELLANEOUS);
        port::read_u8(GRAPHICS_INDEX + 1)
    };
    register != ABSENT && register & KIND == COLOUR_TEXT
}

/// Writes bytes to the screen, if there is one. Only at the kernel's end, by one CPU.
pub fn write(bytes: &[u8]) {
    /// The number of the [`Screen`]: no lock, as the kernel fails.
    static SCREEN: AtomicU32 = AtomicU32::new(0);
    if !shows_text() {
        return;
    }
    let mut screen = Screen::from_number(SCREEN.load(Ordering::Relaxed));
    let text = MAPPED.load(Ordering::Relaxed) as *mut u16;
    screen.write(bytes, |cell, value| {
        // SAFETY: the screen has less cells than the page that is mapped there holds, and nothing else writes to it.
        unsafe { text.add(cell).write_volatile(value) };
    });
    SCREEN.store(screen.number(), Ordering::Relaxed);
}
