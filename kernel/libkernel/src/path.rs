//! Path names, cut into components without copying.

/// One step of a path. `.` and empty components are no steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Component<'a> {
    /// `..`
    Parent,
    /// A name, of any length.
    Normal(&'a [u8]),
}

/// A path, not empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Path<'a>(&'a [u8]);

/// What a path ends in, for calls that create, remove or rename it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Last<'a> {
    /// A name, and whether slashes follow it: then it must be, or become, a directory.
    Normal(&'a [u8], TrailingSlash),
    /// `.`
    Current,
    /// `..`
    Parent,
    /// The path is `/`.
    Root,
}

/// Whether slashes follow the last name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrailingSlash {
    /// The path ends with its last name.
    Absent,
    /// Slashes follow.
    Present,
}

/// The steps of a path.
#[derive(Clone, Copy, Debug)]
pub struct Components<'a> {
    rest: &'a [u8],
}

impl<'a> Path<'a> {
    /// The path `bytes`, or `None` when it is empty (ENOENT) or holds a zero byte.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        (!bytes.is_empty() && !bytes.contains(&0)).then_some(Self(bytes))
    }

    /// The path as it was written.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// True when it starts at the root.
    pub fn is_absolute(self) -> bool {
        self.0.first() == Some(&b'/')
    }

    /// True when it can only name a directory: it ends in a slash, `.` or `..`.
    pub fn must_be_directory(self) -> bool {
        !matches!(self.split_last().1, Last::Normal(_, TrailingSlash::Absent))
    }

    /// All steps.
    pub const fn components(self) -> Components<'a> {
        Components { rest: self.0 }
    }

    /// The steps that lead to the last component, and that component.
    pub fn split_last(self) -> (Components<'a>, Last<'a>) {
        let end = self.0.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
        let start = self.0[..end].iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        let trailing = if end < self.0.len() { TrailingSlash::Present } else { TrailingSlash::Absent };
        let last = match &self.0[start..end] {
            b"" => Last::Root,
            b"." => Last::Current,
            b".." => Last::Parent,
            name => Last::Normal(name, trailing),
        };
        (Components { rest: &self.0[..start] }, last)
    }
}

impl Components<'_> {
    /// True when no step is left.
    pub fn is_empty(&self) -> bool {
        self.clone().next().is_none()
    }
}

impl<'a> Iterator for Components<'a> {
    type Item = Component<'a>;

    #[inline]
    fn next(&mut self) -> Option<Component<'a>> {
        loop {
            while let [b'/', rest @ ..] = self.rest {
                self.rest = rest;
            }
            if self.rest.is_empty() {
                return None;
            }
            let length = self.rest.iter().position(|&byte| byte == b'/').unwrap_or(self.rest.len());
            let (name, rest) = self.rest.split_at(length);
            self.rest = rest;
            match name {
                b"." => {}
                b".." => return Some(Component::Parent),
                name => return Some(Component::Normal(name)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn steps(path: &[u8]) -> Vec<Component<'_>> {
        Path::new(path).unwrap().components().collect()
    }

    #[test]
    fn dots_and_slashes_are_no_steps() {
        use Component::{Normal, Parent};
        assert_eq!(steps(b"//a/./..//b/"), [Normal(b"a"), Parent, Normal(b"b")]);
        assert_eq!(steps(b"/"), []);
        assert_eq!(steps(b"..."), [Normal(b"...")]);
        assert!(Path::new(b"").is_none() && Path::new(b"a\0b").is_none());
    }

    #[test]
    fn the_last_component_is_told_apart() {
        let last = |path| Path::new(path).unwrap().split_last().1;
        assert_eq!(last(b"a/b"), Last::Normal(b"b", TrailingSlash::Absent));
        assert_eq!(last(b"a/b//"), Last::Normal(b"b", TrailingSlash::Present));
        assert_eq!(last(b"a/."), Last::Current);
        assert_eq!(last(b".."), Last::Parent);
        assert_eq!(last(b"///"), Last::Root);
    }

    proptest! {
        #[test]
        fn parent_and_last_make_the_whole(path in "[a./]{1,12}") {
            let path = Path::new(path.as_bytes()).unwrap();
            let (parent, last) = path.split_last();
            let mut whole: Vec<_> = parent.collect();
            match last {
                Last::Normal(name, _) => whole.push(Component::Normal(name)),
                Last::Parent => whole.push(Component::Parent),
                Last::Current | Last::Root => {}
            }
            prop_assert!(path.components().eq(whole));
        }
    }
}
