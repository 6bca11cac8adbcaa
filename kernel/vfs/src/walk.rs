//! Path walk: from a path to a place in the tree.
//!
//! A walk has two halves. [`Walk::to_parent`] goes to the directory of the last component, through links, mounts and
//! `..`; [`Walk::finish`] looks the last component up. Calls that make or remove names use the first half alone, so the
//! rules for everything before the last component exist once.
//!
//! A link's text is walked by putting the rest of the outer path on a stack: no recursion, at most [`MAX_LINKS`] links.
//! Every step holds one reference to mount and dentry; no lock is held between steps.

mod rules;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Deref;

use abi::Errno;
use abi::fs::MS_NOSYMFOLLOW;
use outcome::OrErrno;
use subject::Credentials;

use super::clock;
use super::context::FsContext;
use super::dentry::Dentry;
use super::directory::{Key, Store};
use super::inode::{Body, LinkTarget};
use super::mount::{self, Location, Mount};
use super::moves::Stamp;
use super::permission::{self, Access};
use super::shared_folders;

pub use rules::Rules;

/// Links that one walk follows before it gives up with ELOOP: path_resolution(7).
pub const MAX_LINKS: u32 = 40;

/// The longest name of a file: `NAME_MAX`.
pub const MAX_NAME: usize = 255;

/// Whether a link in the last component is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LastLink {
    /// It stands for its target.
    Follow,
    /// It stands for itself.
    Keep,
}

/// The text of a path: the program's, or a link's.
#[derive(Clone)]
enum Text<'p> {
    Given(&'p [u8]),
    Link(Arc<[u8]>),
}

impl Deref for Text<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Text::Given(bytes) => bytes,
            Text::Link(bytes) => bytes,
        }
    }
}

/// A path that is being walked, at the start of a component.
struct Cursor<'p> {
    text: Text<'p>,
    at: usize,
}

impl<'p> Cursor<'p> {
    fn new(text: Text<'p>) -> Cursor<'p> {
        let at = text.iter().take_while(|&&byte| byte == b'/').count();
        Cursor { text, at }
    }

    fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// The range of the component here; moves past it and the slashes after it.
    fn next_component(&mut self) -> (usize, usize) {
        let start = self.at;
        let rest = self.text.get(start..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
        let slashes = rest.iter().skip(length).take_while(|&&byte| byte == b'/').count();
        self.at = start + length + slashes;
        (start, start + length)
    }
}

/// The name that a path ends in.
pub struct LastName<'p> {
    text: Text<'p>,
    start: usize,
    end: usize,
}

impl Deref for LastName<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.text.get(self.start..self.end).unwrap_or_default()
    }
}

/// What a path ends in.
pub enum Last<'p> {
    /// The directory itself: `.`, or no component at all.
    Here,
    /// `..`.
    Up,
    /// A name in the directory, at most [`MAX_NAME`] bytes.
    Name(LastName<'p>),
}

/// The end of a path: a directory, and what is named in it.
pub struct Tail<'p> {
    /// The directory that the last component is in; it may be searched by the caller.
    pub directory: Location,
    /// The last component.
    pub last: Last<'p>,
    /// Slashes followed: only a directory will do.
    pub must_be_directory: bool,
}

/// One walk: who walks, where the root is, and how many links were followed.
pub struct Walk<'a> {
    context: &'a FsContext,
    credentials: &'a Credentials,
    rules: Rules,
    /// Filled when first needed; from the start for `BENEATH` and `IN_ROOT`.
    root: Option<Location>,
    /// When a walk that may not leave its root began.
    began: Stamp,
    links_followed: u32,
}

