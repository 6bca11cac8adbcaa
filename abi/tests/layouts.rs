//! Compares sizes, alignments and field offsets with `linux-raw-sys`, and the other architecture's with its headers.
//!
//! `linux-raw-sys` describes the architecture the test is built for: run it under `qemu-aarch64` for the other one.
#![cfg(target_os = "linux")]

use std::mem::{align_of, offset_of, size_of};

/// Compares the sizes and the offsets of the fields of two structures.
///
/// `layout! { abi::time::Timespec, linux_raw_sys::general::timespec: tv_sec tv_nsec }` expands to a block of
/// `assert_eq!`; a field is written `ours = theirs` where the names differ.
macro_rules! layout {
    ($ours:path, $theirs:path: $($field:ident $(= $other:ident)?)*) => {{
        use {$ours as Ours, $theirs as Theirs};
        assert_eq!(size_of::<Ours>(), size_of::<Theirs>(), stringify!($ours));
        $(assert_eq!(
            offset_of!(Ours, $field), layout!(@offset Theirs, $field $($other)?),
            "{}.{}", stringify!($ours), stringify!($field)
        );)*
    }};
    (@offset $theirs:ident, $field:ident) => { offset_of!($theirs, $field) };
    (@offset $theirs:ident, $field:ident $other:ident) => { offset_of!($theirs, $other) };
}

#[test]
fn times() {
    layout! { abi::time::Timespec, linux_raw_sys::general::timespec: tv_sec tv_nsec }
    layout! { abi::time::Timeval, linux_raw_sys::general::timeval: tv_sec tv_usec }
    layout! { abi::time::Timezone, linux_raw_sys::general::timezone: tz_minuteswest tz_dsttime }
    layout! { abi::time::Itimerval, linux_raw_sys::general::itimerval: it_interval it_value }
    layout! { abi::time::Itimerspec, linux_raw_sys::general::itimerspec: it_interval it_value }
    layout! { abi::time::Timex, libc::timex:
    modes offset freq maxerror esterror status constant precision tolerance time tick ppsfreq jitter shift stabil
    jitcnt calcnt errcnt stbcnt tai }
    layout! { abi::time::Tms, libc::tms: tms_utime tms_stime tms_cutime tms_cstime }
}

#[test]
fn files() {
    layout! { abi::fs::Stat, linux_raw_sys::general::stat:
    st_dev st_ino st_nlink st_mode st_uid st_gid st_rdev st_size st_blksize st_blocks
    st_atime st_atime_nsec st_mtime st_mtime_nsec st_ctime st_ctime_nsec }
    layout! { abi::fs::Statx, linux_raw_sys::general::statx:
    stx_mask stx_blksize stx_attributes stx_nlink stx_uid stx_gid stx_mode stx_ino stx_size stx_blocks
    stx_attributes_mask stx_atime stx_btime stx_ctime stx_mtime stx_rdev_major stx_rdev_minor
    stx_dev_major stx_dev_minor stx_mnt_id stx_dio_mem_align stx_dio_offset_align }
    layout! { abi::fs::StatxTimestamp, linux_raw_sys::general::statx_timestamp: tv_sec tv_nsec }
    layout! { abi::fs::Statfs, linux_raw_sys::general::statfs:
    f_type f_bsize f_blocks f_bfree f_bavail f_files f_ffree f_fsid f_namelen f_frsize f_flags f_spare }
    layout! { abi::fs::Iovec, linux_raw_sys::general::iovec: iov_base iov_len }
    layout! { abi::fs::OwnerEx, linux_raw_sys::general::f_owner_ex: kind = type_ pid }
    layout! { abi::fs::Flock, linux_raw_sys::general::flock: l_type l_whence l_start l_len l_pid }
    assert_eq!(size_of::<abi::fs::Dirent64>(), offset_of!(libc::dirent64, d_name));
    assert_eq!(offset_of!(abi::fs::Dirent64, d_type), offset_of!(libc::dirent64, d_type));
    assert_eq!(size_of::<abi::fs::Dirent>(), 18);
}

#[test]
fn device_numbers() {
    for (major, minor) in [(1, 3), (0xfff, 0xff), (0x12345, 0xabcdef), (u32::MAX, u32::MAX)] {
        let device = abi::fs::make_device(major, minor);
        assert_eq!(device, libc::makedev(major, minor));
        assert_eq!((abi::fs::device_major(device), abi::fs::device_minor(device)), (major, minor));
    }
}

