//! Commands that read files and print them.

use crate::call::{Call, Options, Report, display, number};
use abi::fs::{O_APPEND, O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use ulib::fs::File;
use ulib::{Errno, io, print, println, process};

/// Bytes moved at a time.
const CHUNK: usize = 16 * 1024;

/// Standard input for `-`, else the file.
pub fn open(path: &[u8]) -> Result<File, Errno> {
    if path == b"-" {
        return ulib::libsyscall::file::dup(io::STDIN).map(File::from_fd);
    }
    File::open(path, O_RDONLY, 0)
}

/// Calls `use_chunk` for all of a file, piece by piece.
fn for_each_chunk(path: &[u8], report: &Report, mut use_chunk: impl FnMut(&[u8])) {
    let Some(file) = report.check(path, open(path)) else { return };
    let mut buffer = alloc::vec![0; CHUNK];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => use_chunk(&buffer[..count]),
            Err(error) => return report.fail(path, error.message()),
        }
    }
}

/// Writes at once, since a reader may be waiting. When nobody reads, there is no use in going on.
fn write_through(chunk: &[u8]) {
    io::stdout().write(chunk);
    if io::stdout().finish().is_err() {
        process::exit(0); // turns into 1 for the error
    }
}

/// `cat [FILES…]`
pub fn cat(call: &Call<'_>) -> u8 {
    let options = match call.options("u", "") {
        Ok(options) => options,
        Err(status) => return status,
    };
    let report = call.report();
    for path in options.operands_or(b"-") {
        for_each_chunk(path, &report, write_through);
    }
    report.status()
}

/// `tee [-a] [FILES…]`
pub fn tee(call: &Call<'_>) -> u8 {
    let options = match call.options("a", "") {
        Ok(options) => options,
        Err(status) => return status,
    };
    let report = call.report();
    let flags = O_WRONLY | O_CREAT | if options.has(b'a') { O_APPEND } else { O_TRUNC };
    let open = |path: &&[u8]| report.check(path, File::open(path, flags, 0o666));
    let files: Vec<File> = options.operands.iter().filter_map(open).collect();
    for_each_chunk(b"-", &report, |chunk| {
        write_through(chunk);
        for file in &files {
            report.check(b"write", file.write_all(chunk));
        }
    });
    report.status()
}

/// The number of lines for `head` and `tail`: `-n N`, else 10.
fn line_count(call: &Call<'_>, options: &Options<'_>) -> Result<usize, u8> {
    let Some(text) = options.value(b'n') else { return Ok(10) };
    let count = number(text).and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| call.refuse(format_args!("{}: not a number", text.escape_ascii())))
}

/// The options of `head` and `tail`, `-N` for `-n N` among them.
fn lines_and_files<'a>(call: &Call<'a>) -> Result<(usize, Vec<&'a [u8]>), u8> {
    if let Some((first, rest)) = call.arguments.split_first()
        && let Some(count) = first.strip_prefix(b"-").and_then(number)
    {
        let options = Call { name: call.name, arguments: rest }.options("", "")?;
        return Ok((usize::try_from(count).unwrap_or(usize::MAX), options.operands_or(b"-")));
    }
    let options = call.options("", "n")?;
    Ok((line_count(call, &options)?, options.operands_or(b"-")))
}

/// `head [-n N] [FILES…]`
pub fn head(call: &Call<'_>) -> u8 {
    let (count, paths) = match lines_and_files(call) {
        Ok(found) => found,
        Err(status) => return status,
    };
    let report = call.report();
    for path in &paths {
        print_title(path, &paths);
        let Some(file) = report.check(path, open(path)) else { continue };
        let mut lines = io::Lines::new(file.fd());
        for _ in 0..count {
            match report.check(path, lines.next_line()) {
                Some(Some(line)) => io::stdout().write(&line),
                _ => break,
            }
        }
    }
    report.status()
}

