//! The devices of major number 1: `null`, `zero`, `full`, `random`, `urandom`.

use alloc::sync::Arc;

use abi::Errno;
use abi::ioctl::{RNDADDENTROPY, RNDADDTOENTCNT, RNDCLEARPOOL, RNDGETENTCNT, RNDRESEEDCRNG, RNDZAPENTCNT};
use hal::sync::Once;
use libkernel::addr::UserAddr;

use crate::fs::asynchronous::AsyncFiles;
use crate::fs::file::{File, FileOperations, Mapping};
use crate::fs::running;
use crate::process::capability;
use crate::syscall::{Caller, Failure};
use crate::user::{IoSink, IoSource, UserPtr};

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
        8 => RANDOM.get(Random { is_pollable: true }),
        9 => URANDOM.get(Random { is_pollable: false }),
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
        if done < wanted || sink.remaining() == 0 || running::signal_is_pending() {
            return Ok(());
        }
    }
}

/// Random bytes; both devices never block once the generator is seeded, as it is from the start.
struct Random {
    /// Only `/dev/random` is, as on Linux.
    is_pollable: bool,
}

impl FileOperations for Random {
    fn read(&self, _file: &File, _position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        crate::random::fill_sink(sink)
    }

    fn write(&self, _file: &File, _position: u64, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        let outcome = stir(source);
        Ok(source.finish(outcome)?)
    }

    /// Linux tells when there first is randomness to be had; there is from the beginning here.
    fn with_async_files(&self, _file: &File, change: &mut dyn FnMut(&AsyncFiles)) -> bool {
        static FILES: AsyncFiles = AsyncFiles::new();
        change(&FILES);
        true
    }

    fn is_pollable(&self) -> bool {
        self.is_pollable
    }

    fn can_be_spliced(&self) -> bool {
        true
    }

    fn takes_splices(&self) -> bool {
        true
    }

    /// random(4). EINVAL for a request that is not one of these, as on Linux.
    fn ioctl(
        &self,
        _file: &File,
        caller: &mut Caller<'_>,
        request: u32,
        argument: u64,
    ) -> Result<u64, Failure> {
        /// The bits that a seeded generator counts (Linux: `POOL_BITS`).
        const SEEDED: i32 = 256;
        let argument = UserAddr::new(argument);
        if request == RNDGETENTCNT {
            UserPtr::new(argument).write(&SEEDED)?;
            return Ok(0);
        }
        let known =
            [RNDADDTOENTCNT, RNDADDENTROPY, RNDZAPENTCNT, RNDCLEARPOOL, RNDRESEEDCRNG].contains(&request);
        if !known {
            return Err(Errno::EINVAL.into());
        }
        if !caller.thread.credentials().has_capability(capability::SYS_ADMIN) {
            return Err(Errno::EPERM.into());
        }
        // The generator is seeded, and stays so: there is nothing to count or to forget.
        match request {
            RNDADDTOENTCNT if UserPtr::<i32>::new(argument).read()? < 0 => return Err(Errno::EINVAL.into()),
            RNDADDENTROPY => add_entropy(argument)?,
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
    if source.moved() == length { Ok(()) } else { Err(Errno::EFAULT.into()) }
}

/// Stirs all bytes of a source into the generator.
fn stir(source: &mut IoSource<'_>) -> Result<(), Errno> {
    let mut bytes = [0; 64];
    while source.remaining() > 0 {
        let done = source.take(&mut bytes)?;
        crate::random::stir(bytes.get(..done).unwrap_or_default());
    }
    Ok(())
}
