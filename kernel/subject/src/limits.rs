//! Resource limits: `getrlimit`, `setrlimit`, `prlimit64`.

use core::sync::atomic::{AtomicU32, Ordering};

use abi::Errno;
use hal::sync::SpinLock;

/// A soft and a hard limit; the soft one is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is enforced.
    pub soft: u64,
    /// How far an unprivileged process may raise the soft limit.
    pub hard: u64,
}

/// No limit.
pub const INFINITY: u64 = u64::MAX;

/// Resource numbers, `asm-generic/resource.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Resource {
    /// CPU time in seconds.
    Cpu,
    /// Largest file in bytes.
    FileSize,
    /// Data segment in bytes.
    Data,
    /// Main stack in bytes.
    Stack,
    /// Core dump in bytes.
    Core,
    /// Resident set in bytes; not enforced, as on Linux.
    ResidentSet,
    /// Processes of one user.
    Processes,
    /// One more than the highest descriptor.
    OpenFiles,
    /// Locked memory in bytes.
    LockedMemory,
    /// Address space in bytes.
    AddressSpace,
    /// File locks.
    FileLocks,
    /// Queued signals of one user.
    PendingSignals,
    /// Bytes in message queues.
    MessageQueues,
    /// Highest nice value, as 20 - nice.
    Nice,
    /// Highest real-time priority.
    RealTimePriority,
    /// Microseconds of real-time running without sleep.
    RealTimeTime,
}

/// How many resources there are.
pub const RESOURCES: usize = 16;

impl Resource {
    const ALL: [Resource; RESOURCES] = [
        Resource::Cpu,
        Resource::FileSize,
        Resource::Data,
        Resource::Stack,
        Resource::Core,
        Resource::ResidentSet,
        Resource::Processes,
        Resource::OpenFiles,
        Resource::LockedMemory,
        Resource::AddressSpace,
        Resource::FileLocks,
        Resource::PendingSignals,
        Resource::MessageQueues,
        Resource::Nice,
        Resource::RealTimePriority,
        Resource::RealTimeTime,
    ];

    /// The resource with a program's number; EINVAL if there is none.
    pub fn from_number(number: u32) -> Result<Resource, Errno> {
        usize::try_from(number).ok().and_then(|index| Resource::ALL.get(index).copied()).ok_or(Errno::EINVAL)
    }
}

/// `nr_open`: the highest limit of descriptors.
pub static OPEN_MAX: AtomicU32 = AtomicU32::new(1 << 20);

/// The limits of one process; copied by `fork`, kept by `execve`.
pub struct Limits(SpinLock<[Limit; RESOURCES]>);

impl Limits {
    /// What the first process starts with: Linux's defaults (`asm-generic/resource.h`, `INIT_RLIMITS`).
    pub fn initial() -> Limits {
        let mut limits = [Limit { soft: INFINITY, hard: INFINITY }; RESOURCES];
        let mut set = |resource: Resource, soft, hard| limits[resource as usize] = Limit { soft, hard };
        set(Resource::Stack, 8 << 20, INFINITY);
        set(Resource::Core, 0, INFINITY);
        set(Resource::Processes, 32_000, 32_000);
        set(Resource::OpenFiles, 1024, 4096);
        set(Resource::LockedMemory, 8 << 20, 8 << 20);
        set(Resource::PendingSignals, 32_000, 32_000);
        set(Resource::MessageQueues, 819_200, 819_200);
        set(Resource::Nice, 0, 0);
        set(Resource::RealTimePriority, 0, 0);
        Limits(SpinLock::new(limits))
    }

    /// The limits of a child.
    pub fn duplicate(&self) -> Limits {
        Limits(SpinLock::new(*self.0.lock()))
    }

    /// Both limits of a resource.
    pub fn get(&self, resource: Resource) -> Limit {
        self.0.lock()[resource as usize]
    }

    /// Both limits of two resources, as they are at one time.
    pub fn two(&self, first: Resource, second: Resource) -> [Limit; 2] {
        let limits = self.0.lock();
        [limits[first as usize], limits[second as usize]]
    }

    /// The enforced limit of a resource.
    pub fn soft(&self, resource: Resource) -> u64 {
        self.get(resource).soft
    }

    /// Replaces a limit. EINVAL if soft exceeds hard; EPERM if hard is raised and `may_raise` is not [`MayRaise::Yes`],
    /// or if it is of descriptors and above `nr_open`.
    pub fn set(&self, resource: Resource, new: Limit, may_raise: MayRaise) -> Result<(), Errno> {
        if new.soft > new.hard {
            return Err(Errno::EINVAL);
        }
        if resource == Resource::OpenFiles && new.hard > u64::from(OPEN_MAX.load(Ordering::Relaxed)) {
            return Err(Errno::EPERM);
        }
        let mut limits = self.0.lock();
        let limit = &mut limits[resource as usize];
        if new.hard > limit.hard && may_raise == MayRaise::No {
            return Err(Errno::EPERM);
        }
        *limit = new;
        Ok(())
    }

    /// Lowers a soft limit that is above `most`.
    pub fn lower(&self, resource: Resource, most: u64) {
        let soft = &mut self.0.lock()[resource as usize].soft;
        *soft = most.min(*soft);
    }

    /// Raises a soft limit that was reached, unless somebody has changed it meanwhile.
    pub fn move_on(&self, resource: Resource, from: u64, step: u64) {
        let soft = &mut self.0.lock()[resource as usize].soft;
        if *soft == from {
            *soft = from.saturating_add(step);
        }
    }
}

/// Whether a hard limit may be raised (`CAP_SYS_RESOURCE`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum MayRaise {
    /// It may.
    Yes,
    /// Only lowering is allowed.
    No,
}
