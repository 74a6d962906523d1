//! Bringing all cores' rings to one UART: line by line, in turn.
//!
//! Lines are whole in a ring, those of the partition with the input apart. Once begun, one keeps the terminal until it
//! ends. If another waits and it has had nothing to add for a while, or is too long, it is broken off and goes on behind
//! [`CONTINUED`]: no guest's byte comes first in a line.

use crate::Ring;

/// Bytes a line may have before others that wait may break it,
const LONG: u32 = 512;
/// and how often it may have nothing to add.
const PAUSES: u32 = 20;
/// Ends a line that may have left the terminal in any state: CAN ends a sequence, SI and `ESC ( B` choose ASCII, the last
/// one takes colours away.
pub(crate) const BREAK: &str = "\x18\x0f\x1b(B\x1b[0m\r\n";
/// Goes before the rest of a line that was broken off.
const CONTINUED: &[u8] = b"... ";

/// The console core's place in all output rings. At first nothing is begun.
#[derive(Default)]
pub struct Mux {
    /// What the UART gets first.
    staged: &'static [u8],
    /// The core that had its turn last, bytes of the line of it that is begun, and how often that kept others waiting.
    at: usize,
    taken: u32,
    pauses: u32,
    /// Cores whose line was broken off or is begun, a bit each.
    open: u32,
}

impl Mux {
    /// The UART's next byte, from the rings of `cores` cores, numbered.
    pub fn next<'a>(
        &mut self,
        cores: usize,
        ring: impl Fn(usize) -> Option<&'a Ring>,
    ) -> Option<u8> {
        let waits = |core: &usize| ring(*core).is_some_and(|ring| ring.waiting() != 0);
        let other = (self.at + 1..cores).chain(0..self.at).find(waits);
        let between = self.staged.is_empty();
        if between && self.taken == 0 {
            self.at = other.unwrap_or(self.at);
            if self.open >> self.at & 1 != 0 {
                self.taken = 1;
                self.staged = CONTINUED;
            }
            self.pauses = 0;
        } else if between && other.is_some() {
            self.pauses += u32::from(!waits(&self.at));
            if self.taken >= LONG || self.pauses > PAUSES {
                self.taken = 0;
                self.staged = BREAK.as_bytes();
            }
        }
        if let Some((&byte, rest)) = self.staged.split_first() {
            self.staged = rest;
            return Some(byte);
        }
        let byte = ring(self.at)?.pop()?;
        let bit = 1 << self.at;
        if byte == b'\n' {
            self.open &= !bit;
            self.taken = 0;
        } else {
            self.open |= bit;
            self.taken = self.taken.saturating_add(1);
        }
        Some(byte)
    }
}
