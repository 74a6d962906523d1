// SPDX-License-Identifier: MIT OR Apache-2.0
//! EL2's instructions in a finished image, to find and replace them.

use anyhow::{Context, Result, ensure};

use super::run::Prepared;
use crate::trace::Symbols;

/// `BL`, without its offset.
const BL: u32 = 0x9400_0000;

/// The code of a system's EL2.
pub struct Code {
    /// Names of its places.
    pub symbols: Symbols,
    words: Vec<u32>,
}

impl Code {
    /// Reads the code in `prepared`'s image.
    ///
    /// # Errors
    /// If EL2's executable cannot be read.
    pub fn new(prepared: &Prepared) -> Result<Self> {
        let text = prepared.image.design.el2.segments[0].size as usize;
        let bytes =
            prepared.image.bytes.get(..text).context("the image is shorter than its code")?;
        let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap_or_default());
        Ok(Self {
            symbols: Symbols::read(&prepared.elf)?,
            words: bytes.chunks_exact(4).map(word).collect(),
        })
    }

    /// Returns the instruction at `offset`.
    #[must_use]
    pub fn word(&self, offset: u32) -> u32 {
        self.words.get(offset as usize / 4).copied().unwrap_or(0)
    }

    /// Every instruction with its offset.
    pub fn all(&self) -> impl Iterator<Item = (u32, u32)> {
        (0..).step_by(4).zip(self.words.iter().copied())
    }

    /// Whether the instruction at `offset` is of `function`, inlined or not.
    #[must_use]
    pub fn is_in(&self, offset: u32, function: &str) -> bool {
        self.symbols.functions(offset).iter().any(|name| name == function)
    }

    /// Returns the offsets of the calls in `function` of functions whose name starts with `callee`.
    #[must_use]
    pub fn calls(&self, function: &str, callee: &str) -> Vec<u32> {
        let target = |offset: u32, word: u32| offset.wrapping_add_signed((word << 6) as i32 >> 4);
        let calls = |offset: u32, word: u32| {
            let name = self.symbols.symbol(target(offset, word));
            word & 0xfc00_0000 == BL && name.is_some_and(|name| name.starts_with(callee))
        };
        self.all()
            .filter(|&(offset, word)| calls(offset, word) && self.is_in(offset, function))
            .map(|(offset, _)| offset)
            .collect()
    }
}

/// Returns the image `bytes` with other instructions at these offsets.
///
/// # Errors
/// If one of them is not in the image.
pub fn patched(bytes: &[u8], changes: &[(u32, u32)]) -> Result<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    for &(offset, word) in changes {
        let at = offset as usize;
        ensure!(at + 4 <= bytes.len(), "the image has no instruction at {offset:#x}");
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    Ok(bytes)
}
