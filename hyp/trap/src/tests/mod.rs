//! Tests of every exception class, every bit pattern and every hidden field.

extern crate std;

mod fields;

use super::*;
use proptest::prelude::*;
use std::{format, string::String};

const fn of_class(ec: u32) -> u64 {
    (ec as u64) << 26
}

/// Returns `ESR_EL2` as the hardware would have built it for `access`: the decoder's inverse, from
/// the manual's bit positions.
fn encode(access: SysReg) -> u64 {
    let op = u64::from(access.op);
    of_class(0x18)
        | (op >> 14 & 3) << 20
        | (op >> 11 & 7) << 14
        | (op >> 7 & 15) << 10
        | (op >> 3 & 15) << 1
        | (op & 7) << 17
        | u64::from(access.rt) << 5
        | u64::from(!access.write)
}

#[test]
fn known_syndromes() {
    // These are from real traces: the ISS of `hvc #0x4a48`, `mrs x3, id_aa64pfr0_el1`, `msr
    // icc_sgi1r_el1, x0`, `ldr w1, [x0]`.
    assert_eq!(class(0x5a00_4a48), ec::HVC64);
    assert_eq!(class(0x5e00_0000), ec::SMC64);
    assert_eq!(
        sysreg_access(of_class(0x18) | 0x0230_0069),
        SysReg { op: op(3, 0, 0, 4, 0), rt: 3, write: false }
    );
    assert_eq!(class(0x623a_3016), ec::SYSREG);
    assert_eq!(sysreg_access(0x623a_3016), SysReg { op: op(3, 0, 12, 11, 5), rt: 0, write: true });
    let word = access(0x9381_0007).expect("a load");
    assert_eq!((word.size(), word.rt(), word.is_write()), (4, 1, false));
    assert_eq!(class(0x9381_0007), ec::DATA_ABORT);
    assert_eq!(sgi1r_source(0x623a_3016 | 7 << 5), Some(7));
    assert_eq!(sgi1r_source(0x623a_3017), None, "a read");
    assert_eq!(sgi1r_source(0x623c_3016), None, "ICC_ASGI1R_EL1");
}

#[test]
fn every_halt_has_words() {
    let words = |esr| cause(esr);
    for ec in 0..64 {
        assert!(!words(of_class(ec)).is_empty());
    }
    assert_eq!(words(of_class(0x2f)), "SError (asynchronous external abort)");
    assert_eq!(words(of_class(0x3f)), "exception of an unexpected class");
    assert_eq!(words(of_class(0x24) | 0x06), "read outside its memory");
    assert_eq!(words(of_class(0x24) | 0x46), "write outside its memory");
    assert_eq!(words(of_class(0x24) | 0x4f), "write to memory it may not write");
    assert_eq!(words(of_class(0x24) | 0x0f), "read of memory it may not read");
    assert_eq!(words(of_class(0x24) | 0x10), "external abort");
    assert_eq!(words(of_class(0x24) | 0x14), "external abort");
    assert_eq!(words(of_class(0x24) | 0x94), "external abort");
    assert_eq!(words(of_class(0x24) | 0x21), "memory fault");
    assert_eq!(words(of_class(0x24) | 0x09), "memory fault");
    assert_eq!(words(of_class(0x24) | 0x146), "write outside its memory");
    assert_eq!(words(of_class(0x24) | 0x86), "translation tables outside its memory");
    assert_eq!(words(of_class(0x20) | 0x04), "execution outside its memory");
    assert_eq!(words(of_class(0x20) | 0x0f), "execution of memory it may not execute");
    assert_eq!(words(of_class(0x20) | 0x8f), "translation tables outside its memory");
}

#[test]
fn only_plain_accesses_to_unmapped_pages_are_emulable() {
    let isv = 1 << 24;
    let emulable = |iss: u64| access(of_class(0x24) | iss).is_some();
    assert!(access(of_class(0x25) | isv | 0x06).is_none(), "EL2's own");
    assert!(emulable(isv | 0x06));
    assert!(!emulable(0x06), "no description");
    assert!(!emulable(isv | 0x0f), "a permission fault");
    assert!(!emulable(isv | 0x86), "a table walk");
    assert!(!emulable(isv | 0x106), "cache maintenance");
    assert!(!emulable(isv | 0x406), "no address");
}

