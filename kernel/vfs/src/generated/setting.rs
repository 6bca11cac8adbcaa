//! Files of `/proc/sys`: settings that are read and written as a whole.
//!
//! Who owns a setting keeps it, usually in an atomic, and acts on it; here are its text and the rules of its file,
//! which are Linux's (`kernel/sysctl.c`): a number is shown at position 0 alone, written there alone, and checked; root
//! has no more rights than the mode says.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use abi::Errno;
use libkernel::setting::{self, Invalid};
use libkernel::text::Text;
use memory::user::{IoSink, IoSource};
use outcome::{Failure, OrErrno};

use super::content::Changes;
use super::{Class, Make};
use crate::file::{File, FileOperations};
use crate::inode::GeneratedFile;
use crate::poll::{PollEvents, Watcher};
use crate::running;

/// What stands behind a file of `/proc/sys`.
#[derive(Clone, Copy)]
pub enum Setting {
    /// A number that is fixed or computed.
    Shown(fn() -> i64),
    /// A number that is fixed; what is written there is taken and changes nothing (Linux: `proc_do_rointvec`).
    Fixed(i64),
    /// A text that is fixed or computed.
    Text(Make),
    /// Numbers that can be written.
    Numbers(&'static [Number]),
    /// A word that can be written.
    Word(&'static Word),
    /// One of a few words.
    Choice(&'static Choice),
}

/// One of a few words.
pub struct Choice {
    names: &'static [&'static str],
    /// Which name it is.
    chosen: AtomicU32,
    /// Whether it stays what it is.
    is_fixed: AtomicBool,
}

impl Choice {
    /// The name at `chosen`.
    pub const fn new(names: &'static [&'static str], chosen: u32) -> Choice {
        Choice { names, chosen: AtomicU32::new(chosen), is_fixed: AtomicBool::new(false) }
    }

    /// Which name it is.
    pub fn chosen(&self) -> u32 {
        self.chosen.load(Relaxed)
    }

    /// Makes it this one for ever. Nothing happens for a name that it does not have.
    pub fn fix(&self, name: &[u8]) {
        self.is_fixed.store(self.choose(name).is_ok(), Relaxed);
    }

    fn choose(&self, name: &[u8]) -> Result<(), Errno> {
        let number = self.names.iter().position(|known| known.as_bytes() == name).ok_or(Errno::EINVAL)?;
        self.chosen.store(number as u32, Relaxed);
        Ok(())
    }

    /// Takes a whole line, as `devkmsg_sysctl_set_loglvl` does; EINVAL for anything else.
    fn store(&self, position: u64, bytes: &[u8]) -> Result<usize, Errno> {
        if self.is_fixed.load(Relaxed) || position != 0 {
            return Err(Errno::EINVAL);
        }
        self.choose(bytes.strip_suffix(b"\n").ok_or(Errno::EINVAL)?)?;
        Ok(bytes.len())
    }
}

/// A number that can be written.
pub struct Number {
    /// What it is.
    pub get: fn() -> i64,
    /// Makes it something else, in the range.
    pub set: fn(i64),
    /// What it may be. EINVAL for anything else.
    pub range: RangeInclusive<i64>,
    /// What a thread needs besides, to write it. EPERM without.
    pub capability: Option<u32>,
}

/// A word that can be written.
pub struct Word {
    /// What it is.
    pub get: fn() -> Vec<u8>,
    /// Makes it something else.
    pub set: fn([&[u8]; 2]),
    /// The most bytes it has.
    pub most: usize,
    /// Tells of its changes.
    pub changes: Option<&'static Changes>,
}

impl Setting {
    fn show(self, text: &mut Text) -> Result<(), Errno> {
        match self {
            Setting::Text(make) => return make(text),
            Setting::Shown(get) => write!(text, "{}", get()),
            Setting::Fixed(value) => write!(text, "{value}"),
            Setting::Numbers(numbers) => {
                for (index, number) in numbers.iter().enumerate() {
                    text.put(if index > 0 { b"\t" } else { b"" });
                    write!(text, "{}", (number.get)());
                }
            }
            Setting::Word(word) => text.put(&(word.get)()),
            Setting::Choice(choice) => {
                let name = choice.names.get(choice.chosen() as usize);
                text.put(name.map_or(&b""[..], |name| name.as_bytes()));
            }
        }
        text.put(b"\n");
        Ok(())
    }

