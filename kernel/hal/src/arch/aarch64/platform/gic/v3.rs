//! GICv3 and 4 (IHI 0069), through the crate `arm-gic`: a distributor, a redistributor and system registers for each
//! CPU.
use super::{Exception, PRIORITY, Request, URGENT_PRIORITY, place};
use crate::arch::aarch64::cpu::{affinity, read_register, write_register};
use crate::arch::aarch64::paging::DeviceRegisters;
use crate::contract::Cpu as _;
use crate::cpu::MAX_CPUS;
use crate::sync::IrqLock;
use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_gic::gicv3::{GicCpuInterface, GicDistributor, GicRedistributor, Group, SecureIntGroup};
use arm_gic::{IntId, InterruptGroup, Trigger, UniqueMmioPointer};
use arrayvec::ArrayVec;
use core::arch::asm;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

/// Two frames of 64 KiB for each CPU, or four if it has virtual interrupts of its own (12.10).
const FRAMES: u64 = 128 << 10;

/// The controller. The distributor is shared; a redistributor is used by its own CPU alone.
pub struct Gic {
    distributor: IrqLock<GicDistributor<'static>>,
    /// Start and bytes of each region of redistributors.
    regions: ArrayVec<(DeviceRegisters, u64), MAX_CPUS>,
    /// Whether both groups are this kernel's, and group 0 that of urgent requests.
    has_groups: bool,
}

/// GICD_CTLR.DS: there is but one security state (12.9.4).
const ONE_SECURITY_STATE: u32 = 1 << 6;

/// Each CPU's redistributor.
static REDISTRIBUTORS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

impl Gic {
    /// The distributor on, every shared interrupt off.
    ///
    /// # Safety
    /// These are a GICv3's distributor and redistributors, and nobody else uses them.
    pub unsafe fn new(
        distributor: DeviceRegisters,
        regions: ArrayVec<(DeviceRegisters, u64), MAX_CPUS>,
    ) -> Self {
        let has_groups = distributor.read32(0) & ONE_SECURITY_STATE != 0;
        let registers =
            NonNull::new(distributor.address() as *mut Gicd).expect("device memory is not at zero");
        // SAFETY: the caller's promise.
        let mut distributor = GicDistributor::new(unsafe { UniqueMmioPointer::new(registers) });
        distributor.enable_all_interrupts(false);
        distributor.configure_default_settings();
        if has_groups {
            distributor.enable_group0(true);
        }
        Self { distributor: IrqLock::new(distributor), regions, has_groups }
    }

    /// Returns the CPU's affinity.
    pub fn initialise_cpu(&self, cpu: usize) -> u64 {
        let affinity = affinity();
        let Some(address) = self.find_redistributor(affinity) else {
            panic!("no redistributor belongs to CPU {affinity:#x}");
        };
        REDISTRIBUTORS[cpu].store(address, Ordering::Relaxed);
        let mut redistributor = redistributor(address);
        // The only error is that it is awake.
        let _ = redistributor.mark_core_awake();
        redistributor.configure_default_settings();
        for request in Request::ALL {
            let id = IntId::sgi(request as u32);
            if request.is_urgent() {
                let _ = redistributor.set_interrupt_priority(id, URGENT_PRIORITY);
                if self.has_groups {
                    let _ = redistributor.set_group(id, Group::Secure(SecureIntGroup::Group0));
                }
            }
            let _ = redistributor.enable_interrupt(id, true);
        }
        GicCpuInterface::enable_system_register_el1();
        barrier();
        // ICC_SRE_EL1.SRE.
        assert!(read_register!("s3_0_c12_c12_5") & 1 != 0, "firmware keeps the GICv3's system registers off");
        // SAFETY: ICC_CTLR_EL1: the end of an interrupt also deactivates it.
        unsafe { write_register!("s3_0_c12_c12_4", 0) };
        GicCpuInterface::set_priority_mask(0xff);
        GicCpuInterface::enable_group1(true);
        if self.has_groups {
            GicCpuInterface::enable_group0(true);
        }
        barrier();
        // ICC_PMR_EL1, ICC_IGRPEN1_EL1.
        let (mask, groups) = (read_register!("s3_0_c4_c6_0"), read_register!("s3_0_c12_c12_7"));
        assert!(
            mask > PRIORITY.into() && groups & 1 != 0,
            "the GICv3's CPU interface does not keep what is written to it"
        );
        affinity
    }

