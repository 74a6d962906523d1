//! The filter for a guest's output to the terminal: it keeps printable ASCII, tab and UTF-8. It
//! drops all else, so that a guest can only write to the right of its name in its own line. It can
//! neither write a line that looks like EL2's or another partition's, nor hide one, nor leave the
//! terminal in a state that does:
//!
//! - control bytes are dropped, `\r` and `\b` too, and the 8-bit controls U+0080 to U+009F, raw or
//!   in UTF-8;
//! - escape sequences are dropped from ESC to their final byte. A string that one opens (`ESC ]`)
//!   is then plain text.
//!
//! A line that is wider than the terminal still wraps. A program that reads the console can rely on
//! line starts, which a guest cannot forge; a person can rely on the colours, which only EL2 sets.

const ESC: u8 = 0x1b;
/// Value in place of a last byte after `ESC [`.
const SEQUENCE: u8 = 0x01;

/// The last byte of a line that was kept, or the mark of a sequence that has begun.
#[derive(Clone, Copy, Default)]
pub struct Filter(u8);

impl Filter {
    /// Returns the state after the character `byte`.
    pub fn after(byte: u8) -> Self {
        Self(byte)
    }

    /// Returns whether no sequence has begun, so that printable characters are kept.
    pub fn is_plain(&self) -> bool {
        !matches!(self.0, ESC | SEQUENCE)
    }

    /// Takes the next byte of a line. Returns whether the terminal gets it.
    pub fn keeps(&mut self, byte: u8) -> bool {
        let (last, keep) = match (self.0, byte) {
            (_, ESC) => (ESC, false),
            (ESC, b'[') => (SEQUENCE, false),
            (ESC, 0x20..=0x2f) | (SEQUENCE, 0x20..=0x3f) => return false,
            (ESC | SEQUENCE, _) => (0, false),
            (_, b'\t' | 0x20..=0x7e | 0xa0..) => (byte, true),
            // The byte is within a UTF-8 character, but not the second byte of an 8-bit control.
            (0x80..=0xc1 | 0xc3.., 0x80..) => (byte, true),
            // A dropped byte does not end a character: the terminal's next byte follows the last
            // one it got.
            _ => return false,
        };
        self.0 = last;
        keep
    }
}
