//! Comparing constants of two modules.

/// Compares constants of two modules, number by number, whatever their types.
///
/// `same! { abi::fs, linux_raw_sys::general: O_CREAT O_EXCL }` expands to a test function with one `assert_eq!` a name.
macro_rules! same {
    ($function:ident, $ours:path, $theirs:path: $($name:ident)*) => {
        #[test]
        fn $function() {
            use {$ours as ours, $theirs as theirs};
            $(assert_eq!(ours::$name as i128, theirs::$name as i128, stringify!($name));)*
        }
    };
}
