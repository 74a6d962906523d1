// SPDX-License-Identifier: MIT OR Apache-2.0
//! A mutant, and what became of it.

use super::list::Instruction;

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A rule or a run's verdict tells it: which, and in which run.
    Killed(String, String),
    /// Another instruction covers it; the run without both shows that.
    Covered(String),
    /// EL2 does not need it: why.
    Redundant(String),
    /// The weaker form suffices: why.
    Suffices(String),
    /// Only another interleaving shows it: a test that does, or why there is none.
    Order(String),
    /// No run reaches it, or not in the state in which it matters: the case of `cargo xtask test`
    /// that does, or that state.
    Unreached(String),
    /// It is after an `ERET`: it never executes, and only ends speculation.
    Speculation,
    /// Nothing tells it.
    Survives,
}

/// A mutant and its fate.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// The instruction.
    pub instruction: Instruction,
    /// The text of the mutant.
    pub becomes: String,
    /// Its fate.
    pub fate: Fate,
}

impl Fate {
    /// Its name, and the reason.
    #[must_use]
    pub fn words(&self) -> (&'static str, &str) {
        match self {
            Self::Killed(by, _) => ("killed", by),
            Self::Covered(by) => ("covered", by),
            Self::Redundant(why) => ("redundant", why),
            Self::Suffices(why) => ("suffices", why),
            Self::Order(test) => ("order", test),
            Self::Unreached(by) => ("unreached", by),
            Self::Speculation => ("speculation", "after ERET, never executed"),
            Self::Survives => ("SURVIVES", ""),
        }
    }
}
