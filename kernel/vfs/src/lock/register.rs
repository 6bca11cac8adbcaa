//! All lock tables with something in them, for `/proc/locks`.
//!
//! A table is entered with the first lock on its file, on the list of the CPU that runs then, and stays until a walk
//! finds it empty or its file is gone: taking and giving up locks touches nothing that CPUs share. The lists' locks are
//! leaves below the tables' own.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};

use hal::cpu::MAX_CPUS;
use hal::sync::{PerCpu, SpinLock};

use super::LockTable;

/// Tables by their addresses.
type List = SpinLock<BTreeMap<usize, Weak<LockTable>>>;

static LISTS: PerCpu<List> = PerCpu::new([const { SpinLock::new(BTreeMap::new()) }; MAX_CPUS]);

/// Enters a table; the CPU whose list it is on.
pub fn enter(table: &Arc<LockTable>) -> usize {
    LISTS.with(|list| {
        list.lock().insert(Arc::as_ptr(table).addr(), Arc::downgrade(table));
        hal::cpu::id()
    })
}

/// Takes the table with this address from the list of a CPU.
pub fn leave(cpu: usize, table: usize) {
    if let Some(list) = LISTS.of(cpu) {
        let removed = list.lock().remove(&table);
        drop(removed);
    }
}

/// The first table from this one on, in the order of CPUs and addresses.
pub fn next(cpu: usize, table: usize) -> Option<(usize, usize, Arc<LockTable>)> {
    let mut from = table;
    for cpu in cpu..MAX_CPUS {
        while let Some((address, found)) = next_on(cpu, from) {
            if let Some(table) = found.upgrade() {
                return Some((cpu, address, table));
            }
            from = address + 1;
        }
        from = 0;
    }
    None
}

fn next_on(cpu: usize, from: usize) -> Option<(usize, Weak<LockTable>)> {
    LISTS.of(cpu)?.lock().range(from..).next().map(|(&address, table)| (address, table.clone()))
}
