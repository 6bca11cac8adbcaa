//! The tree as calls see it: walking, making, moving and removing names, on a tmpfs of its own for each test.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::fs::MS_RDONLY;
use memory::user::{IoSink, IoSource};
use outcome::Failure;
use subject::Credentials;
use vfs::attributes::FileKind;
use vfs::change::{self, NewFile};
use vfs::directory::Key;
use vfs::inode::Ownership;
use vfs::mount::{self, Location, Mount, Turn};
use vfs::open::{self, How};
use vfs::remove::{self, Victim};
use vfs::rename::{self, Behind, End, Target};
use vfs::walk::{Last, LastLink, Walk};
use vfs::{File, FsContext, listing, path_from, reaper};

use crate::tmpfs::{self, Limits, TMPFS};

/// The host's stand-in for a machine comes up, with its memory, when a thread first acts as a CPU.
pub(super) fn start_memory() {
    hal::cpu::id();
}

/// A tree with a root of its own, and someone to use it.
struct Tree {
    context: Arc<FsContext>,
    mounts: Arc<mount::Namespace>,
    credentials: Credentials,
}

impl Tree {
    fn new() -> Tree {
        start_memory();
        let root =
            tmpfs::new_instance(&TMPFS, Limits::of_pages(1024), Ownership::of_root(0o755)).expect("a device");
        let filesystem = root.inode().filesystem.clone();
        let mount = Mount::new(filesystem, root, Arc::from(&b"test"[..]), 0);
        let context = FsContext::at(mount.root_location());
        Tree { context, mounts: mount::Namespace::initial(mount), credentials: Credentials::root() }
    }

    fn as_user(&mut self, id: u32) {
        let user = self.credentials.user_namespace.user(id).expect("a user");
        self.credentials.set_user(user).expect("root may become anyone");
    }

    fn turn(&self) -> Turn {
        Turn::of(&self.mounts)
    }

    fn walk(&self) -> Walk<'_> {
        Walk::new(&self.context, &self.credentials)
    }

    fn root(&self) -> Location {
        self.context.root()
    }

    fn find(&self, path: &str) -> Result<Location, Errno> {
        self.walk().resolve(Some(self.root()), path.as_bytes(), LastLink::Follow)
    }

    fn make(&self, path: &str, new: NewFile) -> Result<(), Errno> {
        let tail = self.walk().to_parent(Some(self.root()), path.as_bytes())?;
        let Last::Name(name) = &tail.last else { return Err(Errno::EEXIST) };
        change::create(&tail.directory, name, new, &self.credentials).map(|_| ())
    }

    fn directory(&self, path: &str) -> Result<(), Errno> {
        self.make(path, NewFile::directory(0o755))
    }

    fn file(&self, path: &str) -> Result<(), Errno> {
        self.make(path, NewFile::regular(0o644))
    }

    fn symlink(&self, path: &str, text: &str) {
        self.make(path, NewFile::symlink(Arc::from(text.as_bytes()))).expect("a new link");
    }

    fn remove(&self, path: &str, victim: Victim) -> Result<(), Errno> {
        let tail = self.walk().to_parent(Some(self.root()), path.as_bytes())?;
        let Last::Name(name) = &tail.last else { return Err(Errno::EBUSY) };
        remove::remove(&tail.directory, name, victim, &self.credentials)
    }

    fn rename(&self, from: &str, to: &str, target: Target) -> Result<(), Errno> {
        let from = self.walk().to_parent(Some(self.root()), from.as_bytes())?;
        let to = self.walk().to_parent(Some(self.root()), to.as_bytes())?;
        let (Last::Name(from_name), Last::Name(to_name)) = (&from.last, &to.last) else {
            return Err(Errno::EBUSY);
        };
        let from_end =
            End { directory: &from.directory, name: Key::new(from_name), must_be_directory: false };
        let to_end = End { directory: &to.directory, name: Key::new(to_name), must_be_directory: false };
        rename::rename(from_end, to_end, target, Behind::Nothing, &self.credentials)
    }

    fn names(&self, path: &str) -> Vec<Vec<u8>> {
        let mut names = Vec::new();
        let place = self.find(path).expect("a directory");
        listing::list(&place, 2, |entry| {
            names.push(entry.name.to_vec());
            true
        })
        .expect("a directory");
        names
    }

    fn open(&self, path: &str, flags: u32) -> Result<Arc<File>, Errno> {
        let how = How::new(flags, 0o644)?;
        match open::open(&mut self.walk(), Some(self.root()), path.as_bytes(), how) {
            Ok(file) => Ok(file),
            Err(Failure::Errno(errno)) => Err(errno),
            Err(Failure::Restart(restart)) => panic!("{restart:?} without signals"),
        }
    }
}

