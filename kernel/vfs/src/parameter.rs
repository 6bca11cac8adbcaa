//! Parameters of file systems: what is said of an instance, one by one, when it is made or changed (Linux:
//! `fs_parameter`).

/// What is given to a parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// Nothing.
    None,
    /// A text.
    Text(&'a [u8]),
    /// What no type here takes: bytes, a path, a descriptor.
    Other,
}

/// What a type of file system says of a parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is one of its own, and will be among the options.
    Taken,
    /// It means nothing, but may be given.
    Ignored,
    /// It is none of its own.
    Unknown,
    /// It is one of its own, but not with this value.
    BadValue,
    /// It takes no value.
    UnexpectedValue,
    /// It is for what this kernel does not have.
    Unsupported,
    /// The value is wrong, for which there are words that it stands behind.
    Wrong(&'static str),
}

impl Verdict {
    /// [`Verdict::Taken`] for a value that could be read.
    pub fn of<T>(read: Option<T>) -> Verdict {
        if read.is_some() { Verdict::Taken } else { Verdict::BadValue }
    }
}
