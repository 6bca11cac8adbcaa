//! An AArch64 kernel put anywhere in memory, with a device tree that may have been changed: what other loaders do.
//!
//! QEMU writes the tree that it would have given the kernel. A second QEMU loads image, initramfs and tree as plain
//! bytes, and a few instructions that go to the image as the boot protocol says.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::DeviceTree;
use dtoolkit::{Node, Property};

use super::machine::Boot;
use crate::command;

/// Where `virt` has its memory. QEMU puts a tree of its own there.
pub const MEMORY: u64 = 0x4000_0000;
/// Where the first instructions are: no test puts anything else there.
const STUB: u64 = MEMORY + (4 << 20) - 4096;

/// What to make of a tree.
pub type Change = fn(&mut DeviceTree);

/// Where things are put.
#[derive(Clone, Copy)]
pub struct Placement {
    /// The image, at a multiple of 2 MiB.
    pub image: u64,
    /// The device tree, at a multiple of 8. With zero the kernel is given none.
    pub tree: u64,
    /// What to change in the tree.
    pub change: Change,
    /// What to write to devices first, as firmware would: addresses and words.
    pub firmware: &'static [(u64, u32)],
}

impl Placement {
    /// QEMU's command line. Files are made in `folder`.
    pub fn command(&self, boot: &Boot<'_>, folder: &Path) -> Result<Command> {
        let mut tree = dumped_tree(boot, folder)?;
        let initramfs = start_of_initramfs(&tree).context("QEMU's tree names no initramfs")?;
        (self.change)(&mut tree);
        let (stub, blob) = (folder.join("stub"), folder.join("tree"));
        std::fs::write(&blob, tree.to_dtb())?;
        std::fs::write(&stub, self.stub())?;
        let mut qemu = boot.empty_machine()?;
        load(&mut qemu, boot.kernel, self.image);
        load(&mut qemu, boot.initramfs, initramfs);
        if self.tree != 0 {
            load(&mut qemu, &blob, self.tree);
        }
        load(&mut qemu, &stub, STUB);
        qemu.args(["-device", &format!("loader,addr={STUB:#x},cpu-num=0")]);
        Ok(qemu)
    }

    /// What firmware does; then X0 = the tree, and to the image.
    fn stub(&self) -> Vec<u8> {
        const STORE_W2_AT_X1: u32 = 0xb900_0022;
        const BRANCH_X4: u32 = 0xd61f_0080;
        const NO_OPERATION: u32 = 0xd503_201f;
        let writes = self.firmware.iter().map(|&(address, word)| (address, u64::from(word)));
        let pairs: Vec<_> = writes.chain([(self.tree, self.image)]).collect();
        // Three instructions for each pair, and the pairs behind them.
        let code_words = (3 * pairs.len()).next_multiple_of(2);
        // LDR Xt from so many words ahead.
        let load = |register: u32, ahead: usize| 0x5800_0000 | (ahead as u32) << 5 | register;
        let mut code = Vec::new();
        for index in 0..pairs.len() {
            let is_last = index + 1 == pairs.len();
            let (first, second, last) = if is_last { (0, 4, BRANCH_X4) } else { (1, 2, STORE_W2_AT_X1) };
            let ahead = code_words + 4 * index - code.len();
            code.extend([load(first, ahead), load(second, ahead + 1), last]);
        }
        code.resize(code_words, NO_OPERATION);
        let data = pairs.iter().flat_map(|&(first, second)| [first, second]);
        code.iter().flat_map(|word| word.to_le_bytes()).chain(data.flat_map(u64::to_le_bytes)).collect()
    }
}

fn load(qemu: &mut Command, file: &Path, address: u64) {
    let device = format!("loader,file={},addr={address:#x},force-raw=on", file.display());
    qemu.args(["-device", &device]);
}

/// The tree of this very boot, as QEMU would have made it.
fn dumped_tree(boot: &Boot<'_>, folder: &Path) -> Result<DeviceTree> {
    let file: PathBuf = folder.join("dumped");
    let mut qemu = boot.command()?;
    qemu.args(["-machine", &format!("dumpdtb={}", file.display())]);
    let output = qemu.output().with_context(|| format!("cannot start {}", command::show(&qemu)))?;
    if !output.status.success() {
        bail!("QEMU wrote no device tree: {}", String::from_utf8_lossy(&output.stderr));
    }
    let bytes = std::fs::read(&file)?;
    let tree = Fdt::new(&bytes).map_err(|error| anyhow::anyhow!("QEMU's device tree: {error}"))?;
    Ok(DeviceTree::from_fdt(&tree))
}

fn start_of_initramfs(tree: &DeviceTree) -> Option<u64> {
    let chosen = tree.find_node("/chosen")?;
    let start = chosen.property("linux,initrd-start")?;
    Some(start.value().iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}
