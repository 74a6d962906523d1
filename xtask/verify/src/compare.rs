//! Compares one translation with its declaration: everything declared is mapped, with exactly the
//! rights declared, and nothing else is.

use crate::finding::{Claim, Findings, range};
use crate::places::Places;
use crate::walk::{Kind, Leaf, Regime, Rights, Stage};

/// A range that must be mapped.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// First input address.
    pub input: u64,
    /// Physical address.
    pub output: u64,
    /// Bytes.
    pub size: u64,
    /// Rights.
    pub rights: Rights,
    /// Memory type.
    pub kind: Kind,
    /// A name for findings.
    pub what: String,
}

impl Mapping {
    /// Normal memory.
    #[must_use]
    pub fn normal(input: u64, at: plan::Range, rights: &str, what: impl Into<String>) -> Self {
        Self {
            input,
            output: at.base,
            size: at.size,
            rights: Rights::of(rights),
            kind: Kind::Normal,
            what: what.into(),
        }
    }

    /// A device's registers, with equal input and output addresses.
    #[must_use]
    pub fn device(at: plan::Range, what: impl Into<String>) -> Self {
        Self { kind: Kind::Device, ..Self::normal(at.base, at, "rw-", what) }
    }

    /// The same memory, not cacheable.
    #[must_use]
    pub fn non_cacheable(self) -> Self {
        Self { kind: Kind::NonCacheable, ..self }
    }

    fn leaf(&self) -> Leaf {
        Leaf {
            input: self.input,
            output: self.output,
            size: self.size,
            rights: self.rights,
            kind: self.kind,
        }
    }
}

/// The contents of one piece of input addresses.
struct Piece {
    base: u64,
    end: u64,
    output: u64,
    what: String,
}

/// Compares `leaves` of a translation with `declared`.
pub fn compare(
    claim: Claim,
    regime: &Regime,
    declared: &mut [Mapping],
    leaves: &[Leaf],
    places: &Places,
    findings: &mut Findings,
) {
    let who: Vec<_> = regime.who.iter().map(String::as_str).collect();
    declared.sort_by_key(|mapping| mapping.input);
    for pair in declared.windows(2) {
        if let [one, other] = pair
            && other.input < one.input.saturating_add(one.size)
        {
            let what = format!("{} overlaps {}", other.what, one.what);
            let place = format!("{}, {}", regime.name, range(other.input, other.size));
            findings.add(claim, place, &who, what);
        }
    }
    let ends = |input: u64, size: u64| [input, input.saturating_add(size)];
    let mut cuts: Vec<u64> = declared.iter().flat_map(|m| ends(m.input, m.size)).collect();
    cuts.extend(leaves.iter().flat_map(|leaf| ends(leaf.input, leaf.size)));
    cuts.sort_unstable();
    cuts.dedup();
    let mut pieces: Vec<Piece> = Vec::new();
    for pair in cuts.windows(2) {
        let [base, end] = *pair else { continue };
        let must = declared.iter().find(|m| base.wrapping_sub(m.input) < m.size);
        let found = leaves.partition_point(|leaf| leaf.input <= base).checked_sub(1);
        let found = found.map(|n| &leaves[n]);
        let found = found.filter(|leaf| base - leaf.input < leaf.size);
        let Some(what) = difference(regime, base, must, found, places) else {
            continue;
        };
        let output = found.map_or_else(
            || must.map_or(0, |must| output(&must.leaf(), base)),
            |found| output(found, base),
        );
        match pieces.last_mut() {
            Some(last)
                if last.end == base
                    && last.what == what
                    && last.output.wrapping_add(base - last.base) == output =>
            {
                last.end = end;
            }
            _ => pieces.push(Piece { base, end, output, what }),
        }
    }
    for piece in pieces {
        let size = piece.end - piece.base;
        let input = match regime.stage {
            Stage::One => "VA",
            Stage::Two => "IPA",
        };
        let place = format!(
            "physical {}, {}, {input} {}",
            range(piece.output, size),
            regime.name,
            range(piece.base, size)
        );
        let mut who: Vec<String> = regime.who.clone();
        if let Some(owner) = places.at(piece.output) {
            who.extend(owner.who.iter().filter(|name| !regime.who.contains(name)).cloned());
        }
        let who: Vec<_> = who.iter().map(String::as_str).collect();
        findings.add(claim, place, &who, piece.what);
    }
}

/// Translates an input address in the leaf.
fn output(leaf: &Leaf, input: u64) -> u64 {
    leaf.output.wrapping_add(input.wrapping_sub(leaf.input))
}

fn difference(
    regime: &Regime,
    input: u64,
    must: Option<&Mapping>,
    found: Option<&Leaf>,
    places: &Places,
) -> Option<String> {
    let name = &regime.name;
    match (must, found) {
        (None, None) => None,
        (None, Some(found)) => Some(format!(
            "{name} reaches {} ({}), which is not declared",
            places.words(output(found, input)),
            found.rights.letters()
        )),
        (Some(must), None) => Some(format!("{name} does not reach {}", must.what)),
        (Some(must), Some(found)) => {
            let (there, right) = (output(found, input), output(&must.leaf(), input));
            if there != right {
                return Some(format!(
                    "{name} reaches {} where {} must be (at {:#x} from here)",
                    places.words(there),
                    must.what,
                    right.wrapping_sub(there)
                ));
            }
            if found.rights != must.rights {
                return Some(format!(
                    "{name} may {} {}, must be {}",
                    found.rights.letters(),
                    must.what,
                    must.rights.letters()
                ));
            }
            (found.kind != must.kind).then(|| {
                format!(
                    "{name} accesses {} as {}, must be {}",
                    must.what,
                    found.kind.words(),
                    must.kind.words()
                )
            })
        }
    }
}
