// SPDX-License-Identifier: MIT OR Apache-2.0
//! The A64 instructions that the model knows (DDI 0487, C4.1), and their mutants.

use crate::event::{Barrier, Dc, Ic, Scope, Tlbi};
use crate::register::Register;

/// `NOP`.
pub const NOP: u32 = 0xd503_201f;

/// The operation of an instruction. Numbers are general registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `DC`, by the address in a register.
    Dc(Dc, u8),
    /// `DC ZVA`.
    Zva(u8),
    /// `DC` by set and way, which no software may rely on.
    SetWay,
    /// `IC`.
    Ic(Ic, u8),
    /// `TLBI`.
    Tlbi(Tlbi),
    /// `DSB`.
    Dsb(Barrier),
    /// `DMB`.
    Dmb(Barrier),
    /// `ISB`.
    Isb,
    /// `ERET`.
    Eret,
    /// `SMC`.
    Smc,
    /// `SEV`.
    Sev,
    /// `WFE`.
    Wfe,
    /// `WFI`.
    Wfi,
    /// `MSR` from a register.
    Write(Register, u8),
    /// `MRS`.
    Read(Register),
}

/// Domain and access types of a barrier's CRm (DDI 0487, C6.2, DSB).
fn barrier(crm: u32) -> Barrier {
    let domain = (crm >> 2) & 3;
    Barrier {
        local: domain == 1,
        outer: matches!(domain, 0 | 3),
        loads: crm & 1 != 0,
        stores: crm & 2 != 0,
    }
}

/// Returns the operation of the instruction `word`, if the model uses it.
#[must_use]
pub fn decode(word: u32) -> Option<Operation> {
    let rt = (word & 31) as u8;
    let crm = (word >> 8) & 15;
    match word {
        0xd69f_03e0 => return Some(Operation::Eret),
        0xd503_209f => return Some(Operation::Sev),
        0xd503_205f => return Some(Operation::Wfe),
        0xd503_207f => return Some(Operation::Wfi),
        _ => {}
    }
    match word & 0xffff_f0ff {
        0xd503_309f => return Some(Operation::Dsb(barrier(crm))),
        0xd503_30bf => return Some(Operation::Dmb(barrier(crm))),
        0xd503_30df => return Some(Operation::Isb),
        _ => {}
    }
    if word & 0xffe0_001f == 0xd400_0003 {
        return Some(Operation::Smc);
    }
    // System instructions and registers: L in bit 21, op0 in 20:19, op1 in 18:16, CRn, CRm, op2 in
    // 7:5.
    if word & 0xffc0_0000 != 0xd500_0000 {
        return None;
    }
    let read = (word >> 21) & 1 != 0;
    let (op0, op1, crn, op2) =
        ((word >> 19) & 3, (word >> 16) & 7, (word >> 12) & 15, (word >> 5) & 7);
    match (op0, read) {
        (1, false) => instruction(op1, crn, crm, op2, rt),
        (2, false) => {
            Register::of_debug(op1, crn, crm, op2).map(|register| Operation::Write(register, rt))
        }
        (3, false) => {
            Register::of(op1, crn, crm, op2).map(|register| Operation::Write(register, rt))
        }
        (3, true) => Register::of(op1, crn, crm, op2).map(Operation::Read),
        _ => None,
    }
}

