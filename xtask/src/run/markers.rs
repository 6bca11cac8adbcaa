//! Finds `init`'s markers in the console's stream of bytes.
//!
//! A marker is a record separator (0x1e), the job's nonce, and either ` begin INDEX` or ` status INDEX STATUS`, up to
//! the end of the line. It may stand anywhere, since a program's output need not end with a newline.

const RECORD_SEPARATOR: u8 = 0x1e;

/// No marker is longer.
const LONGEST: usize = 80;

/// What the console's stream consists of.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Bytes from the kernel, from `init` or from a program.
    Output(&'a [u8]),
    /// The program with this index has started.
    Begin(usize),
    /// The program with this index has ended.
    Status(usize, u8),
}

/// Splits the stream into output and markers; chunks may end anywhere.
pub struct Markers {
    prefix: Vec<u8>,
    pending: Vec<u8>,
}

impl Markers {
    /// Looks for markers that carry `nonce`.
    pub fn new(nonce: &str) -> Self {
        let mut prefix = vec![RECORD_SEPARATOR];
        prefix.extend_from_slice(nonce.as_bytes());
        prefix.push(b' ');
        Self { prefix, pending: Vec::new() }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8], handle: &mut dyn FnMut(Event<'_>)) {
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_slice();
        while let Some(start) = rest.iter().position(|byte| *byte == RECORD_SEPARATOR) {
            emit(&rest[..start], handle);
            rest = &rest[start..];
            match self.marker(rest) {
                Found::Marker(event, length) => {
                    handle(event);
                    rest = &rest[length..];
                }
                Found::Nothing => {
                    emit(&rest[..1], handle);
                    rest = &rest[1..];
                }
                Found::Incomplete => {
                    self.pending = rest.to_vec();
                    return;
                }
            }
        }
        emit(rest, handle);
    }

    /// Gives out what was held back because it could have become a marker.
    pub fn finish(&mut self, handle: &mut dyn FnMut(Event<'_>)) {
        emit(&std::mem::take(&mut self.pending), handle);
    }

    fn marker(&self, bytes: &[u8]) -> Found {
        let common = bytes.len().min(self.prefix.len());
        if bytes[..common] != self.prefix[..common] {
            return Found::Nothing;
        }
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            return if bytes.len() < LONGEST { Found::Incomplete } else { Found::Nothing };
        };
        match bytes.get(common..end).and_then(parse) {
            Some(event) => Found::Marker(event, end + 1),
            None => Found::Nothing,
        }
    }
}

enum Found {
    Marker(Event<'static>, usize),
    Nothing,
    Incomplete,
}

/// The words after the nonce.
fn parse(words: &[u8]) -> Option<Event<'static>> {
    let words: Vec<_> = str::from_utf8(words).ok()?.split_whitespace().collect();
    match words.as_slice() {
        ["begin", index] => Some(Event::Begin(index.parse().ok()?)),
        ["status", index, status] => Some(Event::Status(index.parse().ok()?, status.parse().ok()?)),
        _ => None,
    }
}

fn emit(bytes: &[u8], handle: &mut dyn FnMut(Event<'_>)) {
    if !bytes.is_empty() {
        handle(Event::Output(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"boot\n\x1enn begin 0\nhello\x1enn status 0 255\r\n\x1e\x1exx status 0 1\nend\x1enn";

    fn split(chunk: usize) -> (Vec<u8>, Vec<String>) {
        let (mut output, mut events) = (Vec::new(), Vec::new());
        let mut markers = Markers::new("nn");
        let mut handle = |event: Event<'_>| match event {
            Event::Output(bytes) => output.extend_from_slice(bytes),
            other => events.push(format!("{other:?}")),
        };
        for bytes in STREAM.chunks(chunk) {
            markers.push(bytes, &mut handle);
        }
        markers.finish(&mut handle);
        (output, events)
    }

    #[test]
    fn markers_are_found_wherever_chunks_end() {
        for chunk in 1..STREAM.len() {
            let (output, events) = split(chunk);
            assert_eq!(output, b"boot\nhello\x1e\x1exx status 0 1\nend\x1enn", "chunks of {chunk}");
            assert_eq!(events, ["Begin(0)", "Status(0, 255)"]);
        }
    }
}