    /// Takes what was written; returns how much of it was used.
    fn store(self, position: u64, bytes: &[u8]) -> Result<usize, Errno> {
        match self {
            Setting::Shown(_) | Setting::Text(_) => Err(Errno::EINVAL),
            Setting::Fixed(_) => Ok(bytes.len()),
            // Linux ignores it (`sysctl_writes_strict`).
            Setting::Numbers(_) if position != 0 => Ok(bytes.len()),
            Setting::Numbers(numbers) => {
                numbers.iter().filter_map(|number| number.capability).try_for_each(require)?;
                let store = |index: usize, value| {
                    let number: &Number = numbers.get(index).ok_or(Invalid)?;
                    let value = i64::try_from(value).map_err(|_| Invalid)?;
                    if !number.range.contains(&value) {
                        return Err(Invalid);
                    }
                    (number.set)(value);
                    Ok(())
                };
                setting::numbers(bytes, numbers.len(), store).map_err(|Invalid| Errno::EINVAL)
            }
            Setting::Choice(choice) => choice.store(position, bytes),
            Setting::Word(word) => {
                let old = (word.get)();
                if let Some(parts) = setting::word(&old, position, bytes, word.most) {
                    (word.set)(parts);
                    word.changes.inspect(|changes| changes.announce());
                }
                Ok(bytes.len())
            }
        }
    }

    fn changes(self) -> Option<&'static Changes> {
        if let Setting::Word(word) = self { word.changes } else { None }
    }
}

fn require(capability: u32) -> Result<(), Errno> {
    running::with_credentials(|credentials| credentials.require(capability)).unwrap_or(Ok(()))
}

/// The file of a setting.
pub struct SettingFile(pub Setting);

impl GeneratedFile for SettingFile {
    fn open(&self) -> Result<Arc<dyn FileOperations>, Errno> {
        let seen = AtomicU64::new(self.0.changes().map_or(0, Changes::count));
        Ok(Arc::new(OpenSetting { setting: self.0, seen }))
    }

    fn class(&self) -> Class {
        Class::Setting
    }
}

/// One opening of it.
struct OpenSetting {
    setting: Setting,
    /// The number of changes that `poll` has told of.
    seen: AtomicU64,
}

impl FileOperations for OpenSetting {
    fn read(&self, _file: &File, position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        let shows_at_start =
            matches!(self.setting, Setting::Shown(_) | Setting::Fixed(_) | Setting::Numbers(_));
        if shows_at_start && position != 0 {
            return Ok(());
        }
        let mut text = Text::new();
        self.setting.show(&mut text)?;
        text.check().or_errno()?;
        let skipped = usize::try_from(position).unwrap_or(usize::MAX);
        if let Some(rest) = text.bytes().get(skipped..).filter(|rest| !rest.is_empty()) {
            sink.put(rest)?;
        }
        Ok(())
    }

    fn write(&self, _file: &File, position: u64, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        /// The longest value that is looked at; what follows is ignored, as Linux ignores it.
        const MOST: usize = 4095;
        let (asked, length) = (source.remaining(), source.remaining().min(MOST));
        if length == 0 {
            return Ok(0);
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length)?;
        bytes.resize(length, 0);
        source.take_whole(&mut bytes)?;
        let stored = self.setting.store(position, &bytes)?;
        Ok(if stored == length { asked } else { stored })
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn can_be_spliced(&self) -> bool {
        true
    }

    fn takes_splices(&self) -> bool {
        true
    }

    fn is_pollable(&self) -> bool {
        true
    }

    fn poll(&self, _file: &File, watcher: &mut Watcher<'_>) -> Result<PollEvents, Errno> {
        let Some(changes) = self.setting.changes() else { return Ok(PollEvents::ALWAYS_READY) };
        let ready = changes.poll(&self.seen, watcher)?;
        let changed = ready.intersects(PollEvents::PRIORITY);
        Ok(if changed { ready } else { PollEvents::ALWAYS_READY })
    }
}
