//! Files of `/proc/PID` about its namespace of users, of which there is one: `uid_map`, `gid_map`, `projid_map`,
//! `setgroups`: user_namespaces(7).

use abi::Errno;
use libkernel::text::Text;

use super::subject::Subject;

/// `uid_map`, `gid_map` and `projid_map`: all have their own numbers.
pub fn identity_map(_subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    writeln!(text, "{:10} {:10} {:10}", 0, 0, u32::MAX);
    Ok(())
}

/// The first namespace has no other to map to (Linux: `proc_uid_map_write`).
pub fn set_identity_map(_subject: &Subject, _position: u64, _bytes: &[u8]) -> Result<usize, Errno> {
    Err(Errno::EPERM)
}

/// `setgroups`.
pub fn group_setting(_subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    text.put(b"allow\n");
    Ok(())
}

/// It cannot be denied any more where groups are mapped (Linux: `proc_setgroups_write`).
pub fn set_group_setting(_subject: &Subject, position: u64, bytes: &[u8]) -> Result<usize, Errno> {
    const MOST: usize = 8;
    if position != 0 || bytes.len() >= MOST {
        return Err(Errno::EINVAL);
    }
    match bytes.trim_ascii_end() {
        b"allow" => Ok(bytes.len()),
        b"deny" => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}
