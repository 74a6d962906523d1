// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks a page against the repository: everything that it names must exist.

use crate::markdown::{self, Page};
use crate::repository::{Repository, nearest};
use std::fmt::{Display, Formatter};
use std::path::{Component, Path, PathBuf};

/// A name on a page that does not exist.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// The page.
    pub page: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what may have been meant.
    pub what: String,
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.page.display(), self.line, self.what)
    }
}

/// Endings of file names that are checked on every page.
const SOURCES: &[&str] = &["rs", "md", "ld", "h", "toml", "json", "svg"];

/// Prefixes of function numbers (DEN 0028: fast calls of the services that EL2 answers).
const CALL_NUMBERS: &[&str] = &["0x8000_", "0x8400_", "0xc400_", "0x8600_", "0xc600_"];

/// Checks a page at `path` (from the repository's root).
pub fn page(repository: &Repository, path: &Path, text: &str) -> Vec<Failure> {
    let page = markdown::read(text);
    let mut failures = Vec::new();
    let mut fail = |line: usize, what: Option<String>| {
        failures.extend(what.map(|what| Failure { page: path.to_path_buf(), line, what }));
    };
    for link in &page.links {
        fail(link.line, self::link(repository, path, &page, &link.what.target));
    }
    for span in &page.spans {
        fail(span.line, name(repository, path, &span.what));
    }
    for placed in &page.placed {
        let at = &placed.what;
        fail(placed.line, place(repository, path, &at.name, &at.target));
    }
    for line in &page.code {
        fail(line.line, command(repository, &line.what));
    }
    for row in &page.rows {
        fail(row.line, numbered(repository, &row.what));
    }
    failures
}

/// Checks the pages that a source names, in comments or messages.
pub fn pages_named_by(repository: &Repository, path: &Path, source: &str) -> Vec<Failure> {
    let mut failures = Vec::new();
    for (number, line) in source.lines().enumerate() {
        let mut rest = line;
        while let Some(at) = rest.find("docs/") {
            let is_part = rest[..at].ends_with(|c: char| c.is_alphanumeric() || "/\"(".contains(c));
            let name = |c: char| !c.is_ascii_alphanumeric() && !"/-_.#".contains(c);
            let named = &rest[at..];
            let end = named.find(name).unwrap_or(named.len());
            let named = named[..end].trim_end_matches('.');
            rest = &rest[at + "docs/".len()..];
            let (file, anchor) = named.split_once('#').unwrap_or((named, ""));
            if is_part || !file.ends_with(".md") {
                continue;
            }
            let what = if !repository.has(Path::new(file)) {
                let near = nearest(file, repository.names());
                format!("there is no {file}{near}")
            } else {
                let anchors = markdown::read(&repository.text(Path::new(file))).anchors;
                if anchor.is_empty() || anchors.iter().any(|a| a == anchor) {
                    continue;
                }
                let near = nearest(anchor, anchors.iter().cloned());
                format!("{file}: there is no heading #{anchor}{near}")
            };
            failures.push(Failure { page: path.to_path_buf(), line: number + 1, what });
        }
    }
    failures
}

/// Checks a row with a number of calls or of a channel's pages next to a name: the name must have
/// that number.
fn numbered(repository: &Repository, cells: &[String]) -> Option<String> {
    let code = |cell: &str| {
        let inner = cell.strip_prefix('`')?.split('`').next()?;
        Some(inner.to_owned())
    };
    let number = cells.iter().find_map(|cell| code(cell).filter(|c| c.starts_with("0x")))?;
    let is_name = |c: char| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit();
    let name = cells.iter().filter_map(|cell| code(cell));
    let name = name.clone().find(|code| code.chars().all(is_name) && !code.is_empty())?;
    let short = ["PSCI_", "SMCCC_"].iter().find_map(|start| name.strip_prefix(start));
    let values = [Some(name.as_str()), short].into_iter().flatten();
    let values: Vec<_> = values.filter_map(|name| repository.constants.get(name)).collect();
    let known = values.iter().any(|values| values.contains(&number));
    (!known && !values.is_empty()).then(|| format!("`{name}` is not {number}"))
}

/// Checks the commands in a line: their names and options, and that a test's filter selects
/// something.
fn command(repository: &Repository, line: &str) -> Option<String> {
    let filter = line.split_once("cargo xtask test ").and_then(|(_, rest)| {
        let word = rest.split(|c: char| c.is_whitespace() || c == '`').next()?;
        let plain = |c: char| c.is_ascii_lowercase() || "/-".contains(c) || c.is_ascii_digit();
        let is_filter = !word.starts_with('-') && !word.is_empty() && word.chars().all(plain);
        is_filter.then_some(word)
    });
    let chosen = |filter: &str| repository.cases.iter().any(|case| case.contains(filter));
    match filter {
        Some(filter) if !chosen(filter) => Some(format!("no check's name holds `{filter}`")),
        _ => repository.commands.check(line),
    }
}

