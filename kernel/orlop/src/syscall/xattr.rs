//! The calls on extended attributes: what they do with their arguments, in Linux's order.
//!
//! Each operation is one function over the file's place; the three calls that do it differ in how they say which file.

use alloc::vec::Vec;

use abi::Errno;
use abi::fs::{AT_FDCWD, XATTR_CREATE, XATTR_REPLACE};
use libkernel::addr::UserAddr;
use memory::user::string::read_string;
use memory::user::{PathBuffer, UserSlice};
use vfs::extended::{self, Purpose};
use vfs::mount::Location;
use vfs::notify::Event;
use vfs::walk::LastLink;
use vfs::writers::MountWriter;

use super::at::{PathCall, content_file, only, path_argument};
use super::{Caller, Failure};

/// The longest name with its NUL, and the longest value and list: `XATTR_NAME_MAX`, `XATTR_SIZE_MAX`, `XATTR_LIST_MAX`
/// of xattr(7).
const NAME_SIZE: usize = 256;
const VALUE_SIZE: usize = 65536;
const LIST_SIZE: usize = 65536;

fn place(caller: &Caller<'_>, path: UserAddr, last_link: LastLink) -> Result<Location, Errno> {
    let mut buffer = PathBuffer::new();
    let path = path_argument(path, 0, &mut buffer)?;
    PathCall::of(caller).resolve(caller, AT_FDCWD, path, last_link)
}

fn opened(caller: &Caller<'_>, fd: i32) -> Result<Location, Errno> {
    Ok(content_file(caller, fd)?.location().clone())
}

/// The calls of one operation: by a path whose last link is followed, by one where it is kept, and by a descriptor.
///
/// `calls! { getxattr lgetxattr fgetxattr = get(name: UserAddr) -> usize; }` is
/// `pub fn getxattr(caller: &mut Caller<'_>, path: UserAddr, name: UserAddr) -> Result<usize, Failure> { let place =
/// place(caller, path, LastLink::Follow)?; get(caller, &place, name) }`, and the other two likewise.
macro_rules! calls {
    ($($followed:ident $kept:ident $opened:ident = $operation:ident($($name:ident: $type:ty),*) -> $result:ty;)*) => {$(
        #[doc = concat!("`", stringify!($followed), "(path, \u{2026})`.")]
        pub fn $followed(caller: &mut Caller<'_>, path: UserAddr, $($name: $type),*) -> Result<$result, Failure> {
            let place = place(caller, path, LastLink::Follow)?;
            $operation(caller, &place, $($name),*)
        }

        #[doc = concat!("`", stringify!($kept), "(path, \u{2026})`.")]
        pub fn $kept(caller: &mut Caller<'_>, path: UserAddr, $($name: $type),*) -> Result<$result, Failure> {
            let place = place(caller, path, LastLink::Keep)?;
            $operation(caller, &place, $($name),*)
        }

        #[doc = concat!("`", stringify!($opened), "(fd, \u{2026})`.")]
        pub fn $opened(caller: &mut Caller<'_>, fd: i32, $($name: $type),*) -> Result<$result, Failure> {
            let place = opened(caller, fd)?;
            $operation(caller, &place, $($name),*)
        }
    )*};
}

calls! {
    setxattr lsetxattr fsetxattr = set(name: UserAddr, value: UserAddr, size: usize, flags: u32) -> ();
    getxattr lgetxattr fgetxattr = get(name: UserAddr, value: UserAddr, size: usize) -> usize;
    listxattr llistxattr flistxattr = list(names: UserAddr, size: usize) -> usize;
    removexattr lremovexattr fremovexattr = remove(name: UserAddr) -> ();
}

/// ERANGE for a name without bytes, or with too many.
fn read_name(name: UserAddr) -> Result<Vec<u8>, Errno> {
    let text = read_string(name, NAME_SIZE)?.ok_or(Errno::ERANGE)?;
    if text.is_empty() { Err(Errno::ERANGE) } else { Ok(text) }
}

fn set(
    caller: &Caller<'_>,
    place: &Location,
    name: UserAddr,
    value: UserAddr,
    size: usize,
    flags: u32,
) -> Result<(), Failure> {
    let _writer = MountWriter::enter(&place.mount)?;
    only(flags, XATTR_CREATE | XATTR_REPLACE)?;
    let name = read_name(name)?;
    if size > VALUE_SIZE {
        return Err(Errno::E2BIG.into());
    }
    let mut value = UserSlice::<u8>::new(value, size).read_to_vec()?;
    let inode = place.dentry.inode();
    extended::check_value(&name, &mut value)?;
    let changes = inode.lock_attributes();
    extended::check(inode, &caller.thread.credentials(), &name, Purpose::Change)?;
    extended::set(&changes, name, value, flags)?;
    drop(changes);
    place.dentry.tell(Event::Attributes);
    Ok(())
}

fn get(
    caller: &Caller<'_>,
    place: &Location,
    name: UserAddr,
    value: UserAddr,
    size: usize,
) -> Result<usize, Failure> {
    let name = read_name(name)?;
    let inode = place.dentry.inode();
    extended::check(inode, &caller.thread.credentials(), &name, Purpose::Read)?;
    give(&extended::get(inode, &name)?, value, size, VALUE_SIZE)
}

fn list(caller: &Caller<'_>, place: &Location, names: UserAddr, size: usize) -> Result<usize, Failure> {
    let text = extended::list(place.dentry.inode(), &caller.thread.credentials())?;
    give(&text, names, size, LIST_SIZE)
}

fn remove(caller: &Caller<'_>, place: &Location, name: UserAddr) -> Result<(), Failure> {
    let _writer = MountWriter::enter(&place.mount)?;
    let name = read_name(name)?;
    let inode = place.dentry.inode();
    let changes = inode.lock_attributes();
    extended::check(inode, &caller.thread.credentials(), &name, Purpose::Change)?;
    extended::remove(&changes, &name)?;
    drop(changes);
    place.dentry.tell(Event::Attributes);
    Ok(())
}

/// Copies out what was asked for, or only says how long it is where no size is given. ERANGE where it does not fit,
/// E2BIG where it could not fit into the `most` that there can be.
fn give(bytes: &[u8], address: UserAddr, size: usize, most: usize) -> Result<usize, Failure> {
    if size > 0 && bytes.len() > size.min(most) {
        return Err(if size >= most { Errno::E2BIG } else { Errno::ERANGE }.into());
    }
    if size > 0 && !bytes.is_empty() {
        UserSlice::new(address, bytes.len()).write(bytes)?;
    }
    Ok(bytes.len())
}
