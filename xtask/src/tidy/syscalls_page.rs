//! `docs/syscalls.md`, generated from abi's table.

use std::fmt::Write;

use abi::table::ROWS;
use anyhow::{Context, Result};

use super::{Finding, Mode};
use crate::workspace;

const PAGE: &str = "docs/syscalls.md";

const INTRODUCTION: &str = "\
# System calls

Generated from `abi/src/table.rs` by `cargo xtask tidy --fix`; do not edit.

A call that is `absent` answers ENOSYS. What a call lacks otherwise stands in the last column.

| call | x86_64 | AArch64 | handler | state |
|---|---|---|---|---|
";

/// Compares the page with the table, or writes it.
pub fn check(mode: Mode) -> Result<Finding> {
    let path = workspace::root().join(PAGE);
    let mut problems = Vec::new();
    let page = page();
    if std::fs::read_to_string(&path).ok().as_ref() != Some(&page) {
        match mode {
            Mode::Check => problems.push("run `cargo xtask tidy --fix`".to_owned()),
            Mode::Fix => {
                std::fs::create_dir_all(workspace::root().join("docs"))?;
                std::fs::write(&path, &page).with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
    }
    Ok(Finding { rule: "docs/syscalls.md is what the table says", problems })
}

fn page() -> String {
    let number = |number: Option<u16>| number.map_or("–".to_owned(), |number| number.to_string());
    let mut page = INTRODUCTION.to_owned();
    for row in ROWS {
        let (x86_64, aarch64) = (number(row.x86_64), number(row.aarch64));
        let handler = row.handler.map_or("–".to_owned(), |handler| format!("`{handler}`"));
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| {} | {x86_64} | {aarch64} | {handler} | {} |", row.name, row.completeness);
    }
    let done = ROWS.iter().filter(|row| row.handler.is_some()).count();
    let _ = writeln!(page, "\n{done} of {} calls have a handler.", ROWS.len());
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_on_the_page() {
        let page = page();
        assert!(page.contains("| read | 0 | 63 |"));
        assert!(page.contains("| open | 2 | – |"));
        assert_eq!(page.lines().count(), INTRODUCTION.lines().count() + ROWS.len() + 2);
    }
}
