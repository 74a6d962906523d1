//! What a core prints becomes lines, on that core: each with its owner's name, and whole before the console core sees it.
//!
//! The partition that has the input is live: its bytes go at once, so that prompts and echoes show, and unfiltered.

use core::mem::take;

use crate::{BREAK, Line, PREFIX, Ring, filter::Filter};

/// Bytes after which a line that is not live goes on in another.
const LONG: usize = 200;
/// Bytes of room that guests do not use, so that their line and some of EL2's find it.
const KEPT: u32 = 1024;

/// One core's end of its output ring.
pub struct Printer<'a> {
    ring: &'a Ring,
    /// The partition's name, up to the first zero.
    name: &'a [u8],
    /// SGR colour of the name, 31 to 36, or 0 for the terminal's own.
    colour: u32,
    /// The guest's line, as far as it is not in the ring yet; how its last byte left the filter, if it is begun.
    line: Line,
    filter: Option<Filter>,
    /// It was live, so it may leave the terminal in any state.
    styled: bool,
}

impl<'a> Printer<'a> {
    /// Prints to `ring` for the partition with this name and colour.
    pub fn new(ring: &'a Ring, name: &'a [u8], colour: u32) -> Self {
        Self {
            ring,
            name,
            colour,
            line: Line::default(),
            filter: None,
            styled: false,
        }
    }

    /// Whether there is room for a guest's byte.
    #[inline(never)]
    pub fn has_room(&self) -> bool {
        self.ring.room() > KEPT
    }

    /// The guest prints a byte; its partition has the input (`live`), or the terminal too (`alone`: its lines go without
    /// its name). True: the ring got something. A full ring drops it, as the hardware's FIFO does.
    pub fn print(&mut self, byte: u8, live: bool, alone: bool) -> bool {
        if !self.has_room() {
            return false;
        }
        if self.filter.is_none() && !alone {
            self.line.str("\x1b[").dec(self.colour.into()).str("m[");
            self.line.name(self.name).str("]\x1b[0m ");
        }
        let plain = self.filter.get_or_insert_default().keeps(byte);
        self.styled |= live;
        if byte != b'\n' && (plain || live) {
            self.line.byte(byte);
        }
        if byte == b'\n' || !live && self.line.as_bytes().len() >= LONG {
            let styled = take(&mut self.styled);
            self.line.str(if styled { BREAK } else { "\r\n" });
            self.filter = None;
        }
        (live || self.filter.is_none()) && self.show()
    }

    /// Shows an unfinished line. False: there is nothing to show, or no room.
    pub fn show(&mut self) -> bool {
        let shown = self.ring.put(&[self.line.as_bytes()]);
        if shown {
            self.line.clear();
        }
        shown
    }

    /// Ends an unfinished line.
    pub fn end(&mut self) {
        if self.filter.take().is_some() {
            self.line.str(BREAK);
            self.show();
        }
    }

    /// Prints a line of EL2's. A ring without room for it has 3 KiB of this core's lines in it already.
    pub fn say(&mut self, text: &Line) {
        self.end();
        self.ring
            .put(&[PREFIX.as_bytes(), text.as_bytes(), b"\r\n"]);
    }
}
