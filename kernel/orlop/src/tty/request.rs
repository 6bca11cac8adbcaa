//! What `ioctl` asks of a terminal: ioctl_tty(2).

use abi::Errno;
use abi::ioctl::FIONREAD;
use abi::terminal::{
    TCFLSH, TCGETS, TCGETS2, TCIFLUSH, TCIOFF, TCIOFLUSH, TCION, TCOFLUSH, TCOOFF, TCOON, TCSBRK, TCSBRKP,
    TCSETS, TCSETS2, TCSETSF, TCSETSF2, TCSETSW, TCSETSW2, TCXONC, TIOCGDEV, TIOCGETD, TIOCGPGRP,
    TIOCGPTPEER, TIOCGSID, TIOCGWINSZ, TIOCNOTTY, TIOCOUTQ, TIOCSCTTY, TIOCSETD, TIOCSPGRP, TIOCSTI,
    TIOCSWINSZ, TIOCVHANGUP, VSTART, VSTOP, Winsize,
};
use libkernel::addr::UserAddr;
use libkernel::signal_set::Signal;
use memory::user::UserPtr;
use outcome::Failure;
use subject::capability;

use super::modes;
use super::terminal::Terminal;
use crate::process::Thread;

/// Answers one request. ENOTTY for one that terminals do not know.
pub fn handle(terminal: &Terminal, thread: &Thread, request: u32, argument: u64) -> Result<u64, Failure> {
    let address = UserAddr::new(argument);
    match request {
        TCGETS => return Ok(modes::get(terminal, address)?),
        TCGETS2 => return Ok(modes::get_with_speed(terminal, address)?),
        TIOCGWINSZ => {
            let window = *terminal.window().lock();
            UserPtr::new(address).write(&window)?;
        }
        TIOCSWINSZ => resize(terminal, UserPtr::new(address).read()?),
        FIONREAD => {
            let available = terminal.discipline().lock().available() as u32;
            UserPtr::new(address).write(&available)?;
        }
        TIOCSTI => {
            terminal.check_may_type(thread)?;
            terminal.receive(UserPtr::new(address).read()?);
        }
        TIOCOUTQ => UserPtr::new(address).write(&0u32)?,
        TIOCGETD => UserPtr::new(address).write(&N_TTY)?,
        TIOCSETD => set_discipline(UserPtr::new(address).read()?)?,
        TIOCGDEV => UserPtr::new(address).write(&(terminal.number.encode() as u32))?,
        TIOCGPGRP | TIOCSPGRP | TIOCGSID | TIOCSCTTY | TIOCNOTTY => {
            return terminal.job_request(thread, request, argument);
        }
        TCSETS | TCSETSW | TCSETSF | TCSETS2 | TCSETSW2 | TCSETSF2 => {
            terminal.check_background_change()?;
            return Ok(modes::set(terminal, request, address)?);
        }
        TCFLSH => {
            terminal.check_background_change()?;
            flush(terminal, argument as u32)?;
        }
        TCXONC => {
            terminal.check_background_change()?;
            control_flow(terminal, argument as u32)?;
        }
        TIOCVHANGUP => {
            thread.credentials().require(capability::SYS_ADMIN)?;
            terminal.take_away();
        }
        // Output is sent at once, and a break on the line means nothing to what is behind it.
        TCSBRK | TCSBRKP => terminal.check_background_change()?,
        // What only the master of a pseudo-terminal has.
        TIOCGPTPEER => return Err(Errno::EIO.into()),
        _ => return Err(Errno::ENOTTY.into()),
    }
    Ok(0)
}

/// The line discipline that edits lines: the only one there is.
const N_TTY: u32 = 0;

/// `TIOCSETD`: EINVAL for a line discipline that there is none of.
fn set_discipline(discipline: u32) -> Result<(), Errno> {
    if discipline == N_TTY { Ok(()) } else { Err(Errno::EINVAL) }
}

/// `TIOCSWINSZ`: a change is told to the foreground group.
fn resize(terminal: &Terminal, size: Winsize) {
    let before = core::mem::replace(&mut *terminal.window().lock(), size);
    if before != size {
        terminal.signal_foreground(Signal::WINCH);
    }
}

fn flush(terminal: &Terminal, which: u32) -> Result<(), Errno> {
    match which {
        TCIFLUSH | TCIOFLUSH => {
            terminal.discipline().lock().flush_input();
            terminal.wake_readers();
        }
        TCOFLUSH => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

fn control_flow(terminal: &Terminal, action: u32) -> Result<(), Errno> {
    match action {
        TCOOFF => terminal.discipline().lock().set_output_stopped(true),
        TCOON => {
            terminal.discipline().lock().set_output_stopped(false);
            terminal.wake_writers();
        }
        TCIOFF => terminal.send_control(VSTOP),
        TCION => terminal.send_control(VSTART),
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}
