//! The devices of major number 1: `null`, `zero`, `full`, `random`, `urandom`.

use alloc::sync::Arc;

use abi::Errno;
use hal::sync::Once;

use crate::fs::file::{File, FileOperations, Mapping};
use crate::fs::running;
use crate::syscall::Failure;
use crate::user::{IoSink, IoSource};

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

/// The code behind minor number `minor` of major 1.
pub fn open(minor: u32) -> Result<Arc<dyn FileOperations>, Errno> {
    Ok(match minor {
        3 => NULL.get(Null),
        5 => ZERO.get(Zero),
        7 => FULL.get(Full),
        8 | 9 => RANDOM.get(Random),
        _ => return Err(Errno::ENXIO),
    })
}

/// Takes everything, holds nothing.
struct Null;

impl FileOperations for Null {
    fn read(&self, _file: &File, _position: u64, _sink: &mut IoSink<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn write(&self, _file: &File, _position: u64, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        Ok(source.skip(source.remaining()))
    }

    fn accepts_any_position(&self) -> bool {
        true
    }
}

/// Reads as zeroes without end.
struct Zero;

impl FileOperations for Zero {
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
struct Random;

impl FileOperations for Random {
    fn read(&self, _file: &File, _position: u64, sink: &mut IoSink<'_>) -> Result<(), Failure> {
        crate::random::fill_sink(sink)
    }

    fn write(&self, _file: &File, _position: u64, source: &mut IoSource<'_>) -> Result<usize, Failure> {
        let mut bytes = [0; 64];
        while source.remaining() > 0 {
            let done = match source.take(&mut bytes) {
                Ok(done) => done,
                fault => return Ok(source.finish(fault.map(drop))?),
            };
            crate::random::stir(bytes.get(..done).unwrap_or_default());
        }
        Ok(source.moved())
    }

    fn accepts_any_position(&self) -> bool {
        true
    }
}
