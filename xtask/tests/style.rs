// SPDX-License-Identifier: MIT OR Apache-2.0
//! House style that a machine can check: widths, words, and the licence line of sources. Each list
//! names what keeps a rule already; a folder means everything in it, an empty path everything.

use std::path::{Path, PathBuf};
use xtask::build::root;

/// Pages and sources whose lines are at most 100 columns wide. Table rows may be wider.
const NARROW: &[&str] = &[
    ".editorconfig",
    ".github",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/glossary.md",
    "docs/reading-order.md",
    "docs/silicon.md",
    "xtask/silicon",
    "xtask/src/silicon",
    "xtask/src/test/silicon.rs",
    "xtask/tests/style.rs",
];
/// Pages that keep the rules on words.
const PLAIN: &[&str] = &[
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "docs/concepts.md",
    "docs/glossary.md",
    "docs/reading-order.md",
    "docs/silicon.md",
];
/// Sources that start with their licence. With BLESS=1 in the environment the lines are written.
const LICENSED: &[&str] = &[
    "xtask/silicon",
    "xtask/src/silicon",
    "xtask/src/test/silicon.rs",
    "xtask/tests/docs",
    "xtask/tests/licences.rs",
    "xtask/tests/style.rs",
];

/// Columns.
const WIDTH: usize = 100;
/// What a source's first line says, after the sign of a comment.
const LICENCE: &str = "SPDX-License-Identifier: MIT OR Apache-2.0";

/// Words that say something else in plain English, and what to write.
const WORDS: &[(&str, &str)] = &[
    (" is no ", "rule 1: write `is not a`"),
    (" are no ", "rule 1: write `are not`"),
    (" alone", "rule 2: write `only`, before what it limits"),
    ("behind", "rule 3: write `after`, `beyond` or `in front of`"),
    (" lies ", "rule 4: write `is`"),
    (" stands ", "rule 4: write `is`"),
    (" a vcpu", "rule 5: if it is a rate, write `per vCPU`"),
    (" as it is", "rule 8: say the case"),
    ("whatever", "rule 8: say the case"),
    ("somewhere", "rule 8: say the case"),
];
/// Where a word of [`WORDS`] is right: the page, and the text around it.
const RIGHT: &[(&str, &str)] = &[
    ("CONTRIBUTING.md", "stand alone"),
    ("docs/reading-order.md", "stand alone"),
    ("docs/glossary.md", "the machine behind the virtual GIC"),
    ("docs/glossary.md", "asks a vcpu"),
];

/// Files of a list.
fn files(list: &[&str], endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in list {
        collect(Path::new(path), &mut found);
    }
    let wanted = |path: &PathBuf| {
        let ending = path
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or_default();
        endings.is_empty() || endings.contains(&ending)
    };
    found.retain(wanted);
    assert!(!found.is_empty(), "{list:?} names no file");
    found
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) {
    let full = root().join(path);
    if full.is_file() {
        found.push(path.to_path_buf());
        return;
    }
    let entries = std::fs::read_dir(&full).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    for entry in entries {
        let name = entry.expect("an entry").file_name();
        if name != ".git" && path.join(&name) != Path::new("target") {
            collect(&path.join(name), found);
        }
    }
}

fn read(path: &Path) -> String {
    let text = std::fs::read_to_string(root().join(path));
    text.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Lines of a text that are too wide: number and width. Neither a table's row nor a word can be
/// broken.
fn wide(text: &str) -> Vec<(usize, usize)> {
    let lines = text.lines().enumerate();
    let measured = lines.map(|(number, line)| (number + 1, line.chars().count(), line));
    let too_wide = measured.filter(|(_, width, line)| {
        let text = line.trim_start();
        *width > WIDTH && !text.starts_with('|') && text.contains(' ')
    });
    too_wide.map(|(number, width, _)| (number, width)).collect()
}

/// Words of a page that [`WORDS`] lists: line, word and advice. Code is left out.
fn words(text: &str) -> Vec<(usize, &'static str, &'static str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        fenced ^= line.starts_with("```");
        if fenced {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        // "There is no X" is plain.
        let prose = format!(" {} ", prose.to_lowercase()).replace(" there is no ", " ");
        let here = WORDS.iter().filter(|(word, _)| prose.contains(word));
        found.extend(here.map(|(word, advice)| (number + 1, *word, *advice)));
    }
    found
}

/// The sign that starts a comment in a file, if it is a source.
fn comment(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()? {
        "rs" => Some("//"),
        "toml" | "yml" => Some("#"),
        _ => None,
    }
}

#[test]
fn lines_are_narrow() {
    let mut wrong = Vec::new();
    for path in files(NARROW, &[]) {
        let text = read(&path);
        let lines = wide(&text).into_iter();
        wrong.extend(lines.map(|(n, width)| format!("{}:{n}: {width} columns", path.display())));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn pages_use_plain_words() {
    let mut wrong = Vec::new();
    for path in files(PLAIN, &["md"]) {
        let text = read(&path);
        let name = path.display().to_string();
        for (number, word, advice) in words(&text) {
            let line = text.lines().nth(number - 1).unwrap_or_default();
            let mut right = RIGHT.iter().filter(|(page, _)| *page == name);
            if !right.any(|(_, around)| line.contains(around)) {
                wrong.push(format!("{name}:{number}: `{}`: {advice}", word.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn sources_start_with_their_licence() {
    let mut wrong = Vec::new();
    for path in files(LICENSED, &[]) {
        let Some(sign) = comment(&path) else {
            continue;
        };
        let first = format!("{sign} {LICENCE}\n");
        let text = read(&path);
        if text.starts_with(&first) {
            continue;
        }
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(root().join(&path), first + &text).expect("it can be written");
        } else {
            wrong.push(path.display().to_string());
        }
    }
    let how = "BLESS=1 cargo test -p xtask --test style";
    assert!(
        wrong.is_empty(),
        "no licence; `{how}` adds it:\n{}",
        wrong.join("\n")
    );
}

/// How often each rule on words is broken in all pages, for whoever extends the lists:
/// `cargo test -p xtask --test style -- --ignored --nocapture`.
#[test]
#[ignore = "a report, not a check"]
fn counts() {
    let pages = files(&["README.md", "docs"], &["md"]);
    let texts: Vec<String> = pages.iter().map(|path| read(path)).collect();
    for (word, advice) in WORDS {
        let found = texts.iter().flat_map(|text| words(text));
        let count = found.filter(|(_, w, _)| w == word).count();
        println!("{count:4} {:<10} {advice}", word.trim());
    }
    let lines: usize = texts.iter().map(|text| wide(text).len()).sum();
    println!("{lines:4} lines wider than {WIDTH} columns");
}

/// These checks can fail.
#[test]
fn what_is_wrong_is_seen() {
    let long = format!("a {}\n| {} |\nb\n", "x".repeat(99), "y".repeat(120));
    assert_eq!(wide(&long), [(1, 101)]);
    let page =
        "This is no test.\n`is no ` code\n```\nis no \n```\nIt stands there, 4 KiB a vCPU.\n";
    let found: Vec<_> = words(page)
        .into_iter()
        .map(|(n, word, _)| (n, word))
        .collect();
    assert_eq!(found, [(1, " is no "), (6, " stands "), (6, " a vcpu")]);
    assert_eq!(comment(Path::new("a/b.rs")), Some("//"));
    assert_eq!(comment(Path::new("a/b.bin")), None);
}
