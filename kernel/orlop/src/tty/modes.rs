//! Terminal modes in the forms that programs pass them: `termios` and `termios2`.

use abi::Errno;
use abi::terminal::{
    B9600, B19200, B38400, B57600, B115200, BOTHER, CBAUD, TCSETS2, TCSETSF, TCSETSF2, TCSETSW2, Termios,
    Termios2,
};
use libkernel::addr::UserAddr;
use memory::user::UserPtr;

use super::terminal::Terminal;

/// Bits a second of the speed constants that are not zero-based multiples of anything.
const SPEEDS: &[(u32, u32)] =
    &[(B9600, 9600), (B19200, 19200), (B38400, 38400), (B57600, 57600), (B115200, 115_200)];

/// `TCGETS`.
pub fn get(terminal: &Terminal, argument: UserAddr) -> Result<u64, Errno> {
    let modes = *terminal.discipline().lock().modes();
    UserPtr::new(argument).write(&modes)?;
    Ok(0)
}

/// `TCGETS2`: with the speeds as numbers.
pub fn get_with_speed(terminal: &Terminal, argument: UserAddr) -> Result<u64, Errno> {
    let modes = *terminal.discipline().lock().modes();
    let speed = SPEEDS.iter().find(|(code, _)| *code == modes.c_cflag & CBAUD).map_or(0, |(_, speed)| *speed);
    UserPtr::new(argument).write(&Termios2 { modes, c_ispeed: speed, c_ospeed: speed })?;
    Ok(0)
}

/// `TCSETS`, `TCSETSW`, `TCSETSF` and their `2` forms. Output is sent at once, so there is none to wait for.
pub fn set(terminal: &Terminal, request: u32, argument: UserAddr) -> Result<u64, Errno> {
    let modes = match request {
        TCSETS2 | TCSETSW2 | TCSETSF2 => with_speed_code(UserPtr::<Termios2>::new(argument).read()?),
        _ => UserPtr::<Termios>::new(argument).read()?,
    };
    let mut discipline = terminal.discipline().lock();
    if matches!(request, TCSETSF | TCSETSF2) {
        discipline.flush_input();
    }
    let was_stopped = discipline.is_output_stopped();
    discipline.set_modes(modes);
    let resumed = was_stopped && !discipline.is_output_stopped();
    drop(discipline);
    terminal.wake_readers();
    if resumed {
        terminal.wake_writers();
    }
    Ok(0)
}

/// The modes with the constant for the speed, where there is one.
fn with_speed_code(given: Termios2) -> Termios {
    let mut modes = given.modes;
    if modes.c_cflag & CBAUD == BOTHER
        && let Some((code, _)) = SPEEDS.iter().find(|(_, speed)| *speed == given.c_ospeed)
    {
        modes.c_cflag = modes.c_cflag & !CBAUD | code;
    }
    modes
}