impl<'a> Walk<'a> {
    /// A walk without restrictions.
    pub fn new(context: &'a FsContext, credentials: &'a Credentials) -> Walk<'a> {
        let (rules, began) = (Rules::default(), Stamp::UNUSED);
        Walk { context, credentials, rules, root: None, began, links_followed: 0 }
    }

    /// A walk from `start` under the rules of openat2(2).
    pub fn restricted(
        context: &'a FsContext,
        credentials: &'a Credentials,
        rules: Rules,
        start: &Location,
    ) -> Walk<'a> {
        let root = rules.is_scoped().then(|| start.clone());
        Walk { context, credentials, rules, root, began: Stamp::now(), links_followed: 0 }
    }

    /// A walk of a caller who is not there to use what it comes by.
    pub fn unseen(context: &'a FsContext, credentials: &'a Credentials) -> Walk<'a> {
        let (rules, began) = (Rules::UNSEEN, Stamp::UNUSED);
        Walk { context, credentials, rules, root: None, began, links_followed: 0 }
    }

    /// On whose behalf the walk is done.
    pub fn credentials(&self) -> &'a Credentials {
        self.credentials
    }

    /// The place that `path` names, from `start` if it is relative; an absolute path needs none.
    pub fn resolve(
        &mut self,
        start: Option<Location>,
        path: &[u8],
        last_link: LastLink,
    ) -> Result<Location, Errno> {
        let tail = self.to_parent(start, path)?;
        self.finish(tail, last_link)
    }

    /// The directory that the last component of `path` is in. ENOENT for an empty path.
    pub fn to_parent<'p>(&mut self, start: Option<Location>, path: &'p [u8]) -> Result<Tail<'p>, Errno> {
        match path.first() {
            None => Err(Errno::ENOENT),
            Some(b'/') => {
                let root = self.restart_at_root()?;
                self.root.get_or_insert_with(|| root.clone());
                self.descend_text(root, Text::Given(path))
            }
            Some(_) => self.descend_text(start.ok_or(Errno::EBADF)?, Text::Given(path)),
        }
    }

    /// Looks the last component up and follows it as asked.
    pub fn finish(&mut self, mut tail: Tail<'_>, last_link: LastLink) -> Result<Location, Errno> {
        loop {
            let place = match &tail.last {
                Last::Here => tail.directory,
                Last::Up => self.up(tail.directory)?,
                Last::Name(name) => {
                    let dentry = self.child(&tail.directory.dentry, name)?;
                    if dentry.inode().is_symlink()
                        && (last_link == LastLink::Follow || tail.must_be_directory)
                    {
                        match self.follow_last(tail, &dentry)? {
                            Followed::Tail(next) => {
                                tail = next;
                                continue;
                            }
                            Followed::Place(place) => return Ok(place),
                        }
                    }
                    self.enter(Location { mount: tail.directory.mount, dentry })?
                }
            };
            if tail.must_be_directory && !place.dentry.inode().is_directory() {
                return Err(Errno::ENOTDIR);
            }
            return Ok(place);
        }
    }

    /// Follows a link that stands in the last component.
    pub fn follow_last<'p>(&mut self, tail: Tail<'_>, link: &Arc<Dentry>) -> Result<Followed<'p>, Errno> {
        shared_folders::may_follow(tail.directory.dentry.inode(), link.inode(), self.credentials)?;
        match self.read_link(link, &tail.directory.mount)? {
            LinkTarget::Place(place) => {
                if tail.must_be_directory && !place.dentry.inode().is_directory() {
                    return Err(Errno::ENOTDIR);
                }
                Ok(Followed::Place(place))
            }
            LinkTarget::Path(text) => {
                let start = self.link_start(tail.directory, &text)?;
                let mut next = self.descend_text(start, Text::Link(text))?;
                next.must_be_directory |= tail.must_be_directory;
                Ok(Followed::Tail(next))
            }
        }
    }

    /// Walks all components of a text but the last.
    fn descend_text<'p>(&mut self, mut place: Location, text: Text<'p>) -> Result<Tail<'p>, Errno> {
        let mut cursor = Cursor::new(text);
        let mut outer: Vec<Cursor<'p>> = Vec::new();
        loop {
            while cursor.is_at_end() {
                match outer.pop() {
                    Some(next) => cursor = next,
                    None => {
                        return Ok(Tail { directory: place, last: Last::Here, must_be_directory: true });
                    }
                }
            }
            let (start, end) = cursor.next_component();
            self.may_search(&place)?;
            if cursor.is_at_end() && outer.is_empty() {
                return tail_of(place, cursor, start, end);
            }
            let component = cursor.text.get(start..end).unwrap_or_default();
            place = match component {
                b"." => place,
                b".." => self.up(place)?,
                name => {
                    let dentry = self.child(&place.dentry, name)?;
                    if !dentry.inode().is_symlink() {
                        self.enter(Location { mount: place.mount, dentry })?
                    } else {
                        match self.read_link(&dentry, &place.mount)? {
                            LinkTarget::Place(target) => target,
                            LinkTarget::Path(text) => {
                                let start = self.link_start(place, &text)?;
                                outer.try_reserve(1).or_errno()?;
                                outer.push(core::mem::replace(&mut cursor, Cursor::new(Text::Link(text))));
                                start
                            }
                        }
                    }
                }
            };
        }
    }

    /// What `name` stands for. With [`Rules::CACHED`] EAGAIN for what is not in memory, or is made up when it is looked
    /// at.
    #[inline(always)]
    fn child(&self, directory: &Arc<Dentry>, name: &[u8]) -> Result<Arc<Dentry>, Errno> {
        if self.rules.include(Rules::CACHED) { cached_child(directory, name) } else { child(directory, name) }
    }

    /// ENOTDIR unless the place is a directory, EACCES unless it may be searched.
    fn may_search(&self, place: &Location) -> Result<(), Errno> {
        let inode = place.dentry.inode();
        if !inode.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        permission::check(inode, self.credentials, Access::EXECUTE)
    }

    /// Goes down into what is mounted on a place.
    #[inline]
    pub fn enter(&self, place: Location) -> Result<Location, Errno> {
        if place.dentry.is_mount_point() { self.descend(place) } else { Ok(place) }
    }

    #[inline(never)]
    fn descend(&self, place: Location) -> Result<Location, Errno> {
        let before = place.mount.id;
        let below = mount::descend(place);
        if !self.rules.include(Rules::UNSEEN) {
            below.mount.note_visit();
        }
        if below.mount.id != before && self.rules.include(Rules::NO_CROSSING) {
            return Err(Errno::EXDEV);
        }
        Ok(below)
    }

    /// The parent of a place, across mounts, never above the root. EAGAIN for a walk that may not leave its root, once
    /// something has moved that it may have come by.
    fn up(&mut self, place: Location) -> Result<Location, Errno> {
        let parent = self.parent(place)?;
        if self.rules.is_scoped() && !self.began.holds() {
            return Err(Errno::EAGAIN);
        }
        Ok(parent)
    }

    fn parent(&mut self, mut place: Location) -> Result<Location, Errno> {
        if place.same_as(self.root()) {
            // What is mounted on the root shows here, and only here.
            return if self.rules.include(Rules::BENEATH) { Err(Errno::EXDEV) } else { self.enter(place) };
        }
        while Arc::ptr_eq(&place.dentry, &place.mount.root) {
            let Some(outside) = place.mount.place() else { return Ok(place) };
            if self.rules.include(Rules::NO_CROSSING) {
                return Err(Errno::EXDEV);
            }
            place = outside;
            if place.same_as(self.root()) {
                return self.enter(place);
            }
        }
        match place.dentry.parent() {
            Some(dentry) => self.enter(Location { mount: place.mount, dentry }),
            None => Ok(place),
        }
    }

    /// Where a link leads; counts it, and notes that it was read.
    fn read_link(&mut self, link: &Arc<Dentry>, mount: &Arc<Mount>) -> Result<LinkTarget, Errno> {
        self.links_followed += 1;
        let refused = self.rules.include(Rules::NO_LINKS) || mount.flags() & MS_NOSYMFOLLOW != 0;
        if self.links_followed > MAX_LINKS || refused {
            return Err(Errno::ELOOP);
        }
        match &link.inode().body {
            Body::Symlink(text) if text.is_empty() => Err(Errno::ENOENT),
            Body::Symlink(text) => {
                let place = Location { mount: mount.clone(), dentry: link.clone() };
                if self.rules.include(Rules::CACHED) && clock::is_access_due(&place) {
                    return Err(Errno::EAGAIN);
                }
                clock::touch_accessed(&place);
                Ok(LinkTarget::Path(text.clone()))
            }
            Body::Magic(_) if self.rules.include(Rules::CACHED) => Err(Errno::EAGAIN),
            Body::Magic(magic) => self.check_magic(magic.follow()?, mount),
            _ => Err(Errno::EINVAL),
        }
    }

    fn check_magic(&self, target: LinkTarget, mount: &Mount) -> Result<LinkTarget, Errno> {
        if let LinkTarget::Place(place) = &target {
            if self.rules.include(Rules::NO_MAGIC_LINKS) {
                return Err(Errno::ELOOP);
            }
            if self.rules.is_scoped() {
                return Err(Errno::EXDEV);
            }
            self.check_crossing(mount, place)?;
        }
        Ok(target)
    }

    /// Where the text of a link in `directory` is walked from.
    fn link_start(&mut self, directory: Location, text: &[u8]) -> Result<Location, Errno> {
        if text.first() != Some(&b'/') {
            return Ok(directory);
        }
        // As on Linux, a walk that has not needed the root so far does not know that it would stay in one mount.
        if self.root.is_none() && self.rules.include(Rules::NO_CROSSING) {
            return Err(Errno::EXDEV);
        }
        let root = self.restart_at_root()?;
        self.check_crossing(&directory.mount, &root)?;
        Ok(root)
    }

    fn restart_at_root(&mut self) -> Result<Location, Errno> {
        if self.rules.include(Rules::BENEATH) {
            return Err(Errno::EXDEV);
        }
        match &self.root {
            Some(root) => Ok(root.clone()),
            None => Ok(self.context.root()),
        }
    }

    /// EXDEV where a link leads from one mount to another and must not.
    fn check_crossing(&self, from: &Mount, to: &Location) -> Result<(), Errno> {
        let crosses = self.rules.include(Rules::NO_CROSSING) && from.id != to.mount.id;
        if crosses { Err(Errno::EXDEV) } else { Ok(()) }
    }

    fn root(&mut self) -> &Location {
        self.root.get_or_insert_with(|| self.context.root())
    }
}

