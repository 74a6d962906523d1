// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines of at most 100 columns: finds wider ones, and fills paragraphs of Markdown and comments
//! anew. rustfmt's stable release does not touch comments.

/// Most columns of a line.
pub const WIDTH: usize = 100;
/// Longest code span that is not broken.
const SPAN: usize = 60;
/// Most columns by which a list item's later lines are indented.
const HANGING: usize = 4;
/// The word after the fence of a block of plain text.
const PLAIN: &str = "text";
/// Words that start a line of their own.
const STARTS: &[&str] = &["Held by", "Not tested:"];

/// Where a file has prose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All of it is Markdown.
    Markdown,
    /// Comments that start with one of these signs, the longest first. All else is code.
    Code(&'static [&'static str]),
}

impl Kind {
    /// Returns the kind of a file of this name and start; none if its lines may be of any length.
    #[must_use]
    pub fn of(path: &str, text: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        match ending {
            "md" => Some(Self::Markdown),
            "rs" => Some(Self::Code(&["///", "//!", "//"])),
            "c" | "h" => Some(Self::Code(&["*", "//"])),
            "S" | "s" | "ld" => Some(Self::Code(&["//", "#"])),
            "toml" | "yml" | "sh" => Some(Self::Code(&["#"])),
            _ if text.starts_with("#!") || name.starts_with('.') => Some(Self::Code(&["#"])),
            _ => None,
        }
    }
}

/// Returns the columns of a line: a tab goes to the next multiple of eight.
fn columns(line: &str) -> usize {
    line.chars().fold(0, |column, c| match c {
        '\t' => (column / 8 + 1) * 8,
        _ => column + 1,
    })
}

/// Splits a line into a comment's sign (with what is in front of it) and its text; none if the line
/// is code.
fn comment<'a>(line: &'a str, signs: &[&str]) -> Option<(&'a str, &'a str)> {
    let indented = line.trim_start();
    let sign = signs.iter().find(|sign| indented.starts_with(**sign))?;
    Some(line.split_at(line.len() - indented.len() + sign.len()))
}

/// Returns lines that are too wide, counted from 1, with their widths. A table's row, a program's
/// output (a block of plain text), a word and a code span cannot be broken.
#[must_use]
pub fn wide(kind: Kind, text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut fence = None;
    for (number, line) in text.lines().enumerate() {
        let width = columns(line);
        let content = match kind {
            Kind::Markdown => Some(line),
            Kind::Code(signs) => comment(line, signs).map(|(_, text)| text),
        };
        if let Some(sign) = content.and_then(|text| text.trim_start().strip_prefix("```")) {
            fence = fence.xor(Some(sign));
        }
        let content = content.unwrap_or(line);
        let content = &content[marker(content)..];
        let is_row = content.trim_start().starts_with('|');
        let is_printed = fence == Some(PLAIN);
        if width > WIDTH && !is_row && !is_printed && words(content).len() > 1 {
            found.push((number + 1, width));
        }
    }
    found
}

/// Fills every paragraph anew that has a line which is too wide.
#[must_use]
pub fn filled(kind: Kind, text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let mut out = Vec::new();
    match kind {
        Kind::Markdown => out = blocks(&lines, WIDTH),
        Kind::Code(signs) => {
            let mut rest = &lines[..];
            while let Some((first, others)) = rest.split_first() {
                let Some((sign, _)) = comment(first, signs).filter(|(_, text)| is_prose(text))
                else {
                    out.push((*first).to_string());
                    rest = others;
                    continue;
                };
                let run = rest.iter().map_while(|line| prose_after(line, sign, signs));
                let run: Vec<_> = run.collect();
                rest = &rest[run.len()..];
                let width = WIDTH.saturating_sub(columns(sign) + 1);
                let filled = blocks(&run, width).into_iter();
                out.extend(filled.map(|line| match line.as_str() {
                    "" => sign.to_string(),
                    line => format!("{sign} {line}"),
                }));
            }
        }
    }
    let mut text = out.join("\n");
    text.push('\n');
    text
}

