// SPDX-License-Identifier: MIT OR Apache-2.0
//! What partitions and channels may be called.

/// Longest name: what `plan::Partition::name` holds beside one zero.
pub const LONGEST: usize = 15;

/// Whether a partition or a channel may be called that.
pub fn is_name(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.chars().all(is_allowed)
}

/// Whether a name may have the character.
pub fn is_allowed(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}
