// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names of partitions and channels.

/// Longest name: `plan::Partition::name` holds this many characters and one zero.
pub const LONGEST: usize = 15;

/// Whether the text is a valid name of a partition or a channel.
pub fn is_name(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.chars().all(is_allowed)
}

/// Whether a name may have the character.
pub fn is_allowed(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}
