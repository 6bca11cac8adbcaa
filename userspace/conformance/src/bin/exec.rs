//! Executing programs: what the new one gets, and which files are none.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::auxv::*;
use abi::fs::*;
use abi::native::nr;
use abi::process::WaitStatus;
use abi::signal::*;
use alloc::string::ToString;
use alloc::vec::Vec;
use conformance::harness::{Helper, helper_arguments};
use conformance::{Failure, Outcome, check, check_eq, child, handler, raw, scratch};
use core::ffi::CStr;
use libsyscall::file::*;
use libsyscall::process::*;
use libsyscall::signal::*;

const HELPERS: &[Helper] = &[
    ("count", |arguments| arguments.len() as i32),
    ("print", print_arguments),
    ("state", inherited_state),
    ("auxiliary", auxiliary_vector),
];

conformance::tests!(
    &[
        ("arguments_and_environment", arguments_and_environment),
        ("no_arguments", no_arguments),
        ("many_arguments", many_arguments),
        ("too_many_arguments", too_many_arguments),
        ("what_is_kept_and_what_is_not", what_is_kept_and_what_is_not),
        ("the_auxiliary_vector", the_auxiliary_vector),
        ("refusals", refusals),
        ("files_that_are_no_programs", files_that_are_no_programs),
        ("damaged_programs", damaged_programs),
        ("scripts", scripts),
        ("scripts_of_scripts", scripts_of_scripts),
        ("by_a_descriptor", by_a_descriptor),
        ("a_running_program_is_not_written", a_running_program_is_not_written),
        ("set_user_id", set_user_id),
        ("a_program_without_a_stack", a_program_without_a_stack),
    ],
    HELPERS
);

fn this_program() -> &'static CStr {
    ulib::args::args().next().unwrap_or_default()
}

/// This program by a path that does not depend on the working directory.
fn absolute() -> Result<Vec<u8>, Failure> {
    let path = this_program().to_bytes();
    if path.starts_with(b"/") {
        return Ok(path.to_vec());
    }
    let mut buffer = [0; 4096];
    Ok([getcwd(&mut buffer)?.to_bytes(), b"/", path].concat())
}

fn execute(path: &CStr, arguments: &[&[u8]], environment: &[&[u8]]) -> Errno {
    let own = |strings: &[&[u8]]| {
        strings.iter().filter_map(|bytes| ulib::c_string(*bytes).ok()).collect::<Vec<_>>()
    };
    let (arguments, environment) = (own(arguments), own(environment));
    let pointers = |strings: &[alloc::ffi::CString]| {
        strings.iter().map(|string| string.as_ptr()).chain([core::ptr::null()]).collect::<Vec<_>>()
    };
    // SAFETY: both arrays hold NUL-terminated strings and end with a null pointer.
    unsafe { execve(path, pointers(&arguments).as_ptr(), pointers(&environment).as_ptr()) }
}

/// Status of a process that executes `path`: the error's number if that fails.
fn status_of(path: &CStr, arguments: &[&[u8]]) -> Result<WaitStatus, Failure> {
    child::run(|| i32::from(execute(path, arguments, &[]).number()))
}

/// What a process writes to its standard output that executes `path`.
fn output_of(path: &CStr, arguments: &[&[u8]], environment: &[&[u8]]) -> Result<Vec<u8>, Failure> {
    let (reader, writer) = pipe2(O_CLOEXEC)?;
    let pid = child::start(|| {
        let _ = dup3(writer, 1, 0);
        i32::from(execute(path, arguments, environment).number())
    })?;
    close(writer)?;
    let output = ulib::io::read_to_end(reader)?;
    close(reader)?;
    check_eq!(child::wait(pid)?, WaitStatus(0));
    Ok(output)
}

fn with_name<'a>(name: &'a [u8], helper: &'a str, rest: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let mut arguments = Vec::from([name]);
    arguments.extend(helper_arguments(helper, rest));
    arguments
}

