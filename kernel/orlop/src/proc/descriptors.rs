//! `/proc/PID/fd` and `/proc/PID/fdinfo`: the open files of a process.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;

use abi::Errno;
use abi::fs::O_CLOEXEC;
use libkernel::text::Text;
use vfs::attributes::FileKind;
use vfs::directory::{Admission, DirectoryOperations, Emit, Exposure, Listing};
use vfs::fd_table::OnExec;
use vfs::file::FileOperations;
use vfs::filesystem::FileSystem;
use vfs::generated::content::SequenceFile;
use vfs::generated::{Class, Made, inode_in};
use vfs::inode::{Body, GeneratedFile, Inode, LinkTarget, MagicLink};
use vfs::lock::show::for_each_of;
use vfs::{FdTable, File};

use super::locks::line;
use super::process::shown_path;
use super::subject::Subject;
use super::task::parse_number;

/// What the directory shows of each descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// A link to the file.
    Links,
    /// A text about the opening.
    Texts,
}

/// The descriptors of a process.
pub struct Descriptors {
    pub subject: Subject,
    pub show: Show,
}

impl Descriptors {
    fn table(&self) -> Result<Arc<FdTable>, Errno> {
        table_of(&self.subject)
    }

    fn number(&self, fd: u32) -> u64 {
        const ABOVE_NAMES: u64 = 1 << 48;
        let show = u64::from(self.show == Show::Texts);
        ABOVE_NAMES + (self.subject.inode_number(0) << 20) + u64::from(fd) * 2 + show
    }

    fn kind(&self) -> FileKind {
        if self.show == Show::Links { FileKind::Symlink } else { FileKind::Regular }
    }
}

impl Exposure for Descriptors {
    fn admission(&self, _filesystem: &FileSystem) -> Admission {
        self.subject.admission_of_itself()
    }

    fn class(&self) -> Class {
        Class::Process
    }
}

impl DirectoryOperations for Descriptors {
    fn look_up(&self, directory: &Inode, name: &[u8]) -> Result<Arc<Inode>, Errno> {
        let fd = parse_number(name).ok_or(Errno::ENOENT)?;
        let file = self.table()?.get(fd).map_err(|_| Errno::ENOENT)?;
        let subject = self.subject.clone();
        let (permissions, body) = match self.show {
            Show::Links => {
                let readable = if file.is_readable() { 0o500 } else { 0 };
                let writable = if file.is_writable() { 0o300 } else { 0 };
                (readable | writable, Body::Magic(Box::new(DescriptorLink { subject, fd })))
            }
            Show::Texts => (0o444, Body::Made(Box::new(DescriptorFile { subject, fd }))),
        };
        let ownership = self.subject.ownership(permissions);
        Ok(inode_in(directory, self.number(fd), self.kind(), ownership, body))
    }

    fn list(&self, position: u64, emit: &mut Emit<'_>) -> Result<(), Errno> {
        self.subject.check().map_err(|_| Errno::ENOENT)?;
        // A process that has ended, and was not waited for, has no files.
        let Ok(table) = self.table() else { return Ok(()) };
        let mut next = u32::try_from(position).unwrap_or(u32::MAX);
        while let Some((fd, _)) = table.next_open(next) {
            let name = format!("{fd}");
            let shown = Listing { name: name.as_bytes(), number: self.number(fd), kind: self.kind() };
            if !emit(u64::from(fd) + 1, shown) {
                break;
            }
            next = fd + 1;
        }
        Ok(())
    }
}

/// The table, looked up anew each time: holding it would keep the files of a process open after its end.
fn table_of(subject: &Subject) -> Result<Arc<FdTable>, Errno> {
    subject.thread().and_then(|thread| thread.try_files()).ok_or(Errno::ENOENT)
}

/// The link that stands for a descriptor.
struct DescriptorLink {
    subject: Subject,
    fd: u32,
}

impl DescriptorLink {
    /// The file, for who may look into the process.
    fn file(&self) -> Result<Arc<File>, Errno> {
        let _inspection = self.subject.inspect()?;
        table_of(&self.subject)?.get(self.fd).map_err(|_| Errno::ENOENT)
    }
}

impl MagicLink for DescriptorLink {
    fn follow(&self) -> Result<LinkTarget, Errno> {
        Ok(LinkTarget::Place(self.file()?.location().clone()))
    }

    fn text(&self) -> Result<Arc<[u8]>, Errno> {
        Ok(Arc::from(vfs::short(shown_path(self.file()?.location())?)?))
    }

    fn class(&self) -> Class {
        Class::Process
    }
}

/// What `fdinfo` says of a descriptor.
struct DescriptorFile {
    subject: Subject,
    fd: u32,
}

impl GeneratedFile for DescriptorFile {
    fn open(&self) -> Result<Arc<dyn FileOperations>, Errno> {
        drop(self.subject.inspect()?);
        let (subject, fd) = (self.subject.clone(), self.fd);
        Ok(SequenceFile::open(Made(move |text: &mut Text| describe(&subject, fd, text)), Class::Process))
    }

    fn class(&self) -> Class {
        Class::Process
    }
}

fn describe(subject: &Subject, fd: u32, text: &mut Text) -> Result<(), Errno> {
    let table = table_of(subject)?;
    let file = table.get(fd).map_err(|_| Errno::ENOENT)?;
    let on_exec = table.on_exec(fd).map_err(|_| Errno::ENOENT)?;
    let flags = file.flags() | if on_exec == OnExec::Close { O_CLOEXEC } else { 0 };
    // The position is locked while the file is read, and the file may be this very one: its reader must not wait for
    // itself.
    let position = file.position().try_take().map_or(0, |position| *position);
    let (mount, inode) = (file.location().mount.id, file.inode().number);
    write!(text, "pos:\t{position}\nflags:\t0{flags:o}\nmnt_id:\t{mount}\nino:\t{inode}\n");
    for_each_of(&file, Arc::as_ptr(&table), |lock| {
        text.put(b"lock:\t");
        line(lock, subject.pid_namespace(), text);
    });
    Ok(())
}
