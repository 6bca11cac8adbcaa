//! Making core dumps in the test's folder, and reading them.

use abi::core_dump::*;
use abi::native::core_dump::GeneralRegisters;
use abi::process::WaitStatus;
use abi::resource::{RLIMIT_CORE, Rlimit};
use alloc::vec::Vec;
use conformance::{Failure, Outcome, arch, check, child, files, scratch};
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::process::{getpid, kill, prlimit64};
use zerocopy::FromBytes;

/// No limit.
pub const UNLIMITED: u64 = u64::MAX;

/// A setting of `/proc/sys`, which is as it was when this is dropped.
pub struct Setting {
    path: &'static CStr,
    before: Vec<u8>,
}

impl Setting {
    /// Sets it.
    pub fn new(path: &'static CStr, text: &str) -> Result<Setting, Failure> {
        if newfstatat(abi::fs::AT_FDCWD, c"/proc/self", abi::fs::AT_SYMLINK_NOFOLLOW).is_err() {
            let _ = mkdirat(abi::fs::AT_FDCWD, c"/proc", 0o555);
            libsyscall::system::mount(c"proc", c"/proc", c"proc", 0, None)?;
        }
        let setting = Setting { path, before: files::content(path)? };
        setting.set(text.as_bytes())?;
        Ok(setting)
    }

    /// Sets it to something else.
    pub fn set(&self, bytes: &[u8]) -> Outcome {
        store(self.path, bytes)
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        let _ = self.set(&self.before);
    }
}

/// Writes into a file that is there.
pub fn store(path: &CStr, bytes: &[u8]) -> Outcome {
    let fd = open(path, abi::fs::O_WRONLY, 0)?;
    let written = write(fd, bytes);
    close(fd)?;
    check!(written? == bytes.len());
    Ok(())
}

/// A folder of its own, dumps named by `pattern`.
pub fn prepare(pattern: &str) -> Result<Setting, Failure> {
    scratch::enter()?;
    Setting::new(c"/proc/sys/kernel/core_pattern", pattern)
}

/// Lets this process leave so much.
pub fn limit(bytes: u64) -> Outcome {
    prlimit64(0, RLIMIT_CORE, Some(&Rlimit { rlim_cur: bytes, rlim_max: UNLIMITED }))?;
    Ok(())
}

/// Ends this process by a signal.
pub fn die(signal: u32) -> i32 {
    let _ = kill(getpid(), signal);
    loop {
        ulib::time::sleep(core::time::Duration::from_secs(1));
    }
}

/// How a child ends that may leave so many bytes, does `body`, and gets SIGABRT; and which it was.
pub fn crash(bytes: u64, body: impl FnOnce() -> Outcome) -> Result<(i32, WaitStatus), Failure> {
    let pid = child::start(|| match limit(bytes).and_then(|()| body()) {
        Ok(()) => die(abi::signal::SIGABRT),
        Err(failure) => {
            ulib::println!("in a child: {failure}");
            1
        }
    })?;
    Ok((pid, child::wait(pid)?))
}

/// A range of memory in a dump.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub flags: u32,
    pub offset: usize,
    pub address: u64,
    pub stored: u64,
    pub size: u64,
}

/// A note: name without its end, kind, content.
type Note<'a> = (&'a [u8], u32, &'a [u8]);

/// A core dump: its headers and notes, and the open file.
pub struct Core {
    fd: i32,
    bytes: Vec<u8>,
}

impl Drop for Core {
    fn drop(&mut self) {
        let _ = close(self.fd);
    }
}

/// The most bytes that headers and notes have.
const HEAD: usize = 256 << 10;

fn word(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes.get(offset..)?.first_chunk().map(|word| u64::from_le_bytes(*word))
}

fn half(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|word| u32::from_le_bytes(*word))
}

