//! `ls [-alA1dR] [PATHS…]`

use crate::call::{Call, Options, Report, display};
use abi::fs::{
    S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFSOCK, S_ISGID, S_ISUID, S_ISVTX, Stat,
    device_major, device_minor,
};
use alloc::string::String;
use alloc::vec::Vec;
use programs::calendar::Date;
use ulib::libsyscall::file;
use ulib::{fs, io, println};

/// Lists files and directories, sorted by name.
pub fn ls(call: &Call<'_>) -> u8 {
    let options = match call.options("alA1dR", "") {
        Ok(options) => options,
        Err(status) => return status,
    };
    let report = call.report();
    let paths = options.operands_or(b".");
    let (mut files, mut directories) = (Vec::new(), Vec::new());
    for path in &paths {
        match fs::lstat(path) {
            Err(error) => report.fail(path, error.message()),
            Ok(_) if fs::is_directory(path) && !options.has(b'd') => directories.push(path.to_vec()),
            Ok(_) => files.push(path.to_vec()),
        }
    }
    files.sort();
    directories.sort();
    let titled = paths.len() > 1 || options.has(b'R');
    let mut first = files.is_empty();
    print_names(&files, b"", &options, &report);
    directories.reverse();
    while let Some(directory) = directories.pop() {
        if titled {
            let gap = if first { "" } else { "\n" };
            println!("{gap}{}:", display(&directory));
        }
        first = false;
        list_directory(&directory, &options, &report, &mut directories);
    }
    report.status()
}

/// Lists one directory; with `-R`, those in it go on the stack `left`.
fn list_directory(path: &[u8], options: &Options<'_>, report: &Report, left: &mut Vec<Vec<u8>>) {
    let Some(entries) = report.check(path, fs::read_dir(path)) else { return };
    let hidden = options.has(b'a') || options.has(b'A');
    let names = entries.into_iter().map(|entry| entry.name);
    let mut names: Vec<Vec<u8>> = names.filter(|name| hidden || !name.starts_with(b".")).collect();
    if options.has(b'a') {
        names.extend([b".".to_vec(), b"..".to_vec()]);
    }
    names.sort();
    print_names(&names, path, options, report);
    if options.has(b'R') {
        let inside = names.iter().rev().filter(|name| !matches!(name.as_slice(), b"." | b".."));
        let paths = inside.map(|name| fs::join(path, name));
        left.extend(paths.filter(|path| fs::lstat(path).is_ok_and(|stat| stat.st_mode & S_IFMT == S_IFDIR)));
    }
}

fn print_names(names: &[Vec<u8>], directory: &[u8], options: &Options<'_>, report: &Report) {
    if options.has(b'l') {
        print_long(names, directory, report);
        return;
    }
    match file::window_size(io::STDOUT) {
        Ok(size) if !options.has(b'1') => {
            print_columns(names, if size.ws_col == 0 { 80 } else { size.ws_col.into() })
        }
        _ => names.iter().for_each(|name| {
            io::stdout().write(name);
            println!();
        }),
    }
}

/// Prints names from top to bottom in as many columns as fit.
fn print_columns(names: &[Vec<u8>], width: usize) {
    let column = names.iter().map(Vec::len).max().unwrap_or(0) + 2;
    let columns = (width / column).max(1);
    let rows = names.len().div_ceil(columns);
    for row in 0..rows {
        let mut line = String::new();
        for name in names.iter().skip(row).step_by(rows) {
            line.push_str(&alloc::format!("{:column$}", display(name)));
        }
        println!("{}", line.trim_end());
    }
}

/// Prints a line for each name: permissions, links, owner, group, size, time.
fn print_long(names: &[Vec<u8>], directory: &[u8], report: &Report) {
    let mut rows = Vec::new();
    for name in names {
        let path = fs::join(directory, name);
        let Some(stat) = report.check(&path, fs::lstat(&path)) else { continue };
        let size = match stat.st_mode & S_IFMT {
            S_IFCHR | S_IFBLK => {
                alloc::format!("{}, {}", device_major(stat.st_rdev), device_minor(stat.st_rdev))
            }
            _ => alloc::format!("{}", stat.st_size),
        };
        let mut shown = display(name);
        if stat.st_mode & S_IFMT == S_IFLNK {
            shown.push_str(" -> ");
            shown.push_str(&display(&fs::read_link(&path).unwrap_or_default()));
        }
        rows.push((stat, size, shown));
    }
    let widest = rows.iter().map(|(_, size, _)| size.len()).max().unwrap_or(0);
    for (stat, size, shown) in rows {
        let Stat { st_nlink, st_uid, st_gid, st_mtime, .. } = stat;
        let date = Date::from_seconds(st_mtime).in_short();
        println!(
            "{} {st_nlink:3} {st_uid:4} {st_gid:4} {size:>widest$} {date} {shown}",
            permissions(stat.st_mode)
        );
    }
}

/// `drwxr-xr-x`.
fn permissions(mode: u32) -> String {
    let kind = match mode & S_IFMT {
        S_IFDIR => 'd',
        S_IFLNK => 'l',
        S_IFCHR => 'c',
        S_IFBLK => 'b',
        S_IFIFO => 'p',
        S_IFSOCK => 's',
        _ => '-',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, S_ISUID, 's'), (3, S_ISGID, 's'), (0, S_ISVTX, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}