/// Where a link in the last component led.
pub enum Followed<'p> {
    /// To another path, of which this is the end.
    Tail(Tail<'p>),
    /// Straight to a place.
    Place(Location),
}

/// The end of a path whose last component stands at `start..end` of the cursor's text.
fn tail_of(directory: Location, cursor: Cursor<'_>, start: usize, end: usize) -> Result<Tail<'_>, Errno> {
    let must_be_directory = cursor.at > end;
    let (last, must_be_directory) = match cursor.text.get(start..end).unwrap_or_default() {
        b"." => (Last::Here, true),
        b".." => (Last::Up, true),
        // What makes up its names says that there is none such.
        name if name.len() > MAX_NAME && is_too_long(name, &directory.dentry) => {
            return Err(Errno::ENAMETOOLONG);
        }
        _ => (Last::Name(LastName { text: cursor.text, start, end }), must_be_directory),
    };
    Ok(Tail { directory, last, must_be_directory })
}

/// What `name` stands for in a directory. ENOTDIR where it is none, ENOENT where there is no such name.
#[inline(always)]
pub fn child(directory: &Arc<Dentry>, name: &[u8]) -> Result<Arc<Dentry>, Errno> {
    child_by(directory, &Key::new(name))
}

/// As [`child`], for who will come back to the directory with the name.
#[inline(always)]
pub fn child_by(directory: &Arc<Dentry>, key: &Key<'_>) -> Result<Arc<Dentry>, Errno> {
    if let Body::Directory(stored) = &directory.inode().body
        && stored.store.is_known_here()
        && let Some(found) = stored.names.read_or_count_per_cpu().find(key)
    {
        return Ok(found.clone());
    }
    child_elsewhere(directory, key)
}

fn cached_child(directory: &Arc<Dentry>, name: &[u8]) -> Result<Arc<Dentry>, Errno> {
    let stored = directory.inode().directory().ok_or(Errno::ENOTDIR)?;
    match stored.store {
        // Somebody has to be asked, whatever is known.
        Store::MadeUp | Store::Shared => Err(Errno::EAGAIN),
        _ if name.len() > MAX_NAME && is_too_long(name, directory) => Err(Errno::ENAMETOOLONG),
        _ => stored.names.read_or_count_per_cpu().find(&Key::new(name)).cloned().ok_or(Errno::EAGAIN),
    }
}

/// [`child`], where the name is not in memory.
#[inline(never)]
fn child_elsewhere(directory: &Arc<Dentry>, key: &Key<'_>) -> Result<Arc<Dentry>, Errno> {
    let name = key.name;
    let inode = directory.inode();
    let stored = inode.directory().ok_or(Errno::ENOTDIR)?;
    match stored.store {
        _ if name.len() > MAX_NAME && is_too_long(name, directory) => Err(Errno::ENAMETOOLONG),
        Store::Memory => Err(Errno::ENOENT),
        Store::Elsewhere | Store::Shared => stored.find_elsewhere(directory, key),
        Store::MadeUp => {
            let found = stored.operations.look_up(inode, name)?;
            Ok(Dentry::new(found, directory.clone(), Arc::from(name)))
        }
    }
}

/// Whether no file in the directory can have that name.
fn is_too_long(name: &[u8], directory: &Dentry) -> bool {
    directory.inode().directory().is_some_and(|stored| name.len() > stored.operations.longest_name())
}
