//! What a device tree says about the machine.
//!
//! [`flat`] reads the format; this file knows the bindings (Linux, Documentation/devicetree/bindings, named at each). A
//! node that is absent, odd or disabled leaves its device out. Only devices at the top of the tree are looked at: below
//! them addresses would need translation.
pub mod flat;
#[cfg(test)]
mod tests;

use crate::addr::{PhysAddr, PhysRange};
use crate::arch::aarch64::errata::Answers;
use crate::arch::aarch64::speculation::cores::Named;
use crate::topology::CpuPosition;
use flat::{Damage, Node, Tree, has_string, number, word};

/// The tree, with the nodes that matter found in one pass.
#[derive(Clone, Copy, Debug)]
pub struct DeviceTree<'a> {
    tree: Tree<'a>,
    devices: [Option<Node<'a>>; KINDS.len()],
    chosen: Option<Node<'a>>,
    serial: Option<Node<'a>>,
}

/// What this kernel looks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// interrupt-controller/arm,gic.yaml: distributor, CPU interface.
    GicV2,
    /// interrupt-controller/arm,gic-v3.yaml: distributor, regions of redistributors.
    GicV3,
    /// arm/psci.yaml.
    Psci,
    /// rtc/arm,pl031.yaml.
    RealTimeClock,
    /// timer/arm,arch_timer.yaml.
    Timer,
}

/// The `compatible` words of each kind.
const KINDS: [(Kind, &[&str]); 5] = [
    (Kind::GicV2, &["arm,cortex-a15-gic", "arm,gic-400"]),
    (Kind::GicV3, &["arm,gic-v3"]),
    (Kind::Psci, &["arm,psci-1.0", "arm,psci-0.2"]),
    (Kind::RealTimeClock, &["arm,pl031"]),
    (Kind::Timer, &["arm,armv8-timer"]),
];

/// A serial port's registers (serial/pl011.yaml, serial/8250.yaml).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SerialModel {
    /// Arm's.
    Pl011,
    /// The one of PCs.
    Ns16550 {
        /// Register numbers are shifted so far.
        shift: u32,
        /// Registers are words rather than bytes.
        wide: bool,
    },
}

/// No number of an interrupt: the device has none that is known.
pub const NO_INTERRUPT: u32 = u32::MAX;

/// The serial port that is the console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SerialPort {
    /// Which kind it is.
    pub model: SerialModel,
    /// Where its registers are.
    pub registers: PhysRange,
    /// Its interrupt, or [`NO_INTERRUPT`].
    pub interrupt: u32,
    /// Whether an edge rather than a level signals that.
    pub is_edge: bool,
}

/// What a node is that calls itself `compatible`, if it is a serial port that this kernel knows. None that only a wider
/// bus reaches. All nodes of a tree are asked, and few are ports: what a port alone has is looked for last.
fn serial_model(node: Node<'_>, compatible: &[u8]) -> Option<SerialModel> {
    const SHIFT_MAX: u64 = 3;
    if has_string(compatible, "arm,pl011") {
        return node.is_enabled().then_some(SerialModel::Pl011);
    }
    let is_known = ["ns16550a", "ns16550"].iter().any(|known| has_string(compatible, known));
    if !is_known || !node.is_enabled() {
        return None;
    }
    let value = |name, or| node.property(name).map_or(Some(or), number);
    let (shift, width) = (value("reg-shift", 0)?, value("reg-io-width", 1)?);
    let is_usable = shift <= SHIFT_MAX && (width == 1 || width == 4 && shift >= 2);
    is_usable.then_some(SerialModel::Ns16550 { shift: shift as u32, wide: width == 4 })
}

/// How firmware is called (arm/psci.yaml, `method`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conduit {
    /// There is no PSCI.
    None,
    /// `hvc`.
    Hypervisor,
    /// `smc`.
    SecureMonitor,
}

/// A range of memory that the kernel must not hand out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reserved {
    /// Where it is.
    pub range: PhysRange,
    /// Whether not even a mapping may exist (`no-map`).
    pub unmapped: bool,
}

/// A CPU (arm/cpus.yaml).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cpu {
    /// The affinity fields of its MPIDR_EL1.
    pub affinity: u64,
    /// Whether PSCI starts it.
    pub starts_by_psci: bool,
    /// Where it sits, if the tree says that (cpu/cpu-topology.txt).
    pub place: Option<CpuPosition>,
    /// What a core of its name may need (`compatible`).
    pub answers: Answers,
    /// What it is called.
    pub core: Named,
}

/// A map of CPUs nests no deeper: package, cluster, core and thread, and clusters once in another.
const DEEPEST_MAP: usize = 6;

