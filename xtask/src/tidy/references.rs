//! What documents name in back-quotes is there: paths of items, and files.
//!
//! A path (`vfs::walk::tail_of`) is looked at word by word: each is a word of the code somewhere, comments apart. In
//! tables of [`OF_CODE`], a single name that is written like an item's or a test's counts, too. A file may be named
//! without the folders that lead to it, and without `src`.

use std::collections::HashSet;
use std::path::Path;

use anyhow::Result;
use proc_macro2::{TokenStream, TokenTree};
use walkdir::WalkDir;

use super::Source;
use crate::workspace;

/// Documents whose tables name what is in the code and nothing else.
const OF_CODE: [&str; 3] = ["docs/rules-of-files.md", "docs/concurrency.md", "docs/file-systems.md"];
/// What is written in other files than Rust's that may be named.
const OTHER_SOURCES: [&str; 3] = ["S", "ld", "py"];
const NAMED_FILES: [&str; 6] = ["rs", "S", "md", "py", "toml", "ld"];

/// Names in the documents that stand for nothing.
pub fn check(sources: &[Source]) -> Vec<String> {
    match Known::collect(sources).and_then(|known| Ok((known, current_documents()?))) {
        Ok((known, documents)) => documents.iter().flat_map(|document| known.check(document)).collect(),
        Err(error) => vec![format!("{error:#}")],
    }
}

/// A document's name and text. Decisions tell of their own day: they are in a folder of their own.
fn current_documents() -> Result<Vec<Source>> {
    Ok(documents()?.into_iter().filter(|document| !document.path.starts_with("docs/adr/")).collect())
}

/// All documents.
pub fn documents() -> Result<Vec<Source>> {
    let paths = files()?.into_iter().filter(|path| path.ends_with(".md"));
    paths
        .map(|path| Ok(Source { text: std::fs::read_to_string(workspace::root().join(&path))?, path }))
        .collect()
}

/// All files of the tree.
fn files() -> Result<Vec<String>> {
    let root = workspace::root();
    let skipped = |name: &std::ffi::OsStr| super::sources::SKIPPED.iter().any(|skipped| name == *skipped);
    let walk = WalkDir::new(root).sort_by_file_name().into_iter();
    let walk = walk.filter_entry(|entry| !skipped(entry.file_name()));
    walk.map(|entry| Ok(entry?.path().strip_prefix(root)?.to_string_lossy().into_owned())).collect()
}

struct Known {
    words: HashSet<String>,
    /// With a slash before and without `/src`.
    files: Vec<String>,
}

impl Known {
    fn collect(sources: &[Source]) -> Result<Self> {
        let mut words = HashSet::new();
        for source in sources {
            add_words(source.text.parse().unwrap_or_default(), &mut words);
            words.extend(stem(&source.path));
        }
        let files = files()?;
        for path in files.iter().filter(|path| has_ending(path, &OTHER_SOURCES)) {
            let text = std::fs::read_to_string(workspace::root().join(path))?;
            words.extend(text.split(|letter| !is_of_word(letter)).map(str::to_owned));
        }
        let files = files.iter().map(|path| format!("/{path}").replace("/src/", "/")).collect();
        Ok(Self { words, files })
    }

    fn check(&self, document: &Source) -> Vec<String> {
        let mut problems = Vec::new();
        for (number, line) in document.numbered_lines() {
            let is_of_code = line.starts_with('|') && OF_CODE.contains(&document.path.as_str());
            // Each second piece is between quotes.
            for name in line.split('`').skip(1).step_by(2).filter(|name| !self.knows(name, is_of_code)) {
                problems.push(format!("{}:{number}: there is no `{name}`", document.path));
            }
        }
        problems
    }

