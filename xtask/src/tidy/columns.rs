//! Lines of comments and documents fit into [`LIMIT`] columns. Code is rustfmt's; tables, links and listings stay as
//! they are.
//!
//! What is too long is wrapped anew from that line to the end of its paragraph. Nothing is broken inside of
//! back-quotes, nor before what would begin a list.

use anyhow::Result;

use super::{Finding, Mode, Source, references};
use crate::workspace;

/// In characters.
const LIMIT: usize = 120;
/// What starts a line of a comment.
const MARKS: [&str; 3] = ["//! ", "/// ", "// "];

/// Complains of lines that are too long, or wraps them.
pub fn check(sources: &[Source], mode: Mode) -> Result<Finding> {
    let mut problems = Vec::new();
    let documents = references::documents()?;
    for source in sources.iter().chain(&documents) {
        let wrapped = wrap(&source.text, source.path.ends_with(".md"));
        if wrapped == source.text {
            continue;
        }
        if mode == Mode::Fix {
            std::fs::write(workspace::root().join(&source.path), wrapped)?;
        } else {
            let same = source.text.lines().zip(wrapped.lines()).take_while(|(old, new)| old == new).count();
            problems.push(format!(
                "{}:{}: more than {LIMIT} columns; `cargo xtask tidy --fix` wraps it",
                source.path,
                same + 1
            ));
        }
    }
    Ok(Finding { rule: "comments and documents fit into their columns", problems })
}

/// A line taken apart.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Parts<'a> {
    /// Indentation and mark of a comment.
    mark: &'a str,
    /// The rest.
    text: &'a str,
}

impl<'a> Parts<'a> {
    /// `None` for code.
    fn of(line: &'a str, is_document: bool) -> Option<Self> {
        if is_document {
            return Some(Self { mark: "", text: line });
        }
        let start = line.len() - line.trim_start().len();
        let mark = MARKS.iter().find(|mark| line[start..].starts_with(*mark))?;
        let (mark, text) = line.split_at(start + mark.trim_end().len() + 1);
        Some(Self { mark, text })
    }

    /// Columns before the text of a list's item, or of what belongs to one; with what marks the item.
    fn hang(&self) -> usize {
        let indentation = self.text.len() - self.text.trim_start().len();
        indentation + item(self.text.trim_start()).unwrap_or(0)
    }

    /// Whether the line goes on with the one before, which hangs so far.
    fn continues(&self, mark: &str, hang: usize) -> bool {
        let text = self.text.trim_start();
        let is_prose = !text.is_empty()
            && item(text).is_none()
            && !text.starts_with(['|', '#', '>'])
            && !text.starts_with("```");
        self.mark == mark && is_prose && self.text.len() - text.len() == hang
    }
}

/// How long the mark is that begins an item of a list.
fn item(text: &str) -> Option<usize> {
    let (mark, _) = text.split_once(' ')?;
    let number = mark.strip_suffix(['.', ')']).unwrap_or_default();
    let is_number =
        !number.is_empty() && number.len() < 3 && number.bytes().all(|byte| byte.is_ascii_digit());
    (["-", "*", "+"].contains(&mark) || is_number).then_some(mark.len() + 1)
}

fn wrap(text: &str, is_document: bool) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let (mut out, mut at, mut is_listing) = (String::with_capacity(text.len()), 0, false);
    while let Some(line) = lines.get(at) {
        at += 1;
        let parts = Parts::of(line, is_document);
        is_listing ^= parts.is_some_and(|parts| parts.text.trim_start().starts_with("```"));
        let is_kept = |parts: &Parts<'_>| {
            let text = parts.text.trim_start();
            is_listing
                || line.chars().count() <= LIMIT
                || text.starts_with(['|', '#'])
                || text.contains("://")
        };
        let Some(parts) = parts.filter(|parts| !is_kept(parts)) else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let hang = parts.hang();
        let mut words = words(parts.text.trim_start());
        while let Some(next) = lines.get(at).and_then(|line| Parts::of(line, is_document)) {
            if !next.continues(parts.mark, hang) {
                break;
            }
            words.extend(self::words(next.text.trim_start()));
            at += 1;
        }
        let first = &parts.text[..parts.text.len() - parts.text.trim_start().len()];
        lay_out(
            &words,
            [format!("{}{first}", parts.mark), format!("{}{}", parts.mark, " ".repeat(hang))],
            &mut out,
        );
    }
    out
}

/// Fills lines, the first of which begins with `starts[0]` and the others with `starts[1]`.
fn lay_out(words: &[String], starts: [String; 2], out: &mut String) {
    let mut line = starts[0].clone();
    let mut is_empty = true;
    for word in words {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > LIMIT {
            out.push_str(&line);
            out.push('\n');
            line.clone_from(&starts[1]);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    out.push_str(&line);
    out.push('\n');
}

/// What a line may be broken between.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let is_quoted = words.last().is_some_and(|last| last.matches('`').count() % 2 == 1);
        let begins_a_list = item(&format!("{word} x")).is_some() || word.starts_with(['#', '|', '>']);
        match words.last_mut() {
            Some(last) if is_quoted || begins_a_list => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_and_what_follows_it_is_wrapped() {
        let long = "word ".repeat(30);
        let text = format!("//! Head.\n//!\n//! {}\n//! tail\n//!\n//! rest\nfn f() {{}}\n", long.trim_end());
        let wrapped = wrap(&text, false);
        assert!(wrapped.lines().all(|line| line.len() <= LIMIT));
        assert!(wrapped.contains("word tail\n//!\n//! rest\nfn f() {}\n"));
        assert_eq!(wrap(&wrapped, false), wrapped);
    }

    #[test]
    fn items_of_lists_hang() {
        let text = format!("  1. {}\n     tail\n  2. other\n", "word ".repeat(30).trim_end());
        let wrapped = wrap(&text, true);
        let lines: Vec<_> = wrapped.lines().collect();
        assert!(
            lines[1].starts_with("     word") && lines[1].ends_with("word tail") && lines[2] == "  2. other"
        );
    }

    #[test]
    fn what_belongs_together_stays_together() {
        let long = "word ".repeat(23);
        assert!(wrap(&format!("// {long}`a b c d`\n"), false).ends_with("\n// `a b c d`\n"));
        assert!(wrap(&format!("{long}word - and\n"), true).ends_with("\nword - and\n"));
        for kept in [
            format!("| {long}{long} |\n"),
            format!("```\n{long}{long}\n```\n"),
            format!("let x = \"{long}{long}\";\n"),
        ] {
            assert_eq!(wrap(&kept, kept.starts_with(['|', '`'])), kept);
        }
    }
}