fn print_arguments(_arguments: &[&[u8]]) -> i32 {
    for argument in ulib::args::args() {
        ulib::println!("[{}]", argument.to_bytes().escape_ascii());
    }
    for variable in ulib::env::vars() {
        ulib::println!("({})", variable.to_bytes().escape_ascii());
    }
    i32::from(ulib::io::stdout().finish().is_err())
}

fn arguments_and_environment() -> Outcome {
    let arguments = with_name(b"a name", "print", &[b"", b"two words", b"\xff"]);
    let output = output_of(this_program(), &arguments, &[b"A=1", b"", b"no equals sign"])?;
    let expected = b"[a name]\n[--helper]\n[print]\n[]\n[two words]\n[\\xff]\n(A=1)\n()\n(no equals sign)\n";
    check_eq!(output.escape_ascii().to_string(), expected.escape_ascii().to_string());
    Ok(())
}

/// Linux gives a program at least an empty name.
fn no_arguments() -> Outcome {
    let status = child::run(|| {
        let nothing = [core::ptr::null()];
        // SAFETY: both arrays are empty.
        i32::from(unsafe { execve(this_program(), nothing.as_ptr(), nothing.as_ptr()) }.number())
    })?;
    check_eq!(status, WaitStatus(0));
    Ok(())
}

fn many_arguments() -> Outcome {
    let long = alloc::vec![b'x'; 1000];
    let arguments: Vec<&[u8]> = (0..100).map(|_| &long[..]).collect();
    let status = status_of(this_program(), &with_name(b"name", "count", &arguments))?;
    check_eq!(status, WaitStatus::exited(100));
    Ok(())
}

fn too_many_arguments() -> Outcome {
    let long = alloc::vec![b'x'; 131_072];
    check_eq!(
        status_of(this_program(), &[b"name", &long])?,
        WaitStatus::exited(Errno::E2BIG.number().into())
    );
    let fits = &long[..131_071];
    check_eq!(status_of(this_program(), &with_name(b"name", "count", &[fits]))?, WaitStatus::exited(1));
    let many: Vec<&[u8]> = (0..100).map(|_| fits).collect();
    check_eq!(status_of(this_program(), &many)?, WaitStatus::exited(Errno::E2BIG.number().into()));
    Ok(())
}

/// Status 0 if everything is as `what_is_kept_and_what_is_not` expects.
fn inherited_state(arguments: &[&[u8]]) -> i32 {
    let number = |index: usize| {
        arguments
            .get(index)
            .and_then(|text| core::str::from_utf8(text).ok()?.parse::<i32>().ok())
            .unwrap_or(-1)
    };
    // SAFETY: nothing is set.
    let action = |signal| unsafe { rt_sigaction(signal, None) }.map(|action| action.sa_handler);
    let checks = [
        action(SIGUSR1) == Ok(SIG_DFL),
        action(SIGUSR2) == Ok(SIG_IGN),
        rt_sigprocmask(SIG_BLOCK, 0) == Ok(handler::bit(SIGTERM)),
        fstat(number(0)).is_ok(),
        fstat(number(1)).map(drop) == Err(Errno::EBADF),
        getpid() == number(2),
        umask(0) == 0o31,
        // SAFETY: nothing is set.
        unsafe { sigaltstack(None) }.is_ok_and(|stack| stack.ss_flags == SS_DISABLE),
    ];
    checks.iter().position(|&good| !good).map_or(0, |index| index as i32 + 10)
}

fn what_is_kept_and_what_is_not() -> Outcome {
    let (kept, closed) = pipe2(0)?;
    fcntl(closed, F_SETFD, FD_CLOEXEC.into())?;
    let status = child::run(|| {
        let _ = handler::record_signal(SIGUSR1, 0);
        let _ = set_disposition(SIGUSR2, Disposition::Ignore);
        let _ = rt_sigprocmask(SIG_SETMASK, handler::bit(SIGTERM));
        umask(0o31);
        let words = [kept, closed, getpid()].map(|number| alloc::format!("{number}"));
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        i32::from(execute(this_program(), &with_name(b"name", "state", &words), &[]).number())
    })?;
    check_eq!(status, WaitStatus(0));
    Ok(())
}

