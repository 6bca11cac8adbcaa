//! `grep [-Fvincql] EXPRESSION [FILES…]`

use crate::call::{Call, Options, Report};
use crate::text;
use alloc::vec::Vec;
use programs::regular::Expression;
use ulib::{io, print, println};

/// Exit status if nothing was found.
const NOT_FOUND: u8 = 1;
/// Exit status after an error.
const ERROR: u8 = 2;

/// Prints the lines that an expression (`^ $ . * [set]`) fits. Status 0 if there were any, 1 if not, 2 after an error.
pub fn grep(call: &Call<'_>) -> u8 {
    let options = match call.options("FEvincqlh", "e") {
        Ok(options) => options,
        Err(status) => return status,
    };
    let mut operands = options.operands.iter().copied();
    let Some(text) = options.value(b'e').or_else(|| operands.next()) else {
        return call.refuse("expression expected");
    };
    if options.has(b'E') {
        return call.refuse("-E is not supported");
    }
    let text = if options.has(b'i') { text.to_ascii_lowercase() } else { text.to_vec() };
    let expression = if options.has(b'F') { Expression::literal(&text) } else { Expression::parse(&text) };
    let mut paths: Vec<&[u8]> = operands.collect();
    if paths.is_empty() {
        paths.push(b"-");
    }
    let report = call.report();
    let search = Search {
        options: &options,
        expression,
        named: paths.len() > 1 && !options.has(b'h'),
        report: &report,
    };
    let found = paths.iter().fold(false, |found, path| search.search(path) | found);
    match (report.status(), found) {
        (_, true) if options.has(b'q') => 0,
        (1, _) => ERROR,
        (_, true) => 0,
        (_, false) => NOT_FOUND,
    }
}

/// What is looked for, and how it is shown.
struct Search<'a> {
    options: &'a Options<'a>,
    expression: Expression,
    named: bool,
    report: &'a Report,
}

impl Search<'_> {
    /// Goes through one file; whether anything was found.
    fn search(&self, path: &[u8]) -> bool {
        let Some(file) = self.report.check(path, text::open(path)) else { return false };
        let mut lines = io::Lines::new(file.fd());
        let silent = ['q', 'l', 'c'].iter().any(|flag| self.options.has(*flag as u8));
        let (mut count, mut number) = (0u64, 0u64);
        while let Some(Some(line)) = self.report.check(path, lines.next_line()) {
            number += 1;
            let content = line.strip_suffix(b"\n").unwrap_or(&line);
            if self.fits(content) {
                count += 1;
                if !silent {
                    self.print_line(path, number, content);
                }
            }
        }
        if self.options.has(b'l') && count > 0 {
            io::stdout().write(path);
            println!();
        } else if self.options.has(b'c') {
            self.print_name(path);
            println!("{count}");
        }
        count > 0
    }

    fn fits(&self, line: &[u8]) -> bool {
        let fits = match self.options.has(b'i') {
            true => self.expression.is_in(&line.to_ascii_lowercase()),
            false => self.expression.is_in(line),
        };
        fits != self.options.has(b'v')
    }

    fn print_line(&self, path: &[u8], number: u64, line: &[u8]) {
        self.print_name(path);
        if self.options.has(b'n') {
            print!("{number}:");
        }
        io::stdout().write(line);
        println!();
    }

    fn print_name(&self, path: &[u8]) {
        if self.named {
            io::stdout().write(path);
            print!(":");
        }
    }
}
