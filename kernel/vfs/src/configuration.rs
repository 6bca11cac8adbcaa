//! The configuration of an instance of a file system: what is said of it before it is made and mounted, or changed
//! (Linux: `fs_context`).
//!
//! mount(2) says all at once; by fsopen(2) and its kin it is said step by step, to a descriptor ([`ConfigurationFile`])
//! from which what was wrong can be read. Steps come in an order: parameters, making, one mount; then parameters and
//! changes, as often as one likes. Of an instance there is held a mount that is attached nowhere, so that the instance
//! lasts as long.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::fs::{MS_DIRSYNC, MS_LAZYTIME, MS_MANDLOCK, MS_RDONLY, MS_SYNCHRONOUS};
use libkernel::addr::PAGE_SIZE;
use memory::user::IoSink;
use outcome::{Failure, OrErrno};
use sched::turns::Turns;
use subject::{Credentials, capability};

use super::context::FsContext;
use super::file::File;
use super::filesystem::{FileSystem, FileSystemType};
use super::mount::Mount;
use super::operations::FileOperations;
use super::parameter::{Value, Verdict};
use super::types::find_source;

/// The `MS_*` flags that a whole file system can have. What is written at once is so in any case: it is memory.
pub const FILE_SYSTEM_FLAGS: u64 = MS_RDONLY | MS_SYNCHRONOUS | MS_DIRSYNC | MS_MANDLOCK | MS_LAZYTIME;

/// Those that can change later (Linux: `MS_RMT_MASK`).
const CHANGEABLE_FLAGS: u64 = FILE_SYSTEM_FLAGS & !MS_DIRSYNC;

/// Words that every type knows, with the flag that each sets or clears: mount(8), "Filesystem-independent mount
/// options" (Linux: `vfs_parse_sb_flag`).
const FLAG_WORDS: [(&[u8], u64, bool); 9] = [
    (b"ro", MS_RDONLY, true),
    (b"rw", MS_RDONLY, false),
    (b"sync", MS_SYNCHRONOUS, true),
    (b"async", MS_SYNCHRONOUS, false),
    (b"dirsync", MS_DIRSYNC, true),
    (b"mand", MS_MANDLOCK, true),
    (b"nomand", MS_MANDLOCK, false),
    (b"lazytime", MS_LAZYTIME, true),
    (b"nolazytime", MS_LAZYTIME, false),
];

/// Messages that are kept for who reads them.
const MESSAGES: usize = 8;

/// What is said of an instance.
pub struct Configuration {
    kind: &'static dyn FileSystemType,
    /// Whether parameters are looked at together, when the instance is made.
    is_whole: bool,
    phase: Phase,
    /// Who began it: to whom belongs what is made.
    by: Arc<Credentials>,
    source: Option<Vec<u8>>,
    /// `MS_*` flags of the file system, and of which of them something was said.
    flags: u64,
    mask: u64,
    parameters: Vec<Parameter>,
    /// A mount of the instance that is attached nowhere.
    instance: Option<Arc<Mount>>,
    messages: VecDeque<Vec<u8>>,
}

struct Parameter {
    name: Vec<u8>,
    value: Option<Vec<u8>>,
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Parameters of an instance that is to be made.
    Making,
    /// It is made, and not mounted.
    Made,
    /// Parameters of a change.
    Changing,
    /// Nothing: a step has failed.
    Failed,
}

impl Configuration {
    /// Of an instance that is to be made, for who asks for it, with these `MS_*` flags.
    pub fn of_new(kind: &'static dyn FileSystemType, by: Arc<Credentials>, flags: u64) -> Configuration {
        let is_whole = kind.is_configured_whole();
        Configuration {
            kind,
            is_whole,
            phase: Phase::Making,
            by,
            source: None,
            flags: flags & FILE_SYSTEM_FLAGS,
            mask: 0,
            parameters: Vec::new(),
            instance: None,
            messages: VecDeque::new(),
        }
    }

    /// Of the instance that a mount shows; of the flags of `mask` it is said how they are to be.
    pub fn of_existing(mount: &Mount, by: Arc<Credentials>, flags: u64, mask: u64) -> Configuration {
        let held = another(mount, 0);
        Configuration {
            is_whole: false,
            phase: Phase::Changing,
            flags,
            mask: mask & CHANGEABLE_FLAGS,
            instance: Some(held),
            ..Configuration::of_new(mount.filesystem.kind, by, 0)
        }
    }

