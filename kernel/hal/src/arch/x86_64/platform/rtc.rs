//! The MC146818 real-time clock: the wall clock at boot.
use super::port;
use libkernel::calendar::Date;

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const UPDATING: u8 = 1 << 7;
const BINARY: u8 = 1 << 2;
const HOURS_24: u8 = 1 << 1;
const AFTERNOON: u8 = 1 << 7;

fn read(register: u8) -> u8 {
    // SAFETY: selects and reads a clock register; bit 7 of the index keeps NMI enabled when zero.
    unsafe {
        port::write_u8(INDEX, register);
        port::read_u8(DATA)
    }
}

/// Second, minute, hour, day, month, year as the clock holds them.
fn sample() -> [u8; 6] {
    [0, 2, 4, 7, 8, 9].map(read)
}

/// Seconds since 1970, or `None` where there is no clock or it does not hold still.
pub fn seconds_since_1970() -> Option<u64> {
    if read(STATUS_B) == 0xff {
        return None;
    }
    for _ in 0..1000 {
        let before = sample();
        if read(STATUS_A) & UPDATING == 0 && sample() == before {
            return decode(before, read(STATUS_B));
        }
    }
    None
}

fn decode(fields: [u8; 6], format: u8) -> Option<u64> {
    let number =
        |value: u8| u64::from(if format & BINARY != 0 { value } else { (value >> 4) * 10 + (value & 0xf) });
    let [second, minute, hour, day, month, year] = fields;
    let mut hours = number(hour & !AFTERNOON);
    if format & HOURS_24 == 0 {
        hours = hours % 12 + if hour & AFTERNOON != 0 { 12 } else { 0 };
    }
    let (month, day) = (number(month), number(day));
    Date {
        year: 2000 + number(year),
        month,
        day,
        hour: hours,
        minute: number(minute),
        second: number(second),
    }
    .seconds_since_1970()
}
