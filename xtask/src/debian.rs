//! Files out of Debian 12's packages, for either architecture: fetched once, then kept.
//!
//! apt-get runs with package lists, state and cache of its own below `target/cache`, so that neither root nor a foreign
//! architecture in the host's dpkg is needed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::arch::Arch;
use crate::command;
use crate::workspace;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where to find a file in Debian.
pub struct Source<'a> {
    /// The package, or one that depends on it.
    pub package: &'a str,
    /// If `package` only depends on the right one: how the right one's name starts.
    pub dependency: Option<&'a str>,
    /// The file's path in the package, from the root on; `*` at its end matches anything.
    pub path: &'a str,
}

/// Fetches one file for `arch`, unless that was done before, and returns the path of the copy named `kept_as`.
pub fn file(arch: Arch, source: &Source<'_>, kept_as: &str) -> Result<PathBuf> {
    let kept = workspace::cache("debian")?.join(format!("{kept_as}-{arch}"));
    if !kept.exists() {
        eprintln!("debian: fetching {} for {arch} (once)", source.package);
        fetch(arch, source, &kept).with_context(|| format!("cannot fetch Debian's {}", source.package))?;
    }
    Ok(kept)
}

/// Fetches some files of one package for `arch`, unless that was done before, and returns the folder `kept_as` in which
/// each has the name that stands before its path. A path may have `*` in it.
pub fn files(
    arch: Arch,
    package: &str,
    dependency: Option<&str>,
    paths: &[(&str, &str)],
    kept_as: &str,
) -> Result<PathBuf> {
    let kept = workspace::cache("debian")?.join(format!("{kept_as}-{arch}"));
    if !kept.exists() {
        eprintln!("debian: fetching {package} for {arch} (once)");
        let context = || format!("cannot fetch Debian's {package}");
        let folder =
            unpacked(arch, package, dependency, &paths.iter().map(|(_, path)| *path).collect::<Vec<_>>())
                .with_context(context)?;
        let chosen = tempfile::tempdir_in(workspace::cache("debian")?)?;
        for (name, path) in paths {
            std::fs::rename(matching(folder.path(), path)?, chosen.path().join(name))?;
        }
        // Whole or not at all; whoever came first has made the same.
        if let Err(error) = std::fs::rename(chosen.keep(), &kept)
            && !kept.exists()
        {
            return Err(error).with_context(|| format!("cannot write {}", kept.display()));
        }
    }
    Ok(kept)
}

/// A folder with the files of a package and of all that it depends on, fetched and unpacked unless that was done
/// before.
pub fn tree(arch: Arch, package: &str) -> Result<PathBuf> {
    let kept = workspace::cache("debian")?.join(format!("{package}-{arch}"));
    if !kept.exists() {
        eprintln!("debian: fetching {package} and what it depends on for {arch} (once)");
        let folder = unpacked_with_dependencies(arch, package)
            .with_context(|| format!("cannot fetch Debian's {package}"))?;
        // Whole or not at all; whoever came first has made the same.
        if let Err(error) = std::fs::rename(folder.path().join("root"), &kept)
            && !kept.exists()
        {
            return Err(error).with_context(|| format!("cannot write {}", kept.display()));
        }
    }
    Ok(kept)
}

fn unpacked_with_dependencies(arch: Arch, package: &str) -> Result<TempDir> {
    let folder = tempfile::tempdir_in(workspace::cache("debian")?)?;
    let apt = Apt::new(folder.path(), architecture(arch))?;
    apt.run("apt-get", &["update", "-qq"])?;
    let only_fetch = ["install", "-qq", "-y", "--no-install-recommends", "--download-only", package];
    apt.output("apt-get", &only_fetch)?;
    let root = folder.path().join("root");
    for archive in std::fs::read_dir(folder.path().join("cache/archives"))? {
        let archive = archive?.path();
        if archive.extension().is_some_and(|end| end == "deb") {
            command::run(Command::new("dpkg-deb").arg("-x").arg(archive).arg(&root))?;
        }
    }
    Ok(folder)
}

/// Debian's name of the architecture.
pub fn architecture(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "amd64",
        Arch::Aarch64 => "arm64",
    }
}

fn fetch(arch: Arch, source: &Source<'_>, kept: &Path) -> Result<()> {
    let folder = unpacked(arch, source.package, source.dependency, &[source.path])?;
    std::fs::rename(matching(folder.path(), source.path)?, kept)
        .with_context(|| format!("cannot write {}", kept.display()))
}

