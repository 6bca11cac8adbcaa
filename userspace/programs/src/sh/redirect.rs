//! Redirections of the shell itself, and their undoing.
//!
//! A program inherits the shell's descriptors, so redirecting it means redirecting the shell for the time of its start.

use crate::options::Choice;
use crate::state::Shell;
use abi::fs::{
    F_DUPFD_CLOEXEC, O_APPEND, O_CLOEXEC, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, S_IFMT,
    S_IFREG,
};
use alloc::string::String;
use alloc::vec::Vec;
use programs::shell::expand;
use programs::shell::syntax::{Redirection, Target, Word};
use ulib::fs::File;
use ulib::libsyscall::file::{self, RawFd};
use ulib::{Errno, fs, io};

/// Saved descriptors are kept from here on, out of the way of `n>`.
const FIRST_SAVED: u64 = 10;
/// Here-documents up to this size go through a pipe, whose buffer they fit into.
const PIPE_SIZE: usize = 65_536;

/// Descriptors as they were before redirections; `None` where nothing was open.
pub struct Saved(Vec<(RawFd, Option<File>)>);

impl Saved {
    /// Makes the redirections, in order; undoes those made if one fails.
    pub fn redirect(redirections: &[Redirection], shell: &mut Shell) -> Result<Saved, String> {
        let mut saved = Saved(Vec::new());
        for redirection in redirections {
            if let Err(message) = saved.add(redirection, shell) {
                saved.restore();
                return Err(message);
            }
        }
        Ok(saved)
    }

    fn add(&mut self, redirection: &Redirection, shell: &mut Shell) -> Result<(), String> {
        // What is buffered belongs to where the descriptor leads now. An error stays in the buffer.
        let _ = io::stdout().finish();
        let source = open(&redirection.target, shell)?;
        let old = match file::fcntl(redirection.fd, F_DUPFD_CLOEXEC, FIRST_SAVED) {
            Ok(fd) => Some(File::from_fd(fd as RawFd)),
            Err(_) => None,
        };
        self.0.push((redirection.fd, old));
        let made = match &source {
            Source::File(source) if source.fd() == redirection.fd => clear_close_on_exec(source.fd()),
            Source::File(source) => file::dup3(source.fd(), redirection.fd, 0).map(drop),
            Source::Descriptor(fd) if *fd == redirection.fd => Ok(()),
            Source::Descriptor(fd) => file::dup3(*fd, redirection.fd, 0).map(drop),
            Source::Nothing => file::close(redirection.fd).or(Ok(())),
        };
        if let Source::File(source) = source
            && source.fd() == redirection.fd
        {
            source.into_fd();
        }
        made.map_err(|error| alloc::format!("{}: {}", redirection.fd, error.message()))
    }

    /// Puts the descriptors back.
    pub fn restore(self) {
        if !self.0.is_empty() {
            let _ = io::stdout().finish();
        }
        for (fd, old) in self.0.into_iter().rev() {
            // Both can fail only if a command closed descriptors that are not its own.
            let _ = match old {
                Some(old) => file::dup3(old.fd(), fd, 0).map(drop),
                None => file::close(fd),
            };
        }
    }

    /// Leaves the descriptors as they are now: `exec` without a program.
    pub fn keep(self) {}
}

fn clear_close_on_exec(fd: RawFd) -> Result<(), Errno> {
    file::fcntl(fd, abi::fs::F_SETFD, 0).map(drop)
}

/// Where a redirection leads.
enum Source {
    /// A file opened for it.
    File(File),
    /// A descriptor of the shell.
    Descriptor(RawFd),
    /// Nowhere.
    Nothing,
}

fn open(target: &Target, shell: &mut Shell) -> Result<Source, String> {
    let (word, flags) = match target {
        Target::Read(word) => (word, O_RDONLY),
        Target::Write(word) if shell.options.has(Choice::NoClobber) => {
            let path = expand::to_text(word, shell)?;
            return create(&path).map(Source::File).map_err(|error| cannot(&path, error));
        }
        Target::Write(word) | Target::Overwrite(word) => (word, O_WRONLY | O_CREAT | O_TRUNC),
        Target::Append(word) => (word, O_WRONLY | O_CREAT | O_APPEND),
        Target::ReadWrite(word) => (word, O_RDWR | O_CREAT),
        Target::Duplicate(word) => return descriptor(word, shell),
        Target::Text(word) => {
            let text = expand::to_text(word, shell)?;
            return here_document(&text).map(Source::File).map_err(|error| String::from(error.message()));
        }
    };
    let path = expand::to_text(word, shell)?;
    File::open(&path, flags, 0o666).map(Source::File).map_err(|error| cannot(&path, error))
}

fn cannot(path: &[u8], error: Errno) -> String {
    alloc::format!("{}: {}", path.escape_ascii(), error.message())
}

/// A new file, or one that exists and is none that could be overwritten: a device, a pipe (`set -C`).
fn create(path: &[u8]) -> Result<File, Errno> {
    match File::open(path, O_WRONLY | O_CREAT | O_EXCL, 0o666) {
        Err(Errno::EEXIST) if fs::stat(path).is_ok_and(|stat| stat.st_mode & S_IFMT != S_IFREG) => {
            File::open(path, O_WRONLY, 0)
        }
        outcome => outcome,
    }
}

fn descriptor(word: &Word, shell: &mut Shell) -> Result<Source, String> {
    let text = expand::to_text(word, shell)?;
    if text == b"-" {
        return Ok(Source::Nothing);
    }
    let number = core::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
    number.map(Source::Descriptor).ok_or_else(|| alloc::format!("{}: not a descriptor", text.escape_ascii()))
}

/// A file from which `text` can be read: a pipe, or a file without a name where the text is longer than a pipe takes.
fn here_document(text: &[u8]) -> Result<File, Errno> {
    if text.len() <= PIPE_SIZE {
        let (read_end, write_end) = file::pipe2(O_CLOEXEC)?;
        let (read_end, write_end) = (File::from_fd(read_end), File::from_fd(write_end));
        write_end.write_all(text)?;
        return Ok(read_end);
    }
    let path = alloc::format!("/tmp/.sh-{}", ulib::process::id());
    let writer = File::open(path.as_bytes(), O_WRONLY | O_CREAT | O_TRUNC, 0o600)?;
    let reader = File::open(path.as_bytes(), O_RDONLY, 0);
    file::unlinkat(abi::fs::AT_FDCWD, &ulib::c_string(path)?, 0)?;
    writer.write_all(text)?;
    reader
}
