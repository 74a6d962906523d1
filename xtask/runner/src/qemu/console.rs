// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine's console as it arrives: whole lines without escape sequences, and EL2's last line
//! among them.
//!
//! A guest cannot write a line that passes for EL2's: EL2 starts each of the guest's lines with
//! `[name] `, and only the boot device tree and this process know the number in the last line.

use super::watch::{self, EL2, Watch};

/// First words of EL2's last line when the machine does not fit the plan.
pub const REFUSED: &str = "bulkhead: refused: ";
/// Ends a sequence (CAN), and marks a line that EL2 broke off (`console::BREAK`).
const CAN: u8 = 0x18;
/// Most bytes of a line that are examined; a longer line is cut there.
const LINE: usize = 4096;

/// Removes escape sequences (ECMA-48 CSI and OSC, and two-byte ones) and carriage returns from a
/// stream of bytes.
#[derive(Default)]
pub struct Plain {
    state: Escape,
}

#[derive(Clone, Copy, Default)]
enum Escape {
    #[default]
    Text,
    Started,
    Csi,
    Osc,
}

impl Plain {
    /// Returns the byte, if it is text.
    pub fn filter(&mut self, byte: u8) -> Option<u8> {
        let (next, text) = match (self.state, byte) {
            (_, b'\n') => (Escape::Text, Some(byte)),
            (_, 0x1b) => (Escape::Started, None),
            // CAN ends a sequence; of the other control bytes only tab is text.
            (_, CAN) => (Escape::Text, None),
            (Escape::Text, ..=0x08 | 0x0b..=0x1f) => (Escape::Text, None),
            // A character set is selected: one more byte follows.
            (Escape::Started, 0x20..=0x2f) => (Escape::Started, None),
            (Escape::Text, _) => (Escape::Text, Some(byte)),
            (Escape::Started, b'[') => (Escape::Csi, None),
            (Escape::Started, b']') => (Escape::Osc, None),
            (Escape::Csi, 0x40..=0x7e) | (Escape::Osc, 0x07) | (Escape::Started, _) => {
                (Escape::Text, None)
            }
            (state @ (Escape::Csi | Escape::Osc), _) => (state, None),
        };
        self.state = next;
        text
    }
}

/// The console's output so far.
pub struct Console {
    nonce: u64,
    plain: Plain,
    line: Vec<u8>,
    /// The line may be broken off.
    cut: bool,
    /// EL2 said that partitions start.
    pub started: bool,
    /// The texts that settle the run.
    pub watch: Watch,
    /// Complete lines, without escape sequences.
    pub lines: Vec<String>,
    /// The state of every partition in EL2's last line: name and state. None until that line came.
    pub end: Option<Vec<(String, String)>>,
}

impl Console {
    /// Returns a console on which `nonce` marks EL2's last line.
    pub fn new(nonce: u64) -> Self {
        Self {
            nonce,
            plain: Plain::default(),
            line: Vec::new(),
            cut: false,
            started: false,
            watch: Watch::default(),
            lines: Vec::new(),
            end: None,
        }
    }

    /// Makes the console look for the texts of `watch`.
    pub fn watching(self, watch: Watch) -> Self {
        Self { watch, ..self }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.cut |= byte == CAN;
            match self.plain.filter(byte) {
                Some(b'\n') => self.finish_line(),
                Some(text) if self.line.len() < LINE => self.line.push(text),
                _ => {}
            }
        }
        self.watch.unfinished(&String::from_utf8_lossy(&self.line));
    }

    /// Ends a line that has begun, because no more bytes will come.
    pub fn finish(&mut self) {
        if !self.line.is_empty() {
            self.finish_line();
        }
    }

    fn finish_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        if let Some(end) = parse_end(&line, self.nonce) {
            self.end = Some(end);
        }
        self.started |= line.strip_prefix(EL2) == Some(console::STARTED);
        self.watch.line(&line, std::mem::take(&mut self.cut));
        self.lines.push(line);
    }

    /// Returns EL2's reason for refusing the machine, without the first words.
    pub fn refusal(&self) -> Option<&str> {
        self.lines.iter().find_map(|line| line.strip_prefix(REFUSED))
    }

    /// Returns EL2's reason for halting `partition`, without the first words.
    pub fn halt(&self, partition: &str) -> Option<&str> {
        let mut halts =
            self.lines.iter().filter_map(|line| watch::halt(line.strip_prefix(EL2)?, partition));
        halts.next_back()
    }

    /// Lines that guests wrote: those that start with `[`.
    pub fn guest_lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str).filter(|line| line.starts_with('['))
    }
}

/// Reads `bulkhead: end NONCE name=state name=state …`; none if it is another line or carries
/// another number.
fn parse_end(line: &str, nonce: u64) -> Option<Vec<(String, String)>> {
    let rest = line.strip_prefix(EL2)?.strip_prefix("end ")?;
    let (number, rest) = rest.split_once(' ')?;
    if u64::from_str_radix(number, 16) != Ok(nonce) {
        return None;
    }
    rest.split_whitespace()
        .map(|pair| pair.split_once('=').map(|(name, state)| (name.to_string(), state.to_string())))
        .collect()
}
