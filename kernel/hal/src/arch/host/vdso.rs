//! No vDSO: there are no programs on the host architecture.

/// Empty.
pub fn image() -> &'static [u8] {
    &[]
}

/// None.
pub fn sigreturn_offset() -> Option<u64> {
    None
}
