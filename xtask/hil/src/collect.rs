// SPDX-License-Identifier: MIT OR Apache-2.0
//! Collects the lines of one report. Whatever is not a line of this run is ignored until the first
//! one; from there a gap or a bad line spoils the report.

use report::{BadLine, read, value};
use std::fmt;

/// The lines of a report.
pub struct Collector {
    nonce: u64,
    payloads: Vec<String>,
    spoilt: Option<Spoilt>,
    is_complete: bool,
}

/// Why a report does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spoilt {
    /// A line's CRC is wrong.
    Crc {
        /// The number that the line should have.
        at: usize,
    },
    /// A line is missing.
    Gap {
        /// The number that should have come.
        expected: usize,
        /// The one that came.
        found: u32,
    },
    /// The last line counts other lines.
    Count {
        /// Lines that came.
        found: usize,
        /// Lines by the last one.
        said: String,
    },
    /// The first line is one of another version of the format.
    Version(String),
    /// The board waits for orders again, after so many lines: it started again, or the last line is
    /// lost.
    Stopped(usize),
}

impl fmt::Display for Spoilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crc { at } => write!(f, "line {at} of the report was damaged"),
            Self::Gap { expected, found } => {
                write!(f, "line {expected} of the report was lost: line {found} came")
            }
            Self::Count { found, said } => {
                write!(f, "the report has {found} lines, but its last line says {said}")
            }
            Self::Version(version) => write!(
                f,
                "the report has format {version}, this command reads {}: write the card again",
                report::VERSION
            ),
            Self::Stopped(lines) => write!(
                f,
                "the report stopped after {lines} lines: the last one was lost, or the board \
                 started again"
            ),
        }
    }
}

impl Collector {
    /// Returns a collector for the run `nonce`.
    pub fn new(nonce: u64) -> Self {
        Self { nonce, payloads: Vec::new(), spoilt: None, is_complete: false }
    }

    /// Takes a line of the console.
    pub fn line(&mut self, text: &str) {
        if self.spoilt.is_some() || self.is_complete {
            return;
        }
        match read(text, self.nonce) {
            // Before the first line this may be any run's.
            None => {}
            Some(Err(BadLine::Form | BadLine::Crc)) if self.payloads.is_empty() => {}
            Some(Err(_)) => self.spoilt = Some(Spoilt::Crc { at: self.payloads.len() }),
            Some(Ok((sequence, payload))) => self.take(sequence, payload),
        }
    }

    fn take(&mut self, sequence: u32, payload: &str) {
        let expected = self.payloads.len();
        if sequence == 0 && expected > 0 {
            // The guest had the order twice, and measures again.
            self.payloads.clear();
        } else if sequence as usize != expected {
            self.spoilt = Some(Spoilt::Gap { expected, found: sequence });
            return;
        }
        if sequence == 0 {
            let version = value(payload, "version").unwrap_or("?");
            if version != report::VERSION.to_string() {
                self.spoilt = Some(Spoilt::Version(version.to_owned()));
            }
        }
        self.payloads.push(payload.to_owned());
        if payload.starts_with("end ") {
            let said = value(payload, "lines").unwrap_or("?").to_owned();
            let found = self.payloads.len();
            if said == found.to_string() {
                self.is_complete = true;
            } else {
                self.spoilt = Some(Spoilt::Count { found, said });
            }
        }
    }

    /// Records that the board waits for orders.
    pub fn stopped(&mut self) {
        if self.has_begun() && !self.is_complete && self.spoilt.is_none() {
            self.spoilt = Some(Spoilt::Stopped(self.payloads.len()));
        }
    }

    /// Whether the first line came.
    pub fn has_begun(&self) -> bool {
        !self.payloads.is_empty() || self.spoilt.is_some()
    }

    /// Returns rows that came, and all rows by the first line.
    pub fn progress(&self) -> (usize, usize) {
        let rows = self.payloads.iter().filter(|payload| payload.starts_with("row ")).count();
        let first = self.payloads.first();
        let all = first.and_then(|first| value(first, "rows")?.parse().ok());
        (rows, all.unwrap_or(0))
    }

    /// Returns why the report does not count, if it does not.
    pub fn spoilt(&self) -> Option<&Spoilt> {
        self.spoilt.as_ref()
    }

    /// Returns the payloads of all lines, once they are complete.
    pub fn complete(&self) -> Option<&[String]> {
        self.is_complete.then_some(&self.payloads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use report::Text;

    const NONCE: u64 = 42;

    fn lines(nonce: u64) -> Vec<String> {
        let payloads =
            ["begin nonce=2a version=1 rows=2 samples=1", "row id=0", "row id=1", "end lines=4"];
        let line = |(sequence, payload): (usize, &str)| {
            let mut text = Text::new();
            report::line(&mut text, nonce, sequence as u32, format_args!("{payload}"));
            format!("[lead] {}", text.as_str())
        };
        payloads.into_iter().enumerate().map(line).collect()
    }

    fn collected(lines: &[String]) -> Collector {
        let mut collector = Collector::new(NONCE);
        lines.iter().for_each(|line| collector.line(line));
        collector
    }

    #[test]
    fn other_runs_and_garbage_before_the_first_line_are_ignored() {
        let mut all = lines(NONCE + 1);
        all.extend(["~hil what".to_owned(), "[load] x".to_owned()]);
        assert!(!collected(&all).has_begun());
        all.extend(lines(NONCE));
        let collector = collected(&all);
        assert_eq!(collector.complete().map(<[_]>::len), Some(4));
        assert_eq!(collector.progress(), (2, 2));
        // An order that came twice gives a second report, which begins anew.
        let twice = [&lines(NONCE)[..2], &lines(NONCE)[..]].concat();
        assert_eq!(collected(&twice).complete().map(<[_]>::len), Some(4));
    }

    #[test]
    fn a_gap_a_bad_line_and_a_reset_spoil_the_report() {
        let spoilt = |lines: &[String]| collected(lines).spoilt().cloned();
        let good = lines(NONCE);
        assert_eq!(spoilt(&good), None);
        let gap = [&good[..1], &good[2..]].concat();
        assert_eq!(spoilt(&gap), Some(Spoilt::Gap { expected: 1, found: 2 }));
        let mut bad = good.clone();
        bad[2] = bad[2].replace("id=1", "id=7");
        assert_eq!(spoilt(&bad), Some(Spoilt::Crc { at: 2 }));
        let mut collector = collected(&good[..2]);
        collector.stopped();
        assert_eq!(collector.spoilt(), Some(&Spoilt::Stopped(2)));
        let mut text = Text::new();
        report::line(&mut text, NONCE, 1, format_args!("end lines=9"));
        let short = [good[0].clone(), text.as_str().to_owned()];
        assert_eq!(spoilt(&short), Some(Spoilt::Count { found: 2, said: "9".to_owned() }));
        report::line(&mut text, NONCE, 0, format_args!("begin version=9"));
        assert_eq!(spoilt(&[text.as_str().to_owned()]), Some(Spoilt::Version("9".to_owned())));
    }
}
