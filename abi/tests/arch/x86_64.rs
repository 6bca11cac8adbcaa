//! x86_64's constants and signal frame beside those of `linux-raw-sys` and the C library.

use std::mem::offset_of;

same! { fs_general, abi::arch::x86_64::fs, linux_raw_sys::general:
    O_DIRECT O_LARGEFILE O_DIRECTORY O_NOFOLLOW O_TMPFILE
}

same! { process_general, abi::arch::x86_64::process, linux_raw_sys::general:
    ARCH_SET_FS MAP_32BIT
}

#[test]
fn registers_stand_where_the_c_library_expects_them() {
    use abi::arch::x86_64::signal::{SigContext, UContext};
    assert_eq!(offset_of!(UContext, uc_mcontext), offset_of!(libc::ucontext_t, uc_mcontext));
    assert_eq!(offset_of!(UContext, uc_sigmask), offset_of!(libc::ucontext_t, uc_sigmask));
    let slot = |register: i32| register as usize * 8;
    assert_eq!(offset_of!(SigContext, r8), slot(libc::REG_R8));
    assert_eq!(offset_of!(SigContext, rdi), slot(libc::REG_RDI));
    assert_eq!(offset_of!(SigContext, rip), slot(libc::REG_RIP));
    assert_eq!(offset_of!(SigContext, eflags), slot(libc::REG_EFL));
    assert_eq!(offset_of!(SigContext, cs), slot(libc::REG_CSGSFS));
    assert_eq!(offset_of!(SigContext, cr2), slot(libc::REG_CR2));
}
