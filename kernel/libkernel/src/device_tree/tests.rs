//! Tests of the device tree on trees written by another crate, whole and damaged.
use super::flat::{Damage, Tree};
use super::*;
use dtoolkit::memreserve::MemoryReservation;
use dtoolkit::model::{DeviceTree as Model, DeviceTreeNode, DeviceTreeProperty};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// A property of words.
fn words(name: &str, words: &[u32]) -> DeviceTreeProperty {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    DeviceTreeProperty::new_unchecked(name, bytes.as_slice())
}

/// A property of bytes.
fn bytes(name: &str, value: &[u8]) -> DeviceTreeProperty {
    DeviceTreeProperty::new_unchecked(name, value)
}

fn node(name: &str, properties: Vec<DeviceTreeProperty>, children: Vec<DeviceTreeNode>) -> DeviceTreeNode {
    let mut node = DeviceTreeNode::new_unchecked(name);
    properties.into_iter().for_each(|property| node.add_property(property));
    children.into_iter().for_each(|child| node.add_child(child));
    node
}

fn two_cells() -> Vec<DeviceTreeProperty> {
    vec![words("#address-cells", &[2]), words("#size-cells", &[2])]
}

fn blob(children: Vec<DeviceTreeNode>) -> Vec<u8> {
    let mut tree = Model::new();
    tree.root = node("", two_cells(), children);
    tree.memory_reservations = vec![MemoryReservation::new(0x4000_0000, 0x1000)];
    tree.to_dtb()
}

fn memory(start: u64, size: u64, more: Vec<DeviceTreeProperty>) -> DeviceTreeNode {
    let reg = [(start >> 32) as u32, start as u32, (size >> 32) as u32, size as u32];
    let mut properties = vec![bytes("device_type", b"memory\0"), words("reg", &reg)];
    properties.extend(more);
    node(&std::format!("memory@{start:x}"), properties, vec![])
}

fn serial(address: u32, more: Vec<DeviceTreeProperty>) -> DeviceTreeNode {
    let mut properties = vec![
        bytes("compatible", b"arm,pl011\0arm,primecell\0"),
        words("reg", &[0, address, 0, 0x1000]),
        words("interrupts", &[0, 1, 4]),
    ];
    properties.extend(more);
    node(&std::format!("pl011@{address:x}"), properties, vec![])
}

fn cpu(affinity: &[u32], more: Vec<DeviceTreeProperty>) -> DeviceTreeNode {
    let mut properties =
        vec![bytes("device_type", b"cpu\0"), words("reg", affinity), bytes("enable-method", b"psci\0")];
    properties.extend(more);
    node(&std::format!("cpu@{:x}", affinity.last().unwrap()), properties, vec![])
}

fn range_of(start: u64, size: u64) -> PhysRange {
    PhysRange::new(PhysAddr::new(start), size)
}

fn all_memory(tree: &DeviceTree<'_>) -> Vec<PhysRange> {
    let mut all = Vec::new();
    tree.for_each_memory(&mut |range| all.push(range));
    all
}

/// Something of everything.
fn machine() -> Vec<u8> {
    let chosen = vec![
        bytes("bootargs", b"console=ttyAMA0 quiet\0"),
        words("linux,initrd-start", &[0x4800_0000]),
        words("linux,initrd-end", &[0, 0x4810_0000]),
        bytes("kaslr-seed", &[0xa5; 8]),
        bytes("rng-seed", &[0x3c; 40]),
        bytes("stdout-path", b"console:115200n8\0"),
    ];
    let firmware = node("firmware@50000000", vec![words("reg", &[0, 0x5000_0000, 0, 0x10_0000])], vec![]);
    let secure = vec![words("reg", &[0, 0x6000_0000, 0, 0x1000]), bytes("no-map", &[])];
    let mut cpus = vec![words("#address-cells", &[2]), words("#size-cells", &[0])];
    cpus.push(bytes("a-name-that-is-longer-than-the-specification-likes", &[]));
    let failed = vec![bytes("status", b"fail-sss\0")];
    blob(vec![
        node(
            "psci",
            vec![bytes("compatible", b"arm,psci-1.0\0arm,psci\0"), bytes("method", b"smc\0")],
            vec![],
        ),
        memory(0x4000_0000, 0x1000_0000, vec![]),
        memory(0xe00_0000, 0x100_0000, vec![bytes("status", b"disabled\0")]),
        memory(0x1_0000_0000, 0x1_0000_0000, vec![]),
        serial(0x904_0000, vec![bytes("status", b"disabled\0")]),
        serial(0x900_0000, vec![]),
        serial(0x905_0000, vec![]),
        node("aliases", vec![bytes("console", b"/pl011@9050000\0")], vec![]),
        node("reserved-memory", two_cells(), vec![firmware, node("secure@60000000", secure, vec![])]),
        node("cpus", cpus, vec![cpu(&[0, 0], vec![]), cpu(&[1, 0x102], vec![]), cpu(&[0, 3], failed)]),
        node("chosen", chosen, vec![]),
        node(
            "intc",
            vec![
                bytes("compatible", b"arm,gic-v3\0"),
                words("#redistributor-regions", &[2]),
                words("reg", &[0, 0x800_0000, 0, 0x1_0000, 0, 0x80a_0000, 0, 0x4_0000, 1, 0, 0, 0x4_0000]),
            ],
            vec![],
        ),
        node(
            "timer",
            vec![
                bytes("compatible", b"arm,armv8-timer\0"),
                words("interrupts", &[1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4]),
            ],
            vec![],
        ),
    ])
}

