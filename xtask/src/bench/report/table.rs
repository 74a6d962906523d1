// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verdict on a figure, for tables.

use crate::bench::figure::Figure;

/// Says whether the budget is kept, and whether the peers are beaten.
pub fn verdict(figure: &Figure) -> &'static str {
    match (figure.held(), figure.beats_peers()) {
        (true, true) => "held",
        (true, false) => "held, but a peer needs less",
        (false, true) => "OVER",
        (false, false) => "OVER, and a peer needs less",
    }
}
