// SPDX-License-Identifier: MIT OR Apache-2.0
//! How far a board has come, from its console: the sentence of a time-out names it.

use runner::qemu::{EL2, Plain, REFUSED};

/// Most bytes of a line.
const LINE: usize = 4096;
/// Bytes after which the share of odd ones says something.
const MANY: usize = 64;

/// How far a board has come, in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// No byte came.
    Power,
    /// Something other than EL2 speaks: firmware, or EL2's first characters.
    Firmware,
    /// EL2 printed a line, and its partitions have not started.
    El2,
    /// EL2 started the partitions.
    Running,
}

/// The board's console, as lines, and how far the board has come.
#[derive(Default)]
pub struct Console {
    plain: Plain,
    line: Vec<u8>,
    /// Bytes that came, and those of them that no text has.
    bytes: usize,
    odd: usize,
    spoke: bool,
    el2: bool,
    running: bool,
    /// EL2's reason for refusing the machine.
    pub refusal: Option<String>,
    /// The last line that was not empty.
    pub last: String,
    /// Lines before EL2's first one.
    pub firmware: Vec<String>,
}

impl Console {
    /// Takes bytes; returns the lines that ended.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            self.bytes += 1;
            let is_odd = !(byte.is_ascii_graphic() || b" \t\r\n\x1b\x18".contains(&byte));
            self.odd += usize::from(is_odd);
            match self.plain.filter(byte) {
                Some(b'\n') => {
                    let line = String::from_utf8_lossy(&self.line).into_owned();
                    self.line.clear();
                    self.take(&line);
                    lines.push(line);
                }
                Some(text) if self.line.len() < LINE => self.line.push(text),
                _ => {}
            }
        }
        self.spoke |= !bytes.is_empty();
        lines
    }

    fn take(&mut self, line: &str) {
        if line.contains(EL2) {
            self.el2 = true;
        }
        if let Some((_, why)) = line.split_once(REFUSED) {
            self.refusal = Some(why.to_owned());
        }
        if line.contains(console::STARTED) {
            self.running = true;
        }
        if !line.trim().is_empty() {
            line.trim().clone_into(&mut self.last);
            if !self.el2 && self.firmware.len() < 200 {
                self.firmware.push(self.last.clone());
            }
        }
    }

    /// Records that the board's system runs, although EL2's line was not seen.
    pub fn is_running(&mut self) {
        self.running = true;
    }

    /// Returns how far the board has come.
    pub fn stage(&self) -> Stage {
        match self {
            Self { running: true, .. } => Stage::Running,
            Self { el2: true, .. } => Stage::El2,
            Self { spoke: true, .. } => Stage::Firmware,
            _ => Stage::Power,
        }
    }

    /// Returns a sentence on why nothing more came, with the last line.
    pub fn says(&self) -> String {
        match self.last.as_str() {
            "" => self.hint(),
            last => format!("{}; the last line was `{last}`", self.hint()),
        }
    }

    /// Returns a sentence on why nothing more came, with what to do.
    pub fn hint(&self) -> String {
        match self.stage() {
            Stage::Power => {
                "no byte came: is the board powered, the adapter's ground on pin 6, its \
                             input on pin 8, and the card in?"
                    .to_owned()
            }
            Stage::Firmware if self.bytes >= MANY && self.odd * 4 > self.bytes => format!(
                "{} of {} bytes are garbage: the two sides have different rates; the board must \
                 send at 115200 baud (init_uart_clock in config.txt)",
                self.odd, self.bytes
            ),
            Stage::Firmware => "only firmware spoke, and EL2 printed no line".to_owned(),
            Stage::El2 => "EL2 printed a line, but its partitions did not start".to_owned(),
            Stage::Running => "the partitions run, but nothing more came".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_has_its_sentence() {
        let mut console = Console::default();
        assert!(console.says().starts_with("no byte came"));
        console.feed(b"MESS:00:00:01.000000:0: arasan\r\n");
        assert_eq!(console.stage(), Stage::Firmware);
        assert!(console.says().contains("only firmware spoke"), "{}", console.says());
        assert!(console.says().ends_with("`MESS:00:00:01.000000:0: arasan`"));
        console.feed(b"bulkhead: loading\r\n");
        assert_eq!(console.stage(), Stage::El2);
        console.feed(format!("bulkhead: {}\r\n", ::console::STARTED).as_bytes());
        assert_eq!(console.stage(), Stage::Running);
        assert_eq!(console.firmware, ["MESS:00:00:01.000000:0: arasan"]);
        assert_eq!(console.refusal, None);
        console.feed(b"bulkhead: refused: no GIC\r\n");
        assert_eq!(console.refusal.as_deref(), Some("no GIC"));
    }

    #[test]
    fn a_wrong_rate_is_recognised() {
        let mut console = Console::default();
        console.feed(&[0xf8, 0x80, b'x', 0x00].repeat(40));
        assert!(console.says().contains("different rates"), "{}", console.says());
    }
}
