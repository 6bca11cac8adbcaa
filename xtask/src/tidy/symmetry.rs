//! Both architectures of hal have files of the same names.

use std::collections::BTreeSet;

use super::Source;

const FOLDERS: [&str; 2] = ["kernel/hal/src/arch/x86_64/", "kernel/hal/src/arch/aarch64/"];

/// Files directly below one folder that the other lacks. Folders below, as `platform/`, are for what only one machine
/// has.
pub fn check(sources: &[Source]) -> Vec<String> {
    let [first, second] = FOLDERS.map(|folder| names(sources, folder));
    let lacking = |has: &BTreeSet<String>, lacks: &BTreeSet<String>, folder: &str| -> Vec<String> {
        has.difference(lacks).map(|name| format!("{folder}{name} is missing")).collect()
    };
    let mut problems = lacking(&first, &second, FOLDERS[1]);
    problems.extend(lacking(&second, &first, FOLDERS[0]));
    problems
}

fn names(sources: &[Source], folder: &str) -> BTreeSet<String> {
    let below = sources.iter().filter_map(|source| source.path.strip_prefix(folder));
    below.filter(|name| !name.contains('/')).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_one_architecture_alone_is_told() {
        let source = |path: String| Source { path, text: String::new() };
        let sources = [
            source(format!("{}boot.rs", FOLDERS[0])),
            source(format!("{}boot.rs", FOLDERS[1])),
            source(format!("{}trap.rs", FOLDERS[0])),
            source(format!("{}platform/gic.rs", FOLDERS[1])),
        ];
        assert_eq!(check(&sources), [format!("{}trap.rs is missing", FOLDERS[1])]);
    }
}
