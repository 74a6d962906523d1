//! Bringing all cores' rings to one UART: whole lines, each with its owner's name, in turn.
//!
//! A line is shown when it is complete. One that is not (a prompt) is shown when the console core finds it still waiting
//! a little later, and once begun it keeps the terminal until it ends, or another line waits and it has nothing to add, or
//! it grows too long: then it is broken off and goes on in a line of its own.

use crate::{Line, PREFIX, Rings, filter::Filter};

/// Bytes a guest's line may have before others that wait may break it.
const LONG: u32 = 512;

/// A core's rings, and what goes before its guest's lines.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The rings.
    pub rings: &'a Rings,
    /// Name of the core's partition, up to the first zero.
    pub name: &'a [u8],
    /// SGR colour of the name, 31 to 36, or 0 for the terminal's own.
    pub colour: u32,
}

/// How far [`Mux::drain`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is left.
    Idle,
    /// Only unfinished lines are left, no ring is ready: drain again without patience a few milliseconds later.
    Held,
    /// The UART takes no more: drain again when it does.
    Full,
    /// The budget is used up: drain again soon.
    More,
}

/// The console core's state between two drains. At first nothing is begun.
#[derive(Default)]
pub struct Mux {
    /// What the UART gets next, and how much of it has gone.
    staged: Line,
    sent: usize,
    /// Whether a line is begun: that of the source before `turn`.
    begun: bool,
    /// The source that comes first when a line may begin.
    turn: usize,
    /// Bytes taken for this line.
    taken: u32,
    filter: Filter,
}

/// Which of a core's rings: sources are numbered EL2's ring of core 0, its guest's, EL2's of core 1, …
fn is_guest(source: usize) -> bool {
    source & 1 == 1
}

impl Source<'_> {
    fn waits(&self, source: usize, patient: bool) -> bool {
        match (is_guest(source), patient) {
            (true, true) => self.rings.guest.is_ready(),
            (true, false) => !self.rings.guest.is_empty(),
            (false, _) => !self.rings.el2.is_empty(),
        }
    }

    fn pop(&self, source: usize) -> Option<u8> {
        match is_guest(source) {
            true => self.rings.guest.pop(),
            false => self.rings.el2.pop(),
        }
    }
}

impl Mux {
    /// Takes bytes from the rings of `cores` cores and gives them to `emit` until it answers false (and so has not taken
    /// the byte), nothing is left, or `budget` steps are done. With `patient`, only whole lines are begun.
    pub fn drain<'a>(
        &mut self,
        cores: usize,
        source: impl Fn(usize) -> Option<Source<'a>>,
        patient: bool,
        budget: u32,
        mut emit: impl FnMut(u8) -> bool,
    ) -> Progress {
        for _ in 0..budget {
            if let Some(&byte) = self.staged.as_bytes().get(self.sent) {
                if !emit(byte) {
                    return Progress::Full;
                }
                self.sent += 1;
            } else if let Some(progress) = self.step(2 * cores, &source, patient) {
                return progress;
            }
        }
        Progress::More
    }

    /// Takes one byte, or begins or ends a line. Nothing is staged.
    fn step<'a>(
        &mut self,
        sources: usize,
        source: &impl Fn(usize) -> Option<Source<'a>>,
        patient: bool,
    ) -> Option<Progress> {
        self.staged.clear();
        self.sent = 0;
        // The first from `turn` on that waits, apart from the one that has begun.
        let (turn, last) = (self.turn, self.turn.saturating_sub(self.begun.into()));
        let next = |patient| {
            (turn..sources).chain(0..last).find_map(|s| {
                source(s / 2)
                    .filter(|row| row.waits(s, patient))
                    .map(|row| (s, row))
            })
        };
        if self.begun
            && (self.taken < LONG || next(true).is_none())
            && let Some(byte) = source(last / 2).and_then(|row| row.pop(last))
        {
            self.taken = self.taken.saturating_add(1);
            if byte == b'\n' {
                self.end();
            } else if !is_guest(last) || self.filter.keeps(byte) {
                self.staged.byte(byte);
            }
            return None;
        }
        // Whole lines first; then what is unfinished, if it has waited enough.
        match (next(true), next(false)) {
            (None, None) => return Some(Progress::Idle),
            (None, Some(_)) if patient => return Some(Progress::Held),
            _ if self.begun => self.end(),
            (Some((source, row)), _) | (_, Some((source, row))) => self.begin(source, &row),
        }
        None
    }

    fn begin(&mut self, source: usize, row: &Source<'_>) {
        self.begun = true;
        self.turn = source + 1;
        self.taken = 0;
        self.filter = Filter::default();
        if is_guest(source) {
            self.staged.str("\x1b[").dec(row.colour.into()).str("m[");
            self.staged.name(row.name).str("]\x1b[0m ");
        } else {
            self.staged.str(PREFIX);
        }
    }

    fn end(&mut self) {
        self.staged.str("\r\n");
        self.begun = false;
    }
}