#[test]
fn cpus_have_places() {
    let leaf = |name: &str, phandle: u32| node(name, vec![words("cpu", &[phandle])], vec![]);
    let map = |children| node("cpu-map", vec![], children);
    let of = |name: &str, children| node(name, vec![], children);
    let tree = |map| {
        let numbered = |affinity: u32| cpu(&[0, affinity], vec![words("phandle", &[0x8000 + affinity])]);
        let mut children: Vec<_> = (0..3).map(numbered).collect();
        children.push(map);
        blob(vec![node("cpus", vec![words("#address-cells", &[2]), words("#size-cells", &[0])], children)])
    };
    let places =
        |blob: &[u8]| -> Vec<_> { DeviceTree::parse(blob).unwrap().cpus().map(|cpu| cpu.place).collect() };
    let place = |package, cluster, core, thread| Some(CpuPosition { package, cluster, core, thread });
    let second = of("socket1", vec![of("cluster12", vec![of("core3", vec![leaf("thread1", 0x8002)])])]);
    let first = of("socket0", vec![of("cluster0", vec![leaf("core0", 0x8000)])]);
    let found = places(&tree(map(vec![first, second])));
    assert_eq!(found, [place(0, 0, 0, 0), None, place(1, 12, 3, 1)]);
    // Old trees have no packages.
    let found = places(&tree(map(vec![of("cluster1", vec![leaf("core2", 0x8001)])])));
    assert_eq!(found, [None, place(0, 1, 2, 0), None]);
    // And a map that never ends is left at some depth.
    let deep = (0..40).fold(leaf("core0", 0x8000), |inner, _| of("cluster0", vec![inner]));
    assert_eq!(places(&tree(map(vec![deep])))[0], None);
}

/// The port of a machine that has only this node.
fn only_port(properties: Vec<DeviceTreeProperty>) -> Option<SerialPort> {
    let mut all = vec![words("reg", &[0, 0x4000_2000, 0, 0x1000]), words("interrupts", &[0, 2, 1])];
    all.extend(properties);
    DeviceTree::parse(&blob(vec![node("uart@40002000", all, vec![])])).unwrap().serial_port()
}

#[test]
fn a_16550_is_a_console_in_every_form() {
    let known = |properties: Vec<DeviceTreeProperty>| {
        let mut all = vec![bytes("compatible", b"ns16550a\0")];
        all.extend(properties);
        only_port(all).map(|port| (port.model, port.interrupt, port.is_edge))
    };
    let port = |shift, wide| Some((SerialModel::Ns16550 { shift, wide }, 34, true));
    assert_eq!(known(vec![]), port(0, false));
    assert_eq!(known(vec![words("reg-shift", &[2]), words("reg-io-width", &[4])]), port(2, true));
    assert_eq!(known(vec![words("reg-shift", &[2])]), port(2, false));
    for unknown in [words("reg-io-width", &[4]), words("reg-io-width", &[2]), words("reg-shift", &[9])] {
        assert_eq!(known(vec![unknown]), None);
    }
    assert_eq!(known(vec![bytes("status", b"disabled\0")]), None);
    assert_eq!(only_port(vec![bytes("compatible", b"snps,dw-apb-uart\0")]), None);
}

#[test]
fn a_whole_machine_is_read() {
    let blob = machine();
    let tree = DeviceTree::parse(&blob).unwrap();
    let pieces = [range_of(0x4000_0000, 0x1000_0000), range_of(0x1_0000_0000, 0x1_0000_0000)];
    assert_eq!(all_memory(&tree), pieces);
    let reserved: Vec<_> = tree.reserved().map(|it| (it.range.start.as_u64(), it.unmapped)).collect();
    assert_eq!(reserved, [(0x4000_0000, false), (0x5000_0000, false), (0x6000_0000, true)]);
    let cpus: Vec<_> = tree.cpus().map(|cpu| (cpu.affinity, cpu.starts_by_psci)).collect();
    assert_eq!(cpus, [(0, true), (0x1_0000_0102, true)]);
    assert_eq!(tree.command_line(), b"console=ttyAMA0 quiet");
    assert_eq!(tree.initramfs(), Some(range_of(0x4800_0000, 0x10_0000)));
    assert_eq!(tree.psci_conduit(), Conduit::SecureMonitor);
    let registers = range_of(0x905_0000, 0x1000);
    let serial = SerialPort { model: SerialModel::Pl011, registers, interrupt: 33, is_edge: false };
    assert_eq!(tree.serial_port(), Some(serial));
    assert_eq!(tree.registers(Kind::GicV3).nth(2), Some(range_of(0x1_0000_0000, 0x4_0000)));
    assert_eq!(tree.redistributor_regions(), 2);
    assert_eq!(tree.virtual_timer_interrupt(), Some(27));
    assert!(!tree.has(Kind::GicV2) && tree.registers(Kind::RealTimeClock).next().is_none());
}

