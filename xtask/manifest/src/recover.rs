// SPDX-License-Identifier: MIT OR Apache-2.0
//! Recovers a manifest that is not valid TOML: keeps everything except the entries with a syntax
//! error, so that one slip does not hide another.

use std::ops::Range;

use toml::de::DeTable;

use super::decode::Findings;
use super::report::Finding;

/// Tables that may occur more than once.
pub const SEVERAL: [&str; 3] = ["partition", "channel", "ram"];

/// A manifest's text, parseable. Every byte that is kept is where it was.
pub struct Sound {
    /// The text. The value of a damaged entry is 0; damaged tables are blank.
    pub text: String,
    /// The places of damaged entries: a finding there is about the 0 and is dropped.
    pub lost: Vec<Range<usize>>,
    /// Whether a table was blanked.
    pub tables_lost: bool,
    /// Whether the keys before the first table were blanked.
    pub head_lost: bool,
}

/// Removes invalid TOML from a manifest, and reports it by rule `syntax`: the entry if that is
/// enough, or else its top-level table. The parser's reading of the rest of such an entry would
/// mislead.
pub fn sound(text: &str, findings: &Findings) -> Sound {
    let mut sound =
        Sound { text: text.to_owned(), lost: Vec::new(), tables_lost: false, head_lost: false };
    if is_toml(text) {
        return sound;
    }
    for table in tables(text) {
        let part = &text[table.clone()];
        if let Some(name) = lone_header(part) {
            let place = table.start..table.start + name.len() + 2;
            let title = format!("`[{name}]` is a single table, but there may be several");
            findings.borrow_mut().push(
                Finding::new(place, title, "a header with one bracket")
                    .rule("syntax")
                    .help(format!("write `[[{name}]]`")),
            );
        } else if is_toml(part) {
            continue;
        } else if let Some((mended, errors)) = mend(part) {
            for (entry, error) in errors {
                let entry = entry.start + table.start..entry.end + table.start;
                report(&error, entry.start, findings);
                sound.lost.push(entry);
            }
            sound.text.replace_range(table, &mended);
            continue;
        } else {
            for error in DeTable::parse_recoverable(part).1 {
                report(&error, table.start, findings);
            }
        }
        sound.tables_lost = true;
        sound.head_lost |= table.start == 0;
        sound.text.replace_range(table, &blank(part));
    }
    // Tables can also contradict each other, as `partition = 1` does with `[[partition]]`.
    let (_, errors) = DeTable::parse_recoverable(&sound.text);
    if !errors.is_empty() {
        errors.iter().for_each(|error| report(error, 0, findings));
        sound.text = blank(text);
        (sound.tables_lost, sound.head_lost) = (true, true);
    }
    sound
}

fn is_toml(text: &str) -> bool {
    DeTable::parse_recoverable(text).1.is_empty()
}

/// Reports invalid TOML; the text that was parsed starts `offset` bytes into the file.
fn report(error: &toml::de::Error, offset: usize, findings: &Findings) {
    let Range { start, end } = error.span().unwrap_or(0..0);
    let place = offset + start..offset + end;
    findings.borrow_mut().push(
        Finding::new(place, "invalid TOML", error.message())
            .rule("syntax")
            .help("see https://toml.io for the syntax"),
    );
}

/// An entry that is not valid TOML, with the parser's first error; the further errors follow from
/// it.
type Damage = (Range<usize>, toml::de::Error);

/// Replaces the value of every entry that is not valid TOML by 0, and returns the table with those
/// entries. None if the table is still not valid TOML.
fn mend(table: &str) -> Option<(String, Vec<Damage>)> {
    let mut mended = table.to_owned();
    let mut errors = Vec::new();
    for entry in entries(table) {
        let text = &table[entry.clone()];
        let Some(error) = DeTable::parse_recoverable(text).1.into_iter().next() else {
            continue;
        };
        let key = key(text)?;
        let rest = blank(&text[key.len()..]);
        mended.replace_range(entry.clone(), &format!("{key}=0{}", rest.get(2..)?));
        errors.push((entry, error));
    }
    is_toml(&mended).then_some((mended, errors))
}

/// The places of a table's entries: each from its key at the start of a line to its value's end.
fn entries(table: &str) -> Vec<Range<usize>> {
    let is_start = |line: &str| key(line).is_some_and(|key| !matches!(key, "true" | "false"));
    let trimmed = |range: Range<usize>| {
        let text = table[range.clone()].trim_end();
        range.start..range.start + text.len()
    };
    let mut starts: Vec<_> = lines(table)
        .filter(|(_, line)| is_start(line) || line.starts_with('['))
        .map(|(at, _)| at)
        .collect();
    starts.push(table.len());
    let entries = starts.windows(2).map(|pair| trimmed(pair[0]..pair[1]));
    entries.filter(|entry| !table[entry.clone()].starts_with('[')).collect()
}

/// The bare key that a text starts with.
fn key(text: &str) -> Option<&str> {
    let is_key = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let end = text.find(|c| !is_key(c)).unwrap_or(text.len());
    text.starts_with(|c: char| c.is_ascii_alphabetic()).then(|| &text[..end])
}

/// The name in a header with one bracket that needs two.
fn lone_header(table: &str) -> Option<&str> {
    let name = table.strip_prefix('[')?.split(']').next()?;
    SEVERAL.contains(&name).then_some(name)
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len();
        Some((start, line))
    })
}

/// The places of the top-level tables: each from its header to the next one's, the first from the
/// file's start.
fn tables(text: &str) -> Vec<Range<usize>> {
    let mut starts = vec![0];
    for (at, line) in lines(text) {
        let header = line.trim_start_matches('[').split(']').next().unwrap_or("");
        // `[partition.image]` belongs to the partition above it.
        if line.starts_with('[') && at > 0 && !header.contains('.') {
            starts.push(at);
        }
    }
    starts.push(text.len());
    starts.windows(2).map(|pair| pair[0]..pair[1]).collect()
}

/// Returns as many blanks, on the same lines.
fn blank(text: &str) -> String {
    let bytes = text.bytes();
    bytes.map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}
