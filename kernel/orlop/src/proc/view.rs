//! What one instance of procfs shows to whom: `hidepid=`, `gid=` and `subset=` of mount(2): proc(5), "Mount options".
//!
//! Each mount of the type is an instance of its own, with options of its own, which a remount changes at once for
//! whatever is open.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use abi::Errno;
use hal::sync::SpinLock;
use libkernel::text::Text;
use subject::{GroupId, PidNamespace};
use vfs::attribute_operations::AttributeOperations;
use vfs::filesystem::{FileSystem, FileSystemOperations};
use vfs::parameter::{Value, Verdict};

use crate::process::{Process, Thread, current, current_pid_namespace, current_user_namespace, may_inspect};

/// From which degree on (`hidepid=`) something is kept from who may not look into a process. Linux's numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Hiding {
    /// Nothing.
    Off = 0,
    /// What is in its directory.
    NoAccess = 1,
    /// The directory too.
    Invisible = 2,
    /// The same, also from the group of `gid=`.
    Ptraceable = 4,
}

const DEGREES: [(Hiding, &str); 4] = [
    (Hiding::Off, "off"),
    (Hiding::NoAccess, "noaccess"),
    (Hiding::Invisible, "invisible"),
    (Hiding::Ptraceable, "ptraceable"),
];

/// What an instance shows, and its options.
pub struct View {
    /// Whose processes it shows, by whose numbers.
    pid_namespace: Arc<PidNamespace>,
    hiding: AtomicU32,
    /// Who is shown what is hidden from others; none where the number was nobody's.
    group: SpinLock<Option<GroupId>>,
    only_processes: AtomicBool,
}

/// What a list of options says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Options {
    hiding: Option<Hiding>,
    group: Option<u32>,
    only_processes: bool,
}

impl View {
    /// All of the namespace of who mounts it, to everybody.
    pub fn new() -> View {
        View {
            pid_namespace: current_pid_namespace(),
            hiding: AtomicU32::new(Hiding::Off as u32),
            group: SpinLock::new(Some(GroupId::ROOT)),
            only_processes: AtomicBool::new(false),
        }
    }

