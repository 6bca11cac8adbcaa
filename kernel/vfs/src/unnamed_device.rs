//! Unnamed devices: what `st_dev` says of a file system that lies on no device.

use abi::Errno;
use hal::sync::SpinLock;
use libkernel::numbers::Numbers;

use super::attributes::DeviceNumber;

/// Minors are below this one, of 20 bits as on Linux (`MINORBITS`); the first goes to the root.
const MINORS: usize = 1 << 20;

type Minors = Numbers<32, 256>;

static TAKEN: SpinLock<Minors> = SpinLock::new(Minors::new());

/// A device that is one file system's, until that is gone.
pub struct UnnamedDevice(usize);

impl UnnamedDevice {
    /// The first that is free. EMFILE where none is (Linux: `get_anon_bdev`).
    pub fn take() -> Result<UnnamedDevice, Errno> {
        take_of(&mut TAKEN.lock()).map(UnnamedDevice)
    }

    /// Its number.
    pub const fn number(&self) -> DeviceNumber {
        // Fits: below MINORS.
        DeviceNumber::new(0, self.0 as u32)
    }
}

impl Drop for UnnamedDevice {
    fn drop(&mut self) {
        TAKEN.lock().release(self.0);
    }
}

fn take_of(minors: &mut Minors) -> Result<usize, Errno> {
    minors.take_next(1, MINORS).ok_or(Errno::EMFILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_minors_and_each_comes_again() {
        let mut minors = Minors::new();
        assert!((1..MINORS).all(|minor| take_of(&mut minors) == Ok(minor)));
        assert_eq!(take_of(&mut minors), Err(Errno::EMFILE));
        minors.release(1000);
        assert_eq!(take_of(&mut minors), Ok(1000));
    }
}