fn instruction(op1: u32, crn: u32, crm: u32, op2: u32, rt: u8) -> Option<Operation> {
    let tlbi = |scope, broadcast| Operation::Tlbi(Tlbi { scope, broadcast });
    Some(match (op1, crn, crm, op2) {
        (0, 7, 6, 1) => Operation::Dc(Dc::Ivac, rt),
        (3, 7, 10, 1) => Operation::Dc(Dc::Cvac, rt),
        // CVAP and CVADP go further.
        (3, 7, 12 | 13, 1) => Operation::Dc(Dc::Cvac, rt),
        (3, 7, 11, 1) => Operation::Dc(Dc::Cvau, rt),
        (3, 7, 14, 1) => Operation::Dc(Dc::Civac, rt),
        (3, 7, 4, 1) => Operation::Zva(rt),
        (0, 7, 6 | 10 | 14, 2) => Operation::SetWay,
        (0, 7, 5, 0) => Operation::Ic(Ic::Iallu, rt),
        (0, 7, 1, 0) => Operation::Ic(Ic::Ialluis, rt),
        (3, 7, 5, 1) => Operation::Ic(Ic::Ivau, rt),
        // ALLE2, ALLE1, VMALLS12E1, local and (CRm 3 or 1) broadcast.
        (4, 8, 7, 0) => tlbi(Scope::El2, false),
        (4, 8, 1 | 3, 0) => tlbi(Scope::El2, true),
        (4, 8, 7, 4 | 6) => tlbi(Scope::Guest, false),
        (4, 8, 1 | 3, 4 | 6) => tlbi(Scope::Guest, true),
        (_, 8, crm, _) => tlbi(Scope::Part, crm != 7),
        _ => return None,
    })
}

/// Whether `word` is a load or store (DDI 0487, C4.1: op0 is x1x0).
#[must_use]
pub fn accesses_memory(word: u32) -> bool {
    (word >> 27) & 1 == 1 && (word >> 25) & 1 == 0
}

/// Whether `word` is part of an atomic operation: LDXR, STXR and their kin, CAS, or an atomic of
/// `FEAT_LSE`.
#[must_use]
pub fn is_exclusive(word: u32) -> bool {
    let exclusive = word & 0x3f80_0000 == 0x0800_0000;
    let compare_and_swap = word & 0x3fa0_7c00 == 0x08a0_7c00;
    let atomic = word & 0x3b20_0c00 == 0x3820_0000;
    exclusive || compare_and_swap || atomic
}

/// Whether `word` is a cache, TLB, barrier or event instruction: mutants are made of these. WFE and
/// WFI are not: the architecture allows them to do nothing.
#[must_use]
pub fn is_maintenance(word: u32) -> bool {
    use Operation::{Dc, Dmb, Dsb, Ic, Isb, Sev, Tlbi};
    let operation = decode(word);
    matches!(operation, Some(Dc(..) | Ic(..) | Tlbi(_) | Dsb(_) | Dmb(_) | Isb | Sev))
}

/// Returns the mutants of `word`: NOP, and the weaker forms of broadcasts and of DSB.
#[must_use]
pub fn mutants(word: u32) -> Vec<u32> {
    const NSH: u32 = 0x7;
    const ISH: u32 = 0xb;
    const SY: u32 = 0xf;
    let with = |crm: u32| word & !(15 << 8) | crm << 8;
    let mut mutants = vec![NOP];
    match decode(word) {
        // IALLUIS has CRm 1, IALLU 5.
        Some(Operation::Ic(Ic::Ialluis, _)) => mutants.push(with(5)),
        Some(Operation::Dsb(barrier)) if barrier.completes_maintenance() => {
            let crm = (word >> 8) & 15;
            match crm {
                SY => mutants.push(with(ISH)),
                ISH => mutants.push(with(NSH)),
                _ => {}
            }
            // Loads only, and stores only, of the same domain.
            mutants.extend([with(crm & !2), with(crm & !1)]);
        }
        _ => {}
    }
    mutants
}

