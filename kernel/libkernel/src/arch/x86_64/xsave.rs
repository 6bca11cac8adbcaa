//! What XSAVE saves: which of a CPU's components the kernel turns on, and how large an area they need (SDM volume 1,
//! chapter 13).

const X87: u64 = 1 << 0;
const SSE: u64 = 1 << 1;
const AVX: u64 = 1 << 2;
/// The mask registers, the upper halves of the first sixteen vector registers, and the others: together or not at all.
const AVX512: u64 = 0b111 << 5;
/// The parts that each image starts with: FXSAVE's, and XSAVE's header.
const START_BYTES: u64 = 512 + 64;
/// No component is so large that more could be right.
const AREA_MAX: u64 = 1 << 16;

/// Which of the components that CPUID offers XCR0 takes and this kernel saves (13.3): not MPX (gone from CPUs), not
/// PKRU (no protection keys yet), not AMX (asked for by programs on Linux). Zero: XSAVE cannot be used.
pub fn components(offered: u64) -> u64 {
    let has = |wanted: u64| offered & wanted == wanted;
    match (has(X87 | SSE), has(AVX), has(AVX512)) {
        (false, ..) => 0,
        (true, false, _) => X87 | SSE,
        (true, true, false) => X87 | SSE | AVX,
        (true, true, true) => X87 | SSE | AVX | AVX512,
    }
}

/// The size of an area in the standard format for `components`, in bytes: what `leaf`, CPUID's leaf 0xd by its subleaf,
/// tells for XCR0 as it is, and what the components' own places come to. `None` where these differ: who goes by either
/// writes what is not its own, or leaves out what is (Linux turns XSAVE off then, too).
pub fn area_bytes(components: u64, leaf: impl Fn(u32) -> [u32; 4]) -> Option<u32> {
    const IN_SUPERVISORS_AREA: u32 = 1 << 0;
    let told = leaf(0)[1];
    let end_of = |component: u32| {
        let [size, offset, flags, _] = leaf(component);
        let has_place = flags & IN_SUPERVISORS_AREA == 0 && size != 0 && u64::from(offset) >= START_BYTES;
        has_place.then_some(u64::from(offset) + u64::from(size))
    };
    let mut used = (2..u64::BITS).filter(|component| components >> component & 1 != 0);
    let end = used.try_fold(START_BYTES, |end, component| Some(end.max(end_of(component)?)))?;
    (u64::from(told) == end && end <= AREA_MAX).then_some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component, its offset and its size.
    type Places = &'static [(u32, u32, u32)];

    const INTEL: Places = &[
        (2, 0x240, 0x100),
        (3, 0x3c0, 0x40),
        (4, 0x400, 0x40),
        (5, 0x440, 0x40),
        (6, 0x480, 0x200),
        (7, 0x680, 0x400),
        (9, 0xa80, 8),
        (17, 0xac0, 0x40),
        (18, 0xb00, 0x2000),
    ];
    const ZEN4: Places =
        &[(2, 0x240, 0x100), (5, 0x340, 0x40), (6, 0x380, 0x200), (7, 0x580, 0x400), (9, 0x980, 8)];

    fn bytes(components: u64, places: Places, told: u32) -> Option<u32> {
        area_bytes(components, |subleaf| match subleaf {
            0 => [0, told, 0, 0],
            _ => places
                .iter()
                .find(|(component, ..)| *component == subleaf)
                .map_or([0; 4], |&(_, offset, size)| [size, offset, 0, 0]),
        })
    }

    /// Core 2 with XSAVE, Haswell, Skylake with MPX and PKRU, Skylake-SP, Sapphire Rapids with AMX; supervisor's
    /// components (CET) are not among what CPUID offers for XCR0.
    #[test]
    fn what_is_not_saved_is_not_turned_on() {
        for (offered, taken) in [(0x3, 0x3), (0x7, 0x7), (0x21f, 0x7), (0x2ff, 0xe7), (0x6_02e7, 0xe7)] {
            assert_eq!(components(offered), taken, "{offered:#x}");
        }
    }

    /// XSETBV faults for what depends on something that is left out.
    #[test]
    fn what_a_hypervisor_has_left_out_takes_along_what_needs_it() {
        for (offered, taken) in
            [(0, 0), (0x1, 0), (0x6, 0), (0x5, 0), (0xe3, 0x3), (0x27, 0x7), (0xc7, 0x7), (0xa7, 0x7)]
        {
            assert_eq!(components(offered), taken, "{offered:#x}");
        }
    }

    #[test]
    fn areas_are_as_large_as_on_cpus_that_there_are() {
        for (components, places, told) in
            [(0x3, INTEL, 576), (0x7, INTEL, 832), (0xe7, INTEL, 2688), (0x7, ZEN4, 832), (0xe7, ZEN4, 2432)]
        {
            assert_eq!(bytes(components, places, told), Some(told), "{components:#x}");
        }
    }

    /// KVM under QEMU's translator forgets XCR0, and tells the size of what is left; others may tell of what is not on,
    /// or of nothing.
    #[test]
    fn a_size_that_is_not_that_of_the_components_is_not_used() {
        for told in [0, 512, 576, 832, 2687, 2696, 0x2b00, u32::MAX] {
            assert_eq!(bytes(0xe7, INTEL, told), None, "{told}");
        }
        // A component without a place, one within FXSAVE's part, one that is the supervisor's.
        assert_eq!(bytes(0x7, &[], 832), None);
        assert_eq!(bytes(0x7, &[(2, 0x100, 0x100)], 576), None);
        let supervisors = |subleaf: u32| if subleaf == 0 { [0, 832, 0, 0] } else { [0x100, 0x240, 1, 0] };
        assert_eq!(area_bytes(0x7, supervisors), None);
        assert_eq!(bytes(0x7, &[(2, u32::MAX, u32::MAX)], 0xffff_fffe), None);
    }
}
