//! Extended attributes of files in memory: `trusted.` and `security.`, their rules and sizes.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use alloc::ffi::CString;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use conformance::{Outcome, check, check_eq, files, raw, scratch};
use core::ffi::CStr;
use libsyscall::file::*;

conformance::tests!(&[
    ("a_value_is_kept", a_value_is_kept),
    ("making_and_replacing", making_and_replacing),
    ("sizes", sizes),
    ("names_are_listed", names_are_listed),
    ("every_kind_of_file", every_kind_of_file),
    ("names_that_are_refused", names_that_are_refused),
    ("who_may", who_may),
    ("attributes_belong_to_the_file", attributes_belong_to_the_file),
    ("what_is_mounted_to_be_read", what_is_mounted_to_be_read),
    ("files_without_attributes", files_without_attributes),
]);

/// A tmpfs of its own with a file.
fn enter() -> Outcome {
    scratch::enter_tmpfs()?;
    close(files::create(c"f", b"")?)?;
    Ok(())
}

fn set(path: &CStr, name: &CStr, value: &[u8], flags: u32) -> Result<u64, Errno> {
    let (path, name) = (path.as_ptr() as u64, name.as_ptr() as u64);
    raw::call(nr::lsetxattr, &[path, name, value.as_ptr() as u64, value.len() as u64, flags.into()])
}

fn get(path: &CStr, name: &CStr) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; 65536];
    let (path, name) = (path.as_ptr() as u64, name.as_ptr() as u64);
    let length = raw::call(nr::lgetxattr, &[path, name, value.as_mut_ptr() as u64, 65536])?;
    value.truncate(length as usize);
    Ok(value)
}

fn list(path: &CStr) -> Result<Vec<u8>, Errno> {
    let mut names = vec![0; 65536];
    let length = raw::call(nr::llistxattr, &[path.as_ptr() as u64, names.as_mut_ptr() as u64, 65536])?;
    names.truncate(length as usize);
    Ok(names)
}

fn remove(path: &CStr, name: &CStr) -> Result<u64, Errno> {
    raw::call(nr::lremovexattr, &[path.as_ptr() as u64, name.as_ptr() as u64])
}

fn a_value_is_kept() -> Outcome {
    enter()?;
    check_eq!(get(c"f", c"trusted.a"), Err(Errno::ENODATA));
    for name in [c"trusted.a", c"security.b"] {
        set(c"f", name, b"value\0 with more", 0)?;
        check_eq!(get(c"f", name)?, b"value\0 with more");
        set(c"f", name, b"", 0)?;
        check_eq!(get(c"f", name)?, b"");
    }
    let fd = open(c"f", O_RDONLY, 0)?;
    let mut value = [0; 9];
    set(c"f", c"trusted.a", b"12345", 0)?;
    let arguments = [fd as u64, c"trusted.a".as_ptr() as u64, value.as_mut_ptr() as u64, 9];
    check_eq!((raw::call(nr::fgetxattr, &arguments), &value[..5]), (Ok(5), &b"12345"[..]));
    raw::call(nr::fremovexattr, &arguments[..2])?;
    check_eq!(raw::call(nr::fgetxattr, &arguments), Err(Errno::ENODATA));
    raw::call(nr::fsetxattr, &[fd as u64, arguments[1], arguments[2], 3, 0])?;
    check_eq!(get(c"f", c"trusted.a")?, b"123");
    Ok(())
}

fn making_and_replacing() -> Outcome {
    enter()?;
    let name = c"trusted.a";
    check_eq!(set(c"f", name, b"1", XATTR_REPLACE), Err(Errno::ENODATA));
    check_eq!(set(c"f", name, b"1", XATTR_CREATE | XATTR_REPLACE), Err(Errno::ENODATA));
    set(c"f", name, b"1", XATTR_CREATE)?;
    check_eq!(set(c"f", name, b"2", XATTR_CREATE), Err(Errno::EEXIST));
    check_eq!(set(c"f", name, b"2", XATTR_CREATE | XATTR_REPLACE), Err(Errno::EEXIST));
    check_eq!(get(c"f", name)?, b"1");
    set(c"f", name, b"2", XATTR_REPLACE)?;
    check_eq!(get(c"f", name)?, b"2");
    check_eq!(remove(c"f", name), Ok(0));
    check_eq!((remove(c"f", name), get(c"f", name)), (Err(Errno::ENODATA), Err(Errno::ENODATA)));
    Ok(())
}