fn auxiliary_vector(_arguments: &[&[u8]]) -> i32 {
    let value = ulib::auxv::value;
    let entry = value(AT_ENTRY).unwrap_or(0);
    // SAFETY: the kernel says that the string and the bytes are there.
    let name = value(AT_EXECFN).map(|address| unsafe { CStr::from_ptr(address as *const _) });
    // SAFETY: as above.
    let random = value(AT_RANDOM).map(|address| unsafe { *(address as *const [u8; 16]) });
    let checks = [
        value(AT_PAGESZ) == Some(4096),
        value(AT_PHENT) == Some(56) && value(AT_PHNUM).is_some_and(|count| count > 0),
        value(AT_PHDR).is_some_and(|address| address.abs_diff(entry) < 1 << 30),
        entry != 0,
        value(AT_UID) == Some(getuid().into()) && value(AT_EUID) == Some(geteuid().into()),
        value(AT_GID) == Some(getgid().into()) && value(AT_EGID) == Some(getegid().into()),
        value(AT_SECURE) == Some(0),
        random.is_some_and(|bytes| bytes != [0; 16]),
        name.is_some_and(|name| !name.is_empty()),
        value(AT_CLKTCK) == Some(100),
        value(AT_BASE) == Some(0),
        value(AT_HWCAP).is_some(),
        value(AT_PLATFORM).is_some_and(|address| address != 0),
    ];
    checks.iter().position(|&good| !good).map_or(0, |index| index as i32 + 10)
}

fn the_auxiliary_vector() -> Outcome {
    check_eq!(status_of(this_program(), &with_name(b"name", "auxiliary", &[]))?, WaitStatus(0));
    Ok(())
}

/// Makes an executable file.
fn program(path: &CStr, content: &[u8]) -> Result<(), Failure> {
    let fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o755)?;
    let mut rest = content;
    while !rest.is_empty() {
        rest = &rest[write(fd, rest)?..];
    }
    close(fd)?;
    Ok(())
}

fn error_of(path: &CStr) -> Result<Option<u8>, Failure> {
    Ok(status_of(path, &[b"name"])?.exit_code())
}

fn number(error: Errno) -> Option<u8> {
    Some(error.number() as u8)
}

fn refusals() -> Outcome {
    scratch::enter()?;
    mkdirat(AT_FDCWD, c"dir", 0o755)?;
    program(c"file", b"#!/bin/true\n")?;
    fchmodat(AT_FDCWD, c"file", 0o644)?;
    check_eq!(error_of(c"none")?, number(Errno::ENOENT));
    check_eq!(error_of(c"dir")?, number(Errno::EACCES));
    check_eq!(error_of(c"file")?, number(Errno::EACCES));
    check_eq!(error_of(c"file/x")?, number(Errno::ENOTDIR));
    check_eq!(error_of(c"/dev/null")?, number(Errno::EACCES));
    check_eq!(raw::call(nr::execve, &[8, 0, 0]), Err(Errno::EFAULT));
    let path = this_program().as_ptr() as u64;
    check_eq!(raw::call(nr::execve, &[path, 8, 0]), Err(Errno::EFAULT));
    let arguments = [8u64, 0];
    check_eq!(raw::call(nr::execve, &[path, arguments.as_ptr() as u64, 0]), Err(Errno::EFAULT));
    check_eq!(raw::call(nr::execve, &[path, 0, 0xffff_8000_0000_0000]), Err(Errno::EFAULT));
    Ok(())
}

