// SPDX-License-Identifier: MIT OR Apache-2.0
//! The trap registers of every core, field by field, each with its reason. Names and positions are
//! those of DDI 0487 (D24). A field that is not named here is zero, which older cores also demand
//! of fields they do not have. Fields of later extensions are set only where DDI 0487 makes them
//! RES0 and ignored on cores without them.

use super::tables::Shape;

/// A field of a register.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its lowest bit.
    pub shift: u32,
    /// Its value.
    pub value: u64,
    /// Its reason.
    pub reason: &'static str,
}

/// A register and its fields.
#[derive(Clone, Debug)]
pub struct Register {
    /// Its name.
    pub name: &'static str,
    /// Its fields.
    pub fields: Vec<Field>,
}

impl Register {
    /// Returns its value.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.fields.iter().fold(0, |value, f| value | f.value << f.shift)
    }
}

/// A row of a table below.
type Row = (&'static str, u32, u64, &'static str);

fn register(name: &'static str, rows: &[Row]) -> Register {
    let fields =
        rows.iter().map(|&(name, shift, value, reason)| Field { name, shift, value, reason });
    Register { name, fields: fields.collect() }
}

/// `HCR_EL2` while a guest runs.
#[must_use]
pub fn hcr() -> Register {
    register("HCR_EL2", HCR)
}

/// `CPTR_EL2` without VHE.
#[must_use]
pub fn cptr() -> Register {
    register("CPTR_EL2", CPTR)
}

/// `MDCR_EL2` without `HPMN`.
#[must_use]
pub fn mdcr() -> Register {
    register("MDCR_EL2", MDCR)
}

/// `HSTR_EL2`.
#[must_use]
pub fn hstr() -> Register {
    register("HSTR_EL2", HSTR)
}

/// `CNTHCTL_EL2` without VHE.
#[must_use]
pub fn cnthctl() -> Register {
    register("CNTHCTL_EL2", CNTHCTL)
}

/// `CNTVOFF_EL2`.
#[must_use]
pub fn cntvoff() -> Register {
    register("CNTVOFF_EL2", CNTVOFF)
}

/// `VTCR_EL2` for a partition's stage 2.
#[must_use]
#[rustfmt::skip]
pub fn vtcr(shape: Shape, pa_bits: u32) -> Register {
    let level = u64::from(2 - shape.start_level());
    register(
        "VTCR_EL2",
        &[
            ("T0SZ", 0, shape.t0sz(), "the smallest IPA space that holds what the guest has"),
            ("SL0", 6, level, "start at the last level possible: 0 is level 2, 1 is level 1, 2 is \
                               level 0"),
            ("IRGN0", 8, 1, "walks: Write-Back, as the tables were written"),
            ("ORGN0", 10, 1, "walks: Write-Back, as the tables were written"),
            ("SH0", 12, 3, "walks: Inner Shareable"),
            ("TG0", 14, 0, "4 KiB granule: every core has it"),
            ("PS", 16, ps(pa_bits), "physical addresses of the board"),
            ("VS", 19, 0, "8-bit VMIDs: there are never more partitions than cores"),
            ("RES1", 31, 1, "RES1"),
        ],
    )
}

/// `TCR_EL2` without VHE.
#[must_use]
#[rustfmt::skip]
pub fn tcr(shape: Shape, pa_bits: u32) -> Register {
    register(
        "TCR_EL2",
        &[
            ("T0SZ", 0, shape.t0sz(), "the smallest VA space that holds RAM and devices, VA = PA"),
            ("IRGN0", 8, 1, "walks: Write-Back, as the tables were written"),
            ("ORGN0", 10, 1, "walks: Write-Back, as the tables were written"),
            ("SH0", 12, 3, "walks: Inner Shareable"),
            ("TG0", 14, 0, "4 KiB granule: every core has it"),
            ("PS", 16, ps(pa_bits), "physical addresses of the board"),
            ("TBI", 20, 0, "EL2 has no tagged pointers"),
            ("RES1", 23, 1, "RES1"),
            ("RES1", 31, 1, "RES1"),
        ],
    )
}

/// `VMPIDR_EL2` of a vCPU.
#[must_use]
pub fn vmpidr(vcpu: usize) -> u64 {
    1 << 31 | vcpu as u64
}

/// Returns `VTTBR_EL2` of a partition. No partition has VMID 0: EL2 itself ran with it before.
#[must_use]
pub fn vttbr(root: u64, partition: usize) -> u64 {
    (partition as u64 + 1) << 48 | root
}

/// Returns the largest physical address size that `pa_bits` has (`ID_AA64MMFR0_EL1.PARange`), as
/// `PS` encodes it.
#[must_use]
pub fn ps(pa_bits: u32) -> u64 {
    let sizes = [32, 36, 40, 42, 44, 48];
    sizes.iter().rposition(|&bits| bits <= pa_bits).unwrap_or(0) as u64
}

