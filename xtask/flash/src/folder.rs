// SPDX-License-Identifier: MIT OR Apache-2.0
//! Folders of a FAT file system: entries with long and short names.

use crate::content::Content;
use anyhow::{Result, bail, ensure};
use std::collections::BTreeMap;

/// Bytes of an entry.
pub const ENTRY: usize = 32;
/// Attributes of a file: changed since the last backup, as every new one.
pub const FILE: u8 = 0x20;
/// Attributes of a folder.
pub const FOLDER: u8 = 0x10;
/// Attributes of the volume's name.
pub const VOLUME: u8 = 0x08;
/// Attributes of a part of a long name.
const LONG: u8 = 0x0f;
/// UTF-16 units in a part of a long name, and their places in the entry.
const PART: usize = 13;
const PLACES: [usize; PART] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
/// Longest name.
const LONGEST: usize = 255;
/// 1 January 1980, the first day that FAT knows: the time of every file, at midnight.
const DAY: u16 = 0x21;

/// Something in a folder.
pub enum Node<'a> {
    /// A file's bytes.
    File(&'a [u8]),
    /// A folder.
    Folder(Folder<'a>),
}

/// A folder, by names.
pub type Folder<'a> = BTreeMap<&'a str, Node<'a>>;

/// Returns the folders that the paths of a card's files name.
///
/// # Errors
/// If a path is not one for FAT, or names a folder and a file.
pub fn tree(content: &Content) -> Result<Folder<'_>> {
    let mut root = Folder::new();
    for (path, bytes) in content.files() {
        let mut folder = &mut root;
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            ensure!(is_name(name), "{path}: not a name on a FAT file system");
            if names.peek().is_none() {
                let other = folder.insert(name, Node::File(bytes));
                ensure!(other.is_none(), "{path} is a folder and a file");
                break;
            }
            let inner = folder.entry(name).or_insert_with(|| Node::Folder(Folder::new()));
            let Node::Folder(inner) = inner else {
                bail!("{path}: {name} is a folder and a file");
            };
            folder = inner;
        }
    }
    Ok(root)
}

/// Whether FAT takes a name; of letters, only those of ASCII are allowed here.
fn is_name(name: &str) -> bool {
    let takes = |c: char| matches!(c, ' '..='~') && !"\"*/:<>?\\|".contains(c);
    (1..=LONGEST).contains(&name.len())
        && name.chars().all(takes)
        && !name.starts_with(' ')
        && !name.ends_with([' ', '.'])
}

/// Returns the number of a folder's entries, of which `more` are not files or folders in it.
pub fn size(folder: &Folder<'_>, more: usize) -> usize {
    let entries = |name: &&str| 1 + if is_short(name) { 0 } else { name.len().div_ceil(PART) };
    more + folder.keys().map(entries).sum::<usize>()
}

/// A folder's entries.
#[derive(Default)]
pub struct Entries {
    /// The entries.
    pub bytes: Vec<u8>,
    /// The short names so far.
    names: Vec<[u8; 11]>,
}

impl Entries {
    /// Adds a file or a folder, with its long name unless it has the form of a short one.
    ///
    /// # Errors
    /// If there are too many names that begin alike.
    pub fn add(&mut self, name: &str, attributes: u8, first: u32, size: u32) -> Result<()> {
        let short = self.short(name)?;
        if !is_short(name) {
            self.add_long(name, checksum(short));
        }
        self.add_short(short, attributes, first, size);
        Ok(())
    }

    /// Adds an entry that has only a short name.
    pub fn add_short(&mut self, name: [u8; 11], attributes: u8, first: u32, size: u32) {
        let mut entry = [0; ENTRY];
        entry[..11].copy_from_slice(&name);
        entry[11] = attributes;
        let [low, high] = [first & 0xffff, first >> 16].map(|half| half.to_le_bytes());
        // The days on which it was made, last read, last written.
        for (at, value) in [(16, DAY), (18, DAY), (24, DAY)] {
            entry[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        entry[20..22].copy_from_slice(&high[..2]);
        entry[26..28].copy_from_slice(&low[..2]);
        entry[28..].copy_from_slice(&size.to_le_bytes());
        self.bytes.extend(entry);
        self.names.push(name);
    }

    /// Adds the parts of a long name, the last first.
    fn add_long(&mut self, name: &str, checksum: u8) {
        // A zero ends the name, unless it fills its last part.
        let parts: Vec<_> = name.as_bytes().chunks(PART).zip(1u8..).collect();
        for (part, number) in parts.iter().rev() {
            let is_last = usize::from(*number) == parts.len();
            let mut entry = [0; ENTRY];
            entry[0] = number | if is_last { 0x40 } else { 0 };
            entry[11] = LONG;
            entry[13] = checksum;
            for (index, place) in PLACES.into_iter().enumerate() {
                let unit = match index.checked_sub(part.len()) {
                    None => u16::from(part[index]),
                    Some(0) => 0,
                    Some(_) => 0xffff,
                };
                entry[place..place + 2].copy_from_slice(&unit.to_le_bytes());
            }
            self.bytes.extend(entry);
        }
    }

    /// Returns a short name that is new in this folder: the name's, or one with a number.
    fn short(&self, name: &str) -> Result<[u8; 11]> {
        let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        let letters = |text: &str, most: usize| -> Vec<u8> {
            let kept = text.bytes().filter(|byte| !matches!(byte, b' ' | b'.'));
            let legal = |byte: u8| if is_legal(byte) { byte } else { b'_' };
            kept.map(|byte| legal(byte.to_ascii_uppercase())).take(most).collect()
        };
        let joined = |base: &[u8], extension: &[u8]| {
            let mut short = [b' '; 11];
            short[..base.len()].copy_from_slice(base);
            short[8..8 + extension.len()].copy_from_slice(extension);
            short
        };
        let upper = name.to_ascii_uppercase();
        let (base, extension) = (letters(base, LONGEST), letters(extension, 3));
        if is_short(&upper) {
            let short = joined(&base, &extension);
            if !self.names.contains(&short) {
                return Ok(short);
            }
        }
        for number in 1..1_000_000 {
            let tail = format!("~{number}");
            let mut base = base.clone();
            base.truncate(8 - tail.len());
            base.extend(tail.bytes());
            let short = joined(&base, &extension);
            if !self.names.contains(&short) {
                return Ok(short);
            }
        }
        bail!("{name}: too many names in this folder begin alike")
    }
}

/// Whether a short name may have this character.
fn is_legal(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"!#$%&'()-@^_`{}~".contains(&byte)
}

/// Whether a name has the form of a short one: upper case, 8 characters and 3. A name with `~` has
/// a long one too, for it could be the short one of another.
fn is_short(name: &str) -> bool {
    let (base, extension) = name.split_once('.').unwrap_or((name, ""));
    let own = |byte| is_legal(byte) && byte != b'~';
    let fits = |part: &str, most: usize| part.len() <= most && part.bytes().all(own);
    !base.is_empty() && fits(base, 8) && fits(extension, 3)
}

/// The sum of a short name, by which the parts of its long name know it.
fn checksum(short: [u8; 11]) -> u8 {
    short.iter().fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}
