//! Tests of the line discipline: what a person types, what a program reads, what the screen shows.

use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

fn typed(terminal: &mut LineDiscipline, keys: &[u8]) -> Vec<u8> {
    let mut screen: Vec<u8> = vec![];
    for &key in keys {
        terminal.receive(key, &mut |bytes: &[u8]| screen.extend(bytes));
    }
    screen
}

fn read(terminal: &mut LineDiscipline) -> Option<Vec<u8>> {
    let mut target = [0; 64];
    match terminal.read(&mut target) {
        ReadOutcome::Bytes(length) => Some(target[..length].to_vec()),
        ReadOutcome::EndOfFile => Some(vec![]),
        ReadOutcome::Nothing => None,
    }
}

fn with_modes(change: impl FnOnce(&mut Termios)) -> LineDiscipline {
    let mut terminal = LineDiscipline::new();
    let mut modes = *terminal.modes();
    change(&mut modes);
    terminal.set_modes(modes);
    terminal
}

#[test]
fn a_line_is_read_when_it_is_finished() {
    let mut terminal = LineDiscipline::new();
    assert_eq!(typed(&mut terminal, b"ls"), b"ls");
    assert_eq!(read(&mut terminal), None);
    assert_eq!(typed(&mut terminal, b"\rmore"), b"\r\nmore");
    assert_eq!(terminal.available(), 3);
    assert_eq!(read(&mut terminal), Some(b"ls\n".to_vec()));
    assert_eq!(read(&mut terminal), None);
}

#[test]
fn erasing_takes_back_what_was_shown() {
    let mut terminal = LineDiscipline::new();
    assert_eq!(typed(&mut terminal, b"ab\x7f\x7f\x7f"), b"ab\x08 \x08\x08 \x08");
    assert_eq!(typed(&mut terminal, b"\x01\x7f"), b"^A\x08 \x08\x08 \x08");
    assert_eq!(typed(&mut terminal, b"a\t\x7f"), b"a\t\x08\x08\x08\x08\x08\x08\x08");
    assert_eq!(typed(&mut terminal, b" b-c\x17d\n"), b" b-c\x08 \x08d\r\n");
    assert_eq!(read(&mut terminal), Some(b"a b-d\n".to_vec()));
    typed(&mut terminal, b"gone\x15here\n");
    assert_eq!(read(&mut terminal), Some(b"here\n".to_vec()));
}

#[test]
fn whole_characters_are_erased() {
    let mut terminal = with_modes(|modes| modes.c_iflag |= IUTF8);
    typed(&mut terminal, "aé€".as_bytes());
    assert_eq!(typed(&mut terminal, b"\x7f\x7f"), b"\x08 \x08\x08 \x08");
    typed(&mut terminal, b"\n");
    assert_eq!(read(&mut terminal), Some(b"a\n".to_vec()));
}

#[test]
fn control_characters_send_signals() {
    let mut terminal = LineDiscipline::new();
    typed(&mut terminal, b"lost");
    let mut screen: Vec<u8> = vec![];
    let reaction = terminal.receive(3, &mut |bytes: &[u8]| screen.extend(bytes));
    assert_eq!((reaction.signal, &screen[..]), (Some(Signal::INT), &b"^C"[..]));
    typed(&mut terminal, b"\n");
    assert_eq!(read(&mut terminal), Some(b"\n".to_vec()));
    typed(&mut terminal, b"\x16\x03\n");
    assert_eq!(read(&mut terminal), Some(b"\x03\n".to_vec()), "a literal one does not");
}

#[test]
fn end_of_file_ends_a_read() {
    let mut terminal = LineDiscipline::new();
    typed(&mut terminal, b"\x04ab\x04\x04");
    assert_eq!(terminal.available(), 2);
    assert_eq!(read(&mut terminal), Some(vec![]));
    assert_eq!(read(&mut terminal), Some(b"ab".to_vec()));
    assert_eq!(read(&mut terminal), Some(vec![]));
    assert_eq!(read(&mut terminal), None);
    typed(&mut terminal, b"abc\x04");
    let mut exact = [0; 3];
    assert_eq!(terminal.read(&mut exact), ReadOutcome::Bytes(3));
    assert_eq!(read(&mut terminal), None, "the end of file went with its line");
}

