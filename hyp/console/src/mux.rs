//! Merges all partitions' rings into one terminal: line by line, in turn, on the console core.
//!
//! A ring holds bytes as they were written. This module decides what is shown of them: each line
//! gets its partition's name, and a filter keeps a guest's text within its line. A line is begun
//! once all of it is there, and then keeps the terminal until it ends. The partition that has the
//! input is live: its bytes go at once, so that prompts and echoes show, and unfiltered. If another
//! line waits and a begun one has had nothing to add for a while, or is too long, it is broken off
//! and continues after [`CONTINUED`]: a guest's byte is never first in a line.

use core::mem::{replace, take};

use crate::LineBuffer;
use crate::filter::Filter;
use crate::output::{Front, Output, Waiting};

/// Bytes after which a line that is not live continues in another.
pub const LINE: u32 = 200;
/// Bytes of a line, one after the other, after which others that wait may break it.
const LONG: u32 = 512;
/// Ends a line that may have left the terminal in any state: CAN ends a sequence, SI and `ESC ( B`
/// choose ASCII, and the last sequence resets colours.
pub const BREAK: &str = "\x18\x0f\x1b(B\x1b[0m\r\n";
/// Goes before the rest of a line that was broken off.
pub const CONTINUED: &str = "... ";
/// Most bytes of a line's name with its colour.
const NAME: usize = 32;

/// Bytes in one step after which the transmitter holds more than its level of 4, unless it has gone
/// down to that since.
const SURE: u32 = 8;
/// Most partitions.
const PARTITIONS: usize = plan::MAX_PARTITIONS;

/// The partitions as the console core sees them.
pub trait Partitions {
    /// Returns the set of partitions that have something to show.
    fn waiting(&self) -> &Waiting;
    /// Returns the ring of partition `index`.
    fn output(&self, index: usize) -> Option<&Output>;
    /// Returns whether partition `index` has the input, so that its bytes go at once, and whether
    /// it has the terminal, so that its lines go without its name.
    fn live(&self, index: usize) -> (bool, bool);
    /// Returns whether partition `index` has stopped: a line that it left unfinished stays
    /// unfinished.
    fn stopped(&self, index: usize) -> bool;
}

/// The console core's place in all rings. By default no line is begun.
#[derive(Default)]
pub struct Mux {
    /// Bytes that the UART gets first.
    staged: &'static [u8],
    /// Bytes, to be sent after `staged`, that are left of the name of the line that keeps the
    /// terminal.
    name: usize,
    /// The partition that had its turn last, and whether its line keeps the terminal.
    at: usize,
    open: bool,
    /// Whether that line is EL2's and begun.
    el2: bool,
    /// Bytes of that line since the last look for other lines, and the time of its last byte.
    run: u32,
    last: u64,
    /// How long a line that has nothing to add keeps the terminal.
    patience: u64,
    sources: [Source; PARTITIONS],
}

/// A partition's line.
#[derive(Clone, Copy, Default)]
struct Source {
    /// The name with which its lines start, at the end of the array.
    name: [u8; NAME],
    name_len: usize,
    /// Lines taken so far, modulo 2^32, as the ring counts those that were put in.
    lines: u32,
    /// Bytes taken of the line that is begun.
    taken: u32,
    /// Whether its line is begun, is broken off, and was live, so that it may leave the terminal in
    /// any state.
    begun: bool,
    broken: bool,
    styled: bool,
    filter: Filter,
    /// Time when a slot of the stopped partition was first found unfilled.
    unfilled: Option<u64>,
}

impl Mux {
    /// Sets how long a line that has nothing to add keeps the terminal, in the unit of `now`.
    pub fn set_patience(&mut self, patience: u64) {
        self.patience = patience;
    }

    /// Sets the name of partition `index`, up to the first zero, and its SGR colour (31 to 36, or 0
    /// for the terminal's own).
    pub fn set_name(&mut self, index: usize, name: &[u8], colour: u32) {
        let mut line = LineBuffer::default();
        line.str("\x1b[").dec(colour.into()).str("m[");
        line.name(name).str("]\x1b[0m ");
        let text = line.as_bytes();
        if let Some(source) = self.sources.get_mut(index)
            && let Some(from) = NAME.checked_sub(text.len())
        {
            source.name[from..].copy_from_slice(text);
            source.name_len = text.len();
        }
    }