/// Returns the prose of a line whose comment also starts with `sign`.
fn prose_after<'a>(line: &'a str, sign: &str, signs: &[&str]) -> Option<&'a str> {
    let (_, text) =
        comment(line, signs).filter(|(other, text)| *other == sign && is_prose(text))?;
    Some(text.strip_prefix(' ').unwrap_or(text))
}

/// Whether the text after a comment's sign is prose: `//x` and `////` are not.
fn is_prose(text: &str) -> bool {
    text.is_empty() || text.starts_with(' ')
}

/// Returns the bytes of a list item's or a quote's marker, with the spaces around it; 0 if there is
/// none.
fn marker(line: &str) -> usize {
    let text = line.trim_start();
    let indent = line.len() - text.len();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let sign = match text.as_bytes().get(digits) {
        Some(b'.' | b')') if digits > 0 => digits + 1,
        Some(b'-' | b'*' | b'+' | b'>') if digits == 0 => 1,
        _ => return 0,
    };
    let after = &text[sign..];
    let spaces = after.len() - after.trim_start_matches(' ').len();
    match spaces {
        0 => 0,
        _ => indent + sign + spaces,
    }
}

/// A paragraph's lines, whose first starts with a marker.
#[derive(Default)]
struct Paragraph<'a> {
    lines: Vec<&'a str>,
}

impl Paragraph<'_> {
    /// Ends the paragraph: its lines are unchanged, or filled anew if one is too wide.
    fn end(&mut self, width: usize, out: &mut Vec<String>) {
        let lines = std::mem::take(&mut self.lines);
        let Some(first) = lines.first() else {
            return;
        };
        let is_wide = lines.iter().any(|line| line.chars().count() > width);
        // Columns set by hand are not prose.
        let has_columns = |line: &&str| line[marker(line)..].trim().contains("   ");
        if !is_wide || lines.iter().any(has_columns) {
            out.extend(lines.iter().map(|line| (*line).to_string()));
            return;
        }
        let indent = |line: &str| line.len() - line.trim_start().len();
        let (start, text) = first.split_at(marker(first).max(indent(first)));
        let hanging = if start.trim_start().starts_with('>') {
            start.to_string()
        } else {
            let next = lines.get(1).map_or(start.len().min(HANGING), |line| indent(line));
            " ".repeat(next)
        };
        let rest = lines[1..].iter().map(|line| {
            let line = line.trim_start();
            line.strip_prefix("> ").filter(|_| hanging.contains('>')).unwrap_or(line)
        });
        let text: Vec<_> = std::iter::once(text).chain(rest).collect();
        fill(&text.join(" "), start, &hanging, width, out);
    }
}

/// Fills the paragraphs among `lines` that are too wide, and keeps everything else.
fn blocks(lines: &[&str], width: usize) -> Vec<String> {
    let mut out = Vec::new();
    let mut paragraph = Paragraph::default();
    let mut fenced = false;
    for &line in lines {
        let text = line.trim_start();
        let is_fence = text.starts_with("```");
        let is_code = line.starts_with("    ") && paragraph.lines.is_empty() && marker(line) == 0;
        let is_fixed = text.is_empty()
            || text.starts_with(['|', '#', '<'])
            || text.starts_with('[') && !text.starts_with("[`") && text.contains("]: ");
        if fenced || is_fence || is_fixed || is_code {
            paragraph.end(width, &mut out);
            out.push(line.to_string());
            fenced ^= is_fence;
            continue;
        }
        let is_quote = text.starts_with("> ") && !paragraph.lines.is_empty();
        let starts = STARTS.iter().any(|start| text.starts_with(start));
        if starts || marker(line) > 0 && !is_quote {
            paragraph.end(width, &mut out);
        }
        paragraph.lines.push(line);
        if line.ends_with("  ") || line.ends_with('\\') {
            paragraph.end(width, &mut out);
        }
    }
    paragraph.end(width, &mut out);
    out
}

/// Splits a text into words. A code span is one word, and a word that would start a block at a
/// line's start stays with the word before it.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for word in text.split_whitespace() {
        let ticks = word.matches('`').count() % 2 == 1;
        let joins = open && words.last().is_some_and(|last| last.chars().count() < SPAN);
        let starts_block = marker(&format!("{word} x")) > 0 || word.starts_with(['#', '|', '>']);
        match words.last_mut() {
            Some(last) if joins || starts_block => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_string()),
        }
        open ^= ticks;
    }
    words
}

