//! What may stand where: unsafe code, conditional compilation, dependencies between crates.

use std::collections::BTreeMap;

use super::Source;
use crate::workspace;

/// Crates that must forbid unsafe code at their root.
const FORBIDDING: [&str; 11] = [
    "abi/src/lib.rs",
    "kernel/libkernel/src/lib.rs",
    "kernel/klog/src/lib.rs",
    "kernel/memory/src/lib.rs",
    "kernel/outcome/src/lib.rs",
    "kernel/sched/src/lib.rs",
    "kernel/subject/src/lib.rs",
    "kernel/vfs/src/lib.rs",
    "kernel/filesystems/src/lib.rs",
    "kernel/drivers/src/lib.rs",
    "kernel/orlop/src/lib.rs",
];

/// Folders in which unsafe code is at home.
const UNSAFE_HOMES: [&str; 8] = [
    "kernel/hal/",
    "userspace/libsyscall/",
    "userspace/ulib/",
    // Programs that do on purpose what a compiler would not let them.
    "userspace/conformance/",
    "userspace/bench/",
    // QEMU's interface for plugins is C's.
    "xtask/monitor/",
    "xtask/observer/",
    // Comparisons with the C library's view of the same structures.
    "abi/tests/",
];

/// The only file outside `arch/` folders that may ask for the architecture: it re-exports the native one.
const NATIVE: &str = "abi/src/lib.rs";

/// For each crate of ours, the crates of ours that it may use.
const ALLOWED: [(&str, &[&str]); 13] = [
    ("abi", &[]),
    ("kernel/libkernel", &["abi"]),
    ("kernel/hal", &["abi", "libkernel"]),
    ("kernel/klog", &["libkernel", "hal"]),
    ("kernel/outcome", &["abi", "libkernel", "hal"]),
    ("kernel/sched", &["abi", "libkernel", "hal", "klog", "outcome"]),
    ("kernel/subject", &["abi", "hal", "sched"]),
    ("kernel/memory", &["abi", "libkernel", "hal", "outcome", "sched", "subject"]),
    ("kernel/vfs", &["abi", "libkernel", "hal", "memory", "outcome", "sched", "subject"]),
    ("kernel/filesystems", &["abi", "libkernel", "hal", "memory", "outcome", "sched", "subject", "vfs"]),
    ("kernel/drivers", &["abi", "libkernel", "hal"]),
    ("userspace/libsyscall", &["abi"]),
    ("userspace/ulib", &["abi", "libsyscall"]),
];

const OURS: [&str; 15] = [
    "abi",
    "libkernel",
    "hal",
    "klog",
    "memory",
    "outcome",
    "sched",
    "subject",
    "vfs",
    "filesystems",
    "drivers",
    "orlop",
    "libsyscall",
    "ulib",
    "xtask",
];

/// Unsafe code outside its home, and crates that do not forbid it.
pub fn unsafe_code(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for source in sources {
        if FORBIDDING.contains(&source.path.as_str()) && !source.text.contains("#![forbid(unsafe_code)]") {
            problems.push(format!("{}: lacks #![forbid(unsafe_code)]", source.path));
        }
        if UNSAFE_HOMES.iter().any(|home| source.path.starts_with(home)) {
            continue;
        }
        for (number, line) in source.numbered_lines().filter(|(_, line)| is_unsafe(line)) {
            problems.push(format!("{}:{number}: {}", source.path, line.trim()));
        }
    }
    problems
}

/// Whether a line of code, without its comment, opens a block, function or implementation that is unsafe. A crate's
/// entry point alone needs `#[unsafe(no_mangle)]`, which a linker cannot get wrong twice.
fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let keyword = concat!("uns", "afe ");
    ["{", "fn", "impl", "extern"].iter().any(|what| code.contains(&format!("{keyword}{what}")))
}

/// Conditional compilation by architecture outside `arch/`.
pub fn architectures(sources: &[Source]) -> Vec<String> {
    let condition = concat!("target_", "arch");
    let mut problems = Vec::new();
    for source in sources {
        if source.path.contains("/arch/") || source.path == NATIVE {
            continue;
        }
        for (number, _) in source.numbered_lines().filter(|(_, line)| line.contains(condition)) {
            problems.push(format!("{}:{number}: {condition}", source.path));
        }
    }
    problems
}

/// Dependencies that run the wrong way.
pub fn dependencies(_: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for (folder, allowed) in BTreeMap::from(ALLOWED) {
        let path = workspace::root().join(folder).join("Cargo.toml");
        let manifest = std::fs::read_to_string(path).unwrap_or_default();
        for name in used(&manifest).filter(|name| !allowed.contains(name)) {
            problems.push(format!("{folder}: must not depend on {name}"));
        }
    }
    problems
}

/// Crates of ours among the dependencies of a manifest, those for tests left out.
fn used(manifest: &str) -> impl Iterator<Item = &'static str> {
    let section = manifest.split("[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default().to_owned();
    OURS.into_iter()
        .filter(move |name| section.lines().any(|line| line.split(['.', ' ', '=']).next() == Some(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: String) -> Source {
        Source { path: path.to_owned(), text }
    }

    #[test]
    fn unsafe_code_has_a_home() {
        let block = format!("{} {{ f() }}", "unsafe");
        let outside = unsafe_code(&[source("kernel/orlop/src/x.rs", block.clone())]);
        assert_eq!(outside.len(), 1);
        assert!(unsafe_code(&[source("kernel/hal/src/x.rs", block)]).is_empty());
        assert!(!is_unsafe("// this is not unsafe { at all }"));
        assert_eq!(unsafe_code(&[source("abi/src/lib.rs", String::new())]).len(), 1);
    }

    #[test]
    fn only_architecture_folders_ask_for_the_architecture() {
        let asks = || format!("#[cfg({} = \"x86_64\")]", concat!("target_", "arch"));
        for home in ["kernel/hal/src/arch/mod.rs", "abi/tests/arch/main.rs", NATIVE] {
            assert!(architectures(&[source(home, asks())]).is_empty());
        }
        for elsewhere in ["kernel/orlop/src/x.rs", "userspace/ulib/src/arch.rs", "abi/tests/x.rs"] {
            assert_eq!(architectures(&[source(elsewhere, asks())]).len(), 1);
        }
    }

    #[test]
    fn a_manifest_tells_its_dependencies() {
        let manifest = "[package]\nname = \"hal\"\n[dependencies]\nlibkernel.workspace = true\nabi = { path = \"x\" }\n\
                        \n[dev-dependencies]\norlop = \"1\"\n";
        assert_eq!(used(manifest).collect::<Vec<_>>(), ["abi", "libkernel"]);
    }
}
