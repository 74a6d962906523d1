//! The figures for people: sections of text, tables and plots, as Markdown, as one HTML page, and a
//! summary on the console.

mod sections;
mod table;

use super::figure::{Figure, number};
use crate::page::{Section, html as page};
use sections::sections;
use table::verdict;

/// Returns everything as Markdown.
#[must_use]
pub fn markdown(figures: &[Figure]) -> String {
    format!("# Bulkhead: bench\n\n{}", tables(figures))
}

/// Returns the sections as Markdown, for a page.
#[must_use]
pub fn tables(figures: &[Figure]) -> String {
    let sections = sections(figures);
    let texts: Vec<_> = sections.iter().map(Section::markdown).collect();
    texts.join("\n")
}

/// Returns everything as one HTML page without further files.
#[must_use]
pub fn html(figures: &[Figure]) -> String {
    page("Bulkhead: bench", &sections(figures))
}

/// Returns the lines for the console: every figure that has a budget.
#[must_use]
pub fn summary(figures: &[Figure]) -> String {
    let mut text = String::new();
    let mut held = 0;
    let mut count = 0;
    for figure in figures {
        let Some(bounds) = figure.bounds else {
            continue;
        };
        count += 1;
        held += usize::from(figure.held());
        // There is a line per operation; of the other figures, only the main ones have a line.
        if !figure.held() || figure.name.starts_with("el2.") || figure.name.starts_with("size.") {
            let (value, budget) = (number(figure.value), number(bounds.budget));
            let word = verdict(figure);
            text += &format!("{:<36} {value:>12} of {budget:>8}  {word}\n", figure.name);
        }
    }
    format!("{text}{held} of {count} budgets held\n")
}
