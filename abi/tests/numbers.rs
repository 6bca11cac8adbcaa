//! Compares the system-call table and the error numbers with published crates.

use abi::{Errno, table::ROWS};

/// From here on, calls are younger than Linux 6.1.
const FIRST_AFTER_6_1: u64 = 451;
/// The crate lists these on AArch64 too: 64-bit times for 32-bit machines.
const ONLY_32_BIT: core::ops::Range<u64> = 403..424;
/// Calls of x86_64 alone that came later and filled the gap below 424.
const LATE_ON_X86_64: [&str; 2] = ["uretprobe", "uprobe"];

/// The name that the `syscalls` crate gives to a call of AArch64; it takes one from before the 64-bit renaming.
fn published_on_aarch64(number: u64) -> Option<&'static str> {
    if ONLY_32_BIT.contains(&number) {
        return None;
    }
    let name = syscalls::aarch64::Sysno::new(number as usize).map(|call| call.name());
    if name == Some("fstatat") { Some("newfstatat") } else { name }
}

#[test]
fn x86_64_has_the_published_names_and_numbers() {
    for row in ROWS {
        if let Some(number) = row.x86_64 {
            let published = syscalls::x86_64::Sysno::new(number.into()).map(|call| call.name());
            assert_eq!(published, Some(row.name), "{number}");
            assert_eq!(abi::arch::x86_64::nr::name(number.into()), Some(row.name));
        }
    }
}

#[test]
fn aarch64_has_the_published_names_and_numbers() {
    for row in ROWS {
        if let Some(number) = row.aarch64 {
            assert_eq!(published_on_aarch64(number.into()), Some(row.name), "{number}");
            assert_eq!(abi::arch::aarch64::nr::name(number.into()), Some(row.name));
        }
    }
}

#[test]
fn no_published_call_is_missing() {
    for number in 0..FIRST_AFTER_6_1 {
        let name = syscalls::x86_64::Sysno::new(number as usize).map(|call| call.name());
        let name = name.filter(|name| !LATE_ON_X86_64.contains(name));
        assert_eq!(abi::arch::x86_64::nr::name(number), name, "{number}");
        assert_eq!(abi::arch::aarch64::nr::name(number), published_on_aarch64(number), "{number}");
    }
}

#[test]
fn no_name_beyond_the_table() {
    for number in [FIRST_AFTER_6_1, 500, 0x4000_0000, u64::MAX] {
        assert_eq!(abi::arch::x86_64::nr::name(number), None);
        assert_eq!(abi::arch::aarch64::nr::name(number), None);
    }
}

#[test]
fn rows_say_absent_exactly_where_no_handler_is() {
    for row in ROWS {
        assert_eq!(row.handler.is_none(), row.completeness == "absent", "{}", row.name);
        assert!(!row.completeness.is_empty(), "{}", row.name);
    }
}

#[test]
fn errors_have_the_published_numbers() {
    use linux_raw_sys::errno as published;
    for (errno, number) in [
        (Errno::EPERM, published::EPERM),
        (Errno::EAGAIN, published::EAGAIN),
        (Errno::EDEADLK, published::EDEADLK),
        (Errno::ENAMETOOLONG, published::ENAMETOOLONG),
        (Errno::ENOSYS, published::ENOSYS),
        (Errno::ELOOP, published::ELOOP),
        (Errno::EOVERFLOW, published::EOVERFLOW),
        (Errno::EOPNOTSUPP, published::EOPNOTSUPP),
        (Errno::ETIMEDOUT, published::ETIMEDOUT),
        (Errno::ECANCELED, published::ECANCELED),
        (Errno::EHWPOISON, published::EHWPOISON),
    ] {
        assert_eq!(u32::from(errno.number()), number, "{errno}");
    }
}

#[test]
fn errors_are_named_and_described_as_the_c_library_does() {
    for &errno in Errno::ALL {
        // SAFETY: strerror returns a NUL-terminated string that stays valid until the next call on this thread.
        let message = unsafe { std::ffi::CStr::from_ptr(libc::strerror(errno.number().into())) };
        assert_eq!(message.to_str(), Ok(errno.message()), "{errno}");
    }
}