#[test]
fn walking_goes_through_directories_links_and_parents() {
    let tree = Tree::new();
    tree.directory("/a").expect("made");
    tree.directory("/a/b").expect("made");
    tree.file("/a/b/c").expect("made");
    tree.symlink("/link", "a/./b");
    tree.symlink("/a/up", "../link/c");
    let number = |path| tree.find(path).map(|place| place.dentry.inode().number);
    let wanted = number("/a/b/c");
    assert!(wanted.is_ok());
    for path in ["a/b/c", "//a//b/../b/c", "/link/c", "/a/up", "/../../a/b/c", "/link/../b/c"] {
        assert_eq!(number(path), wanted, "{path}");
    }
    assert_eq!(number("/a/b/c/"), Err(Errno::ENOTDIR));
    assert_eq!(number("/a/b/c/."), Err(Errno::ENOTDIR));
    assert_eq!(number("/a/x/c"), Err(Errno::ENOENT));
    assert_eq!(number(""), Err(Errno::ENOENT));
    assert_eq!(number(&"n".repeat(256)), Err(Errno::ENAMETOOLONG));
}

#[test]
fn links_in_a_circle_end_the_walk() {
    let tree = Tree::new();
    tree.symlink("/x", "y");
    tree.symlink("/y", "x");
    assert_eq!(tree.find("/x").err(), Some(Errno::ELOOP));
    assert_eq!(tree.find("/x/z").err(), Some(Errno::ELOOP));
    let kept = tree.walk().resolve(Some(tree.root()), b"/x", LastLink::Keep);
    assert_eq!(kept.map(|place| place.dentry.inode().kind).ok(), Some(FileKind::Symlink));
}

#[test]
fn names_are_listed_newest_first_and_removal_does_not_skip_any() {
    let tree = Tree::new();
    for name in ["/one", "/two", "/three", "/four"] {
        tree.file(name).expect("made");
    }
    tree.remove("/two", Victim::File).expect("removed");
    assert_eq!(tree.names("/"), [&b"four"[..], b"three", b"one"]);
    tree.rename("/one", "/five", Target::Replace).expect("renamed");
    assert_eq!(tree.names("/"), [&b"five"[..], b"four", b"three"]);
    let mut position = 2;
    let mut seen = 0;
    while seen < 3 {
        let mut name = Vec::new();
        listing::list(&tree.root(), position, |entry| {
            name = entry.name.to_vec();
            position = entry.next;
            false
        })
        .expect("a directory");
        tree.remove(core::str::from_utf8(&name).expect("text"), Victim::File).expect("still there");
        seen += 1;
    }
    assert!(tree.names("/").is_empty());
}

#[test]
fn links_are_counted() {
    let tree = Tree::new();
    tree.directory("/d").expect("made");
    tree.directory("/d/e").expect("made");
    let links = |path: &str| tree.find(path).expect("there").dentry.inode().attributes.links();
    assert_eq!((links("/"), links("/d"), links("/d/e")), (3, 3, 2));
    tree.rename("/d/e", "/e", Target::Replace).expect("moved");
    assert_eq!((links("/"), links("/d")), (4, 2));
    tree.remove("/e", Victim::Directory).expect("empty");
    assert_eq!(links("/"), 3);
    tree.file("/f").expect("made");
    let target = tree.find("/f").expect("there");
    change::link(&target, &tree.root(), b"g", &tree.credentials).expect("linked");
    assert_eq!(links("/g"), 2);
    tree.remove("/f", Victim::File).expect("removed");
    assert_eq!(links("/g"), 1);
}

#[test]
fn directories_are_removed_only_when_empty_and_take_no_names_after() {
    let tree = Tree::new();
    tree.directory("/d").expect("made");
    tree.file("/d/f").expect("made");
    assert_eq!(tree.remove("/d", Victim::Directory), Err(Errno::ENOTEMPTY));
    assert_eq!(tree.remove("/d", Victim::File), Err(Errno::EISDIR));
    assert_eq!(tree.remove("/d/f", Victim::Directory), Err(Errno::ENOTDIR));
    tree.remove("/d/f", Victim::File).expect("removed");
    let held = tree.find("/d").expect("there");
    tree.remove("/d", Victim::Directory).expect("empty");
    let late = change::create(&held, b"x", NewFile::regular(0o644), &tree.credentials);
    assert_eq!(late.err(), Some(Errno::ENOENT));
    assert!(path_from(&held, &tree.root()).is_ok_and(|path| path.removed));
}

