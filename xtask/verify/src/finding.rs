//! Findings: each says what does not hold, its place and whom it concerns.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

/// One thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Finding {
    /// The claim it breaks: a section of `docs/verifier.md`.
    pub claim: Claim,
    /// What is wrong: the value found, and the value it must have.
    pub what: String,
    /// The place: a physical range, a core, a row.
    pub place: String,
    /// Names of the partitions concerned; `EL2` where it is about the hypervisor's own.
    pub who: Vec<String>,
}

/// The claims that the verifier proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// The file: its headers, its sizes, its checksum, and no unaccounted bytes; EL2's bytes are
    /// its executable's.
    Image,
    /// The plan demands the machine that the board's file describes.
    Machine,
    /// Physical ranges have one owner, in RAM that the board has.
    Ownership,
    /// Cores and VMIDs have one owner, and the class the manifest gives.
    Cores,
    /// Trap and translation registers are the mandatory ones.
    Registers,
    /// Translation tables are well-formed.
    Tables,
    /// A guest can access its memory, its channel pages and its devices with the declared rights,
    /// and nothing else.
    Stage2,
    /// EL2 emulates for a guest the devices that its tree demands, where stage 2 maps nothing.
    Devices,
    /// EL2 maps on each core what it needs there, W^X, and never another partition's memory.
    El2Map,
    /// Interrupts have one owner, trigger and route as declared.
    Interrupts,
    /// Channel rows join the two ends of one channel of the manifest, on comm cores.
    Channels,
    /// Guests start from the files the manifest names, at the entry of those files.
    Start,
    /// A guest's device tree describes exactly what the guest has.
    DeviceTree,
}

impl Claim {
    /// Returns its name in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Machine => "machine",
            Self::Ownership => "ownership",
            Self::Cores => "cores",
            Self::Registers => "registers",
            Self::Tables => "tables",
            Self::Stage2 => "stage2",
            Self::Devices => "devices",
            Self::El2Map => "el2-map",
            Self::Interrupts => "interrupts",
            Self::Channels => "channels",
            Self::Start => "start",
            Self::DeviceTree => "device-tree",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "refused[{}]: {}", self.claim.word(), self.what)?;
        writeln!(f, "  where: {}", self.place)?;
        write!(f, "  who:   {}", self.who.join(", "))
    }
}

/// All findings of one image, each once.
#[derive(Debug, Default)]
pub struct Findings {
    list: Vec<Finding>,
    known: HashSet<Finding>,
}

impl Findings {
    /// Adds one finding.
    pub fn add(
        &mut self,
        claim: Claim,
        place: impl fmt::Display,
        who: &[&str],
        what: impl fmt::Display,
    ) {
        let finding = Finding {
            claim,
            what: what.to_string(),
            place: place.to_string(),
            who: who.iter().map(|name| (*name).to_string()).collect(),
        };
        if self.known.insert(finding.clone()) {
            self.list.push(finding);
        }
    }

    /// Adds a finding unless `found` is `must`; `what` names the number and gives the reason.
    pub fn expect<T: PartialEq + Shown>(
        &mut self,
        claim: Claim,
        place: impl fmt::Display,
        who: &[&str],
        what: impl fmt::Display,
        found: T,
        must: T,
    ) {
        if found != must {
            let (found, must) = (found.shown(), must.shown());
            self.add(claim, place, who, format_args!("{what} is {found}, must be {must}"));
        }
    }

    /// Whether everything holds so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns all findings, in the order of claims.
    #[must_use]
    pub fn sorted(mut self) -> Vec<Finding> {
        self.list.sort_by_key(|finding| finding.claim);
        self.list
    }
}

/// A value as findings show it: addresses and registers in hexadecimal, counts and numbers in
/// decimal.
pub trait Shown {
    /// Returns the text.
    fn shown(&self) -> String;
}

impl Shown for u64 {
    fn shown(&self) -> String {
        format!("{self:#x}")
    }
}

impl Shown for plan::Ipa {
    fn shown(&self) -> String {
        format!("{self:#x}")
    }
}

impl Shown for plan::Pa {
    fn shown(&self) -> String {
        format!("{self:#x}")
    }
}

impl Shown for u32 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for usize {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for String {
    fn shown(&self) -> String {
        format!("\"{self}\"")
    }
}

impl Shown for plan::Range {
    fn shown(&self) -> String {
        range(self.base, self.size)
    }
}

/// A physical or guest range, first and last address.
#[must_use]
pub fn range(base: u64, size: u64) -> String {
    match size {
        0 => format!("{base:#x} (empty)"),
        _ => format!("{base:#x}-{:#x}", base.saturating_add(size - 1)),
    }
}
