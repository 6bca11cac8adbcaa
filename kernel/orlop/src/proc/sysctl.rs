//! `/proc/sys`: the kernel's settings.
//!
//! What can be written acts; what the kernel has no mechanism for is shown as it is and cannot be written.

use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU32, Ordering};

use abi::Errno;
use filesystems::pipe;
use hal::sync::Once;
use libkernel::arch::native::{MMAP_RANDOM_BITS, MMAP_RANDOM_BITS_MAX};
use libkernel::entropy::POOL_BITS;
use libkernel::sched::{REAL_TIME_BUDGET_NS, REAL_TIME_PERIOD_NS, ROUND_ROBIN_NS};
use libkernel::text::Text;
use memory::layout;
use sched::watchdog;
use subject::capability;
use vfs::generated::setting::{Number, Setting, Word};
use vfs::generated::{Fixed, directory, setting, setting_with, shown, shown_text};
use vfs::shared_folders;

use crate::exec;
use crate::kmsg;
use crate::namespaces::names::{self, HostNames, Name};
use crate::process;
use crate::random::seeding;
use crate::signal::fatal;
use crate::syscall::system;
use crate::tty::sysrq;

/// `/proc/sys`.
pub static SYS: &[Fixed] =
    &[directory("debug", DEBUG), directory("fs", FS), directory("kernel", KERNEL), directory("vm", VM)];

static DEBUG: &[Fixed] = &[setting("exception-trace", Setting::Numbers(&[EXCEPTION_TRACE]))];

/// What shows users and groups that have no number here; all have one.
const OVERFLOW: fn() -> i64 = || 65_534;
const NONE: fn() -> i64 = || 0;

static FS: &[Fixed] = &[
    setting("dir-notify-enable", Setting::Numbers(&[DIRECTORY_NOTIFY])),
    // Files are limited by memory alone.
    shown("file-max", || i64::MAX),
    setting("lease-break-time", Setting::Numbers(&[LEASE_BREAK_TIME])),
    setting("leases-enable", Setting::Numbers(&[LEASES_ENABLED])),
    setting("mount-max", Setting::Numbers(&[MOUNT_MAX])),
    setting("nr_open", Setting::Numbers(&[OPEN_MAX])),
    shown("overflowgid", OVERFLOW),
    shown("overflowuid", OVERFLOW),
    setting("pipe-max-size", Setting::Numbers(&[PIPE_SIZE])),
    setting("pipe-user-pages-hard", Setting::Numbers(&[PIPE_PAGES_HARD])),
    setting("pipe-user-pages-soft", Setting::Numbers(&[PIPE_PAGES_SOFT])),
    setting("protected_fifos", Setting::Numbers(&[PROTECTED_FIFOS])),
    setting("protected_hardlinks", Setting::Numbers(&[PROTECTED_HARDLINKS])),
    setting("protected_regular", Setting::Numbers(&[PROTECTED_REGULAR])),
    setting("protected_symlinks", Setting::Numbers(&[PROTECTED_SYMLINKS])),
    setting("suid_dumpable", Setting::Numbers(&[SUID_DUMPABLE])),
];

/// A switch of somebody's, who acts on it.
macro_rules! flag {
    ($atomic:expr) => {
        Number {
            get: || i64::from($atomic.load(Ordering::Relaxed)),
            set: |value| $atomic.store(value != 0, Ordering::Relaxed),
            range: 0..=1,
            capability: None,
        }
    };
}

const NS_PER_US: u64 = 1_000;
const NS_PER_MS: u64 = 1_000_000;

static KERNEL: &[Fixed] = &[
    shown_text("arch", |text| line(text, abi::native::process::MACHINE.as_bytes())),
    shown("cap_last_cap", || i64::from(capability::LAST)),
    setting("core_pattern", Setting::Word(&CORE_PATTERN)),
    setting("core_pipe_limit", Setting::Numbers(&[CORE_PIPE_LIMIT])),
    setting("core_uses_pid", Setting::Numbers(&[CORE_USES_PID])),
    setting("dmesg_restrict", Setting::Numbers(&[LOG_RESTRICTED])),
    setting("domainname", Setting::Word(&DOMAIN)),
    setting("hardlockup_panic", Setting::Numbers(&[flag!(watchdog::CPU_PANICS)])),
    setting("hostname", Setting::Word(&HOST)),
    setting("kptr_restrict", Setting::Numbers(&[POINTERS_RESTRICTED])),
    shown("ngroups_max", || 65_536),
    setting("nmi_watchdog", Setting::Numbers(&[flag!(watchdog::WATCHES_CPUS)])),
    shown("ns_last_pid", || i64::from(process::current_pid_namespace().last())),
    shown_text("osrelease", |text| line(text, system::release())),
    shown_text("ostype", |text| line(text, b"Linux")),
    shown("overflowgid", OVERFLOW),
    shown("overflowuid", OVERFLOW),
    // The kernel never goes on after a fault of its own.
    shown("panic_on_oops", || 1),
    setting("pid_max", Setting::Numbers(&[PID_MAX])),
    setting("printk", Setting::Numbers(PRINTK)),
    setting("printk_devkmsg", Setting::Choice(&kmsg::WRITING)),
    setting("printk_ratelimit", Setting::Numbers(&[LOG_INTERVAL])),
    setting("printk_ratelimit_burst", Setting::Numbers(&[LOG_BURST])),
    directory("random", RANDOM),
    setting("randomize_va_space", Setting::Numbers(&[RANDOMIZE])),
    shown("sched_rr_timeslice_ms", || (ROUND_ROBIN_NS / NS_PER_MS).cast_signed()),
    shown("sched_rt_period_us", || (REAL_TIME_PERIOD_NS / NS_PER_US).cast_signed()),
    shown("sched_rt_runtime_us", || (REAL_TIME_BUDGET_NS / NS_PER_US).cast_signed()),
    setting("soft_watchdog", Setting::Numbers(&[flag!(watchdog::WATCHES_TASKS)])),
    setting("softlockup_panic", Setting::Numbers(&[flag!(watchdog::TASK_PANICS)])),
    shown("sysctl_writes_strict", || 1),
    setting("sysrq", Setting::Numbers(&[SYSRQ])),
    shown("tainted", NONE),
    setting("threads-max", Setting::Numbers(&[THREADS_MAX])),
    shown_text("version", |text| line(text, system::version())),
    setting("watchdog_thresh", Setting::Numbers(&[WATCHDOG_THRESHOLD])),
];

