//! `devices/system/clocksource/clocksource0`: the counters that the clocks can run by, and the one that they do (Linux:
//! `kernel/time/clocksource.c`).

use alloc::sync::Arc;

use abi::Errno;
use hal::sync::Once;
use libkernel::text::Text;
use vfs::file::FileOperations;
use vfs::generated::content::{Content, SequenceFile};
use vfs::generated::{Class, Fixed, directory, file, opened};

/// The directory's names.
pub static NAMES: &[Fixed] = &[directory("clocksource0", FILES)];

static FILES: &[Fixed] =
    &[file("available_clocksource", available), opened("current_clocksource", 0o644, open_current)];

fn available(text: &mut Text) -> Result<(), Errno> {
    hal::time::for_each_counter(&mut |name, _| {
        text.put(name.as_bytes());
        text.put(b" ");
    });
    text.put(b"\n");
    Ok(())
}

fn open_current() -> Result<Arc<dyn FileOperations>, Errno> {
    Ok(SequenceFile::open(Current, Class::Sysfs))
}

static CHOOSE: Once<fn(&[u8])> = Once::new();

/// Says how a counter is chosen by its name. Once, at boot.
pub fn choose_by(choose: fn(&[u8])) {
    let _ = CHOOSE.set(choose);
}

fn choose(name: &[u8]) {
    if let Some(choose) = CHOOSE.get() {
        choose(name);
    }
}

struct Current;

impl Content for Current {
    fn fill(&self, _cursor: u64, text: &mut Text) -> Result<Option<u64>, Errno> {
        hal::time::for_each_counter(&mut |name, is_current| {
            if is_current {
                text.put(name.as_bytes());
                text.put(b"\n");
            }
        });
        Ok(None)
    }

    fn is_writable(&self) -> bool {
        true
    }

    /// Takes a name. One that no counter has stands for the best, as on Linux.
    fn store(&self, _position: u64, bytes: &[u8]) -> Result<usize, Errno> {
        /// Longer names are refused, with what ends them.
        const LONGEST: usize = 31;
        if bytes.is_empty() || bytes.len() > LONGEST {
            return Err(Errno::EINVAL);
        }
        choose(bytes.strip_suffix(b"\n").unwrap_or(bytes));
        Ok(bytes.len())
    }
}
