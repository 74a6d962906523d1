//! What a guest may say to the terminal.
//!
//! A guest must not be able to write a line that looks like EL2's or another partition's, hide one, or leave the terminal
//! in a state that does. So within its own line, right of its name, it may print, tab, colour, step back over what it has
//! itself printed, and erase to the right; everything else is dropped:
//!
//! - kept: printable bytes, bytes from 0x80 (UTF-8 assumed), tab, `\b` as long as it stays in the line;
//! - kept: `ESC [ … m` (colours; reset at the end of the line) and `ESC [ K`, `ESC [ J` (erase to the right);
//! - dropped: all other control bytes, `\r` too, all other escape sequences, and the 8-bit controls U+0080 to U+009F.
//!
//! A line that is wider than the terminal still wraps. A program that reads the console goes by line starts, which no
//! guest can forge; a person has the colours.

use crate::Line;

const ESC: u8 = 0x1b;
/// Most bytes between `ESC [` and the final byte: what is longer is no colour.
const PARAMETERS: usize = 16;

/// Where the filter is within a guest's line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After 0xc2, with which the 8-bit controls start in UTF-8.
    Latin,
    /// After ESC.
    Escape,
    /// After `ESC [`.
    Sequence,
}

/// Filters one guest line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    state: State,
    /// ASCII characters printed and not stepped back over.
    column: u16,
    coloured: bool,
    parameters: [u8; PARAMETERS],
    count: usize,
}

impl Filter {
    /// Takes a guest's byte and appends what the terminal gets, at most `PARAMETERS + 3` bytes.
    pub fn byte(&mut self, byte: u8, out: &mut Line) {
        match self.state {
            State::Text => self.text(byte, out),
            State::Latin => {
                self.state = State::Text;
                match byte {
                    0x80..=0x9f => {}
                    // The lead byte was held back until its successor was known.
                    0xa0..=0xbf => {
                        out.byte(0xc2).byte(byte);
                    }
                    _ => self.text(byte, out),
                }
            }
            State::Escape => {
                self.count = 0;
                self.state = match byte {
                    b'[' => State::Sequence,
                    ESC => State::Escape,
                    _ => State::Text,
                };
            }
            State::Sequence => self.sequence(byte, out),
        }
    }

    fn text(&mut self, byte: u8, out: &mut Line) {
        match byte {
            ESC => self.state = State::Escape,
            0xc2 => self.state = State::Latin,
            b'\t' | 0x20..=0x7e | 0x80.. => {
                // Only what is sure to move the cursor may be stepped back over: a combining character does not, nor does
                // a tab in the last column.
                self.column = self
                    .column
                    .saturating_add(u16::from((0x20..0x7f).contains(&byte)));
                out.byte(byte);
            }
            0x08 if self.column > 0 => {
                self.column -= 1;
                out.byte(byte);
            }
            _ => {}
        }
    }

    fn sequence(&mut self, byte: u8, out: &mut Line) {
        if let b'0'..=b'9' | b';' = byte {
            // One too many is counted and not kept, which drops the sequence.
            if let Some(place) = self.parameters.get_mut(self.count) {
                *place = byte;
            }
            self.count = (self.count + 1).min(PARAMETERS + 1);
            return;
        }
        // Any other byte below the final ones is an intermediate of a sequence that is not kept: wait for its end.
        if (0x20..0x40).contains(&byte) {
            self.count = PARAMETERS + 1;
            return;
        }
        self.state = if byte == ESC {
            State::Escape
        } else {
            State::Text
        };
        let colour = byte == b'm';
        let erase = matches!(byte, b'K' | b'J') && self.count == 0;
        if let (true, Some(parameters)) = (colour || erase, self.parameters.get(..self.count)) {
            self.coloured |= colour;
            out.byte(ESC).byte(b'[').name(parameters).byte(byte);
        }
    }

    /// Appends what ends the line, and starts the next.
    pub fn end(&mut self, out: &mut Line) {
        if self.coloured {
            out.str("\x1b[0m");
        }
        *self = Self::default();
    }
}
