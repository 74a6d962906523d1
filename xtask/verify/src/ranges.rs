// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ranges of addresses.

use plan::Range;

/// Returns ranges by address, touching ones joined.
#[must_use]
pub fn merged(ranges: &[Range]) -> Vec<Range> {
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|range| range.base);
    let mut result: Vec<Range> = Vec::new();
    for range in sorted {
        match result.last_mut() {
            Some(last) if range.base <= end(*last) => {
                last.size = last.size.max(end(range) - last.base);
            }
            _ => result.push(range),
        }
    }
    result
}

/// The first address after a range.
pub fn end(range: Range) -> u64 {
    range.base.saturating_add(range.size)
}
