// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables of figures, and the verdict on a figure.

use crate::bench::figure::Figure;

/// A table: heads, then rows of the same length.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Heads of its columns.
    pub head: Vec<String>,
    /// Its rows.
    pub rows: Vec<Vec<String>>,
}

/// Says whether the budget is kept, and whether the peers are beaten.
pub fn verdict(figure: &Figure) -> &'static str {
    match (figure.held(), figure.beats_peers()) {
        (true, true) => "held",
        (true, false) => "held, but a peer needs less",
        (false, true) => "OVER",
        (false, false) => "OVER, and a peer needs less",
    }
}