impl Core {
    /// Reads one, whose file header must be right.
    pub fn read(path: &CStr) -> Result<Core, Failure> {
        let fd = open(path, abi::fs::O_RDONLY, 0)?;
        let mut bytes = alloc::vec![0; HEAD];
        let length = pread64(fd, &mut bytes, 0)?;
        bytes.truncate(length);
        // ELF of 64 bits, little-endian, version 1, for no particular system; a core dump.
        check!(bytes.starts_with(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0"));
        check!(bytes.get(18..20) == Some(&arch::core_dump::MACHINE.to_le_bytes()));
        let sizes = [(52, 64), (54, 56)];
        check!(sizes.iter().all(|(at, size)| half(&bytes, *at).map(|both| both & 0xffff) == Some(*size)));
        check!((word(&bytes, 24), word(&bytes, 32)) == (Some(0), Some(64)));
        Ok(Core { fd, bytes })
    }

    fn headers(&self) -> impl Iterator<Item = (u32, Segment)> {
        let count = half(&self.bytes, 56).unwrap_or(0) as usize & 0xffff;
        (0..count).filter_map(|index| {
            let at = 64 + 56 * index;
            let number = |offset| word(&self.bytes, at + offset);
            let segment = Segment {
                flags: half(&self.bytes, at + 4)?,
                offset: number(8)? as usize,
                address: number(16)?,
                stored: number(32)?,
                size: number(40)?,
            };
            Some((half(&self.bytes, at)?, segment))
        })
    }

    /// The ranges of memory.
    pub fn segments(&self) -> Vec<Segment> {
        self.headers().filter(|(kind, _)| *kind == 1).map(|(_, segment)| segment).collect()
    }

    /// The range that holds an address.
    pub fn segment(&self, address: u64) -> Result<Segment, Failure> {
        let found =
            self.segments().into_iter().find(|one| (one.address..one.address + one.size).contains(&address));
        found.ok_or_else(|| Failure::new(alloc::format!("nothing at {address:#x}")))
    }

    /// The byte at an address, if the dump stores it.
    pub fn byte(&self, address: u64) -> Option<u8> {
        let segment = self.segment(address).ok()?;
        let within = address - segment.address;
        if within >= segment.stored {
            return None;
        }
        let mut byte = [0];
        let length = pread64(self.fd, &mut byte, segment.offset as u64 + within).ok()?;
        (length == 1).then_some(byte[0])
    }

    /// How many bytes the file must have.
    pub fn whole_size(&self) -> usize {
        self.headers().map(|(_, one)| one.offset + one.stored as usize).max().unwrap_or(0)
    }

    /// How many it has.
    pub fn size(&self) -> usize {
        fstat(self.fd).map_or(0, |stat| stat.st_size as usize)
    }

    /// All notes.
    pub fn notes(&self) -> Result<Vec<Note<'_>>, Failure> {
        let (kind, place) = self.headers().next().ok_or_else(|| Failure::new("no header"))?;
        check!(kind == 4 && place.size == 0);
        let mut rest = self.bytes.get(place.offset..place.offset + place.stored as usize).unwrap_or_default();
        let mut notes = Vec::new();
        while let (Some(name), Some(length), Some(kind)) = (half(rest, 0), half(rest, 4), half(rest, 8)) {
            let start = 12 + (name as usize).next_multiple_of(4);
            let (name, content) =
                (rest.get(12..12 + name as usize - 1), rest.get(start..start + length as usize));
            let (Some(name), Some(content)) = (name, content) else { break };
            notes.push((name, kind, content));
            rest = rest.get(start + (length as usize).next_multiple_of(4)..).unwrap_or_default();
        }
        check!(rest.is_empty());
        Ok(notes)
    }

    /// The content of the first note of a kind.
    pub fn note(&self, wanted: u32) -> Result<&[u8], Failure> {
        let found = self.notes()?.into_iter().find(|(_, kind, _)| *kind == wanted);
        found
            .map(|(_, _, content)| content)
            .ok_or_else(|| Failure::new(alloc::format!("no note {wanted:#x}")))
    }

    /// The threads, in the order of the file.
    pub fn threads(&self) -> Result<Vec<Thread<'_>>, Failure> {
        let mut threads: Vec<Thread<'_>> = Vec::new();
        for (_, kind, content) in self.notes()? {
            match threads.last_mut() {
                _ if kind == NT_PRSTATUS => threads.push(Thread::of(content)?),
                Some(last) => last.notes.push((kind, content)),
                None => {}
            }
        }
        Ok(threads)
    }
}

/// What a dump says of a thread.
pub struct Thread<'a> {
    pub head: PrstatusHead,
    pub registers: GeneralRegisters,
    /// The notes up to the next thread.
    pub notes: Vec<(u32, &'a [u8])>,
}

impl<'a> Thread<'a> {
    fn of(content: &'a [u8]) -> Result<Thread<'a>, Failure> {
        let wrong = |_| Failure::new("a short status");
        let (head, rest) = PrstatusHead::read_from_prefix(content).map_err(|_| wrong(()))?;
        let (registers, rest) = GeneralRegisters::read_from_prefix(rest).map_err(|_| wrong(()))?;
        let tail = PrstatusTail::read_from_bytes(rest).map_err(|_| wrong(()))?;
        check!(tail.pr_fpvalid == 1);
        Ok(Thread { head, registers, notes: Vec::new() })
    }

    /// The content of one of its notes.
    pub fn note(&self, wanted: u32) -> Result<&'a [u8], Failure> {
        let found = self.notes.iter().find(|(kind, _)| *kind == wanted);
        found.map(|(_, content)| *content).ok_or_else(|| Failure::new(alloc::format!("no note {wanted:#x}")))
    }
}
