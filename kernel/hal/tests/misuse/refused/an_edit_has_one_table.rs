//! Flushed in one table, freed in another: there are no two arguments for it.
// refused: E0599

use hal::paging::PageTable;
use libkernel::addr::UserRange;

fn main() {
    let (first, second) = (PageTable::new().unwrap(), PageTable::new().unwrap());
    second.unmap(UserRange::ALL, &mut first.edit());
}
