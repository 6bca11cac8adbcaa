//! `/proc/PID/maps` and `/proc/PID/exe`: what a process has in its memory.

use alloc::vec::Vec;
use core::fmt::Write;

use abi::Errno;
use alloc::string::String;
use libkernel::addr::UserAddr;
use libkernel::fault::Access;

use super::process::{Subject, shown_path};
use crate::fs::mount::Location;
use crate::memory::area::{AreaDescription, Role};

/// Areas that are described under one hold of the address space's lock.
const BATCH: usize = 32;

/// Hands every area to `visit` until it says stop (`false`).
fn each_area(subject: &Subject, mut visit: impl FnMut(AreaDescription) -> bool) -> Result<(), Errno> {
    let space = subject.address_space()?;
    let mut from = UserAddr::new(0);
    loop {
        let batch = space.describe_areas(from, BATCH)?;
        let Some(last) = batch.last() else { return Ok(()) };
        from = last.range.end();
        for area in batch {
            if !visit(area) {
                return Ok(());
            }
        }
    }
}

/// `maps`: proc(5). Empty once the process has ended.
pub fn maps(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let mut text = Vec::new();
    if subject.address_space().is_err() {
        return Ok(text);
    }
    each_area(subject, |area| {
        describe(&mut text, &area);
        true
    })?;
    Ok(text)
}

fn describe(text: &mut Vec<u8>, area: &AreaDescription) {
    /// Where Linux begins the name.
    const NAME_COLUMN: usize = 73;
    let letter = |is_set: bool, letter: char| if is_set { letter } else { '-' };
    let (device, number) = area.file.as_ref().map_or(((0, 0), 0), |file| {
        let device = file.inode().filesystem.device;
        ((device.major, device.minor), file.inode().number)
    });
    let mut line = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        line,
        "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {} ",
        area.range.start().as_u64(),
        area.range.end().as_u64(),
        letter(area.prot.allows(Access::Read), 'r'),
        letter(area.prot.is_writable(), 'w'),
        letter(area.prot.is_executable(), 'x'),
        if area.shared { 's' } else { 'p' },
        area.offset,
        device.0,
        device.1,
        number,
    );
    let start = text.len();
    text.extend_from_slice(line.as_bytes());
    let name = name_of(area);
    if !name.is_empty() {
        let padded = (start + NAME_COLUMN).max(text.len());
        text.resize(padded, b' ');
        text.extend_from_slice(&name);
    }
    text.push(b'\n');
}

fn name_of(area: &AreaDescription) -> Vec<u8> {
    if let Some(file) = &area.file {
        return shown_path(file.location()).unwrap_or_default();
    }
    match area.role {
        Role::None => Vec::new(),
        Role::Heap => b"[heap]".to_vec(),
        Role::Stack => b"[stack]".to_vec(),
        Role::Vvar => b"[vvar]".to_vec(),
        Role::Vdso => b"[vdso]".to_vec(),
        Role::SharedAnonymous => b"/dev/zero (deleted)".to_vec(),
    }
}

/// `exe`: the first file that is mapped for execution, which is the program: everything else lies above it.
pub fn executable(subject: &Subject) -> Result<Location, Errno> {
    let mut found = None;
    each_area(subject, |area| {
        found = area.file.filter(|_| area.prot.is_executable()).map(|file| file.location().clone());
        found.is_none()
    })
    .map_err(|_| Errno::ENOENT)?;
    found.ok_or(Errno::ENOENT)
}
