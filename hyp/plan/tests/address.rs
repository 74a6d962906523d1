//! From guest addresses to physical ones.

use bulkhead_plan::address::{Ipa, Pa, translate};
use bulkhead_plan::{Memory, PAGE};

#[test]
fn an_address_in_memory_has_one_place() {
    let memory = [
        Memory { ipa: Ipa(0x4000_0000), base: Pa(0x8000_0000), size: 2 * PAGE },
        Memory { ipa: Ipa(0x4000_2000), base: Pa(0x1000), size: PAGE },
        Memory { ipa: Ipa(0), base: Pa(0x9000_0000), size: PAGE },
    ];
    for (ipa, pa) in [
        (0, Some(0x9000_0000)),
        (0xfff, Some(0x9000_0fff)),
        (0x1000, None),
        (0x3fff_ffff, None),
        (0x4000_0000, Some(0x8000_0000)),
        (0x4000_1fff, Some(0x8000_1fff)),
        (0x4000_2000, Some(0x1000)),
        (0x4000_3000, None),
        (u64::MAX, None),
    ] {
        assert_eq!(translate(&memory, Ipa(ipa)), pa.map(Pa), "{ipa:#x}");
    }
    assert_eq!(translate(&[], Ipa(0)), None);
}

#[test]
fn offsets_and_alignment() {
    assert_eq!(Ipa(0x1008).offset_from(Ipa(0x1000)), 8);
    assert_eq!(Ipa(0xfff).offset_from(Ipa(0x1000)), u64::MAX, "before the base");
    assert!(Ipa(0x1008).is_aligned(8) && !Ipa(0x1008).is_aligned(16));
    assert_eq!(format!("{:#x} {:#x}", Ipa(0x10), Pa(0x20)), "0x10 0x20");
}
