// SPDX-License-Identifier: MIT OR Apache-2.0
//! The names that a Linux kernel has in itself (`CONFIG_KALLSYMS`), from its arm64 Image.
//!
//! The tables have no header and no magic number, so they are found by their contents (Linux
//! scripts/kallsyms.c): 256 tokens, one per byte value, then the place of each token. Before these
//! are the number of names, the names, each a length and that many tokens, and a marker per 256
//! names. The addresses are before all that, or after the tokens (from Linux 6.4 on). A file may
//! have anything else: every place is checked against the file's size, and every table against
//! another one.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// Tokens.
const TOKENS: usize = 256;
/// Names per marker.
const PER_MARKER: usize = 256;
/// Most bytes of a name, with its length.
const LONGEST: usize = 512;
/// Most symbols: a kernel has some 100,000.
const MOST: usize = 4 << 20;
/// Start of an arm64 Image: its magic number and the place of that (Linux booting.rst).
const MAGIC: (usize, &[u8]) = (56, b"ARM\x64");
/// Start and place of the magic number of a compressed kernel that unpacks itself (EFI zboot).
const ZBOOT: (usize, &[u8]) = (4, b"zimg");
/// `R_AARCH64_RELATIVE`.
const RELATIVE: u64 = 0x403;

/// Returns whether `bytes` are a kernel that [`read`] may know.
pub(super) fn is_kernel(bytes: &[u8]) -> bool {
    [MAGIC, ZBOOT].iter().any(|&(at, magic)| bytes.get(at..).is_some_and(|b| b.starts_with(magic)))
}

/// Returns the names by address.
///
/// # Errors
/// If the kernel is compressed, or has no such tables.
pub(super) fn read(image: &[u8]) -> Result<BTreeMap<u64, String>> {
    if image.get(ZBOOT.0..).is_some_and(|rest| rest.starts_with(ZBOOT.1)) {
        bail!("the kernel is compressed (EFI zboot): unpack it, or give its System.map");
    }
    let tables = Tables::find(image).context("the kernel has no symbol table (CONFIG_KALLSYMS)")?;
    tables.names().context("the kernel's symbol table (CONFIG_KALLSYMS) is damaged")
}

fn word16(image: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_le_bytes(*image.get(at..)?.first_chunk()?).into())
}

fn word32(image: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*image.get(at..)?.first_chunk()?))
}

fn word64(image: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*image.get(at..)?.first_chunk()?))
}

/// The tables: places in the image.
struct Tables<'a> {
    image: &'a [u8],
    tokens: [&'a [u8]; TOKENS],
    names: usize,
    count: usize,
    /// The distance of each symbol from the base.
    offsets: usize,
    base: u64,
}

impl<'a> Tables<'a> {
    fn find(image: &'a [u8]) -> Option<Self> {
        // The digits are in names, so each is a token of its own.
        let digits: Vec<_> = (b'0'..=b'9').flat_map(|digit| [digit, 0]).collect();
        let mut from = 0;
        while let Some(at) = find(image.get(from..)?, &digits) {
            if let Some(tables) = Self::around(image, from + at) {
                return Some(tables);
            }
            from += at + 1;
        }
        None
    }

    /// Returns the tables whose token `0` is at `digit`, if they are some.
    fn around(image: &'a [u8], digit: usize) -> Option<Self> {
        let mut end = digit;
        for _ in 1..b'0' {
            // The byte before a token ends the one before that.
            let before = image.get(..end.checked_sub(1)?)?;
            end = before.iter().rposition(|&byte| byte == 0)? + 1;
        }
        let second = end;
        let mut tokens = [&image[..0]; TOKENS];
        for token in &mut tokens[1..] {
            let length = image.get(end..)?.iter().position(|&byte| byte == 0)?;
            *token = image.get(end..end + length)?;
            end += length + 1;
        }
        let index = end.next_multiple_of(8);
        // The byte before the first token may be anything.
        let start = second.checked_sub(word16(image, index + 2)?)?;
        tokens[0] = image.get(start..second.checked_sub(1)?)?;
        let mut place = 0;
        for (number, token) in tokens.iter().enumerate() {
            if word16(image, index + 2 * number)? != place {
                return None;
            }
            place += token.len() + 1;
        }
        let (names, count) = names_before(image, start)?;
        let head = names - 8;
        let size = (4 * count).next_multiple_of(8);
        let after = index + 2 * TOKENS;
        let places =
            [(head.checked_sub(8 + size), head.checked_sub(8)), (Some(after), Some(after + size))];
        for (offsets, base) in places {
            let (Some(offsets), Some(base)) = (offsets, base) else {
                continue;
            };
            if is_sorted(image, offsets, count)
                && let Some(base) = based(image, base)
            {
                return Some(Self { image, tokens, names, count, offsets, base });
            }
        }
        None
    }