#[test]
fn fault_addresses() {
    assert_eq!(fault_ipa(0x90000, 0xffff_8000_1234_5018), 0x900_0018);
    // Bit 63 (NS) and reserved bits say nothing about the address.
    assert_eq!(fault_ipa(u64::MAX, 0), 0xf_ffff_ffff_f000);
    let known = |status: u64, walk: bool| ipa_known(of_class(0x24) | status | u64::from(walk) << 7);
    assert!(known(0x05, false) && known(0x00, false) && known(0x0b, false));
    assert!(!known(0x0f, false) && known(0x0f, true));
    assert!(!known(0x10, false) && !known(0x21, false));
}

/// Tests the answer to an abort with every status and every flag, and its ESR_EL1 if the guest
/// takes one (D24.2 `ESR_EL1`).
#[test]
fn aborts_are_answered_as_hardware_would() {
    let (cm, wnr, walk) = (1 << 8, 1 << 6, 1 << 7);
    for instruction in [false, true] {
        let of = of_class(if instruction { 0x20 } else { 0x24 });
        for iss in 0..1 << 11 {
            let esr = of | iss;
            let (status, is_walk) = (iss & 0x3f, iss & walk != 0);
            let must = match status {
                0..0x10 if !instruction && iss & cm != 0 && !is_walk => Answer::Maintained,
                0..0x10 => Answer::Abort,
                0x21 | 0x35 if !instruction => Answer::Abort,
                _ => Answer::Halt,
            };
            assert_eq!(answer(esr), must, "{esr:#x}");
            if must != Answer::Abort {
                continue;
            }
            for (from_el0, level) in [(true, 0), (false, 3), (false, -1)] {
                let seen = syndrome(esr, from_el0, level);
                assert_eq!(class(seen) & 0x3e, class(esr), "{esr:#x}");
                assert_eq!(class(seen) & 1 == 0, from_el0, "{esr:#x}");
                let kept = if instruction { 0 } else { iss & (cm | wnr) };
                let status = match status {
                    0x21 | 0x35 => status,
                    _ if is_walk => (0x14 + i64::from(level)) as u64,
                    _ => 0x10,
                };
                // IL is set, and none of the bits that are valid only at EL2: ISV, FnV, S1PTW, EA,
                // SET.
                assert_eq!(seen & 0x3ff_ffff, 1 << 25 | kept | status, "{esr:#x}");
            }
        }
    }
}

/// Tests Linux's tables (TCR_EL1 with 48 and 39 bits, 4 KiB; 42 bits, 64 KiB; 47 bits, 16 KiB),
/// with a root in each half.
#[test]
fn walks_are_of_the_root_level_where_they_meet_the_root() {
    let low = |t0sz: u64, tg0: u64| t0sz | tg0 << 14;
    let high = |t1sz: u64, tg1: u64| t1sz << 16 | tg1 << 30;
    const HIGH: u64 = 0xffff_8000_0000_0000;
    let tcr = low(25, 0) | high(16, 2);
    let ttbr = [0x1234_0000_4100_0001, 0x5678_0000_4200_0fc0];
    // ASID, CnP and the offset of the entry are not part of the root's address.
    assert_eq!(walk_level(0x1000, 0x4100_0ff8, ttbr, tcr), 1);
    assert_eq!(walk_level(HIGH, 0x4200_0ff8, ttbr, tcr), 0);
    // Bit 55 chooses the half; the tag above it is ignored.
    assert_eq!(walk_level(0xab00_0000_0000_1000, 0x4100_0000, ttbr, tcr), 1);
    assert_eq!(walk_level(0x0080_0000_0000_0000, 0x4200_0000, ttbr, tcr), 0);
    for other in [0x4100_1000, 0x4200_0000, 0x1_4100_0000, 0] {
        assert_eq!(walk_level(0x1000, other, ttbr, tcr), 3, "{other:#x}");
    }
    let at = |tcr, far| walk_level(far, 0x4100_0000, [0x4100_0000; 2], tcr);
    for (t0sz, tg0, level) in [
        (12, 0, -1),
        (16, 0, 0),
        (24, 0, 0),
        (25, 0, 1),
        (33, 0, 1),
        (34, 0, 2),
        (39, 0, 2),
        (43, 0, 3),
        (22, 1, 2),
        (16, 1, 1),
        (12, 1, 1),
        (17, 2, 1),
        (16, 2, 0),
        (28, 2, 2),
    ] {
        assert_eq!(at(low(t0sz, tg0), 0), level, "T0SZ {t0sz} TG0 {tg0}");
        let tg1 = [2, 3, 1][tg0 as usize];
        assert_eq!(at(high(t0sz, tg1), HIGH), level, "T1SZ {t0sz} TG1 {tg1}");
    }
    // A root of 64 KiB granules is longer than a page.
    assert_eq!(walk_level(0, 0x4100_f000, [0x4100_0000, 0], low(22, 1)), 2);
}

