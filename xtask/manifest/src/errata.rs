// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errata of the cores that boards admit, as far as they matter to EL2 or to what EL2 promises its
//! guests, and what is done about each.
//!
//! Sources: Arm's Software Developers Errata Notices (Cortex-A53 EPM048406, Cortex-A57 EPM049219,
//! Cortex-A72 EPM012079), Linux (`Documentation/arch/arm64/silicon-errata.rst`) and Trusted
//! Firmware-A (`docs/design/cpu-specific-build-macros.rst`, `lib/cpus/aarch64/`).

#[cfg(test)]
use std::fmt::Write;

/// A core type and the revisions that exist.
struct CoreType {
    name: &'static str,
    /// `MIDR_EL1` of r0p0.
    midr: u32,
    /// Variant in bits 7:4, revision in bits 3:0.
    revisions: &'static [u8],
}

const CORES: &[CoreType] = &[
    CoreType { name: "Cortex-A53", midr: 0x410f_d030, revisions: &[0, 1, 2, 3, 4] },
    CoreType { name: "Cortex-A57", midr: 0x410f_d070, revisions: &[0, 1, 0x10, 0x11, 0x12, 0x13] },
    CoreType { name: "Cortex-A72", midr: 0x410f_d080, revisions: &[0, 1, 2, 3, 0x10] },
];

