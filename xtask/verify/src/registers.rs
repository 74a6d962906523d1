//! The registers with fixed contents, field by field, each with its reason (names and positions:
//! DDI 0487, D24). The lists were written from the architecture and `docs/guest-abi.md`, not from
//! the planner's list. A bit that no field here names must be zero.

use crate::board::Board;
use crate::finding::{Claim, Findings};
use crate::image::CoreRow;
use crate::walk::{Regime, Stage, span_bits};

/// A field: name, lowest bit, bits, value, reason.
pub type Field = (&'static str, u32, u32, u64, &'static str);

/// `HCR_EL2` while a guest runs.
#[rustfmt::skip]
pub const HCR: &[Field] = &[
    ("VM", 0, 1, 1, "without stage 2 a guest addresses all of physical memory"),
    ("SWIO", 1, 1, 1, "an invalidation by set/way would drop dirty lines of other partitions"),
    ("PTW", 2, 1, 1, "a guest's table walk would read a device"),
    ("FMO", 3, 1, 1, "physical FIQs would go to the guest, and its SGIs to other cores"),
    ("IMO", 4, 1, 1, "physical IRQs, doorbells of others among them, would go to the guest, and \
                      its SGIs to other cores"),
    ("AMO", 5, 1, 1, "an SError of the machine would go to a guest"),
    ("VF", 6, 1, 0, "no virtual FIQ is pending at the start"),
    ("VI", 7, 1, 0, "no virtual IRQ is pending at the start"),
    ("VSE", 8, 1, 0, "no virtual SError is pending at the start"),
    ("FB", 9, 1, 0, "maintenance of a guest would be broadcast to its neighbours"),
    ("BSU", 10, 2, 0, "barriers of a guest would wait for its neighbours"),
    ("DC", 12, 1, 0, "stage 1 is the guest's; DC would turn it off"),
    ("TWI", 13, 1, 0, "docs/guest-abi.md: WFI costs no entry"),
    ("TWE", 14, 1, 0, "docs/guest-abi.md: WFE costs no entry"),
    ("TID3", 18, 1, 1, "a guest would see, and use, features that EL2 does not isolate"),
    ("TSC", 19, 1, 1, "an SMC of a guest would reach firmware, which can start and stop any core"),
    ("TIDCP", 20, 1, 1, "implementation-defined registers reach beyond a partition"),
    ("TACR", 21, 1, 1, "auxiliary control reaches beyond a partition"),
    ("TVM", 26, 1, 0, "docs/guest-abi.md: stage 1 is the guest's own"),
    ("TGE", 27, 1, 0, "a guest runs at EL1"),
    ("TDZ", 28, 1, 0, "DC ZVA obeys stage 2"),
    ("HCD", 29, 1, 0, "HVC is the guest's way to EL2"),
    ("TRVM", 30, 1, 0, "docs/guest-abi.md: stage 1 is the guest's own"),
    ("RW", 31, 1, 1, "an AArch32 EL1 would not meet the traps of this list"),
    ("CD", 32, 1, 0, "memory would be accessed uncached by guests and cached by EL2"),
    ("ID", 33, 1, 0, "instructions would be fetched uncached"),
    ("E2H", 34, 1, 0, "if it is set, the registers of this list have other layouts"),
    ("TLOR", 35, 1, 1, "LORegions name physical addresses"),
    ("TERR", 36, 1, 1, "error records describe the whole machine"),
    ("TEA", 37, 1, 0, "docs/security.md: an external abort of a guest's own access is its own"),
    ("MIOCNCE", 38, 1, 0, "no mismatched attributes are wanted"),
    ("APK", 40, 1, 0, "pointer authentication is hidden: keys of EL2 and guest are one set of \
                       registers"),
    ("API", 41, 1, 0, "pointer authentication is hidden"),
    ("NV", 42, 1, 0, "no nested virtualisation"),
    ("ATA", 56, 1, 0, "allocation tags are hidden: stage 2 does not cover them"),
];