/// Returns the access of `size` bytes with these flags.
fn of(size: u64, signed: bool, wide: bool) -> Access {
    let shape =
        u64::from(size.trailing_zeros()) << 22 | u64::from(signed) << 21 | u64::from(wide) << 15;
    access(of_class(0x24) | 1 << 24 | shape | 0x06).expect("described, unmapped")
}

#[test]
fn loads_extend_and_stores_truncate() {
    let all = 0x8182_8384_8586_8788;
    assert_eq!(of(1, false, false).loaded(all & 0xff), 0x88);
    assert_eq!(of(2, false, true).loaded(all & 0xffff), 0x8788);
    assert_eq!(of(4, false, false).loaded(all & 0xffffffff), 0x8586_8788);
    assert_eq!(of(8, false, true).loaded(all), all);
    assert_eq!(of(1, true, false).loaded(all & 0xff), 0xffff_ff88);
    assert_eq!(of(1, true, true).loaded(all & 0xff), 0xffff_ffff_ffff_ff88);
    assert_eq!(of(2, true, true).loaded(0x7fff), 0x7fff);
    assert_eq!(of(4, true, true).loaded(all & 0xffffffff), 0xffff_ffff_8586_8788);
    assert_eq!(of(8, true, true).loaded(all), all);
    assert_eq!(of(2, false, false).stored(all), 0x8788);
    assert_eq!(of(8, false, true).stored(all), all);
}

/// Fields a guest must not see on any machine: register, lowest bit (D24.2).
const HIDDEN: [(IdRegister, u32); 43] = [
    (IdRegister::Pfr0, 12),  // EL3
    (IdRegister::Pfr0, 28),  // RAS
    (IdRegister::Pfr0, 32),  // SVE
    (IdRegister::Pfr0, 36),  // SEL2
    (IdRegister::Pfr0, 40),  // MPAM
    (IdRegister::Pfr0, 44),  // AMU
    (IdRegister::Pfr0, 52),  // RME
    (IdRegister::Pfr1, 8),   // MTE
    (IdRegister::Pfr1, 12),  // RAS_frac
    (IdRegister::Pfr1, 16),  // MPAM_frac
    (IdRegister::Pfr1, 24),  // SME
    (IdRegister::Pfr1, 36),  // NMI
    (IdRegister::Pfr1, 44),  // GCS
    (IdRegister::Dfr0, 4),   // TraceVer
    (IdRegister::Dfr0, 8),   // PMUVer
    (IdRegister::Dfr0, 32),  // PMSVer (SPE)
    (IdRegister::Dfr0, 40),  // TraceFilt
    (IdRegister::Dfr0, 44),  // TraceBuffer (TRBE)
    (IdRegister::Dfr0, 52),  // BRBE
    (IdRegister::Isar0, 24), // TME
    (IdRegister::Isar1, 4),  // APA
    (IdRegister::Isar1, 8),  // API
    (IdRegister::Isar1, 24), // GPA
    (IdRegister::Isar1, 28), // GPI
    (IdRegister::Isar1, 60), // LS64
    (IdRegister::Isar2, 8),  // GPA3
    (IdRegister::Isar2, 12), // APA3
    (IdRegister::Isar2, 16), // MOPS
    (IdRegister::Isar2, 24), // PAC_frac
    (IdRegister::Mmfr0, 8),  // BigEnd
    (IdRegister::Mmfr0, 16), // BigEndEL0
    (IdRegister::Mmfr0, 32), // TGran16_2
    (IdRegister::Mmfr0, 40), // TGran4_2
    (IdRegister::Mmfr0, 56), // FGT
    (IdRegister::Mmfr1, 4),  // VMIDBits
    (IdRegister::Mmfr1, 8),  // VH
    (IdRegister::Mmfr1, 16), // LO
    (IdRegister::Mmfr1, 40), // HCX
    (IdRegister::Mmfr2, 12), // IESB
    (IdRegister::Mmfr2, 24), // NV
    (IdRegister::Mmfr2, 40), // FWB
    (IdRegister::Mmfr2, 56), // EVT
    (IdRegister::Pfr1, 40),  // MTE_frac
];