    /// One parameter. EBUSY when it is not the time for any, EINVAL for one that the type does not know or take, which
    /// leaves a message.
    pub fn set(&mut self, name: &[u8], value: Value<'_>) -> Result<(), Errno> {
        if !matches!(self.phase, Phase::Making | Phase::Changing) {
            return Err(Errno::EBUSY);
        }
        if let Some(&(_, flag, is_set)) = FLAG_WORDS.iter().find(|(word, ..)| *word == name) {
            self.mask |= flag;
            self.flags = if is_set { self.flags | flag } else { self.flags & !flag };
            return Ok(());
        }
        if name == b"source" {
            return self.set_source(value);
        }
        if self.is_whole {
            return self.set_unseen(name, value);
        }
        let (kind, written) =
            (self.kind.name().as_bytes(), if let Value::Text(text) = value { text } else { b"" });
        match self.kind.parameter(name, value) {
            Verdict::Taken => {
                self.parameters.retain(|parameter| parameter.name != name);
                self.keep(name, value)
            }
            Verdict::Ignored => Ok(()),
            Verdict::Unknown => self.refuse(&[kind, b": Unknown parameter '", name, b"'"]),
            Verdict::BadValue => self.refuse(&[kind, b": Bad value for '", name, b"'"]),
            Verdict::UnexpectedValue => self.refuse(&[kind, b": Unexpected value for '", name, b"'"]),
            Verdict::Unsupported => self.refuse(&[kind, b": Unsupported parameter '", name, b"'"]),
            Verdict::Wrong(words) => self.refuse(&[kind, b": ", words.as_bytes(), b" - ", written, b"\n"]),
        }
    }

    /// What is to be mounted (Linux: `vfs_parse_fs_param_source`).
    fn set_source(&mut self, value: Value<'_>) -> Result<(), Errno> {
        let Value::Text(text) = value else { return self.refuse(&[b"Non-string source"]) };
        if self.source.is_some() {
            return self.refuse(&[b"Multiple sources"]);
        }
        self.source = Some(copy(text)?);
        Ok(())
    }

    /// A parameter that is looked at later, as a text among others (Linux: `legacy_parse_param`).
    fn set_unseen(&mut self, name: &[u8], value: Value<'_>) -> Result<(), Errno> {
        let written: &[u8] = if let Value::Text(text) = value { text } else { b"" };
        if name.contains(&b',') || written.contains(&b',') {
            return self.refuse(&[b"VFS: Legacy: Option '", name, b"' contained comma"]);
        }
        let length = |name: &[u8], value: &[u8]| name.len() + value.len() + 2;
        let lengths =
            self.parameters.iter().map(|kept| length(&kept.name, kept.value.as_deref().unwrap_or_default()));
        if lengths.sum::<usize>() + length(name, written) > PAGE_SIZE as usize {
            return self.refuse(&[b"VFS: Legacy: Cumulative options too large"]);
        }
        self.keep(name, value)
    }

    fn keep(&mut self, name: &[u8], value: Value<'_>) -> Result<(), Errno> {
        let value = if let Value::Text(text) = value { Some(copy(text)?) } else { None };
        self.parameters.try_reserve(1).or_errno()?;
        self.parameters.push(Parameter { name: copy(name)?, value });
        Ok(())
    }

    /// EINVAL, with a message that says why: of many the last ones.
    fn refuse(&mut self, words: &[&[u8]]) -> Result<(), Errno> {
        let mut text = Vec::new();
        let length = words.iter().map(|word| word.len()).sum::<usize>() + 3;
        if text.try_reserve_exact(length).is_err() || self.messages.try_reserve(1).is_err() {
            return Err(Errno::EINVAL);
        }
        text.extend_from_slice(b"e ");
        words.iter().for_each(|word| text.extend_from_slice(word));
        text.push(b'\n');
        if self.messages.len() == MESSAGES {
            self.messages.pop_front();
        }
        self.messages.push_back(text);
        Err(Errno::EINVAL)
    }

    /// All the parameters of a text: `name,name=value,…`.
    pub fn set_all(&mut self, text: &[u8]) -> Result<(), Errno> {
        for word in text.split(|&byte| byte == b',').filter(|word| !word.is_empty()) {
            let mut halves = word.splitn(2, |&byte| byte == b'=');
            let name = halves.next().unwrap_or_default();
            self.set(name, halves.next().map_or(Value::None, Value::Text))?;
        }
        Ok(())
    }

    /// Makes the instance, for a caller who stands in `context`. EBUSY when it is not the time, EPERM for who may not;
    /// what the type says, and [`find_source`] of the source.
    pub fn make(&mut self, context: &FsContext, by: &Credentials) -> Result<(), Errno> {
        if self.phase != Phase::Making {
            return Err(Errno::EBUSY);
        }
        by.require(capability::SYS_ADMIN)?;
        self.phase = Phase::Failed;
        self.instance = Some(self.instance(context, by)?);
        self.phase = Phase::Made;
        Ok(())
    }

