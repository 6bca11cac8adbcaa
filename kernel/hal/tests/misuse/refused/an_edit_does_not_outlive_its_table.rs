//! An edit flushes and frees when it ends: the table is there then.
// refused: E0505

use hal::paging::PageTable;
use libkernel::addr::UserRange;

fn main() {
    let table = PageTable::new().unwrap();
    let mut edit = table.edit();
    drop(table);
    edit.unmap(UserRange::ALL);
}