/// Fields a guest needs unchanged: register, lowest bit.
const KEPT: [(IdRegister, u32); 14] = [
    (IdRegister::Pfr0, 16),  // FP
    (IdRegister::Pfr0, 20),  // AdvSIMD
    (IdRegister::Pfr0, 60),  // CSV3
    (IdRegister::Pfr1, 4),   // SSBS
    (IdRegister::Dfr0, 12),  // BRPs
    (IdRegister::Isar0, 4),  // AES
    (IdRegister::Isar0, 16), // CRC32
    (IdRegister::Isar0, 20), // Atomic
    (IdRegister::Mmfr0, 0),  // PARange
    (IdRegister::Mmfr0, 4),  // ASIDBits
    (IdRegister::Mmfr0, 28), // TGran4
    (IdRegister::Mmfr1, 20), // PAN
    (IdRegister::Mmfr2, 0),  // CnP
    (IdRegister::Mmfr2, 16), // VARange
];

#[test]
fn a_cortex_a72_and_a_max_core_as_guests_see_them() {
    // Cortex-A72 (TRM 100095): AArch32 at every level, GIC interface, EL2 and EL3.
    assert_eq!(IdRegister::Pfr0.visible(0x0100_2222, false), 0x0100_0111);
    assert_eq!(IdRegister::Dfr0.visible(0x1030_5106, false), 0x1030_5006);
    assert_eq!(IdRegister::Mmfr0.visible(0x1124, false), 0x0000_0024);
    // A GIC interface of version 4.1 and CSV2_2 show as the versions that they extend.
    assert_eq!(IdRegister::Pfr0.visible(0x1201_1111_2311_1112, false), 0x1101_0000_0111_0111);
    // A GICv2 machine's guest does not see a GICv3's CPU interface; nothing else differs.
    assert_eq!(IdRegister::Pfr0.visible(0x0100_2222, true), 0x0000_0111);
    assert_eq!(
        IdRegister::Mmfr0.visible(u64::MAX, true),
        IdRegister::Mmfr0.visible(u64::MAX, false)
    );
    // Absent FP and SIMD stay absent: 0xf is not a high version there.
    assert_eq!(IdRegister::Pfr0.visible(0x00ff_0011, false) >> 16 & 0xff, 0xff);
}

#[test]
fn policies() {
    assert_eq!(sysreg(op(3, 0, 0, 4, 0), false), Policy::Id(IdRegister::Pfr0));
    assert_eq!(sysreg(op(3, 0, 0, 7, 2), false), Policy::Id(IdRegister::Mmfr2));
    assert_eq!(sysreg(op(3, 0, 0, 4, 0), true), Policy::Undefined);
    for zero in [op(3, 0, 0, 1, 0), op(3, 0, 0, 4, 4), op(3, 0, 0, 4, 5), op(3, 0, 0, 7, 7)] {
        assert_eq!(sysreg(zero, false), Policy::Zero);
    }
    for write in [false, true] {
        assert_eq!(sysreg(op(3, 0, 1, 0, 1), write), Policy::Zero, "ACTLR_EL1");
        assert_eq!(sysreg(op(3, 3, 9, 12, 0), write), Policy::Undefined, "PMCR");
        assert_eq!(sysreg(op(3, 0, 15, 0, 0), write), Policy::Undefined, "implementation defined");
        assert_eq!(sysreg(op(3, 4, 1, 1, 0), write), Policy::Undefined, "HCR_EL2");
    }
    for (op2, only_group0) in [(5, false), (6, true), (7, true)] {
        let sgi = Policy::Sgi { only_group0 };
        assert_eq!(sysreg(op(3, 0, 12, 11, op2), true), sgi);
        assert_eq!(sysreg(op(3, 0, 12, 11, op2), false), Policy::Undefined);
    }
}

