// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loader's side of a transfer: which blocks are there.

use crate::{AHEAD, Image, Message};

/// A transfer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Transfer {
    /// The image.
    pub image: Image,
    /// All blocks before this one are there.
    next: u32,
    /// And of those after it, one bit each.
    more: u32,
}

impl Transfer {
    /// Begins a transfer.
    pub fn new(image: Image) -> Self {
        Self { image, ..Self::default() }
    }

    /// Takes a block: returns its place among the compressed bytes, if it is new. A block that is
    /// there already, too far ahead, or of another length than its number says, has none.
    pub fn take(&mut self, number: u32, bytes: usize) -> Option<usize> {
        if number >= self.image.blocks() || bytes != self.image.length(number) {
            return None;
        }
        let ahead = number.checked_sub(self.next)?;
        if ahead == 0 {
            self.next += 1;
            // The blocks directly after it that came earlier.
            let run = self.more.trailing_ones();
            self.next += run;
            self.more = self.more.checked_shr(run + 1).unwrap_or(0);
        } else {
            let bit = 1u32.checked_shl(ahead - 1).filter(|_| ahead <= AHEAD)?;
            if self.more & bit != 0 {
                return None;
            }
            self.more |= bit;
        }
        Some(number as usize * crate::BLOCK)
    }

    /// Whether every block is there.
    pub fn is_complete(&self) -> bool {
        self.next == self.image.blocks()
    }

    /// Returns the answer that names the blocks.
    pub fn have(&self) -> Message<'static> {
        Message::Have { session: self.image.session, next: self.next, more: self.more }
    }
}
