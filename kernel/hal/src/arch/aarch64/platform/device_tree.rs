//! What the device tree says about the machine, through the crate `dtoolkit`.
//!
//! Source: Devicetree Specification 0.4; bindings under Documentation/devicetree/bindings of Linux, named at each. A node
//! that is absent or odd leaves its device out; the machine is as good as its tree. Only nodes at the top are looked at.
use super::psci::Conduit;
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use libkernel::addr::{PhysAddr, PhysRange};

/// The tree, with the nodes that matter found in one pass.
pub struct DeviceTree {
    tree: Fdt<'static>,
    devices: [Option<FdtNode<'static>>; KINDS.len()],
}

/// What this kernel looks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// arm,gic.yaml: distributor, CPU interface.
    GicV2,
    /// arm,gic-v3.yaml: distributor, redistributors.
    GicV3,
    /// arm/psci.yaml.
    Psci,
    /// rtc/arm,pl031.yaml.
    RealTimeClock,
    /// serial/pl011.yaml.
    Serial,
    /// timer/arm,arch_timer.yaml.
    Timer,
}

/// The `compatible` words of each kind.
const KINDS: [(Kind, &[&str]); 6] = [
    (Kind::GicV2, &["arm,cortex-a15-gic", "arm,gic-400"]),
    (Kind::GicV3, &["arm,gic-v3"]),
    (Kind::Psci, &["arm,psci-1.0", "arm,psci-0.2"]),
    (Kind::RealTimeClock, &["arm,pl031"]),
    (Kind::Serial, &["arm,pl011"]),
    (Kind::Timer, &["arm,armv8-timer"]),
];

/// A device: its register ranges (absent ones are empty) and its first interrupt at the controller.
#[derive(Clone, Copy, Debug)]
pub struct Device {
    /// As `reg` lists them.
    pub registers: [PhysRange; 2],
    /// The controller's own number.
    pub interrupt: Option<u32>,
}

const NOWHERE: PhysRange = PhysRange { start: PhysAddr::new(0), end: PhysAddr::new(0) };

impl DeviceTree {
    /// Looks through a tree. One that is damaged behind its header ends in a panic.
    pub fn new(blob: &'static [u8]) -> Self {
        let tree = Fdt::new_unchecked(blob);
        let mut devices = [None; KINDS.len()];
        for node in tree.root().children() {
            let Some(words) = bytes(&node, "compatible") else { continue };
            let is_one_of = |known: &[&str]| {
                words.split(|&byte| byte == 0).any(|word| known.iter().any(|known| known.as_bytes() == word))
            };
            if let Some(which) = KINDS.iter().position(|(_, known)| is_one_of(known)) {
                devices[which].get_or_insert(node);
            }
        }
        Self { tree, devices }
    }

    /// Every range of memory (`device_type = "memory"`).
    pub fn memory(&self) -> impl Iterator<Item = PhysRange> {
        let is_memory = |node: &FdtNode<'static>| text(node, "device_type") == Some("memory");
        self.tree.root().children().filter(is_memory).flat_map(ranges)
    }

    /// Ranges that firmware keeps: the reservation block and `/reserved-memory`.
    pub fn reserved(&self) -> impl Iterator<Item = PhysRange> {
        let block = self.tree.memory_reservations();
        let block = block.map(|entry| PhysRange::new(PhysAddr::new(entry.address()), entry.size()));
        let nodes = self.tree.find_node("/reserved-memory").into_iter().flat_map(|node| node.children());
        block.chain(nodes.flat_map(ranges))
    }

    /// The first device of a kind.
    pub fn device(&self, kind: Kind) -> Option<Device> {
        let node = self.node(kind)?;
        let mut registers = ranges(node);
        let mut next = || registers.next().unwrap_or(NOWHERE);
        Some(Device { registers: [next(), next()], interrupt: interrupt(&node, 0) })
    }

    /// The virtual timer's interrupt, the third of the node's.
    pub fn virtual_timer_interrupt(&self) -> Option<u32> {
        interrupt(&self.node(Kind::Timer)?, 2)
    }

    /// How firmware is called.
    pub fn psci_conduit(&self) -> Conduit {
        match self.node(Kind::Psci).as_ref().and_then(|node| text(node, "method")) {
            Some("hvc") => Conduit::Hypervisor,
            Some("smc") => Conduit::SecureMonitor,
            _ => Conduit::None,
        }
    }

    /// The command line, any bytes.
    pub fn command_line(&self) -> &'static [u8] {
        let value = self.chosen("bootargs").unwrap_or_default();
        value.strip_suffix(&[0]).unwrap_or(value)
    }

    /// The initramfs, between `linux,initrd-start` and `-end`.
    pub fn initramfs(&self) -> Option<PhysRange> {
        let bound = |name| self.chosen(name).and_then(number);
        let (start, end) = (bound("linux,initrd-start")?, bound("linux,initrd-end")?);
        (start < end).then(|| PhysRange::new(PhysAddr::new(start), end - start))
    }

    fn chosen(&self, name: &str) -> Option<&'static [u8]> {
        bytes(&self.tree.find_node("/chosen")?, name)
    }

    fn node(&self, kind: Kind) -> Option<FdtNode<'static>> {
        let which = KINDS.iter().position(|(known, _)| *known == kind)?;
        self.devices[which]
    }
}

/// The ranges of a node's `reg`, in its parent's cells. Only devices at the top are looked at, so no bus translates them.
fn ranges(node: FdtNode<'static>) -> impl Iterator<Item = PhysRange> {
    let entries = node.reg().ok().flatten();
    entries
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(PhysRange::new(PhysAddr::new(entry.address().ok()?), entry.size().ok()?)))
}

/// Interrupt number `which` of a node, in the GIC's three cells (interrupt-controller/arm,gic.yaml): kind, number, flags.
fn interrupt(node: &FdtNode<'static>, which: usize) -> Option<u32> {
    const CELLS: usize = 3;
    const SHARED: u32 = 0;
    let cells = bytes(node, "interrupts")?;
    let cell = |index: usize| -> Option<u32> {
        let cell = cells.get(index * 4..index * 4 + 4)?;
        Some(u32::from_be_bytes(cell.try_into().ok()?))
    };
    let number = cell(which * CELLS + 1)?;
    let first = if cell(which * CELLS)? == SHARED { 32 } else { 16 };
    number.checked_add(first)
}

fn text(node: &FdtNode<'static>, name: &str) -> Option<&'static str> {
    core::ffi::CStr::from_bytes_until_nul(bytes(node, name)?).ok()?.to_str().ok()
}

fn bytes(node: &FdtNode<'static>, name: &str) -> Option<&'static [u8]> {
    node.property(name)?.value_as().ok()
}

/// A number of one or two cells.
fn number(value: &[u8]) -> Option<u64> {
    match value.len() {
        4 => Some(u32::from_be_bytes(value.try_into().ok()?).into()),
        8 => Some(u64::from_be_bytes(value.try_into().ok()?)),
        _ => None,
    }
}
