//! Instructions that are replaced at boot: the table in the image, and the walk over it.
//!
//! [`site`] puts a row into the table; what the rows mean, and what is written, is `libkernel::patch`. Each
//! architecture numbers its features and says which of them this machine has or needs (`arch/*/patches.rs`). All is
//! written once, by the boot CPU, before another CPU starts and before the text is sealed; a program's CPU never sees
//! it change.
use libkernel::arch::native::patch::ENCODING;
use libkernel::patch::{Features, SITE_BYTES_MAX, Site};

unsafe extern "C" {
    static __patch_sites_start: [Site; 0];
    static __patch_sites_end: [Site; 0];
}

/// Assembly of a site: `$old` stands there, and `$new` is written over it with feature number `$number`. Labels 661 to
/// 664 are the site's own; a branch in `$new` may leave it, in x86_64's only if it is all of `$new`. For example
///
/// ```text
/// site!("3", "nop" => "clac")
///     661: nop
///     662: (the code, in .patch_code)  663: clac  664:
///          (the row, in .patch_sites)  661, 663, feature 3, the lengths
/// ```
macro_rules! site {
    ($number:expr, $old:expr => $new:expr) => {
        concat!(
            "661:\n",
            $old,
            "\n662:\n.pushsection .patch_code, \"a\"\n663:\n",
            $new,
            "\n664:\n.popsection\n.pushsection .patch_sites, \"a\"\n.quad 661b, 663b\n.short ",
            $number,
            "\n.byte 662b - 661b, 664b - 663b\n.long 0\n.popsection"
        )
    };
}

pub(crate) use site;

/// Calls `write` with the place and the bytes of each site whose feature is in `present`.
pub(crate) fn apply(present: Features, mut write: impl FnMut(u64, &[u8])) {
    let (start, end) =
        (&raw const __patch_sites_start as *const Site, &raw const __patch_sites_end as *const Site);
    // SAFETY: the linker script brackets the table, which is read-only data.
    let sites = unsafe { core::slice::from_raw_parts(start, end.offset_from_unsigned(start)) };
    let mut buffer = [0; SITE_BYTES_MAX];
    for site in sites.iter().filter(|site| present.contain(site.feature)) {
        // SAFETY: the row names the code in the image's constants.
        let code = unsafe { core::slice::from_raw_parts(site.code as *const u8, site.code_length.into()) };
        match site.compose(code, &ENCODING, &mut buffer) {
            Ok(bytes) => write(site.address, bytes),
            Err(error) => panic!("{:#x} cannot be patched: {error:?}", site.address),
        }
    }
}
