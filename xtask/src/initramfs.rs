//! `cargo xtask initramfs`: the first file tree, as a cpio archive.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::arch::Arch;
use crate::build;
use crate::toolchain::Toolchain;
use crate::workspace;

pub mod archive;
pub mod host_files;

use archive::{Archive, Device, Entry, Kind};

/// The program that acts by the name it is called with, and the list of those names.
const MANY_IN_ONE: &str = "tools";
const NAMES: &str = "userspace/programs/applets";

/// Options of `cargo xtask initramfs`.
#[derive(Args)]
pub struct Options {
    /// The architecture whose programs go in.
    #[arg(long, value_enum, default_value_t = Arch::host())]
    arch: Arch,
    /// Copy a file or folder of this machine into the archive.
    #[arg(long, value_name = "HOST_PATH=GUEST_PATH")]
    add: Vec<Mapping>,
    /// Copy everything below a folder of this machine to the guest's root.
    #[arg(long, value_name = "DIR")]
    tree: Vec<PathBuf>,
    /// The program that the kernel starts: /init becomes a link to it.
    #[arg(long, value_name = "GUEST_PATH")]
    init: Option<String>,
    /// Leave Orlop's own programs and folders out.
    #[arg(long)]
    bare: bool,
    /// The archive to write; compressed if its name ends in .gz.
    #[arg(short, long, value_name = "FILE[.gz]")]
    output: PathBuf,
}

/// A path of this machine and where it shall appear in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Path on this machine.
    pub host: PathBuf,
    /// Absolute path in the guest.
    pub guest: String,
}

impl std::str::FromStr for Mapping {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.rsplit_once('=') {
            Some((host, guest)) if !host.is_empty() && guest.starts_with('/') => {
                Ok(Self { host: host.into(), guest: guest.to_owned() })
            }
            _ => Err("expected HOST_PATH=GUEST_PATH with an absolute GUEST_PATH".to_owned()),
        }
    }
}

/// Runs the command.
pub fn run(options: &Options) -> Result<ExitCode> {
    let mut archive = Archive::default();
    if !options.bare {
        archive = default_image(&build::programs(&Toolchain::find()?, options.arch)?)?;
    }
    for folder in &options.tree {
        host_files::insert_tree(&mut archive, folder, "/")?;
    }
    for mapping in &options.add {
        host_files::insert(&mut archive, &mapping.host, &mapping.guest)?;
    }
    if let Some(init) = &options.init {
        if !init.starts_with('/') {
            bail!("--init takes an absolute path in the guest, not {init}");
        }
        archive.insert("/init", Entry::new(0o777, Kind::Symlink(init.clone())))?;
    }
    write(&options.output, &archive.to_bytes()?)?;
    Ok(ExitCode::SUCCESS)
}

/// The tree that `cargo xtask run` boots: the folders and nodes a program expects, and `programs` in /bin.
pub fn default_image(programs: &[PathBuf]) -> Result<Archive> {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "etc", "proc", "run", "sys", "var"] {
        archive.insert_directory(folder, 0o755)?;
    }
    archive.insert_directory("root", 0o700)?;
    archive.insert_directory("tmp", 0o1777)?;
    archive.insert_file("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\n")?;
    archive.insert_file("etc/group", 0o644, "root:x:0:\n")?;
    // Linux opens /dev/console for init before anything is mounted (Documentation/admin-guide/devices.txt).
    insert_node(&mut archive, "dev/console", 0o600, Device { major: 5, minor: 1 })?;
    insert_node(&mut archive, "dev/null", 0o666, Device { major: 1, minor: 3 })?;
    for program in programs {
        let name = program.file_name().context("a program without a name")?.to_string_lossy();
        let path = if name == "init" { "init".to_owned() } else { format!("bin/{name}") };
        // Without its time: the same programs make the same image.
        let content = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
        archive.insert_file(&path, 0o755, content)?;
        if name == MANY_IN_ONE {
            insert_links(&mut archive, &path)?;
        }
    }
    Ok(archive)
}

/// Gives the program at `path` its many names.
fn insert_links(archive: &mut Archive, path: &str) -> Result<()> {
    let list =
        fs::read_to_string(workspace::root().join(NAMES)).with_context(|| format!("cannot read {NAMES}"))?;
    for name in list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let link = Entry::new(0o777, Kind::Symlink(format!("/{path}")));
        archive.insert(&format!("bin/{name}"), link)?;
    }
    Ok(())
}

/// Writes an archive's bytes to `path`, compressed if its name ends in `.gz`.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    if path.extension().is_some_and(|extension| extension == "gz") {
        let file = fs::File::create(path).with_context(context)?;
        let mut encoder = flate2::GzBuilder::new().write(file, flate2::Compression::best());
        encoder.write_all(bytes).with_context(context)?;
        return encoder.finish().map(drop).with_context(context);
    }
    fs::write(path, bytes).with_context(context)
}

fn insert_node(archive: &mut Archive, path: &str, permissions: u32, device: Device) -> Result<()> {
    archive.insert(path, Entry::new(permissions, Kind::CharacterDevice(device)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_checked() {
        let mapping: Mapping = "./a=b=/c".parse().unwrap();
        assert_eq!(mapping, Mapping { host: "./a=b".into(), guest: "/c".to_owned() });
        for wrong in ["a", "=/b", "a=b", "a="] {
            assert!(wrong.parse::<Mapping>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn compression_follows_the_name() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("i.cpio.gz"), b"content").unwrap();
        let bytes = fs::read(folder.path().join("i.cpio.gz")).unwrap();
        assert_eq!(bytes[..4], [0x1f, 0x8b, 8, 0]);
        assert_eq!(bytes[4..8], [0; 4], "the time must not be in the file");
    }
}