    fn names(&self) -> Option<BTreeMap<u64, String>> {
        let mut found = BTreeMap::new();
        let mut at = self.names;
        for number in 0..self.count {
            let (length, first) = length(self.image, at)?;
            let codes = self.image.get(first..first + length)?;
            at = first + length;
            let bytes: Vec<_> =
                codes.iter().flat_map(|&code| self.tokens[usize::from(code)]).copied().collect();
            // The first letter is the symbol's kind.
            let name = String::from_utf8_lossy(bytes.get(1..)?).into_owned();
            let offset = word32(self.image, self.offsets + 4 * number)?;
            let address = self.base.wrapping_add(offset.into());
            // Linux, too, takes the first of several names.
            if !name.starts_with('$') {
                found.entry(address).or_insert(name);
            }
        }
        Some(found)
    }
}

/// Returns the first place of `words` in `bytes`.
fn find(bytes: &[u8], words: &[u8]) -> Option<usize> {
    bytes.windows(words.len()).position(|place| place == words)
}

/// Returns the length of a name, in tokens, and the place of its first one. Long names have a
/// second byte for it.
fn length(image: &[u8], at: usize) -> Option<(usize, usize)> {
    let first = usize::from(*image.get(at)?);
    match first & 0x80 {
        0 => Some((first, at + 1)),
        _ => Some((first & 0x7f | usize::from(*image.get(at + 1)?) << 7, at + 2)),
    }
}

/// Returns the place and the number of the names in front of the tokens at `tokens`.
fn names_before(image: &[u8], tokens: usize) -> Option<(usize, usize)> {
    let sizes = (PER_MARKER + 1..MOST).flat_map(|count| {
        // From Linux 6.2 on, and in later versions of 6.1, there are three bytes per name between.
        [0, 3 * count].map(|order| {
            let markers = (4 * count.div_ceil(PER_MARKER)).next_multiple_of(8);
            (count, markers + order.next_multiple_of(8))
        })
    });
    let mut places = sizes.map_while(|(count, size)| Some((count, tokens.checked_sub(size)?)));
    places.find_map(|(count, markers)| Some((names_at(image, markers, count)?, count)))
}

/// Returns the place of `count` names whose markers are at `markers`.
fn names_at(image: &[u8], markers: usize, count: usize) -> Option<usize> {
    let marker = |number: usize| Some(word32(image, markers + 4 * number)? as usize);
    // Few other places get past the first two.
    let (first, second) = (marker(0)?, marker(1)?);
    if first != 0 || !(PER_MARKER..PER_MARKER * LONGEST).contains(&second) {
        return None;
    }
    let mut last = 0;
    for number in 1..count.div_ceil(PER_MARKER) {
        let next = marker(number)?;
        if next <= last {
            return None;
        }
        last = next;
    }
    // The last marker has at most 256 names; the markers follow them. The count is before them.
    let latest = markers.checked_sub(last)? & !7;
    let earliest = latest.saturating_sub(PER_MARKER * LONGEST).max(8);
    let mut places = (earliest..=latest).rev().step_by(8).filter(|&names| names % 8 == 0);
    places.find(|&names| {
        let mut at = Some(names);
        if word64(image, names - 8) != Some(count as u64) {
            return false;
        }
        for _ in 0..PER_MARKER {
            at = at.and_then(|at| length(image, at)).map(|(length, first)| first + length);
        }
        at == Some(names + second)
    })
}

/// Returns whether `count` offsets at `at` rise.
fn is_sorted(image: &[u8], at: usize, count: usize) -> bool {
    let Some(words) = image.get(at..at + 4 * count) else {
        return false;
    };
    let (words, _) = words.as_chunks::<4>();
    words.iter().map(|word| u32::from_le_bytes(*word)).is_sorted() && words.first() != words.last()
}

/// Returns the address that the word at `at` has when the kernel runs: it has it already, or a
/// relocation (place, kind, value) sets it.
fn based(image: &[u8], at: usize) -> Option<u64> {
    let is_kernel = |address: u64| address >> 48 == 0xffff;
    match word64(image, at)? {
        0 => {}
        base => return Some(base).filter(|&base| is_kernel(base)),
    }
    let (words, _) = image.as_chunks::<8>();
    let words: Vec<_> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let relocations = || {
        let entries = words.windows(3).filter(|entry| entry[1] == RELATIVE);
        entries.filter(|entry| is_kernel(entry[0]) && is_kernel(entry[2]))
    };
    // The lowest value is near the kernel's start, which is a multiple of 2 MiB.
    let start = relocations().map(|entry| entry[2]).min()? & !0x1f_ffff;
    let place = start.checked_add(at as u64)?;
    relocations().find(|entry| entry[0] == place).map(|entry| entry[2])
}