fn files_that_are_no_programs() -> Outcome {
    scratch::enter()?;
    for content in [&b""[..], b"x", b"echo hello\n", b"\x7fELF", b"#", b"\x7fELF\x02\x01\x01", &[0; 100]] {
        program(c"file", content)?;
        check_eq!((content.len(), error_of(c"file")?), (content.len(), number(Errno::ENOEXEC)));
    }
    Ok(())
}

/// This program's own file, to be damaged.
fn own_image() -> Result<Vec<u8>, Failure> {
    let fd = open(this_program(), O_RDONLY, 0)?;
    let image = ulib::io::read_to_end(fd)?;
    close(fd)?;
    Ok(image)
}

/// Offset of the first program header of `kind`.
fn header_of(image: &[u8], kind: u32) -> usize {
    (0..usize::from(image[56]))
        .map(|index| 64 + index * 56)
        .find(|&at| image[at..at + 4] == kind.to_le_bytes())
        .unwrap_or(64)
}

/// A damaged program does not start: ENOEXEC, or it dies before its first instruction, as some do on Linux.
fn check_damaged(name: &str, image: &[u8]) -> Outcome {
    program(c"damaged", image)?;
    let status = status_of(c"damaged", &with_name(b"name", "count", &[]))?;
    let refused = matches!(status.exit_code().map(u16::from), Some(code) if [
        Errno::ENOEXEC, Errno::EINVAL, Errno::ENOMEM, Errno::EIO, Errno::ENOENT,
    ].iter().any(|error| error.number() == code));
    check!(refused || status.term_signal().is_some(), "{name}: {status:?}");
    Ok(())
}

fn damaged_programs() -> Outcome {
    const LOAD: u32 = 1;
    scratch_with_program()?;
    let image = own_image()?;
    let load = header_of(&image, LOAD);
    let with = |at: usize, bytes: &[u8]| {
        let mut damaged = image.clone();
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        damaged
    };
    check_damaged("machine", &with(18, &[0xff]))?;
    check_damaged("big-endian", &with(18, &[0, 62]))?;
    check_damaged("object file", &with(16, &[1]))?;
    check_damaged("no headers", &with(56, &[0, 0]))?;
    check_damaged("too many headers", &with(56, &[0xff, 0xff]))?;
    check_damaged("size of headers", &with(54, &[32]))?;
    check_damaged("headers nowhere", &with(32, &[0xff; 8]))?;
    check_damaged("kernel address", &with(load + 16, &[0, 0, 0, 0, 0, 0x80, 0xff, 0xff]))?;
    check_damaged("wrapping address", &with(load + 16, &[0, 0xf0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]))?;
    check_damaged("huge in memory", &with(load + 40, &[0xff; 8]))?;
    check_damaged("more in the file than in memory", &with(load + 40, &[0; 8]))?;
    check_damaged("nothing to load", &with(load, &[0; 4]))?;
    check_damaged("entry in the kernel", &with(24, &[0, 0, 0, 0, 0, 0x80, 0xff, 0xff]))?;
    check_damaged("cut off in the headers", &image[..100])?;
    check_damaged("cut off behind the headers", &image[..1000])?;
    Ok(())
}

/// Enters a folder of its own; this program's path must lead to it from there.
fn scratch_with_program() -> Outcome {
    check!(this_program().to_bytes().starts_with(b"/"), "call this program by an absolute path");
    scratch::enter()
}

fn script(path: &CStr, first_line: &[&[u8]]) -> Outcome {
    program(path, &[&b"#!"[..], &first_line.concat(), b"\nrest\n"].concat())
}

