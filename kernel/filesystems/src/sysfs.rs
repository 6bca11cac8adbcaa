//! sysfs: what programs read there of processors, clocks and terminals.
//!
//! `devices/system/cpu` is where C libraries and tools count CPUs, and learn which of them are threads of one core and
//! cores of one package. Nothing is said of their caches; `vulnerabilities` says what speculation lets out, and what is
//! done about it. `class/tty` is where they look for the console. Nothing can be changed but the counter that the
//! clocks run by.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;

use abi::Errno;
use abi::fs::SYSFS_MAGIC;
use hal::sync::Once;
use libkernel::text::Text;
use subject::Credentials;
use vfs::attributes::FileKind;
use vfs::dentry::Dentry;
use vfs::directory::{DirectoryOperations, Emit, Exposure, Listing};
use vfs::filesystem::{FileSystem, FileSystemType, NoOperations, Source};
use vfs::generated::{
    Class, Fixed, FixedDirectory, chosen, directory, file, find_fixed, folder, generated, inode_in,
    list_fixed, new_root, ownership,
};
use vfs::inode::Inode;

pub mod clocksource;
mod terminals;
mod topology;
mod vulnerabilities;

static ROOT: Once<Arc<Dentry>> = Once::new();

/// The machine as files, of which there is one instance, whatever it is mounted on.
pub struct Sysfs;

impl FileSystemType for Sysfs {
    fn name(&self) -> &'static str {
        "sysfs"
    }

    fn magic(&self) -> i64 {
        SYSFS_MAGIC
    }

    fn mount(&self, _source: Source<'_>, _options: &[u8], _by: &Credentials) -> Result<Arc<Dentry>, Errno> {
        let make = || {
            let names = FixedDirectory { number: 0, names: NAMES, class: Class::Sysfs };
            Ok(new_root(&FileSystem::new(&Sysfs, Arc::new(NoOperations))?, names))
        };
        ROOT.get_or_try_init(make).cloned()
    }
}

static NAMES: &[Fixed] = &[
    directory("class", &[chosen("tty", terminals::class)]),
    directory("dev", &[directory("block", &[]), chosen("char", terminals::numbers)]),
    directory("devices", DEVICES),
    directory("kernel", KERNEL),
];

static KERNEL: &[Fixed] = &[
    // Files give capabilities.
    file("fscaps", |text| {
        text.put(b"1\n");
        Ok(())
    }),
    directory("mm", &[directory("transparent_hugepage", HUGE_PAGES)]),
];

/// There are none.
static HUGE_PAGES: &[Fixed] = &[
    file("defrag", |text| {
        text.put(b"always defer defer+madvise madvise [never]\n");
        Ok(())
    }),
    file("enabled", |text| {
        text.put(b"always madvise [never]\n");
        Ok(())
    }),
    file("shmem_enabled", |text| {
        text.put(b"always within_size advise [never] deny force\n");
        Ok(())
    }),
    file("use_zero_page", |text| {
        text.put(b"0\n");
        Ok(())
    }),
];

static DEVICES: &[Fixed] =
    &[directory("system", SYSTEM), directory("virtual", &[chosen("tty", terminals::devices)])];

static SYSTEM: &[Fixed] =
    &[directory("clocksource", clocksource::NAMES), generated("cpu", |number| Box::new(Cpus { number }))];

/// `devices/system/cpu`: fixed names, then a directory for each CPU.
struct Cpus {
    number: u64,
}

/// Where CPUs stand in the list, and their inode numbers begin: above all fixed names.
const FIRST_CPU: u64 = 64;
const FIRST_CPU_NUMBER: u64 = 1 << 32;

static CPU_NAMES: &[Fixed] = &[
    file("kernel_max", |text| {
        writeln!(text, "{}", hal::cpu::MAX_CPUS - 1);
        Ok(())
    }),
    file("offline", |text| {
        text.put(b"\n");
        Ok(())
    }),
    file("online", all_cpus),
    file("possible", all_cpus),
    file("present", all_cpus),
    directory("vulnerabilities", vulnerabilities::FILES),
];

/// Every CPU that was started, as a list of ranges.
fn all_cpus(text: &mut Text) -> Result<(), Errno> {
    match hal::cpu::count() {
        1 => text.put(b"0\n"),
        count => writeln!(text, "0-{}", count - 1),
    }
    Ok(())
}

/// The CPU that a name stands for.
fn parse(name: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(name.strip_prefix(b"cpu")?).ok()?;
    let cpu: u64 = digits.parse().ok()?;
    (cpu < hal::cpu::count() as u64 && format!("{cpu}") == digits).then_some(cpu)
}

impl Exposure for Cpus {
    fn class(&self) -> Class {
        Class::Sysfs
    }
}

impl DirectoryOperations for Cpus {
    fn look_up(&self, directory: &Inode, name: &[u8]) -> Result<Arc<Inode>, Errno> {
        let Some(cpu) = parse(name) else {
            return find_fixed(CPU_NAMES, self.number, Class::Sysfs, directory, name);
        };
        let number = FIRST_CPU_NUMBER + cpu;
        let cpu = usize::try_from(cpu).map_err(|_| Errno::ENOENT)?;
        let body = folder(topology::CpuDirectory { cpu });
        Ok(inode_in(directory, number, FileKind::Directory, ownership(0o755), body))
    }

    fn list(&self, position: u64, emit: &mut Emit<'_>) -> Result<(), Errno> {
        if position < FIRST_CPU && !list_fixed(CPU_NAMES, self.number, position, emit) {
            return Ok(());
        }
        for cpu in position.saturating_sub(FIRST_CPU)..hal::cpu::count() as u64 {
            let name = format!("cpu{cpu}");
            let shown =
                Listing { name: name.as_bytes(), number: FIRST_CPU_NUMBER + cpu, kind: FileKind::Directory };
            if !emit(FIRST_CPU + cpu + 1, shown) {
                break;
            }
        }
        Ok(())
    }
}
