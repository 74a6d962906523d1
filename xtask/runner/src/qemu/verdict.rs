// SPDX-License-Identifier: MIT OR Apache-2.0
//! One line about a run: whether it passed, and why or why not.

/// The verdict on a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every partition switched itself off and QEMU ended without error, or all expected texts were
    /// seen.
    Pass(String),
    /// Anything else.
    Fail(String),
}

impl Verdict {
    /// Whether it is a pass.
    pub fn passed(&self) -> bool {
        matches!(self, Verdict::Pass(_))
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Verdict::Pass(text) => write!(f, "verdict: PASS: {text}"),
            Verdict::Fail(text) => write!(f, "verdict: FAIL: {text}"),
        }
    }
}
