// A site that is patched at boot, as patch.rs's `site!` for Rust's assembly: \old stands there, \new is written over it where the
// machine has feature number \feature. A file that includes this one ends with `.purgem site`.
.macro site feature, old, new
661:
    \old
662:
    .pushsection .patch_code, "a"
663:
    \new
664:
    .popsection
    .pushsection .patch_sites, "a"
    .quad   661b, 663b
    .short  \feature
    .byte   662b - 661b, 664b - 663b
    .long   0
    .popsection
.endm

