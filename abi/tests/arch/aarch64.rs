//! AArch64's constants beside those of `linux-raw-sys`.

same! { fs_general, abi::arch::aarch64::fs, linux_raw_sys::general:
    O_DIRECTORY O_NOFOLLOW O_DIRECT O_LARGEFILE O_TMPFILE
}

same! { process_general, abi::arch::aarch64::process, linux_raw_sys::general:
    PROT_BTI PROT_MTE
}
