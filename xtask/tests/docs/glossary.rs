// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that docs/glossary.md is complete both ways: it names every public type of `hyp/`, every
//! term that is marked where it is defined, every crate and every key of a manifest, and everything
//! there is in use.

use crate::markdown::{self, At, Page};
use crate::repository::Repository;
use crate::rust_items::{Item, Items, Kind};
use std::collections::BTreeSet;
use std::path::Path;

const PAGE: &str = "docs/glossary.md";

/// Public types of `hyp/` that a page does not name, as lines that say what to do.
fn unnamed(items: &Items, page: &Page) -> Vec<String> {
    let spans: Vec<_> = page.spans.iter().map(|span| span.what.as_str()).collect();
    let of_hyp = |item: &&Item| {
        let path = item.file.to_string_lossy();
        let code = path.starts_with("hyp/") && path.contains("/src/") && !path.contains("/tests");
        code && item.public && item.kind == Kind::Type
    };
    let named = |item: &Item| {
        let names = spans.iter().filter_map(|span| span.rsplit_once("::"));
        let mut names = names.filter(|(_, name)| *name == item.name);
        names.any(|(around, _)| item.scope.iter().any(|scope| scope == around))
    };
    let left = items.all.iter().filter(of_hyp).filter(|item| !named(item));
    left.map(|item| {
        let around = item.scope.last().map_or("", String::as_str);
        let file = item.file.display();
        format!(
            "{PAGE} lacks `{around}::{}` of {file}: add a row, or a word to its crate's line",
            item.name
        )
    })
    .collect()
}

/// Terms of the page's table that are not used elsewhere, and rows that are out of order or lack
/// something.
fn unused(page: &Page, uses: &str) -> Vec<String> {
    let rows = page.table("term");
    let mut wrong = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let term = &row.what[0];
        if row.what.len() != 3 || !row.what[1].ends_with('.') || !row.what[2].starts_with('`') {
            wrong.push(format!("{PAGE}:{}: `{term}` lacks its meaning or its code", row.line));
        }
        if number > 0 && rows[number - 1].what[0] >= *term {
            wrong.push(format!("{PAGE}:{}: `{term}` is out of order", row.line));
        }
        if !uses.contains(&term.to_lowercase()) {
            wrong.push(format!("{PAGE}:{}: nothing else says `{term}`", row.line));
        }
    }
    wrong
}

/// The pages that define terms, and the end of the part that does.
const DEFINITIONS: &[(&str, &str)] =
    &[("docs/concepts.md", "## What is trusted"), ("docs/manifest.md", "## An example")];

/// Terms that a page marks at their definition: in italics; in bold at the start of a paragraph or
/// of a list's item. Code is left out.
fn marked(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let prose: Vec<_> = text.split('`').step_by(2).collect();
    for line in prose.join("x").lines() {
        let start = line.trim_start().trim_start_matches("- ");
        let bold = start.strip_prefix("**").and_then(|rest| rest.split_once("**"));
        found.extend(bold.map(|(term, _)| term.to_owned()));
        let plain = line.replace("**", "");
        let italics = plain.split('*').skip(1).step_by(2);
        found.extend(italics.map(str::to_owned));
    }
    let strip = |term: String| term.trim_end_matches(['.', ':', ',']).to_lowercase();
    found.into_iter().map(strip).collect()
}

/// Returns a word without its plural or verb ending.
fn stem(word: &str) -> &str {
    let endings = ["es", "ed", "al", "s", "e", "d"];
    let stems = endings.iter().filter_map(|ending| word.strip_suffix(ending));
    stems.into_iter().find(|stem| stem.len() > 2).unwrap_or(word)
}

/// Marked terms that no row defines, as a whole or by their first word.
fn undefined(terms: &[&str], marked: &[String]) -> Vec<String> {
    let defines = |term: &str, word: &str| {
        let term = term.to_lowercase();
        let first = term.split(' ').next().unwrap_or_default();
        stem(&term) == stem(word) || stem(first) == stem(word)
    };
    let left = marked.iter().filter(|word| !terms.iter().any(|term| defines(term, word)));
    let line = |word: &String| format!("{PAGE} lacks `{word}`, which a page defines: add a row");
    left.map(line).collect()
}

/// Entries that the code has and the page's table `what` does not have, and the reverse; and rows
/// that lack a sentence.
fn differing(what: &str, page: &Page, wanted: &BTreeSet<String>) -> Vec<String> {
    let rows = page.table(what);
    let name = |row: &&At<Vec<String>>| row.what[0].trim_matches('`').to_owned();
    let listed: BTreeSet<_> = rows.iter().map(name).collect();
    let missing = wanted.difference(&listed);
    let missing = missing.map(|name| format!("{PAGE} lacks the {what} `{name}`: add a row"));
    let stale = listed.difference(wanted);
    let stale = stale.map(|name| format!("{PAGE}: there is not a {what} `{name}`: remove its row"));
    let empty = rows.iter().filter(|row| !row.what[1].ends_with('.'));
    let empty = empty.map(|row| format!("{PAGE}:{}: not a sentence", row.line));
    missing.chain(stale).chain(empty).collect()
}

