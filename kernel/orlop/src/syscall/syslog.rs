//! `syslog`: the kernel's log.

use abi::Errno;
use abi::syslog::*;
use libkernel::addr::UserAddr;
use memory::user::IoSink;

use super::{Caller, Failure};
use crate::kmsg::syslog as log;

/// `syslog(action, buffer, length)`; C libraries call it `klogctl`.
pub fn syslog(caller: &mut Caller<'_>, action: u32, buffer: UserAddr, length: i32) -> Result<usize, Failure> {
    caller.thread.with_credentials(|credentials| log::check(action, credentials))?;
    match action {
        SYSLOG_ACTION_CLOSE | SYSLOG_ACTION_OPEN => {}
        SYSLOG_ACTION_READ => return read(buffer, length, |sink| log::read(sink, false)),
        SYSLOG_ACTION_READ_ALL => return read(buffer, length, log::read_all),
        SYSLOG_ACTION_READ_CLEAR => {
            let done = read(buffer, length, log::read_all)?;
            log::clear();
            return Ok(done);
        }
        SYSLOG_ACTION_CLEAR => log::clear(),
        SYSLOG_ACTION_CONSOLE_OFF => log::turn_console_off(),
        SYSLOG_ACTION_CONSOLE_ON => log::turn_console_on(),
        SYSLOG_ACTION_CONSOLE_LEVEL => log::set_console_level(length)?,
        SYSLOG_ACTION_SIZE_UNREAD => return Ok(log::unread()?),
        SYSLOG_ACTION_SIZE_BUFFER => return Ok(log::SIZE),
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

/// Text for the program. An error after bytes were copied does not undo them.
fn read(
    buffer: UserAddr,
    length: i32,
    from: impl FnOnce(&mut IoSink<'_>) -> Result<(), Failure>,
) -> Result<usize, Failure> {
    let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
    if buffer.is_null() {
        return Err(Errno::EINVAL.into());
    }
    let mut sink = IoSink::user(buffer, length);
    let outcome = from(&mut sink);
    sink.finish(outcome)
}
