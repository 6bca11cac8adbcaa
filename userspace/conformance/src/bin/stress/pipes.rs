//! Pipes with many writers and readers: every byte once, and in its writer's order.

use crate::round::{Random, Round};
use crate::teams::{self, shared};
use abi::Errno;
use abi::fs::O_NONBLOCK;
use abi::poll::{POLLIN, POLLOUT, Pollfd};
use conformance::{Failure, Outcome, check, check_eq};
use core::sync::atomic::{AtomicU64, Ordering};
use libsyscall::file::*;

const RECORD: usize = 256;
const MOST: usize = 64;

/// What the readers have seen together.
#[derive(zerocopy::FromZeros)]
#[repr(C)]
struct Seen {
    records: AtomicU64,
    sum: AtomicU64,
}

/// A record: the writer, its number, and bytes that follow from both.
fn record(writer: u64, number: u64) -> [u8; RECORD] {
    let mut bytes = [(writer * 31 + number) as u8; RECORD];
    bytes[..8].copy_from_slice(&writer.to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// Writers and readers in processes of their own: records are written and read whole, and each reader sees the records
/// of one writer in order.
pub fn records(round: Round) -> Outcome {
    const EACH: u64 = 150;
    let pairs = round.threads.min(MOST);
    let (reader, writer) = pipe2(0)?;
    let seen = shared::<Seen>()?;
    let members = teams::start_processes(2 * pairs, |member| {
        if member >= pairs {
            close(writer)?;
            return read_records(reader, seen);
        }
        close(reader)?;
        for number in 0..EACH {
            check_eq!(write(writer, &record(member as u64, number)), Ok(RECORD));
        }
        close(writer)?;
        Ok(())
    })?;
    // The end of the stream comes when nobody has the writing end.
    close(writer)?;
    close(reader)?;
    teams::wait_for(members)?;
    check_eq!(seen.records.load(Ordering::SeqCst), pairs as u64 * EACH);
    check_eq!(seen.sum.load(Ordering::SeqCst), pairs as u64 * (EACH * (EACH - 1) / 2));
    Ok(())
}

fn read_records(reader: i32, seen: &Seen) -> Outcome {
    let mut next = [0_u64; MOST];
    let mut bytes = [0; RECORD];
    loop {
        let length = read(reader, &mut bytes)?;
        if length == 0 {
            return Ok(());
        }
        check_eq!(length, RECORD);
        let word =
            |at: usize| bytes[at..at + 8].iter().rev().fold(0, |word, &byte| (word << 8) | u64::from(byte));
        let (writer, number) = (word(0), word(8));
        check!(bytes == record(writer, number), "a record of writer {writer}, {number}, is mixed");
        let next = &mut next[writer as usize];
        check!(number >= *next, "record {number} of writer {writer} comes after {next}");
        *next = number + 1;
        seen.records.fetch_add(1, Ordering::SeqCst);
        seen.sum.fetch_add(number, Ordering::SeqCst);
    }
}

/// Each thread sends a stream in pieces of any size through a pipe of its own, by waiting calls or by `poll`; its
/// neighbour checks every byte.
pub fn streams(round: Round) -> Outcome {
    const BYTES: usize = 96 * 1024;
    let pairs = round.threads.div_ceil(2);
    let mut pipes = alloc::vec::Vec::new();
    for pair in 0..pairs {
        pipes.push(pipe2(if pair % 2 == 0 { 0 } else { O_NONBLOCK })?);
    }
    teams::threads(2 * pairs, move |member| {
        let ((reader, writer), mut random) = (pipes[member / 2], round.random(member));
        let mut at = 0;
        while at < BYTES {
            let moved = match member % 2 {
                0 => send(writer, at, BYTES, &mut random)?,
                _ => receive(reader, at, &mut random)?,
            };
            at += moved;
        }
        check_eq!(at, BYTES);
        if member % 2 == 0 {
            close(writer)?;
        } else {
            check_eq!(patient(reader, POLLIN, || read(reader, &mut [0; 16]))?, 0);
            close(reader)?;
        }
        Ok(())
    })
}

const fn byte(at: usize) -> u8 {
    (at ^ (at >> 8) ^ (at >> 15)) as u8
}

fn send(writer: i32, at: usize, end: usize, random: &mut Random) -> Result<usize, Failure> {
    let mut bytes = [0; 6000];
    let length = (1 + random.below(bytes.len())).min(end - at);
    bytes.iter_mut().enumerate().for_each(|(offset, place)| *place = byte(at + offset));
    patient(writer, POLLOUT, || write(writer, &bytes[..length]))
}

fn receive(reader: i32, at: usize, random: &mut Random) -> Result<usize, Failure> {
    let mut bytes = [0; 6000];
    let length = 1 + random.below(bytes.len());
    let got = patient(reader, POLLIN, || read(reader, &mut bytes[..length]))?;
    check!(got > 0, "the stream ends after {at} bytes");
    let wrong = (0..got).find(|&offset| bytes[offset] != byte(at + offset));
    check!(wrong.is_none(), "byte {} of the stream is wrong", at + wrong.unwrap_or_default());
    Ok(got)
}

/// Makes a call until it does not answer EAGAIN, waiting for `event` in between.
fn patient(fd: i32, event: u16, mut call: impl FnMut() -> Result<usize, Errno>) -> Result<usize, Failure> {
    loop {
        match call() {
            Err(Errno::EAGAIN) => drop(ppoll(&mut [Pollfd { fd, events: event, revents: 0 }], None)?),
            other => return Ok(other?),
        }
    }
}
