//! The kernel's log in memory: the last records, each with its number.
//!
//! Text lies in a ring of bytes, and what is known of a record in a ring of its own, so that a record is found by its
//! number at once. The oldest records give way.

/// The longest text of a record in bytes (Linux 6.1: `LOG_LINE_MAX`, without the caller's number).
pub const LONGEST: usize = 992;

/// What is known of a record besides its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// Facility and level, as syslog(3) puts them together.
    pub priority: u32,
    /// When it was made, in nanoseconds since boot.
    pub ns: u64,
}

#[derive(Clone, Copy)]
struct Record {
    header: Header,
    /// Where the text begins, as a number of bytes since boot.
    start: u64,
    length: u32,
}

/// A log of at most so many records and bytes of text.
pub struct LogRing<const RECORDS: usize, const BYTES: usize> {
    records: [Record; RECORDS],
    text: [u8; BYTES],
    /// The oldest record that is there, and the next one to come.
    first: u64,
    next: u64,
    /// Bytes since boot.
    end: u64,
}

/// What is found under a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// A record, whose text of so many bytes was copied.
    Record(Header, usize),
    /// It has given way; this is the oldest one that is left.
    Lost(u64),
    /// It is still to come.
    NotYet,
}

impl<const RECORDS: usize, const BYTES: usize> LogRing<RECORDS, BYTES> {
    /// An empty log. `BYTES` is at least [`LONGEST`].
    pub const fn new() -> Self {
        let nothing = Record { header: Header { priority: 0, ns: 0 }, start: 0, length: 0 };
        Self { records: [nothing; RECORDS], text: [0; BYTES], first: 0, next: 0, end: 0 }
    }

    /// The number of the oldest record.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The number of the next record to come.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Adds a record; of a text that is too long the start.
    pub fn push(&mut self, header: Header, text: &[u8]) {
        let text = &text[..text.len().min(LONGEST)];
        let end = self.end + text.len() as u64;
        let is_full = |ring: &Self| ring.next - ring.first == RECORDS as u64;
        while self.first < self.next && (is_full(self) || end - self.record(self.first).start > BYTES as u64)
        {
            self.first += 1;
        }
        let start = (self.end % BYTES as u64) as usize;
        let (whole, wrapped) = text.split_at(text.len().min(BYTES - start));
        self.text[start..start + whole.len()].copy_from_slice(whole);
        self.text[..wrapped.len()].copy_from_slice(wrapped);
        self.records[(self.next % RECORDS as u64) as usize] =
            Record { header, start: self.end, length: text.len() as u32 };
        self.next += 1;
        self.end = end;
    }

    fn record(&self, number: u64) -> &Record {
        &self.records[(number % RECORDS as u64) as usize]
    }

    /// Copies the text of record `number`.
    pub fn copy(&self, number: u64, into: &mut [u8; LONGEST]) -> Found {
        if number >= self.next {
            return Found::NotYet;
        }
        if number < self.first {
            return Found::Lost(self.first);
        }
        let record = self.record(number);
        let (start, length) = ((record.start % BYTES as u64) as usize, record.length as usize);
        let whole = length.min(BYTES - start);
        into[..whole].copy_from_slice(&self.text[start..start + whole]);
        into[whole..length].copy_from_slice(&self.text[..length - whole]);
        Found::Record(record.header, length)
    }
}

impl<const RECORDS: usize, const BYTES: usize> Default for LogRing<RECORDS, BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const HEADER: Header = Header { priority: 6, ns: 5 };

    fn text<const RECORDS: usize, const BYTES: usize>(
        ring: &LogRing<RECORDS, BYTES>,
        number: u64,
    ) -> Option<Vec<u8>> {
        let mut buffer = [0; LONGEST];
        match ring.copy(number, &mut buffer) {
            Found::Record(header, length) => {
                assert_eq!(header, HEADER);
                Some(buffer[..length].to_vec())
            }
            _ => None,
        }
    }

    #[test]
    fn what_is_not_there_is_lost_or_to_come() {
        let mut ring = LogRing::<2, 1024>::new();
        let mut buffer = [0; LONGEST];
        assert_eq!(ring.copy(0, &mut buffer), Found::NotYet);
        for word in ["one", "two", "three"] {
            ring.push(HEADER, word.as_bytes());
        }
        assert_eq!(ring.copy(0, &mut buffer), Found::Lost(1));
        assert_eq!(text(&ring, 2).as_deref(), Some(&b"three"[..]));
        assert_eq!(ring.copy(3, &mut buffer), Found::NotYet);
    }

    proptest! {
        /// The log holds the last records, whole and in order, as many as there is room for.
        #[test]
        fn the_last_records_are_kept_whole(lengths in prop::collection::vec(0usize..1200, 0..60)) {
            const BYTES: usize = 2000;
            let mut ring = LogRing::<8, BYTES>::new();
            let all: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(index, &length)| std::vec![index as u8; length]).collect();
            for text in &all {
                ring.push(HEADER, text);
            }
            prop_assert_eq!(ring.next(), all.len() as u64);
            for (number, expected) in all.iter().enumerate().skip(ring.first() as usize) {
                let expected = &expected[..expected.len().min(LONGEST)];
                prop_assert_eq!(text(&ring, number as u64), Some(expected.to_vec()));
            }
            let kept: usize = all[ring.first() as usize..].iter().map(|text| text.len().min(LONGEST)).sum();
            prop_assert!(kept <= BYTES && ring.next() - ring.first() <= 8);
            if ring.first() > 0 {
                let more = all[ring.first() as usize - 1].len().min(LONGEST);
                prop_assert!(kept + more > BYTES || ring.next() - ring.first() == 8);
            }
        }
    }
}