fn sizes() -> Outcome {
    enter()?;
    let (path, name) = (c"f".as_ptr() as u64, c"trusted.a".as_ptr() as u64);
    set(c"f", c"trusted.a", b"12345", 0)?;
    let mut value = [7u8; 9];
    let mut ask = |size: u64| raw::call(nr::getxattr, &[path, name, value.as_mut_ptr() as u64, size]);
    check_eq!((ask(0), ask(4), ask(5), ask(9)), (Ok(5), Err(Errno::ERANGE), Ok(5), Ok(5)));
    check_eq!(ask(1 << 40), Ok(5));
    check_eq!((value[4], value[5]), (b'5', 7));
    check_eq!(raw::call(nr::getxattr, &[path, name, 8, 0]), Ok(5));
    check_eq!(raw::call(nr::getxattr, &[path, name, 8, 5]), Err(Errno::EFAULT));
    let large = vec![9; 65536];
    set(c"f", c"trusted.large", &large, 0)?;
    check_eq!(get(c"f", c"trusted.large")?, large);
    check_eq!(set(c"f", c"trusted.large", &vec![9; 65537], 0), Err(Errno::E2BIG));
    // A name may have 255 bytes.
    let long = |length: usize| CString::new(format!("trusted.{}", "n".repeat(length - 8)));
    let (fits, exceeds) = (long(255).map_err(|_| Errno::EINVAL)?, long(256).map_err(|_| Errno::EINVAL)?);
    check_eq!((set(c"f", &fits, b"1", 0), set(c"f", &exceeds, b"1", 0)), (Ok(0), Err(Errno::ERANGE)));
    Ok(())
}

fn names_are_listed() -> Outcome {
    enter()?;
    check_eq!(list(c"f")?, b"");
    for name in [c"trusted.a", c"security.b", c"trusted.c"] {
        set(c"f", name, b"1", 0)?;
    }
    set(c"f", c"trusted.a", b"2", 0)?;
    // The latest first.
    check_eq!(list(c"f")?, b"trusted.c\0security.b\0trusted.a\0");
    let mut names = [7u8; 40];
    let mut ask =
        |size: u64| raw::call(nr::listxattr, &[c"f".as_ptr() as u64, names.as_mut_ptr() as u64, size]);
    check_eq!((ask(0), ask(30), ask(31), ask(40)), (Ok(31), Err(Errno::ERANGE), Ok(31), Ok(31)));
    check_eq!(names[31], 7);
    remove(c"f", c"security.b")?;
    check_eq!(list(c"f")?, b"trusted.c\0trusted.a\0");
    for number in 0..300 {
        let name = CString::new(format!("trusted.{number:0240}")).map_err(|_| Errno::EINVAL)?;
        set(c"f", &name, b"", 0)?;
    }
    check_eq!(list(c"f"), Err(Errno::E2BIG));
    Ok(())
}

fn every_kind_of_file() -> Outcome {
    enter()?;
    mkdirat(AT_FDCWD, c"d", 0o755)?;
    mknodat(AT_FDCWD, c"p", S_IFIFO | 0o600, 0)?;
    mknodat(AT_FDCWD, c"n", S_IFCHR | 0o600, make_device(1, 3))?;
    files::symlink(c"f", c"l")?;
    for path in [c"d", c"p", c"n", c"l"] {
        set(path, c"trusted.a", path.to_bytes(), 0)?;
        check_eq!(get(path, c"trusted.a")?, path.to_bytes());
        check_eq!((list(path)?, get(c"f", c"trusted.a")), (b"trusted.a\0".to_vec(), Err(Errno::ENODATA)));
    }
    Ok(())
}

