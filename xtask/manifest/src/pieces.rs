// SPDX-License-Identifier: MIT OR Apache-2.0
//! A partition's `memory`: pieces, of which the first has a default address and the others give
//! theirs.

use std::ops::Range;

use super::decode::{At, Findings, Read, Table, Value};
use super::report::Finding;
use super::values::{Each, Integer, Size, table, word};
use crate::words::address;

/// Where a guest's memory starts by default.
pub const DEFAULT_IPA: u64 = 0x4000_0000;

/// A piece of memory.
pub struct Memory {
    /// Its place in the file.
    pub span: Range<usize>,
    /// Guest address.
    pub ipa: Option<At<u64>>,
    /// Bytes.
    pub size: Option<At<u64>>,
    /// Fixed physical address.
    pub physical: Option<At<u64>>,
    /// Whether it is a ROM.
    pub rom: Option<At<bool>>,
}

impl Memory {
    /// Reads one piece.
    pub fn read(t: &mut Table<'_>) -> Memory {
        Memory {
            span: t.span(),
            ipa: t.optional("ipa", Integer),
            size: t.required("size", "size = \"32MiB\"", Size),
            physical: t.optional("physical", Integer),
            rom: t.optional("kind", word(&[("ram", false), ("rom", true)])),
        }
    }
}

/// A partition's pieces of memory: only the first has a default address.
pub struct Pieces;

impl<'a> Read<'a> for Pieces {
    type Value = Vec<Memory>;

    fn read(&self, value: &'a Value<'a>, findings: &'a Findings, key: &str) -> Option<Vec<Memory>> {
        let pieces = Each(table("a piece of memory", Memory::read));
        let mut pieces = pieces.read(value, findings, key)?;
        let get = |value: &Option<At<u64>>| value.as_ref().map(|at| *at.get_ref());
        // There is room for pieces without a valid address beyond every piece that has one.
        let ends = pieces.iter().flatten().map(|piece| {
            let ipa = get(&piece.ipa).unwrap_or(DEFAULT_IPA);
            ipa.saturating_add(get(&piece.size).unwrap_or(0))
        });
        let mut free = ends.max().unwrap_or(DEFAULT_IPA);
        let read = pieces.iter_mut().enumerate();
        let read = read.filter_map(|(index, piece)| Some((index, piece.as_mut()?)));
        for (index, piece) in read.filter(|(_, piece)| piece.ipa.is_none()) {
            if index == 0 {
                piece.ipa = Some(At::new(piece.span.clone(), DEFAULT_IPA));
            } else {
                free = free.checked_next_multiple_of(2 << 20).unwrap_or(free);
                let help =
                    format!("write the guest address where it starts: `ipa = {}`", address(free));
                free = free.saturating_add(get(&piece.size).unwrap_or(0));
                findings.borrow_mut().push(
                    Finding::new(
                        piece.span.clone(),
                        "a piece of memory after the first has no `ipa`",
                        "`ipa` is missing",
                    )
                    .rule("missing-key")
                    .help(help),
                );
            }
        }
        let unread =
            || Memory { span: value.span(), ipa: None, size: None, physical: None, rom: None };
        let pieces = pieces.into_iter();
        Some(pieces.map(|piece| piece.unwrap_or_else(unread)).collect())
    }

    fn schema(&self) -> serde_json::Value {
        Each(table("a piece of memory", Memory::read)).schema()
    }
}
