//! Folders and names: renaming, links, paths, the working directory.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use alloc::string::String;
use alloc::vec::Vec;
use conformance::files::{content, create, exists, link, mode_of, rename, rmdir, symlink, unlink};
use conformance::{Failure, Outcome, check, check_eq, raw, scratch};
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::process::geteuid;

conformance::tests!(&[
    ("renaming", renaming),
    ("renaming_with_flags", renaming_with_flags),
    ("hard_links", hard_links),
    ("symbolic_links", symbolic_links),
    ("loops_of_links", loops_of_links),
    ("folders", folders),
    ("reading_folders", reading_folders),
    ("reading_folders_in_pieces", reading_folders_in_pieces),
    ("long_names", long_names),
    ("paths", paths),
    ("working_directory", working_directory),
    ("relative_to_a_descriptor", relative_to_a_descriptor),
    ("a_new_root", a_new_root),
    ("file_systems_tell", file_systems_tell),
]);

fn renaming() -> Outcome {
    scratch::enter()?;
    close(create(c"a", b"a")?)?;
    close(create(c"b", b"b")?)?;
    rename(c"a", c"b", 0)?;
    check_eq!((content(c"b")?, exists(c"a")), (b"a".to_vec(), false));
    check_eq!(rename(c"a", c"c", 0), Err(Errno::ENOENT));
    rename(c"b", c"b", 0)?;
    mkdirat(AT_FDCWD, c"dir", 0o755)?;
    mkdirat(AT_FDCWD, c"dir/sub", 0o755)?;
    check_eq!(rename(c"b", c"dir", 0), Err(Errno::EISDIR));
    check_eq!(rename(c"dir", c"b", 0), Err(Errno::ENOTDIR));
    check_eq!(rename(c"dir", c"dir/sub/x", 0), Err(Errno::EINVAL));
    mkdirat(AT_FDCWD, c"other", 0o755)?;
    check_eq!(rename(c"other", c"dir", 0), Err(Errno::ENOTEMPTY));
    rename(c"dir", c"other", 0)?;
    check!(exists(c"other/sub") && !exists(c"dir"));
    rename(c"b", c"other/sub/file", 0)?;
    check_eq!(content(c"other/sub/file")?, b"a");
    check_eq!(rename(c"other/.", c"x", 0), Err(Errno::EBUSY));
    Ok(())
}

fn renaming_with_flags() -> Outcome {
    scratch::enter()?;
    close(create(c"a", b"a")?)?;
    close(create(c"b", b"b")?)?;
    check_eq!(rename(c"a", c"b", RENAME_NOREPLACE), Err(Errno::EEXIST));
    match rename(c"a", c"b", RENAME_EXCHANGE) {
        Err(Errno::EINVAL) => {}
        result => {
            result?;
            check_eq!((content(c"a")?, content(c"b")?), (b"b".to_vec(), b"a".to_vec()));
        }
    }
    check_eq!(rename(c"a", c"b", 0x8000), Err(Errno::EINVAL));
    Ok(())
}

fn hard_links() -> Outcome {
    scratch::enter()?;
    let fd = create(c"a", b"text")?;
    link(c"a", c"b")?;
    check_eq!(fstat(fd)?.st_nlink as u64, 2);
    check_eq!(newfstatat(AT_FDCWD, c"b", 0)?.st_ino, fstat(fd)?.st_ino);
    check_eq!(link(c"a", c"b"), Err(Errno::EEXIST));
    check_eq!(link(c"none", c"c"), Err(Errno::ENOENT));
    mkdirat(AT_FDCWD, c"dir", 0o755)?;
    check_eq!(link(c"dir", c"d"), Err(Errno::EPERM));
    unlink(c"a")?;
    check_eq!((content(c"b")?, fstat(fd)?.st_nlink as u64), (b"text".to_vec(), 1));
    rename(c"b", c"a", 0)?;
    link(c"a", c"b")?;
    // Two names of one file: nothing happens, both stay.
    rename(c"a", c"b", 0)?;
    check!(exists(c"a") && exists(c"b"));
    Ok(())
}

