// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables of figures, and the word on a figure.

use crate::bench::figure::Figure;

/// A table: heads, then rows as long as they.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Heads of its columns.
    pub head: Vec<String>,
    /// Its rows.
    pub rows: Vec<Vec<String>>,
}

/// Held or not, and whether the peers are beaten.
pub fn verdict(figure: &Figure) -> &'static str {
    match (figure.held(), figure.beats_peers()) {
        (true, true) => "held",
        (true, false) => "held, but a peer needs less",
        (false, true) => "OVER",
        (false, false) => "OVER, and a peer needs less",
    }
}
