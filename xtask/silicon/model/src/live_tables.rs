// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the model keeps of live translation tables.

use std::collections::BTreeMap;

use crate::event::At;
use crate::lines::LINE;

/// Descriptors of a line.
pub const WORDS: usize = (LINE / 8) as usize;

/// What is known of live tables.
#[derive(Default)]
pub struct Tables {
    /// Lines of live tables as they were last seen.
    pub lines: BTreeMap<u64, [u64; WORDS]>,
    /// Descriptors that were valid and are not any more, until their TLBI is complete.
    pub broken: BTreeMap<u64, Broken>,
}

/// A descriptor that was valid.
pub struct Broken {
    /// Who broke it.
    pub by: At,
    /// A TLBI was issued; whether it was broadcast.
    pub issued: Option<bool>,
}
