//! The random devices and `getrandom` once the generator is seeded: flags, readiness, what root may tell the pool,
//! settings.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::ioctl::*;
use abi::memory::*;
use abi::native::nr;
use abi::poll::*;
use conformance::files::{self, as_user};
use conformance::{Outcome, check, check_eq, raw};
use libsyscall::file::*;

conformance::tests!(&[
    ("flags_of_getrandom", flags_of_getrandom),
    ("the_devices_give_and_take", the_devices_give_and_take),
    ("only_one_device_can_be_waited_for", only_one_device_can_be_waited_for),
    ("everybody_may_ask_for_the_count", everybody_may_ask_for_the_count),
    ("root_vouches_for_bytes", root_vouches_for_bytes),
    ("only_root_vouches", only_root_vouches),
    ("settings_of_the_generator", settings_of_the_generator),
    ("numbers_differ_and_the_boot_has_one", numbers_differ_and_the_boot_has_one),
]);

fn getrandom(bytes: &mut [u8], flags: u32) -> Result<u64, Errno> {
    raw::call(nr::getrandom, &[bytes.as_mut_ptr() as u64, bytes.len() as u64, flags.into()])
}

fn flags_of_getrandom() -> Outcome {
    let mut bytes = [0; 32];
    // Without a flag it waits, if it has to.
    check_eq!(getrandom(&mut bytes, 0), Ok(32));
    check!(bytes != [0; 32]);
    for flags in [
        GRND_NONBLOCK,
        GRND_RANDOM,
        GRND_INSECURE,
        GRND_NONBLOCK | GRND_RANDOM,
        GRND_NONBLOCK | GRND_INSECURE,
    ] {
        check_eq!(getrandom(&mut bytes, flags), Ok(32));
        check_eq!(getrandom(&mut [], flags), Ok(0));
    }
    for flags in [GRND_RANDOM | GRND_INSECURE, 8, u32::MAX] {
        check_eq!(getrandom(&mut bytes, flags), Err(Errno::EINVAL));
    }
    check_eq!(raw::call(nr::getrandom, &[8, 4, 0]), Err(Errno::EFAULT));
    Ok(())
}

fn the_devices_give_and_take() -> Outcome {
    for path in [c"/dev/random", c"/dev/urandom"] {
        let fd = open(path, O_RDWR | O_NONBLOCK, 0)?;
        let (mut first, mut second) = ([0; 300], [0; 300]);
        check_eq!((read(fd, &mut first), read(fd, &mut second)), (Ok(300), Ok(300)));
        check!(first != second && first[256..] != [0; 44]);
        check_eq!((write(fd, b"some bytes"), write(fd, b"")), (Ok(10), Ok(0)));
        check_eq!(raw::call(nr::write, &[fd as u64, 8, 4]), Err(Errno::EFAULT));
        // No position matters.
        check_eq!(raw::call(nr::pread64, &[fd as u64, first.as_mut_ptr() as u64, 4, 1 << 40]), Ok(4));
        close(fd)?;
    }
    Ok(())
}

fn ready(path: &core::ffi::CStr) -> Result<(usize, u16), Errno> {
    let fd = open(path, O_RDWR, 0)?;
    let events = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM | POLLPRI;
    let mut entry = [Pollfd { fd, events, revents: 0 }];
    let count = ppoll(&mut entry, Some(abi::time::Timespec::default()))?;
    close(fd)?;
    Ok((count, entry[0].revents))
}

fn only_one_device_can_be_waited_for() -> Outcome {
    check_eq!(ready(c"/dev/random"), Ok((1, POLLIN | POLLRDNORM)));
    check_eq!(ready(c"/dev/urandom"), Ok((1, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM)));
    let epoll = raw::call(nr::epoll_create1, &[0])?;
    let event = [0_u64; 2];
    let add = |fd: i32| raw::call(nr::epoll_ctl, &[epoll, 1, fd as u64, event.as_ptr() as u64]);
    check_eq!(add(open(c"/dev/random", O_RDONLY, 0)?), Ok(0));
    check_eq!(add(open(c"/dev/urandom", O_RDONLY, 0)?), Err(Errno::EPERM));
    Ok(())
}

fn ask<T>(fd: i32, request: u32, argument: &T) -> Result<u64, Errno> {
    raw::call(nr::ioctl, &[fd as u64, request.into(), core::ptr::from_ref(argument) as u64])
}