fn scripts() -> Outcome {
    let me = absolute()?;
    scratch::enter()?;
    script(c"s", &[b" ", &me, b" --helper"])?;
    // The interpreter gets its name, one argument, the script's path, the script's arguments: `./s` is no helper.
    check_eq!(status_of(c"./s", &[b"lost", b"count"])?, WaitStatus::exited(127));
    // A helper with the script's name is one.
    script(c"print", &[&me, b"   --helper  "])?;
    let output = output_of(c"print", &[b"lost", b"one", b"two"], &[])?;
    let expected = [b"[", &me[..], b"]\n[--helper]\n[print]\n[one]\n[two]\n"].concat();
    check_eq!(output.escape_ascii().to_string(), expected.escape_ascii().to_string());
    script(c"bad", &[b"/no/such/interpreter"])?;
    check_eq!(error_of(c"bad")?, number(Errno::ENOENT));
    script(c"empty", &[b"  "])?;
    check_eq!(error_of(c"empty")?, number(Errno::ENOEXEC));
    script(c"long", &[&alloc::vec![b'x'; 1000]])?;
    check_eq!(error_of(c"long")?, number(Errno::ENOEXEC));
    Ok(())
}

fn scripts_of_scripts() -> Outcome {
    let me = absolute()?;
    scratch::enter()?;
    script(c"0", &[&me, b" --helper"])?;
    for level in 1..=6 {
        let path = ulib::c_string(alloc::format!("{level}"))?;
        script(&path, &[alloc::format!("./{}", level - 1).as_bytes()])?;
    }
    check_eq!(error_of(c"6")?, number(Errno::ELOOP));
    script(c"self", &[b"./self"])?;
    check_eq!(error_of(c"self")?, number(Errno::ELOOP));
    Ok(())
}

fn by_a_descriptor() -> Outcome {
    let fd = open(this_program(), O_RDONLY | O_CLOEXEC, 0)?;
    let status = child::run(|| {
        let arguments =
            [c"name".as_ptr(), c"--helper".as_ptr(), c"count".as_ptr(), c"1".as_ptr(), core::ptr::null()];
        let result = raw::call(
            nr::execveat,
            &[
                fd as u64,
                c"".as_ptr() as u64,
                arguments.as_ptr() as u64,
                arguments[4..].as_ptr() as u64,
                AT_EMPTY_PATH.into(),
            ],
        );
        result.map_or_else(|error| 100 + i32::from(error.number()), |_| 99)
    })?;
    check_eq!(status, WaitStatus::exited(1));
    Ok(())
}

fn a_running_program_is_not_written() -> Outcome {
    check_eq!(open(this_program(), O_WRONLY, 0), Err(Errno::ETXTBSY));
    let image = own_image()?;
    scratch::enter()?;
    program(c"copy", &image)?;
    let fd = open(c"copy", O_WRONLY, 0)?;
    check_eq!(error_of(c"copy")?, number(Errno::ETXTBSY));
    close(fd)?;
    check_eq!(status_of(c"copy", &with_name(b"name", "count", &[b"x"]))?, WaitStatus::exited(1));
    Ok(())
}

fn set_user_id() -> Outcome {
    if geteuid() != 0 {
        return Ok(());
    }
    let image = own_image()?;
    scratch::enter()?;
    program(c"copy", &image)?;
    fchownat(AT_FDCWD, c"copy", 1234, 1234, 0)?;
    fchmodat(AT_FDCWD, c"copy", 0o4755)?;
    // AT_EUID is not AT_UID then, and AT_SECURE is set: the helper says so by its status.
    let status = status_of(c"copy", &with_name(b"name", "auxiliary", &[]))?;
    check_eq!(status, WaitStatus::exited(16));
    Ok(())
}

fn a_program_without_a_stack() -> Outcome {
    let limit = abi::resource::Rlimit { rlim_cur: 4096, rlim_max: 4096 };
    let status = child::run(|| {
        let _ = prlimit64(0, abi::resource::RLIMIT_STACK, Some(&limit));
        i32::from(execute(this_program(), &with_name(b"name", "count", &[&b"x"[..]; 5]), &[]).number())
    })?;
    // It may fit or not; it must not harm anybody else.
    check!(status.exit_code().is_some() || status.term_signal().is_some());
    Ok(())
}
