// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checks that the rules run, one function per rule. `rules` lists them; each returns every
//! breach it finds.

pub mod channels;
pub mod cores;
pub mod devices;
pub mod images;
pub mod memory;
pub mod names;
pub mod ram;
pub mod restart;
pub mod supervision;
pub mod verdict;
pub mod views;
pub mod warnings;

use crate::system::Range;

/// Whether two ranges, each first address and bytes, have an address in common.
fn overlap((a, a_size): (u64, u64), (b, b_size): (u64, u64)) -> bool {
    a < b.saturating_add(b_size) && b < a.saturating_add(a_size)
}

/// Whether the first range is inside the second.
fn inside((a, a_size): (u64, u64), (b, b_size): (u64, u64)) -> bool {
    a >= b && a.checked_add(a_size).is_some_and(|end| end <= b.saturating_add(b_size))
}

/// A range as a pair.
fn pair(range: &Range) -> (u64, u64) {
    (range.base, range.size)
}

/// A range for people: first and last address.
fn span_of((base, size): (u64, u64)) -> String {
    use super::words::address;
    let last = base.saturating_add(size.saturating_sub(1));
    format!("{} to {}", address(base), address(last))
}

/// Each two of the items, in order.
fn pairs<T>(items: &[T]) -> impl Iterator<Item = (&T, &T)> {
    items
        .iter()
        .enumerate()
        .flat_map(|(index, one)| items[..index].iter().map(move |other| (other, one)))
}
