//! GICv2 (IHI 0048): memory-mapped, for up to eight CPUs.
//!
//! Not through the crate `arm-gic`: its GICv2 acknowledges by registers that are closed outside of the secure state (4.4.11), and
//! setting a priority resets those of three neighbours.
use super::{FIRST_SHARED, PRIORITY, REQUESTS, Request, place};
use crate::arch::aarch64::paging::DeviceRegisters;
use crate::sync::IrqLock;
use core::arch::asm;

// Distributor (4.3). Registers for interrupts below 32 are each CPU's own.
const CONTROL: usize = 0x000;
const TYPE: usize = 0x004;
const GROUP: usize = 0x080;
const SET_ENABLE: usize = 0x100;
const CLEAR_ENABLE: usize = 0x180;
const CLEAR_ACTIVE: usize = 0x380;
const PRIORITIES: usize = 0x400;
const TARGETS: usize = 0x800;
const CONFIGURATION: usize = 0xc00;
const SOFTWARE_INTERRUPT: usize = 0xf00;

// CPU interface (4.4).
const CPU_CONTROL: usize = 0x00;
const PRIORITY_MASK: usize = 0x04;
const ACKNOWLEDGE: usize = 0x0c;
const END: usize = 0x10;

/// GICD_TYPER.SecurityExtn.
const HAS_SECURITY: u32 = 1 << 10;
/// GICC_CTLR: firmware's choice about what happens to interrupts while the interface is off.
const BYPASS: u32 = 0x1e0;
const PRIORITY_WORD: u32 = u32::from_le_bytes([PRIORITY; 4]);

/// The controller. Its shared registers are changed under the lock.
pub struct Gic {
    distributor: DeviceRegisters,
    cpu: DeviceRegisters,
    lock: IrqLock<()>,
}

impl Gic {
    /// The distributor on, every shared interrupt off and aimed at the executing CPU.
    pub fn new(distributor: DeviceRegisters, cpu: DeviceRegisters) -> Self {
        let gic = Self { distributor, cpu, lock: IrqLock::new(()) };
        distributor.write32(CONTROL, 0);
        let kind = distributor.read32(TYPE);
        let count = ((kind & 0x1f) as usize + 1) * 32;
        let targets = u32::from_le_bytes([gic.target(); 4]);
        for first in (FIRST_SHARED as usize..count).step_by(4) {
            distributor.write32(PRIORITIES + first, PRIORITY_WORD);
            distributor.write32(TARGETS + first, targets);
            if first.is_multiple_of(16) {
                distributor.write32(CONFIGURATION + first / 4, 0);
            }
            if first.is_multiple_of(32) {
                distributor.write32(CLEAR_ENABLE + first / 8, u32::MAX);
                distributor.write32(CLEAR_ACTIVE + first / 8, u32::MAX);
                gic.join_group(first / 8);
            }
        }
        distributor.write32(CONTROL, 1);
        gic
    }

    /// Without security extensions group 0 is the one that control registers' bit 0 lets through; with them these registers
    /// are firmware's, and that bit means group 1 (4.1.2).
    fn join_group(&self, offset: usize) {
        if self.distributor.read32(TYPE) & HAS_SECURITY == 0 {
            self.distributor.write32(GROUP + offset, 0);
        }
    }

    /// The executing CPU's bit: each of its private interrupts aims at itself. One CPU alone reads zeros (4.3.12).
    fn target(&self) -> u8 {
        let bytes =
            (0..FIRST_SHARED as usize).step_by(4).map(|first| self.distributor.read32(TARGETS + first));
        let bits = bytes.fold(0, |bits, word| bits | word);
        match bits.to_le_bytes().into_iter().fold(0, |bits, byte| bits | byte) {
            0 => 1,
            bits => bits,
        }
    }

    /// Returns the CPU's bit.
    pub fn initialise_cpu(&self) -> u64 {
        self.distributor.write32(CLEAR_ENABLE, !REQUESTS);
        self.distributor.write32(CLEAR_ACTIVE, u32::MAX);
        self.join_group(0);
        for first in (0..FIRST_SHARED as usize).step_by(4) {
            self.distributor.write32(PRIORITIES + first, PRIORITY_WORD);
        }
        self.distributor.write32(SET_ENABLE, REQUESTS);
        self.cpu.write32(PRIORITY_MASK, 0xff);
        let bypass = self.cpu.read32(CPU_CONTROL) & BYPASS;
        self.cpu.write32(CPU_CONTROL, bypass | 1);
        self.target().into()
    }

    pub fn set_enabled(&self, interrupt: u32, on: bool) {
        let _guard = self.lock.lock();
        if on && interrupt >= FIRST_SHARED {
            let (word, shift) = (TARGETS + interrupt as usize / 4 * 4, interrupt % 4 * 8);
            let others = self.distributor.read32(word) & !(0xff << shift);
            self.distributor.write32(word, others | (place(0) as u32 & 0xff) << shift);
        }
        let register = if on { SET_ENABLE } else { CLEAR_ENABLE };
        self.distributor.write32(register + interrupt as usize / 32 * 4, 1 << (interrupt % 32));
    }

    pub fn acknowledge(&self) -> u32 {
        self.cpu.read32(ACKNOWLEDGE)
    }

    pub fn end(&self, value: u32) {
        self.cpu.write32(END, value);
    }

    pub fn send(&self, request: Request, target: u64) {
        self.request(request, (target as u32 & 0xff) << 16);
    }

    pub fn send_to_others(&self, request: Request) {
        const OTHERS: u32 = 1 << 24;
        self.request(request, OTHERS);
    }

    /// GICD_SGIR (4.3.15). With security extensions, NSATT does not matter outside of the secure state.
    fn request(&self, request: Request, targets: u32) {
        // SAFETY: a barrier: ordinary stores before the device's.
        unsafe { asm!("dsb ishst", options(nostack, preserves_flags)) };
        self.distributor.write32(SOFTWARE_INTERRUPT, targets | request as u32);
    }
}