/// `CPTR_EL2` without VHE.
#[rustfmt::skip]
pub const CPTR: &[Field] = &[
    ("RES1", 0, 8, 0xff, "reserved"),
    ("TZ", 8, 1, 1, "SVE state is not isolated, so SVE is hidden"),
    ("RES1", 9, 1, 1, "reserved"),
    ("TFP", 10, 1, 0, "docs/guest-abi.md: floating point is the guest's"),
    ("TSM", 12, 1, 1, "SME state is not isolated, so SME is hidden"),
    ("RES1", 13, 1, 1, "reserved"),
    ("TTA", 20, 1, 1, "trace describes the machine"),
    ("TAM", 30, 1, 1, "activity monitors describe the machine"),
    ("TCPAC", 31, 1, 0, "CPACR_EL1 is the guest's"),
];

/// `MDCR_EL2`; EL2 adds `HPMN`, which only the machine knows.
#[rustfmt::skip]
pub const MDCR: &[Field] = &[
    ("HPMN", 0, 5, 0, "EL2 fills it in"),
    ("TPMCR", 5, 1, 1, "the PMU is EL2's"),
    ("TPM", 6, 1, 1, "the PMU is EL2's"),
    ("HPME", 7, 1, 1, "EL2 counts its own instructions"),
    ("TDE", 8, 1, 0, "debug exceptions of a guest are its own"),
    ("TDA", 9, 1, 0, "docs/security.md: breakpoints and watchpoints are the guest's own"),
    ("E2PB", 12, 2, 0, "a profiling buffer is written by physical address unless EL2 owns it"),
    ("TPMS", 14, 1, 1, "statistical profiling describes EL2"),
    ("TTRF", 19, 1, 1, "trace filters describe the machine"),
    ("E2TB", 24, 2, 0, "a trace buffer is written by physical address unless EL2 owns it"),
];

/// `HSTR_EL2`.
pub const HSTR: &[Field] = &[("T0-T15", 0, 16, 0, "only traps of AArch32")];

/// `CNTHCTL_EL2` without VHE.
#[rustfmt::skip]
pub const CNTHCTL: &[Field] = &[
    ("EL1PCTEN", 0, 1, 1, "docs/guest-abi.md: the physical counter is readable"),
    ("EL1PCEN", 1, 1, 1, "docs/guest-abi.md: the physical timer is the guest's (PPI 30)"),
    ("EVNTEN", 2, 1, 0, "EL2 needs no event stream"),
];

/// Compares one register of a core's row with its fields, field by field.
pub fn check(
    register: &str,
    value: u64,
    fields: &[Field],
    place: &str,
    who: &[&str],
    findings: &mut Findings,
) {
    let mut named = 0;
    for &(name, low, bits, must, reason) in fields {
        let mask = (1u64 << bits) - 1;
        named |= mask << low;
        let found = value >> low & mask;
        if found != must {
            let what = format!("{register}.{name} is {found:#x}, must be {must:#x}: {reason}");
            findings.add(Claim::Registers, place, who, what);
        }
    }
    if value & !named != 0 {
        let bits = value & !named;
        let what = format!("{register} has bits {bits:#x}, which must be clear");
        findings.add(Claim::Registers, place, who, what);
    }
}

/// The registers of a core's row that are the same on every core.
pub fn check_core(core: &CoreRow, place: &str, who: &[&str], findings: &mut Findings) {
    let row = &core.row;
    for (register, value, fields) in [
        ("HCR_EL2", row.hcr, HCR),
        ("CPTR_EL2", row.cptr, CPTR),
        ("MDCR_EL2", row.mdcr, MDCR),
        ("HSTR_EL2", row.hstr, HSTR),
        ("CNTHCTL_EL2", row.cnthctl, CNTHCTL),
    ] {
        check(register, value, fields, place, who, findings);
    }
    let what = "CNTVOFF_EL2 (ends of a channel compare times)";
    findings.expect(Claim::Registers, place, who, what, row.cntvoff, 0);
}

/// `PS` of `TCR_EL2` and `VTCR_EL2` for a board: encoding and bits.
fn output_size(board: &Board) -> (u64, u32) {
    let sizes = (0..).zip([32, 36, 40, 42, 44, 48]);
    let fitting = sizes.take_while(|&(_, bits)| bits <= board.pa_bits);
    fitting.last().unwrap_or((0, 32))
}

