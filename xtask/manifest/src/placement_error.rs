// SPDX-License-Identifier: MIT OR Apache-2.0
//! The planner's refusal of a system whose sizes add up but that does not fit, with the key of the
//! manifest that it is about.

use std::fmt;

/// The part of the manifest that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The system as a whole.
    System,
    /// A partition's piece of memory, by their indices.
    Memory(usize, usize),
    /// A partition's device tree.
    DeviceTree(usize),
    /// A channel's pages.
    Channel(usize),
}

/// Something that does not fit.
#[derive(Clone, Debug)]
pub struct PlacementError {
    /// The part of the manifest.
    pub of: Of,
    /// A sentence that says what does not fit, and where.
    pub what: String,
    /// The reason, in numbers.
    pub why: String,
    /// What to write instead.
    pub help: &'static str,
}

impl fmt::Display for PlacementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for PlacementError {}
