//! Counts the bytes of an ELF file that are loaded and never written: code and constants.

use anyhow::{Context, Result};
use object::elf::{SHF_ALLOC, SHF_WRITE, SHT_NOBITS};
use object::{Object, ObjectSection, SectionFlags};

/// Returns the sections that are loaded and that the program does not write, with their sizes in
/// bytes, in the file's order.
///
/// `.data.rel.ro` is flagged as writable because relocation writes it once; it holds constants and
/// counts. So do the tables that relocation itself reads.
///
/// # Errors
/// If it is not an ELF file.
pub fn read_only(elf: &[u8]) -> Result<Vec<(String, u64)>> {
    let file = object::File::parse(elf).context("not an ELF file")?;
    let mut sections = Vec::new();
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags, sh_type } = section.flags() else {
            continue;
        };
        let name = section.name().context("a section without a name")?;
        let constant = !sh_flags.contains(SHF_WRITE) || name.starts_with(".data.rel.ro");
        let present = sh_flags.contains(SHF_ALLOC) && sh_type != SHT_NOBITS;
        if present && constant && section.size() > 0 {
            sections.push((name.to_string(), section.size()));
        }
    }
    Ok(sections)
}