/// Checks a link.
fn link(repository: &Repository, from: &Path, page: &Page, target: &str) -> Option<String> {
    if target.starts_with("https://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let other;
    let mut anchors = &page.anchors;
    if !file.is_empty() {
        let path = beside(from, file);
        if !repository.has(&path) {
            let near = nearest(&path.to_string_lossy(), repository.names());
            return Some(format!("link to {target}: there is no {}{near}", path.display()));
        }
        if !anchor.is_empty() {
            other = markdown::read(&repository.text(&path));
            anchors = &other.anchors;
        }
    }
    (!anchor.is_empty() && !anchors.iter().any(|a| a == anchor)).then(|| {
        let near = nearest(anchor, anchors.iter().cloned());
        format!("link to {target}: there is no heading #{anchor}{near}")
    })
}

/// Returns the path from the repository's root of `file` as a page at `from` names it.
fn beside(from: &Path, file: &str) -> PathBuf {
    let mut path = from.parent().map(Path::to_path_buf).unwrap_or_default();
    for part in Path::new(file).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

/// Checks a code span, if it is something that this repository must have.
fn name(repository: &Repository, from: &Path, span: &str) -> Option<String> {
    if span.starts_with("cargo xtask") {
        return command(repository, span);
    }
    if span.starts_with("bulkhead,") {
        let known = repository.tree_names.contains(span);
        return (!known).then(|| {
            let near = nearest(span, repository.tree_names.iter().cloned());
            format!("no device tree has `{span}`{near}")
        });
    }
    // Evidence in docs/SPECIFICATION.md starts with a kind: the last word is the name.
    let kind = ["case ", "test ", "check "].iter();
    let span = kind.filter_map(|kind| span.strip_prefix(kind)).next().unwrap_or(span);
    if span.contains(' ') {
        return None;
    }
    if let Some((file, function)) = span.split_once(".rs::") {
        return file_name(repository, from, &format!("{file}.rs"))
            .or_else(|| item(repository, function));
    }
    if span.contains("::") {
        return item(repository, span);
    }
    if let Some(function) = span.strip_suffix("()") {
        return item(repository, function);
    }
    if span.starts_with("bulkhead_") {
        let unknown = !repository.c_names.iter().any(|name| name == span);
        let is_file = span.contains('.') || span == "bulkhead_call";
        if unknown && !is_file {
            let near = nearest(span, repository.c_names.iter().cloned());
            return Some(format!("`{span}` is not in the C headers{near}"));
        }
    }
    if CALL_NUMBERS.iter().any(|start| span.starts_with(start)) && span.len() == 11 {
        let known = repository.numbers.iter().any(|number| number == span);
        return (!known).then(|| {
            let near = nearest(span, repository.numbers.iter().cloned());
            format!("no call has the number `{span}`{near}")
        });
    }
    if let Some(case) = case(repository, span) {
        return case;
    }
    file_name(repository, from, span)
}

/// Checks a name such as `attack/read-outside`, if its first word is that of a group of cases.
fn case(repository: &Repository, span: &str) -> Option<Option<String>> {
    let (group, rest) = span.split_once('/')?;
    let mut cases = repository.cases.iter();
    let is_group = cases.any(|case| case.split('/').next() == Some(group));
    let is_folder = repository.has(Path::new(group));
    if !is_group || is_folder || span.ends_with(".rs") {
        return None;
    }
    let rest = rest.trim_end_matches('…');
    let wanted = format!("{group}/{rest}");
    let known = repository.cases.iter().any(|case| case.starts_with(&wanted));
    Some((!known).then(|| {
        let near = nearest(&wanted, repository.cases.iter().cloned());
        format!("no check is called `{span}`{near}")
    }))
}

/// Checks a file's or a folder's name. A word in capitals matches any name; the folders in front
/// may be left out.
fn file_name(repository: &Repository, from: &Path, span: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./*".contains(c);
    if span.is_empty() || !span.chars().all(plain) || span.starts_with(['/', '.']) {
        return None;
    }
    let path = span.trim_end_matches('/');
    let mut words = path.split('/');
    let first = words.next().unwrap_or_default();
    let top = repository.has(Path::new(first)) && first != "target";
    let ending = Path::new(path).extension();
    let is_source = ending.is_some_and(|e| SOURCES.iter().any(|s| *s == e));
    let generated = first == "target" || GENERATED.contains(&span);
    if generated || !(is_source || span.contains('/') && (top || span.ends_with('/'))) {
        return None;
    }
    let found = repository.has(&beside(from, path)) || repository.ends_with(path);
    (!found).then(|| {
        let near = nearest(path, repository.names());
        format!("there is no `{span}`{near}")
    })
}

/// Files that a command writes, by the names that pages give them, and files of other projects.
const GENERATED: &[&str] = &["bench.json", "bench.md", "hil.json", "hil.md"];

/// Checks a path of Rust: `module::function`, `Type::method`, `function`.
fn item(repository: &Repository, path: &str) -> Option<String> {
    // `FILE::NAME` matches any.
    let any = |word: &str| word.chars().all(|c| c.is_ascii_uppercase());
    if path.split("::").all(any) {
        return None;
    }
    let foreign = ["core::", "std::", "alloc::"].iter().any(|start| path.starts_with(start));
    (!foreign && repository.items.find(path).is_empty()).then(|| {
        let near = nearest(path, repository.items.paths());
        format!("the sources define no `{path}`{near}")
    })
}

/// Checks that a file defines what a page places in it.
fn place(repository: &Repository, from: &Path, name: &str, target: &str) -> Option<String> {
    let file = beside(from, target.split('#').next().unwrap_or_default());
    let is_name = |c: char| c.is_alphanumeric() || "_:()".contains(c);
    if !repository.has(&file) || !name.chars().all(is_name) {
        return None;
    }
    match file.extension().and_then(|e| e.to_str()) {
        Some("rs") => {
            let found = repository.items.find(name);
            let here = found.iter().any(|item| item.file == file);
            let elsewhere: Vec<_> = found.iter().map(|i| i.file.display().to_string()).collect();
            (!here).then(|| match elsewhere.as_slice() {
                [] => {
                    let near = nearest(name, repository.items.paths());
                    format!("{} defines no `{name}`{near}", file.display())
                }
                [first, ..] => {
                    format!("{} defines no `{name}`; {first} does", file.display())
                }
            })
        }
        _ => None,
    }
}