fn symbolic_links() -> Outcome {
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"dir", 0o755)?;
    close(create(c"dir/file", b"inside")?)?;
    symlink(c"dir/file", c"to-file")?;
    symlink(c"dir", c"to-dir")?;
    symlink(c"file", c"dir/near")?;
    symlink(c"nowhere", c"broken")?;
    check_eq!(content(c"to-file")?, b"inside");
    check_eq!(content(c"to-dir/near")?, b"inside");
    check_eq!(content(c"to-dir/../to-file")?, b"inside");
    let mut target = [0; 100];
    check_eq!(readlinkat(AT_FDCWD, c"to-file", &mut target), Ok(8));
    check_eq!(&target[..9], b"dir/file\0");
    check_eq!(readlinkat(AT_FDCWD, c"to-file", &mut target[..3]), Ok(3));
    check_eq!(readlinkat(AT_FDCWD, c"dir", &mut target), Err(Errno::EINVAL));
    check_eq!(open(c"broken", O_RDONLY, 0), Err(Errno::ENOENT));
    check_eq!(open(c"to-file", O_RDONLY | O_NOFOLLOW, 0), Err(Errno::ELOOP));
    check_eq!(open(c"broken", O_RDWR | O_CREAT | O_EXCL, 0o600), Err(Errno::EEXIST));
    check_eq!(mode_of(c"to-file")? & S_IFMT, S_IFLNK);
    check_eq!(newfstatat(AT_FDCWD, c"to-file", AT_SYMLINK_NOFOLLOW)?.st_size, 8);
    close(open(c"broken", O_RDWR | O_CREAT, 0o600)?)?;
    check!(exists(c"nowhere"));
    unlink(c"to-dir")?;
    check!(exists(c"dir/file"));
    check_eq!(symlink(c"", c"empty"), Err(Errno::ENOENT));
    check_eq!(symlink(c"x", c"dir"), Err(Errno::EEXIST));
    Ok(())
}

fn loops_of_links() -> Outcome {
    scratch::enter()?;
    symlink(c"b", c"a")?;
    symlink(c"a", c"b")?;
    symlink(c"self/x", c"self")?;
    check_eq!(open(c"a", O_RDONLY, 0), Err(Errno::ELOOP));
    check_eq!(open(c"self", O_RDONLY, 0), Err(Errno::ELOOP));
    mkdirat(AT_FDCWD, c"l0", 0o755)?;
    for number in 1..=41 {
        let name = ulib::c_string(alloc::format!("l{number}"))?;
        symlink(&ulib::c_string(alloc::format!("l{}", number - 1))?, &name)?;
    }
    check!(open(c"l40", O_RDONLY, 0).is_ok());
    check_eq!(open(c"l41", O_RDONLY, 0), Err(Errno::ELOOP));
    Ok(())
}

fn folders() -> Outcome {
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"dir", 0o755)?;
    check_eq!(mkdirat(AT_FDCWD, c"dir", 0o755), Err(Errno::EEXIST));
    check_eq!(mkdirat(AT_FDCWD, c"none/dir", 0o755), Err(Errno::ENOENT));
    mkdirat(AT_FDCWD, c"dir/sub/", 0o700)?;
    check_eq!(newfstatat(AT_FDCWD, c"dir", 0)?.st_nlink as u64, 3);
    check_eq!(rmdir(c"dir"), Err(Errno::ENOTEMPTY));
    check_eq!(unlink(c"dir"), Err(Errno::EISDIR));
    close(create(c"file", b"")?)?;
    check_eq!(rmdir(c"file"), Err(Errno::ENOTDIR));
    check_eq!(rmdir(c"dir/."), Err(Errno::EINVAL));
    check_eq!(rmdir(c"dir/sub/.."), Err(Errno::ENOTEMPTY));
    rmdir(c"dir/sub")?;
    rmdir(c"dir")?;
    check_eq!(rmdir(c"dir"), Err(Errno::ENOENT));
    check_eq!(rmdir(c"/"), Err(Errno::EBUSY));
    Ok(())
}