#[test]
fn a_timer_may_name_its_interrupts() {
    let timer = |names: &[u8]| {
        let interrupts = words("interrupts", &[1, 14, 4, 1, 11, 4]);
        let properties =
            vec![bytes("compatible", b"arm,armv8-timer\0"), interrupts, bytes("interrupt-names", names)];
        let blob = blob(vec![node("timer", properties, vec![])]);
        DeviceTree::parse(&blob).unwrap().virtual_timer_interrupt()
    };
    assert_eq!(timer(b"phys\0virt\0"), Some(27));
    assert_eq!(timer(b"sec-phys\0phys\0"), None);
}

#[test]
fn memory_is_cut_to_what_is_usable() {
    let usable = words("linux,usable-memory-range", &[0, 0x4800_0000, 1, 0]);
    let blob = blob(vec![
        memory(0x4000_0000, 0x1000_0000, vec![]),
        memory(0x2_0000_0000, 0x1000, vec![]),
        node("chosen", vec![usable], vec![]),
    ]);
    assert_eq!(all_memory(&DeviceTree::parse(&blob).unwrap()), [range_of(0x4800_0000, 0x800_0000)]);
}

#[test]
fn ranges_that_are_no_addresses_are_left_out() {
    let blob = blob(vec![
        memory(u64::MAX - 10, 0x1000, vec![]),
        memory(0x4000_0000, 0, vec![]),
        memory(1 << 48, 1, vec![]),
    ]);
    assert_eq!(all_memory(&DeviceTree::parse(&blob).unwrap()), []);
}

#[test]
fn a_seed_is_taken_once() {
    let mut blob = machine();
    let (before, seed) = (blob.clone(), take_seed(&mut blob));
    assert!(seed.iter().all(|&byte| byte != 0) && seed[0] != seed[31]);
    assert_eq!(take_seed(&mut blob), [0; 32]);
    assert_eq!(before.iter().zip(&blob).filter(|(old, new)| old != new).count(), 48);
    assert_eq!(DeviceTree::parse(&blob).unwrap().command_line(), b"console=ttyAMA0 quiet");
}

#[test]
fn what_is_no_tree_is_refused() {
    let blob = machine();
    assert_eq!(Tree::parse(&[]).unwrap_err(), Damage::Magic);
    assert_eq!(Tree::parse(&blob[1..]).unwrap_err(), Damage::Magic);
    assert_eq!(Tree::parse(&blob[..blob.len() - 1]).unwrap_err(), Damage::Blocks);
    let changed = |at: usize, value: u8| {
        let mut blob = blob.clone();
        blob[at] = value;
        Tree::parse(&blob).unwrap_err()
    };
    assert_eq!(changed(23, 16), Damage::Version);
    assert_eq!(changed(12, 1), Damage::Blocks);
    let structure = word(&blob, 8).unwrap() as usize;
    assert_eq!(changed(structure + 3, 2), Damage::Structure);
}

/// Asks for everything; the answers do not matter.
fn read_all(blob: &mut [u8]) {
    take_seed(blob);
    let Ok(tree) = DeviceTree::parse(blob) else { return };
    let _ = (all_memory(&tree), tree.reserved().count(), tree.cpus().count());
    let _ = (tree.command_line(), tree.initramfs(), tree.psci_conduit(), tree.virtual_timer_interrupt());
    let _ = tree.redistributor_regions();
    for (kind, _) in KINDS {
        let _ = (tree.registers(kind).count(), tree.serial_port(), tree.has(kind));
    }
}

proptest! {
    #[test]
    fn damage_never_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut blob = machine();
        for (index, value) in changes {
            let at = index.index(blob.len());
            blob[at] = value;
        }
        read_all(&mut blob);
    }

    #[test]
    fn odd_words_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 1..8)) {
        let mut blob = machine();
        for (index, value) in changes {
            let at = index.index(blob.len() / 4) * 4;
            blob[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        read_all(&mut blob);
    }

    #[test]
    fn a_cut_tree_never_panics(length in any::<prop::sample::Index>()) {
        let mut blob = machine();
        blob.truncate(length.index(blob.len()));
        read_all(&mut blob);
    }
}