#[test]
fn processes() {
    layout! { abi::process::Rusage, linux_raw_sys::general::rusage:
    ru_utime ru_stime ru_maxrss ru_minflt ru_majflt ru_inblock ru_oublock ru_nvcsw ru_nivcsw }
    layout! { abi::process::CloneArgs, linux_raw_sys::general::clone_args:
    flags pidfd child_tid parent_tid exit_signal stack stack_size tls set_tid set_tid_size cgroup }
    layout! { abi::process::CapUserHeader, linux_raw_sys::general::__user_cap_header_struct: version pid }
    layout! { abi::process::CapUserData, linux_raw_sys::general::__user_cap_data_struct:
    effective permitted inheritable }
    layout! { abi::resource::Rlimit, linux_raw_sys::general::rlimit64: rlim_cur rlim_max }
    layout! { abi::utsname::Utsname, linux_raw_sys::system::new_utsname:
    sysname nodename release version machine domainname }
    layout! { abi::utsname::Sysinfo, linux_raw_sys::system::sysinfo:
    uptime loads totalram freeram sharedram bufferram totalswap freeswap procs totalhigh freehigh mem_unit }
}

#[test]
fn wait_statuses_read_as_the_c_library_reads_them() {
    use abi::process::WaitStatus;
    let exited = WaitStatus::exited(0x1ff);
    assert!(libc::WIFEXITED(exited.0) && libc::WEXITSTATUS(exited.0) == 0xff);
    assert_eq!((exited.exit_code(), exited.shell_status()), (Some(255), 255));
    let killed = WaitStatus::signaled(9);
    assert!(libc::WIFSIGNALED(killed.0) && libc::WTERMSIG(killed.0) == 9);
    assert!(!libc::WCOREDUMP(killed.0) && !killed.has_core_dump());
    let dumped = WaitStatus::signaled(11).with_core_dump();
    assert!(libc::WIFSIGNALED(dumped.0) && libc::WTERMSIG(dumped.0) == 11);
    assert!(libc::WCOREDUMP(dumped.0) && dumped.has_core_dump() && dumped.term_signal() == Some(11));
    assert_eq!((killed.term_signal(), killed.exit_code(), killed.shell_status()), (Some(9), None, 137));
    let stopped = WaitStatus::stopped(19);
    assert!(libc::WIFSTOPPED(stopped.0) && libc::WSTOPSIG(stopped.0) == 19);
    assert_eq!((stopped.stop_signal(), stopped.term_signal(), stopped.exit_code()), (Some(19), None, None));
    assert!(libc::WIFCONTINUED(WaitStatus::CONTINUED.0));
}

#[test]
fn signals() {
    layout! { abi::signal::Sigaction, linux_raw_sys::general::kernel_sigaction:
    sa_handler = sa_handler_kernel sa_flags sa_restorer sa_mask }
    layout! { abi::signal::StackT, linux_raw_sys::general::stack_t: ss_sp ss_flags ss_size }
    assert_eq!(size_of::<abi::signal::SigInfo>(), size_of::<libc::siginfo_t>());
    assert_eq!(size_of::<abi::signal::Sigevent>(), size_of::<libc::sigevent>());
    assert_eq!(
        offset_of!(abi::signal::Sigevent, sigev_tid),
        offset_of!(libc::sigevent, sigev_notify_thread_id)
    );
}

/// Reads a `SigInfo` of ours through the C library's accessors.
fn as_c(info: &abi::signal::SigInfo) -> &libc::siginfo_t {
    // SAFETY: both are 128 bytes of plain data, and `SigInfo` is aligned to 8 bytes as `siginfo_t` is.
    unsafe { &*std::ptr::from_ref(info).cast() }
}

#[test]
fn signal_information_reads_as_the_c_library_reads_it() {
    use abi::signal::{CLD_EXITED, SEGV_MAPERR, SI_QUEUE, SIGCHLD, SIGRTMIN, SIGSEGV, SigInfo};
    let child = SigInfo::child(CLD_EXITED, 7, 1000, 42, 3, 4);
    let c = as_c(&child);
    // SAFETY: the code says which member of the union is there.
    unsafe {
        assert_eq!((c.si_signo, c.si_code), (SIGCHLD as i32, CLD_EXITED));
        assert_eq!((c.si_pid(), c.si_uid(), c.si_status()), (7, 1000, 42));
        assert_eq!((c.si_utime(), c.si_stime()), (3, 4));
    }
    let fault = SigInfo::fault(SIGSEGV, SEGV_MAPERR, 0xdead_beef);
    // SAFETY: as above.
    unsafe { assert_eq!(as_c(&fault).si_addr() as usize, 0xdead_beef) };
    let queued = SigInfo::queued(SIGRTMIN, SI_QUEUE, 8, 9, 10);
    // SAFETY: as above.
    unsafe { assert_eq!((as_c(&queued).si_pid(), as_c(&queued).si_value().sival_ptr as usize), (8, 10)) };
}