/// `tail [-n N] [FILES…]`
pub fn tail(call: &Call<'_>) -> u8 {
    let (count, paths) = match lines_and_files(call) {
        Ok(found) => found,
        Err(status) => return status,
    };
    let report = call.report();
    for path in &paths {
        print_title(path, &paths);
        let Some(file) = report.check(path, open(path)) else { continue };
        let mut lines = io::Lines::new(file.fd());
        let mut last = VecDeque::new();
        while let Some(Some(line)) = report.check(path, lines.next_line()) {
            last.push_back(line);
            if last.len() > count {
                last.pop_front();
            }
        }
        last.iter().for_each(|line| io::stdout().write(line));
    }
    report.status()
}

/// The file's name, where there is more than one.
fn print_title(path: &[u8], paths: &[&[u8]]) {
    if paths.len() > 1 {
        println!("==> {} <==", display(path));
    }
}

/// Lines, words and bytes.
#[derive(Clone, Copy, Default)]
struct Counts {
    lines: u64,
    words: u64,
    bytes: u64,
}

impl Counts {
    fn print(&self, options: &Options<'_>, name: &[u8]) {
        let all = !(options.has(b'l') || options.has(b'w') || options.has(b'c'));
        let mut columns = Vec::new();
        for (flag, count) in [(b'l', self.lines), (b'w', self.words), (b'c', self.bytes)] {
            if all || options.has(flag) {
                columns.push(if all { alloc::format!("{count:7}") } else { alloc::format!("{count}") });
            }
        }
        if name != b"-" {
            columns.push(display(name));
        }
        println!("{}", columns.join(" "));
    }
}

/// `wc [-lwc] [FILES…]`
pub fn wc(call: &Call<'_>) -> u8 {
    let options = match call.options("lwc", "") {
        Ok(options) => options,
        Err(status) => return status,
    };
    let report = call.report();
    let paths = options.operands_or(b"-");
    let mut total = Counts::default();
    for path in &paths {
        let mut counts = Counts::default();
        let mut in_word = false;
        for_each_chunk(path, &report, |chunk| {
            counts.bytes += chunk.len() as u64;
            for byte in chunk {
                counts.lines += u64::from(*byte == b'\n');
                let part_of_word = !byte.is_ascii_whitespace();
                counts.words += u64::from(part_of_word && !in_word);
                in_word = part_of_word;
            }
        });
        counts.print(&options, path);
        total.lines += counts.lines;
        total.words += counts.words;
        total.bytes += counts.bytes;
    }
    if paths.len() > 1 {
        total.print(&options, b"total");
    }
    report.status()
}

/// `hexdump [-C] [FILES…]`: offset, sixteen bytes, and what of them can be printed.
pub fn hexdump(call: &Call<'_>) -> u8 {
    let options = match call.options("C", "") {
        Ok(options) => options,
        Err(status) => return status,
    };
    let report = call.report();
    let mut offset = 0;
    let mut pending = Vec::new();
    for path in options.operands_or(b"-") {
        for_each_chunk(path, &report, |chunk| {
            pending.extend_from_slice(chunk);
            let whole = pending.len() / 16 * 16;
            for row in pending[..whole].chunks(16) {
                print_row(&mut offset, row);
            }
            pending.drain(..whole);
        });
    }
    if !pending.is_empty() {
        print_row(&mut offset, &pending);
    }
    if offset > 0 {
        println!("{offset:08x}");
    }
    report.status()
}

fn print_row(offset: &mut usize, row: &[u8]) {
    print!("{offset:08x} ");
    for column in 0..16 {
        if column % 8 == 0 {
            print!(" ");
        }
        match row.get(column) {
            Some(byte) => print!("{byte:02x} "),
            None => print!("   "),
        }
    }
    let shown: String = row
        .iter()
        .map(|&byte| if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '.' })
        .collect();
    println!(" |{shown}|");
    *offset += row.len();
}