#[test]
fn rename_keeps_its_rules() {
    let tree = Tree::new();
    for path in ["/a", "/a/b", "/full", "/full/x"] {
        tree.directory(path).expect("made");
    }
    tree.file("/f").expect("made");
    assert_eq!(tree.rename("/a", "/a/b/c", Target::Replace), Err(Errno::EINVAL));
    assert_eq!(tree.rename("/a/b", "/a", Target::Replace), Err(Errno::ENOTEMPTY));
    assert_eq!(tree.rename("/f", "/a", Target::Replace), Err(Errno::EISDIR));
    assert_eq!(tree.rename("/a", "/f", Target::Replace), Err(Errno::ENOTDIR));
    assert_eq!(tree.rename("/a", "/full", Target::Replace), Err(Errno::ENOTEMPTY));
    assert_eq!(tree.rename("/f", "/a", Target::Keep), Err(Errno::EEXIST));
    assert_eq!(tree.rename("/f", "/f", Target::Replace), Ok(()));
    assert_eq!(tree.rename("/none", "/x", Target::Replace), Err(Errno::ENOENT));
    let kind = |path: &str| tree.find(path).map(|place| place.dentry.inode().kind);
    tree.rename("/f", "/a/b", Target::Exchange).expect("swapped");
    assert_eq!((kind("/f"), kind("/a/b")), (Ok(FileKind::Directory), Ok(FileKind::Regular)));
    tree.rename("/full/x", "/f", Target::Replace).expect("an empty directory gives way");
    assert_eq!(kind("/f"), Ok(FileKind::Directory));
}

#[test]
fn permissions_stand_in_the_way_of_users_and_not_of_root() {
    let mut tree = Tree::new();
    tree.make("/secret", NewFile::directory(0o700)).expect("made");
    tree.file("/secret/f").expect("made");
    tree.make("/shared", NewFile::directory(0o1777)).expect("made");
    tree.file("/shared/roots").expect("made");
    tree.as_user(1000);
    assert_eq!(tree.find("/secret/f").err(), Some(Errno::EACCES));
    assert_eq!(tree.file("/mine"), Err(Errno::EACCES));
    assert_eq!(tree.remove("/shared/roots", Victim::File), Err(Errno::EPERM));
    tree.file("/shared/mine").expect("everyone may");
    tree.remove("/shared/mine", Victim::File).expect("its owner may");
    assert_eq!(tree.open("/shared/roots", abi::fs::O_RDWR).err(), Some(Errno::EACCES));
    assert!(tree.open("/shared/roots", abi::fs::O_RDONLY).is_ok());
}

#[test]
fn opening_follows_its_flags() {
    use abi::fs::{O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_RDWR, O_TRUNC, O_WRONLY};
    let tree = Tree::new();
    assert_eq!(tree.open("/f", O_RDWR).err(), Some(Errno::ENOENT));
    let file = tree.open("/f", O_RDWR | O_CREAT | O_EXCL).expect("made");
    assert_eq!(tree.open("/f", O_RDWR | O_CREAT | O_EXCL).err(), Some(Errno::EEXIST));
    assert_eq!(file.write(&mut IoSource::kernel(b"hello")), Ok(5));
    let appending = tree.open("/f", O_WRONLY | O_APPEND).expect("there");
    assert_eq!(appending.write(&mut IoSource::kernel(b" world")), Ok(6));
    let mut bytes = [0; 32];
    assert_eq!(file.read_at(0, &mut IoSink::kernel(&mut bytes)), Ok(11));
    assert_eq!(&bytes[..11], b"hello world");
    tree.open("/f", O_WRONLY | O_TRUNC).expect("there");
    assert_eq!(file.inode().size(), 0);
    tree.symlink("/l", "/made-through-link");
    tree.open("/l", O_RDWR | O_CREAT).expect("made behind the link");
    assert!(tree.find("/made-through-link").is_ok());
    assert_eq!(tree.open("/l", O_RDWR | O_NOFOLLOW).err(), Some(Errno::ELOOP));
    assert!(tree.open("/l", O_PATH | O_NOFOLLOW).is_ok());
    assert_eq!(tree.open("/f", O_DIRECTORY).err(), Some(Errno::ENOTDIR));
    assert_eq!(tree.open("/", O_RDWR).err(), Some(Errno::EISDIR));
}

#[test]
fn mounts_cover_directories_and_lead_back_up() {
    let tree = Tree::new();
    tree.directory("/m").expect("made");
    let place = tree.find("/m").expect("there");
    let root =
        tmpfs::new_instance(&TMPFS, Limits::of_pages(16), Ownership::of_root(0o755)).expect("a device");
    let filesystem = root.inode().filesystem.clone();
    filesystem.end_with_last_mount(&root);
    let mounted = Mount::new(filesystem.clone(), root, Arc::default(), 0);
    tree.turn().attach(&mounted, place).expect("memory");
    tree.file("/m/inside").expect("made");
    let inside = tree.find("/m/inside").expect("there");
    assert_eq!(path_from(&inside, &tree.root()).map(|path| path.text), Ok(b"/m/inside".to_vec()));
    assert!(tree.find("/m/..").expect("the root").same_as(&tree.root()));
    assert_eq!(tree.remove("/m", Victim::Directory), Err(Errno::EBUSY));
    assert_eq!(tree.turn().detach(&mounted, mount::InUse::Refuse), Err(Errno::EBUSY));
    drop(inside);
    tree.turn().detach(&mounted, mount::InUse::Refuse).expect("unused");
    assert!(tree.names("/m").is_empty());
}

