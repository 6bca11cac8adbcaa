//! How much memory a guest needs for its initramfs.
//!
//! The archive lies in memory while its files are made beside it, and files may take half of the rest at most (Linux,
//! `tmpfs.rst`).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::machine::MachineOptions;

const MIB: u64 = 1 << 20;
/// What a kernel and a few programs need besides.
const REST: u64 = 64 * MIB;
/// How much an archive grows when it is unpacked, where its format does not say.
const USUAL_GROWTH: u64 = 4;

/// `machine` with memory for an initramfs of the file `base` and `added` bytes besides that are not compressed: more
/// than usual if need be. Memory that was asked for and is too little is an error.
pub fn fit(machine: &MachineOptions, base: &Path, added: u64) -> Result<MachineOptions> {
    let stored = base.metadata().with_context(|| format!("cannot read {}", base.display()))?.len();
    let (length, unpacked) = (stored + added, unpacked_length(base, stored)? + added);
    let needed = length + 2 * unpacked + unpacked / 8 + REST;
    let needed = u32::try_from(needed.div_ceil(MIB))?.next_multiple_of(64);
    let mut machine = machine.clone();
    match machine.memory {
        Some(memory) if memory < needed && length > REST => bail!(
            "an initramfs of {} MiB needs --memory {needed} or so, and the guest is to have {memory} MiB",
            length / MIB
        ),
        None if machine.memory() < needed => {
            eprintln!("memory: {needed} MiB, as the initramfs has {} MiB", length / MIB);
            machine.memory = Some(needed);
        }
        _ => {}
    }
    Ok(machine)
}

/// What a file of `length` bytes becomes.
fn unpacked_length(file: &Path, length: u64) -> Result<u64> {
    let mut file = File::open(file)?;
    let mut start = [0; 2];
    if length < 4 || file.read(&mut start)? < start.len() || start == *b"07" {
        return Ok(length);
    }
    // gzip, RFC 1952: the last word is the length, in its lower 32 bits. Padding may follow.
    if start == [0x1f, 0x8b] {
        let mut last = [0; 4];
        file.seek(SeekFrom::Start(length - 4))?;
        file.read_exact(&mut last)?;
        let said = u64::from(u32::from_le_bytes(last));
        if (length..length * 1100).contains(&said) {
            return Ok(said);
        }
    }
    Ok(length * USUAL_GROWTH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;
    use crate::run::machine::Accelerator;

    fn options(memory: Option<u32>) -> MachineOptions {
        let (arch, accel) = (Arch::X86_64, Accelerator::Tcg);
        let cpu = "max".to_owned();
        MachineOptions {
            arch,
            machine: None,
            machine_options: None,
            cpu,
            smp: 1,
            memory,
            accel,
            icount: false,
        }
    }

    #[test]
    fn large_archives_get_memory_and_small_ones_do_not_care() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("initramfs");
        let file = File::create(&path).unwrap();
        // Zeroes count as what is compressed in an unknown way.
        file.set_len(3 * MIB).unwrap();
        let fit = |memory, added| fit(&options(memory), &path, added).map(|machine| machine.memory);
        assert_eq!(fit(Some(32), 0).unwrap(), Some(32));
        assert_eq!(fit(None, MIB).unwrap(), None);
        assert_eq!(fit(None, 297 * MIB).unwrap(), Some(1024));
        assert_eq!(fit(Some(2048), 297 * MIB).unwrap(), Some(2048));
        assert!(fit(Some(512), 297 * MIB).is_err());
    }

    #[test]
    fn gzip_says_what_it_becomes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("initramfs.gz");
        crate::initramfs::write(&path, &[0; 100_000]).unwrap();
        let length = path.metadata().unwrap().len();
        assert_eq!(unpacked_length(&path, length).unwrap(), 100_000);
    }
}
