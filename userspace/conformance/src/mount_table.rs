//! The mounts below the working directory, as `/proc/self/mountinfo` shows them, in a form that can be compared.

use crate::{Failure, Outcome, files, raw, scratch};
use abi::Errno;
use abi::fs::{AT_FDCWD, MS_BIND, MS_REC};
use abi::native::nr;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::ffi::CStr;
use libsyscall::file::{getcwd, mkdirat};
use libsyscall::process::geteuid;
use libsyscall::system::mount;

/// A line of the table.
pub struct Line {
    /// The mount's number.
    pub id: u32,
    /// That of the mount it lies in.
    pub parent: u32,
    /// Where it lies.
    pub place: String,
    /// What stands before the dash: `shared:N` and its like.
    pub tags: Vec<String>,
}

/// All lines of the table, in its order.
pub fn all() -> Result<Vec<Line>, Failure> {
    let text = files::page("/proc/self/mountinfo")?;
    text.lines().map(|line| parse(line).ok_or_else(|| Failure::new(format!("odd: {line}")))).collect()
}

fn parse(line: &str) -> Option<Line> {
    let mut fields = line.split(' ');
    let id = fields.next()?.parse().ok()?;
    let parent = fields.next()?.parse().ok()?;
    let place = fields.nth(2)?.into();
    let tags = fields.skip(1).take_while(|field| *field != "-").map(Into::into).collect();
    Some(Line { id, parent, place, tags })
}

/// The lines below the working directory, whose places begin there.
pub fn here() -> Result<Vec<Line>, Failure> {
    let mut buffer = [0; 4096];
    let top = format!("{}/", getcwd(&mut buffer)?.to_string_lossy());
    let mut lines = all()?;
    lines.retain(|line| line.place.starts_with(&top));
    for line in &mut lines {
        line.place = line.place.split_off(top.len());
    }
    Ok(lines)
}

/// The mounts below the working directory in one text: `place tag tag, …`, by place, and of several on one place the
/// lower first. Peer groups are `A`, `B`, … as they come.
pub fn shown() -> Result<String, Failure> {
    let mut lines = here()?;
    let parents: BTreeMap<u32, u32> = lines.iter().map(|line| (line.id, line.parent)).collect();
    let depth = |id: u32| core::iter::successors(parents.get(&id), |id| parents.get(id)).count();
    lines.sort_by_key(|line| (line.place.clone(), depth(line.id)));
    let mut groups = vec![];
    let mut letter = |number: &str| {
        let known = groups.iter().position(|group| group == number);
        let index = known.unwrap_or_else(|| {
            groups.push(String::from(number));
            groups.len() - 1
        });
        char::from(b'A' + u8::try_from(index % 26).unwrap_or(0))
    };
    let mut text = vec![];
    for line in lines {
        let mut words = vec![line.place];
        words.extend(line.tags.iter().map(|tag| match tag.split_once(':') {
            Some((kind, number)) => format!("{kind}:{}", letter(number)),
            None => tag.clone(),
        }));
        text.push(words.join(" "));
    }
    Ok(text.join(", "))
}

/// Makes a directory with a tmpfs on it.
pub fn tmpfs(path: &str) -> Outcome {
    folder(path)?;
    Ok(mount(c"t", &ulib::c_string(path)?, c"tmpfs", 0, None)?)
}

/// Makes a directory, if there is none.
pub fn folder(path: &str) -> Outcome {
    match mkdirat(AT_FDCWD, &ulib::c_string(path)?, 0o755) {
        Err(Errno::EEXIST) | Ok(()) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// mount(2) of what has no type: binds, moves, changes of propagation.
pub fn change(from: &str, to: &str, flags: u64) -> Result<(), Errno> {
    let text = |path: &str| ulib::c_string(path).map_err(|_| Errno::EINVAL);
    mount(&text(from)?, &text(to)?, c"", flags, None)
}

/// Changes what is mounted at a path, or below it, as the flags say: its propagation.
pub fn set(path: &str, flags: u64) -> Result<(), Errno> {
    change("", path, flags)
}

/// A tmpfs of its own, private, as the working directory; false where this process may not mount.
pub fn begin() -> Result<bool, Failure> {
    if geteuid() != 0 {
        return Ok(false);
    }
    scratch::enter_tmpfs()?;
    Ok(true)
}

/// Shows a directory at a second place, which is made if there is none.
pub fn bind(from: &str, to: &str) -> Outcome {
    folder(to)?;
    Ok(change(from, to, MS_BIND)?)
}

/// The same with all that is mounted inside.
pub fn bind_tree(from: &str, to: &str) -> Outcome {
    folder(to)?;
    Ok(change(from, to, MS_BIND | MS_REC)?)
}

/// umount2(2).
pub fn unmount(path: &str, flags: u32) -> Result<(), Errno> {
    let path: &CStr = &ulib::c_string(path).map_err(|_| Errno::EINVAL)?;
    raw::call(nr::umount2, &[path.as_ptr() as u64, u64::from(flags)]).map(drop)
}
