// SPDX-License-Identifier: MIT OR Apache-2.0
//! House style that a machine can check: widths, words, and the licence line of sources. Each list
//! names the files that already keep a rule; a folder means everything in it, an empty path
//! everything.

use proc_macro2::{TokenStream, TokenTree};
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
const PLAIN: &[&str] = &["CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md", "docs"];
/// Sources whose strings keep these rules: messages, refusals, explanations, lines of guests.
const MESSAGES: &[&str] = &["fuzz", "guests", "hyp", "tests", "xtask"];
/// Sources whose doc comments are messages too: the text of `--help`.
const HELP: &[&str] = &["xtask/src/main.rs"];
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
/// Units before a rate. They stand for " a vcpu" in messages, which name vCPUs often.
const RATE: &str = "rule 5: write `per`";
const RATES: &[(&str, &str)] = &[
    (" bytes a ", RATE),
    (" kib a ", RATE),
    (" mib a ", RATE),
    (" instructions a ", RATE),
    (" entries a ", RATE),
    (" doorbells a ", RATE),
    (" messages a ", RATE),
    (" rows a ", RATE),
];
/// Right uses of a word of [`WORDS`]: the page or source, and the text around it.
const RIGHT: &[(&str, &str)] = &[
    ("docs/README.md", "a vCPU starts on"),
    ("docs/SPECIFICATION.md", "starts a vCPU"),
    ("docs/SPECIFICATION.md", "a vCPU of a halted"),
    ("docs/SPECIFICATION.md", "A vCPU that fails"),
    ("docs/SPECIFICATION.md", "when a vCPU is"),
    ("docs/SPECIFICATION.md", "the terminal alone"),
    ("docs/SPECIFICATION.md", "live, alone and"),
    ("docs/boot.md", "a vCPU that starts again"),
    ("docs/glossary.md", "| alone |"),
    ("docs/guest-abi.md", "A vCPU is a 64-bit"),
    ("docs/guest-abi.md", "name a vCPU of"),
    ("docs/linux.md", "alone, which full-screen"),
    ("docs/linux.md", "are no such devices"),
    ("docs/linux.md", "live, alone and"),
    ("docs/manifest.md", "runs a vCPU"),
    ("docs/manifest.md", "A vCPU is an end"),
    ("docs/manifest.md", "terminal alone"),
    ("docs/plan.md", "a vCPU never leaves its core"),
    ("docs/reading-order.md", "stand alone"),
    ("docs/security.md", "the terminal alone"),
    ("xtask/src/interface.rs", "/// Alone."),
];

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

/// Returns the words of a page that [`WORDS`] and [`RATES`] list: line, word and advice. Code is
/// left out.
fn words(text: &str) -> Vec<(usize, &'static str, &'static str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        fenced ^= line.starts_with("```");
        if fenced {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let mut prose = format!(" {} ", prose.to_lowercase());
        for right in [" there is no ", " there are no ", " is no longer "] {
            prose = prose.replace(right, " ");
        }
        let here = WORDS.iter().chain(RATES).filter(|(word, _)| prose.contains(word));
        found.extend(here.map(|(word, advice)| (number + 1, *word, *advice)));
    }
    found
}

/// Returns the strings of a source, each with its line, and with `help` its doc comments too.
fn strings(text: &str, help: bool) -> Vec<(usize, String)> {
    let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{error}:\n{text}"));
    let mut found = Vec::new();
    literals(tokens, help, &mut found);
    // Literals come in the order of the text.
    let mut at = 0;
    let place = |literal: String| {
        let shown = literal.trim();
        let found = text[at..].find(shown).map(|offset| at + offset);
        let line = text[..found.unwrap_or(at)].matches('\n').count() + 1;
        at = found.map_or(at, |found| found + shown.len());
        // A backslash at the end of a line joins it to the next.
        let mut lines = literal.split("\\\n");
        let first = lines.next().unwrap_or_default().to_string();
        let joined = lines.fold(first, |all, next| all + next.trim_start());
        (line, joined.replace("\\n", "\n"))
    };
    found.into_iter().map(place).collect()
}

fn literals(tokens: TokenStream, help: bool, found: &mut Vec<String>) {
    let mut is_doc = false;
    for token in tokens {
        match token {
            TokenTree::Group(group) => literals(group.stream(), help, found),
            TokenTree::Ident(ident) => is_doc = ident == "doc",
            TokenTree::Literal(literal) if help || !is_doc => {
                let text = literal.to_string();
                if let (Some(start), Some(end)) = (text.find('"'), text.rfind('"')) {
                    found.push(text.get(start + 1..end).unwrap_or_default().to_string());
                }
            }
            _ => {}
        }
    }
}

/// Whether the line of `name` that holds a listed word is a right use of it.
fn is_right(name: &str, line: &str) -> bool {
    RIGHT.iter().any(|(page, around)| *page == name && line.contains(around))
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
            if !is_right(&name, text.lines().nth(number - 1).unwrap_or_default()) {
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
fn messages_use_plain_words() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in files(MESSAGES, &["rs"]) {
        let name = path.display().to_string();
        // This file names what it looks for.
        if name == "xtask/tests/style.rs" {
            continue;
        }
        for (number, string) in strings(&read(&path), HELP.contains(&name.as_str())) {
            count += 1;
            for (_, word, advice) in words(&string) {
                if word != " a vcpu" && !is_right(&name, &string) {
                    wrong.push(format!("{name}:{number}: `{}`: {advice}", word.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(count > 5000, "only {count} strings were found");
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
    assert_eq!(found, [(1, " is no "), (6, " stands "), (6, " a vcpu"), (6, " kib a ")]);
    let source = r#"/// Alone.
fn f() {
    // "whatever"
    say("there is no X; this is no \
         TOML: 4 KiB a row");
    say(r"`alone` as it is");
}
"#;
    let found = |help| {
        let strings = strings(source, help).into_iter();
        let found = strings.flat_map(|(line, string)| {
            words(&string).into_iter().map(move |(_, word, _)| (line, word))
        });
        found.collect::<Vec<_>>()
    };
    assert_eq!(found(false), [(4, " is no "), (4, " kib a "), (6, " as it is")]);
    assert_eq!(found(true)[0], (1, " alone"));
    assert_eq!(comment(Path::new("a/b.rs")), Some("//"));
    assert_eq!(comment(Path::new("a/b.bin")), None);
}
