// SPDX-License-Identifier: MIT OR Apache-2.0
//! Input of a running system: from a person at a terminal, from a pipe, or from a test.
//!
//! At a terminal every key goes to the machine, Ctrl-C too, so Ctrl-A x leaves. EL2 takes the other
//! commands after Ctrl-A. Every exit restores the terminal's settings.

use anyhow::{Context, Result};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp,
    tcsetattr,
};
use std::io::{IsTerminal, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use console::{BREAK, CONTINUED};

use crate::ui;

/// The source of a machine's input.
#[derive(Clone, Debug, Default)]
pub enum Input {
    /// No input.
    #[default]
    Nobody,
    /// This process's standard input: a terminal, or a pipe or file to its end.
    Stdin,
    /// A test's [`Step`]s, one after the other.
    Typed(Vec<Step>),
}

/// One step of a test's input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Text that the console must have shown since the previous step: any bytes, whole lines or
    /// not. It is also found if EL2 broke the line off and continued it after other partitions'
    /// lines. If it is empty, the step does not wait.
    pub seen: String,
    /// The keys that are typed then, as fast as the machine takes them.
    pub keys: Vec<u8>,
}

/// The key that starts a command.
const CTRL_A: u8 = 0x01;
/// The keys that make the first partition live, so that its prompts show: the first key tells EL2
/// that there is a person.
const FIRST: &[u8] = b"\x011";

/// The terminal's settings before they were changed.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// Most bytes of other partitions' lines before a broken line continues.
const REACH: usize = 1 << 16;

/// Whether a key was pressed at the terminal.
static PRESSED: AtomicBool = AtomicBool::new(false);

/// Whether a key was pressed at a terminal since this process started.
pub fn pressed() -> bool {
    PRESSED.load(Ordering::Relaxed)
}

/// A terminal whose keys go to the machine, as long as this value exists.
pub struct Raw;

impl Raw {
    /// Makes standard input raw if it is a terminal of this process group: the terminal would stop
    /// a background process.
    ///
    /// # Errors
    /// If the terminal does not take the settings.
    pub fn enter() -> Result<Option<Self>> {
        let stdin = std::io::stdin();
        let ours = || tcgetpgrp(&stdin).is_ok_and(|group| group == rustix::process::getpgrp());
        if !stdin.is_terminal() || !ours() {
            return Ok(None);
        }
        let before = tcgetattr(&stdin).context("cannot read the terminal's settings")?;
        let mut raw = before.clone();
        // The output settings do not change: this process ends its lines with only a line feed.
        raw.local_modes -=
            LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
        raw.input_modes -= InputModes::ICRNL
            | InputModes::INLCR
            | InputModes::IGNCR
            | InputModes::IXON
            | InputModes::ISTRIP;
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let raw = tcsetattr(&stdin, OptionalActions::Now, &raw).map(|()| Self);
        raw.map(Some).context("cannot set the terminal")
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Restores the terminal's settings, if they were changed.
pub fn restore() {
    let saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = saved {
        // An error could only be shown on this terminal.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
    }
}

/// Feeds `machine` from `input`, until one of them ends. `raw` says that keys come from a terminal.
/// A test's input goes to the sender that is returned. `alone` becomes true before a partition gets
/// the terminal to itself.
pub fn feed(
    input: &Input,
    machine: Box<dyn Write + Send>,
    raw: bool,
    alone: Arc<AtomicBool>,
) -> Option<Sender<Vec<u8>>> {
    let (sender, chunks) = channel::<Vec<u8>>();
    // Two threads are needed: while the machine takes no input, Ctrl-A x must still be read.
    std::thread::spawn(move || {
        let mut machine = machine;
        let mut focus = Focus::default();
        for chunk in chunks {
            if focus.take(&chunk) {
                alone.store(true, Ordering::Relaxed);
            }
            if machine.write_all(&chunk).is_err() || machine.flush().is_err() {
                return;
            }
        }
    });
    match input {
        Input::Nobody => None,
        Input::Typed(_) => Some(sender),
        Input::Stdin => {
            std::thread::spawn(move || pass_on(&sender, raw));
            None
        }
    }
}

/// The progress of a test's input.
pub struct Script<'a> {
    steps: &'a [Step],
    /// Index of the console's byte where the search for the next step starts.
    from: usize,
    /// The number of bytes that were searched for a line that broke off.
    searched: usize,
    /// Index after the last such line's break.
    broken: usize,
}

impl<'a> Script<'a> {
    /// Starts with the first step of `input`.
    pub fn new(input: &'a Input) -> Self {
        let steps = match input {
            Input::Typed(steps) => steps.as_slice(),
            _ => &[],
        };
        Self { steps, from: 0, searched: 0, broken: 0 }
    }