/// The place of the CPU with this `phandle` below a node of the map, which is at `place`.
fn find_place(node: Node<'_>, phandle: &[u8], place: CpuPosition, depth: usize) -> Option<CpuPosition> {
    if node.property("cpu") == Some(phandle) {
        return Some(place);
    }
    let depth = depth.checked_sub(1)?;
    node.children().find_map(|child| {
        let digits = child.name.iter().position(u8::is_ascii_digit)?;
        let (kind, number) = child.name.split_at(digits);
        let number = core::str::from_utf8(number).ok()?.parse().ok()?;
        let place = match kind {
            b"socket" => CpuPosition { package: number, ..place },
            b"cluster" => CpuPosition { cluster: number, ..place },
            b"core" => CpuPosition { core: number, ..place },
            b"thread" => CpuPosition { thread: number, ..place },
            _ => return None,
        };
        find_place(child, phandle, place, depth)
    })
}

impl<'a> DeviceTree<'a> {
    /// Looks through a tree.
    pub fn parse(blob: &'a [u8]) -> Result<Self, Damage> {
        let tree = Tree::parse(blob)?;
        let mut devices = [None; KINDS.len()];
        let (mut chosen, mut serial) = (None, None);
        for node in tree.root().children() {
            if node.name == b"chosen" {
                chosen = Some(node);
            }
            let Some(words) = node.property("compatible") else { continue };
            if serial.is_none() && serial_model(node, words).is_some() {
                serial = Some(node);
            }
            let is_kind = |(_, known): &(Kind, &[&str])| known.iter().any(|known| has_string(words, known));
            if let Some(which) = KINDS.iter().position(is_kind)
                && node.is_enabled()
            {
                devices[which].get_or_insert(node);
            }
        }
        let mut found = Self { tree, devices, chosen, serial };
        let is_port = |node: &Node<'a>| {
            node.property("compatible").is_some_and(|words| serial_model(*node, words).is_some())
        };
        if let Some(console) = found.standard_output().filter(is_port) {
            found.serial = Some(console);
        }
        Ok(found)
    }

    /// The node that firmware names as console, by path or alias (chosen.yaml, `stdout-path`).
    fn standard_output(&self) -> Option<Node<'a>> {
        let path = self.chosen?.property("stdout-path")?;
        let path = path.split(|&byte| matches!(byte, 0 | b':')).next()?;
        let root = self.tree.root();
        if path.starts_with(b"/") {
            return root.descendant(path);
        }
        let aliases = root.child(b"aliases")?;
        let alias = aliases.property(core::str::from_utf8(path).ok()?)?;
        root.descendant(alias.split(|&byte| byte == 0).next()?)
    }

    /// Calls `take` with every range of memory (`device_type = "memory"`), cut to `linux,usable-memory-range` where
    /// that is given.
    pub fn for_each_memory(&self, take: &mut impl FnMut(PhysRange)) {
        let is_memory =
            |node: &Node<'a>| node.property("device_type") == Some(b"memory\0") && node.is_enabled();
        for range in self.tree.root().children().filter(is_memory).flat_map(|node| ranges(node, "reg")) {
            let usable =
                || self.chosen.into_iter().flat_map(|node| ranges(node, "linux,usable-memory-range"));
            if usable().next().is_none() {
                take(range);
            }
            for usable in usable() {
                let part = PhysRange { start: range.start.max(usable.start), end: range.end.min(usable.end) };
                if part.start < part.end {
                    take(part);
                }
            }
        }
    }

    /// What firmware keeps: the reservation block and `/reserved-memory` (reserved-memory.yaml).
    pub fn reserved(&self) -> impl Iterator<Item = Reserved> {
        let block = self.tree.reservations().filter_map(|(start, size)| range(start, size));
        let block = block.map(|range| Reserved { range, unmapped: false });
        let nodes = self.tree.root().child(b"reserved-memory").into_iter().flat_map(|node| node.children());
        let nodes = nodes.filter(|node| node.is_enabled()).flat_map(|node| {
            let unmapped = node.property("no-map").is_some();
            ranges(node, "reg").map(move |range| Reserved { range, unmapped })
        });
        block.chain(nodes)
    }

    /// The CPUs, in the tree's order. One that failed its test is left out (2.3.4).
    pub fn cpus(&self) -> impl Iterator<Item = Cpu> {
        let cpus = self.tree.root().child(b"cpus");
        let map = cpus.and_then(|node| node.child(b"cpu-map"));
        let nodes = cpus.into_iter().flat_map(|node| node.children()).filter(|node| {
            let failed = node.property("status").is_some_and(|status| status.starts_with(b"fail"));
            node.property("device_type") == Some(b"cpu\0") && !failed
        });
        nodes.filter_map(move |node| {
            let (affinity, _) = node.ranges("reg").next()?;
            let starts_by_psci = node.property("enable-method").is_some_and(|list| has_string(list, "psci"));
            let phandle = node.property("phandle");
            let place = map
                .zip(phandle)
                .and_then(|(map, phandle)| find_place(map, phandle, CpuPosition::default(), DEEPEST_MAP));
            let names = node.property("compatible").unwrap_or_default();
            let core = Named::read(names);
            let answers = names
                .split(|byte| *byte == 0)
                .fold(Answers::default(), |all, name| all.with(Answers::of_name(name)));
            Some(Cpu { affinity, starts_by_psci, place, answers, core })
        })
    }

    /// The register ranges of the first device of a kind, as its `reg` lists them; none without the device.
    pub fn registers(&self, kind: Kind) -> impl Iterator<Item = PhysRange> {
        self.node(kind).into_iter().flat_map(|node| ranges(node, "reg"))
    }

    /// Whether there is a device of this kind.
    pub fn has(&self, kind: Kind) -> bool {
        self.node(kind).is_some()
    }

    /// How many ranges of redistributors a GICv3 has, behind the distributor's.
    pub fn redistributor_regions(&self) -> usize {
        let property = self.node(Kind::GicV3).and_then(|node| node.property("#redistributor-regions"));
        property.and_then(number).map_or(1, |regions| regions as usize)
    }

    /// The serial port that firmware names as console, or else the first.
    pub fn serial_port(&self) -> Option<SerialPort> {
        /// Flags of an interrupt: a rising or a falling edge (interrupt-controller/interrupts.txt).
        const EDGES: u32 = 0b11;
        let node = self.serial?;
        let flags = word(node.property("interrupts")?, 2 * 4)?;
        Some(SerialPort {
            model: serial_model(node, node.property("compatible")?)?,
            registers: ranges(node, "reg").next()?,
            interrupt: interrupt(node, 0)?,
            is_edge: flags & EDGES != 0,
        })
    }

    /// The virtual timer's interrupt: the one of that name, or else the third.
    pub fn virtual_timer_interrupt(&self) -> Option<u32> {
        const THIRD: usize = 2;
        let node = self.node(Kind::Timer)?;
        let named = node.property("interrupt-names").map(|names| {
            let mut names = names.split(|&byte| byte == 0);
            names.position(|name| name == b"virt")
        });
        interrupt(node, named.unwrap_or(Some(THIRD))?)
    }

    /// How firmware is called.
    pub fn psci_conduit(&self) -> Conduit {
        match self.node(Kind::Psci).and_then(|node| node.property("method")) {
            Some(b"hvc\0") => Conduit::Hypervisor,
            Some(b"smc\0") => Conduit::SecureMonitor,
            _ => Conduit::None,
        }
    }

    /// The command line, any bytes.
    pub fn command_line(&self) -> &'a [u8] {
        let value = self.chosen.and_then(|node| node.property("bootargs")).unwrap_or_default();
        value.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// The initramfs, between `linux,initrd-start` and `-end`.
    pub fn initramfs(&self) -> Option<PhysRange> {
        let bound = |name| self.chosen?.property(name).and_then(number);
        let (start, end) = (bound("linux,initrd-start")?, bound("linux,initrd-end")?);
        range(start, end.checked_sub(start)?)
    }

    fn node(&self, kind: Kind) -> Option<Node<'a>> {
        self.devices[position(kind)]
    }
}