    /// Whether a name stands for something, or is none that this file knows of.
    fn knows(&self, name: &str, is_of_code: bool) -> bool {
        let item = name.trim_end_matches("()");
        let mut words =
            item.split("::").flat_map(|part| part.split(['{', '}', ','])).filter(|word| !word.is_empty());
        let is_path = item.contains("::") && words.clone().all(|word| word.chars().all(is_of_word));
        if is_path || is_of_code && is_like_an_item(item) {
            return words.all(|word| self.words.contains(word));
        }
        if has_ending(name, &NAMED_FILES)
            && name.chars().all(|letter| is_of_word(letter) || "./-{},*".contains(letter))
        {
            return alternatives(name).iter().all(|name| self.has_file(&name.replace("/src/", "/")));
        }
        true
    }

    fn has_file(&self, name: &str) -> bool {
        let name = format!("/{}", name.trim_start_matches('/'));
        match name.split_once('*') {
            None => self.files.iter().any(|file| file.ends_with(&name)),
            Some((start, end)) => self.files.iter().any(|file| file.contains(start) && file.ends_with(end)),
        }
    }
}

fn add_words(tokens: TokenStream, words: &mut HashSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(word) => _ = words.insert(word.to_string()),
            TokenTree::Group(group) => add_words(group.stream(), words),
            // Words of an option; a comment is a string that is none of bytes.
            TokenTree::Literal(text) if text.to_string().starts_with("b\"") => {
                words.extend(text.to_string()[2..].split(|letter| !is_of_word(letter)).map(str::to_owned));
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn stem(path: &str) -> Option<String> {
    Some(Path::new(path).file_stem()?.to_string_lossy().into_owned())
}

fn has_ending(path: &str, endings: &[&str]) -> bool {
    path.rsplit_once('.').is_some_and(|(_, ending)| endings.contains(&ending))
}

fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// `snake_case` of several words, or `CamelCase`.
fn is_like_an_item(name: &str) -> bool {
    let is_snake =
        name.contains('_') && name.chars().all(|letter| is_of_word(letter) && !letter.is_ascii_uppercase());
    let humps = name.chars().filter(char::is_ascii_uppercase).count();
    let is_camel = humps > 1 && name.chars().all(|letter| letter.is_ascii_alphanumeric());
    is_snake
        || is_camel
            && name.chars().any(|letter| letter.is_ascii_lowercase())
            && !name.starts_with(|letter: char| letter.is_ascii_lowercase())
}

/// `a{b,c}` is two names.
fn alternatives(name: &str) -> Vec<String> {
    let parts = name.split_once('{').and_then(|(start, rest)| Some((start, rest.split_once('}')?)));
    let Some((start, (choice, end))) = parts else { return vec![name.to_owned()] };
    choice.split(',').flat_map(|part| alternatives(&format!("{start}{part}{end}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let mut words = HashSet::new();
        add_words("/// gone\nmod walk { fn tail_of(x: FileSystem) {} }".parse().unwrap(), &mut words);
        Known { words, files: vec!["/kernel/vfs/walk.rs".to_owned(), "/hal/arch/aarch64/boot.S".to_owned()] }
    }

    #[test]
    fn items_are_found_by_each_word() {
        let known = known();
        for name in ["walk::tail_of", "walk::{tail_of,walk}", "walk::tail_of()", "a b::c", "x", "ls -l"] {
            assert!(known.knows(name, false), "{name}");
        }
        for name in ["walk::tail_off", "wall::tail_of", "walk::gone"] {
            assert!(!known.knows(name, false), "{name}");
        }
        assert!(
            known.knows("tail_off", false) && known.knows("tail_of", true) && known.knows("FileSystem", true)
        );
        assert!(!known.knows("tail_off", true) && !known.knows("FileSystems", true));
        assert!(known.knows("O_PATH", true) && known.knows("openat", true) && known.knows("iPXE", true));
    }

    #[test]
    fn files_are_found_without_the_way_to_them() {
        let known = known();
        for name in
            ["vfs/walk.rs", "walk.rs", "kernel/vfs/src/walk.rs", "arch/{aarch64}/boot.S", "arch/*/boot.S"]
        {
            assert!(known.knows(name, false), "{name}");
        }
        assert!(!known.knows("vfs/walks.rs", false) && !known.knows("arch/{aarch64,x86_64}/boot.S", false));
    }
}
