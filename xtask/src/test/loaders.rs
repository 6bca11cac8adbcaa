//! AArch64 kernels started as other loaders might: anywhere in memory, and with a device tree that tells of nothing
//! good.

use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use anyhow::{Result, anyhow};
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};

use super::Stage;
use super::boots::push;
use super::guest::Guest;
use super::queue::Queue;
use crate::run::control;
use crate::run::placement::{Change, MEMORY, Placement};

/// A tree that crosses a boundary of 2 MiB.
const TREE: u64 = MEMORY + (0x7e << 20) - 4096;
const IMAGE: u64 = MEMORY + (16 << 20);

/// Trees with which the kernel must end with a failing status, having said why.
const REFUSED: [(&str, u64, Change, &str); 4] = [
    ("no memory", TREE, without_memory, "lists no memory"),
    ("no known interrupt controller", TREE, without_interrupts, "no interrupt controller"),
    ("an initramfs outside of memory", TREE, with_lost_initramfs, "the initramfs lies outside of memory"),
    // Nothing says where the console is.
    ("no device tree", 0, |_| {}, ""),
];

/// Changes of a tree of four CPUs, and how many then run. A CPU of which the firmware does not know is left out.
const CPUS: [(&str, Change, &str); 4] = [
    ("memory beyond the direct map", with_far_memory, "lacks addresses for all of its memory"),
    ("CPUs with addresses of two cells", with_two_cells, "CPUs: 4\r"),
    ("a CPU that is not there", with_a_phantom, "CPU 0x500 could not be started; it is left out"),
    ("a CPU that failed its test", with_a_failed_one, "CPUs: 3\r"),
];

/// Adds all of them to `queue`.
pub fn add<'a>(stage: &'a Stage<'_>, queue: &Queue<'a>, guest: &dyn Fn() -> Result<Guest>) -> Result<()> {
    let places: [(&str, u64, Change); 2] =
        [("an image above 4 GiB", 4 << 30, |_| {}), ("memory in pieces", IMAGE, with_memory_in_pieces)];
    for (name, image, change) in places {
        let mut guest = guest()?;
        guest.machine.memory = Some(4096);
        guest.append = HELLO.to_owned();
        let placement = Placement { image, tree: TREE, change, firmware: &[] };
        push(stage, queue, format!("boot/aarch64/{name}"), move || says(&guest, &placement));
    }
    for (name, change, message) in CPUS {
        let mut guest = guest()?;
        guest.machine.smp = 4;
        guest.append = HELLO.to_owned();
        let placement = Placement { image: IMAGE, tree: TREE, change, firmware: &[] };
        push(stage, queue, format!("boot/aarch64/{name}"), move || fails(&guest, &placement, message));
    }
    for (name, tree, change, message) in REFUSED {
        let guest = guest()?;
        let placement = Placement { image: IMAGE, tree, change, firmware: &[] };
        push(stage, queue, format!("boot/aarch64/{name}"), move || fails(&guest, &placement, message));
    }
    let mut guest = guest()?;
    // A bridge with few addresses, below 4 GiB.
    guest.machine.machine_options = Some("highmem=off".to_owned());
    guest.append = r#"rdinit=/bin/sh -- -c "read first; read second; echo got $second; mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys; ls -l /dev/ttyS0; cat /proc/consoles /sys/class/tty/console/active /sys/dev/char/4:64/uevent""#.to_owned();
    push(stage, queue, "boot/aarch64/a console of another kind".to_owned(), move || talks_by_16550(&guest));
    Ok(())
}

/// QEMU's PCI bridge with `highmem=off`: configuration space, and I/O ports in memory (`hw/arm/virt.c`). The card sits
/// in slot 1.
const CONFIGURATION: u64 = 0x3f00_0000 + (1 << 15);
const PORTS: u64 = 0x3eff_0000;
const CARD: u64 = 0x1000;

/// A 16550 as Firecracker's and crosvm's trees have it: a PCI card, brought up as firmware would, and named in the tree
/// in place of the machine's own port.
fn talks_by_16550(guest: &Guest) -> Result<Result<(), String>> {
    /// The card's ports, and that it answers to them.
    const FIRMWARE: &[(u64, u32)] = &[(CONFIGURATION + 0x10, CARD as u32), (CONFIGURATION + 4, 1)];
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("card");
    let arguments = [
        "-chardev".to_owned(),
        format!("socket,id=card,path={},server=on,wait=on", socket.display()),
        "-device".to_owned(),
        "pci-serial,chardev=card,addr=1".to_owned(),
    ];
    let placement = Placement { image: IMAGE, tree: TREE, change: with_16550, firmware: FIRMWARE };
    let output = std::thread::scope(|scope| {
        let card = scope.spawn(|| converse(&socket));
        guest.run_placed(&placement, &arguments)?;
        card.join().map_err(|_| anyhow!("nobody talked to the card"))?
    })?;
    // Node, console and device have the names that Linux gives to a 16550.
    let said = ["got ab", "4,  64", "\r\nttyS0 ", "4:64\r\nttyS0\r\nMAJOR=4\r\nMINOR=64\r\nDEVNAME=ttyS0"];
    Ok(if said.iter().all(|words| output.contains(words)) { Ok(()) } else { Err(output) })
}

/// Types lines into QEMU's socket, more than the kernel loses when it empties the port at its start, and reads all that
/// comes.
fn converse(socket: &Path) -> Result<String> {
    let mut card = control::connect(socket)?;
    card.write_all("ab\n".repeat(100).as_bytes())?;
    let mut heard = Vec::new();
    match card.read_to_end(&mut heard) {
        // A guest that ends before it has read all lines ends the conversation so.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => drop(other?),
    }
    Ok(String::from_utf8_lossy(&heard).into_owned())
}