/// Takes the random bytes that a loader left in `/chosen` (chosen.yaml, `kaslr-seed`, `rng-seed`), all of them folded
/// into 32, and writes zeros in their place: nobody else shall read them. The tree need not have been checked.
pub fn take_seed(blob: &mut [u8]) -> [u8; 32] {
    let mut seed = [0_u8; 32];
    let chosen = Tree::open(blob).ok().and_then(|tree| tree.root().child(b"chosen"));
    let places = ["kaslr-seed", "rng-seed"].map(|name| {
        let value = chosen.and_then(|node| node.property(name))?;
        Some((value.as_ptr().addr(), value.len()))
    });
    for (start, length) in places.into_iter().flatten() {
        let start = start - blob.as_ptr().addr();
        for (index, byte) in blob[start..start + length].iter_mut().enumerate() {
            // Turned before each round, so that equal halves do not cancel out.
            let slot = &mut seed[index % 32];
            *slot = slot.rotate_left(3) ^ core::mem::take(byte);
        }
    }
    seed
}

fn position(kind: Kind) -> usize {
    KINDS.iter().position(|(known, _)| *known == kind).unwrap_or_default()
}

/// The entries of `reg` or a property of its form that are addresses at all.
fn ranges<'a>(node: Node<'a>, name: &str) -> impl Iterator<Item = PhysRange> + use<'a> {
    node.ranges(name).filter_map(|(start, size)| range(start, size))
}

/// None if it is empty or does not end within 48 bits of address.
fn range(start: u64, size: u64) -> Option<PhysRange> {
    const LIMIT: u64 = 1 << 48;
    let end = start.checked_add(size).filter(|end| start < *end && *end <= LIMIT)?;
    Some(PhysRange { start: PhysAddr::new(start), end: PhysAddr::new(end) })
}

/// Interrupt number `which` of a node, in the GIC's three cells (interrupt-controller/arm,gic.yaml): kind, number,
/// flags.
fn interrupt(node: Node<'_>, which: usize) -> Option<u32> {
    const CELL: usize = 4;
    const SHARED: u32 = 0;
    let cells = node.property("interrupts")?;
    let entry = which.checked_mul(3 * CELL)?;
    let first = if word(cells, entry)? == SHARED { 32 } else { 16 };
    word(cells, entry + CELL)?.checked_add(first)
}
