// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parts of a report, and their form in Markdown.

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