#[test]
fn signal_frames_of_x86_64() {
    use abi::arch::x86_64::signal::{FpState, FpxSwBytes, RtSigframe, SigContext, UContext, XStateHeader};
    assert_eq!(size_of::<SigContext>(), 256);
    assert_eq!((offset_of!(UContext, uc_mcontext), offset_of!(UContext, uc_sigmask)), (40, 296));
    assert_eq!((offset_of!(RtSigframe, uc), offset_of!(RtSigframe, info)), (8, 312));
    assert_eq!((size_of::<FpState>(), offset_of!(FpState, sw_reserved)), (512, 464));
    assert_eq!((offset_of!(FpState, mxcsr), offset_of!(FpState, xmm_space)), (24, 160));
    assert_eq!((size_of::<FpxSwBytes>(), size_of::<XStateHeader>()), (48, 64));
}

#[test]
fn signal_frames_of_aarch64() {
    use abi::arch::aarch64::signal::{
        EsrContext, ExtraContext, FpsimdContext, RtSigframe, SigContext, UContext,
    };
    assert_eq!((size_of::<SigContext>(), offset_of!(SigContext, __reserved)), (4384, 288));
    assert_eq!((offset_of!(SigContext, sp), offset_of!(SigContext, pstate)), (256, 272));
    assert_eq!((offset_of!(UContext, uc_sigmask), offset_of!(UContext, uc_mcontext)), (40, 176));
    assert_eq!((size_of::<UContext>(), size_of::<RtSigframe>()), (4560, 4688));
    assert_eq!((size_of::<FpsimdContext>(), offset_of!(FpsimdContext, vregs)), (528, 16));
    assert_eq!((size_of::<EsrContext>(), size_of::<ExtraContext>()), (16, 32));
}

#[test]
fn stats_of_both_architectures() {
    use abi::arch::{aarch64, x86_64};
    assert_eq!((size_of::<x86_64::fs::Stat>(), offset_of!(x86_64::fs::Stat, st_size)), (144, 48));
    assert_eq!((size_of::<aarch64::fs::Stat>(), offset_of!(aarch64::fs::Stat, st_size)), (128, 48));
    assert_eq!((size_of::<x86_64::poll::EpollEvent>(), align_of::<x86_64::poll::EpollEvent>()), (12, 1));
    assert_eq!((size_of::<aarch64::poll::EpollEvent>(), align_of::<aarch64::poll::EpollEvent>()), (16, 8));
}

#[test]
fn terminals_polls_and_futexes() {
    layout! { abi::terminal::Termios, linux_raw_sys::general::termios:
    c_iflag c_oflag c_cflag c_lflag c_line c_cc }
    layout! { abi::terminal::Termios2, linux_raw_sys::general::termios2: c_ispeed c_ospeed }
    layout! { abi::terminal::Winsize, linux_raw_sys::general::winsize: ws_row ws_col ws_xpixel ws_ypixel }
    layout! { abi::poll::Pollfd, linux_raw_sys::general::pollfd: fd events revents }
    layout! { abi::poll::EpollEvent, linux_raw_sys::general::epoll_event: events data }
    layout! { abi::futex::FutexWaitv, linux_raw_sys::general::futex_waitv: val uaddr flags }
    layout! { abi::futex::RobustListHead, linux_raw_sys::general::robust_list_head: list futex_offset list_op_pending }
    assert_eq!(size_of::<abi::auxv::AuxvEntry>(), 16);
}

#[test]
fn core_dumps() {
    use abi::arch::{aarch64, x86_64};
    use abi::core_dump::{Prpsinfo, PrstatusHead, PrstatusTail};
    assert_eq!((size_of::<PrstatusHead>(), offset_of!(PrstatusHead, pr_pid)), (112, 32));
    assert_eq!((offset_of!(PrstatusHead, pr_cursig), offset_of!(PrstatusHead, pr_utime)), (12, 48));
    assert_eq!((size_of::<PrstatusTail>(), size_of::<Prpsinfo>()), (8, 136));
    assert_eq!((offset_of!(Prpsinfo, pr_uid), offset_of!(Prpsinfo, pr_fname)), (16, 40));
    type Registers = x86_64::core_dump::GeneralRegisters;
    assert_eq!((size_of::<Registers>(), offset_of!(Registers, rip)), (27 * 8, 16 * 8));
    assert_eq!((offset_of!(Registers, fs_base), offset_of!(Registers, gs)), (21 * 8, 26 * 8));
    assert_eq!(size_of::<aarch64::core_dump::GeneralRegisters>(), 34 * 8);
    assert_eq!(size_of::<aarch64::core_dump::VectorRegisters>(), 528);
}