fn with_16550(tree: &mut DeviceTree) {
    tree.root.remove_child("pl011@9000000");
    let mut node = DeviceTreeNode::new_unchecked("uart@3eff1000");
    node.add_property(DeviceTreeProperty::new_unchecked("compatible", "ns16550a"));
    node.add_property(reg(PORTS + CARD, 8));
    // The bridge's second line, a level.
    let cells: Vec<u8> = [0_u32, 4, 4].iter().flat_map(|cell| cell.to_be_bytes()).collect();
    node.add_property(DeviceTreeProperty::new_unchecked("interrupts", cells.as_slice()));
    tree.root.add_child(node);
    if let Some(chosen) = tree.find_node_mut("/chosen") {
        chosen.add_property(DeviceTreeProperty::new_unchecked("stdout-path", "/uart@3eff1000"));
    }
}

/// Words for the kernel's command line that make [`says`] content.
pub const HELLO: &str = r#"rdinit=/bin/sh -- -c "echo hello there""#;

/// Whether the shell ran. It is the only program, so the kernel then fails.
pub fn says(guest: &Guest, placement: &Placement) -> Result<Result<(), String>> {
    let (output, _) = guest.run_placed(placement, &[])?;
    let output = String::from_utf8_lossy(&output);
    Ok(if output.contains("\nhello there") || output.starts_with("hello there") {
        Ok(())
    } else {
        Err(output.into_owned())
    })
}

/// Whether the kernel failed, as it does when its first program ends, having written `message`.
fn fails(guest: &Guest, placement: &Placement, message: &str) -> Result<Result<(), String>> {
    let (output, success) = guest.run_placed(placement, &[])?;
    let output = String::from_utf8_lossy(&output);
    Ok(match success {
        Some(false) if output.contains(message) => Ok(()),
        Some(false) => Err(format!("{message} is not in\n{output}")),
        Some(true) => Err("QEMU ended with success".to_owned()),
        None => Err("the kernel hung".to_owned()),
    })
}

/// More memory, where the kernel has its stacks if it takes it for what it can map.
fn with_far_memory(tree: &mut DeviceTree) {
    let mut node = DeviceTreeNode::new_unchecked("memory@c00000000000");
    node.add_property(DeviceTreeProperty::new_unchecked("device_type", "memory"));
    node.add_property(reg(0xc000_0000_0000, 0x4000_0000));
    tree.root.add_child(node);
}

fn without_memory(tree: &mut DeviceTree) {
    tree.root.remove_child("memory@40000000");
}

fn without_interrupts(tree: &mut DeviceTree) {
    tree.root.remove_child("intc@8000000");
}

fn with_lost_initramfs(tree: &mut DeviceTree) {
    let Some(chosen) = tree.find_node_mut("/chosen") else { return };
    for (name, address) in [("linux,initrd-start", 1_u64 << 40), ("linux,initrd-end", (1 << 40) + 4096)] {
        chosen.add_property(DeviceTreeProperty::new_unchecked(name, address));
    }
}

fn with_two_cells(tree: &mut DeviceTree) {
    let Some(cpus) = tree.find_node_mut("/cpus") else { return };
    cpus.add_property(DeviceTreeProperty::new_unchecked("#address-cells", 2_u32));
    for cpu in 0..4_u64 {
        if let Some(node) = cpus.child_mut(&format!("cpu@{cpu}")) {
            node.add_property(DeviceTreeProperty::new_unchecked("reg", cpu));
        }
    }
}

fn with_a_phantom(tree: &mut DeviceTree) {
    let Some(cpus) = tree.find_node_mut("/cpus") else { return };
    let Some(mut phantom) = cpus.remove_child("cpu@2") else { return };
    phantom.add_property(DeviceTreeProperty::new_unchecked("reg", 0x500_u32));
    cpus.add_child(phantom);
}

fn with_a_failed_one(tree: &mut DeviceTree) {
    if let Some(cpu) = tree.find_node_mut("/cpus/cpu@1") {
        cpu.add_property(DeviceTreeProperty::new_unchecked("status", "fail"));
    }
}

/// Four nodes instead of one, in disorder: two overlap, one begins and ends within a page; and reserved memory between.
fn with_memory_in_pieces(tree: &mut DeviceTree) {
    without_memory(tree);
    let pieces = [
        (0x8000_0000, 0x2000_0000),
        (MEMORY, 0x3000_0000),
        (0x6000_0000, 0x1fff_f000),
        (0x9000_0800, 0x4000_0000),
    ];
    for (start, size) in pieces {
        let mut node = DeviceTreeNode::new_unchecked(format!("memory@{start:x}"));
        node.add_property(DeviceTreeProperty::new_unchecked("device_type", "memory"));
        node.add_property(reg(start, size));
        tree.root.add_child(node);
    }
    let mut reserved = DeviceTreeNode::new_unchecked("reserved-memory");
    for name in ["#address-cells", "#size-cells"] {
        reserved.add_property(DeviceTreeProperty::new_unchecked(name, 2_u32));
    }
    for index in 0..20 {
        let start = 0x6000_0000 + index * 0x10_1000;
        let mut node = DeviceTreeNode::new_unchecked(format!("kept@{start:x}"));
        node.add_property(reg(start, 0x3000));
        if index % 4 == 0 {
            node.add_property(DeviceTreeProperty::new_unchecked("no-map", [0_u8; 0]));
        }
        reserved.add_child(node);
    }
    tree.root.add_child(reserved);
}

fn reg(start: u64, size: u64) -> DeviceTreeProperty {
    let bytes: Vec<u8> = [start, size].iter().flat_map(|word| word.to_be_bytes()).collect();
    DeviceTreeProperty::new_unchecked("reg", bytes.as_slice())
}
