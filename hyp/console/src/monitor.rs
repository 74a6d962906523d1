// SPDX-License-Identifier: MIT OR Apache-2.0
//! The console's monitor: it shows all partitions and takes commands, on the console core.
//!
//! Everything it shows goes to the UART in steps: each of them sends a few bytes, or looks up the
//! next word or number. So no step makes an entry of the console core long, however many partitions
//! there are. Between two of its lines the partitions' lines have their turn.

use core::mem::{replace, take};

use crate::mux::{After, Port};

/// Most bytes of one step. A look-up takes as long as these.
const BYTES: u32 = 3;
/// Most characters of a command that are kept; no command has as many.
const TYPED: usize = 16;
/// Before the command that is typed. It clears its line first.
const PROMPT: &str = "\r\x1b[Kbulkhead: > ";
/// The lines of the screen. A byte from 0x80 on stands for a fact.
const PARTITION: &[u8] = b"bulkhead: \x80 \x81: \x82, restarts \x83\r\n";
const ENTRIES: &[u8] = b"bulkhead:   \x81/\x84 entries:";
const REASON: &[u8] = b" \x85 \x86";
const END: &[u8] =
    b"bulkhead:   \x81/\x84 end \x87 to \x88: sent \x89, coalesced \x8a, deferred \x8b\r\n";
const NUMBER: u8 = 0x80;
const NAME: u8 = 0x81;
const STATE: u8 = 0x82;
const RESTARTS: u8 = 0x83;
const ON_VCPU: u8 = 0x84;
const WORD: u8 = 0x85;
const COUNT: u8 = 0x86;
const AT_END: u8 = 0x87;
const PEER: u8 = 0x88;
const SENT: u8 = 0x89;
const DEFERRED: u8 = 0x8b;
const NEW_LINE: &[u8] = b"\r\n";
const HELP: &str =
    "bulkhead: monitor: stop N, start N, restart N; Enter shows this again, q leaves\r\n";
const UNKNOWN: &str = "bulkhead: no such command: stop N, start N, restart N (N as shown), q\r\n";
/// The commands, by number from 1: [`Order::what`].
const ORDERS: [&[u8]; 3] = [b"stop", b"start", b"restart"];

/// What the monitor shows. Partitions and cores have numbers from 0; words end at their first zero.
/// A method returns none if there is no such partition, core, reason or channel end.
pub trait Facts {
    /// Returns a partition's name.
    fn name(&self, partition: usize) -> Option<&'static [u8]>;
    /// Returns the word for its state.
    fn state(&self, partition: usize) -> Option<&'static str>;
    /// Returns the number of its restarts.
    fn restarts(&self, partition: usize) -> u32;
    /// Returns the partition and the vCPU that own a core.
    fn owner(&self, core: usize) -> Option<(usize, usize)>;
    /// Returns the word for the reason of this number.
    fn reason(&self, reason: usize) -> Option<&'static str>;
    /// Returns a core's entries to EL2 for this reason.
    fn entries(&self, core: usize, reason: usize) -> Option<u64>;
    /// Returns the partition at the other end of a core's channel end.
    fn peer(&self, core: usize, end: usize) -> Option<usize>;
    /// Returns a counter of that channel end: doorbells sent (0), coalesced (1), deferred (2).
    fn doorbells(&self, core: usize, end: usize, counter: usize) -> Option<u64>;
}

/// A command for a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Index of the partition.
    pub partition: usize,
    /// 1 stop, 2 start, 3 restart.
    pub what: u64,
}

/// A place of the screen: what the next line, or the next reason, is about.
#[derive(Clone, Copy, Default)]
struct Place {
    next: Next,
    core: usize,
    /// The partition, or the core's owner.
    partition: usize,
    vcpu: usize,
    reason: usize,
    end: usize,
    /// The partition at the other end.
    peer: usize,
}

/// What is shown next.
#[derive(Clone, Copy, Default)]
enum Next {
    #[default]
    Partition,
    Core,
    Reason,
    End,
}

/// The monitor. By default it is closed and has nothing to send.
#[derive(Default)]
pub struct Monitor {
    is_open: bool,
    /// The word that is sent first, a fact.
    word: &'static [u8],
    /// The number that is sent first, the value of its next digit, and whether that is not known
    /// yet.
    number: Option<u64>,
    unit: u64,
    seeks: bool,
    /// The rest of the line that is sent, with facts in it.
    text: &'static [u8],
    /// Whether the screen is shown, and its next place.
    shows: bool,
    place: Place,
    /// The line that is sent after it.
    answer: &'static str,
    /// The key that was pressed.
    pressed: Option<u8>,
    /// The command so far, and how much of it is shown.
    typed: [u8; TYPED],
    len: usize,
    shown: usize,
    /// Whether the command is shown, after the prompt.
    prompts: bool,
    /// Whether there may be something to send.
    sends: bool,
    /// Whether there may be a step to do: it sends, or its line keeps the terminal.
    active: bool,
    /// Whether a line is begun and not ended.
    holds: bool,
    /// Whether a line has just ended: the partitions have their turn.
    yields: bool,
}

