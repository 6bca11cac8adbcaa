//! The capabilities of this process: capget(2), capset(2).

use abi::Errno;
use abi::native::nr;
use abi::process::{CapUserData, CapUserHeader, LINUX_CAPABILITY_VERSION_3};

use crate::raw;

const OWN: CapUserHeader = CapUserHeader { version: LINUX_CAPABILITY_VERSION_3, pid: 0 };

/// Those in effect, permitted and inheritable.
pub fn get() -> [u64; 3] {
    let header = OWN;
    let mut data = [CapUserData::default(); 2];
    let _ = raw::call(nr::capget, &[(&raw const header) as u64, data.as_mut_ptr() as u64]);
    let whole =
        |field: fn(&CapUserData) -> u32| u64::from(field(&data[0])) | u64::from(field(&data[1])) << 32;
    [whole(|half| half.effective), whole(|half| half.permitted), whole(|half| half.inheritable)]
}

/// Sets them.
pub fn set(sets: [u64; 3]) -> Result<(), Errno> {
    let header = OWN;
    let half = |shift: u32| {
        let [effective, permitted, inheritable] = sets.map(|set| (set >> shift) as u32);
        CapUserData { effective, permitted, inheritable }
    };
    let data = [half(0), half(32)];
    raw::call(nr::capset, &[(&raw const header) as u64, data.as_ptr() as u64]).map(drop)
}
