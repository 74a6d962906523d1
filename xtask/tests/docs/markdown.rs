// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the parts of a Markdown page that these tests check: links, code spans, headings, table
//! rows, blocks of code.

/// A part of a page at one line (counted from 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The line.
    pub line: usize,
    /// The part.
    pub what: T,
}

/// A page.
#[derive(Debug, Default)]
pub struct Page {
    /// Targets of links and images: `text` is the text in brackets.
    pub links: Vec<At<Link>>,
    /// Text between backticks, outside blocks of code.
    pub spans: Vec<At<String>>,
    /// Lines inside fenced blocks of code.
    pub code: Vec<At<String>>,
    /// The anchors of its headings, as GitHub makes them.
    pub anchors: Vec<String>,
    /// Table rows as cells, the line of dashes left out.
    pub rows: Vec<At<Vec<String>>>,
    /// `name` in [text](target): names that the page places in a file.
    pub placed: Vec<At<Placed>>,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its target.
    pub target: String,
}

/// A name and the file that a page says it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The code span.
    pub name: String,
    /// The link's target.
    pub target: String,
}

impl Page {
    /// The rows of every table whose first column has this head.
    pub fn table(&self, head: &str) -> Vec<&At<Vec<String>>> {
        let mut rows = Vec::new();
        // The line after which the next row continues such a table. The line of dashes is left out.
        let mut last = None;
        for row in &self.rows {
            let goes_on = last.is_some_and(|line| row.line <= line + 2);
            if goes_on {
                rows.push(row);
            }
            last = (goes_on || row.what[0] == head).then_some(row.line);
        }
        rows
    }
}

/// Reads a page.
pub fn read(text: &str) -> Page {
    let mut page = Page::default();
    let mut fenced = false;
    // A link or a code span may continue on the next line, so paragraphs are read as one text.
    let mut paragraph = String::new();
    let mut start = 1;
    for (number, line) in text.lines().enumerate().map(|(n, line)| (n + 1, line)) {
        if line.trim_start().starts_with("```") {
            finish(&mut page, &mut paragraph, start);
            fenced = !fenced;
            continue;
        }
        if fenced {
            page.code.push(At { line: number, what: line.to_owned() });
            continue;
        }
        if line.trim().is_empty() || line.starts_with('|') || line.starts_with('#') {
            finish(&mut page, &mut paragraph, start);
        }
        if let Some(heading) = line.strip_prefix('#') {
            let heading = heading.trim_start_matches('#');
            let slug = slug(heading.trim());
            let same = page.anchors.iter().filter(|a| {
                a.strip_prefix(&slug).is_some_and(|rest| {
                    rest.is_empty()
                        || rest.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok())
                })
            });
            let count = same.count();
            page.anchors.push(match count {
                0 => slug,
                _ => format!("{slug}-{count}"),
            });
        }
        if line.starts_with('|') {
            let cells = cells(line);
            if !cells.iter().all(|cell| cell.starts_with("---") || cell == "--") {
                page.rows.push(At { line: number, what: cells });
            }
        }
        if paragraph.is_empty() {
            start = number;
        }
        paragraph.push_str(line);
        paragraph.push('\n');
        if line.starts_with('|') || line.starts_with('#') {
            finish(&mut page, &mut paragraph, start);
        }
    }
    finish(&mut page, &mut paragraph, start);
    page
}

/// Cells of a table's line; `\|` does not end one.
fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').replace("\\|", "\u{1}");
    let inner = inner.strip_suffix('|').unwrap_or(&inner);
    let cells = inner.split('|').map(|cell| cell.trim().replace('\u{1}', "|"));
    cells.collect()
}

/// GitHub's anchor of a heading: lower case, blanks to hyphens, punctuation left out.
pub fn slug(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

/// The pieces of a paragraph: code spans, links, and the text between them.
enum Piece {
    Span(String),
    Link(String),
    Text(String),
}

/// Takes the paragraph that was collected, and empties it.
fn finish(page: &mut Page, paragraph: &mut String, start: usize) {
    let mut pieces: Vec<At<Piece>> = Vec::new();
    let mut rest = paragraph.as_str();
    let mut line = start;
    let mut text = String::new();
    let flush = |pieces: &mut Vec<At<Piece>>, text: &mut String, line| {
        if !text.is_empty() {
            let what = Piece::Text(std::mem::take(text));
            pieces.push(At { line, what });
        }
    };
    while let Some(c) = rest.chars().next() {
        let taken = if c == '`' {
            let ticks = rest.len() - rest.trim_start_matches('`').len();
            let fence = &rest[..ticks];
            rest[ticks..].find(fence).map(|end| {
                let inner = rest[ticks..ticks + end].replace('\n', " ");
                (2 * ticks + end, Piece::Span(inner.trim().to_owned()))
            })
        } else if let Some(inner) = rest.strip_prefix("](") {
            let end = inner.find(')');
            end.map(|end| {
                let target = inner[..end].split_whitespace().next().unwrap_or_default();
                (2 + end + 1, Piece::Link(target.to_owned()))
            })
        } else {
            None
        };
        let length = match taken {
            Some((length, piece)) => {
                flush(&mut pieces, &mut text, line);
                pieces.push(At { line, what: piece });
                length
            }
            None => {
                text.push(c);
                c.len_utf8()
            }
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    flush(&mut pieces, &mut text, line);
    for (at, piece) in pieces.iter().enumerate() {
        match &piece.what {
            Piece::Span(span) => page.spans.push(At { line: piece.line, what: span.clone() }),
            Piece::Link(target) => {
                page.links.push(At { line: piece.line, what: Link { target: target.clone() } });
                place(page, &pieces[..at], target);
            }
            Piece::Text(_) => {}
        }
    }
    paragraph.clear();
}

/// If `before` ends with spans and ` in [text`, places each of them in `target`: `a`, `b` and `c`
/// in [file](target).
fn place(page: &mut Page, before: &[At<Piece>], target: &str) {
    let mut joint: fn(&str) -> bool = |text| {
        let words = text.split_whitespace().collect::<Vec<_>>();
        let opened = words.iter().position(|word| word.starts_with('['));
        opened == Some(1) && words[0] == "in"
    };
    let mut pieces = before.iter().rev();
    while let (
        Some(At { what: Piece::Text(text), .. }),
        Some(At { line, what: Piece::Span(name) }),
    ) = (pieces.next(), pieces.next())
    {
        if !joint(text) {
            return;
        }
        page.placed.push(At {
            line: *line,
            what: Placed { name: name.clone(), target: target.to_owned() },
        });
        joint = |text| matches!(text.trim(), "and" | "," | ", and" | "or");
    }
}
