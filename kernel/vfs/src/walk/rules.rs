//! The rules of a walk that a program may ask for: openat2(2).

use abi::fs::{
    RESOLVE_BENEATH, RESOLVE_CACHED, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
};

/// Restrictions on a walk: the `RESOLVE_*` bits of openat2(2).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules(pub u64);

impl Rules {
    /// Do not cross mounts.
    pub const NO_CROSSING: Rules = Rules(RESOLVE_NO_XDEV);
    /// Do not follow magic links.
    pub const NO_MAGIC_LINKS: Rules = Rules(RESOLVE_NO_MAGICLINKS);
    /// Do not follow any link.
    pub const NO_LINKS: Rules = Rules(RESOLVE_NO_SYMLINKS);
    /// Do not leave the starting directory.
    pub const BENEATH: Rules = Rules(RESOLVE_BENEATH);
    /// Treat the starting directory as the root.
    pub const IN_ROOT: Rules = Rules(RESOLVE_IN_ROOT);
    /// Succeed only with what is in memory, and without a change: EAGAIN.
    pub const CACHED: Rules = Rules(RESOLVE_CACHED);
    /// Do not count as a visit of the mounts on the way. No bit of a program's.
    pub const UNSEEN: Rules = Rules(1 << 63);
    /// All bits that mean something.
    pub const KNOWN: u64 = RESOLVE_NO_XDEV
        | RESOLVE_NO_MAGICLINKS
        | RESOLVE_NO_SYMLINKS
        | RESOLVE_BENEATH
        | RESOLVE_IN_ROOT
        | RESOLVE_CACHED;

    /// Whether a rule is among them.
    pub(super) fn include(self, rule: Rules) -> bool {
        self.0 & rule.0 != 0
    }

    /// Whether the walk stays below the place where it begins.
    pub(super) fn is_scoped(self) -> bool {
        self.include(Rules::BENEATH) || self.include(Rules::IN_ROOT)
    }
}