#[test]
fn of_several_mounts_on_a_place_the_latest_shows() {
    let tree = Tree::new();
    for path in ["/m", "/n"] {
        tree.directory(path).expect("made");
    }
    let [place, other] = ["/m", "/n"].map(|path| tree.find(path).expect("there"));
    let new = || {
        let root =
            tmpfs::new_instance(&TMPFS, Limits::of_pages(16), Ownership::of_root(0o755)).expect("a device");
        let filesystem = root.inode().filesystem.clone();
        Mount::new(filesystem, root, Arc::default(), 0)
    };
    let (first, second) = (new(), new());
    tree.turn().attach(&first, place.clone()).expect("memory");
    tree.turn().attach(&second, place.clone()).expect("memory");
    let shown = |path| tree.find(path).expect("there").mount.id;
    assert_eq!(shown("/m"), second.id);
    tree.turn().relocate(&second.root_location(), other.clone()).expect("attached");
    assert_eq!((shown("/m"), shown("/n")), (first.id, second.id));
    tree.turn().relocate(&first.root_location(), other).expect("attached");
    assert_eq!((shown("/m"), shown("/n")), (tree.root().mount.id, first.id));
    assert_eq!(tree.turn().detach(&first, mount::InUse::Refuse), Ok(()));
    assert_eq!(shown("/n"), second.id);
    assert_eq!(tree.turn().relocate(&first.root_location(), place).err(), Some(Errno::EINVAL));
    assert_eq!(tree.turn().detach(&second, mount::InUse::DetachAnyway), Ok(()));
    assert_eq!(shown("/n"), tree.root().mount.id);
}

#[test]
fn a_chain_of_removed_directories_is_dropped_without_recursion() {
    let tree = Tree::new();
    let mut current = tree.root();
    let mut chain = Vec::new();
    for _ in 0..100_000 {
        let dentry =
            change::create(&current, b"d", NewFile::directory(0o755), &tree.credentials).expect("made");
        chain.push(current.clone());
        current = Location { mount: current.mount.clone(), dentry };
    }
    for parent in chain.into_iter().rev() {
        remove::remove(&parent, b"d", Victim::Directory, &tree.credentials).expect("empty");
    }
    drop(current);
}

#[test]
fn a_tmpfs_ends_with_its_last_mount() {
    start_memory();
    let root =
        tmpfs::new_instance(&TMPFS, Limits::of_pages(16), Ownership::of_root(0o755)).expect("a device");
    let filesystem = root.inode().filesystem.clone();
    filesystem.end_with_last_mount(&root);
    let mount = Mount::new(filesystem.clone(), root, Arc::default(), 0);
    let place = mount.root_location();
    drop(mount);
    let inner = change::create(&place, b"d", NewFile::directory(0o755), &Credentials::root()).expect("made");
    let inner = Location { mount: place.mount.clone(), dentry: inner };
    change::create(&inner, b"e", NewFile::directory(0o755), &Credentials::root()).expect("made");
    assert_eq!(filesystem.inode_count(), 3);
    drop((place, inner));
    // Another test may be about to do it.
    for _ in 0..10_000 {
        if filesystem.inode_count() == 0 {
            break;
        }
        reaper::reap();
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(filesystem.inode_count(), 0, "inodes are left");
}

#[test]
fn a_directory_is_nameless_once_whatever_ends_its_links() {
    let tree = Tree::new();
    for path in ["/p", "/p/c"] {
        tree.directory(path).expect("made");
    }
    let [parent, child] = ["/p", "/p/c"].map(|path| tree.find(path).expect("there"));
    let filesystem = tree.root().mount.filesystem.clone();
    tree.remove("/p/c", Victim::Directory).expect("empty");
    tree.remove("/p", Victim::Directory).expect("empty");
    // Whoever removed something else in it comes to count only now.
    parent.dentry.inode().remove_link();
    parent.dentry.inode().remove_all_links();
    assert_eq!(filesystem.set_flags(MS_RDONLY), Err(Errno::EBUSY));
    drop((parent, child));
    assert_eq!(filesystem.set_flags(MS_RDONLY), Ok(()));
}