static RANDOM: &[Fixed] = &[
    shown_text("boot_id", boot_id),
    // In bits: random(4).
    shown("entropy_avail", || i64::from(seeding::bits())),
    shown("poolsize", || i64::from(POOL_BITS)),
    // No number of the generator's that could be set has a meaning any more, on Linux either.
    setting("urandom_min_reseed_secs", Setting::Fixed(60)),
    shown_text("uuid", uuid),
    setting("write_wakeup_threshold", Setting::Fixed(POOL_BITS as i64)),
];

static VM: &[Fixed] = &[
    setting_with("drop_caches", 0o200, Setting::Numbers(&[DROP_CACHES])),
    setting("max_map_count", Setting::Numbers(&[MAX_AREAS])),
    shown("mmap_min_addr", || memory::layout::LOWEST_ADDRESS as i64),
    setting_with("mmap_rnd_bits", 0o600, Setting::Numbers(&[MMAP_BITS])),
    // Whoever finds no memory is killed.
    shown("oom_kill_allocating_task", || 1),
    setting("overcommit_memory", Setting::Numbers(&[OVERCOMMIT])),
    shown("panic_on_oom", NONE),
];

/// A number that is an atomic of somebody's, who acts on it. The range fits its type.
macro_rules! atomic_number {
    ($atomic:expr, $range:expr) => {
        Number {
            get: || i64::try_from($atomic.load(Ordering::Relaxed)).unwrap_or(i64::MAX),
            set: |value| value.try_into().map_or((), |value| $atomic.store(value, Ordering::Relaxed)),
            range: $range,
            capability: None,
        }
    };
}

/// Rounded up to a power of two, and a page at least, as the sizes of pipes are.
const PIPE_SIZE: Number = Number {
    set: |value| {
        let size = value.unsigned_abs().next_power_of_two().max(libkernel::addr::PAGE_SIZE);
        pipe::account::MAX_SIZE.store(size, Ordering::Relaxed);
    },
    ..atomic_number!(pipe::account::MAX_SIZE, 0..=1 << 31)
};
const PIPE_PAGES_HARD: Number = atomic_number!(pipe::account::USER_PAGES_HARD, 0..=i64::MAX);
const PIPE_PAGES_SOFT: Number = atomic_number!(pipe::account::USER_PAGES_SOFT, 0..=i64::MAX);

/// The range is Linux's: `pid_max_min` is above the numbers that are kept for daemons, `pid_max_max` is
/// `PID_MAX_LIMIT`.
const PID_MAX: Number = atomic_number!(process::PID_MAX, 301..=process::PID_LIMIT as i64);
/// `MIN_THREADS` and `FUTEX_TID_MASK`.
const THREADS_MAX: Number = atomic_number!(process::THREADS_MAX, 20..=0x3fff_ffff);
const OPEN_MAX: Number = atomic_number!(subject::OPEN_MAX, 64..=0x7fff_ffc0);
const MAX_AREAS: Number = atomic_number!(memory::MAX_AREAS, 0..=i32::MAX as i64);
const DIRECTORY_NOTIFY: Number = atomic_number!(vfs::notify::ENABLED, ANY);
const LEASE_BREAK_TIME: Number = atomic_number!(vfs::lock::lease::BREAK_TIME_S, ANY);
const LEASES_ENABLED: Number = atomic_number!(vfs::lock::lease::ENABLED, ANY);
const MOUNT_MAX: Number = atomic_number!(vfs::mount::MOUNT_MAX, 1..=i32::MAX as i64);
const PROTECTED_FIFOS: Number = atomic_number!(shared_folders::FIFOS, 0..=2);
const PROTECTED_HARDLINKS: Number = atomic_number!(shared_folders::HARDLINKS, 0..=1);
const PROTECTED_REGULAR: Number = atomic_number!(shared_folders::REGULAR, 0..=2);
const PROTECTED_SYMLINKS: Number = atomic_number!(shared_folders::SYMLINKS, 0..=1);
const SUID_DUMPABLE: Number = atomic_number!(process::SUID_DUMPABLE, 0..=2);
const CORE_PIPE_LIMIT: Number = atomic_number!(process::CORE_PIPE_LIMIT, ANY);
const CORE_USES_PID: Number = atomic_number!(process::CORE_USES_PID, ANY);
const RANDOMIZE: Number = atomic_number!(exec::RANDOMIZE, 0..=2);

