// SPDX-License-Identifier: MIT OR Apache-2.0
//! The host's side of a transfer: which block to send next.
//!
//! The line keeps the order of what it does not lose. So if a block is acknowledged, those that
//! were sent before it and are not acknowledged with it are lost, and are sent again at once.
//! Only when no answer comes, a time decides.

use crate::{AHEAD, Image};

/// Most blocks on their way.
pub const WINDOW: usize = 8;
/// Times that a block is sent before the transfer is given up.
pub const ATTEMPTS: u32 = 40;

/// A block on its way.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    number: u32,
    /// When it was sent last, counted in blocks sent.
    turn: u64,
    attempts: u32,
    is_lost: bool,
}

/// A transfer.
pub struct Sender {
    image: Image,
    /// Blocks that are on their way or lost; the first `used` ones.
    slots: [Slot; WINDOW],
    used: usize,
    /// The first block that was never sent.
    fresh: u32,
    /// The first block that the board does not have.
    next: u32,
    turn: u64,
    /// Blocks that were sent again.
    pub repeats: u64,
}

/// Why a transfer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hopeless {
    /// This block did not arrive in [`ATTEMPTS`] attempts.
    Block(u32),
}

impl Sender {
    /// Begins a transfer to a board that has all blocks before `next`.
    pub fn new(image: Image, next: u32) -> Self {
        let next = next.min(image.blocks());
        Self {
            image,
            slots: [Slot::default(); WINDOW],
            used: 0,
            fresh: next,
            next,
            turn: 0,
            repeats: 0,
        }
    }

    /// Returns the next block to send now, if there is one: a lost one, or one that was never sent
    /// while fewer than [`WINDOW`] are on their way.
    ///
    /// # Errors
    /// If a block was sent too often.
    pub fn next_block(&mut self) -> Result<Option<u32>, Hopeless> {
        let lost = self.slots[..self.used].iter_mut().find(|slot| slot.is_lost);
        if let Some(slot) = lost {
            if slot.attempts >= ATTEMPTS {
                return Err(Hopeless::Block(slot.number));
            }
            slot.is_lost = false;
            slot.attempts += 1;
            slot.turn = self.turn;
            self.turn += 1;
            self.repeats += 1;
            return Ok(Some(slot.number));
        }
        let is_far = self.fresh > self.next + AHEAD;
        if self.used == WINDOW || self.fresh == self.image.blocks() || is_far {
            return Ok(None);
        }
        let number = self.fresh;
        self.slots[self.used] = Slot { number, turn: self.turn, attempts: 1, is_lost: false };
        self.used += 1;
        self.fresh += 1;
        self.turn += 1;
        Ok(Some(number))
    }

    /// Takes an answer: all blocks before `next`, and those of `more`.
    pub fn acknowledge(&mut self, next: u32, more: u32) {
        if next > self.fresh {
            // It is not an answer to what was sent.
            return;
        }
        self.next = self.next.max(next);
        let has = |number: u32| match number.checked_sub(next) {
            None => true,
            Some(0) => false,
            Some(ahead) => more.checked_shr(ahead - 1).unwrap_or(0) & 1 == 1,
        };
        let all = &self.slots[..self.used];
        let latest = all.iter().filter(|slot| has(slot.number)).map(|slot| slot.turn).max();
        let mut kept = 0;
        for index in 0..self.used {
            let slot = self.slots[index];
            if !has(slot.number) {
                self.slots[kept] = slot;
                self.slots[kept].is_lost |= latest.is_some_and(|latest| slot.turn < latest);
                kept += 1;
            }
        }
        self.used = kept;
    }

    /// Takes everything on its way as lost, after a time without an answer.
    pub fn give_up_waiting(&mut self) {
        for slot in &mut self.slots[..self.used] {
            slot.is_lost = true;
        }
    }

    /// Returns the number of blocks that the board has without a gap.
    pub fn done(&self) -> u32 {
        self.next
    }

    /// Whether the board has every block.
    pub fn is_complete(&self) -> bool {
        self.next == self.image.blocks()
    }
}
