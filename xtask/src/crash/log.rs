// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds crash records in a console's log: EL2 prints each as lines of hex words, between the lines
//! of others.

use std::collections::BTreeMap;

use crc::{CRC_32_ISCSI, Crc};
use record::{LINES, PER_LINE, Record, WORDS, word};
use runner::qemu::{Console, EL2};

/// First words of a line of a record, after [`EL2`].
const WORD: &str = "record ";

/// What a log has.
#[derive(Debug, Default)]
pub struct Log {
    /// The whole records, in the order in which they were complete.
    pub records: Vec<Record>,
    /// What is wrong with others, each with its lines.
    pub problems: Vec<String>,
    /// The number of the first line that has a record's line after other text.
    pub indented: Option<usize>,
}

/// A record whose lines are not all there yet.
#[derive(Default)]
struct Open {
    /// For each line of it, the number of the log's line and the words.
    lines: [Option<(usize, [u64; PER_LINE])>; LINES],
}

impl Log {
    /// Reads a console's bytes, of any contents.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let mut console = Console::new(0);
        console.feed(bytes);
        console.finish();
        let mut log = Self::default();
        let mut open: BTreeMap<u64, Open> = BTreeMap::new();
        for (at, line) in (1..).zip(&console.lines) {
            let start = format!("{EL2}{WORD}");
            let Some(rest) = line.strip_prefix(&start) else {
                if log.indented.is_none() && line.contains(&start) {
                    log.indented = Some(at);
                }
                continue;
            };
            let Some((number, index, words)) = parse(rest) else {
                log.problems.push(format!(
                    "line {at}: not a line of a record: expected `{start}N line L of {LINES}:` \
                     and {PER_LINE} hex numbers"
                ));
                continue;
            };
            // EL2 may print a record again when the machine ends or starts. The first line has the
            // checksum, so another record begins with another line.
            let is_known = match open.get(&number) {
                Some(open) => open.lines[index].is_some_and(|(_, line)| line == words),
                None => log.records.iter().any(|record| {
                    let line = record.words().chunks(PER_LINE).nth(index);
                    record.number() == number && line == Some(&words)
                }),
            };
            if is_known {
                continue;
            }
            // Another run may have a record of the same number.
            if open.get(&number).is_some_and(|open| open.lines[index].is_some()) {
                log.close(number, open.remove(&number));
            }
            let record = open.entry(number).or_default();
            record.lines[index] = Some((at, words));
            if record.lines.iter().all(Option::is_some) {
                log.close(number, open.remove(&number));
            }
        }
        for (number, rest) in open {
            log.close(number, Some(rest));
        }
        log
    }

    /// Returns whether there is a record, whole or not.
    #[must_use]
    pub fn is_worth_decoding(&self) -> bool {
        !self.records.is_empty() || !self.problems.is_empty()
    }

    /// Takes a record that gets no more lines.
    fn close(&mut self, number: u64, open: Option<Open>) {
        let Some(open) = open else {
            return;
        };
        let missing: Vec<_> = (1..).zip(&open.lines).filter(|(_, line)| line.is_none()).collect();
        let mut there = open.lines.iter().flatten().map(|(at, _)| *at);
        let first = there.next().unwrap_or(0);
        let last = there.next_back().unwrap_or(first);
        let place = match first == last {
            true => format!("line {first}"),
            false => format!("lines {first} to {last}"),
        };
        if !missing.is_empty() {
            let missing: Vec<_> = missing.iter().map(|(line, _)| line.to_string()).collect();
            self.problems.push(format!(
                "{place}: record {number} is not whole: the log lacks its line {} of {LINES}",
                missing.join(", ")
            ));
            return;
        }
        let mut words = [0; WORDS];
        let given = open.lines.iter().flatten().flat_map(|(_, words)| words);
        for (place, &word) in words.iter_mut().zip(given) {
            *place = word;
        }
        match Record::check(words, checksum) {
            Some(record) if record.number() == number => self.records.push(record),
            Some(record) => self.problems.push(format!(
                "{place}: record {number} says that it is record {}: a line was damaged",
                record.number()
            )),
            None => self.problems.push(format!(
                "{place}: the checksum of record {number} is {:#010x}, but not that of its words: \
                 a line was damaged",
                words[word::CRC]
            )),
        }
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    Crc::<u32>::new(&CRC_32_ISCSI).checksum(bytes)
}

/// Parses `3 line 1 of 8: a b c`: the record's number, the line counted from 0, and its words.
fn parse(rest: &str) -> Option<(u64, usize, [u64; PER_LINE])> {
    let (number, rest) = rest.split_once(" line ")?;
    let (line, rest) = rest.split_once(" of ")?;
    let (lines, words) = rest.split_once(':')?;
    if lines.parse() != Ok(LINES) {
        return None;
    }
    let index = line.parse::<usize>().ok()?.checked_sub(1).filter(|&index| index < LINES)?;
    let mut found = [0; PER_LINE];
    let mut words = words.split_whitespace();
    for place in &mut found {
        *place = u64::from_str_radix(words.next()?, 16).ok()?;
    }
    words.next().is_none().then_some((number.parse().ok()?, index, found))
}