/// Returns the instruction in assembler syntax.
#[must_use]
pub fn words(word: u32) -> String {
    const OPTIONS: [&str; 16] = [
        "#0", "OSHLD", "OSHST", "OSH", "#4", "NSHLD", "NSHST", "NSH", "#8", "ISHLD", "ISHST",
        "ISH", "#12", "LD", "ST", "SY",
    ];
    let option = OPTIONS[((word >> 8) & 15) as usize];
    let tlbi = |tlbi: Tlbi| {
        let name = match tlbi.scope {
            Scope::El2 => "ALLE2",
            Scope::Guest if (word >> 5) & 7 == 4 => "ALLE1",
            Scope::Guest => "VMALLS12E1",
            Scope::Part => "by part",
        };
        format!("TLBI {name}{}", if tlbi.broadcast { "IS" } else { "" })
    };
    match decode(word) {
        Some(Operation::Dc(dc, rt)) => format!("DC {dc:?}, X{rt}").to_uppercase(),
        Some(Operation::Zva(rt)) => format!("DC ZVA, X{rt}"),
        Some(Operation::SetWay) => "DC by set and way".to_string(),
        Some(Operation::Ic(Ic::Ivau, rt)) => format!("IC IVAU, X{rt}"),
        Some(Operation::Ic(ic, _)) => format!("IC {ic:?}").to_uppercase(),
        Some(Operation::Tlbi(scope)) => tlbi(scope),
        Some(Operation::Dsb(_)) => format!("DSB {option}"),
        Some(Operation::Dmb(_)) => format!("DMB {option}"),
        Some(Operation::Write(register, rt)) => format!("MSR {}, X{rt}", register.name()),
        Some(Operation::Read(register)) => format!("MRS X{}, {}", word & 31, register.name()),
        Some(other) => format!("{other:?}").to_uppercase(),
        None if word == NOP => "NOP".to_string(),
        None => format!(".word {word:#010x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_told_apart() {
        let known = [
            (0xd503_3f9f, "DSB SY"),
            (0xd503_3a9f, "DSB ISHST"),
            (0xd503_379f, "DSB NSH"),
            (0xd503_3bbf, "DMB ISH"),
            (0xd503_3fdf, "ISB"),
            (0xd50b_7e20, "DC CIVAC, X0"),
            (0xd50b_7420, "DC ZVA, X0"),
            (0xd508_751f, "IC IALLU"),
            (0xd508_711f, "IC IALLUIS"),
            (0xd50c_871f, "TLBI ALLE2"),
            (0xd50c_87df, "TLBI VMALLS12E1"),
            (0xd503_209f, "SEV"),
            (0xd503_205f, "WFE"),
            (0xd503_207f, "WFI"),
            (0xd69f_03e0, "ERET"),
            (0xd400_0003, "SMC"),
            (0xd518_cba3, "MSR ICC_SGI1R_EL1, X3"),
            (0xd51c_2001, "MSR TTBR0_EL2, X1"),
            (0xd53c_cba7, "MRS X7, ICH_ELRSR_EL2"),
            (0xd51c_cc03, "MSR ICH_LR<n>_EL2, X3"),
            (NOP, "NOP"),
            (0x8b00_0000, ".word 0x8b000000"),
        ];
        for (word, text) in known {
            assert_eq!(words(word), text);
        }
    }

    #[test]
    fn memory_and_atomic_accesses_are_told_apart() {
        // LDAXR, STLXR, CASAL, LDADDAL; LDAR, STLR, LDR, STP are plain; ADD and B access nothing.
        for word in [0xc85f_fc61, 0xc800_fc61, 0xc8e0_fc41, 0xf8e0_0041] {
            assert!(accesses_memory(word) && is_exclusive(word), "{word:#x}");
        }
        for word in [0xc8df_fc20, 0xc89f_fc20, 0xf940_0020, 0xa900_0440] {
            assert!(accesses_memory(word) && !is_exclusive(word), "{word:#x}");
        }
        for word in [0x8b00_0000, 0x1400_0001, NOP] {
            assert!(!accesses_memory(word), "{word:#x}");
        }
    }

    #[test]
    fn mutants_are_what_they_are_called() {
        let named = |word: u32| -> Vec<String> { mutants(word).into_iter().map(words).collect() };
        assert_eq!(named(0xd503_3f9f), ["NOP", "DSB ISH", "DSB LD", "DSB ST"]);
        assert_eq!(named(0xd503_3b9f), ["NOP", "DSB NSH", "DSB ISHLD", "DSB ISHST"]);
        assert_eq!(named(0xd503_379f), ["NOP", "DSB NSHLD", "DSB NSHST"]);
        assert_eq!(named(0xd503_3a9f), ["NOP"]);
        assert_eq!(named(0xd508_711f), ["NOP", "IC IALLU"]);
        assert_eq!(named(0xd503_3fdf), ["NOP"]);
    }
}