    /// Takes over options; those that are not named stay. EINVAL for what is none, and then nothing changes.
    pub fn configure(&self, options: &[u8]) -> Result<(), Errno> {
        let options = Options::parse(options)?;
        if let Some(hiding) = options.hiding {
            self.hiding.store(hiding as u32, Ordering::Relaxed);
        }
        if let Some(group) = options.group {
            *self.group.lock() = current_user_namespace().group(group);
        }
        if options.only_processes {
            self.only_processes.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whose processes it shows, by whose numbers.
    pub fn pid_namespace(&self) -> &Arc<PidNamespace> {
        &self.pid_namespace
    }

    /// The degree of hiding.
    pub fn hiding(&self) -> Hiding {
        let number = self.hiding.load(Ordering::Relaxed);
        let found = DEGREES.iter().find(|(degree, _)| *degree as u32 == number);
        found.map_or(Hiding::Off, |(degree, _)| *degree)
    }

    /// Whether there are processes only: `subset=pid`.
    pub fn has_only_processes(&self) -> bool {
        self.only_processes.load(Ordering::Relaxed)
    }

    /// Whether the running thread sees of a process what is hidden from `least` on (Linux: `has_pid_permissions`).
    pub fn shows(&self, process: &Process, least: Hiding) -> bool {
        let hiding = self.hiding();
        if hiding == Hiding::Ptraceable {
            return may_inspect(process);
        }
        hiding < least || self.is_in_group() || may_inspect(process)
    }

    fn is_in_group(&self) -> bool {
        let group = *self.group.lock();
        let has = |thread: Arc<Thread>| {
            group.is_some_and(|group| thread.with_credentials(|own| own.in_group(group)))
        };
        current().is_none_or(has)
    }
}

impl AttributeOperations for View {}

impl FileSystemOperations for View {
    fn reconfigure(&self, _filesystem: &FileSystem, options: &[u8]) -> Result<(), Errno> {
        self.configure(options)
    }

    fn show_options(&self, _filesystem: &FileSystem, text: &mut Text) {
        /// How a group is shown that can be nobody's (`overflowgid`).
        const OVERFLOW: u32 = 65_534;
        let group = *self.group.lock();
        if group != Some(GroupId::ROOT) {
            let number = group.map_or(OVERFLOW, |group| group.number_in(&current_user_namespace()));
            write!(text, ",gid={number}");
        }
        let hiding = self.hiding();
        if let Some((_, word)) = DEGREES.iter().find(|(degree, _)| *degree == hiding && hiding != Hiding::Off)
        {
            write!(text, ",hidepid={word}");
        }
        if self.has_only_processes() {
            text.put(b",subset=pid");
        }
    }
}

impl Options {
    fn parse(text: &[u8]) -> Result<Options, Errno> {
        let mut options = Options::default();
        for word in text.split(|&byte| byte == b',').filter(|word| !word.is_empty()) {
            let mut halves = word.splitn(2, |&byte| byte == b'=');
            let name = halves.next().unwrap_or_default();
            if options.take(name, halves.next().map_or(Value::None, Value::Text)) != Verdict::Taken {
                return Err(Errno::EINVAL);
            }
        }
        Ok(options)
    }

    /// Takes one over (Linux: `proc_parse_param`).
    fn take(&mut self, name: &[u8], value: Value<'_>) -> Verdict {
        let Value::Text(text) = value else {
            let is_known = matches!(name, b"hidepid" | b"gid" | b"subset");
            return if is_known { Verdict::BadValue } else { Verdict::Unknown };
        };
        match name {
            b"hidepid" => {
                self.hiding = hiding(text).or(self.hiding);
                hiding(text).map_or(Verdict::Wrong("unknown value of hidepid"), |_| Verdict::Taken)
            }
            b"gid" => {
                self.group = number(text).or(self.group);
                Verdict::of(number(text))
            }
            b"subset" if text == b"pid" => {
                self.only_processes = true;
                Verdict::Taken
            }
            b"subset" => Verdict::Wrong("unsupported subset option"),
            _ => Verdict::Unknown,
        }
    }
}

/// What procfs says of a parameter.
pub fn parameter(name: &[u8], value: Value<'_>) -> Verdict {
    Options::default().take(name, value)
}

fn hiding(value: &[u8]) -> Option<Hiding> {
    let found = match number(value) {
        Some(number) => DEGREES.iter().find(|(degree, _)| *degree as u32 == number),
        None => DEGREES.iter().find(|(_, word)| word.as_bytes() == value),
    };
    found.map(|(degree, _)| *degree)
}

/// A number as Linux's `kstrtouint` reads it: in the base that it begins with.
fn number(value: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(value).ok()?;
    let text = text.strip_prefix('+').unwrap_or(text);
    let text = text.strip_suffix('\n').unwrap_or(text);
    let (digits, base) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    if digits.starts_with('+') { None } else { u32::from_str_radix(digits, base).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_linux_reads_them() {
        let parse = |text: &str| Options::parse(text.as_bytes()).ok();
        let hiding = |text: &str| parse(text).and_then(|options| options.hiding);
        for text in ["hidepid=2", "hidepid=02", "hidepid=+2", "hidepid=0x2", "hidepid=invisible"] {
            assert_eq!(hiding(text), Some(Hiding::Invisible), "{text}");
        }
        assert_eq!(hiding("hidepid=1,hidepid=off"), Some(Hiding::Off));
        assert_eq!(parse(",gid=0x10,,"), Some(Options { group: Some(16), ..Options::default() }));
        assert_eq!(parse("subset=pid"), Some(Options { only_processes: true, ..Options::default() }));
        for text in [
            "hidepid",
            "hidepid=",
            "hidepid=3",
            "hidepid=5",
            "hidepid= 2",
            "hidepid=2 ",
            "hidepid=++2",
            "gid=-1",
            "gid=x",
            "gid",
            "gid=4294967296",
            "gid=08",
            "subset",
            "subset=",
            "subset=pid:pid",
            "foo",
            "mode=700",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
