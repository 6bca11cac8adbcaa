//! The devices of major number 1: `null`, `zero`, `full`, `random`, `urandom`.

use alloc::sync::Arc;

use abi::Errno;
use abi::ioctl::{RNDADDENTROPY, RNDADDTOENTCNT, RNDCLEARPOOL, RNDGETENTCNT, RNDRESEEDCRNG, RNDZAPENTCNT};
use hal::sync::Once;
use libkernel::addr::UserAddr;
use memory::user::{IoSink, IoSource, UserPtr};
use outcome::Failure;
use sched::work;
use subject::capability;
use vfs::asynchronous::AsyncFiles;
use vfs::file::{File, FileOperations, Mapping};
use vfs::poll::{PollEvents, Watcher};
use vfs::running;

use crate::random::{self, seeding};

/// The one object behind every opening of a device, made when first needed.
struct Shared(Once<Arc<dyn FileOperations>>);

impl Shared {
    const fn new() -> Shared {
        Shared(Once::new())
    }

    fn get<D: FileOperations + 'static>(&self, device: D) -> Arc<dyn FileOperations> {
        self.0.get_or_init(|| Arc::new(device)).clone()
    }
}

static NULL: Shared = Shared::new();
static ZERO: Shared = Shared::new();
static FULL: Shared = Shared::new();
static RANDOM: Shared = Shared::new();
static URANDOM: Shared = Shared::new();

/// The code behind minor number `minor` of major 1.
pub fn open(minor: u32) -> Result<Arc<dyn FileOperations>, Errno> {
    Ok(match minor {
        3 => NULL.get(Null),
        5 => ZERO.get(Zero),
        7 => FULL.get(Full),
        8 => RANDOM.get(Random { waits: true }),
        9 => URANDOM.get(Random { waits: false }),
        _ => return Err(Errno::ENXIO),
    })
}

/// Takes everything, holds nothing.
struct Null;

impl FileOperations for Null {
    fn is_pollable(&self) -> bool {
        false
    }

    fn read(&self, _file: &File, _position: u64, _sink: &mut IoSink<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn write(&self, _file: &File, _position: u64, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        Ok(source.skip(source.remaining()))
    }

    fn takes_splices(&self) -> bool {
        true
    }

    fn accepts_any_position(&self) -> bool {
        true
    }
}

/// Reads as zeroes without end.
struct Zero;

impl FileOperations for Zero {
    fn is_pollable(&self) -> bool {
        false
    }

    fn read(&self, _file: &File, _position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        put_zeroes(sink)
    }

    fn write(&self, _file: &File, _position: u64, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        Ok(source.skip(source.remaining()))
    }

    fn accepts_any_position(&self) -> bool {
        true
    }

    fn mapping(&self) -> Mapping {
        Mapping::Zeroes
    }
}

/// Reads as zeroes and has no room for a byte.
struct Full;

impl FileOperations for Full {
    fn is_pollable(&self) -> bool {
        false
    }

    fn read(&self, _file: &File, _position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        put_zeroes(sink)
    }

    fn write(&self, _file: &File, _position: u64, _source: &mut IoSource<'_>) -> Result<usize, Failure> {
        Err(Errno::ENOSPC.into())
    }

    fn accepts_any_position(&self) -> bool {
        true
    }
}

/// Zeroes to the end of the sink, in steps between which a fatal signal is heard.
fn put_zeroes(sink: &mut IoSink<'_>) -> Result<(), Failure> {
    const STEP: usize = 1 << 16;
    loop {
        let wanted = STEP.min(sink.remaining());
        let done = sink.put_zeroes(wanted)?;
        if done < wanted || sink.remaining() == 0 || work::signal_is_pending() {
            return Ok(());
        }
    }
}

/// Random bytes.
struct Random {
    /// Until the generator is seeded, and can be polled for that: `/dev/random`.
    waits: bool,
}

impl FileOperations for Random {
    fn read(&self, file: &File, _position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        if !seeding::is_seeded() {
            if self.waits && file.is_nonblocking() {
                return Err(Errno::EAGAIN.into());
            }
            match seeding::wait() {
                Err(interrupted) if self.waits => return Err(interrupted),
                _ => {}
            }
        }
        random::fill_sink(sink)
    }

