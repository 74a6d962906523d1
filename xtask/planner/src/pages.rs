// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whole pages.

use anyhow::{Result, ensure};
use manifest::system::Range;
use plan::PAGE;

/// Rounds up to whole pages.
#[must_use]
pub fn pages(bytes: u64) -> u64 {
    bytes.next_multiple_of(PAGE)
}

/// Checks that a range is whole pages and within the address space.
///
/// # Errors
/// If it is not; the error calls the range `what`.
pub fn check_pages(what: &str, base: u64, size: u64) -> Result<()> {
    ensure!(
        base.is_multiple_of(PAGE) && size.is_multiple_of(PAGE) && size > 0,
        "{what}: {base:#x} and {size:#x} must be whole pages"
    );
    ensure!(
        base.checked_add(size).is_some_and(|end| end <= 1 << 48),
        "{what}: {base:#x} and {size:#x} bytes reach beyond 48 address bits"
    );
    Ok(())
}

/// Takes the next `size` bytes of IPA from `next` on that do not overlap a taken range, at a
/// multiple of `align`.
pub fn free_aligned(next: &mut u64, taken: &[Range], size: u64, align: u64) -> Range {
    let mut base = next.next_multiple_of(align);
    while let Some(hit) =
        taken.iter().find(|range| range.base < base + size && base < range.base + range.size)
    {
        base = (hit.base + hit.size).next_multiple_of(align);
    }
    *next = base + size;
    Range { base, size }
}