/// Returns the input address bits that reach up to `end`; 25 is the architecture's least (T0SZ at
/// most 39, without FEAT_TTST).
fn input_bits(end: u64) -> u64 {
    u64::from((64 - end.saturating_sub(1).leading_zeros()).max(25))
}

/// Returns the last level where a walk over `bits` can start, with up to `2^side` concatenated
/// tables (DDI 0487, D8.2).
fn start_level(bits: u32, side: u32) -> u32 {
    (0..=2).rev().find(|&level| bits <= span_bits(level) + 9 + side).unwrap_or(0)
}

/// Returns the fields that both translation control registers must have, from `IRGN0` to `PS`.
fn control_fields(board: &Board) -> [Field; 5] {
    [
        ("IRGN0", 8, 2, 1, "walks read tables through the caches"),
        ("ORGN0", 10, 2, 1, "walks read tables through the caches"),
        ("SH0", 12, 2, 3, "walks are Inner Shareable"),
        ("TG0", 14, 2, 0, "tables have the 4 KiB granule"),
        ("PS", 16, 3, output_size(board).0, "the board's physical addresses"),
    ]
}

/// Returns EL2's translation by `TCR_EL2` and a root, checked: input addresses end at `end`.
pub fn el2_regime(
    tcr: u64,
    root: u64,
    end: u64,
    board: &Board,
    (name, who): (String, Vec<String>),
    findings: &mut Findings,
) -> Option<Regime> {
    let t0sz = 64 - input_bits(end);
    let mut fields = control_fields(board).to_vec();
    fields.extend([
        ("T0SZ", 0, 6, t0sz, "the smallest space that holds what EL2 maps"),
        ("TBI", 20, 1, 0, "EL2 has no tagged pointers"),
        ("RES1", 23, 1, 1, "reserved"),
        ("RES1", 31, 1, 1, "reserved"),
    ]);
    check("TCR_EL2", tcr, &fields, "Header::tcr", &["EL2"], findings);
    let bits = 64 - (tcr & 0x3f) as u32;
    (25..=48).contains(&bits).then(|| Regime {
        stage: Stage::One,
        bits,
        start: start_level(bits, 0),
        root,
        output_bits: output_size(board).1,
        name,
        who,
    })
}

/// Returns a guest's translation by its core's row, checked: guest addresses end at `end`.
pub fn guest_regime(
    core: &CoreRow,
    end: u64,
    board: &Board,
    place: &str,
    name: &str,
    findings: &mut Findings,
) -> Option<Regime> {
    let (vtcr, vttbr) = (core.row.vtcr, core.row.vttbr);
    let input = input_bits(end);
    let mut fields = control_fields(board).to_vec();
    fields.extend([
        ("T0SZ", 0, 6, 64 - input, "the smallest space that holds what the guest has"),
        (
            "SL0",
            6,
            2,
            2 - u64::from(start_level(input as u32, 4)),
            "the shortest walk, which every core has: one from level 0 needs 44 bits of physical \
             addresses",
        ),
        ("VS", 19, 1, 0, "VMIDs have 8 bits"),
        ("RES1", 31, 1, 1, "reserved"),
    ]);
    check("VTCR_EL2", vtcr, &fields, place, &[name], findings);
    let bits = 64 - (vtcr & 0x3f) as u32;
    let level = (vtcr >> 6 & 3) as u32;
    let (_, output_bits) = output_size(board);
    if level > 2
        || !(25..=output_bits).contains(&bits)
        || bits <= span_bits(2 - level)
        || bits > span_bits(2 - level) + 9 + 4
    {
        let what =
            format!("VTCR_EL2 {vtcr:#x} is not a valid walk: {bits} bits of input, SL0 {level}");
        findings.add(Claim::Registers, place, &[name], what);
        return None;
    }
    Some(Regime {
        stage: Stage::Two,
        bits,
        start: 2 - level,
        root: vttbr & 0xffff_ffff_ffff,
        output_bits,
        name: format!("stage 2 of {name}"),
        who: vec![name.to_string()],
    })
}
