// SPDX-License-Identifier: MIT OR Apache-2.0
//! Titles, columns and sizes of the report.

use std::fmt::Write;

/// Rows of columns; the first row is the heading.
pub type Rows = Vec<Vec<String>>;

/// A title and aligned columns.
pub fn section(text: &mut String, title: &str, rows: &Rows) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(String::len).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\n{title}");
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "  {cell:width$}");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

pub fn note(text: &mut String, note: &str) {
    for line in note.lines() {
        let _ = writeln!(text, "  {line}");
    }
}

pub fn bytes(n: u64) -> String {
    match n {
        n if n >= 1 << 20 && n.is_multiple_of(1 << 20) => format!("{} MiB", n >> 20),
        n if n.is_multiple_of(1 << 10) => format!("{} KiB", n >> 10),
        n => format!("{n} B"),
    }
}
