//! The vDSO's place in a new address space: its data page and, one page above, its image.

use alloc::sync::Arc;

use abi::Errno;
use libkernel::addr::{PAGE_SIZE, UserAddr};
use libkernel::paging::Prot;
use memory::area::AreaFlags;
use memory::{AddressSpace, Bounds, Content, MapRequest, Object, Placement};

use crate::vdso;

/// Maps the vDSO among the mappings; the address of its image, or `None` where there is no vDSO.
pub fn map(space: &AddressSpace, bounds: &dyn Bounds) -> Result<Option<UserAddr>, Errno> {
    let Some(object) = vdso::object() else { return Ok(None) };
    let data = space.find_free(vdso::PAGES * PAGE_SIZE)?.start();
    let image = data.checked_add(PAGE_SIZE).ok_or(Errno::ENOMEM)?;
    let all = Prot::READ_WRITE.union(Prot::EXECUTE);
    // Nobody may write the data; a debugger may set breakpoints in a private copy of the image.
    map_page(space, object, 0, data, Prot::READ, Prot::READ, bounds)?;
    map_page(space, object, 1, image, Prot::READ_EXECUTE, all, bounds)?;
    Ok(Some(image))
}

fn map_page(
    space: &AddressSpace,
    object: &Arc<Object>,
    first_page: u64,
    address: UserAddr,
    prot: Prot,
    max_prot: Prot,
    bounds: &dyn Bounds,
) -> Result<(), Errno> {
    let request = MapRequest {
        placement: Placement::FixedIfFree(address),
        length: PAGE_SIZE,
        prot,
        max_prot,
        flags: AreaFlags::empty(),
        content: Content::Object { object: object.clone(), file: None, first_page },
    };
    space.map(request, bounds).map(|_| ())
}
