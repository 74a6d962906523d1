// SPDX-License-Identifier: MIT OR Apache-2.0
//! The names that pages can use: files, items of Rust, names of C, call numbers, checks, commands.

use crate::commands::Commands;
use crate::rust_items::Items;
use runner::workspace::root;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The contents of the repository.
pub struct Repository {
    /// Files and folders, from the root.
    paths: BTreeSet<PathBuf>,
    /// Items of its Rust sources.
    pub items: Items,
    /// Names that the C headers define.
    pub c_names: BTreeSet<String>,
    /// Numbers of calls, as docs write them.
    pub numbers: BTreeSet<String>,
    /// Constants of the guest interface, with their values as the sources write them. Several may
    /// have one name.
    pub constants: BTreeMap<String, Vec<String>>,
    /// Bulkhead's own properties and values in device trees.
    pub tree_names: BTreeSet<String>,
    /// Names of checks and whole-system cases.
    pub cases: BTreeSet<String>,
    /// The command line.
    pub commands: Commands,
}

impl Repository {
    /// Reads the repository of these tests.
    pub fn read() -> Self {
        let mut paths = BTreeSet::new();
        walk(&root(), Path::new(""), &mut paths);
        let mut items = Items::default();
        let mut c_names = BTreeSet::new();
        let mut numbers = BTreeSet::new();
        let mut constants: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut tree_names = BTreeSet::new();
        for path in &paths {
            match path.extension().and_then(|e| e.to_str()) {
                Some("rs") => {
                    let source = text(path);
                    items.add(path, &source);
                    if ABI.iter().any(|file| path == Path::new(file)) {
                        for (name, kind, value) in source.lines().filter_map(constant) {
                            if kind == "u32" && value.starts_with("0x") {
                                numbers.insert(value.clone());
                            }
                            constants.entry(name).or_default().push(value);
                        }
                    }
                    if path.starts_with("hyp/channel/src") || path.starts_with("xtask/planner/src")
                    {
                        let strings = source.split('"').skip(1).step_by(2);
                        let name = |c: char| c.is_ascii_alphanumeric() || ",-".contains(c);
                        let own =
                            strings.filter(|s| s.starts_with("bulkhead,") && s.chars().all(name));
                        tree_names.extend(own.map(str::to_owned));
                    }
                }
                Some("h") => {
                    let source = text(path);
                    let words = source.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                    c_names.extend(words.filter(|w| w.starts_with("bulkhead_")).map(str::to_owned));
                }
                _ => {}
            }
        }
        // PSCI calls with addresses have a second form.
        let wide = numbers.iter().filter_map(|n| n.strip_prefix("0x84"));
        let wide: Vec<_> = wide.map(|rest| format!("0xc4{rest}")).collect();
        numbers.extend(wide);
        Self {
            paths,
            items,
            c_names,
            numbers,
            constants,
            tree_names,
            cases: cases(),
            commands: Commands::default(),
        }
    }

    /// Whether there is such a file or folder.
    pub fn has(&self, path: &Path) -> bool {
        path.as_os_str().is_empty() || self.paths.contains(path)
    }

    /// A file's text.
    pub fn text(&self, path: &Path) -> String {
        text(path)
    }

    /// All files and folders.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.paths.iter().map(|path| path.to_string_lossy().into_owned())
    }

    /// Files with one of these endings.
    pub fn files<'a>(&'a self, endings: &'a [&str]) -> impl Iterator<Item = &'a PathBuf> {
        self.paths.iter().filter(move |path| {
            let ending = path.extension().and_then(|e| e.to_str());
            ending.is_some_and(|ending| endings.contains(&ending))
        })
    }

    /// Whether a path ends with these words. A word in capitals or `*` matches any name, except its
    /// ending.
    pub fn ends_with(&self, words: &str) -> bool {
        let wanted: Vec<&str> = words.split('/').collect();
        self.names().any(|path| {
            let path: Vec<&str> = path.split('/').collect();
            path.len() >= wanted.len()
                && path.iter().rev().zip(wanted.iter().rev()).all(|(a, b)| fits(a, b))
        })
    }
}

/// Whether a name matches the one on a page.
fn fits(name: &str, wanted: &str) -> bool {
    let (stem, ending) = wanted.rsplit_once('.').unwrap_or((wanted, ""));
    let any = stem == "*" || stem.len() > 1 && stem.chars().all(|c| c.is_ascii_uppercase());
    name == wanted || any && (ending.is_empty() || name.ends_with(&format!(".{ending}")))
}

fn text(path: &Path) -> String {
    let file = root().join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Adds the contents of a folder. Files that cargo and git keep there are not the repository's.
fn walk(root: &Path, folder: &Path, paths: &mut BTreeSet<PathBuf>) {
    let entries = std::fs::read_dir(root.join(folder)).expect("a folder of the repository");
    for entry in entries {
        let entry = entry.expect("an entry");
        let path = folder.join(entry.file_name());
        if path == Path::new("target") || entry.file_name() == ".git" {
            continue;
        }
        paths.insert(path.clone());
        if entry.file_type().expect("its type").is_dir() {
            walk(root, &path, paths);
        }
    }
}

/// Sources of the numbers that guests see.
const ABI: [&str; 3] = ["hyp/abi/src/lib.rs", "hyp/psci/src/lib.rs", "hyp/channel/src/shape.rs"];

/// Returns name, type and value of `pub const NAME: TYPE = VALUE;`.
fn constant(line: &str) -> Option<(String, String, String)> {
    let (name, rest) = line.trim().strip_prefix("pub const ")?.split_once(": ")?;
    let (kind, value) = rest.split_once(" = ")?;
    let value = value.strip_suffix(';')?;
    Some((name.to_owned(), kind.to_owned(), value.to_owned()))
}

/// Names of the whole-system cases, and strings in the sources of the checks.
fn cases() -> BTreeSet<String> {
    let mut names: BTreeSet<String> =
        system_tests::cases().iter().map(|case| case.name.to_owned()).collect();
    let files = ["hil", "host", "serial", "shipped", "silicon", "mod"];
    let sources = files.map(|f| text(Path::new(&format!("xtask/src/test/{f}.rs"))));
    for source in &sources {
        let strings = source.split('"').skip(1).step_by(2);
        let name = |s: &&str| s.chars().all(|c| c.is_ascii_lowercase() || "/-".contains(c));
        names.extend(strings.filter(|s| s.contains('/')).filter(name).map(str::to_owned));
    }
    names.extend(["format", "size"].map(str::to_owned));
    names
}

/// Returns `; nearest: X` for the candidate that differs least from `wanted`, if one is near.
pub fn nearest(wanted: &str, candidates: impl Iterator<Item = String>) -> String {
    let name = |path: &str| path.rsplit(['/', ':']).next().unwrap_or_default().to_owned();
    let last = name(wanted);
    let score = |candidate: &str| {
        let by_name = distance(&last, &name(candidate)) * 2;
        by_name + distance(wanted, candidate)
    };
    let best = candidates.map(|c| (score(&c), c)).min();
    match best {
        Some((score, best)) if score <= wanted.len().max(6) * 3 / 2 => format!("; nearest: {best}"),
        _ => String::new(),
    }
}

/// Letters to insert, leave out or change to make `b` of `a` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
