// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of EL2's cache and TLB maintenance in `docs/boot.md`, which the mutants' results make.

use anyhow::{Context, Result, ensure};

use super::covers::SYSTEM;
use super::print::Results;
use runner::workspace;

/// The page.
const PAGE: &str = "docs/boot.md";
const BEGIN: &str = "<!-- maintenance: written by `cargo xtask silicon --mutants --bless` -->\n";
const END: &str = "<!-- end -->\n";
const HEAD: &str = "\n| instruction | function | without it |\n|---|---|---|\n";

/// Returns `page` with these rows in its table.
fn with_rows(page: &str, rows: &[String]) -> Result<String> {
    let lacks = |what: &str| format!("{PAGE} lacks the line `{}`", what.trim_end());
    let (before, rest) = page.split_once(BEGIN).with_context(|| lacks(BEGIN))?;
    let (_, after) = rest.split_once(END).with_context(|| lacks(END))?;
    let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
    Ok(format!("{before}{BEGIN}{HEAD}{rows}\n{END}{after}"))
}

fn read() -> Result<String> {
    std::fs::read_to_string(workspace::root().join(PAGE)).context(PAGE)
}

/// Writes the table.
///
/// # Errors
/// If the results are not those that the table is about, or the page has no place for it.
pub fn bless(results: &Results) -> Result<()> {
    ensure!(
        results.standard,
        "--bless: {PAGE} has the table of {SYSTEM} with GICv3: leave out the system and --gic"
    );
    let page = with_rows(&read()?, &results.maintenance())?;
    workspace::write(&workspace::root().join(PAGE), page.as_bytes())
}

/// Checks the table.
///
/// # Errors
/// If it is out of date.
pub fn check(results: &Results) -> Result<()> {
    let page = read()?;
    ensure!(
        with_rows(&page, &results.maintenance())? == page,
        "{PAGE}: its table of maintenance is old: run `cargo xtask silicon --mutants --bless`"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_replaced() {
        let page = format!("a\n{BEGIN}\nold\n{END}b\n");
        let rows = ["| new |".to_string()];
        let new = with_rows(&page, &rows).expect("a page");
        assert_eq!(new, format!("a\n{BEGIN}{HEAD}| new |\n\n{END}b\n"));
        assert_eq!(with_rows(&new, &rows).expect("a page"), new);
        let error = with_rows("a\n", &rows).expect_err("no table").to_string();
        assert!(error.contains("lacks the line"), "{error}");
    }

    #[test]
    fn the_page_has_a_place_for_the_table() {
        let page = read().expect("the page");
        with_rows(&page, &[]).expect("a place");
        let (_, rest) = page.split_once(BEGIN).expect("the table");
        let (table, _) = rest.split_once(END).expect("its end");
        assert!(table.matches("\n| `").count() > 8, "the table has its rows");
    }
}
