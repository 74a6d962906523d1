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
    /// SGR colour of its lines, 31 to 36, or 0 for none.
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
    /// The source whose line is begun.
    current: Option<usize>,
    /// Bytes taken for this line.
    taken: u32,
    /// The source that comes first when a line may begin.
    turn: usize,
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
        if is_guest(source) {
            self.rings.guest.pop()
        } else {
            self.rings.el2.pop()
        }
    }
}

/// The first source at or after `turn` that waits, `but` apart.
// One copy: each of the callers would otherwise have its own.
#[inline(never)]
fn next<'a>(
    sources: usize,
    source: &impl Fn(usize) -> Option<Source<'a>>,
    turn: usize,
    but: Option<usize>,
    patient: bool,
) -> Option<usize> {
    (turn..sources)
        .chain(0..turn.min(sources))
        .filter(|&s| Some(s) != but)
        .find(|&s| source(s / 2).is_some_and(|row| row.waits(s, patient)))
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
                continue;
            }
            self.staged.clear();
            self.sent = 0;
            if let Some(progress) = self.step(cores, &source, patient) {
                return progress;
            }
        }
        Progress::More
    }

    /// Takes one byte, or begins or ends a line.
    fn step<'a>(
        &mut self,
        cores: usize,
        source: &impl Fn(usize) -> Option<Source<'a>>,
        patient: bool,
    ) -> Option<Progress> {
        let sources = 2 * cores;
        let next = |turn, but, patient| next(sources, source, turn, but, patient);
        let Some(current) = self.current else {
            let begins = next(self.turn, None, true).or_else(|| {
                // Whole lines first; then what is unfinished, if it has waited enough.
                (!patient).then(|| next(self.turn, None, false)).flatten()
            });
            return match begins {
                Some(begins) => {
                    self.begin(begins, source(begins / 2));
                    None
                }
                None if next(0, None, false).is_some() => Some(Progress::Held),
                None => Some(Progress::Idle),
            };
        };
        if self.taken >= LONG && next(0, Some(current), true).is_some() {
            self.end();
            return None;
        }
        match source(current / 2).and_then(|row| row.pop(current)) {
            Some(b'\n') => self.end(),
            Some(byte) => {
                self.taken = self.taken.saturating_add(1);
                if is_guest(current) {
                    self.filter.byte(byte, &mut self.staged);
                } else {
                    self.staged.byte(byte);
                }
            }
            None if next(0, Some(current), patient).is_some() => self.end(),
            None if next(0, Some(current), false).is_some() => return Some(Progress::Held),
            None => return Some(Progress::Idle),
        }
        None
    }

    fn begin(&mut self, source: usize, row: Option<Source<'_>>) {
        self.current = Some(source);
        self.turn = source + 1;
        self.taken = 0;
        match row {
            Some(row) if is_guest(source) => {
                if row.colour != 0 {
                    self.staged
                        .str("\x1b[")
                        .dec(u64::from(row.colour))
                        .byte(b'm');
                }
                self.staged.byte(b'[').name(row.name).byte(b']');
                self.staged
                    .str(if row.colour != 0 { "\x1b[0m " } else { " " });
            }
            _ => {
                self.staged.str(PREFIX);
            }
        }
    }

    fn end(&mut self) {
        self.filter.end(&mut self.staged);
        self.staged.str("\r\n");
        self.current = None;
    }
}
