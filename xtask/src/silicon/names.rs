// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names for the places in a checker's report: EL2's from its executable, a guest's from its
//! program.

use addr2line::Loader;
use anyhow::Result;
use silicon_model::report::Place;

use super::run::Prepared;
use crate::trace::Symbols;

/// The names of a run's addresses.
pub struct Names {
    el2: Symbols,
    /// Each core's partition: its name, and its program's symbols if it has any.
    guests: Vec<Option<(String, Option<Loader>)>>,
    /// EL2's addresses, as loaded and as moved, and its size.
    loaded: u64,
    moved: u64,
    size: u64,
}

/// A place with its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The functions that have the code, the outermost first.
    pub functions: Vec<String>,
    /// Source file and line.
    pub line: Option<String>,
    /// Offset in the image, if the code is EL2's.
    pub offset: Option<u32>,
}

impl Names {
    /// Reads the names for a run of `prepared`, loaded at `loaded`.
    ///
    /// # Errors
    /// If EL2's executable cannot be read.
    pub fn new(prepared: &Prepared, loaded: u64) -> Result<Self> {
        let mut guests = Vec::new();
        for partition in &prepared.system.partitions {
            for vcpu in &partition.vcpus {
                let core = vcpu.core as usize;
                if guests.len() <= core {
                    guests.resize_with(core + 1, || None);
                }
                // A kernel without symbols is named by its address.
                let loader = Loader::new(&partition.image.file).ok();
                guests[core] = Some((partition.name.clone(), loader));
            }
        }
        let design = &prepared.image.design;
        Ok(Self {
            el2: Symbols::read(&prepared.elf)?,
            guests,
            loaded,
            moved: design.places.image.base,
            size: design.el2.size(),
        })
    }

    /// Returns the offset in the image of EL2's address `pc`.
    fn offset(&self, pc: u64) -> Option<u32> {
        let from = |base: u64| pc.checked_sub(base).filter(|&offset| offset < self.size);
        u32::try_from(from(self.moved).or_else(|| from(self.loaded))?).ok()
    }

    /// Returns the instruction at `offset` of EL2.
    #[must_use]
    pub fn at(&self, offset: u32) -> Named {
        Named {
            functions: self.el2.functions(offset),
            line: self.el2.line(offset),
            offset: Some(offset),
        }
    }

    /// Returns the names of a place in a report.
    #[must_use]
    pub fn named(&self, place: &Place) -> Named {
        if let Some(offset) = self.offset(place.pc).filter(|_| place.el == 2) {
            return self.at(offset);
        }
        let unnamed = |function: &str| Named {
            functions: vec![function.to_string()],
            line: None,
            offset: None,
        };
        if place.el >= 2 {
            return unnamed("the loader or firmware");
        }
        let Some(Some((partition, loader))) = self.guests.get(place.core) else {
            return unnamed("a guest");
        };
        let frames = loader.as_ref().and_then(|loader| loader.find_frames(place.pc).ok());
        let mut named = unnamed(partition);
        if let Some(Ok(Some(frame))) = frames.map(|mut frames| frames.next()) {
            let function = frame.function.and_then(|name| Some(name.demangle().ok()?.into_owned()));
            named.functions.extend(function);
            named.line = frame.location.and_then(|place| {
                let file = std::path::Path::new(place.file?).file_name()?.to_str()?.to_string();
                Some(format!("{file}:{}", place.line?))
            });
        }
        named
    }

    /// Returns the names of a place in a report, in one line.
    #[must_use]
    pub fn words(&self, place: &Place) -> String {
        let named = self.named(place);
        let name = named.functions.join(" > ");
        let line = named.line.map(|line| format!(" ({line})")).unwrap_or_default();
        let address = match named.offset {
            Some(offset) => format!("EL2+{offset:#x}"),
            None => format!("{:#x}", place.pc),
        };
        match place.pc {
            // The model's site 0: all code that ran before the image.
            0 => format!("{name}, before the image started"),
            _ => format!(
                "core {} at EL{}, {name}{line}, {address}, block {}",
                place.core, place.el, place.block
            ),
        }
    }
}