#[test]
fn each_id_register_is_its_own_row() {
    for row in &sysreg::VISIBLE {
        assert_eq!(sysreg(row.1, false), Policy::Id(row.0));
        assert_eq!(row.0.visible(0, false), 0, "nothing appears that the machine lacks");
        let all = sysreg::VISIBLE.get(row.0 as usize).map(|r| r.0);
        assert_eq!(all, Some(row.0), "rows are in the order of the enum");
    }
}

/// The table of all fields agrees with the code and with docs/id-registers.md.
#[test]
fn every_field_has_its_reason() {
    let page = include_str!("../../../../docs/id-registers.md");
    let mut of = None;
    let mut tables = String::new();
    let mut ceilings = [0; sysreg::VISIBLE.len()];
    let mut named = [0_u64; sysreg::VISIBLE.len()];
    for &(register, shift, name, highest, reason) in fields::FIELDS {
        assert!(shift % 4 == 0 && highest <= 0xf && !reason.is_empty());
        let index = register as usize;
        assert_eq!(named[index] >> shift, 0, "{name} is out of order");
        named[index] |= 0xf << shift;
        ceilings[index] |= highest << shift;
        if of.replace(register) != Some(register) {
            let name = format!("{register:?}").to_uppercase();
            tables += &format!("\n## `ID_AA64{name}_EL1`\n\n");
            tables += "| bits | field | a guest sees | why |\n|---|---|---|---|\n";
        }
        let shown = fields::shown(highest);
        tables += &format!("| {}:{shift} | {name} | {shown} | {reason} |\n", shift + 3);
    }
    assert_eq!(ceilings, sysreg::VISIBLE.map(|(_, _, ceiling)| ceiling));
    assert!(page.ends_with(&tables), "docs/id-registers.md, from fields.rs:\n{tables}");
}

