//! What types of file system say of parameters, to `fsconfig` and to `mount`.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use conformance::mount_step::*;
use conformance::mount_table::*;
use conformance::{Failure, Outcome, check_eq, files};
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::system::mount;

conformance::tests!(&[
    ("parameters_of_types", parameters_of_types),
    ("one_instance_is_changed", one_instance_is_changed),
    ("options_of_mount", options_of_mount),
]);

/// What comes of a parameter, and the message that it leaves.
fn said(fd: i32, outcome: Result<(), Errno>) -> Result<String, Failure> {
    Ok(match (outcome, message(fd)) {
        (Ok(()), Err(Errno::ENODATA)) => String::from("ok"),
        (Err(Errno::EINVAL), Ok(message)) => message,
        other => return Err(Failure::new(format!("{other:?}"))),
    })
}

fn parameters_of_types() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    for (kind, parameters) in PARAMETERS {
        let name = CString::new(*kind).map_err(Failure::new)?;
        let fd = fsopen(&name, 0)?;
        for (key, value, expected) in *parameters {
            let key = CString::new(*key).map_err(Failure::new)?;
            let outcome = match *value {
                None => flag(fd, &key),
                Some("(bytes)") => fsconfig(fd, FSCONFIG_SET_BINARY, address(&key), address(c"x"), 1),
                Some("(path)") => fsconfig(fd, FSCONFIG_SET_PATH, address(&key), address(c"/"), AT_FDCWD),
                Some("(empty)") => {
                    fsconfig(fd, FSCONFIG_SET_PATH_EMPTY, address(&key), address(c""), AT_FDCWD)
                }
                Some("(fd)") => fsconfig(fd, FSCONFIG_SET_FD, address(&key), 0, fd),
                Some(value) => text(fd, &key, &CString::new(value).map_err(Failure::new)?),
            };
            let expected = expected.replace('$', kind);
            check_eq!((kind, &key, value, said(fd, outcome)?), (kind, &key, value, expected));
        }
        close(fd)?;
    }
    for kind in [c"rootfs", c"none", c"", c"tmpfs "] {
        check_eq!(fsopen(kind, 0), Err(Errno::ENODEV));
    }
    Ok(())
}

type Parameters = &'static [(&'static str, Option<&'static str>, &'static str)];

const PARAMETERS: &[(&str, Parameters)] = &[
    (
        "tmpfs",
        &[
            ("ro", Some("x"), "ok"),
            ("ro", Some("(bytes)"), "ok"),
            ("source", None, "e Non-string source\n"),
            ("source", Some("(path)"), "e Non-string source\n"),
            ("source", Some("a"), "ok"),
            ("source", Some("b"), "e Multiple sources\n"),
            ("nonsense", None, "e $: Unknown parameter 'nonsense'\n"),
            ("nonsense", Some("(fd)"), "e $: Unknown parameter 'nonsense'\n"),
            ("", Some(""), "e $: Unknown parameter ''\n"),
            ("size", None, "e $: Bad value for 'size'\n"),
            ("size", Some("(bytes)"), "e $: Bad value for 'size'\n"),
            ("size", Some("(path)"), "e $: Bad value for 'size'\n"),
            ("size", Some("(empty)"), "e $: Bad value for 'size'\n"),
            ("size", Some("(fd)"), "e $: Bad value for 'size'\n"),
            ("size", Some("4k,mode=700"), "e $: Bad value for 'size'\n"),
            ("size", Some("50%"), "ok"),
            ("nr_blocks", Some("x"), "e $: Bad value for 'nr_blocks'\n"),
            ("nr_inodes", Some("10k"), "ok"),
            ("mode", Some("8"), "e $: Bad value for 'mode'\n"),
            ("uid", Some("-1"), "e $: Bad value for 'uid'\n"),
            ("gid", Some("4294967295"), "e $: Bad value for 'gid'\n"),
            ("gid", Some("0x10"), "ok"),
            ("inode64", None, "ok"),
            ("inode64", Some("x"), "e $: Unexpected value for 'inode64'\n"),
            ("huge", Some("never"), "ok"),
            ("huge", Some("x"), "e $: Bad value for 'huge'\n"),
        ],
    ),
    (
        "proc",
        &[
            ("async", None, "ok"),
            ("nonsense", None, "e $: Unknown parameter 'nonsense'\n"),
            ("size", Some("4k"), "e $: Unknown parameter 'size'\n"),
            ("gid", None, "e $: Bad value for 'gid'\n"),
            ("gid", Some("5,6"), "e $: Bad value for 'gid'\n"),
            ("gid", Some("7"), "ok"),
            ("hidepid", Some("9"), "e $: unknown value of hidepid - 9\n\n"),
            ("hidepid", Some("x"), "e $: unknown value of hidepid - x\n\n"),
            ("hidepid", Some("(bytes)"), "e $: Bad value for 'hidepid'\n"),
            ("hidepid", Some("invisible"), "ok"),
            ("subset", Some("x"), "e $: unsupported subset option - x\n\n"),
            ("subset", None, "e $: Bad value for 'subset'\n"),
            ("subset", Some("pid"), "ok"),
        ],
    ),
    (
        "sysfs",
        &[
            ("rw", None, "ok"),
            ("source", Some(""), "ok"),
            ("size", Some("4k"), "e $: Unknown parameter 'size'\n"),
            ("x", None, "e $: Unknown parameter 'x'\n"),
        ],
    ),
    (
        "ramfs",
        &[
            ("nonsense", None, "ok"),
            ("nonsense", Some("(bytes)"), "ok"),
            ("size", Some("x"), "ok"),
            ("mode", Some("9"), "e $: Bad value for 'mode'\n"),
            ("mode", None, "e $: Bad value for 'mode'\n"),
            ("source", Some("(empty)"), "e Non-string source\n"),
        ],
    ),
    (
        "devtmpfs",
        &[
            ("ro", None, "ok"),
            ("nonsense", None, "ok"),
            ("size", Some("x"), "ok"),
            ("size", Some("a,b"), "e VFS: Legacy: Option 'size' contained comma\n"),
            ("a,b", None, "e VFS: Legacy: Option 'a,b' contained comma\n"),
            ("source", None, "e Non-string source\n"),
        ],
    ),
];