    /// Returns what is first in the ring of partition `index`, if a line that can be shown waits
    /// there.
    #[inline(always)]
    fn offers(&self, index: usize, partitions: &impl Partitions) -> Option<Front> {
        let (output, source) = (partitions.output(index)?, self.sources.get(index)?);
        let front = output.front();
        let is_shown = front != Front::Empty
            && (partitions.live(index).0 || source.is_whole(output) || partitions.stopped(index));
        if is_shown { Some(front) } else { None }
    }

    /// Does one step at the time `now`: gives at most `most` (at least 1) bytes to `send`. Returns
    /// how many the terminal got, or `None` if there is nothing to do now.
    #[inline(always)]
    pub fn step(
        &mut self,
        most: u32,
        now: u64,
        mut send: impl FnMut(u8),
        partitions: &impl Partitions,
    ) -> Option<u32> {
        if !self.staged.is_empty() {
            let all = self.staged;
            let (sent, rest) = all.split_at_checked(most as usize).unwrap_or((all, &[]));
            self.staged = rest;
            return Some(send_all(sent, send));
        }
        if self.name != 0 {
            let name = self.sources.get(self.at).map_or(&[][..], |source| &source.name);
            let left = name.get(NAME - self.name..).unwrap_or(&[]);
            let sent = left.get(..most as usize).unwrap_or(left);
            self.name -= sent.len();
            return Some(send_all(sent, send));
        }
        if self.open && self.run < LONG {
            let taken = self.take(most, now, &mut send, partitions);
            // A line of EL2's is not broken off: the rest of it will follow.
            if taken.is_some() || self.el2 {
                return taken;
            }
        }
        self.turn(now, partitions)
    }

    /// Chooses the next line, if none keeps the terminal, or the one that does has nothing to add
    /// or is long.
    #[inline(never)]
    fn turn(&mut self, now: u64, partitions: &impl Partitions) -> Option<u32> {
        let waiting = partitions.waiting();
        let Some(next) = waiting.next(self.at) else {
            self.run = 0;
            return None;
        };
        if self.open {
            let is_long = take(&mut self.run) >= LONG;
            if next == self.at {
                // No other partition waits.
                if is_long {
                    return Some(0);
                }
                waiting.clear(next, || self.offers(next, partitions).is_some());
                return None;
            }
            if !is_long && now.wrapping_sub(self.last) < self.patience {
                return None;
            }
            return self.break_off();
        }
        match self.offers(next, partitions) {
            None => waiting.clear(next, || self.offers(next, partitions).is_some()),
            Some(Front::Unfilled) if !partitions.stopped(next) => {
                // The slot will be filled. Others go first.
                let before = replace(&mut self.at, next);
                if before == next {
                    return None;
                }
            }
            Some(front) => {
                (self.at, self.open, self.run, self.last) = (next, true, 0, now);
                if let (Front::Guest(_), Some(source)) = (front, self.sources.get_mut(next))
                    && !source.begun
                {
                    self.name = source.begin(partitions.live(next).1);
                }
            }
        }
        Some(0)
    }

    /// Breaks off the line that keeps the terminal.
    fn break_off(&mut self) -> Option<u32> {
        self.open = false;
        if let Some(source) = self.sources.get_mut(self.at)
            && source.begun
            && !source.broken
        {
            source.broken = true;
            self.staged = BREAK.as_bytes();
        }
        Some(0)
    }

    /// Does the next step of the line that keeps the terminal.
    #[inline(always)]
    fn take(
        &mut self,
        most: u32,
        now: u64,
        send: &mut impl FnMut(u8),
        partitions: &impl Partitions,
    ) -> Option<u32> {
        let output = partitions.output(self.at)?;
        let source = self.sources.get_mut(self.at)?;
        match output.front() {
            Front::Guest(byte) => {
                let (live, alone) = partitions.live(self.at);
                if !live && !source.is_whole(output) && !partitions.stopped(self.at) {
                    return None;
                }
                if !source.begun {
                    // If a line of EL2's is begun here, the rest of it never came.
                    if take(&mut self.el2) {
                        self.staged = b"\r\n";
                    }
                    self.name = source.begin(alone);
                    return Some(0);
                }
                if take(&mut source.broken) {
                    self.staged = CONTINUED.as_bytes();
                    return Some(0);
                }
                self.last = now;
                source.unfilled = None;
                source.styled |= live;
                let is_end = byte == b'\n';
                let (count, sent) = if source.filter.is_plain() && matches!(byte, 0x20..=0x7e) {
                    let most = match live {
                        true => most,
                        false => most.min(LINE.saturating_sub(source.taken)),
                    };
                    let (count, last) = output.take_text(most, send);
                    source.filter = Filter::after(last);
                    (count, count)
                } else {
                    output.take();
                    let sends = !is_end && (source.filter.keeps(byte) || live);
                    if sends {
                        send(byte);
                    }
                    (1, sends.into())
                };
                self.run += count;
                source.taken += count;
                if is_end || !live && source.taken >= LINE {
                    source.lines = source.lines.wrapping_add(is_end.into());
                    self.staged = source.finish();
                    self.open = false;
                }
                Some(sent)
            }
            Front::El2(byte) => {
                if source.begun {
                    self.staged = source.end();
                    return Some(0);
                }
                output.take();
                source.unfilled = None;
                self.last = now;
                self.el2 = byte != b'\n';
                if !self.el2 {
                    source.lines = source.lines.wrapping_add(1);
                    self.open = false;
                }
                send(byte);
                Some(1)
            }
            Front::End => {
                output.take();
                source.unfilled = None;
                source.lines = source.lines.wrapping_add(1);
                self.staged = source.end();
                self.open = false;
                Some(0)
            }
            // Its vCPU failed at EL2 between reserving and filling the slot, or has not filled it
            // yet.
            Front::Unfilled if partitions.stopped(self.at) => {
                let since = *source.unfilled.get_or_insert(now);
                if now.wrapping_sub(since) < self.patience {
                    return None;
                }
                output.take();
                Some(0)
            }
            _ => None,
        }
    }

