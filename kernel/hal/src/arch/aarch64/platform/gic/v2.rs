//! GICv2 (IHI 0048): memory-mapped, for up to eight CPUs.
//!
//! Not through the crate `arm-gic`: its GICv2 acknowledges by registers that are closed outside of the secure state
//! (4.4.11), and setting a priority resets those of three neighbours.
use super::{FIRST_SHARED, PRIORITY, REQUESTS, Request, URGENT, URGENT_PRIORITY, place};
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
/// GICD_CTLR, and GICC_CTLR: lets the one group through that belongs to this side of two security states; group 0 if
/// there are no two.
const ENABLE: u32 = 1 << 0;
/// With one security state: group 1.
const ENABLE_GROUP_1: u32 = 1 << 1;
/// GICC_CTLR.AckCtl: one register acknowledges both groups.
const ACKNOWLEDGE_BOTH: u32 = 1 << 2;
/// GICC_CTLR.FIQEn: group 0 comes as FIQ.
const FIQ: u32 = 1 << 3;
/// GICC_CTLR: firmware's choice about what happens to interrupts while the interface is off.
const BYPASS: u32 = 0x1e0;
const PRIORITY_WORD: u32 = u32::from_le_bytes([PRIORITY; 4]);

/// The controller. Its shared registers are changed under the lock.
pub struct Gic {
    distributor: DeviceRegisters,
    cpu: DeviceRegisters,
    lock: IrqLock<()>,
    /// Whether both groups are this kernel's, and group 0 that of urgent requests.
    has_groups: bool,
}

impl Gic {
    /// The distributor on, every shared interrupt off and aimed at the executing CPU.
    pub fn new(distributor: DeviceRegisters, cpu: DeviceRegisters) -> Self {
        distributor.write32(CONTROL, 0);
        let kind = distributor.read32(TYPE);
        // Without security extensions groups may be missing (4.3.4); with them these registers are firmware's, and
        // ignore this.
        distributor.write32(GROUP, !URGENT);
        let has_groups = kind & HAS_SECURITY == 0 && distributor.read32(GROUP) == !URGENT;
        let gic = Self { distributor, cpu, lock: IrqLock::new(()), has_groups };
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
                distributor.write32(GROUP + first / 8, if has_groups { u32::MAX } else { 0 });
            }
        }
        distributor.write32(CONTROL, if has_groups { ENABLE | ENABLE_GROUP_1 } else { ENABLE });
        gic
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
        self.distributor.write32(GROUP, if self.has_groups { !URGENT } else { 0 });
        for first in (0..FIRST_SHARED as usize).step_by(4) {
            let priority = |number| if URGENT >> number & 1 != 0 { URGENT_PRIORITY } else { PRIORITY };
            let word = core::array::from_fn(|byte| priority(first + byte));
            self.distributor.write32(PRIORITIES + first, u32::from_le_bytes(word));
        }
        self.distributor.write32(SET_ENABLE, REQUESTS);
        self.cpu.write32(PRIORITY_MASK, 0xff);
        let bypass = self.cpu.read32(CPU_CONTROL) & BYPASS;
        let groups = if self.has_groups { ENABLE_GROUP_1 | ACKNOWLEDGE_BOTH | FIQ } else { 0 };
        self.cpu.write32(CPU_CONTROL, bypass | ENABLE | groups);
        let is_open =
            self.cpu.read32(PRIORITY_MASK) > PRIORITY.into() && self.cpu.read32(CPU_CONTROL) & ENABLE != 0;
        assert!(
            is_open && self.distributor.read32(CONTROL) & ENABLE != 0,
            "the GICv2 does not keep what is written to it"
        );
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

    /// GICD_ICFGR (4.3.13): two bits each, the higher one says edge.
    pub fn set_edge(&self, interrupt: u32, is_edge: bool) {
        let _guard = self.lock.lock();
        let (word, bit) = (CONFIGURATION + interrupt as usize / 16 * 4, 2 << (interrupt % 16 * 2));
        let others = self.distributor.read32(word) & !bit;
        self.distributor.write32(word, others | if is_edge { bit } else { 0 });
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