/// Of devtmpfs there is one instance; what is said to its first words is seen in every mount of it.
fn one_instance_is_changed() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let unsupported = Err(Errno::EOPNOTSUPP);
    folder("n")?;
    let fd = fsopen(c"devtmpfs", 0)?;
    check_eq!(fsconfig(fd, FSCONFIG_SET_BINARY, address(c"ro"), address(c"x"), 1), unsupported);
    check_eq!(fsconfig(fd, FSCONFIG_SET_PATH, 8, 8, 0), unsupported);
    check_eq!(fsconfig(fd, FSCONFIG_SET_PATH_EMPTY, 8, 8, 0), unsupported);
    check_eq!(fsconfig(fd, FSCONFIG_SET_FD, 8, 0, 99), unsupported);
    check_eq!((flag(fd, c"sync"), create(fd)), (Ok(()), Ok(())));
    let tree = fsmount(fd, 0, 0)?;
    check_eq!(openat(tree, c"null", O_RDONLY, 0).and_then(close), Ok(()));
    attach(tree, c"n")?;
    check_eq!(about("n")?, "devtmpfs none rw sync");
    close(tree)?;
    unmount("n", 0)?;
    check_eq!(mount(c"d", c"n", c"devtmpfs", 0, None), Ok(()));
    check_eq!((about("n")?.as_str(), unmount("n", 0)), ("devtmpfs d rw", Ok(())));
    check_eq!(mount(c"d", c"n", c"devtmpfs", 0, Some(c"nonsense")), Err(Errno::EINVAL));
    // Many words are too much.
    let long = CString::new([b'x'; 250]).map_err(Failure::new)?;
    let fd = fsopen(c"devtmpfs", 0)?;
    for _ in 0..8 {
        check_eq!(text(fd, &long, &long), Ok(()));
    }
    check_eq!(text(fd, &long, &long), Err(Errno::EINVAL));
    check_eq!(message(fd), Ok(String::from("e VFS: Legacy: Cumulative options too large\n")));
    Ok(())
}

/// mount(2) says the same things at once.
fn options_of_mount() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    folder("n")?;
    for (kind, options, expected) in [
        (c"tmpfs", c"ro=1,size=4k,rw", Ok("tmpfs s rw")),
        (c"tmpfs", c"dirsync,lazytime,mand,sync", Ok("tmpfs s rw sync dirsync mand lazytime")),
        (c"tmpfs", c"inode64,huge=never", Ok("tmpfs s rw")),
        (c"tmpfs", c"=x", Err(Errno::EINVAL)),
        (c"tmpfs", c"source=y", Err(Errno::EINVAL)),
        (c"tmpfs", c"huge=x", Err(Errno::EINVAL)),
        (c"sysfs", c"foo", Err(Errno::EINVAL)),
        (c"sysfs", c"foo=5", Err(Errno::EINVAL)),
        (c"proc", c"size=4k", Err(Errno::EINVAL)),
        (c"ramfs", c"mode=9", Err(Errno::EINVAL)),
    ] {
        let made = mount(c"s", c"n", kind, 0, Some(options)).map_err(|errno| (options, errno));
        check_eq!((options, made.is_ok()), (options, expected.is_ok()));
        if let Ok(expected) = expected {
            check_eq!((options, about("n")?.as_str()), (options, expected));
            unmount("n", 0)?;
        }
    }
    check_eq!(mount(c"s", c"n", c"ramfs", 0, Some(c"foo,size=x,mode=700")), Ok(()));
    check_eq!(files::mode_of(c"n")? & 0o7777, 0o700);
    unmount("n", 0)?;
    check_eq!(mount(c"s", c"n", c"tmpfs", MS_DIRSYNC | MS_LAZYTIME, None), Ok(()));
    check_eq!(about("n")?, "tmpfs s rw dirsync lazytime");
    let remount = |flags: u64, options: &CStr| mount(c"", c"n", c"", MS_REMOUNT | flags, Some(options));
    check_eq!(
        (remount(0, c"dirsync"), remount(0, c"source=a,source=b")),
        (Err(Errno::EINVAL), Err(Errno::EINVAL))
    );
    check_eq!((remount(0, c"mand"), about("n")?.as_str()), (Ok(()), "tmpfs s rw dirsync mand"));
    check_eq!(
        (remount(MS_DIRSYNC, c"lazytime"), about("n")?.as_str()),
        (Ok(()), "tmpfs s rw dirsync lazytime")
    );
    Ok(())
}