/// Names in a folder, read with a buffer of `size` bytes; sorted.
fn names(path: &CStr, size: usize) -> Result<Vec<String>, Failure> {
    let fd = open(path, O_RDONLY | O_DIRECTORY, 0)?;
    let mut buffer = alloc::vec![0; size];
    let mut names = Vec::new();
    loop {
        let length = getdents64(fd, &mut buffer)?;
        if length == 0 {
            break;
        }
        let mut rest = &buffer[..length];
        while rest.len() > 19 {
            let record = usize::from(u16::from_le_bytes([rest[16], rest[17]]));
            let name = rest[19..record].split(|&byte| byte == 0).next().unwrap_or_default();
            names.push(String::from_utf8_lossy(name).into_owned());
            rest = &rest[record..];
        }
    }
    close(fd)?;
    names.sort();
    Ok(names)
}

fn reading_folders() -> Outcome {
    scratch::enter()?;
    close(create(c"one", b"")?)?;
    mkdirat(AT_FDCWD, c"two", 0o755)?;
    symlink(c"x", c"three")?;
    check_eq!(names(c".", 4096)?, [".", "..", "one", "three", "two"]);
    check_eq!(names(c"two", 4096)?, [".", ".."]);
    let fd = open(c".", O_RDONLY, 0)?;
    check_eq!(getdents64(fd, &mut [0; 10]), Err(Errno::EINVAL));
    let file = open(c"one", O_RDONLY, 0)?;
    check_eq!(getdents64(file, &mut [0; 100]), Err(Errno::ENOTDIR));
    let first = getdents64(fd, &mut [0; 1000])?;
    check_eq!(getdents64(fd, &mut [0; 1000]), Ok(0));
    lseek(fd, 0, SEEK_SET)?;
    check_eq!(getdents64(fd, &mut [0; 1000]), Ok(first));
    Ok(())
}

fn reading_folders_in_pieces() -> Outcome {
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"d", 0o755)?;
    let mut expected = alloc::vec![String::from("."), String::from("..")];
    for number in 0..200 {
        let name = alloc::format!("file-{number:03}");
        close(create(&ulib::c_string(alloc::format!("d/{name}"))?, b"")?)?;
        expected.push(name);
    }
    check_eq!(names(c"d", 70)?, expected);
    // Removing what was read skips nothing.
    let fd = open(c"d", O_RDONLY, 0)?;
    let mut seen = 0;
    let mut buffer = [0; 200];
    loop {
        let length = getdents64(fd, &mut buffer)?;
        if length == 0 {
            break;
        }
        let mut rest = &buffer[..length];
        while rest.len() > 19 {
            let record = usize::from(u16::from_le_bytes([rest[16], rest[17]]));
            let name = CStr::from_bytes_until_nul(&rest[19..record]).map_err(Failure::new)?;
            if !name.to_bytes().starts_with(b".") {
                unlinkat(fd, name, 0)?;
                seen += 1;
            }
            rest = &rest[record..];
        }
    }
    check_eq!(seen, 200);
    check_eq!(rmdir(c"d"), Ok(()));
    Ok(())
}

fn long_names() -> Outcome {
    scratch::enter()?;
    let name = |length| ulib::c_string(alloc::vec![b'n'; length]);
    close(create(&name(255)?, b"")?)?;
    check_eq!(open(&name(256)?, O_RDWR | O_CREAT, 0o600), Err(Errno::ENAMETOOLONG));
    let path = |slashes| ulib::c_string([alloc::vec![b'/'; slashes], alloc::vec![b'.']].concat());
    check!(newfstatat(AT_FDCWD, &path(4094)?, 0).is_ok());
    check_eq!(newfstatat(AT_FDCWD, &path(4095)?, 0).map(drop), Err(Errno::ENAMETOOLONG));
    check_eq!(newfstatat(AT_FDCWD, &path(100_000)?, 0).map(drop), Err(Errno::ENAMETOOLONG));
    Ok(())
}

