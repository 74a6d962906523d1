// SPDX-License-Identifier: MIT OR Apache-2.0
//! The model's state of live translation tables.

use std::collections::BTreeMap;

use crate::event::At;
use crate::lines::LINE;

/// Descriptors of a line.
pub const WORDS: usize = (LINE / 8) as usize;

/// State of live tables.
#[derive(Default)]
pub struct Tables {
    /// Lines of live tables as they were last seen.
    pub lines: BTreeMap<u64, [u64; WORDS]>,
    /// Descriptors that were valid and no longer are, until their TLBI is complete.
    pub broken: BTreeMap<u64, Broken>,
}

/// A descriptor that was valid.
pub struct Broken {
    /// The instruction that made it invalid.
    pub by: At,
    /// Set once a TLBI was issued: whether it was broadcast.
    pub issued: Option<bool>,
}
