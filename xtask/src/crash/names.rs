// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names for the addresses of a crash record: of each partition's program, and of EL2.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use addr2line::Loader;
use anyhow::{Context, Result, bail};
use manifest::system::System;
use plan::Header;
use runner::workspace;
use zerocopy::FromBytes;

use super::kallsyms;
use crate::trace::short;

/// Start of the paths of the standard library's files.
const LIBRARY: &str = "/rustc/";

/// A program's symbols.
pub(super) enum Symbols {
    /// An ELF file: functions, files and lines as far as it has debug information.
    Elf(Box<Loader>),
    /// `System.map`, or a kernel's own table: names by address.
    Map(BTreeMap<u64, String>),
}

/// A partition of the system.
struct Partition {
    name: String,
    symbols: Option<Symbols>,
}

/// The names of a system's addresses.
pub struct Names {
    /// The system's name.
    pub system: String,
    /// CRC32C of its plan.
    pub plan: u32,
    partitions: Vec<Partition>,
    el2: Option<Symbols>,
    el2_base: u64,
}

impl Names {
    /// Reads the symbols of `system`, whose image has the bytes `image` and EL2 of the ELF file
    /// `el2`; `instead` are files to use for partitions, by name.
    ///
    /// # Errors
    /// If such a file cannot be read, or names a partition that the system does not have.
    pub fn new(
        system: &System,
        el2: &Path,
        image: &[u8],
        instead: &[(String, PathBuf)],
    ) -> Result<Self> {
        let known = |name: &String| system.partitions.iter().any(|p| &p.name == name);
        if let Some((name, _)) = instead.iter().find(|(name, _)| !known(name)) {
            let names: Vec<_> = system.partitions.iter().map(|p| p.name.as_str()).collect();
            bail!(
                "--symbols: {} has no partition {name}; it has {}",
                system.name,
                names.join(", ")
            );
        }
        let mut partitions = Vec::new();
        for partition in &system.partitions {
            let file = instead.iter().rfind(|(name, _)| *name == partition.name);
            let symbols = match file {
                Some((_, file)) => Some(Symbols::read(file)?),
                // A program without symbols is named by its addresses.
                None => Symbols::of_program(&partition.image.file),
            };
            partitions.push(Partition { name: partition.name.clone(), symbols });
        }
        let header = header(image).context("the image has no plan")?;
        Ok(Self {
            system: system.name.clone(),
            plan: header.crc,
            partitions,
            el2: Loader::new(el2).ok().map(Box::new).map(Symbols::Elf),
            el2_base: header.el2_base,
        })
    }

    /// Returns a partition's name.
    #[must_use]
    pub fn partition(&self, index: u8) -> Option<&str> {
        self.partitions.get(usize::from(index)).map(|partition| partition.name.as_str())
    }

    /// Returns the functions that have the code at an address of a partition, the innermost first,
    /// each with its file and line if they are known.
    #[must_use]
    pub fn guest(&self, partition: u8, address: u64) -> Vec<String> {
        let partition = self.partitions.get(usize::from(partition));
        let symbols = partition.and_then(|partition| partition.symbols.as_ref());
        symbols.map(|symbols| symbols.at(address)).unwrap_or_default()
    }

    /// Returns the same for an address of EL2.
    #[must_use]
    pub fn el2(&self, address: u64) -> Vec<String> {
        let offset = address.checked_sub(self.el2_base);
        let symbols = self.el2.as_ref().zip(offset);
        symbols.map(|(symbols, offset)| symbols.at(offset)).unwrap_or_default()
    }
}

/// Returns the header of an image's plan.
fn header(image: &[u8]) -> Option<Header> {
    let offset = u64::from_le_bytes(*image.get(64..)?.first_chunk()?);
    let rest = image.get(usize::try_from(offset).ok()?..)?;
    Header::read_from_prefix(rest).ok().map(|(header, _)| header)
}

impl Symbols {
    /// Reads the symbols that a partition's program has in itself.
    fn of_program(file: &Path) -> Option<Self> {
        // A kernel is also a program for EFI, which has no symbols.
        let bytes = std::fs::read(file).ok()?;
        match kallsyms::is_kernel(&bytes) {
            true => kallsyms::read(&bytes).ok().map(Self::Map),
            false => Loader::new(file).ok().map(Box::new).map(Self::Elf),
        }
    }

    /// Reads an ELF file, a Linux kernel or a `System.map`.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        if bytes.starts_with(b"\x7fELF") {
            return match Loader::new(file) {
                Ok(loader) => Ok(Self::Elf(Box::new(loader))),
                Err(error) => bail!("{}: cannot read its symbols: {error}", file.display()),
            };
        }
        if kallsyms::is_kernel(&bytes) {
            return kallsyms::read(&bytes)
                .map(Self::Map)
                .with_context(|| file.display().to_string());
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut map = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let mut words = line.split_whitespace();
            let address = words.next().and_then(|word| u64::from_str_radix(word, 16).ok());
            let (Some(address), Some(_kind), Some(name)) = (address, words.next(), words.next())
            else {
                bail!(
                    "{}, line {number}: none of ELF file, Linux kernel and System.map: expected an \
                     address, a letter and a name",
                    file.display()
                );
            };
            // Linux marks the ends of data in the same way as code.
            if !name.starts_with('$') {
                map.insert(address, name.to_string());
            }
        }
        Ok(Self::Map(map))
    }

    /// Returns the functions at an address, the innermost first.
    pub(super) fn at(&self, address: u64) -> Vec<String> {
        match self {
            Self::Map(map) => {
                let found = map.range(..=address).next_back();
                found.map(|(at, name)| offset(name, address - at)).into_iter().collect()
            }
            Self::Elf(loader) => {
                // Functions of the standard library are left out where they are inlined into
                // others.
                let mut found = Vec::new();
                let mut library = Vec::new();
                if let Ok(mut frames) = loader.find_frames(address) {
                    while let Ok(Some(frame)) = frames.next() {
                        let name =
                            frame.function.and_then(|name| Some(short(&name.demangle().ok()?)));
                        let file = frame.location.as_ref().and_then(|place| place.file);
                        let place = frame.location.as_ref().and_then(|place| {
                            Some(format!(" ({}:{})", shown(place.file?), place.line?))
                        });
                        let name = name.unwrap_or_else(|| "?".into());
                        let list = match file {
                            Some(file) if file.starts_with(LIBRARY) => &mut library,
                            _ => &mut found,
                        };
                        list.push(name + &place.unwrap_or_default());
                    }
                }
                if found.is_empty() {
                    found = library;
                }
                if found.is_empty() {
                    found.extend(loader.find_symbol(address).map(short));
                }
                found
            }
        }
    }
}

fn offset(name: &str, bytes: u64) -> String {
    match bytes {
        0 => name.to_string(),
        _ => format!("{name}+{bytes:#x}"),
    }
}

/// Returns a file's path from the repository's root.
fn shown(file: &str) -> String {
    let root = workspace::root();
    let path = Path::new(file);
    path.strip_prefix(&root).unwrap_or(path).display().to_string()
}