/// A folder with those files of a package, or of the one that it depends on, that match `paths`.
fn unpacked(arch: Arch, package: &str, dependency_start: Option<&str>, paths: &[&str]) -> Result<TempDir> {
    if !command::exists("apt-get") || !command::exists("dpkg-deb") {
        bail!("this needs apt-get and dpkg-deb, as on Debian");
    }
    let folder = tempfile::tempdir_in(workspace::cache("debian")?)?;
    let apt = Apt::new(folder.path(), architecture(arch))?;
    apt.run("apt-get", &["update", "-qq"])?;
    let package = match dependency_start {
        None => package.to_owned(),
        Some(start) => {
            let depends = apt.output("apt-cache", &["depends", package])?;
            dependency(&depends, start).with_context(|| format!("it depends on no {start}"))?
        }
    };
    apt.run("apt-get", &["download", "-qq", &package])?;
    let archive = matching(folder.path(), "/*.deb")?;
    unpack(&archive, paths, folder.path())?;
    Ok(folder)
}

/// Picks the dependency that starts with `start` out of `apt-cache depends`' answer.
fn dependency(depends: &str, start: &str) -> Option<String> {
    let mut dependencies = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    dependencies.find(|name| name.starts_with(start)).map(str::to_owned)
}

fn unpack(archive: &Path, paths: &[&str], folder: &Path) -> Result<()> {
    let mut list = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(archive)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start dpkg-deb")?;
    let tar = list.stdout.take().context("dpkg-deb has no output")?;
    let mut unpack = Command::new("tar");
    unpack.arg("-C").arg(folder).args(["-x", "--wildcards"]).stdin(tar);
    unpack.args(paths.iter().map(|path| format!(".{path}")));
    command::run(&mut unpack)?;
    list.wait()?;
    Ok(())
}

/// The first file below `folder` whose path is `pattern`, in which `*` stands for anything within a name.
fn matching(folder: &Path, pattern: &str) -> Result<PathBuf> {
    let mut found = folder.to_owned();
    for wanted in pattern.split('/').filter(|name| !name.is_empty()) {
        let (start, end) = wanted.split_once('*').unwrap_or((wanted, ""));
        let matches = |name: &str| {
            name == wanted || wanted.contains('*') && name.starts_with(start) && name.ends_with(end)
        };
        let names = std::fs::read_dir(&found).with_context(|| format!("cannot read {}", found.display()))?;
        let mut names = names.filter_map(|file| file.ok()?.file_name().into_string().ok());
        let name = names.find(|name| matches(name));
        found.push(name.with_context(|| format!("{} has no {wanted}", found.display()))?);
    }
    Ok(found)
}

/// apt with a world of its own in one folder.
struct Apt {
    folder: PathBuf,
    options: Vec<String>,
}

impl Apt {
    fn new(folder: &Path, architecture: &str) -> Result<Self> {
        for part in ["state/lists/partial", "cache/archives/partial", "sources"] {
            std::fs::create_dir_all(folder.join(part))?;
        }
        std::fs::write(folder.join("status"), "")?;
        let sources = format!(
            "deb [arch={architecture} signed-by={KEYRING}] http://deb.debian.org/debian bookworm main\n\
             deb [arch={architecture} signed-by={KEYRING}] http://deb.debian.org/debian-security bookworm-security main\n"
        );
        std::fs::write(folder.join("sources.list"), sources)?;
        let path = |name: &str| folder.join(name).display().to_string();
        let options = vec![
            format!("APT::Architecture={architecture}"),
            format!("APT::Architectures={architecture}"),
            "APT::Sandbox::User=".to_owned(),
            "Acquire::Languages=none".to_owned(),
            format!("Dir::State={}", path("state")),
            format!("Dir::State::status={}", path("status")),
            format!("Dir::Cache={}", path("cache")),
            format!("Dir::Etc::sourcelist={}", path("sources.list")),
            format!("Dir::Etc::sourceparts={}", path("sources")),
        ];
        Ok(Self { folder: folder.to_owned(), options })
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        for option in &self.options {
            command.args(["-o", option]);
        }
        command.args(arguments).current_dir(&self.folder);
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        command::run(&mut self.command(program, arguments))
    }

    fn output(&self, program: &str, arguments: &[&str]) -> Result<String> {
        command::output(&mut self.command(program, arguments))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_package_is_the_dependency() {
        let answer = "linux-image-cloud-arm64\n  Depends: linux-image-6.1.0-56-cloud-arm64\n  Suggests: x\n";
        assert_eq!(dependency(answer, "linux-image-").unwrap(), "linux-image-6.1.0-56-cloud-arm64");
        assert_eq!(dependency("linux-image-cloud-arm64\n", "linux-image-"), None);
    }
}
