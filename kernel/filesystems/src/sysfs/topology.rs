//! `cpuN/topology`: which CPUs are threads of one core and cores of one package (Linux: `drivers/base/topology.c`).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use abi::Errno;
use libkernel::sched::cpu_set;
use libkernel::text::Text;
use libkernel::topology::CpuPosition;
use vfs::attributes::FileKind;
use vfs::directory::{DirectoryOperations, Emit, Exposure, Listing};
use vfs::file::FileOperations;
use vfs::generated::content::SequenceFile;
use vfs::generated::{Class, Made, folder, inode_in, list_in_order, ownership};
use vfs::inode::{Body, GeneratedFile, Inode};

/// Inode numbers begin here, above those of the CPUs; each CPU has so many.
const FIRST_NUMBER: u64 = 1 << 33;
const NUMBERS: u64 = 64;

/// Makes a file's text for a CPU.
type Make = fn(usize) -> String;

/// The files.
const FILES: &[(&str, Make)] = &[
    ("core_cpus", |cpu| mask(siblings(cpu, CpuPosition::shares_core))),
    ("core_cpus_list", |cpu| list(siblings(cpu, CpuPosition::shares_core))),
    ("core_id", |cpu| format!("{}\n", hal::cpu::place(cpu).core)),
    ("core_siblings", |cpu| mask(siblings(cpu, CpuPosition::shares_package))),
    ("core_siblings_list", |cpu| list(siblings(cpu, CpuPosition::shares_package))),
    ("package_cpus", |cpu| mask(siblings(cpu, CpuPosition::shares_package))),
    ("package_cpus_list", |cpu| list(siblings(cpu, CpuPosition::shares_package))),
    ("physical_package_id", |cpu| format!("{}\n", hal::cpu::place(cpu).package)),
    ("thread_siblings", |cpu| mask(siblings(cpu, CpuPosition::shares_core))),
    ("thread_siblings_list", |cpu| list(siblings(cpu, CpuPosition::shares_core))),
];

fn mask(cpus: u64) -> String {
    cpu_set::mask(cpus, hal::cpu::count()) + "\n"
}

fn list(cpus: u64) -> String {
    cpu_set::list(cpus) + "\n"
}

/// The CPUs, a bit for each, that are together with one of them.
fn siblings(cpu: usize, together: fn(CpuPosition, CpuPosition) -> bool) -> u64 {
    let place = hal::cpu::place(cpu);
    let others = (0..hal::cpu::count()).filter(|&other| together(place, hal::cpu::place(other)));
    others.fold(0, |cpus, other| cpus | 1 << other)
}

/// One of the files of one CPU.
struct CpuFile {
    cpu: usize,
    make: Make,
}

impl GeneratedFile for CpuFile {
    fn open(&self) -> Result<Arc<dyn FileOperations>, Errno> {
        let (cpu, make) = (self.cpu, self.make);
        let write = move |text: &mut Text| {
            text.put(make(cpu).as_bytes());
            Ok(())
        };
        Ok(SequenceFile::open(Made(write), Class::Sysfs))
    }

    fn class(&self) -> Class {
        Class::Sysfs
    }
}

/// `cpuN`.
pub struct CpuDirectory {
    /// N.
    pub cpu: usize,
}

/// `cpuN/topology`.
struct TopologyDirectory {
    cpu: usize,
}

fn number(cpu: usize, index: usize) -> u64 {
    FIRST_NUMBER + cpu as u64 * NUMBERS + index as u64
}

const TOPOLOGY: &str = "topology";

impl Exposure for CpuDirectory {
    fn class(&self) -> Class {
        Class::Sysfs
    }
}

impl DirectoryOperations for CpuDirectory {
    fn look_up(&self, directory: &Inode, name: &[u8]) -> Result<Arc<Inode>, Errno> {
        if name != TOPOLOGY.as_bytes() {
            return Err(Errno::ENOENT);
        }
        let body = folder(TopologyDirectory { cpu: self.cpu });
        Ok(inode_in(directory, number(self.cpu, 0), FileKind::Directory, ownership(0o755), body))
    }

    fn list(&self, position: u64, emit: &mut Emit<'_>) -> Result<(), Errno> {
        if position == 0 {
            let number = number(self.cpu, 0);
            emit(1, Listing { name: TOPOLOGY.as_bytes(), number, kind: FileKind::Directory });
        }
        Ok(())
    }
}

impl Exposure for TopologyDirectory {
    fn class(&self) -> Class {
        Class::Sysfs
    }
}

impl DirectoryOperations for TopologyDirectory {
    fn look_up(&self, directory: &Inode, name: &[u8]) -> Result<Arc<Inode>, Errno> {
        let found = FILES.iter().enumerate().find(|(_, (file, _))| file.as_bytes() == name);
        let (index, &(_, make)) = found.ok_or(Errno::ENOENT)?;
        let body = Body::Made(Box::new(CpuFile { cpu: self.cpu, make }));
        let number = number(self.cpu, index + 1);
        Ok(inode_in(directory, number, FileKind::Regular, ownership(0o444), body))
    }

    fn list(&self, position: u64, emit: &mut Emit<'_>) -> Result<(), Errno> {
        let shown = FILES.iter().enumerate().map(|(index, (name, _))| Listing {
            name: name.as_bytes(),
            number: number(self.cpu, index + 1),
            kind: FileKind::Regular,
        });
        list_in_order(shown, position, emit);
        Ok(())
    }
}