    fn write(&self, _file: &File, _position: u64, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        let outcome = stir(source);
        Ok(source.finish(outcome)?)
    }

    /// Told when the generator is seeded.
    fn with_async_files(&self, _file: &File, change: &mut dyn FnMut(&AsyncFiles)) -> bool {
        change(&seeding::ASYNC_FILES);
        true
    }

    fn is_pollable(&self) -> bool {
        self.waits
    }

    /// `/dev/random`: readable once the generator is seeded, writable (what is written may seed it) until then. Linux:
    /// `random_poll`.
    fn poll(&self, _file: &File, watcher: &mut Watcher<'_>) -> Result<PollEvents, Errno> {
        if !self.waits {
            return Ok(PollEvents::ALWAYS_READY);
        }
        seeding::watch(watcher)?;
        Ok(if seeding::is_seeded() { PollEvents::READABLE } else { PollEvents::WRITABLE })
    }

    fn can_be_spliced(&self) -> bool {
        true
    }

    fn takes_splices(&self) -> bool {
        true
    }

    /// random(4). EINVAL for a request that is not one of these, as on Linux.
    fn ioctl(&self, _file: &File, request: u32, argument: u64) -> Result<u64, Failure> {
        let argument = UserAddr::new(argument);
        if request == RNDGETENTCNT {
            UserPtr::new(argument).write(&seeding::bits().cast_signed())?;
            return Ok(0);
        }
        let known =
            [RNDADDTOENTCNT, RNDADDENTROPY, RNDZAPENTCNT, RNDCLEARPOOL, RNDRESEEDCRNG].contains(&request);
        if !known {
            return Err(Errno::EINVAL.into());
        }
        running::with_credentials(|own| own.require(capability::SYS_ADMIN)).unwrap_or(Ok(()))?;
        match request {
            RNDADDTOENTCNT => credit(UserPtr::new(argument).read()?)?,
            RNDADDENTROPY => add_entropy(argument)?,
            RNDRESEEDCRNG => random::reseed_seeded()?,
            // What is known to be random is not forgotten.
            _ => {}
        }
        Ok(0)
    }

    fn accepts_any_position(&self) -> bool {
        true
    }
}

/// `RNDADDENTROPY`: a count of bits, a count of bytes, and the bytes, all of which are stirred in or make it EFAULT.
fn add_entropy(argument: UserAddr) -> Result<(), Failure> {
    let [bits, length]: [i32; 2] = UserPtr::new(argument).read()?;
    if bits < 0 {
        return Err(Errno::EINVAL.into());
    }
    let length = usize::try_from(length).map_err(|_| Errno::EFAULT)?;
    let start = UserAddr::new(argument.as_u64().wrapping_add(size_of::<[i32; 2]>() as u64));
    let mut source = IoSource::user(start, length);
    stir(&mut source)?;
    if source.moved() == length { Ok(credit(bits)?) } else { Err(Errno::EFAULT.into()) }
}

/// Counts bits that a program vouches for. EINVAL for fewer than none.
fn credit(bits: i32) -> Result<(), Errno> {
    seeding::credit(u32::try_from(bits).map_err(|_| Errno::EINVAL)?);
    Ok(())
}

/// Stirs all bytes of a source into the pool, for the generator's next key.
fn stir(source: &mut IoSource<'_>) -> Result<(), Errno> {
    let mut bytes = [0; 64];
    while source.remaining() > 0 {
        let done = source.take(&mut bytes)?;
        seeding::mix(bytes.get(..done).unwrap_or_default());
    }
    Ok(())
}
