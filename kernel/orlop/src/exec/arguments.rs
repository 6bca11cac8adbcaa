//! The strings of an `execve`: arguments and environment, copied from the caller before its memory goes.
//!
//! Limits are Linux's (`fs/exec.c`): a string has at most 128 KiB; all strings and the pointers to them at most a
//! quarter of the stack's limit, but never less than 128 KiB nor more than 6 MiB.

use alloc::vec::Vec;

use abi::Errno;
use libkernel::addr::UserAddr;
use memory::user::string::read_string;
use memory::user::{UserPtr, UserSlice};
use outcome::OrErrno;

/// The longest string, with its NUL (`MAX_ARG_STRLEN`).
const STRING_LIMIT: usize = 128 << 10;
/// What the strings of a program may always take (`ARG_MAX`).
const LEAST_ROOM: u64 = 128 << 10;
/// What they may take at most (three quarters of `_STK_LIM`).
const MOST_ROOM: u64 = 6 << 20;

/// NUL-terminated strings, one behind the other.
#[derive(Default)]
pub struct Strings {
    bytes: Vec<u8>,
    lengths: Vec<u32>,
}

impl Strings {
    /// How many strings.
    pub fn count(&self) -> usize {
        self.lengths.len()
    }

    /// The strings with their NULs, in order.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Offset of every string in [`Self::bytes`].
    pub fn offsets(&self) -> impl Iterator<Item = u64> + '_ {
        self.lengths.iter().scan(0, |next, length| {
            let offset = *next;
            *next += u64::from(*length);
            Some(offset)
        })
    }

    /// Adds a string, given without its NUL. `E2BIG` where that leaves no room.
    pub fn push(&mut self, string: &[u8], room: &mut Room) -> Result<(), Errno> {
        let length =
            string.len().checked_add(1).filter(|length| *length <= STRING_LIMIT).ok_or(Errno::E2BIG)?;
        room.take(length as u64 + size_of::<u64>() as u64)?;
        self.bytes.try_reserve(length).or_errno()?;
        self.lengths.try_reserve(1).or_errno()?;
        self.bytes.extend_from_slice(string);
        self.bytes.push(0);
        self.lengths.push(u32::try_from(length).map_err(|_| Errno::E2BIG)?);
        Ok(())
    }

    /// Adds all strings of another list from the one with number `first` on.
    pub fn push_all(&mut self, other: &Self, first: usize, room: &mut Room) -> Result<(), Errno> {
        let strings = other.bytes.split(|byte| *byte == 0).take(other.count()).skip(first);
        strings.into_iter().try_for_each(|string| self.push(string, room))
    }

    /// Copies in a NULL-terminated array of pointers and the strings they point to. A NULL array is empty.
    pub fn read_user(array: UserAddr, room: &mut Room) -> Result<Self, Errno> {
        let mut strings = Self::default();
        if array.is_null() {
            return Ok(strings);
        }
        let pointers = UserSlice::<u64>::new(array, usize::MAX);
        loop {
            let pointer: UserPtr<u64> = pointers.at(strings.count())?;
            let address = UserAddr::new(pointer.read()?);
            if address.is_null() {
                return Ok(strings);
            }
            let string = read_string(address, STRING_LIMIT)?.ok_or(Errno::E2BIG)?;
            strings.push(&string, room)?;
        }
    }
}

/// What is left of the room for strings and pointers, in bytes.
pub struct Room(u64);

impl Room {
    /// The room of a process with this soft `RLIMIT_STACK`.
    pub fn new(stack_limit: u64) -> Self {
        Self((stack_limit / 4).clamp(LEAST_ROOM, MOST_ROOM))
    }

    /// `E2BIG` where there is not so much.
    pub fn take(&mut self, bytes: u64) -> Result<(), Errno> {
        self.0 = self.0.checked_sub(bytes).ok_or(Errno::E2BIG)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_follow_the_strings() {
        let mut room = Room::new(0);
        let mut strings = Strings::default();
        for string in [&b"ab"[..], b"", b"c"] {
            strings.push(string, &mut room).unwrap();
        }
        assert_eq!(strings.bytes(), b"ab\0\0c\0");
        assert_eq!(strings.offsets().collect::<Vec<_>>(), [0, 3, 4]);
        let mut rest = Strings::default();
        rest.push_all(&strings, 1, &mut room).unwrap();
        assert_eq!(rest.bytes(), b"\0c\0");
    }

    #[test]
    fn room_runs_out() {
        let mut room = Room::new(8 << 20);
        let mut strings = Strings::default();
        assert_eq!(strings.push(&[b'x'; STRING_LIMIT], &mut room), Err(Errno::E2BIG));
        let string = [b'x'; STRING_LIMIT - 1];
        let pushed = (0..).take_while(|_| strings.push(&string, &mut room).is_ok()).count();
        assert_eq!(pushed, 15);
    }
}
