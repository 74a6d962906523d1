// SPDX-License-Identifier: MIT OR Apache-2.0
//! docs/glossary.md is complete both ways: every public type of `hyp/` is named there, and every
//! term there is in use.

use crate::markdown::{self, Page};
use crate::repository::Repository;
use crate::rust_items::{Item, Items, Kind};
use std::path::Path;

const PAGE: &str = "docs/glossary.md";

/// Public types of `hyp/` that a page names nowhere, as lines that say what to do.
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

/// Terms of the page's table that nothing else uses, and rows that are out of order or lack
/// something.
fn unused(page: &Page, uses: &str) -> Vec<String> {
    let rows: Vec<_> = page.rows.iter().skip(1).collect();
    let mut wrong = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let term = &row.what[0];
        if row.what.len() != 3 || !row.what[1].ends_with('.') || !row.what[2].starts_with('`') {
            wrong.push(format!(
                "{PAGE}:{}: `{term}` lacks its meaning or its code",
                row.line
            ));
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

/// Everything that may use a term: pages and sources, the glossary apart.
fn uses(repository: &Repository) -> String {
    let files = repository.files(&["md", "rs"]);
    let others = files.filter(|path| !path.to_string_lossy().contains("glossary"));
    let texts: Vec<_> = others
        .map(|path| repository.text(path).to_lowercase())
        .collect();
    // A term may be broken over two lines, in a comment too.
    let words = texts.iter().flat_map(|text| text.split_whitespace());
    let words: Vec<_> = words
        .filter(|word| !["//", "///", "//!"].contains(word))
        .collect();
    words.join(" ")
}

#[test]
fn the_glossary_is_complete_both_ways() {
    let repository = Repository::read();
    let page = markdown::read(&repository.text(Path::new(PAGE)));
    let mut wrong = unnamed(&repository.items, &page);
    wrong.extend(unused(&page, &uses(&repository)));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(page.rows.len() > 30);
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
        [
            "docs/glossary.md lacks `widget::Widget` of hyp/vgic/src/widget.rs: add a row, or a \
             word to its crate's line"
        ]
    );
    assert_eq!(
        unused(&page, "the wheel turns"),
        [
            "docs/glossary.md:4: `axle` is out of order",
            "docs/glossary.md:4: nothing else says `axle`",
        ]
    );
}
