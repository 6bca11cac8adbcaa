//! The discipline, said to and waited for as a time daemon does.
use super::*;
use abi::time::Timeval;

/// Says something to the discipline at a second of the wall clock.
fn say(discipline: &mut Discipline, wall_s: i64, wish: Timex) -> (i32, Timex) {
    let mut wish = wish;
    Discipline::check(&wish, true).unwrap();
    let state = discipline.adjust(&mut wish, wall_s);
    (state, wish)
}

fn wish(modes: u32) -> Timex {
    Timex { modes, ..Timex::default() }
}

/// What the rate moves the clock by in a second, in nanoseconds.
fn rate_ns(discipline: &Discipline) -> i64 {
    discipline.rate() >> FRACTION
}

#[test]
fn at_first_the_clock_is_not_synchronised() {
    let mut discipline = Discipline::new();
    let (state, told) = say(&mut discipline, 0, wish(0));
    assert_eq!(state, TIME_ERROR);
    assert_eq!((told.status, told.tick, told.precision), (STA_UNSYNC, 10_000, 1));
    assert_eq!((told.maxerror, told.esterror), (16_000_000, 16_000_000));
    assert_eq!((told.tolerance, told.constant, told.freq, told.offset, told.tai), (32_768_000, 2, 0, 0, 0));
    assert_eq!((discipline.rate(), discipline.is_moving()), (0, false));
}

#[test]
fn frequency_and_tick_are_rates() {
    let mut discipline = Discipline::new();
    // Seven parts per million and a half.
    let (_, told) = say(&mut discipline, 0, Timex { freq: 15 << 15, ..wish(ADJ_FREQUENCY) });
    assert_eq!((told.freq, rate_ns(&discipline)), (15 << 15, 7_500));
    let (_, told) = say(&mut discipline, 0, Timex { freq: -(501 << 16), ..wish(ADJ_FREQUENCY) });
    assert_eq!((told.freq, rate_ns(&discipline)), (-(500 << 16), -500_000));
    say(&mut discipline, 0, Timex { freq: 0, ..wish(ADJ_FREQUENCY) });
    say(&mut discipline, 0, Timex { tick: 9_990, ..wish(ADJ_TICK) });
    assert_eq!(rate_ns(&discipline), -1_000_000);
    assert!(!discipline.is_moving());
}

#[test]
fn adjtime_moves_half_a_millisecond_a_second() {
    let mut discipline = Discipline::new();
    let (_, told) = say(&mut discipline, 0, Timex { offset: -1_200, ..wish(ADJ_ADJTIME | ADJ_OFFSET) });
    assert_eq!(told.offset, 0);
    let mut moved_ns = 0;
    for rest_us in [-700, -200, 0] {
        moved_ns += rate_ns(&discipline);
        discipline.pass(SECOND_NS);
        let read = wish(ADJ_ADJTIME | ADJ_OFFSET | ADJ_OFFSET_READONLY);
        assert_eq!(say(&mut discipline, 0, read).1.offset, rest_us);
    }
    assert_eq!((moved_ns, discipline.rate(), discipline.is_moving()), (-1_200_000, 0, false));
}

#[test]
fn a_second_that_is_counted_late_is_made_good() {
    let mut discipline = Discipline::new();
    say(&mut discipline, 0, Timex { offset: 600, ..wish(ADJ_ADJTIME | ADJ_OFFSET) });
    discipline.pass(2 * SECOND_NS);
    // A thousand were moved; 400 go back.
    assert_eq!(rate_ns(&discipline), -400_000);
    discipline.pass(SECOND_NS);
    assert!(!discipline.is_moving());
}

#[test]
fn an_offset_moves_phase_and_frequency() {
    for sign in [1, -1] {
        let mut discipline = Discipline::new();
        let status = wish(ADJ_STATUS | ADJ_NANO | ADJ_TIMECONST);
        let (state, _) = say(&mut discipline, 1_000, Timex { status: STA_PLL, constant: 0, ..status });
        assert_eq!(state, TIME_OK);
        let offset = Timex { offset: sign * 8_000_000, ..wish(ADJ_OFFSET) };
        let (_, told) = say(&mut discipline, 1_004, offset);
        assert_eq!(told.offset, sign * 8_000_000);
        // Four seconds' worth of 8 ms through the loop: 8 ms * 4 / 2^8, which is 125 parts in a million.
        assert_eq!(told.freq, sign * 125 * 65_536);
        let steady = discipline.frequency;
        let mut moved = 0;
        let mut seconds = 0;
        while discipline.is_moving() {
            moved += discipline.rate() - steady;
            discipline.pass(SECOND_NS);
            seconds += 1;
            assert!(seconds < 200);
        }
        let moved_ns = moved >> FRACTION;
        assert!((moved_ns - sign * 8_000_000).abs() <= 10, "{moved_ns}");
        assert_eq!(discipline.rate(), steady);
    }
}

#[test]
fn an_offset_without_the_loop_is_not_taken() {
    let mut discipline = Discipline::new();
    let (_, told) = say(&mut discipline, 0, Timex { offset: 1_000, ..wish(ADJ_OFFSET) });
    assert_eq!((told.offset, discipline.is_moving()), (0, false));
}

