// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbers, sizes, addresses and names as messages write them.

/// A number of things, in words: `1 core`, `2 cores`.
#[must_use]
pub fn count(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// The name nearest to `word`, if one is near enough to be meant.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (distance(word, name), name))
        .filter(|&(distance, name)| distance < name.len() && distance <= (name.len() / 3).max(2))
        .min()
        .map(|(_, name)| name)
}

/// Least number of characters to insert, delete or replace to make `b` of `a` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let replaced = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

/// Returns `did you mean …?` if one of `names` is near, otherwise a list of them.
pub fn suggest(word: &str, what: &str, names: &[&str]) -> String {
    match nearest(word, names.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None if names.is_empty() => format!("there are no {what}"),
        None => format!("the {what} are: {}", names.join(", ")),
    }
}

/// A number of bytes for people: the largest unit that divides it, or MiB with one decimal.
pub fn bytes(count: u64) -> String {
    match count {
        0 => "0 bytes".into(),
        1 => "1 byte".into(),
        _ if count.is_multiple_of(1 << 30) => format!("{} GiB", count >> 30),
        _ if count.is_multiple_of(1 << 20) => format!("{} MiB", count >> 20),
        _ if count > 1 << 20 => format!("{:.1} MiB", count as f64 / (1u64 << 20) as f64),
        _ if count.is_multiple_of(1 << 10) => format!("{} KiB", count >> 10),
        _ => format!("{count} bytes"),
    }
}

/// An address for people: hexadecimal, in groups of four digits, as TOML takes it.
pub fn address(value: u64) -> String {
    let digits = format!("{value:x}");
    let digits = format!("{digits:0>width$}", width = digits.len().next_multiple_of(4));
    let groups: Vec<&str> = digits
        .as_bytes()
        .chunks(4)
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    format!("0x{}", groups.join("_"))
}
