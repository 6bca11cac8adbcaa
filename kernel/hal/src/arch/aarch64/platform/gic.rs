//! The interrupt controller, GICv2 or GICv3, through the crate `arm-gic`.
//!
//! Every interrupt has the same priority and goes to the boot CPU. Lock order: `CONTROLLER` is taken last, with interrupts
//! masked. A GICv3 is acknowledged through system registers, without the lock.
use super::super::paging::DeviceRegisters;
use crate::sync::IrqLock;
use arm_gic::gicv2::{GicV2, SgiTarget as SgiTargetV2, SgiTargetListFilter};
use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_gic::gicv3::{GicCpuInterface, GicV3, SgiTarget, SgiTargetGroup};
use arm_gic::{IntId, InterruptGroup, UniqueMmioPointer};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

/// Priority of every interrupt, above the mask.
const PRIORITY: u8 = 0x80;
/// The software-generated interrupt that asks another CPU to look at its work.
pub const RESCHEDULE: IntId = IntId::sgi(0);
/// GICv2: which CPUs an interrupt goes to, a byte for each (IHI 0048, 4.3.12).
const DISTRIBUTOR_TARGETS: usize = 0x800;

enum Controller {
    None,
    V2 { gic: GicV2<'static>, distributor: DeviceRegisters, group: InterruptGroup },
    V3(GicV3<'static>),
}

static CONTROLLER: IrqLock<Controller> = IrqLock::new(Controller::None);
static IS_V3: AtomicBool = AtomicBool::new(false);

/// Brings up a GICv2.
///
/// # Safety
/// The two are a GICv2's distributor and CPU interface, used by nobody else.
pub unsafe fn initialise_v2(distributor: DeviceRegisters, cpu_interface: DeviceRegisters) {
    // SAFETY: the caller's promise.
    let mut gic = unsafe { GicV2::new(distributor.address() as *mut _, cpu_interface.address() as *mut _) };
    gic.setup();
    let secure = gic.typer().has_security_extension();
    let group = if secure { InterruptGroup::Group1 } else { InterruptGroup::Group0 };
    *CONTROLLER.lock() = Controller::V2 { gic, distributor, group };
}

/// Brings up a GICv3 (or 4).
///
/// # Safety
/// The two are a GICv3's distributor and the first of `cpus` redistributors, used by nobody else.
pub unsafe fn initialise_v3(distributor: DeviceRegisters, redistributors: DeviceRegisters, cpus: usize) {
    let distributor = NonNull::new(distributor.address() as *mut Gicd).expect("device memory is not at zero");
    let redistributors =
        NonNull::new(redistributors.address() as *mut GicrSgi).expect("device memory is not at zero");
    // SAFETY: the caller's promise.
    let gic = unsafe { GicV3::new(UniqueMmioPointer::new(distributor), redistributors, cpus) };
    let mut gic = gic.expect("the redistributors are not as the device tree says");
    gic.setup(0);
    GicCpuInterface::set_priority_mask(0xff);
    *CONTROLLER.lock() = Controller::V3(gic);
    IS_V3.store(true, Ordering::Relaxed);
}

/// Lets `interrupt` reach the boot CPU.
pub fn enable(interrupt: u32) {
    let Some(id) = identifier(interrupt) else { return };
    match &mut *CONTROLLER.lock() {
        Controller::None => {}
        Controller::V2 { gic, distributor, .. } => {
            target_boot_cpu(*distributor, interrupt);
            gic.set_interrupt_priority(id, PRIORITY);
            // An interrupt that does not exist stays off.
            let _ = gic.enable_interrupt(id, true);
        }
        Controller::V3(gic) => {
            let _ = gic.set_interrupt_priority(id, Some(0), PRIORITY);
            let _ = gic.enable_interrupt(id, Some(0), true);
        }
    }
}

/// Stops `interrupt`.
pub fn disable(interrupt: u32) {
    let Some(id) = identifier(interrupt) else { return };
    let _ = match &mut *CONTROLLER.lock() {
        Controller::None => return,
        Controller::V2 { gic, .. } => gic.enable_interrupt(id, false).is_ok(),
        Controller::V3(gic) => gic.enable_interrupt(id, Some(0), false).is_ok(),
    };
}

/// Takes the interrupt that the CPU was interrupted for, if it is still there. [`end`] must follow.
pub fn acknowledge() -> Option<Acknowledged> {
    if IS_V3.load(Ordering::Relaxed) {
        return GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group1).map(Acknowledged);
    }
    match &mut *CONTROLLER.lock() {
        Controller::V2 { gic, group, .. } => gic.get_and_acknowledge_interrupt(*group).map(Acknowledged),
        _ => None,
    }
}

/// An interrupt between its acknowledgement and its end.
#[must_use]
pub struct Acknowledged(IntId);

impl Acknowledged {
    /// Its number. A GICv2 tells the sending CPU in higher bits (IHI 0048, 4.4.4).
    pub fn number(&self) -> u32 {
        let value = self.0.raw_value();
        if IS_V3.load(Ordering::Relaxed) { value } else { value & 0x3ff }
    }

    /// Tells the controller that it has been handled.
    pub fn end(self) {
        if IS_V3.load(Ordering::Relaxed) {
            GicCpuInterface::end_interrupt(self.0, InterruptGroup::Group1);
        } else if let Controller::V2 { gic, group, .. } = &mut *CONTROLLER.lock() {
            gic.end_interrupt(self.0, *group);
        }
    }
}

/// Interrupts `cpu` for nothing but the interrupt itself. CPUs are numbered as the affinity's lowest byte.
pub fn send_reschedule(cpu: usize) {
    match &mut *CONTROLLER.lock() {
        Controller::None => {}
        Controller::V2 { gic, .. } => gic.send_sgi(
            RESCHEDULE,
            SgiTargetV2::List {
                target_list_filter: SgiTargetListFilter::CPUTargetList,
                target_list: 1_u16.checked_shl(cpu as u32).unwrap_or(0),
            },
        ),
        Controller::V3(_) => {
            let (group, member) = (cpu / 16, cpu % 16);
            let target = SgiTarget::List {
                affinity3: 0,
                affinity2: 0,
                affinity1: group as u8,
                target_list: 1 << member,
            };
            // The only error is a number that is not a software-generated interrupt's.
            let _ = GicCpuInterface::send_sgi(RESCHEDULE, target, SgiTargetGroup::CurrentGroup1);
        }
    }
}

/// The crate's name for an ordinary interrupt; those of extended ranges are not used here.
fn identifier(interrupt: u32) -> Option<IntId> {
    const FIRST_SPECIAL: u32 = 1020;
    if interrupt < FIRST_SPECIAL { IntId::try_from(interrupt).ok() } else { None }
}

/// Sends a shared interrupt of a GICv2 to the first CPU; the crate leaves that to firmware.
fn target_boot_cpu(distributor: DeviceRegisters, interrupt: u32) {
    const FIRST_SHARED: u32 = 32;
    if interrupt < FIRST_SHARED {
        return;
    }
    let (word, shift) = (interrupt as usize / 4 * 4, interrupt % 4 * 8);
    let targets = distributor.read32(DISTRIBUTOR_TARGETS + word) & !(0xff << shift);
    distributor.write32(DISTRIBUTOR_TARGETS + word, targets | (1 << shift));
}
