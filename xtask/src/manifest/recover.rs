//! What is left of a manifest that is no TOML: the tables without a syntax error, so that one slip hides no other.

use std::ops::Range;

use toml::de::DeTable;

use super::decode::Findings;
use super::report::Finding;

/// A manifest's text, parseable.
pub struct Sound {
    /// The text with damaged tables blanked: every other byte is where it was.
    pub text: String,
    /// Whether anything was blanked.
    pub tables_lost: bool,
    /// Whether the keys before the first table are among it.
    pub head_lost: bool,
}

/// Blanks every top-level table (`[[partition]]`, `[[channel]]`, the keys above them) that is no TOML by itself, and
/// reports its errors by rule `syntax`. What the parser would make of the rest of such a table would only mislead.
pub fn sound_tables(text: &str, findings: &Findings) -> Sound {
    let mut sound = Sound {
        text: text.to_owned(),
        tables_lost: false,
        head_lost: false,
    };
    for table in tables(text) {
        if report(&text[table.clone()], table.start, findings) {
            sound.tables_lost = true;
            sound.head_lost |= table.start == 0;
            sound
                .text
                .replace_range(table.clone(), &blank(&text[table]));
        }
    }
    // Tables can also be at odds with each other, as `partition = 1` is with `[[partition]]`.
    if report(&sound.text, 0, findings) {
        sound = Sound {
            text: blank(text),
            tables_lost: true,
            head_lost: true,
        };
    }
    sound
}

/// Reports what is no TOML in `text`, which stands `offset` bytes into the file; answers whether something is.
fn report(text: &str, offset: usize, findings: &Findings) -> bool {
    let (_, errors) = DeTable::parse_recoverable(text);
    findings.borrow_mut().extend(errors.iter().map(|error| {
        let Range { start, end } = error.span().unwrap_or(0..0);
        let place = offset + start..offset + end;
        Finding::new(place, "this is no TOML", error.message())
            .rule("syntax")
            .help("see https://toml.io for the syntax")
    }));
    !errors.is_empty()
}

/// Where the top-level tables stand: each from its header to the next one's, the first from the file's start.
fn tables(text: &str) -> Vec<Range<usize>> {
    let mut starts = vec![0];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let header = line.trim_start_matches('[').split(']').next().unwrap_or("");
        // `[partition.image]` belongs to the partition above it.
        if line.starts_with('[') && at > 0 && !header.contains('.') {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let tables = starts.iter().copied().zip(ends);
    tables.map(|(start, end)| start..end).collect()
}

/// As many bytes that say nothing, on the same lines.
fn blank(text: &str) -> String {
    let bytes = text.bytes();
    bytes
        .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
        .collect()
}
