//! `cargo xtask abi`: writes the generated files of `hyp/abi` and `hyp/channel`: the C header, and
//! the tables of docs/guest-abi.md. Values and texts come from the constants and their doc
//! comments.

use anyhow::{Context, Result, ensure};
use runner::ui;
use runner::workspace::{self, root};

/// The sources: calls, and the layout of channels.
const SOURCES: [&str; 2] = ["hyp/abi/src/lib.rs", "hyp/channel/src/shape.rs"];
/// The C header.
const HEADER: &str = "hyp/channel/include/bulkhead_abi.h";
/// The page with the tables.
const PAGE: &str = "docs/guest-abi.md";
/// Widest line of the header.
const WIDTH: usize = 100;

/// The header's part of each group of constants: the group's name in Rust, its prefix in C, the
/// comment for C programmers.
const IN_HEADER: &[(&str, &str, &str)] = &[
    (
        "call",
        "CALL",
        "Calls: function number in W0, arguments from X1, result in X0, by HVC or SMC (Arm DEN \
         0028).",
    ),
    ("error", "ERROR", "Errors of calls, in X0."),
    ("ring", "RING", "Answers of RING."),
    ("supervise", "SUPERVISE", "Items of SUPERVISE."),
    ("query", "QUERY", "Items of QUERY."),
    ("status", "STATUS", "Items of STATUS."),
    ("state", "STATE", "Answers of PEER."),
    ("Reason", "REASON", "Reasons of ENTRIES."),
    (
        "wait",
        "WAIT",
        "How an end waits: numbers for the words in its device-tree node. Only DOORBELL ends are \
         rung.",
    ),
    (
        "layout",
        "LAYOUT",
        "Offsets in a channel's region, in bytes: indices and wanted indices (uint32_t), then the \
         data.",
    ),
    ("tree", "TREE", "Strings and properties of the device tree."),
];

/// The tables of the page: the group, and its words' spelling: as constants, or as EL2's lines and
/// reports print them.
const IN_PAGE: &[(&str, Names)] = &[
    ("call", Names::Constants),
    ("error", Names::Constants),
    ("ring", Names::Constants),
    ("supervise", Names::Constants),
    ("query", Names::Constants),
    ("status", Names::Constants),
    ("state", Names::Words),
    ("Reason", Names::Words),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Constants,
    Words,
}

/// Constants that belong together: a module, or an enum with numbers.
#[derive(Debug, Default)]
struct Group {
    name: String,
    constants: Vec<Constant>,
}

#[derive(Debug)]
struct Constant {
    name: String,
    value: String,
    /// Lines of its doc comment.
    doc: Vec<String>,
}

/// Writes the header and the page's tables; prints which of them changed.
///
/// # Errors
/// If a source or the page cannot be read, lacks something, or cannot be written.
pub fn command() -> Result<()> {
    for (file, text) in generated()? {
        let path = root().join(file);
        let same = std::fs::read_to_string(&path).is_ok_and(|old| old == text);
        if !same {
            workspace::write(&path, text.as_bytes())?;
        }
        ui::say(format_args!("{file}: {}", if same { "unchanged" } else { "written" }));
    }
    Ok(())
}