fn names_that_are_refused() -> Outcome {
    enter()?;
    for name in [c"trusted.", c"security."] {
        check_eq!((set(c"f", name, b"1", 0), get(c"f", name)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
        check_eq!(remove(c"f", name), Err(Errno::EINVAL));
    }
    for name in [c"user.a", c"user.", c"trusted", c"other.a", c"a", c"system.a", c"Trusted.a"] {
        check_eq!(
            (set(c"f", name, b"1", 0), get(c"f", name)),
            (Err(Errno::EOPNOTSUPP), Err(Errno::EOPNOTSUPP))
        );
        check_eq!(remove(c"f", name), Err(Errno::EOPNOTSUPP));
    }
    check_eq!(get(c"f", c"security.capability"), Err(Errno::ENODATA));
    check_eq!(list(c"f")?, b"");
    Ok(())
}

fn who_may() -> Outcome {
    enter()?;
    mkdirat(AT_FDCWD, c"d", 0o1777)?;
    fchmodat(AT_FDCWD, c"d", 0o1777)?;
    fchmodat(AT_FDCWD, c"f", 0o666)?;
    close(files::create(c"closed", b"")?)?;
    fchmodat(AT_FDCWD, c"closed", 0o600)?;
    mknodat(AT_FDCWD, c"p", S_IFIFO | 0o666, 0)?;
    set(c"f", c"trusted.a", b"1", 0)?;
    set(c"f", c"security.b", b"2", 0)?;
    files::as_user(|| {
        check_eq!((get(c"f", c"trusted.a"), get(c"f", c"security.b")?), (Err(Errno::ENODATA), b"2".to_vec()));
        check_eq!(list(c"f")?, b"security.b\0");
        // Those of `security.` are a matter of the security modules that a kernel is built with.
        check_eq!(set(c"f", c"trusted.a", b"3", 0), Err(Errno::EPERM));
        check_eq!(remove(c"f", c"trusted.a"), Err(Errno::EPERM));
        // What is no name here is a question of the file's permissions first.
        check_eq!(
            (get(c"closed", c"user.a"), set(c"closed", c"other.a", b"", 0)),
            (Err(Errno::EACCES), Err(Errno::EACCES))
        );
        check_eq!(
            (get(c"f", c"user.a"), set(c"f", c"user.a", b"", 0)),
            (Err(Errno::EOPNOTSUPP), Err(Errno::EOPNOTSUPP))
        );
        check_eq!(
            (get(c"p", c"user.a"), set(c"p", c"user.a", b"", 0)),
            (Err(Errno::ENODATA), Err(Errno::EPERM))
        );
        check_eq!(
            (get(c"d", c"user.a"), set(c"d", c"user.a", b"", 0)),
            (Err(Errno::EOPNOTSUPP), Err(Errno::EPERM))
        );
        check_eq!(
            (get(c"closed", c"security.b"), get(c"closed", c"trusted.b")),
            (Err(Errno::ENODATA), Err(Errno::ENODATA))
        );
        Ok(())
    })?;
    check_eq!((get(c"f", c"trusted.a")?, get(c"f", c"security.b")?), (b"1".to_vec(), b"2".to_vec()));
    Ok(())
}

fn attributes_belong_to_the_file() -> Outcome {
    enter()?;
    set(c"f", c"trusted.a", b"1", 0)?;
    files::link(c"f", c"g")?;
    files::rename(c"f", c"h", 0)?;
    check_eq!((get(c"g", c"trusted.a")?, get(c"h", c"trusted.a")?), (b"1".to_vec(), b"1".to_vec()));
    files::unlink(c"g")?;
    files::unlink(c"h")?;
    close(files::create(c"f", b"")?)?;
    check_eq!(get(c"f", c"trusted.a"), Err(Errno::ENODATA));
    Ok(())
}

fn what_is_mounted_to_be_read() -> Outcome {
    enter()?;
    set(c"f", c"trusted.a", b"1", 0)?;
    raw::call(nr::mount, &[0, c".".as_ptr() as u64, 0, MS_REMOUNT | MS_RDONLY, 0])?;
    check_eq!(
        (set(c"f", c"trusted.a", b"2", 0), remove(c"f", c"trusted.a")),
        (Err(Errno::EROFS), Err(Errno::EROFS))
    );
    check_eq!(get(c"f", c"trusted.a")?, b"1");
    Ok(())
}

fn files_without_attributes() -> Outcome {
    for path in [c"/proc/self/stat", c"/proc"] {
        for name in [c"trusted.a", c"security.a"] {
            check_eq!(
                (get(path, name), set(path, name, b"1", 0)),
                (Err(Errno::EOPNOTSUPP), Err(Errno::EOPNOTSUPP))
            );
        }
        check!(list(path).is_ok());
    }
    Ok(())
}
