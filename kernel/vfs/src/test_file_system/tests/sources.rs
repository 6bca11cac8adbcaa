//! What is mounted: names, and devices that are found for who asks.

use abi::fs::MS_NODEV;

use super::super::{DISK, Type};
use super::*;
use crate::anonymous;
use crate::filesystem::{FileSystemType, Source};
use crate::types::find_source;

/// A type whose source is a name.
pub struct Named;

impl FileSystemType for Named {
    fn name(&self) -> &'static str {
        "named"
    }

    fn magic(&self) -> i64 {
        0
    }
}

#[test]
fn a_device_is_found_where_who_mounts_it_stands() {
    let (_alone, tree) = tree(Store::Elsewhere);
    let folder = tree.disk.make(ROOT, b"dev", FileKind::Directory);
    for (name, kind) in [
        (&b"disk"[..], FileKind::BlockDevice),
        (b"line", FileKind::CharacterDevice),
        (b"file", FileKind::Regular),
    ] {
        tree.disk.make(folder, name, kind);
    }
    let root = Credentials::root();
    let find = |text: &'static [u8]| find_source(&Type, text, &tree.context, &root);
    assert_eq!(find(b"/dev/disk"), Ok(Source::Device(DISK)));
    assert_eq!(find(b"dev/../dev/disk"), Ok(Source::Device(DISK)));
    assert_eq!((find(b"/dev/line"), find(b"/dev/file")), (Err(Errno::ENOTBLK), Err(Errno::ENOTBLK)));
    assert_eq!(
        (find(b"/dev"), find(b"disk"), find(b"")),
        (Err(Errno::ENOTBLK), Err(Errno::ENOENT), Err(Errno::EINVAL))
    );
    tree.context.set_working_directory(tree.find("/dev").expect("there"));
    assert_eq!(find(b"disk"), Ok(Source::Device(DISK)));
    tree.root().mount.set_flags(MS_NODEV).expect("nobody writes");
    assert_eq!((find(b"disk"), find(b"file")), (Err(Errno::EACCES), Err(Errno::ENOTBLK)));
}

#[test]
fn a_name_need_not_be_anything() {
    hal::cpu::id();
    let context = FsContext::at(anonymous::new_mount(&Named).expect("a device").root_location());
    let find = |text: &'static [u8]| find_source(&Named, text, &context, &Credentials::root());
    assert_eq!((find(b"/none/such"), find(b"")), (Ok(Source::Name(b"/none/such")), Ok(Source::Name(b""))));
}
