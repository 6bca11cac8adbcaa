//! AArch64 kernels started as other loaders might: anywhere in memory, and with a device tree that tells of nothing good.

use anyhow::Result;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};

use super::Stage;
use super::boots::push;
use super::guest::Guest;
use super::queue::Queue;
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
const CPUS: [(&str, Change, &str); 3] = [
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
        let placement = Placement { image, tree: TREE, change };
        push(stage, queue, format!("boot/aarch64/{name}"), move || says(&guest, &placement));
    }
    for (name, change, message) in CPUS {
        let mut guest = guest()?;
        guest.machine.smp = 4;
        guest.append = HELLO.to_owned();
        let placement = Placement { image: IMAGE, tree: TREE, change };
        push(stage, queue, format!("boot/aarch64/{name}"), move || fails(&guest, &placement, message));
    }
    for (name, tree, change, message) in REFUSED {
        let guest = guest()?;
        let placement = Placement { image: IMAGE, tree, change };
        push(stage, queue, format!("boot/aarch64/{name}"), move || fails(&guest, &placement, message));
    }
    Ok(())
}

/// Words for the kernel's command line that make [`says`] content.
pub const HELLO: &str = r#"rdinit=/bin/sh -- -c "echo hello there""#;

/// Whether the shell ran. It is the only program, so the kernel then fails.
pub fn says(guest: &Guest, placement: &Placement) -> Result<Result<(), String>> {
    let (output, _) = guest.run_placed(placement)?;
    let output = String::from_utf8_lossy(&output);
    Ok(if output.contains("\nhello there") || output.starts_with("hello there") {
        Ok(())
    } else {
        Err(output.into_owned())
    })
}

/// Whether the kernel failed, as it does when its first program ends, having written `message`.
fn fails(guest: &Guest, placement: &Placement, message: &str) -> Result<Result<(), String>> {
    let (output, success) = guest.run_placed(placement)?;
    let output = String::from_utf8_lossy(&output);
    Ok(match success {
        Some(false) if output.contains(message) => Ok(()),
        Some(false) => Err(format!("{message} is not in\n{output}")),
        Some(true) => Err("QEMU ended with success".to_owned()),
        None => Err("the kernel hung".to_owned()),
    })
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