fn paths() -> Outcome {
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"dir", 0o755)?;
    close(create(c"dir/file", b"")?)?;
    for path in [c"dir/file", c"./dir//file", c"dir/../dir/./file", c"dir/./../dir/file"] {
        check!(exists(path));
    }
    check!(!exists(c"dir/file/..") && !exists(c"dir/file/."));
    let root = newfstatat(AT_FDCWD, c"/", 0)?;
    check_eq!(newfstatat(AT_FDCWD, c"/../..", 0)?.st_ino, root.st_ino);
    Ok(())
}

fn working_directory() -> Outcome {
    scratch::enter()?;
    let mut buffer = [0; 200];
    let here = getcwd(&mut buffer)?.to_bytes().to_vec();
    mkdirat(AT_FDCWD, c"dir", 0o755)?;
    close(create(c"file", b"")?)?;
    let fd = open(c".", O_RDONLY, 0)?;
    chdir(c"dir")?;
    check_eq!(getcwd(&mut buffer)?.to_bytes(), [&here[..], b"/dir"].concat());
    check_eq!(chdir(c"../file"), Err(Errno::ENOTDIR));
    check_eq!(chdir(c"none"), Err(Errno::ENOENT));
    raw::call(nr::fchdir, &[fd as u64])?;
    check_eq!(getcwd(&mut buffer)?.to_bytes(), here);
    check_eq!(raw::call(nr::getcwd, &[buffer.as_mut_ptr() as u64, 2]), Err(Errno::ERANGE));
    chdir(c"dir")?;
    rmdir(c"../dir")?;
    check_eq!(getcwd(&mut buffer).map(drop), Err(Errno::ENOENT));
    check_eq!(open(c"x", O_RDWR | O_CREAT, 0o600), Err(Errno::ENOENT));
    check_eq!(chdir(c".."), Ok(()));
    Ok(())
}

fn relative_to_a_descriptor() -> Outcome {
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"dir", 0o755)?;
    let dir = open(c"dir", O_RDONLY | O_DIRECTORY, 0)?;
    close(openat(dir, c"file", O_RDWR | O_CREAT, 0o600)?)?;
    check!(exists(c"dir/file"));
    let path_only = open(c"dir", O_PATH, 0)?;
    check!(openat(path_only, c"file", O_RDONLY, 0).is_ok());
    check_eq!(getdents64(path_only, &mut [0; 100]), Err(Errno::EBADF));
    rename(c"dir", c"moved", 0)?;
    check!(openat(dir, c"file", O_RDONLY, 0).is_ok());
    unlinkat(dir, c"file", 0)?;
    check!(!exists(c"moved/file"));
    Ok(())
}

fn a_new_root() -> Outcome {
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"root", 0o755)?;
    mkdirat(AT_FDCWD, c"root/inside", 0o755)?;
    if geteuid() != 0 {
        return Ok(());
    }
    check_eq!(raw::call(nr::chroot, &[c"root".as_ptr() as u64]), Ok(0));
    chdir(c"/")?;
    check!(exists(c"/inside") && exists(c"/../../inside") && !exists(c"/tmp"));
    Ok(())
}

fn file_systems_tell() -> Outcome {
    scratch::enter()?;
    let statfs = libsyscall::file::statfs(c".")?;
    check!(statfs.f_bsize > 0 && statfs.f_namelen == 255);
    check_eq!(libsyscall::file::statfs(c"none").map(drop), Err(Errno::ENOENT));
    Ok(())
}