    /// Looks through all regions for the redistributor whose GICR_TYPER names the affinity.
    fn find_redistributor(&self, affinity: u64) -> Option<u64> {
        for (region, length) in &self.regions {
            let mut offset = 0;
            while offset + FRAMES <= *length {
                let kind = redistributor(region.address() + offset).typer();
                if kind.core_mpidr() == affinity {
                    return Some(region.address() + offset);
                }
                if kind.last_redistributor() {
                    break;
                }
                offset += if kind.virtual_lpis_supported() { 2 * FRAMES } else { FRAMES };
            }
        }
        None
    }

    pub fn set_enabled(&self, interrupt: u32, on: bool) {
        let Ok(id) = IntId::try_from(interrupt) else { return };
        // The crate refuses only numbers that are not the part's own.
        let _ = if id.is_private() {
            let this = crate::arch::Arch::id();
            let mut redistributor = redistributor(REDISTRIBUTORS[this].load(Ordering::Relaxed));
            let prepared = redistributor.set_interrupt_priority(id, PRIORITY);
            prepared.and_then(|()| redistributor.enable_interrupt(id, on))
        } else {
            let mut distributor = self.distributor.lock();
            let routed = if on { distributor.set_routing(id, Some(place(0))) } else { Ok(()) };
            routed.and_then(|()| distributor.enable_interrupt(id, on))
        };
    }

    pub fn set_edge(&self, interrupt: u32, is_edge: bool) {
        let trigger = if is_edge { Trigger::Edge } else { Trigger::Level };
        if let Ok(id) = IntId::try_from(interrupt) {
            // The crate refuses only numbers that are not the part's own.
            let _ = self.distributor.lock().set_trigger(id, trigger);
        }
    }

    pub fn acknowledge(exception: Exception) -> u32 {
        let taken = GicCpuInterface::get_and_acknowledge_interrupt(group(exception));
        taken.map_or(u32::MAX, IntId::raw_value)
    }

    pub fn end(value: u32, exception: Exception) {
        if let Ok(id) = IntId::try_from(value) {
            GicCpuInterface::end_interrupt(id, group(exception));
            barrier();
        }
    }

    pub fn send(&self, request: Request, affinity: u64) {
        let field = |level: u32| affinity >> (8 * level) & 0xff;
        // ICC_SGI0R_EL1 and ICC_SGI1R_EL1 (12.2.20): one bit of sixteen, and which sixteen of the lowest level (RS).
        let (member, range) = (field(0) % 16, field(0) / 16);
        let target =
            (affinity >> 32 & 0xff) << 48 | range << 44 | field(2) << 32 | field(1) << 16 | 1 << member;
        self.request(request, target);
    }

    pub fn send_to_others(&self, request: Request) {
        // IRM.
        self.request(request, 1 << 40);
    }

    fn request(&self, request: Request, target: u64) {
        let value = target | (request as u64) << 24;
        // SAFETY: a barrier; then an interrupt on CPUs that run this kernel.
        unsafe {
            asm!("dsb ishst", options(nostack, preserves_flags));
            if self.has_groups && request.is_urgent() {
                write_register!("s3_0_c12_c11_7", value);
            } else {
                write_register!("s3_0_c12_c11_5", value);
            }
        }
        barrier();
    }
}

fn group(exception: Exception) -> InterruptGroup {
    match exception {
        Exception::Irq => InterruptGroup::Group1,
        Exception::Fiq => InterruptGroup::Group0,
    }
}

/// The redistributor at `address`.
fn redistributor(address: u64) -> GicRedistributor<'static> {
    let registers = NonNull::new(address as *mut GicrSgi).expect("every CPU that runs has a redistributor");
    // SAFETY: `Gic::new`'s caller vouched for the regions. Other than `typer`, which changes nothing, only the CPU that
    // it belongs to uses it, one use at a time.
    GicRedistributor::new(unsafe { UniqueMmioPointer::new(registers) })
}

/// Makes changes of system registers take effect.
fn barrier() {
    // SAFETY: a barrier.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}