    fn instance(&self, context: &FsContext, by: &Credentials) -> Result<Arc<Mount>, Errno> {
        let options = self.options()?;
        let source = find_source(self.kind, self.source.as_deref().unwrap_or_default(), context, by)?;
        let root = self.kind.mount(source, &options, &self.by)?;
        let filesystem = root.inode().filesystem.clone();
        if self.is_whole {
            change(&filesystem, &options, self.flags)?;
        } else if !filesystem.is_mounted() {
            filesystem.set_flags(self.flags)?;
        }
        let source = self.source.as_deref().unwrap_or(b"none");
        Ok(Mount::new(filesystem, root, Arc::from(source), 0))
    }

    /// What was said to the type, as a text.
    fn options(&self) -> Result<Vec<u8>, Errno> {
        let mut text = Vec::new();
        for Parameter { name, value } in &self.parameters {
            let value = value.as_deref();
            text.try_reserve(name.len() + value.map_or(0, <[u8]>::len) + 2).or_errno()?;
            text.extend_from_slice(name);
            if let Some(value) = value {
                text.push(b'=');
                text.extend_from_slice(value);
            }
            text.push(b',');
        }
        Ok(text)
    }

    /// A mount of what was made, not yet attached, with `MS_*` flags of its own; afterwards there can be changes.
    /// EINVAL where nothing was made, EBUSY when it is not the time.
    pub fn mount(&mut self, flags: u64) -> Result<Arc<Mount>, Errno> {
        let instance = self.instance.as_ref().ok_or(Errno::EINVAL)?;
        if self.phase != Phase::Made {
            return Err(Errno::EBUSY);
        }
        let mount = another(instance, flags);
        self.begin_change();
        Ok(mount)
    }

    /// Changes the instance. EBUSY when it is not the time, or somebody writes where nobody is to write, EPERM for who
    /// may not, EINVAL for what cannot change. Nothing has changed on an error.
    pub fn change(&mut self, by: &Credentials) -> Result<(), Errno> {
        if self.phase != Phase::Changing {
            return Err(Errno::EBUSY);
        }
        self.phase = Phase::Failed;
        by.require(capability::SYS_ADMIN)?;
        if self.mask & !CHANGEABLE_FLAGS != 0 {
            return Err(Errno::EINVAL);
        }
        let filesystem = &self.instance.as_ref().ok_or(Errno::EINVAL)?.filesystem;
        change(filesystem, &self.options()?, filesystem.flags() & !self.mask | self.flags & self.mask)?;
        self.begin_change();
        Ok(())
    }

    /// What was said is done. A flag that was set once goes with the next change unless that sets it again (Linux:
    /// `vfs_clean_context`, which leaves `sb_flags_mask`).
    fn begin_change(&mut self) {
        self.parameters.clear();
        self.source = None;
        self.flags = 0;
        self.phase = Phase::Changing;
    }
}

/// Changes options and flags of an instance, both or neither. EBUSY where somebody writes that is to be read only.
fn change(filesystem: &FileSystem, options: &[u8], flags: u64) -> Result<(), Errno> {
    if flags & MS_RDONLY == 0 {
        filesystem.reconfigure(options)?;
        return filesystem.set_flags(flags);
    }
    let before = filesystem.flags();
    filesystem.set_flags(flags)?;
    filesystem.reconfigure(options).inspect_err(|_| {
        // Nobody writes yet, where nobody did.
        let _ = filesystem.set_flags(before);
    })
}

/// Another mount of the same, attached nowhere.
fn another(mount: &Mount, flags: u64) -> Arc<Mount> {
    Mount::new(mount.filesystem.clone(), mount.root.clone(), mount.source.clone(), flags)
}

fn copy(bytes: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).or_errno()?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

/// What the descriptor of fsopen(2) or fspick(2) refers to: a configuration, which belongs to one call for as long as
/// it takes, as making an instance can.
pub struct ConfigurationFile {
    /// Whether parameters are texts alone (Linux: `legacy_fs_context_ops`).
    pub takes_texts_only: bool,
    /// The configuration.
    pub configuration: Turns<Configuration>,
}

impl ConfigurationFile {
    /// What `/proc/PID/fd` shows.
    pub const LABEL: &str = "anon_inode:[fscontext]";

    /// With this configuration.
    pub fn new(configuration: Configuration) -> Arc<ConfigurationFile> {
        let takes_texts_only = configuration.is_whole;
        Arc::new(ConfigurationFile { takes_texts_only, configuration: Turns::new(configuration) })
    }
}

impl FileOperations for ConfigurationFile {
    /// The next message, whole. ENODATA where there is none, EMSGSIZE for one that does not fit, which stays.
    fn read(&self, _file: &File, _position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        let mut configuration = self.configuration.take()?;
        let length = configuration.messages.front().ok_or(Errno::ENODATA)?.len();
        if length > sink.remaining() {
            return Err(Errno::EMSGSIZE.into());
        }
        let message = configuration.messages.pop_front().unwrap_or_default();
        drop(configuration);
        Ok(sink.put_whole(&message)?)
    }

    fn is_pollable(&self) -> bool {
        false
    }
}