#[test]
fn without_canonical_mode_every_byte_counts() {
    let mut terminal = LineDiscipline::new();
    typed(&mut terminal, b"begun");
    let mut modes = *terminal.modes();
    modes.c_lflag &= !(ICANON | ECHO | ISIG);
    assert!(terminal.set_modes(modes));
    assert_eq!(read(&mut terminal), Some(b"begun".to_vec()));
    assert_eq!(typed(&mut terminal, b"\x03\x7f\x04"), b"");
    modes.c_lflag |= ICANON;
    assert!(terminal.set_modes(modes));
    assert_eq!(read(&mut terminal), Some(b"\x03\x7f\x04".to_vec()));
}

#[test]
fn stop_and_start_control_output() {
    let mut terminal = LineDiscipline::new();
    typed(&mut terminal, b"\x13");
    assert!(terminal.is_output_stopped());
    assert!(terminal.receive(0x11, &mut |_: &[u8]| {}).output_resumed);
    assert!(!terminal.is_output_stopped() && !terminal.is_readable());
}

#[test]
fn output_is_processed() {
    let mut terminal = with_modes(|modes| modes.c_oflag |= XTABS);
    let mut screen: Vec<u8> = vec![];
    terminal.transmit(b"a\tb\nc", &mut |bytes: &[u8]| screen.extend(bytes));
    assert_eq!(screen, b"a       b\r\nc");
    let mut terminal = with_modes(|modes| modes.c_oflag = 0);
    let mut screen: Vec<u8> = vec![];
    terminal.transmit(b"a\n", &mut |bytes: &[u8]| screen.extend(bytes));
    assert_eq!(screen, b"a\n");
}

#[test]
fn a_full_buffer_still_takes_a_line_end() {
    let mut terminal = LineDiscipline::new();
    typed(&mut terminal, &vec![b'x'; 5000]);
    assert!(terminal.receive(b'\n', &mut |_: &[u8]| {}).became_readable);
    assert_eq!(terminal.available(), 4096);
    typed(&mut terminal, b"\n\x04yyy");
    let mut target = vec![0; 8192];
    assert_eq!(terminal.read(&mut target), ReadOutcome::Bytes(4096));
}

#[test]
fn the_wire_waits_where_a_reader_can_make_room() {
    let mut terminal = LineDiscipline::new();
    // An unfinished line: what is too long of it is lost, and its end is not.
    typed(&mut terminal, &[b'x'; 5000]);
    assert!(terminal.has_room());
    typed(&mut terminal, b"\n");
    assert_eq!(terminal.available(), 4096);
    // A finished one: a reader comes.
    assert!(!terminal.has_room());
    let mut length = 0;
    while let Some(bytes) = read(&mut terminal) {
        assert!(terminal.has_room());
        length += bytes.len();
    }
    assert_eq!(length, 4096);
    // Outside canonical mode nothing is lost.
    let modes = Termios { c_lflag: 0, ..*terminal.modes() };
    terminal.set_modes(modes);
    let mut arrived = 0;
    for _ in 0..5000 {
        if !terminal.has_room() {
            arrived += read(&mut terminal).map_or(0, |bytes| bytes.len());
        }
        typed(&mut terminal, b"y");
    }
    assert_eq!(arrived + terminal.available(), 5000);
}

proptest! {
    #[test]
    fn any_keys_in_any_mode_do_no_harm(
        steps in proptest::collection::vec((any::<u8>(), 0u8..20, any::<[u32; 3]>()), 0..500),
    ) {
        let mut terminal = LineDiscipline::new();
        for (key, step, [input, output, local]) in steps {
            match step {
                0 => {
                    let modes = Termios { c_iflag: input, c_oflag: output, c_lflag: local, ..*terminal.modes() };
                    terminal.set_modes(modes);
                }
                1 => _ = read(&mut terminal),
                _ => _ = terminal.receive(key, &mut |_: &[u8]| {}),
            }
            prop_assert!(terminal.available() <= 4096);
            prop_assert!(!terminal.is_readable() || read(&mut terminal).is_some());
        }
    }

    #[test]
    fn plain_lines_come_through(lines in proptest::collection::vec("[a-z ]{0,30}", 1..20)) {
        let mut terminal = LineDiscipline::new();
        for line in lines {
            typed(&mut terminal, line.as_bytes());
            typed(&mut terminal, b"\n");
            let mut expected = line.into_bytes();
            expected.push(b'\n');
            prop_assert_eq!(read(&mut terminal), Some(expected));
        }
    }
}