#[rustfmt::skip]
const HCR: &[Row] = &[
    ("VM", 0, 1, "stage 2 keeps a guest in its partition"),
    ("SWIO", 1, 1, "invalidation by set/way cleans too: a guest cannot drop a neighbour's dirty \
                    lines"),
    ("PTW", 2, 1, "a table walk into Device memory faults: no walk reads a device"),
    ("FMO", 3, 1, "physical FIQs enter EL2; a guest's SGIs and FIQ interface are virtual"),
    ("IMO", 4, 1, "physical IRQs enter EL2; a guest's SGIs and IRQ interface are virtual"),
    ("AMO", 5, 1, "a physical SError concerns the machine: EL2 halts the partition that it hits"),
    ("FB", 9, 0, "a vCPU never leaves its core: its local maintenance need not reach other cores"),
    ("BSU", 10, 0, "a vCPU never leaves its core: its barriers need no wider domain"),
    ("TWI", 13, 0, "WFI waits on the guest's own core, which nobody else uses"),
    ("TWE", 14, 0, "WFE waits on the guest's own core, which nobody else uses"),
    ("TID1", 16, 0, "REVIDR and AIDR identify the real core's errata: a guest needs them"),
    ("TID2", 17, 0, "cache geometry is the real one: maintenance by address needs it"),
    ("TID3", 18, 1, "feature registers are filtered: features that are not granted are hidden"),
    ("TSC", 19, 1, "SMC enters EL2: no guest talks to firmware"),
    ("TIDCP", 20, 1, "implementation-defined registers may reach beyond a partition"),
    ("TACR", 21, 1, "auxiliary control may reach beyond a partition"),
    ("TSW", 22, 0, "set/way stays untrapped: SWIO makes it harmless, and EL2 would have to do it \
                    for the guest"),
    ("TPCP", 23, 0, "maintenance by address obeys stage 2"),
    ("TPU", 24, 0, "maintenance by address obeys stage 2"),
    ("TTLB", 25, 0, "TLB maintenance obeys the VMID"),
    ("TVM", 26, 0, "the guest's stage 1 is its own"),
    ("TGE", 27, 0, "a guest runs at EL1"),
    ("HCD", 29, 0, "HVC is the guest's way to EL2"),
    ("TRVM", 30, 0, "the guest's stage 1 is its own"),
    ("RW", 31, 1, "EL1 is AArch64; AArch32 guests are refused"),
    ("CD", 32, 0, "stage 2 may be cached"),
    ("E2H", 34, 0, "EL2 does not run a host"),
    ("TLOR", 35, 1, "LORegions name physical addresses (FEAT_LOR; without it RES0, ignored)"),
    ("TERR", 36, 1, "error records are the machine's (FEAT_RAS; without it RES0, ignored)"),
    ("TEA", 37, 0, "an external abort that a guest's own access takes is its own to handle"),
    ("APK", 40, 0, "pointer authentication is hidden: its keys trap"),
    ("API", 41, 0, "pointer authentication is hidden: its instructions trap"),
    ("NV", 42, 0, "no nested virtualisation"),
    ("FIEN", 47, 0, "no fault injection into error records"),
    ("EnSCXT", 53, 0, "SCXTNUM is hidden"),
    ("ATA", 56, 0, "memory tagging is hidden"),
];

#[rustfmt::skip]
const CPTR: &[Row] = &[
    ("RES1", 0, 0xff, "RES1"),
    ("TZ", 8, 1, "SVE is hidden (RES1 without it)"),
    ("RES1", 9, 1, "RES1"),
    ("TFP", 10, 0, "floating point is the guest's: EL2 never touches it"),
    ("TSM", 12, 1, "SME is hidden (RES1 without it)"),
    ("RES1", 13, 1, "RES1"),
    ("TTA", 20, 1, "trace registers are the machine's"),
    ("TAM", 30, 1, "activity monitors are hidden (FEAT_AMUv1; without it RES0, ignored)"),
    ("TCPAC", 31, 0, "CPACR_EL1 is the guest's"),
];

#[rustfmt::skip]
const MDCR: &[Row] = &[
    ("TPMCR", 5, 1, "no PMU for guests unless granted"),
    ("TPM", 6, 1, "no PMU for guests unless granted"),
    ("HPME", 7, 1, "counters from HPMN on are EL2's"),
    ("TDE", 8, 0, "debug exceptions go to the guest: its core and its registers are its own"),
    ("TDA", 9, 0, "breakpoints and watchpoints cannot match EL2 while they target EL1"),
    ("TDOSA", 10, 0, "the OS lock is the core's, and the core is the guest's"),
    ("TDRA", 11, 0, "the debug ROM address tells nothing about a neighbour"),
    ("E2PB", 12, 0, "the profiling buffer is EL2's: a guest's accesses trap (FEAT_SPE)"),
    ("TPMS", 14, 1, "statistical profiling is hidden (FEAT_SPE; without it RES0, ignored)"),
    ("TTRF", 19, 1, "trace filter control is hidden (FEAT_TRF; without it RES0, ignored)"),
    ("E2TB", 24, 0, "the trace buffer is EL2's: a guest's accesses trap (FEAT_TRBE)"),
];

#[rustfmt::skip]
const HSTR: &[Row] = &[("T0-T15", 0, 0, "only traps of AArch32, which guests do not have")];

#[rustfmt::skip]
const CNTHCTL: &[Row] = &[
    ("EL1PCTEN", 0, 1, "the physical counter is the same everywhere: channel ends compare times"),
    ("EL1PCEN", 1, 1, "a guest owns its core's EL1 physical timer (PPI 30)"),
    ("EVNTEN", 2, 0, "the guest has an event stream of its own (CNTKCTL_EL1)"),
];

#[rustfmt::skip]
const CNTVOFF: &[Row] = &[("CNTVOFF", 0, 0, "virtual time is physical time: equal at both ends of \
                                             every channel")];
