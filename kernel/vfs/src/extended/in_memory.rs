//! Extended attributes that are kept with the inode, as Linux 6.1's tmpfs has them: of `trusted.` and `security.`.
//!
//! `user.` is refused, as tmpfs refuses it before 6.6, and so are access control lists, which nothing here would heed.
//! The functions are what a file system that keeps them so answers with
//! ([`AttributeOperations`](crate::attribute_operations::AttributeOperations)). The lock on the values sleeps and is a
//! leaf.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::fs::{XATTR_CREATE, XATTR_REPLACE};
use hal::sync::Once;
use outcome::OrErrno;
use sched::Mutex;

use super::{SECURITY, TRUSTED};
use crate::attribute_operations::AttributeChanges;
use crate::inode::Inode;

/// The attributes of an inode; an empty cell while it never had any.
pub(super) struct InMemory(Once<Box<Mutex<Named>>>);

#[derive(Default)]
struct Named {
    by_name: BTreeMap<Vec<u8>, Value>,
    /// How many were added ever.
    added: u64,
}

struct Value {
    bytes: Arc<Vec<u8>>,
    /// Higher than those of attributes that were added before.
    age: u64,
}

impl InMemory {
    /// None.
    pub const fn new() -> InMemory {
        InMemory(Once::new())
    }
}

fn of(inode: &Inode) -> Option<&Mutex<Named>> {
    inode.extended.in_memory.0.get().map(|named| &**named)
}

/// EOPNOTSUPP for a name that no attribute can have, EINVAL for the beginning of one.
fn check_name(name: &[u8]) -> Result<(), Errno> {
    match name {
        TRUSTED | SECURITY => Err(Errno::EINVAL),
        _ if name.starts_with(TRUSTED) || name.starts_with(SECURITY) => Ok(()),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// The value of an attribute. ENODATA where there is none.
pub fn get(inode: &Inode, name: &[u8]) -> Result<Arc<Vec<u8>>, Errno> {
    check_name(name)?;
    let named = of(inode).ok_or(Errno::ENODATA)?.lock();
    named.by_name.get(name).map(|value| value.bytes.clone()).ok_or(Errno::ENODATA)
}

/// Sets an attribute. EEXIST or ENODATA where `flags` want otherwise.
pub fn set(changes: &AttributeChanges<'_>, name: Vec<u8>, bytes: Vec<u8>, flags: u32) -> Result<(), Errno> {
    check_name(&name)?;
    let bytes = Arc::new(bytes);
    let mut named = changes.inode().extended.in_memory.0.get_or_init(Box::default).lock();
    match named.by_name.get_mut(&name) {
        Some(_) if flags & XATTR_CREATE != 0 => Err(Errno::EEXIST),
        Some(value) => {
            value.bytes = bytes;
            Ok(())
        }
        None if flags & XATTR_REPLACE != 0 => Err(Errno::ENODATA),
        None => {
            named.added += 1;
            let age = named.added;
            named.by_name.insert(name, Value { bytes, age });
            Ok(())
        }
    }
}

/// Takes an attribute away. ENODATA where there is none.
pub fn remove(changes: &AttributeChanges<'_>, name: &[u8]) -> Result<(), Errno> {
    check_name(name)?;
    let mut named = of(changes.inode()).ok_or(Errno::ENODATA)?.lock();
    named.by_name.remove(name).map(drop).ok_or(Errno::ENODATA)
}

/// Tells the names, newest first.
pub fn list(inode: &Inode, emit: &mut dyn FnMut(&[u8]) -> Result<(), Errno>) -> Result<(), Errno> {
    let Some(named) = of(inode) else { return Ok(()) };
    let named = named.lock();
    let mut names = Vec::new();
    names.try_reserve_exact(named.by_name.len()).or_errno()?;
    names.extend(named.by_name.iter().map(|(name, value)| (value.age, name)));
    names.sort_unstable_by_key(|&(age, _)| core::cmp::Reverse(age));
    names.into_iter().try_for_each(|(_, name)| emit(name))
}