/// The generated files: names and texts.
fn generated() -> Result<[(&'static str, String); 2]> {
    let read = |file: &str| {
        std::fs::read_to_string(root().join(file)).with_context(|| format!("cannot read {file}"))
    };
    let mut groups = Vec::new();
    for source in SOURCES {
        groups.extend(parse(&read(source)?));
    }
    Ok([(HEADER, header(&groups)?), (PAGE, page(&read(PAGE)?, &groups)?)])
}

/// Reads the constants of a source, each on one line as rustfmt writes it. Arrays are left out.
fn parse(source: &str) -> Vec<Group> {
    let mut groups = vec![Group::default()];
    let mut doc = Vec::new();
    let mut is_open = false;
    for line in source.lines() {
        let text = line.trim();
        if let Some(line) = text.strip_prefix("///") {
            doc.push(line.trim().to_owned());
            continue;
        }
        let opened = ["pub mod ", "pub enum "]
            .iter()
            .find_map(|start| text.strip_prefix(start)?.strip_suffix(" {"));
        if let Some(name) = opened {
            is_open = true;
            groups.push(Group { name: name.to_owned(), constants: Vec::new() });
        } else if line == "}" {
            is_open = false;
        } else if let Some((name, value)) = constant(text)
            // Constants of an `impl` block belong to no group.
            && (is_open || line == text)
        {
            let at = if is_open { groups.len() - 1 } else { 0 };
            groups[at].constants.push(Constant { name, value, doc: std::mem::take(&mut doc) });
        }
        if !text.starts_with("#[") {
            doc.clear();
        }
    }
    groups
}

/// The name and the value that a line defines: `pub const NAME: TYPE = VALUE;` or a variant
/// `Name = VALUE,`.
fn constant(text: &str) -> Option<(String, String)> {
    let (name, value) = match text.strip_prefix("pub const ") {
        Some(rest) => {
            let (name, rest) = rest.split_once(": ")?;
            (name, rest.split_once(" = ")?.1.strip_suffix(';')?)
        }
        None => text.strip_suffix(',')?.split_once(" = ")?,
    };
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (is_name && !value.starts_with(['[', '&'])).then(|| (name.to_owned(), value.to_owned()))
}

impl Constant {
    /// Returns its doc comment's text, without the list.
    fn text(&self) -> String {
        let lines = self.doc.iter().take_while(|line| !line.starts_with("- "));
        let text: Vec<_> = lines.map(String::as_str).filter(|line| !line.is_empty()).collect();
        without_links(&text.join(" "))
    }

    /// Returns the entry `key` of its doc comment's list, without the full stop.
    fn entry(&self, key: &str) -> String {
        let is_entry = |line: &&String| {
            let entry = line.strip_prefix("- ");
            entry.is_some_and(|entry| entry.starts_with(key))
        };
        let lines: Vec<_> = self.doc.iter().skip_while(|line| !is_entry(line)).collect();
        let (first, rest) = lines
            .split_first()
            .map_or(("", &[][..]), |(first, rest)| (first.trim_start_matches("- "), rest));
        let goes_on = |line: &&&String| !line.is_empty() && !line.starts_with("- ");
        let rest = rest.iter().take_while(goes_on).map(|line| line.as_str());
        let text: Vec<_> = std::iter::once(first).chain(rest).collect();
        let text = text.join(" ");
        let text = text.trim_start_matches(key).trim_start_matches(": ");
        without_links(text.strip_suffix('.').unwrap_or(text))
    }
}

/// Replaces the links of a doc comment by plain code: of a path only the last name is left.
fn without_links(text: &str) -> String {
    let mut pieces = text.split("[`");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (path, rest) = piece.split_once("`]").unwrap_or((piece, ""));
        let name = path.rsplit("::").next().unwrap_or(path);
        plain += &format!("`{name}`{rest}");
    }
    plain
}

fn group<'a>(groups: &'a [Group], name: &str) -> Result<&'a Group> {
    let found = groups.iter().find(|group| group.name == name);
    let group = found.with_context(|| format!("{}: no `{name}`", SOURCES.join(", ")))?;
    ensure!(!group.constants.is_empty(), "`{name}` has no constants");
    for constant in &group.constants {
        ensure!(!constant.text().is_empty(), "`{name}::{}` has no doc comment", constant.name);
    }
    Ok(group)
}

/// The C header.
fn header(groups: &[Group]) -> Result<String> {
    let mut text =
        "/*\n * Bulkhead's guest interface for C. Written by `cargo xtask abi` from the Rust \
         crates\n * bulkhead-abi and bulkhead-channel: change it there.\n */\n\
         #ifndef BULKHEAD_ABI_H\n#define BULKHEAD_ABI_H\n\n"
            .to_owned();
    for constant in &group(groups, "")?.constants {
        text += &definition("", constant);
    }
    for (name, prefix, says) in IN_HEADER {
        text += &format!("\n/* {says} */\n\n");
        for constant in &group(groups, name)?.constants {
            text += &definition(&format!("{prefix}_"), constant);
        }
    }
    Ok(text + "\n#endif\n")
}