#[test]
fn after_a_long_time_an_offset_is_taken_for_a_wrong_frequency() {
    let mut discipline = Discipline::new();
    say(&mut discipline, 0, Timex { status: STA_PLL | STA_FLL, ..wish(ADJ_STATUS | ADJ_NANO) });
    let (_, told) = say(&mut discipline, 1_000, Timex { offset: 1_000_000, ..wish(ADJ_OFFSET) });
    assert_ne!(told.status & STA_MODE, 0);
    // A millisecond in a thousand seconds is a part in a million, of which a quarter is believed; the loop over the
    // phase adds 32 seconds' worth of a millisecond through 2^12.
    let rate_ns = 250 + 32 * 1_000_000 / 4_096;
    assert!((told.freq - rate_ns * 65_536 / 1_000).abs() < 100, "{}", told.freq);
}

#[test]
fn errors_grow_until_nobody_believes_the_clock() {
    let mut discipline = Discipline::new();
    say(&mut discipline, 0, Timex { maxerror: 1_000, status: 0, ..wish(ADJ_MAXERROR | ADJ_STATUS) });
    discipline.pass(10 * SECOND_NS);
    let (state, told) = say(&mut discipline, 10, wish(0));
    assert_eq!((state, told.maxerror), (TIME_OK, 6_000));
    // Whoever looks all the time does not keep it from growing.
    for _ in 0..40 {
        discipline.pass(SECOND_NS / 10);
        say(&mut discipline, 14, wish(0));
    }
    assert_eq!(say(&mut discipline, 14, wish(0)).1.maxerror, 8_000);
    discipline.pass(40_000 * SECOND_NS);
    let (state, told) = say(&mut discipline, 40_010, wish(0));
    assert_eq!((state, told.maxerror, told.status), (TIME_ERROR, 16_000_000, STA_UNSYNC));
}

#[test]
fn a_leap_second_is_inserted_at_the_days_end() {
    let mut discipline = Discipline::new();
    let tai = Timex { status: STA_INS, constant: 37, ..wish(ADJ_STATUS | ADJ_TAI) };
    let (state, told) = say(&mut discipline, DAY_S - 2, tai);
    assert_eq!((state, told.tai, discipline.next_leap()), (TIME_INS, 37, Some(DAY_S)));
    assert_eq!(discipline.leap(DAY_S - 1), 0);
    assert_eq!(discipline.leap(DAY_S), -1);
    let (state, told) = say(&mut discipline, DAY_S - 1, wish(0));
    assert_eq!((state, told.tai), (TIME_OOP, 38));
    assert_eq!(discipline.leap(DAY_S), 0);
    assert_eq!(say(&mut discipline, DAY_S, wish(0)).0, TIME_WAIT);
    assert_eq!(say(&mut discipline, DAY_S, wish(ADJ_STATUS)).0, TIME_OK);
    assert_eq!(discipline.next_leap(), None);
}

#[test]
fn a_leap_second_is_left_out() {
    let mut discipline = Discipline::new();
    let (state, _) = say(&mut discipline, 5, Timex { status: STA_DEL, ..wish(ADJ_STATUS) });
    assert_eq!((state, discipline.next_leap()), (TIME_DEL, Some(DAY_S - 1)));
    assert_eq!(discipline.leap(DAY_S - 1), 1);
    assert_eq!(say(&mut discipline, DAY_S, wish(0)).0, TIME_WAIT);
}

#[test]
fn wishes_are_checked() {
    let refused = |wish: Timex, is_privileged| Discipline::check(&wish, is_privileged).err();
    assert_eq!(refused(wish(0), false), None);
    assert_eq!(refused(wish(ADJ_STATUS), false), Some(Errno::EPERM));
    assert_eq!(refused(wish(ADJ_ADJTIME), true), Some(Errno::EINVAL));
    assert_eq!(refused(wish(ADJ_ADJTIME | ADJ_OFFSET), false), Some(Errno::EPERM));
    assert_eq!(refused(wish(ADJ_ADJTIME | ADJ_OFFSET | ADJ_OFFSET_READONLY), false), None);
    for (tick, error) in
        [(8_999, Some(Errno::EINVAL)), (9_000, None), (11_000, None), (11_001, Some(Errno::EINVAL))]
    {
        assert_eq!(refused(Timex { tick, ..wish(ADJ_TICK) }, true), error);
    }
    let step = |modes, tv_usec| refused(Timex { time: Timeval { tv_sec: 0, tv_usec }, ..wish(modes) }, true);
    assert_eq!(step(ADJ_SETOFFSET, -1), Some(Errno::EINVAL));
    assert_eq!(step(ADJ_SETOFFSET, 1_000_000), Some(Errno::EINVAL));
    assert_eq!(step(ADJ_SETOFFSET | ADJ_NANO, 1_000_000), None);
    assert_eq!(refused(Timex { freq: i64::MIN, ..wish(ADJ_FREQUENCY) }, true), Some(Errno::EINVAL));
}

/// No number that a program may hand in makes the arithmetic overflow.
#[test]
fn absurd_numbers() {
    let numbers = [i64::MIN, -1, 0, 1, i64::MAX];
    for modes in 0..=0xffff {
        for number in numbers {
            let mut told = Timex {
                modes,
                offset: number,
                freq: number / RATE_OF_FREQ,
                maxerror: number,
                esterror: number,
                constant: number,
                status: number as i32,
                tick: 10_001,
                ..Timex::default()
            };
            if Discipline::check(&told, true).is_ok() {
                let mut discipline = Discipline::new();
                discipline.status = STA_PLL;
                discipline.adjust(&mut told, number);
                discipline.pass(u64::MAX);
                let _ = (discipline.rate(), discipline.leap(number), discipline.next_leap());
            }
        }
    }
}