    /// Returns the keys that are due now that the console has shown `bytes`, its whole output.
    pub fn due(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut keys = Vec::new();
        let new = &bytes[self.searched.saturating_sub(BREAK.len())..];
        if let Some(at) = new.windows(BREAK.len()).rposition(|at| at == BREAK.as_bytes()) {
            self.broken = bytes.len() - new.len() + at + BREAK.len();
        }
        self.searched = bytes.len();
        while let Some((step, rest)) = self.steps.split_first() {
            if !step.seen.is_empty() {
                let Some(end) = end_of(step.seen.as_bytes(), &bytes[self.from..]) else {
                    // The words may have begun before other partitions' lines, so the search goes
                    // back over those. A long console costs too much if it always does, so at first
                    // only the words' own line and the break after it are kept.
                    let is_broken = bytes.len() - self.broken <= REACH && self.broken > 0;
                    let back = if is_broken { REACH } else { step.seen.len() + BREAK.len() };
                    self.from = self.from.max(bytes.len().saturating_sub(back));
                    break;
                };
                self.from += end;
            }
            keys.extend(&step.keys);
            self.steps = rest;
        }
        keys
    }

    /// Returns the text that it waits for.
    pub fn unseen(&self) -> Option<String> {
        self.steps.first().map(|step| step.seen.clone())
    }
}

/// Returns where `words` end in `bytes` for the first time.
fn end_of(words: &[u8], bytes: &[u8]) -> Option<usize> {
    let begins = |at: &usize| bytes[*at] == words[0];
    (0..bytes.len()).filter(begins).find_map(|begin| {
        words[1..].iter().try_fold(begin + 1, |at, byte| {
            let at = at + broken_off(&bytes[at..]);
            (bytes.get(at) == Some(byte)).then_some(at + 1)
        })
    })
}

/// Length of the bytes that do not belong to the line: its break, other partitions' lines, and the
/// mark where it continues.
fn broken_off(bytes: &[u8]) -> usize {
    if !bytes.starts_with(BREAK.as_bytes()) {
        return 0;
    }
    let mark = ["\r\n", CONTINUED].concat();
    let mut places = bytes.windows(mark.len());
    let place = places.position(|place| place == mark.as_bytes());
    place.map_or(0, |place| place + mark.len())
}

fn pass_on(machine: &Sender<Vec<u8>>, raw: bool) {
    let mut keys = Keys::default();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = std::io::stdin().read(&mut buffer) {
        let chunk = if raw {
            PRESSED.store(true, Ordering::Relaxed);
            keys.take(&buffer[..count])
        } else {
            Some(buffer[..count].to_vec())
        };
        let Some(chunk) = chunk else {
            return ui::interrupt();
        };
        if machine.send(chunk).is_err() {
            return;
        }
    }
}

/// The partition that has the input, according to the keys.
#[derive(Default)]
pub(super) struct Focus {
    /// The last key was a Ctrl-A that makes the next one a command.
    command: bool,
    /// The digit of the last partition that got the input.
    digit: u8,
}

impl Focus {
    /// Whether these keys give a partition the terminal to itself: its digit a second time.
    pub(super) fn take(&mut self, keys: &[u8]) -> bool {
        let mut alone = false;
        for &key in keys {
            if self.command && key.is_ascii_digit() {
                alone |= key == self.digit && key != b'0';
                self.digit = key;
            }
            self.command = key == CTRL_A && !self.command;
        }
        alone
    }
}

/// Keys from a terminal.
#[derive(Default)]
pub(super) struct Keys {
    /// Whether a key was pressed before.
    begun: bool,
    /// The last key was a Ctrl-A that makes the next one a command.
    command: bool,
}

impl Keys {
    /// Returns the machine's input for these keys; none if Ctrl-A x is among them.
    pub(super) fn take(&mut self, keys: &[u8]) -> Option<Vec<u8>> {
        let mut passed = Vec::new();
        for &key in keys {
            if self.command && key == b'x' {
                return None;
            }
            if !self.begun && key != CTRL_A {
                passed.extend(FIRST);
            }
            self.begun = true;
            self.command = key == CTRL_A && !self.command;
            passed.push(key);
        }
        Some(passed)
    }
}