#[cfg(test)]
mod tests {
    use runner::workspace;

    use super::*;

    const BASE: u64 = 0xffff_8000_0800_0000;

    /// Returns a kernel with 600 symbols, `f0` to `f599`, 16 bytes each, as Linux 6.1 has them (or
    /// 6.4 and later), with the order of names between them and the tokens as 6.2 has it.
    fn kernel(is_late: bool, has_order: bool) -> Vec<u8> {
        let mut image = vec![0; 4096];
        image[MAGIC.0..MAGIC.0 + 4].copy_from_slice(MAGIC.1);
        let align = |image: &mut Vec<u8>| image.resize(image.len().next_multiple_of(8), 0);
        let addresses = |image: &mut Vec<u8>| {
            (0..600_u32).for_each(|n| image.extend((16 * n).to_le_bytes()));
            align(image);
            image.extend([0; 8]);
            image.len() - 8
        };
        let mut base = 0;
        if !is_late {
            base = addresses(&mut image);
        }
        image.extend(600_u64.to_le_bytes());
        let (names, mut markers) = (image.len(), Vec::new());
        for number in 0..600 {
            if number % PER_MARKER == 0 {
                markers.extend(((image.len() - names) as u32).to_le_bytes());
            }
            // The token `\x01` is for two letters.
            let name: Vec<u8> = [&b"\x01"[..], number.to_string().as_bytes()].concat();
            image.push(name.len() as u8);
            image.extend(name);
        }
        align(&mut image);
        image.extend(markers);
        align(&mut image);
        if has_order {
            image.extend([7; 3 * 600]);
            align(&mut image);
        }
        let mut index = Vec::new();
        let tokens = image.len();
        for token in 0..=255_u8 {
            index.extend(((image.len() - tokens) as u16).to_le_bytes());
            match token {
                1 => image.extend(b"Tf\0"),
                b'0'..=b'9' => image.extend([token, 0]),
                _ => image.push(0),
            }
        }
        align(&mut image);
        image.extend(index);
        if is_late {
            base = addresses(&mut image);
        }
        for word in [BASE + 8, RELATIVE, BASE + 0x123, BASE + base as u64, RELATIVE, BASE] {
            image.extend(word.to_le_bytes());
        }
        image
    }

    #[test]
    fn names_of_every_layout() {
        for (is_late, has_order) in [(false, false), (false, true), (true, false)] {
            let image = kernel(is_late, has_order);
            assert!(is_kernel(&image));
            let names = read(&image).expect("tables");
            assert_eq!(names.len(), 600);
            assert_eq!(names[&BASE], "f0");
            assert_eq!(names[&(BASE + 16 * 599)], "f599");
        }
    }

    #[test]
    fn any_damage_is_borne() {
        let image = kernel(false, true);
        for end in (0..image.len()).step_by(37) {
            let _ = read(&image[..end]);
        }
        let mut state = 1_u64;
        for _ in 0..2000 {
            let mut image = image.clone();
            for _ in 0..8 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = 4096 + (state >> 33) as usize % (image.len() - 4096);
                image[at] = (state >> 24) as u8;
            }
            let _ = read(&image);
        }
    }

    #[test]
    fn a_kernel_without_tables_is_told() {
        let told = |image: &[u8]| read(image).expect_err("no tables").to_string();
        let mut image = kernel(true, false);
        image.truncate(5000);
        assert_eq!(told(&image), "the kernel has no symbol table (CONFIG_KALLSYMS)");
        assert_eq!(
            told(b"MZ\0\0zimg"),
            "the kernel is compressed (EFI zboot): unpack it, or give its System.map"
        );
    }

    /// Debian's kernel, if an earlier run of a system with Linux has fetched it. The case
    /// `linux/devices` always needs its names.
    #[test]
    fn debians_kernel() {
        let file = workspace::target_dir().join("debian/linux-image-cloud-arm64");
        let Ok(image) = std::fs::read(file) else {
            return;
        };
        let names = read(&image).expect("tables");
        assert!(names.len() > 40_000, "{}", names.len());
        for name in ["panic", "sysrq_handle_crash", "__arm_smccc_hvc"] {
            let places: Vec<_> = names.iter().filter(|(_, other)| *other == name).collect();
            assert!(matches!(places[..], [(0xffff_8000_0000_0000.., _)]), "{name}: {places:?}");
        }
    }
}