impl Monitor {
    /// Its part of the line that answers a command after Ctrl-A.
    pub const KEY: &str = ", m monitor";

    /// Opens it, and shows the screen. Returns true: a console without a monitor returns false.
    pub fn open(&mut self) -> bool {
        self.close();
        self.is_open = true;
        (self.shows, self.place) = (true, Place::default());
        self.answer(HELP);
        true
    }

    /// Closes it. What it has begun to send is still sent.
    pub fn close(&mut self) {
        (self.is_open, self.len) = (false, 0);
        self.end_prompt();
    }

    /// Returns whether it is open: it gets the input.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Returns whether it has something to send.
    #[inline(always)]
    pub fn has_output(&self) -> bool {
        self.sends
    }

    /// Returns whether it may have a step to do.
    #[inline(always)]
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Keeps a key, while it has nothing to send.
    pub fn press(&mut self, key: u8) {
        self.pressed = Some(key);
        (self.sends, self.active) = (true, true);
    }

    /// Returns whether [`Self::take_key`] is the next step.
    #[inline(always)]
    pub fn is_pressed(&self) -> bool {
        self.pressed.is_some()
    }

    /// Takes the key that was pressed. Returns the order that it completes.
    pub fn take_key(&mut self) -> Option<Order> {
        let key = self.pressed.take()?;
        match key {
            0x1b => self.close(),
            b'q' if self.len == 0 => self.close(),
            b'\r' | b'\n' => return self.enter(),
            // Backspace and delete.
            0x08 | 0x7f => {
                self.len = self.len.saturating_sub(1);
                self.prompts = false;
                self.prompt();
            }
            b' '..=b'~' => {
                if let Some(place) = self.typed.get_mut(self.len) {
                    *place = key;
                    self.len += 1;
                    self.prompt();
                }
            }
            _ => {}
        }
        None
    }

    fn enter(&mut self) -> Option<Order> {
        self.end_prompt();
        let line = self.typed.get(..take(&mut self.len)).unwrap_or(&[]);
        if line.is_empty() {
            self.open();
            return None;
        }
        let order = order(line);
        if order.is_none() {
            self.answer(UNKNOWN);
        }
        order
    }

    /// Sets the line that answers a command.
    pub fn answer(&mut self, line: &'static str) {
        self.answer = line;
        (self.sends, self.active) = (true, true);
    }

    fn prompt(&mut self) {
        if !replace(&mut self.prompts, true) {
            (self.text, self.shown) = (PROMPT.as_bytes(), 0);
        }
    }

    fn end_prompt(&mut self) {
        if take(&mut self.prompts) {
            self.text = NEW_LINE;
            (self.sends, self.active) = (true, true);
        }
    }

    /// Returns whether it sends next, not the partitions: `others_wait` says whether they have
    /// something to send, `may_begin` whether no line of theirs keeps the terminal.
    #[inline(always)]
    pub fn goes_first(
        &mut self,
        others_wait: impl FnOnce() -> bool,
        may_begin: impl FnOnce() -> bool,
    ) -> bool {
        if self.holds {
            // The prompt comes again with the next key.
            if !self.sends && others_wait() {
                self.end_prompt();
            }
            return true;
        }
        self.active = self.sends;
        self.sends && !take(&mut self.yields) && may_begin()
    }

    /// Does one step, if `port` has room.
    #[inline(always)]
    pub fn drain(&mut self, port: &impl Port, facts: &impl Facts) -> After {
        After::of(BYTES, port, |most| self.step(most as usize, |byte| port.send(byte), facts))
    }