/// One `#define`, with its comment above.
fn definition(prefix: &str, constant: &Constant) -> String {
    let mut lines = vec![String::from("/*")];
    for word in constant.text().split_whitespace() {
        let width = lines.last().map_or(0, String::len);
        if width + 1 + word.len() + 3 > WIDTH {
            lines.push(String::from(" *"));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    let value = match constant.value.as_str() {
        value if value.starts_with('-') => format!("({value})"),
        value if value.starts_with('"') => value.to_owned(),
        value => value.replace('_', ""),
    };
    let name = constant.name.to_uppercase();
    format!("{} */\n#define BULKHEAD_{prefix}{name} {value}\n", lines.join("\n"))
}

/// Returns the line that starts a table of the page.
fn begin(group: &str) -> String {
    format!("<!-- {}: written by `cargo xtask abi` -->\n", group.to_lowercase())
}
const END: &str = "<!-- end -->\n";

/// Returns the page with its tables as they must be.
fn page(old: &str, groups: &[Group]) -> Result<String> {
    let mut page = old.to_owned();
    for (name, names) in IN_PAGE {
        let begin = begin(name);
        let wanted =
            || format!("{PAGE}: no line `{}`, or no `{}` after it", begin.trim(), END.trim());
        let (before, rest) = page.split_once(&begin).with_context(wanted)?;
        let (_, after) = rest.split_once(END).with_context(wanted)?;
        page = format!("{before}{begin}{}{END}{after}", table(group(groups, name)?, *names));
    }
    Ok(page)
}

fn table(group: &Group, names: Names) -> String {
    let is_call = group.name == "call";
    let mut text = String::from(match is_call {
        true => {
            "| function | call | what it does | arguments | result in X0 | errors |\n\
             |---|---|---|---|---|---|\n"
        }
        false => "| number | name | meaning |\n|---|---|---|\n",
    });
    for constant in &group.constants {
        let name = match names {
            Names::Constants => constant.name.clone(),
            Names::Words => constant.name.to_lowercase(),
        };
        let mut cells = vec![number(&constant.value), format!("`{name}`"), constant.text()];
        if is_call {
            cells.extend(["Arguments", "Result", "Errors"].map(|key| constant.entry(key)));
        }
        let row = cells.iter().map(|cell| match cell.as_str() {
            "" => " |".to_owned(),
            cell => format!(" {cell} |"),
        });
        text += &format!("|{}\n", row.collect::<String>());
    }
    text
}

/// Formats a number for the page: function numbers as code.
fn number(value: &str) -> String {
    match value.starts_with("0x") {
        true => format!("`{value}`"),
        false => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_header_and_tables_are_the_generated_ones() {
        for (file, text) in generated().expect("sources and page") {
            let committed = std::fs::read_to_string(root().join(file)).unwrap_or_default();
            assert!(committed == text, "{file} does not match hyp/abi: run `cargo xtask abi`");
        }
    }

    const SOURCE: &str = "\
/// Alone.
pub const REVISION: u32 = 7;
/// Calls.
pub mod call {
    /// Does it: [`super::Reason`].
    ///
    /// - Arguments: X1 = item ([`super::query`]).
    /// - Errors: [`super::error::BAD`],
    ///   [`super::error::WORSE`].
    pub const DO_IT: u32 = 0xc600_0000;
    /// Words.
    pub const NAMES: [&str; 1] = [\"x\"];
}
/// Why.
#[repr(u8)]
pub enum Reason {
    /// Some.
    Other = -1,
}
";

    #[test]
    fn constants_are_read_with_their_texts() {
        let groups = parse(SOURCE);
        let names: Vec<_> = groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(names, ["", "call", "Reason"]);
        assert_eq!(groups[0].constants[0].value, "7");
        assert_eq!(groups[1].constants.len(), 1, "arrays are left out");
        assert_eq!(
            table(&groups[1], Names::Constants).lines().last(),
            Some(
                "| `0xc600_0000` | `DO_IT` | Does it: `Reason`. | X1 = item (`query`) | \
                 | `BAD`, `WORSE` |"
            )
        );
        assert_eq!(
            table(&groups[2], Names::Words).lines().last(),
            Some("| -1 | `other` | Some. |")
        );
        assert_eq!(
            definition("REASON_", &groups[2].constants[0]),
            "/* Some. */\n#define BULKHEAD_REASON_OTHER (-1)\n"
        );
    }

    /// Manual changes of generated tables are corrected; a page without a place for a table is an
    /// error.
    #[test]
    fn a_page_that_says_something_else_is_seen() {
        let read = |file: &str| std::fs::read_to_string(root().join(file)).expect("a file");
        let groups: Vec<Group> = SOURCES.iter().flat_map(|file| parse(&read(file))).collect();
        let good = read(PAGE);
        let bad = good.replace("| `0xc600_0003` | `RING` |", "| `0xc600_0033` | `RING` |");
        assert!(bad != good && page(&bad, &groups).expect("a page") == good);
        let without = good.replace(&begin("call"), "");
        let error = page(&without, &groups).expect_err("no place").to_string();
        assert!(error.contains("<!-- call: written by `cargo xtask abi` -->"), "{error}");
    }
}
