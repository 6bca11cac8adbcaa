//! The lines of source that a failed kernel's calls stand at, which only the linked file knows: its image holds names.
//!
//! What a kernel writes when it fails is read as it came from the console. A row of its calls is an address and a
//! function (`hal::backtrace::CallSite`); each is an address to return to, but for the first one behind an exception,
//! which was the instruction itself.

use std::fmt::Write;
use std::path::Path;

use addr2line::{Frame, Loader};

use crate::build::readable;
use crate::workspace;

/// What a report begins with, behind its time (`hal::panic`). Its last line has no time before the same words.
const EXCEPTION: &str = "] kernel exception ";
const PANIC: &str = "] Kernel panic - not syncing: ";

/// The calls of the last report in `console` with file and line, those that were compiled into others included; nothing
/// without a report or without the `.elf` that lies beside a `kernel` of this repository.
pub fn of_report(console: &[u8], kernel: &Path) -> String {
    let console = String::from_utf8_lossy(console);
    let addresses = addresses(&console);
    let file = kernel.with_extension("elf");
    if addresses.is_empty() || !file.exists() {
        return String::new();
    }
    let Ok(loader) = Loader::new(&file) else { return String::new() };
    let mut text = String::from("the kernel's calls, by its source:\n");
    addresses.iter().for_each(|&address| tell(&loader, address, &mut text));
    text
}

/// The addresses whose lines tell what a report is about.
fn addresses(console: &str) -> Vec<u64> {
    let exception = console.rfind(EXCEPTION);
    let Some(start) = exception.or_else(|| console.rfind(PANIC)) else { return Vec::new() };
    let mut is_return = exception.is_none();
    let mut addresses = Vec::new();
    for address in console[start..].lines().filter_map(address) {
        // A call may be the last instruction of its function, and the next line belong to another.
        addresses.push(address - u64::from(is_return));
        is_return = true;
    }
    addresses
}

/// The address of a row of calls.
fn address(line: &str) -> Option<u64> {
    let (address, _function) = line.strip_prefix("  0x")?.trim_end().split_once(' ')?;
    u64::from_str_radix(address, 16).ok().filter(|address| address >> 63 == 1)
}

/// Writes the places of one address, the innermost first.
fn tell(loader: &Loader, address: u64, text: &mut String) {
    let Ok(mut frames) = loader.find_frames(address) else { return };
    while let Ok(Some(Frame { function, location, .. })) = frames.next() {
        let name = function.as_ref().and_then(|name| name.raw_name().ok());
        let name = name.as_deref().map_or_else(|| format!("{address:#x}"), readable);
        let Some((file, line)) = location.and_then(|place| place.file.zip(place.line)) else { continue };
        let file = Path::new(file);
        let file = file.strip_prefix(workspace::root()).unwrap_or(file);
        let _ = writeln!(text, "  {}:{line} {name}", file.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_found_by_its_words() {
        let frames = "  0xffffffff80200010 one+0x10\r\n  0xffffffff80200020 two+0x20\r\n";
        let panic = format!(
            "  0xffffffff80300000 earlier+0x1\r\n[    1.5{PANIC}it failed\r\n{frames}---[ end Kernel panic - not syncing: it"
        );
        assert_eq!(addresses(&panic), [0xffff_ffff_8020_000f, 0xffff_ffff_8020_001f]);
        let exception =
            format!("[    1.5{EXCEPTION}14 (code 0x0) on CPU 0\r\n{frames}[    1.6{PANIC}a fault");
        assert_eq!(addresses(&exception), [0xffff_ffff_8020_0010, 0xffff_ffff_8020_001f]);
        assert!(addresses(frames).is_empty());
        let none = format!("[1{PANIC}\n  0x1234 program+0x2\n  0xzz no\n  0xffffffff80200010\n");
        assert!(addresses(&none).is_empty());
    }
}
