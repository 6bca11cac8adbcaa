//! Files of `/proc/PID` that can be written: the name, and what a process keeps for its writer: proc(5).

use alloc::sync::Arc;

use abi::Errno;
use libkernel::setting;
use libkernel::text::Text;
use subject::capability;

use super::status;
use super::subject::Subject;
use crate::process::{NAME_SIZE, NOBODY, Thread, current, current_user_namespace};

/// `comm`.
pub fn name(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    text.put(status::name_of(subject).bytes());
    text.put(b"\n");
    Ok(())
}

/// Names the thread, which may be any of the writer's own process. EINVAL for another's (Linux: `comm_write`).
pub fn set_name(subject: &Subject, _position: u64, bytes: &[u8]) -> Result<usize, Errno> {
    let own = current().is_some_and(|thread| Arc::ptr_eq(thread.process(), &subject.process));
    let thread = subject.thread().filter(|_| own).ok_or(Errno::EINVAL)?;
    let name = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    thread.set_name(name.get(..NAME_SIZE - 1).unwrap_or(name));
    Ok(bytes.len())
}

/// The one number that was written. EINVAL for anything else.
fn number(bytes: &[u8]) -> Result<i128, Errno> {
    let mut found = 0;
    let used = setting::numbers(bytes, 1, |_, value| {
        found = value;
        Ok(())
    });
    if used == Ok(bytes.len()) { Ok(found) } else { Err(Errno::EINVAL) }
}

/// `oom_score_adj`.
pub fn oom_adjustment(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    writeln!(text, "{}", subject.process.kept.oom_adjustment());
    Ok(())
}

/// Sets it; who has `CAP_SYS_RESOURCE` may lower it.
pub fn set_oom_adjustment(subject: &Subject, _position: u64, bytes: &[u8]) -> Result<usize, Errno> {
    let value = i32::try_from(number(bytes)?).map_err(|_| Errno::EINVAL)?;
    let is_privileged = has_capability(capability::SYS_RESOURCE);
    subject.process.kept.set_oom_adjustment(value, is_privileged)?;
    Ok(bytes.len())
}

/// `oom_adj`: the same as before Linux 2.6.36, when the steps were seventeenths, 15 was the most and -17 meant never.
pub fn old_oom_adjustment(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let new = subject.process.kept.oom_adjustment();
    let old = if new == 1000 { OLD_MOST } else { (new * -OLD_NEVER / 1000).min(OLD_MOST) };
    writeln!(text, "{old}");
    Ok(())
}

const OLD_MOST: i32 = 15;
const OLD_LEAST: i32 = -16;
const OLD_NEVER: i32 = -17;

/// Sets it; EACCES for who lowers it without `CAP_SYS_RESOURCE` (Linux: `oom_adj_write`).
pub fn set_old_oom_adjustment(subject: &Subject, _position: u64, bytes: &[u8]) -> Result<usize, Errno> {
    let old = i32::try_from(number(bytes)?).map_err(|_| Errno::EINVAL)?;
    if old != OLD_NEVER && !(OLD_LEAST..=OLD_MOST).contains(&old) {
        return Err(Errno::EINVAL);
    }
    let new = if old == OLD_MOST { 1000 } else { old * 1000 / -OLD_NEVER };
    let kept = &subject.process.kept;
    if new < kept.oom_adjustment() && !has_capability(capability::SYS_RESOURCE) {
        return Err(Errno::EACCES);
    }
    kept.set_oom_adjustment_the_old_way(new);
    Ok(bytes.len())
}

fn has_capability(number: u32) -> bool {
    current().is_some_and(|thread| thread.credentials().has_capability(number))
}

/// `oom_score`: nobody is chosen to die, so all are equal.
pub fn oom_score(_subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    text.put(b"0\n");
    Ok(())
}

/// `coredump_filter`; empty once the process has ended.
pub fn dump_filter(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    if subject.address_space().is_ok() {
        writeln!(text, "{:08x}", subject.process.kept.dump_filter());
    }
    Ok(())
}

/// Sets it.
pub fn set_dump_filter(subject: &Subject, _position: u64, bytes: &[u8]) -> Result<usize, Errno> {
    let filter = u32::try_from(number(bytes)?).map_err(|_| Errno::EINVAL)?;
    subject.address_space()?;
    subject.process.kept.set_dump_filter(filter);
    Ok(bytes.len())
}

/// `loginuid`.
pub fn login_user(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let user = subject.process.kept.login_user();
    write!(text, "{}", user.map_or(NOBODY, |user| user.number_in(&current_user_namespace())));
    Ok(())
}

/// Sets it: the process itself may, once, and again only with `CAP_AUDIT_CONTROL` (Linux: `proc_loginuid_write`).
pub fn set_login_user(subject: &Subject, position: u64, bytes: &[u8]) -> Result<usize, Errno> {
    let own = current().is_some_and(|thread| Arc::ptr_eq(thread.process(), &subject.process));
    if !own {
        return Err(Errno::EPERM);
    }
    if position != 0 {
        return Err(Errno::EINVAL);
    }
    let user = u32::try_from(number(bytes)?).map_err(|_| Errno::EINVAL)?;
    let kept = &subject.process.kept;
    if kept.login_user().is_some() && !has_capability(capability::AUDIT_CONTROL) {
        return Err(Errno::EPERM);
    }
    let names = current_user_namespace();
    kept.log_in(names.user(user));
    Ok(bytes.len())
}

/// `sessionid`.
pub fn login_session(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    write!(text, "{}", subject.process.kept.login_session());
    Ok(())
}

/// `timerslack_ns`. EPERM for another thread's, without `CAP_SYS_NICE`.
pub fn timer_slack(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    writeln!(text, "{}", thread_of_slack(subject)?.timer_slack_ns());
    Ok(())
}

/// Sets it.
pub fn set_timer_slack(subject: &Subject, _position: u64, bytes: &[u8]) -> Result<usize, Errno> {
    let slack_ns = u64::try_from(number(bytes)?).map_err(|_| Errno::EINVAL)?;
    thread_of_slack(subject)?.set_timer_slack_ns(slack_ns);
    Ok(bytes.len())
}

fn thread_of_slack(subject: &Subject) -> Result<Arc<Thread>, Errno> {
    let thread = subject.thread().ok_or(Errno::ESRCH)?;
    let own = current().is_some_and(|caller| Arc::ptr_eq(&caller, &thread));
    if own || has_capability(capability::SYS_NICE) { Ok(thread) } else { Err(Errno::EPERM) }
}
