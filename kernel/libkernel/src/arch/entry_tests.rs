//! Tests of page-table entries that hold on either architecture: each `paging.rs` includes them for its own.
use super::*;

/// Every kind of rights.
pub const ALL: [Prot; 5] =
    [Prot::NONE, Prot::READ, Prot::READ_WRITE, Prot::READ_EXECUTE, Prot::from_bits_truncate(7)];

#[test]
fn sums_of_leaves_are_taken_apart() {
    let leaf = |kind| Entry::leaf(PhysAddr::new(0x7000), 0, Attributes::user(Prot::NONE)).with_kind(kind);
    let [zero, own, object] = [Kind::Uncounted, Kind::Anonymous, Kind::Object].map(leaf);
    for (owns, objects) in [(0, 0), (512, 0), (0, 512), (100, 411), (1, 1)] {
        let sum = u64::from(owns) * own.tally() + u64::from(objects) * object.tally() + 3 * zero.tally();
        assert_eq!(Entry::counted(sum), (owns, objects));
    }
}

#[test]
fn a_leaf_is_counted_as_one_kind_whatever_its_rights() {
    for kind in [Kind::Uncounted, Kind::Anonymous, Kind::Object] {
        for prot in ALL {
            let entry = Entry::leaf(PhysAddr::new(0x5000), 0, Attributes::user(prot)).with_kind(kind);
            assert_eq!((entry.kind(), entry.prot(), entry.address().as_u64()), (kind, prot, 0x5000));
            assert_eq!(entry.without_write().kind(), kind);
            for other in ALL {
                assert_eq!(entry.with_user_prot(other).kind(), kind);
            }
            assert_eq!(entry.with_kind(Kind::Object).kind(), Kind::Object);
        }
    }
}

#[test]
fn a_block_stays_one_whatever_its_rights_and_falls_into_pages_that_have_them() {
    let at = |page: u64| PhysAddr::new((6 << 21) + (page << 12));
    for (kind, prot) in [Kind::Uncounted, Kind::Anonymous, Kind::Object]
        .into_iter()
        .flat_map(|kind| ALL.map(|prot| (kind, prot)))
    {
        let block = Entry::leaf(at(0), 1, Attributes::user(prot)).with_kind(kind);
        for entry in
            ALL.map(|other| block.with_user_prot(other)).into_iter().chain([block, block.without_write()])
        {
            assert!(entry.is_block() && !entry.is_table(1) && entry.holds_frame());
            assert_eq!((entry.address(), entry.kind()), (at(0), kind));
        }
        assert_eq!(block.with_user_prot(Prot::NONE).with_user_prot(prot), block);
        for page in [0, 1, 300, 511] {
            let part = block.part(1, page as usize);
            assert_eq!(part, Entry::leaf(at(page), 0, Attributes::user(prot)).with_kind(kind));
        }
        let larger = Entry::leaf(PhysAddr::new(3 << 30), 2, Attributes::user(prot)).with_kind(kind);
        let part = larger.part(2, 7);
        assert_eq!(
            part,
            Entry::leaf(PhysAddr::new((3 << 30) + (7 << 21)), 1, Attributes::user(prot)).with_kind(kind)
        );
    }
    assert!(!Entry::table(at(0), Owner::User).is_block() && !Entry::EMPTY.is_block());
}

#[test]
fn a_page_without_rights_keeps_its_frame() {
    let entry = Entry::leaf(PhysAddr::new(0x5000), 0, Attributes::user(Prot::NONE));
    assert!(!entry.is_present() && entry.holds_frame() && !entry.is_empty());
    assert_eq!(entry.address(), PhysAddr::new(0x5000));
}
