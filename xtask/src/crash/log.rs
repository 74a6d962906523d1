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
    /// The number of the first line that has a record's line after other text than a time.
    pub indented: Option<usize>,
    /// Lines so far.
    taken: usize,
    open: BTreeMap<u64, Open>,
}

/// A record whose lines are not all there yet.
#[derive(Debug, Default)]
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
        console.lines.iter().for_each(|line| log.line(line));
        log.finish();
        log
    }

    /// Takes the next line, without its end and without escape sequences.
    pub fn line(&mut self, line: &str) {
        self.taken += 1;
        let at = self.taken;
        let start = format!("{EL2}{WORD}");
        let Some(rest) = without_time(line).strip_prefix(&start) else {
            if self.indented.is_none() && line.contains(&start) {
                self.indented = Some(at);
            }
            return;
        };
        let Some((number, index, words)) = parse(rest) else {
            self.problems.push(format!(
                "line {at}: not a line of a record: expected `{start}N line L of {LINES}:` and \
                 {PER_LINE} hex numbers"
            ));
            return;
        };
        // EL2 may print a record again when the machine ends or starts. The first line has the
        // checksum, so another record begins with another line.
        let is_known = match self.open.get(&number) {
            Some(open) => open.lines[index].is_some_and(|(_, line)| line == words),
            None => self.records.iter().any(|record| {
                let line = record.words().chunks(PER_LINE).nth(index);
                record.number() == number && line == Some(&words)
            }),
        };
        if is_known {
            return;
        }
        // Another run may have a record of the same number.
        if self.open.get(&number).is_some_and(|open| open.lines[index].is_some()) {
            let open = self.open.remove(&number);
            self.close(number, open);
        }
        let record = self.open.entry(number).or_default();
        record.lines[index] = Some((at, words));
        if record.lines.iter().all(Option::is_some) {
            let open = self.open.remove(&number);
            self.close(number, open);
        }
    }

    /// Ends the log: records that lack lines get no more.
    pub fn finish(&mut self) {
        for (number, rest) in std::mem::take(&mut self.open) {
            self.close(number, Some(rest));
        }
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

/// Returns a line without the time that a lab's logger or a terminal program has put before it:
/// digits and `:`, `.`, `,`, `-`, `+`, `/`, `T`, `Z`, perhaps in brackets, with a `:` or a `.`. A
/// guest's line begins with its partition's name in brackets, which has neither, so a guest cannot
/// forge such a line.
fn without_time(line: &str) -> &str {
    let Some(at) = line.find(EL2) else {
        return line;
    };
    let (time, rest) = line.split_at(at);
    let is_part = |byte: u8| byte.is_ascii_digit() || b" :.,-+/TZ[]()<>|".contains(&byte);
    let is_name = |text: &str| !text.contains([':', '.']);
    let named = time.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let is_guest = named.is_some_and(|(name, _)| is_name(name));
    match time.bytes().all(is_part) && !is_name(time) && !is_guest {
        true => rest,
        false => line,
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
