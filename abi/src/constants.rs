//! The list form in which this crate writes Linux's constants.

/// Makes documented constants of one type from a list.
///
/// `constants! { u32: PROT_READ = 1, "pages can be read"; }` expands to
/// `#[doc = "pages can be read"] pub const PROT_READ: u32 = 1;`.
macro_rules! constants {
    ($type:ty: $($name:ident = $value:expr, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $name: $type = $value;)*
    };
}
