//! How often the kernel's locks were taken, and how often somebody had to wait: `/proc/lock_stat`.

use ulib::fs;

/// The sums over all locks; zeros where the kernel does not count.
#[derive(Clone, Copy, Default)]
pub struct Locks {
    pub acquisitions: u64,
    pub contentions: u64,
}

impl Locks {
    /// What it says now.
    pub fn read() -> Locks {
        let bytes = fs::read(b"/proc/lock_stat").unwrap_or_default();
        let text = str::from_utf8(&bytes).unwrap_or_default();
        let mut locks = Locks::default();
        for line in text.lines().skip(1) {
            let mut fields = line.split_whitespace().map_while(|field| field.parse::<u64>().ok());
            locks.acquisitions += fields.next().unwrap_or_default();
            locks.contentions += fields.next().unwrap_or_default();
        }
        locks
    }

    /// What has come since then.
    pub fn since(self, before: Locks) -> Locks {
        Locks {
            acquisitions: self.acquisitions - before.acquisitions,
            contentions: self.contentions - before.contentions,
        }
    }
}