    /// Does one step: gives at most `most` bytes (at least 1) to `send`. Returns how many, or
    /// `None` if there is nothing to do now.
    pub fn step(
        &mut self,
        most: usize,
        mut send: impl FnMut(u8),
        facts: &impl Facts,
    ) -> Option<u32> {
        if !self.word.is_empty() {
            return Some(send_some(&mut self.word, most, send));
        }
        if let Some(number) = self.number {
            return Some(self.digits(number, most, send));
        }
        if let Some((&first, rest)) = self.text.split_first() {
            if first >= NUMBER {
                self.text = rest;
                self.look_up(first, facts);
                return Some(0);
            }
            let sent = send_some(&mut self.text, most, |byte| {
                self.yields = byte == b'\n';
                send(byte);
            });
            self.holds = !self.yields;
            return Some(sent);
        }
        if self.shows {
            self.begin(facts);
        } else if !self.answer.is_empty() {
            self.text = take(&mut self.answer).as_bytes();
        } else if self.prompts && self.shown < self.len {
            send(*self.typed.get(self.shown)?);
            self.shown += 1;
            return Some(1);
        } else {
            self.sends = false;
            return None;
        }
        Some(0)
    }

    /// Sends the next digits of `number`, or looks for the first one.
    fn digits(&mut self, mut number: u64, most: usize, mut send: impl FnMut(u8)) -> u32 {
        let mut sent = 0;
        for _ in 0..most {
            let digit = number.checked_div(self.unit).unwrap_or(0);
            if self.seeks && digit >= 10 {
                self.unit *= 10;
            } else if self.seeks {
                self.seeks = false;
                return 0;
            } else if self.unit != 0 {
                number -= digit * self.unit;
                self.unit /= 10;
                send(b'0' + digit as u8);
                sent += 1;
            }
        }
        self.number = (self.unit != 0).then_some(number);
        sent
    }

    /// Begins the next line of the screen, or the next reason in a line.
    fn begin(&mut self, facts: &impl Facts) {
        let place = &mut self.place;
        self.text = match place.next {
            Next::Partition if facts.name(place.partition).is_none() => {
                place.next = Next::Core;
                return;
            }
            Next::Partition => PARTITION,
            Next::Core => match facts.owner(place.core) {
                Some((partition, vcpu)) => {
                    (place.partition, place.vcpu) = (partition, vcpu);
                    (place.next, place.reason) = (Next::Reason, 0);
                    ENTRIES
                }
                None => {
                    self.shows = false;
                    return;
                }
            },
            Next::Reason => match facts.entries(place.core, place.reason) {
                Some(0) => {
                    place.reason += 1;
                    return;
                }
                Some(_) => REASON,
                None => {
                    (place.next, place.end) = (Next::End, 0);
                    NEW_LINE
                }
            },
            Next::End => match facts.peer(place.core, place.end) {
                Some(peer) => {
                    place.peer = peer;
                    END
                }
                None => {
                    (place.next, place.core) = (Next::Core, place.core + 1);
                    return;
                }
            },
        };
    }

    /// Looks up the fact that a line of the screen names by `byte`.
    fn look_up(&mut self, byte: u8, facts: &impl Facts) {
        let place = &mut self.place;
        let number = match byte {
            NAME => return self.word = facts.name(place.partition).unwrap_or(&[]),
            STATE => return self.word = facts.state(place.partition).unwrap_or("").as_bytes(),
            WORD => return self.word = facts.reason(place.reason).unwrap_or("").as_bytes(),
            PEER => return self.word = facts.name(place.peer).unwrap_or(&[]),
            NUMBER => Some(place.partition as u64 + 1),
            RESTARTS => {
                place.partition += 1;
                Some(facts.restarts(place.partition - 1).into())
            }
            ON_VCPU => Some(place.vcpu as u64),
            COUNT => {
                place.reason += 1;
                facts.entries(place.core, place.reason - 1)
            }
            AT_END => Some(place.end as u64),
            counter => {
                let end = place.end;
                place.end += usize::from(counter == DEFERRED);
                facts.doorbells(place.core, end, usize::from(counter - SENT))
            }
        };
        (self.number, self.unit, self.seeks) = (number, 1, true);
    }
}

/// Returns the order that a line gives.
fn order(line: &[u8]) -> Option<Order> {
    let [word @ .., b' ', digit @ b'1'..=b'9'] = line else {
        return None;
    };
    let what = (1..).zip(ORDERS).find(|(_, known)| known == &word)?.0;
    Some(Order { partition: usize::from(digit - b'1'), what })
}

/// Sends at most `most` bytes of `text`, up to a zero, which ends it, or a fact. Returns how many.
#[inline(always)]
fn send_some(text: &mut &'static [u8], most: usize, mut send: impl FnMut(u8)) -> u32 {
    let mut sent = 0;
    for &byte in text.iter().take(most) {
        if byte == 0 {
            *text = &[];
            return sent;
        }
        if byte >= NUMBER {
            break;
        }
        send(byte);
        sent += 1;
    }
    *text = text.get(sent as usize..).unwrap_or(&[]);
    sent
}
