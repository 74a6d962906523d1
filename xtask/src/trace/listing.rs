//! Names for instructions, and the listing of a path: each instruction with the functions it was
//! inlined from.

use super::entries::Entry;
use super::log::Trace;
use addr2line::Loader;
use anyhow::{Context, Result};
use object::{Object, ObjectSymbol};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// EL2's executable, for queries by address.
pub struct Symbols {
    loader: Loader,
    /// Names by address, for code without debug information: assembly.
    names: BTreeMap<u32, String>,
    /// The vector table's place.
    pub vectors: u32,
}

impl Symbols {
    /// Reads EL2's executable, linked at 0.
    ///
    /// # Errors
    /// If it is not an ELF file or has no symbol `vectors`.
    pub fn read(elf: &Path) -> Result<Self> {
        let shown = || format!("{}: cannot read its symbols", elf.display());
        let bytes = std::fs::read(elf).with_context(shown)?;
        let file = object::File::parse(&*bytes).with_context(shown)?;
        let vectors = file
            .symbol_by_name("vectors")
            .with_context(|| format!("{}: no symbol `vectors`", elf.display()))?;
        let text = vectors.section();
        let vectors = vectors.address() as u32;
        let code = file.symbols().filter(|symbol| symbol.section() == text);
        let names = code
            .filter_map(|symbol| Some((symbol.address() as u32, symbol.name().ok()?.to_string())))
            .filter(|(_, name)| !name.is_empty() && !name.starts_with('$'))
            .collect();
        let loader = Loader::new(elf)
            .ok()
            .with_context(|| format!("{}: cannot read its debug information", elf.display()))?;
        Ok(Self { loader, names, vectors })
    }

    /// Returns the functions that have the instruction, the outermost first. The standard library's
    /// are left out where they were inlined into others.
    #[must_use]
    pub fn functions(&self, offset: u32) -> Vec<String> {
        let mut names = Vec::new();
        if let Ok(mut frames) = self.loader.find_frames(offset.into()) {
            while let Ok(Some(frame)) = frames.next() {
                let name = frame.function.and_then(|name| Some(short(&name.demangle().ok()?)));
                names.extend(name);
            }
        }
        names.reverse();
        if names.iter().any(|name| !is_core(name)) {
            names.retain(|name| !is_core(name));
        }
        if names.is_empty() {
            let symbol = self.names.range(..=offset).next_back();
            names.extend(symbol.map(|(_, name)| name.clone()));
        }
        names
    }

    /// Returns the symbol at exactly `offset`.
    #[must_use]
    pub fn symbol(&self, offset: u32) -> Option<&str> {
        self.names.get(&offset).map(String::as_str)
    }

    /// Returns source file and line of the instruction, file name only.
    #[must_use]
    pub fn line(&self, offset: u32) -> Option<String> {
        let place = self.loader.find_location(offset.into()).ok()??;
        let file = Path::new(place.file?).file_name()?.to_str()?;
        Some(format!("{file}:{}", place.line?))
    }
}

/// Whether a function is the standard library's: `core::…`, `<core::… as …>::…`, `<u64>::…`.
fn is_core(name: &str) -> bool {
    let name = name.trim_start_matches(['<', '&', '*', '[']);
    let path = name.split([' ', '>']).next().unwrap_or(name);
    path.starts_with("core::") || path.starts_with("compiler_builtins::") || !path.contains("::")
}

/// Returns a function's name without its crate, hash and type arguments.
pub(crate) fn short(name: &str) -> String {
    let crates = ["bulkhead_el2::", "bulkhead_el2_gicv2::"];
    let name = crates.iter().find_map(|own| name.strip_prefix(own)).unwrap_or(name);
    let hash = name.rfind("::h").filter(|at| name.len() - at == 19);
    name[..hash.unwrap_or(name.len())].to_string()
}

/// Lists the commonest path among `entries` of `core`, and in how many of them it was taken.
#[must_use]
pub fn listing(trace: &Trace, core: usize, entries: &[Entry], symbols: &Symbols) -> String {
    let Some(all) = trace.cores.get(core) else {
        return String::new();
    };
    let mut paths: BTreeMap<&[u32], (usize, Option<usize>)> = BTreeMap::new();
    for entry in entries {
        paths.entry(&all[entry.at.clone()]).or_insert((0, entry.sent)).0 += 1;
    }
    let mut paths: Vec<_> = paths.into_iter().collect();
    paths.sort_by_key(|(path, (count, _))| (std::cmp::Reverse(*count), path.len()));
    let Some((path, (count, sent))) = paths.first() else {
        return "  no entry\n".to_string();
    };
    let mut text = String::new();
    let (total, others) = (entries.len(), paths.len() - 1);
    let length = path.len();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "  {length} instructions, in {count} of {total} entries; {others} other paths"
    );
    let mut latest = Vec::new();
    for (index, &offset) in path.iter().enumerate() {
        let functions = symbols.functions(offset);
        if functions != latest {
            let _ = writeln!(text, "    {}", functions.join(" > "));
            latest = functions;
        }
        let line = symbols.line(offset).unwrap_or_default();
        let mark = if *sent == Some(index + 1) { "  <- the SGI is sent" } else { "" };
        let instruction = trace.words(offset);
        let _ = writeln!(text, "  {:>4}  {offset:#07x}  {instruction:<40} {line}{mark}", index + 1);
    }
    text
}