proptest! {
    #[test]
    fn any_syndrome_decodes_to_what_it_says(esr: u64) {
        prop_assert_eq!(of_class(class(esr).into()), esr & of_class(0x3f));
        prop_assert!(!cause(esr).is_empty());
    }

    #[test]
    fn accesses_decode_to_what_they_say(iss in 0u64..1 << 22) {
        prop_assert_eq!(encode(sysreg_access(of_class(0x18) | iss)), of_class(0x18) | iss);
    }

    #[test]
    fn aborts_have_words_and_address_by_their_status(iss in 0u64..1 << 25, data: bool) {
        let esr = of_class(if data { 0x24 } else { 0x20 }) | iss;
        let (status, walk) = (iss & 0x3f, iss & 0x80 != 0);
        prop_assert_eq!(ipa_known(esr), status < 0xc || status < 0x10 && walk);
        let outside = cause(esr) == "translation tables outside its memory";
        prop_assert_eq!(outside, status < 0x10 && walk);
        let writes = data && iss & 0x40 != 0 && !walk && matches!(status, 0..=7 | 0xc..=0xf);
        prop_assert_eq!(cause(esr).starts_with("write"), writes);
    }

    #[test]
    fn any_walk_has_a_level(far: u64, ipa: u64, ttbr: [u64; 2], tcr: u64) {
        prop_assert!((-1..=3).contains(&walk_level(far, ipa, ttbr, tcr)));
        let own = ttbr[(far >> 55 & 1) as usize];
        prop_assert!((-1..=3).contains(&walk_level(far, own, ttbr, tcr)));
    }

    #[test]
    fn hidden_fields_are_hidden_and_needed_ones_kept(raw: u64) {
        for (register, shift) in HIDDEN {
            let seen = register.visible(raw, false) >> shift & 0xf;
            prop_assert_eq!(seen, 0, "{:?} {}", register, shift);
        }
        for (register, shift) in KEPT {
            let changed = (register.visible(raw, false) ^ raw) >> shift & 0xf;
            prop_assert_eq!(changed, 0, "{:?} {}", register, shift);
        }
        // EL0, EL1 and EL2 show at most AArch64. EL2 is there: EL1 is not the highest level.
        prop_assert_eq!(IdRegister::Pfr0.visible(raw, false) >> 8 & 0xf, (raw >> 8 & 0xf).min(1));
        prop_assert!(IdRegister::Pfr0.visible(raw, false) & 0xf <= 1);
        prop_assert!(IdRegister::Pfr0.visible(raw, false) >> 4 & 0xf <= 1);
    }

    #[test]
    fn no_field_shows_more_than_the_machine_has(raw: u64) {
        for row in &sysreg::VISIBLE {
            let seen = row.0.visible(raw, false);
            for shift in (0..64).step_by(4) {
                prop_assert!(seen >> shift & 0xf <= raw >> shift & 0xf);
            }
            prop_assert_eq!(row.0.visible(seen, false), seen);
        }
    }

    #[test]
    fn every_register_has_a_policy(op: u16, write: bool) {
        // Only ID registers are read from the machine, and nothing there is ever written.
        if let Policy::Id(_) = sysreg(op, write) {
            prop_assert!(!write && op >> 7 == 0x180);
        }
    }

    #[test]
    fn any_access_is_bounded(
        size in prop::sample::select(&[1u64, 2, 4, 8][..]), signed: bool, wide: bool, value: u64,
    ) {
        let access = of(size, signed, wide);
        prop_assert_eq!(access.size(), size);
        let stored = access.stored(value);
        prop_assert_eq!(u128::from(stored), u128::from(value) & ((1u128 << (8 * size)) - 1));
        let whole = wide || size < 8 || !signed;
        let wanted = if whole { stored } else { value & 0xffff_ffff };
        prop_assert_eq!(access.stored(access.loaded(stored)), wanted);
    }
}

/// Tests what a guest reads and writes where its common interface registers trap (IHI 0069, 12.2).
#[test]
fn common_registers_are_those_of_the_virtual_interface() {
    use Common::{Control, PriorityMask, RunningPriority};
    // VTR has five bits of priority, 16 of INTID, SEIS and A3V; VMCR has PMR 0xf0, EOImode and both
    // groups.
    let (vtr, vmcr) = (4 << 29 | 1 << 23 | 1 << 22 | 1 << 21 | 3, 0xf0 << 24 | 1 << 9 | 3);
    assert_eq!(PriorityMask.read(vmcr, vtr, 0), 0xf0);
    assert_eq!(Control.read(vmcr, vtr, 0), 4 << 8 | 1 << 11 | 1 << 14 | 1 << 15 | 2);
    assert_eq!(RunningPriority.read(vmcr, vtr, 0), 0xff);
    assert_eq!(RunningPriority.read(vmcr, vtr, 1 << 31 | 1 << 20), 0xa0);
    assert_eq!(PriorityMask.written(vmcr, u64::MAX), vmcr | 0xff << 24);
    assert_eq!(PriorityMask.written(vmcr, 0), vmcr & !(0xff << 24));
    assert_eq!(Control.written(vmcr, 1), vmcr & !(1 << 9) | 1 << 4);
    assert_eq!(Control.written(vmcr, !1), vmcr);
    assert_eq!(RunningPriority.written(vmcr, 5), vmcr);
    let policy = |crm, op2, write| sysreg(op(3, 0, 12, crm, op2), write);
    assert_eq!(policy(12, 4, true), Policy::Common(Control));
    assert_eq!(policy(11, 3, false), Policy::Common(RunningPriority));
    assert_eq!(policy(11, 3, true), Policy::Undefined);
    assert_eq!(sysreg(op(3, 0, 4, 6, 0), false), Policy::Common(PriorityMask));
}
