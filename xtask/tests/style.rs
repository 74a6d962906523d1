// SPDX-License-Identifier: MIT OR Apache-2.0
//! House style that a machine can check: widths, words, and the licence line of sources. Each list
//! names the files that already keep a rule; a folder means everything in it, an empty path
//! everything.

use runner::workspace::root;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use xtask::prose::{Kind, WIDTH, filled, wide};

/// Files whose lines are held to their width by another test, or are inputs byte for byte.
const ANY_WIDTH: &[&str] = &[
    // The first line of each is its rule's sentence.
    "tests/manifests",
    "fuzz/seeds",
];
/// Files with lines that are still too wide. An entry is to be removed when its lines are narrow.
const STILL_WIDE: &[&str] = &[];
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
    "hyp/vgic",
    "xtask/flash",
    "xtask/manifest",
    "xtask/planner",
    "xtask/runner",
    "xtask/silicon",
    "xtask/src/flash",
    "xtask/src/silicon",
    "xtask/src/test/silicon.rs",
    "xtask/tests/docs",
    "xtask/tests/licences.rs",
    "xtask/tests/style.rs",
];

/// The first line of a source, after the comment's sign.
const LICENCE: &str = "SPDX-License-Identifier: MIT OR Apache-2.0";

/// Words that have another meaning in plain English, and what to write.
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
/// Right uses of a word of [`WORDS`]: the page, and the text around it.
const RIGHT: &[(&str, &str)] =
    &[("docs/reading-order.md", "stand alone"), ("docs/glossary.md", "| alone |")];

/// Files of a list.
fn files(list: &[&str], endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in list {
        collect(Path::new(path), &mut found);
    }
    let wanted = |path: &PathBuf| {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
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

/// Returns lines of a file that are too wide, each with its place. With `bless`, paragraphs that
/// can be filled anew are written first.
fn wide_lines(path: &Path, bless: bool) -> Vec<String> {
    let shown = path.display().to_string();
    let Ok(text) = std::fs::read_to_string(root().join(path)) else {
        // The file is not text.
        return Vec::new();
    };
    let Some(kind) = Kind::of(&shown, &text) else {
        return Vec::new();
    };
    let mut lines = wide(kind, &text);
    if bless && !lines.is_empty() {
        let text = filled(kind, &text);
        lines = wide(kind, &text);
        std::fs::write(root().join(path), text).expect("it can be written");
    }
    let place = |(line, width)| format!("{shown}:{line}: {width} columns");
    lines.into_iter().map(place).collect()
}

/// Returns the words of a page that [`WORDS`] lists: line, word and advice. Code is left out.
fn words(text: &str) -> Vec<(usize, &'static str, &'static str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        fenced ^= line.starts_with("```");
        if fenced {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        // "There is no X" is right.
        let prose = format!(" {} ", prose.to_lowercase()).replace(" there is no ", " ");
        let here = WORDS.iter().filter(|(word, _)| prose.contains(word));
        found.extend(here.map(|(word, advice)| (number + 1, *word, *advice)));
    }
    found
}

/// Returns the sign that starts a comment in a file, if it is a source.
fn comment(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()? {
        "rs" => Some("//"),
        "toml" | "yml" => Some("#"),
        _ => None,
    }
}

/// With BLESS=1 in the environment, prose and comments that are too wide are filled anew.
#[test]
fn lines_are_narrow() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    let mut still_wide = BTreeSet::new();
    let mut count = 0;
    for path in files(&[""], &[]) {
        if ANY_WIDTH.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        count += 1;
        let known = STILL_WIDE.iter().find(|folder| path.starts_with(folder));
        let lines = wide_lines(&path, bless && known.is_none());
        match known {
            Some(folder) if !lines.is_empty() => _ = still_wide.insert(*folder),
            _ => wrong.extend(lines),
        }
    }
    let how = "BLESS=1 cargo test -p xtask --test style";
    assert!(
        wrong.is_empty(),
        "lines over {WIDTH} columns; `{how}` fills prose and comments anew:\n{}",
        wrong.join("\n")
    );
    let narrow = STILL_WIDE.iter().filter(|path| !still_wide.contains(*path));
    let narrow: Vec<_> = narrow.collect();
    assert!(narrow.is_empty(), "remove {narrow:?} from STILL_WIDE");
    assert!(count > 300, "only {count} files were found");
}

/// rustfmt holds code to the same width.
#[test]
fn code_is_as_narrow_as_prose() {
    let settings = read(Path::new("rustfmt.toml"));
    assert!(settings.contains(&format!("\nmax_width = {WIDTH}\n")));
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
    for (page, around) in RIGHT {
        if !read(Path::new(page)).contains(around) {
            wrong.push(format!("{page}: nothing says `{around}`: remove it from RIGHT"));
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
    assert!(wrong.is_empty(), "no licence; `{how}` adds it:\n{}", wrong.join("\n"));
}

/// Counts how often each rule on words is broken in all pages, for authors who extend the lists:
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
}

/// These checks can fail.
#[test]
fn what_is_wrong_is_seen() {
    let page =
        "This is no test.\n`is no ` code\n```\nis no \n```\nIt stands there, 4 KiB a vCPU.\n";
    let found: Vec<_> = words(page).into_iter().map(|(n, word, _)| (n, word)).collect();
    assert_eq!(found, [(1, " is no "), (6, " stands "), (6, " a vcpu")]);
    assert_eq!(comment(Path::new("a/b.rs")), Some("//"));
    assert_eq!(comment(Path::new("a/b.bin")), None);
}
