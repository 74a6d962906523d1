//! A partition's `memory`: pieces, of which the first has a default address and the others say
//! theirs.

use super::decode::{At, Findings, Read, Value};
use super::raw::{DEFAULT_IPA, Memory};
use super::report::{Finding, address};
use super::values::{Each, table};

/// A partition's pieces of memory: the first alone has a default address.
pub struct Pieces;

impl<'a> Read<'a> for Pieces {
    type Value = Vec<Memory>;

    fn read(&self, value: &'a Value<'a>, findings: &'a Findings, key: &str) -> Option<Vec<Memory>> {
        let pieces = Each(table("a piece of memory", Memory::read));
        let mut pieces = pieces.read(value, findings, key)?;
        let get = |value: &Option<At<u64>>| value.as_ref().map(|at| *at.get_ref());
        // Behind every piece that says where it is there is room for those that do not.
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