    /// Does one step of at most `most` bytes at the time `now`, if `port` has room.
    #[inline(always)]
    pub fn drain(
        &mut self,
        most: u32,
        now: u64,
        port: &impl Port,
        partitions: &impl Partitions,
    ) -> After {
        After::of(most, port, |most| self.step(most, now, |byte| port.send(byte), partitions))
    }

    /// Returns whether no line keeps the terminal. Breaks off one that was live, which may never
    /// end.
    pub fn pause(&mut self) -> bool {
        if !self.staged.is_empty() || self.name != 0 {
            return false;
        }
        if self.open
            && self.sources.get(self.at).is_some_and(|source| source.begun && source.styled)
        {
            self.break_off();
        }
        !self.open && self.staged.is_empty()
    }
}

/// Sends all of `bytes`. Returns how many they are.
fn send_all(bytes: &[u8], mut send: impl FnMut(u8)) -> u32 {
    for &byte in bytes {
        send(byte);
    }
    bytes.len() as u32
}

impl Source {
    /// Returns whether a whole line waits in `output`, or as much as is shown of one at a time.
    #[inline(always)]
    fn is_whole(&self, output: &Output) -> bool {
        (self.lines.wrapping_sub(output.lines()) as i32) < 0
            || output.used().saturating_add(self.taken) >= LINE
    }

    /// Begins a line. Returns how many bytes of its name go before its text.
    fn begin(&mut self, alone: bool) -> usize {
        (self.begun, self.styled, self.filter) = (true, false, Filter::default());
        if alone { 0 } else { self.name_len }
    }

    /// Ends a line that is complete. Returns what follows its text.
    fn finish(&mut self) -> &'static [u8] {
        (self.begun, self.taken) = (false, 0);
        match self.styled {
            true => BREAK.as_bytes(),
            false => b"\r\n",
        }
    }

    /// Ends a line that may be begun. Returns what the terminal gets after the part that it shows.
    fn end(&mut self) -> &'static [u8] {
        self.taken = 0;
        let broken = take(&mut self.broken);
        match take(&mut self.begun) && !broken {
            true => BREAK.as_bytes(),
            false => &[],
        }
    }
}

/// The transmitter of the real UART.
pub trait Port {
    /// Returns how many bytes can be written at least; 0 only if the transmitter is full.
    fn room(&self) -> u32;
    /// Returns whether the transmitter asks for more: the bytes it holds went down to its level, of
    /// 4 bytes at most.
    fn is_low(&self) -> bool;
    /// Writes a byte that the transmitter has room for.
    fn send(&self, byte: u8);
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// There may be more to do at once.
    More,
    /// The transmitter holds more than its level: its interrupt will come.
    Full,
    /// There is nothing to do now.
    Nothing,
}

impl After {
    /// Does `step` with at most `most` bytes, if `port` has room.
    #[inline(always)]
    pub(crate) fn of(most: u32, port: &impl Port, step: impl FnOnce(u32) -> Option<u32>) -> Self {
        let most = most.min(port.room());
        if most == 0 {
            return Self::Full;
        }
        match step(most) {
            None => Self::Nothing,
            Some(sent) if sent >= SURE && !port.is_low() => Self::Full,
            Some(_) => Self::More,
        }
    }
}