const EXCEPTION_TRACE: Number = atomic_number!(fatal::TRACE, ANY);
const WATCHDOG_THRESHOLD: Number = atomic_number!(watchdog::THRESHOLD_S, 0..=60);
const MMAP_BITS: Number =
    atomic_number!(layout::MMAP_BITS, MMAP_RANDOM_BITS as i64..=MMAP_RANDOM_BITS_MAX as i64);
/// What is promised is not added up, so there is no 2.
const OVERCOMMIT: Number = atomic_number!(memory::OVERCOMMIT, 0..=1);
const POINTERS_RESTRICTED: Number = Number {
    capability: Some(capability::SYS_ADMIN),
    ..atomic_number!(super::kernel::POINTERS_RESTRICTED, 0..=2)
};

/// As in Linux, not checked: what is below or above all levels shows nothing or everything.
static PRINTK: &[Number] = &[
    atomic_number!(klog::CONSOLE_LEVEL, ANY),
    atomic_number!(klog::MESSAGE_LEVEL, ANY),
    atomic_number!(klog::MINIMUM_CONSOLE_LEVEL, ANY),
    atomic_number!(klog::DEFAULT_CONSOLE_LEVEL, ANY),
];
const ANY: RangeInclusive<i64> = i32::MIN as i64..=i32::MAX as i64;
/// Seconds (Linux: `proc_dointvec_jiffies`).
const LOG_INTERVAL: Number = atomic_number!(klog::LIMIT_INTERVAL_S, 0..=i32::MAX as i64);
const LOG_BURST: Number = atomic_number!(klog::LIMIT_BURST, 0..=i32::MAX as i64);
const SYSRQ: Number = atomic_number!(sysrq::ALLOWED, ANY);
const LOG_RESTRICTED: Number =
    Number { capability: Some(capability::SYS_ADMIN), ..atomic_number!(kmsg::syslog::RESTRICTED, 0..=1) };

/// Which caches are to be dropped. Every page that holds a file is the only copy of it, so there is nothing to drop.
const DROP_CACHES: Number = atomic_number!(DROPPED, 1..=4);
static DROPPED: AtomicU32 = AtomicU32::new(0);

/// The names are those of whoever looks.
static HOST: Word = Word {
    get: || with_names(|names| names.host.text()).unwrap_or_default(),
    set: |parts| with_names(|names| names.host.set(Name::of(parts))).unwrap_or_default(),
    most: 64,
    changes: Some(&names::HOST_CHANGES),
};
static DOMAIN: Word = Word {
    get: || with_names(|names| names.domain.text()).unwrap_or_default(),
    set: |parts| with_names(|names| names.domain.set(Name::of(parts))).unwrap_or_default(),
    most: 64,
    changes: Some(&names::DOMAIN_CHANGES),
};

fn with_names<R>(look: impl FnOnce(&HostNames) -> R) -> Option<R> {
    process::current().map(|thread| look(&thread.namespaces().names))
}

static CORE_PATTERN: Word =
    Word { get: process::core_pattern, set: process::set_core_pattern, most: 127, changes: None };

fn line(text: &mut Text, value: &[u8]) -> Result<(), Errno> {
    text.put(value);
    text.put(b"\n");
    Ok(())
}

/// `kernel/random/uuid`: another one at each look.
fn uuid(text: &mut Text) -> Result<(), Errno> {
    show_uuid(text, random_uuid());
    Ok(())
}

/// `kernel/random/boot_id`: one for all of this boot.
fn boot_id(text: &mut Text) -> Result<(), Errno> {
    static BOOT_ID: Once<[u8; 16]> = Once::new();
    show_uuid(text, *BOOT_ID.get_or_init(random_uuid));
    Ok(())
}

/// A random UUID: RFC 4122, version 4.
fn random_uuid() -> [u8; 16] {
    let mut bytes = [0; 16];
    crate::random::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

fn show_uuid(text: &mut Text, bytes: [u8; 16]) {
    let word = u128::from_be_bytes(bytes);
    let (a, b, c) = (word >> 96, word >> 80 & 0xffff, word >> 64 & 0xffff);
    let (d, e) = (word >> 48 & 0xffff, word & 0xffff_ffff_ffff);
    writeln!(text, "{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}");
}
