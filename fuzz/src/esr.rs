//! Target `esr`: any syndrome that a guest can cause is decoded, named and carried out, and the
//! results must agree.

use arbitrary::Unstructured;
use trap::{Answer, IdRegister, Policy, ec};

/// ID registers of which a guest sees a part.
const IDS: [IdRegister; 9] = [
    IdRegister::Pfr0,
    IdRegister::Pfr1,
    IdRegister::Dfr0,
    IdRegister::Isar0,
    IdRegister::Isar1,
    IdRegister::Isar2,
    IdRegister::Mmfr0,
    IdRegister::Mmfr1,
    IdRegister::Mmfr2,
];
/// `ICC_SGI1R_EL1` as `trap::op` packs it.
const ICC_SGI1R: u16 = trap::op(3, 0, 12, 11, 5);

/// Runs one input: `ESR_EL2`, `HPFAR_EL2`, `FAR_EL2` and a general register's value, 8 bytes each,
/// little-endian.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok([esr, hpfar, far, value]) = input.arbitrary::<[u64; 4]>() else {
        return;
    };
    let class = trap::class(esr);
    assert!(!trap::cause(esr).is_empty());
    if trap::answer(esr) == Answer::Abort {
        let level = trap::walk_level(value, esr, [value, esr], value);
        let seen = trap::syndrome(esr, value & 1 != 0, level);
        let status = seen & 0x3f;
        assert!(matches!(status, 0x10 | 0x13..=0x17 | 0x21 | 0x35), "{seen:#x}");
        assert!(matches!(trap::class(seen), 0x20 | 0x21 | 0x24 | 0x25));
    }
    let access = trap::sysreg_access(esr);
    if class == ec::SYSREG {
        assert!(access.rt < 32);
        let policy = trap::sysreg(access.op, access.write);
        let sends = matches!(policy, Policy::Sgi { .. } | Policy::Deactivate);
        assert!(access.write || !sends, "a read does something");
        assert!(!access.write || !matches!(policy, Policy::Id(_)));
    }
    if let Some(rt) = trap::sgi1r_source(esr) {
        assert_eq!(
            class,
            ec::SYSREG,
            "the short path takes an exception that is not a register access"
        );
        assert_eq!((access.op, access.rt, access.write), (ICC_SGI1R, rt, true));
    }
    if let Some(access) = trap::access(esr) {
        assert_eq!(class, ec::DATA_ABORT, "EL2 carries out an exception that is not a data abort");
        assert_eq!(access.is_write(), esr >> 6 & 1 != 0);
        assert!(trap::ipa_known(esr) && esr >> 7 & 1 == 0, "a walk of the guest's own tables");
        assert!((4..8).contains(&(esr & 0x3f)), "no translation fault");
        assert!(access.rt() < 32 && matches!(access.size(), 1 | 2 | 4 | 8));
        let bits = 8 * access.size();
        let stored = access.stored(value);
        assert!(bits == 64 || stored >> bits == 0);
        // A load of the same size returns the stored value, with any contents in the other bits. A
        // load that extends eight bytes is not an instruction, so EL2 may give any answer to its
        // syndrome.
        let extends = esr >> 21 & 1 != 0;
        if bits < 64 || !extends {
            assert_eq!(access.stored(access.loaded(stored)), stored);
        }
    }
    let ipa = trap::fault_ipa(hpfar, far);
    assert!(ipa >> 52 == 0 && (ipa ^ far) & 0xfff == 0);
    for id in IDS {
        let visible = id.visible(value, esr & 1 != 0);
        for shift in (0..64).step_by(4) {
            assert!(visible >> shift & 0xf <= value >> shift & 0xf, "{id:?}");
        }
    }
}