/// Fills `text` into lines of at most `width` columns: the first starts with `first`, all others
/// with `others`.
fn fill(text: &str, first: &str, others: &str, width: usize, out: &mut Vec<String>) {
    let mut line = first.to_string();
    let mut is_empty = true;
    for word in words(text) {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width {
            out.push(std::mem::replace(&mut line, others.to_string()));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(&word);
        is_empty = false;
    }
    out.push(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUST: &str = "a/b.rs";

    fn kind(path: &str) -> Kind {
        Kind::of(path, "").expect("it has prose")
    }

    #[test]
    fn wide_lines_are_found() {
        let long = "x".repeat(99);
        let page = format!(
            "a {long}\n| {long} {long} |\n- {long}{long}\n{long} \n- `a {long}`\n\
             ```text\na {long}\n```\n"
        );
        assert_eq!(wide(kind("a.md"), &page), [(1, 101)]);
        let source = format!("//! {long}y\n  /// a {long}\nlet {long};\n/// | {long} {long}\n");
        assert_eq!(wide(kind(RUST), &source), [(2, 107), (3, 104)]);
        assert_eq!(wide(kind("a.toml"), &format!("# a {long}\n")), [(1, 103)]);
        let source = format!("\t * a {long}\n\tint {};\n", "x ".repeat(44));
        assert_eq!(wide(kind("a.h"), &source), [(1, 112), (2, 101)]);
        assert_eq!(Kind::of("a/b.svg", ""), None);
        assert!(Kind::of("a/init", "#!/bin/sh\n").is_some());
    }

    #[test]
    fn paragraphs_are_filled() {
        // Of these, 19 fit in 100 columns.
        let words = |count| vec!["word"; count].join(" ");
        let long = words(30);
        let page =
            format!("short\nlines\n\n- {long}\n  more\n- b\n\n> {long}\n> more\n\n1. {long}\n");
        let (line, rest) = (words(19), words(11));
        let wanted = format!(
            "short\nlines\n\n- {line}\n  {rest} more\n- b\n\n> {line}\n> {rest} more\n\n\
             1. {line}\n   {rest}\n"
        );
        assert_eq!(filled(kind("a.md"), &page), wanted);
    }

    #[test]
    fn code_stays() {
        let long = vec!["x"; 60].join(" ");
        let fixed = format!(
            "fn a() {{ {long} }}\n//{long}\n/// ```\n/// {long}\n/// ```\n/// | {long} |\n//     \
             {long}\n"
        );
        assert_eq!(filled(kind(RUST), &fixed), fixed);
    }

    #[test]
    fn comments_are_filled() {
        let source = format!("    /// {}\n    /// end.\n    // Other.\n", "word ".repeat(19));
        let wanted =
            format!("    /// {}word\n    /// word end.\n    // Other.\n", "word ".repeat(17));
        assert_eq!(filled(kind(RUST), &source), wanted);
    }

    #[test]
    fn spans_and_signs_stay_whole() {
        assert_eq!(words("a `b c` d - e 1. f # g"), ["a", "`b c`", "d -", "e 1.", "f #", "g"]);
        let mut out = Vec::new();
        fill("12 `4 6` 8", "", "  ", 6, &mut out);
        assert_eq!(out, ["12", "  `4 6`", "  8"]);
    }

    #[test]
    fn filling_changes_no_word() {
        for path in ["docs/boot.md", "docs/SPECIFICATION.md", "hyp/plan/src/lib.rs"] {
            let text =
                std::fs::read_to_string(runner::workspace::root().join(path)).expect("a file");
            let narrow = filled(kind(path), &text);
            let plain = |text: &str| {
                let words = text.split_whitespace();
                let words = words.filter(|word| !["//", "///", "//!"].contains(word));
                words.map(str::to_string).collect::<Vec<_>>()
            };
            assert_eq!(plain(&text), plain(&narrow), "{path}");
            assert!(filled(kind(path), &narrow) == narrow, "{path}");
        }
    }
}
