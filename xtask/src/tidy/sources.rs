//! The Rust files of the source tree.

use anyhow::{Context, Result};
use walkdir::WalkDir;

use crate::workspace;

/// Folders without sources of ours.
pub const SKIPPED: [&str; 3] = ["target", "out", ".git"];

/// One Rust file.
pub struct Source {
    /// Relative to the root, with slashes.
    pub path: String,
    /// Its content.
    pub text: String,
}

impl Source {
    /// The lines with their numbers, from 1 on.
    pub fn numbered_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The lines up to the module of unit tests, if there is one.
    pub fn lines_without_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<_> = self.text.lines().collect();
        let tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{'));
        self.numbered_lines().take(tests.unwrap_or(lines.len()))
    }

    /// Whether the whole file is for tests.
    pub fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.contains("/tests/")
    }
}

/// All of them, sorted by path.
pub fn all() -> Result<Vec<Source>> {
    let root = workspace::root();
    let skipped = |name: &std::ffi::OsStr| SKIPPED.iter().any(|skipped| name == *skipped);
    let mut sources = Vec::new();
    let walk = WalkDir::new(root).sort_by_file_name().into_iter();
    for entry in walk.filter_entry(|entry| !skipped(entry.file_name())) {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "rs") {
            let path = entry.path().strip_prefix(root)?.to_str().context("a path is not UTF-8")?.to_owned();
            sources.push(Source { path, text: std::fs::read_to_string(entry.path())? });
        }
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_at_the_end_do_not_count() {
        let text = "//! x\nfn f() {}\n\n#[cfg(test)]\nmod tests {\n}\n".to_owned();
        let source = Source { path: "x.rs".to_owned(), text };
        assert_eq!(source.lines_without_tests().count(), 3);
        let text = "//! x\n#[cfg(test)]\nmod tests;\nfn f() {}\n".to_owned();
        let source = Source { path: "x.rs".to_owned(), text };
        assert_eq!(source.lines_without_tests().count(), 4);
    }

    #[test]
    fn this_file_is_found() {
        assert!(all().unwrap().iter().any(|source| source.path == "xtask/src/tidy/sources.rs"));
    }
}