/// What is done about an erratum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// EL2 avoids or corrects it.
    Handled(&'static str),
    /// Only firmware can correct it, at reset; boards with PSCI firmware have that.
    Firmware(&'static str),
    /// It cannot occur here.
    Absent(&'static str),
    /// Nothing is done: cores with it are refused on silicon.
    Open(&'static str),
}

/// An erratum.
struct Erratum {
    core: &'static str,
    /// Arm's number.
    id: &'static str,
    /// The last revision that has it, as in [`CoreType::revisions`]; the earlier ones have it too.
    last: u8,
    what: &'static str,
    fate: Fate,
}

/// The last of all revisions.
const ALL: u8 = 0xff;

const ONLY_CIVAC: Fate =
    Fate::Handled("EL2 cleans only by `DC CIVAC` (`clean_invalidate` in `boot/entry.rs`)");
const ORDER: Fate = Fate::Handled(
    "`init` in `arch/el1_context.rs`: stage 2 is complete and EL1's MMU off before `HCR_EL2.VM` \
     is set, and it stays set; the checker's rule is `stage-2-order`",
);
const AARCH64_ONLY: Fate = Fate::Absent("it needs AArch32, which partitions cannot use");
const AUXILIARY: Fate = Fate::Firmware("bits of `CPUACTLR_EL1` or `L2ACTLR_EL1`");

const fn erratum(
    core: &'static str,
    id: &'static str,
    last: u8,
    what: &'static str,
    fate: Fate,
) -> Erratum {
    Erratum { core, id, last, what, fate }
}

/// All errata, by core.
const ERRATA: &[Erratum] = &[
    erratum(
        "Cortex-A53",
        "819472",
        1,
        "a store-exclusive may corrupt data beside a clean",
        ONLY_CIVAC,
    ),
    erratum("Cortex-A53", "824069", 2, "a cleaned line may stay marked as dirty", ONLY_CIVAC),
    erratum(
        "Cortex-A53",
        "827319",
        2,
        "a clean may overlap another transaction of the line",
        ONLY_CIVAC,
    ),
    erratum(
        "Cortex-A53",
        "826319",
        2,
        "a write that waits for read data may lock up the bus",
        AUXILIARY,
    ),
    erratum(
        "Cortex-A53",
        "835769",
        4,
        "a 64-bit multiply-accumulate after an access may be wrong",
        Fate::Open("EL2 has such sequences: the compiler's option against them is not stable"),
    ),
    erratum(
        "Cortex-A53",
        "836870",
        3,
        "some reads may keep a store-exclusive from passing",
        AUXILIARY,
    ),
    erratum(
        "Cortex-A53",
        "843419",
        4,
        "an access after ADRP may use a wrong address",
        Fate::Handled(
            "linked with `--fix-cortex-a53-843419`; `cargo xtask callgraph` checks the result",
        ),
    ),
    erratum("Cortex-A53", "845719", 4, "a load may return wrong data in AArch32", AARCH64_ONLY),
    erratum("Cortex-A53", "855873", ALL, "an eviction may overtake a clean", ONLY_CIVAC),
    erratum(
        "Cortex-A53",
        "1530924",
        ALL,
        "a speculative walk may mix two translation regimes",
        ORDER,
    ),
    erratum("Cortex-A57", "806969, 813420, 814670, 817169", 1, "see Trusted Firmware-A", AUXILIARY),
    erratum(
        "Cortex-A57",
        "813419",
        0,
        "TLBI by EL3 may be incomplete",
        Fate::Absent("EL2 uses no TLBI of EL3"),
    ),
    erratum("Cortex-A57", "826974, 826977, 828024", 0x11, "see Trusted Firmware-A", AUXILIARY),
    erratum("Cortex-A57", "829520, 833471", 0x12, "see Trusted Firmware-A", AUXILIARY),
    erratum(
        "Cortex-A57",
        "832075",
        0x12,
        "an exclusive beside a load of Device memory may lock up",
        Fate::Open("a guest can stop its core, and EL2 on it"),
    ),
    erratum(
        "Cortex-A57",
        "834220",
        0x12,
        "a fault of stage 1 may be reported as one of stage 2",
        Fate::Open("EL2 trusts `HPFAR_EL2` (`traps/mmio.rs`)"),
    ),
    erratum(
        "Cortex-A57",
        "852523",
        ALL,
        "a register may be lost on a return to AArch32",
        AARCH64_ONLY,
    ),
    erratum("Cortex-A57", "859972", 0x13, "instruction prefetch must be off", AUXILIARY),
    erratum(
        "Cortex-A57",
        "1319537",
        ALL,
        "a speculative walk may mix two translation regimes",
        ORDER,
    ),
    erratum("Cortex-A57", "1742098", ALL, "AES may compute wrong values in AArch32", AARCH64_ONLY),
    erratum(
        "Cortex-A72",
        "853709",
        2,
        "a register may be lost on a return to AArch32",
        AARCH64_ONLY,
    ),
    erratum(
        "Cortex-A72",
        "859971",
        3,
        "instruction prefetch must be off",
        Fate::Handled(
            "`check_core` in `boot/mod.rs` switches it off where no PSCI firmware has done so",
        ),
    ),
    erratum(
        "Cortex-A72",
        "1319367",
        ALL,
        "a speculative walk may mix two translation regimes",
        ORDER,
    ),
    erratum("Cortex-A72", "1655431", ALL, "AES may compute wrong values in AArch32", AARCH64_ONLY),
];

/// Returns a revision in Arm's form.
fn revision(bits: u8) -> String {
    format!("r{}p{}", bits >> 4, bits & 15)
}

/// Returns what is wrong with admitting cores of `MIDR_EL1 & mask == value`: an erratum of one of
/// their revisions that nothing is done about, or a core type without a list. `firmware` says
/// whether PSCI firmware has run.
#[must_use]
pub fn unhandled(mask: u32, value: u32, firmware: bool) -> Vec<String> {
    let admits = |core: &CoreType, bits: u8| {
        let midr = core.midr | u32::from(bits >> 4) << 20 | u32::from(bits & 15);
        midr & mask == value
    };
    let mut known = false;
    let mut found = Vec::new();
    for core in CORES {
        let admitted: Vec<u8> =
            core.revisions.iter().copied().filter(|&bits| admits(core, bits)).collect();
        known |= !admitted.is_empty();
        for erratum in ERRATA.iter().filter(|erratum| erratum.core == core.name) {
            let why = match erratum.fate {
                Fate::Handled(_) | Fate::Absent(_) => continue,
                Fate::Firmware(_) if firmware => continue,
                Fate::Firmware(_) => "only firmware can correct it, and this board has none",
                Fate::Open(why) => why,
            };
            if let Some(&bits) = admitted.iter().find(|&&bits| bits <= erratum.last) {
                let (name, revision) = (core.name, revision(bits));
                let Erratum { id, what, .. } = erratum;
                found.push(format!("{name} {revision}: erratum {id} ({what}): {why}"));
            }
        }
    }
    if !known {
        found.push(format!("no errata are listed for MIDR_EL1 {value:#010x}"));
    }
    found
}

/// Returns the table of all errata, in Markdown, as docs/silicon.md has it.
#[cfg(test)]
#[must_use]
pub fn table() -> String {
    let mut text = "| core | erratum | up to | what | |\n|---|---|---|---|---|\n".to_string();
    for Erratum { core, id, last, what, fate } in ERRATA {
        let last = if *last == ALL { "all".to_string() } else { revision(*last) };
        let (word, why) = match fate {
            Fate::Handled(why) => ("handled", why),
            Fate::Firmware(why) => ("firmware's", why),
            Fate::Absent(why) => ("absent", why),
            Fate::Open(why) => ("**refused**", why),
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {core} | {id} | {last} | {what} | {word}: {why} |");
    }
    text
}
