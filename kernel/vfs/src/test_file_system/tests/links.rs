//! How many links an inode may have: nothing makes the count overflow.

use abi::Errno;
use subject::Credentials;

use super::{Tree, tree};
use crate::attributes::MOST_LINKS;
use crate::change::{self, NewFile};
use crate::directory::Store;
use crate::rename::Target;

fn link(tree: &Tree, from: &str, name: &str) -> Result<(), Errno> {
    change::link(&tree.find(from).expect("there"), &tree.root(), name.as_bytes(), &Credentials::root())
}

#[test]
fn no_file_gets_more_names_than_can_be_counted() {
    let (_alone, tree) = tree(Store::Elsewhere);
    tree.file("a").expect("made");
    tree.inode("/a").attributes.set_links(MOST_LINKS - 1);
    assert_eq!(link(&tree, "/a", "b"), Ok(()));
    assert_eq!(link(&tree, "/a", "c"), Err(Errno::EMLINK));
    assert_eq!(tree.find("/c").err(), Some(Errno::ENOENT));
    assert_eq!(tree.inode("/a").attributes.links(), MOST_LINKS);
}

#[test]
fn no_directory_gets_more_directories_than_can_be_counted() {
    let (_alone, tree) = tree(Store::Elsewhere);
    for (parent, name) in [("/", "full"), ("/full", "inside"), ("/", "outside")] {
        tree.make(parent, name, NewFile::directory(0o755)).expect("made");
    }
    tree.inode("/full").attributes.set_links(MOST_LINKS);
    assert_eq!(tree.make("/full", "x", NewFile::directory(0o755)).err(), Some(Errno::EMLINK));
    tree.make("/full", "file", NewFile::regular(0o644)).expect("no link");
    let outside = ("/", "outside");
    assert_eq!(tree.rename(outside, ("/full", "x"), Target::Replace), Err(Errno::EMLINK));
    assert_eq!(tree.rename(outside, ("/full", "file"), Target::Exchange), Err(Errno::EMLINK));
    assert_eq!(tree.rename(("/full", "file"), outside, Target::Exchange), Err(Errno::EMLINK));
    assert_eq!(tree.rename(outside, ("/full", "inside"), Target::Exchange), Ok(()));
    assert_eq!(tree.rename(outside, ("/full", "inside"), Target::Replace), Ok(()));
    assert_eq!(tree.rename(("/full", "inside"), ("/full", "x"), Target::Replace), Ok(()));
    assert_eq!(tree.inode("/full").attributes.links(), MOST_LINKS);
}