fn everybody_may_ask_for_the_count() -> Outcome {
    as_user(|| {
        for path in [c"/dev/random", c"/dev/urandom"] {
            let (fd, count) = (open(path, O_RDONLY, 0)?, [0_i32; 2]);
            check_eq!(ask(fd, RNDGETENTCNT, &count), Ok(0));
            check_eq!(core::hint::black_box(count), [256, 0]);
            check_eq!(raw::call(nr::ioctl, &[fd as u64, RNDGETENTCNT.into(), 8]), Err(Errno::EFAULT));
            check_eq!(ask(fd, 0x5201, &count), Err(Errno::EINVAL));
        }
        Ok(())
    })
}

/// What `RNDADDENTROPY` takes.
#[repr(C)]
struct PoolInfo {
    bits: i32,
    bytes: i32,
    content: [u8; 16],
}

fn root_vouches_for_bytes() -> Outcome {
    let fd = open(c"/dev/random", O_RDONLY, 0)?;
    let info = |bits, bytes| PoolInfo { bits, bytes, content: *b"some random text" };
    for (bits, bytes) in [(8, 16), (0, 16), (128, 0), (i32::MAX, 1)] {
        check_eq!(ask(fd, RNDADDENTROPY, &info(bits, bytes)), Ok(0));
    }
    check_eq!(ask(fd, RNDADDENTROPY, &info(-1, 16)), Err(Errno::EINVAL));
    check_eq!(ask(fd, RNDADDENTROPY, &info(8, -1)), Err(Errno::EFAULT));
    check_eq!(raw::call(nr::ioctl, &[fd as u64, RNDADDENTROPY.into(), 8]), Err(Errno::EFAULT));
    for (bits, outcome) in [(0_i32, Ok(0)), (64, Ok(0)), (i32::MAX, Ok(0)), (-1, Err(Errno::EINVAL))] {
        check_eq!(ask(fd, RNDADDTOENTCNT, &bits), outcome);
    }
    check_eq!(raw::call(nr::ioctl, &[fd as u64, RNDADDTOENTCNT.into(), 8]), Err(Errno::EFAULT));
    for request in [RNDZAPENTCNT, RNDCLEARPOOL, RNDRESEEDCRNG] {
        check_eq!(ask(fd, request, &0), Ok(0));
    }
    // Nothing of this can be felt: what is seeded stays so.
    let count = 0_i32;
    check_eq!(ask(fd, RNDGETENTCNT, &count), Ok(0));
    check_eq!(core::hint::black_box(count), 256);
    check_eq!(getrandom(&mut [0; 16], GRND_NONBLOCK), Ok(16));
    Ok(())
}

fn only_root_vouches() -> Outcome {
    as_user(|| {
        let fd = open(c"/dev/random", O_RDWR, 0)?;
        let requests = [RNDADDTOENTCNT, RNDADDENTROPY, RNDZAPENTCNT, RNDCLEARPOOL, RNDRESEEDCRNG];
        for request in requests {
            check_eq!(ask(fd, request, &[0_u64; 4]), Err(Errno::EPERM));
            // Even where the argument is none.
            check_eq!(raw::call(nr::ioctl, &[fd as u64, request.into(), 8]), Err(Errno::EPERM));
        }
        check_eq!(write(fd, b"some bytes"), Ok(10));
        Ok(())
    })
}

fn settings_of_the_generator() -> Outcome {
    files::mount_proc()?;
    for (path, value, mode) in [
        (c"/proc/sys/kernel/random/entropy_avail", "256\n", 0o444),
        (c"/proc/sys/kernel/random/poolsize", "256\n", 0o444),
        (c"/proc/sys/kernel/random/urandom_min_reseed_secs", "60\n", 0o644),
        (c"/proc/sys/kernel/random/write_wakeup_threshold", "256\n", 0o644),
    ] {
        check_eq!(files::content(path)?, value.as_bytes());
        check_eq!(files::mode_of(path)? & 0o777, mode);
        if mode & 0o200 == 0 {
            continue;
        }
        // What is written is taken, whatever it is, and changes nothing.
        let fd = open(path, O_WRONLY, 0)?;
        check_eq!((write(fd, b"17\n"), write(fd, b"no number")), (Ok(3), Ok(9)));
        close(fd)?;
        check_eq!(files::content(path)?, value.as_bytes());
    }
    Ok(())
}

fn numbers_differ_and_the_boot_has_one() -> Outcome {
    files::mount_proc()?;
    let (uuid, boot) = (c"/proc/sys/kernel/random/uuid", c"/proc/sys/kernel/random/boot_id");
    check!(files::content(uuid)? != files::content(uuid)?);
    check_eq!(files::content(boot)?, files::content(boot)?);
    for path in [uuid, boot] {
        let text = files::content(path)?;
        check!(text.len() == 37 && text[36] == b'\n');
        check!([8, 13, 18, 23].iter().all(|&place| text[place] == b'-'));
        check!(text[14] == b'4' && b"89ab".contains(&text[19]), "{text:?}");
    }
    Ok(())
}
