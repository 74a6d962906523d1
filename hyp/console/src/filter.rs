//! What a guest may say to the terminal: printable ASCII, tab and UTF-8. All else is dropped, so that within its own line a
//! guest can write to the right of its name and nothing more. It can neither write a line that looks like EL2's or another
//! partition's, nor hide one, nor leave the terminal in a state that does:
//!
//! - control bytes are dropped, `\r` and `\b` too, and the 8-bit controls U+0080 to U+009F, raw or in UTF-8;
//! - escape sequences are dropped from ESC to their final byte. A string that one opens (`ESC ]`) is then plain text.
//!
//! A line that is wider than the terminal still wraps. A program that reads the console goes by line starts, which no
//! guest can forge; a person has the colours, which EL2 alone sets.

const ESC: u8 = 0x1b;

/// Where a guest's line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// Where no UTF-8 character goes on, or one that could become an 8-bit control.
    #[default]
    Text,
    /// After a byte with which no 8-bit control starts in UTF-8.
    Wide,
    /// After ESC and bytes that lengthen a sequence.
    Escape,
    /// After `ESC [`.
    Sequence,
}

impl Filter {
    /// Takes the next byte of a line: whether the terminal gets it.
    pub fn keeps(&mut self, byte: u8) -> bool {
        let (next, keep) = match (*self, byte) {
            (_, ESC) => (Self::Escape, false),
            (Self::Escape, b'[') => (Self::Sequence, false),
            (Self::Escape, 0x20..=0x2f) | (Self::Sequence, 0x20..=0x3f) => return false,
            (Self::Escape | Self::Sequence, _) => (Self::Text, false),
            (_, 0xc3..) | (Self::Wide, 0x80..=0xbf) => (Self::Wide, true),
            (_, b'\t' | 0x20..=0x7e | 0xa0..) => (Self::Text, true),
            // A dropped byte ends no character: what the terminal gets next follows on what it got last.
            _ => return false,
        };
        *self = next;
        keep
    }
}