/// The names of the workspace's crates.
fn crates(repository: &Repository) -> BTreeSet<String> {
    let manifests = repository.files(&["toml"]);
    let manifests = manifests.filter(|path| path.ends_with("Cargo.toml"));
    let names = manifests.filter_map(|path| {
        let text = repository.text(path);
        let (_, package) = text.split_once("[package]\nname = \"")?;
        Some(package.split_once('"')?.0.to_owned())
    });
    names.collect()
}

/// The keys that docs/manifest.md defines.
fn keys(repository: &Repository) -> BTreeSet<String> {
    let page = markdown::read(&repository.text(Path::new("docs/manifest.md")));
    let rows = page.table("key").into_iter();
    rows.map(|row| row.what[0].trim_matches('`').to_owned()).collect()
}

/// All text that may use a term: pages and sources, except the glossary.
fn uses(repository: &Repository) -> String {
    let files = repository.files(&["md", "rs"]);
    let others = files.filter(|path| !path.to_string_lossy().contains("glossary"));
    let texts: Vec<_> = others.map(|path| repository.text(path).to_lowercase()).collect();
    // A term may be broken over two lines, in a comment too.
    let words = texts.iter().flat_map(|text| text.split_whitespace());
    let words: Vec<_> = words.filter(|word| !["//", "///", "//!"].contains(word)).collect();
    words.join(" ")
}

#[test]
fn the_glossary_is_complete_both_ways() {
    let repository = Repository::read();
    let page = markdown::read(&repository.text(Path::new(PAGE)));
    let mut wrong = unnamed(&repository.items, &page);
    wrong.extend(unused(&page, &uses(&repository)));
    let rows = page.table("term");
    let terms: Vec<_> = rows.iter().map(|row| row.what[0].as_str()).collect();
    for (file, end) in DEFINITIONS {
        let text = repository.text(Path::new(file));
        let (text, _) = text.split_once(end).expect("the definitions' end");
        let marked = marked(text);
        assert!(marked.len() > 5, "{file}: {marked:?}");
        wrong.extend(undefined(&terms, &marked));
    }
    wrong.extend(differing("crate", &page, &crates(&repository)));
    wrong.extend(differing("key", &page, &keys(&repository)));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(terms.len() > 30);
}

/// These checks can fail.
#[test]
fn a_missing_type_and_an_unused_term_are_seen() {
    let mut items = Items::default();
    let source =
        "pub struct Widget {\n    pub size: u32,\n}\n\nstruct Inner;\n\npub struct Gear;\n";
    items.add(Path::new("hyp/vgic/src/widget.rs"), source);
    let table = "| term | meaning | in the code |\n|---|---|---|\n| wheel | Turns. | `vgic::Gear` \
                 |\n| axle | Holds. | `a::B` |\n";
    let page = markdown::read(table);
    assert_eq!(
        unnamed(&items, &page),
        ["docs/glossary.md lacks `widget::Widget` of hyp/vgic/src/widget.rs: add a row, or a \
             word to its crate's line"]
    );
    assert_eq!(
        unused(&page, "the wheel turns"),
        [
            "docs/glossary.md:4: `axle` is out of order",
            "docs/glossary.md:4: nothing else says `axle`",
        ]
    );
}

/// These checks can fail, too.
#[test]
fn a_missing_definition_crate_or_key_is_seen() {
    let text = "A *wheel* and `*code*` has *axles*; it is *refused*.\n\n**Gear.** A *gear* turns.\n\
                - **hub**: **not** here.\n";
    let marked = marked(text);
    assert_eq!(marked, ["wheel", "axles", "refused", "gear", "gear", "hub"]);
    assert_eq!(
        undefined(&["axle", "Gear box", "refusal", "wheel"], &marked),
        ["docs/glossary.md lacks `hub`, which a page defines: add a row"]
    );
    let table = "| key | says |\n|---|---|\n| `a` | One. |\n| `b` | two |\n\nText.\n\n\
                 | other | says |\n|---|---|\n| `d` | Other. |\n";
    let wanted = BTreeSet::from(["a", "c"].map(String::from));
    assert_eq!(
        differing("key", &markdown::read(table), &wanted),
        [
            "docs/glossary.md lacks the key `c`: add a row",
            "docs/glossary.md: there is not a key `b`: remove its row",
            "docs/glossary.md:4: not a sentence",
        ]
    );
}
