//! What the machine is made of, whoever says so: the device tree, or ACPI's tables where there is none.
use crate::cpu::MAX_CPUS;
use crate::sync::Once;
use arrayvec::ArrayVec;
use libkernel::acpi::{fadt, spcr};
use libkernel::addr::{PhysAddr, PhysRange};
use libkernel::arch::aarch64::errata::Answers;
use libkernel::arch::aarch64::speculation::cores::Named;
use libkernel::arch::aarch64::{gtdt, madt};
use libkernel::device_tree::{Conduit, Cpu, DeviceTree, Kind, SerialPort};
use libkernel::physical::Memory;

/// The interrupt controller's registers.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for ever, in a static")]
pub enum Interrupts {
    /// Its distributor and CPU interface.
    V2 {
        /// The distributor's.
        distributor: PhysRange,
        /// The CPU interface's, for each CPU at the same place.
        interface: PhysRange,
    },
    /// Its distributor, and regions of redistributors.
    V3 {
        /// The distributor's.
        distributor: PhysRange,
        /// Each CPU's, one behind the other in each region.
        redistributors: ArrayVec<PhysRange, MAX_CPUS>,
    },
}

/// The machine.
#[derive(Debug)]
pub struct Machine {
    /// How firmware is called.
    pub conduit: Conduit,
    /// The console.
    pub serial: Option<SerialPort>,
    /// The interrupt controller.
    pub interrupts: Option<Interrupts>,
    /// The virtual timer's interrupt.
    pub timer: Option<u32>,
    /// The PL031.
    pub real_time_clock: Option<PhysRange>,
    /// The CPUs, in the order of whoever lists them.
    pub cpus: ArrayVec<Cpu, MAX_CPUS>,
}

static MACHINE: Once<Machine> = Once::new();

/// The machine, once it is known.
pub fn known() -> Option<&'static Machine> {
    MACHINE.get()
}

/// The machine that the device tree describes. Its parts take much of the stack while they are put together, hence a
/// call.
#[inline(never)]
pub fn of_tree(tree: &DeviceTree<'_>) -> &'static Machine {
    MACHINE.get_or_init(|| Machine {
        conduit: tree.psci_conduit(),
        serial: tree.serial_port(),
        interrupts: interrupts_of_tree(tree),
        timer: tree.virtual_timer_interrupt(),
        real_time_clock: tree.registers(Kind::RealTimeClock).next(),
        cpus: tree.cpus().take(MAX_CPUS).collect(),
    })
}

/// Whether the tree describes a machine at all: loaders that start from ACPI's make one with nothing but their own
/// words.
pub fn is_described_by(tree: &DeviceTree<'_>) -> bool {
    tree.has(Kind::GicV3) || tree.has(Kind::GicV2)
}

fn interrupts_of_tree(tree: &DeviceTree<'_>) -> Option<Interrupts> {
    if tree.has(Kind::GicV3) {
        let mut ranges = tree.registers(Kind::GicV3);
        let distributor = ranges.next()?;
        let redistributors = ranges.take(tree.redistributor_regions()).take(MAX_CPUS).collect();
        return Some(Interrupts::V3 { distributor, redistributors });
    }
    let mut ranges = tree.registers(Kind::GicV2);
    Some(Interrupts::V2 { distributor: ranges.next()?, interface: ranges.next()? })
}

/// The machine that the tables describe which start at `root`. A call, likewise.
#[inline(never)]
pub fn of_tables(memory: &impl Memory, root: u64) -> &'static Machine {
    MACHINE.get_or_init(|| {
        let conduit = fadt::psci_conduit(memory, root);
        let (interrupts, cpus) = interrupts_and_cpus(memory, root, conduit);
        Machine {
            conduit,
            serial: spcr::console(memory, root),
            interrupts,
            timer: gtdt::virtual_timer_interrupt(memory, root),
            // The tables that need no interpreter tell of none.
            real_time_clock: None,
            cpus,
        }
    })
}

fn interrupts_and_cpus(
    memory: &impl Memory,
    root: u64,
    conduit: Conduit,
) -> (Option<Interrupts>, ArrayVec<Cpu, MAX_CPUS>) {
    /// Bytes of registers: a GICv2's distributor and CPU interface, a GICv3's distributor, one of its redistributors.
    const DISTRIBUTOR: u64 = 0x1000;
    const INTERFACE: u64 = 0x2000;
    const DISTRIBUTOR_V3: u64 = 0x1_0000;
    const REDISTRIBUTOR: u64 = 0x2_0000;
    let range = |start, bytes| PhysRange::new(PhysAddr::new(start), bytes);
    let mut cpus = ArrayVec::new();
    let (mut distributor, mut interface) = (None, None);
    let mut redistributors = ArrayVec::new();
    madt::for_each(memory, root, |entry| match entry {
        madt::Entry::Cpu { affinity, interface: of_cpu, redistributor } => {
            let starts_by_psci = conduit != Conduit::None;
            let (answers, core) = (Answers::default(), Named::ANY);
            let _ = cpus.try_push(Cpu { affinity, starts_by_psci, place: None, answers, core });
            if of_cpu != 0 {
                interface = interface.or(Some(of_cpu));
            }
            if redistributor != 0 {
                let _ = redistributors.try_push(range(redistributor, REDISTRIBUTOR));
            }
        }
        madt::Entry::Distributor { address, version } => distributor = Some((address, version)),
        madt::Entry::Redistributors(region) => {
            let _ = redistributors.try_push(region);
        }
    });
    let interrupts = distributor.and_then(|(address, version)| {
        if matches!(version, 1 | 2) || redistributors.is_empty() {
            let distributor = range(address, DISTRIBUTOR);
            return Some(Interrupts::V2 { distributor, interface: range(interface?, INTERFACE) });
        }
        Some(Interrupts::V3 { distributor: range(address, DISTRIBUTOR_V3), redistributors })
    });
    (interrupts, cpus)
}
