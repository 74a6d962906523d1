//! Bringing all cores' rings to one UART: line by line, in turn.
//!
//! Lines are whole in a ring, those of the partition with the input apart. Once begun, one keeps the terminal until it
//! ends. If another waits and it has had nothing to add since the last drain, or is too long, it is broken off and goes on
//! behind [`CONTINUED`]: no guest's byte comes first in a line.

/// Bytes a line may have before others that wait may break it.
const LONG: u32 = 512;
/// Ends a line that may have left the terminal in any state: CAN ends a sequence, SI and `ESC ( B` choose ASCII, the last
/// one takes colours away.
pub const BREAK: &str = "\x18\x0f\x1b(B\x1b[0m\r\n";
/// Goes before the rest of a line that was broken off.
pub const CONTINUED: &str = "... ";

/// The console core's place in all output rings. At first nothing is begun.
#[derive(Default)]
pub struct Mux {
    /// What the UART gets first.
    staged: &'static [u8],
    /// The core that had its turn last, and bytes of the line of it that is begun.
    at: u32,
    taken: u32,
    /// Cores whose line was broken off, a bit each.
    broken: u32,
}

impl Mux {
    /// The UART's next byte, the `first` of a drain or another. `waiting` has a bit for each core whose ring is not empty;
    /// `pop` takes a byte from one.
    pub fn next(
        &mut self,
        first: bool,
        waiting: u32,
        pop: impl FnOnce(usize) -> Option<u8>,
    ) -> Option<u8> {
        let own = 1 << self.at;
        let others = waiting & !own;
        let between = self.staged.is_empty();
        if between && self.taken == 0 {
            if others != 0 {
                // The next in turn.
                let steps = others.rotate_right(self.at).trailing_zeros();
                self.at = (self.at + steps) % u32::BITS;
            }
            if self.broken >> self.at & 1 != 0 {
                self.taken = 1;
                self.staged = CONTINUED.as_bytes();
            }
        } else if between && others != 0 && (self.taken >= LONG || first && waiting & own == 0) {
            self.taken = 0;
            self.broken |= own;
            self.staged = BREAK.as_bytes();
        }
        if let Some((&byte, rest)) = self.staged.split_first() {
            self.staged = rest;
            return Some(byte);
        }
        let byte = pop(self.at as usize)?;
        self.taken = self.taken.wrapping_add(1);
        if byte == b'\n' {
            self.taken = 0;
            self.broken &= !(1 << self.at);
        }
        Some(byte)
    }
}
