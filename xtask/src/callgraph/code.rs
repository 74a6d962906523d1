// SPDX-License-Identifier: MIT OR Apache-2.0
//! EL2's code in its executable: instructions, and the names of addresses.

use std::collections::BTreeMap;
use std::ops::Range;

use addr2line::demangle_auto;
use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

use crate::trace::short;

/// A name of an address in the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The name, without its crate and hash.
    pub name: String,
    /// Whether it is a function that a compiler made; false for a label of assembly.
    pub is_function: bool,
}

/// The code.
#[derive(Clone, Debug, Default)]
pub struct Code {
    /// Its instructions, from address 0.
    pub words: Vec<u32>,
    /// Ranges of data within it.
    pub data: Vec<Range<u32>>,
    /// Names by address.
    pub symbols: BTreeMap<u32, Symbol>,
    /// Address directly above the boot core's first stack, and the bytes below it that are only the
    /// stack's.
    pub boot_stack: (u32, u32),
}

/// The label directly above the boot core's first stack.
const BOOT_STACK_TOP: &str = "boot_stack_top";

impl Code {
    /// Reads an executable whose code is linked at 0.
    ///
    /// # Errors
    /// If it is not one, or has no stack for boot.
    pub fn read(elf: &[u8]) -> Result<Self> {
        let file = object::File::parse(elf).context("not an ELF file")?;
        let text = file.section_by_name(".text").context("no .text")?;
        ensure!(text.address() == 0, ".text is not linked at 0");
        let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap_or_default());
        let words: Vec<_> = text.data()?.chunks_exact(4).map(word).collect();
        let mut symbols = BTreeMap::new();
        let mut marks = BTreeMap::new();
        for symbol in file.symbols() {
            if symbol.section_index() != Some(text.index()) || symbol.kind() == SymbolKind::Section
            {
                continue;
            }
            let (at, name) = (symbol.address() as u32, symbol.name()?);
            // Mapping symbols say whether code or data follows (ELF for the Arm 64-bit
            // Architecture, 5.5).
            if name.starts_with('$') {
                marks.insert(at, name.starts_with("$d"));
            } else {
                let is_function = symbol.kind() == SymbolKind::Text;
                let name = short(&demangle_auto(name.into(), None));
                // Identical functions are merged: the first name is used for all of them.
                let known =
                    symbols.entry(at).or_insert_with(|| Symbol { name: name.clone(), is_function });
                if is_function && (!known.is_function || name < known.name) {
                    *known = Symbol { name, is_function };
                }
            }
        }
        let ends = marks.keys().skip(1).copied();
        let ends = ends.chain([words.len() as u32 * 4]);
        let ranges = marks.iter().zip(ends);
        let data = ranges.filter(|((_, is_data), _)| **is_data);
        let data = data.map(|((start, _), end)| *start..end).collect();
        Ok(Self { words, data, symbols, boot_stack: boot_stack(&file)? })
    }

    /// Returns the instruction at `at`; none outside the code.
    #[must_use]
    pub fn word(&self, at: u32) -> Option<u32> {
        let is_code = at.is_multiple_of(4) && !self.data.iter().any(|range| range.contains(&at));
        self.words.get(at as usize / 4).copied().filter(|_| is_code)
    }

    /// Every instruction with its address.
    pub fn all(&self) -> impl Iterator<Item = (u32, u32)> {
        let places = (0..).step_by(4).take(self.words.len());
        places.filter_map(|at| Some((at, self.word(at)?)))
    }

    /// Returns the name of the function or label around `at`.
    #[must_use]
    pub fn name(&self, at: u32) -> &str {
        let symbol = self.symbols.range(..=at).next_back();
        symbol.map_or("?", |(_, symbol)| &symbol.name)
    }

    /// Returns the only address of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(&self, name: &str) -> Result<u32> {
        let found = self.symbols.iter().find(|(_, symbol)| symbol.name == name);
        let (at, _) = found.with_context(|| format!("EL2 has no symbol `{name}`"))?;
        Ok(*at)
    }
}

/// Returns the top of the boot core's first stack, and the bytes below it: down to the next symbol,
/// or to the start of its section.
fn boot_stack(file: &object::File) -> Result<(u32, u32)> {
    let mut symbols = file.symbols();
    let top = symbols
        .find(|symbol| symbol.name() == Ok(BOOT_STACK_TOP))
        .with_context(|| format!("EL2 has no symbol `{BOOT_STACK_TOP}`"))?;
    let section = top.section_index().context("a stack without a section")?;
    let start = file.section_by_index(section)?.address();
    let others = file.symbols().filter(|symbol| {
        let is_mark = symbol.name().is_ok_and(|name| name.starts_with('$'));
        let is_below = symbol.address() < top.address();
        symbol.section_index() == Some(section) && is_below && !is_mark
    });
    let ends = others.map(|symbol| (symbol.address() + symbol.size()).min(top.address()));
    let bottom = ends.max().unwrap_or(start);
    Ok((top.address() as u32, (top.address() - bottom) as u32))
}
