//! What the device tree says about the machine, through the crate `dtoolkit`.
//!
//! Source: Devicetree Specification 0.4; bindings under Documentation/devicetree/bindings of Linux, named at each. A node
//! that is absent or odd leaves its device out; the machine is as good as its tree.
use super::psci::Conduit;
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::standard::NodeStandard;
use dtoolkit::{Node, Property};
use libkernel::addr::{PhysAddr, PhysRange};

/// The tree, checked once.
#[derive(Clone, Copy)]
pub struct DeviceTree(Fdt<'static>);

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
    /// Checks a tree; `None` if it is not one.
    pub fn new(blob: &'static [u8]) -> Option<Self> {
        Fdt::new(blob).ok().map(Self)
    }

    /// Every range of memory (`device_type = "memory"`).
    pub fn memory(&self) -> impl Iterator<Item = PhysRange> {
        let nodes = self.0.root().children().filter(|node| text(node, "device_type") == Some("memory"));
        nodes.flat_map(ranges)
    }

    /// Ranges that firmware keeps: the reservation block and `/reserved-memory`.
    pub fn reserved(&self) -> impl Iterator<Item = PhysRange> {
        let block = self.0.memory_reservations();
        let block = block.map(|entry| PhysRange::new(PhysAddr::new(entry.address()), entry.size()));
        let nodes = self.0.find_node("/reserved-memory").into_iter().flat_map(|node| node.children());
        block.chain(nodes.flat_map(ranges))
    }

    /// The first device with one of these `compatible` words.
    pub fn device(&self, compatible: &[&str]) -> Option<Device> {
        let node = self.node(compatible)?;
        let mut registers = ranges(node);
        let mut next = || registers.next().unwrap_or(NOWHERE);
        Some(Device { registers: [next(), next()], interrupt: interrupt(&node, 0) })
    }

    /// The virtual timer's interrupt: the third of the node's (timer/arm,arch_timer.yaml).
    pub fn virtual_timer_interrupt(&self) -> Option<u32> {
        interrupt(&self.node(&["arm,armv8-timer"])?, 2)
    }

    /// How firmware is called (arm/psci.yaml).
    pub fn psci_conduit(&self) -> Conduit {
        let node = self.node(&["arm,psci-1.0", "arm,psci-0.2", "arm,psci"]);
        match node.as_ref().and_then(|node| text(node, "method")) {
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
        bytes(&self.0.find_node("/chosen")?, name)
    }

    /// The first node, at the top or below a bus at the top, that is compatible with one of the words.
    fn node(&self, compatible: &[&str]) -> Option<FdtNode<'static>> {
        let matches = |node: &FdtNode<'static>| compatible.iter().any(|word| node.is_compatible(word));
        self.0.root().children().find(matches)
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
