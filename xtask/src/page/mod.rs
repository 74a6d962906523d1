// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reports of text, tables and plots, as Markdown and as one HTML page.

mod html;
pub mod plot;

pub use html::{escaped, render as html};

use crate::prose::{self, Kind};

/// A part of the report.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// Paragraphs.
    pub text: String,
    /// Its tables.
    pub tables: Vec<Table>,
    /// SVG elements.
    pub plots: Vec<String>,
}

/// A table: heads, then rows of the same length.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Heads of its columns.
    pub head: Vec<String>,
    /// Its rows.
    pub rows: Vec<Vec<String>>,
}

impl Section {
    /// Returns it as Markdown, without its plots.
    #[must_use]
    pub fn markdown(&self) -> String {
        let paragraphs = prose::filled(Kind::Markdown, &self.text);
        let mut text = format!("## {}\n\n{paragraphs}", self.title);
        for table in &self.tables {
            let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
            text += "\n";
            text += &line(&table.head);
            let rule = table.head.iter().enumerate().map(|(index, _)| match index {
                0 => "---".to_string(),
                _ => "---:".to_string(),
            });
            text += &line(&rule.collect::<Vec<_>>());
            for row in &table.rows {
                text += &line(row);
            }
        }
        text
    }
}

/// Formats a value: whole numbers without decimals, otherwise with four digits at most.
#[must_use]
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        _ if value.fract() == 0.0 => 0,
        1000.0.. => 0,
        100.0.. => 1,
        1.0.. => 2,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        let left = whole.len() - index;
        if index > 0 && left % 3 == 0 && !grouped.ends_with('-') {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    if fraction.is_empty() { grouped } else { format!("{grouped}.{fraction}") }
}
