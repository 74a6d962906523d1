//! Compares a stopped machine with its image: memory byte by byte, registers field by field.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use object::read::elf::ElfFile64;
use object::{LittleEndian, Object};
use plan::PAGE;
use verify::{CoreRegisters, Expected};

use super::gdb::Gdb;
use manifest::system::System;
use manifest::words::address;
use planner::tables::{Access, Shape};
use planner::traps::{self, Register};
use planner::{Design, Image};

/// `SCTLR_EL2` while guests run (`hyp/el2/src/boot/entry.rs`): MMU, caches, stack alignment and
/// W^X, and the RES1 bits.
const SCTLR_EL2: u64 = 0x30c5_0830 | 1 << 0 | 1 << 2 | 1 << 3 | 1 << 12 | 1 << 19;
/// `HCR_EL2` of a core that has not set up its guest yet (`hyp/el2/src/boot/entry.rs`).
const HCR_BOOT: u64 = 1 << 31;
/// Bits of features that a core may lack, and then reads as zero: register, bit, and a register
/// that only cores with the feature have. (QEMU's gdbstub does not show all of the identification
/// registers.)
const OPTIONAL: &[(&str, u32, &str)] = &[
    ("HCR_EL2", 35, "LORC_EL1"),   // TLOR: FEAT_LOR
    ("HCR_EL2", 36, "ERRIDR_EL1"), // TERR: FEAT_RAS
    ("CPTR_EL2", 30, "AMCR_EL0"),  // TAM: FEAT_AMUv1
    ("MDCR_EL2", 14, "PMSCR_EL1"), // TPMS: FEAT_SPE
    ("MDCR_EL2", 19, "TRFCR_EL1"), // TTRF: FEAT_TRF
];
/// Most differences shown of one range: more of them rarely help.
const SHOWN: usize = 4;

/// The expected state of a machine.
pub struct Standard {
    expected: Expected,
    /// The walkers of each table.
    walkers: BTreeMap<u64, Vec<String>>,
    /// Registers with names and reasons for their fields, by name.
    fields: Vec<Register>,
}

impl Standard {
    /// Makes the expected state for an image: the state of `expected`, EL2's rodata as `el2_elf`
    /// has it relocated there, and the pristine contents.
    ///
    /// # Errors
    /// If `el2_elf` is not an ELF file.
    pub fn new(
        system: &System,
        image: &Image,
        mut expected: Expected,
        el2_elf: &[u8],
    ) -> Result<Self> {
        let design = &image.design;
        let base = design.places.image.base;
        let relocated = relocated(el2_elf, &image.bytes[..design.el2.bytes.len()], base)?;
        for segment in design.el2.segments.iter().filter(|s| s.access == Access::Read) {
            let start = segment.offset as usize;
            expected.memory.push(verify::Constant {
                what: "EL2's rodata".into(),
                base: base + segment.offset,
                bytes: relocated[start..start + segment.size as usize].to_vec(),
            });
        }
        for range in design.places.pristine.iter().filter(|range| range.size > 0) {
            let start = (range.base - base) as usize;
            expected.memory.push(verify::Constant {
                what: "a pristine guest image".into(),
                base: range.base,
                bytes: image.bytes[start..start + range.size as usize].to_vec(),
            });
        }
        for core in &mut expected.cores {
            core.registers.push(("SCTLR_EL2", SCTLR_EL2));
        }
        Ok(Self { expected, walkers: walkers(system, design), fields: fields(system, design) })
    }

    /// Returns the bytes of memory and the number of registers that are compared.
    pub fn size(&self) -> (usize, usize) {
        let bytes = self.expected.memory.iter().map(|part| part.bytes.len());
        let registers = self.expected.cores.iter().map(|core| core.registers.len());
        (bytes.sum(), registers.sum())
    }

    /// Returns the address of some translation table, for a test that changes it.
    pub fn a_table(&self) -> Option<u64> {
        self.expected.tables.first().copied()
    }

    /// Whether every core has set its guest's registers up.
    ///
    /// # Errors
    /// If a register cannot be read.
    pub fn is_ready(&self, gdb: &mut Gdb) -> Result<bool> {
        for core in &self.expected.cores {
            if matches!(gdb.register(core.number, "HCR_EL2")?, 0 | HCR_BOOT) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns every difference of the machine.
    ///
    /// # Errors
    /// If something cannot be read.
    pub fn differences(&self, gdb: &mut Gdb) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for core in &self.expected.cores {
            for (name, planned) in &core.registers {
                // EL2 fills in the bits that only the machine knows.
                let mut open = match *name {
                    "MDCR_EL2" => core.mdcr_open,
                    _ => 0,
                };
                let lacking = OPTIONAL.iter().filter(|row| row.0 == *name && !gdb.has(row.2));
                open |= lacking.fold(0, |bits, row| bits | 1 << row.1);
                let value = gdb.register(core.number, name)?;
                if (value ^ planned) & !open != 0 {
                    found.push(self.register(core, name, value, *planned, open));
                }
            }
        }
        for part in &self.expected.memory {
            let now = gdb.memory(part.base, part.bytes.len() as u64)?;
            self.compare(&part.what, part.base, &part.bytes, &now, &mut found);
        }
        Ok(found)
    }

    /// Describes a register that is not as planned.
    fn register(
        &self,
        core: &CoreRegisters,
        name: &str,
        value: u64,
        planned: u64,
        open: u64,
    ) -> String {
        let mut text = format!("{}: {name} is {value:#x}, the image says {planned:#x}", core.name);
        let wrong = (value ^ planned) & !open;
        let known = self.fields.iter().filter(|register| register.name == name);
        for field in known.flat_map(|register| &register.fields) {
            let mask = field.value.max(1) << field.shift;
            if wrong & mask != 0 {
                let now = (value & mask) >> field.shift;
                text += &format!(
                    "\n    {} is {now:#x}, must be {:#x}: {}",
                    field.name, field.value, field.reason
                );
            }
        }
        match name {
            "TTBR0_EL2" if value == core.ttbr_load => {
                text += "\n    it still maps its partition's memory, as while loading it";
            }
            "TTBR0_EL2" => {
                text += "\n    EL2 there runs with other tables than those that were verified"
            }
            "VTTBR_EL2" => {
                text +=
                    "\n    the guest there runs with other tables, or another VMID, than verified"
            }
            "VBAR_EL2" => text += "\n    exceptions there do not go to EL2's vectors",
            _ => {}
        }
        text
    }

    /// Describes memory that is not as it was packed, by entries of eight bytes.
    fn compare(&self, what: &str, base: u64, then: &[u8], now: &[u8], found: &mut Vec<String>) {
        if then == now {
            return;
        }
        let word =
            |bytes: &[u8]| bytes.iter().rev().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
        let pairs = then.chunks(8).zip(now.chunks(8)).enumerate();
        let wrong: Vec<_> = pairs.filter(|(_, (then, now))| then != now).collect();
        for (index, (then, now)) in wrong.iter().take(SHOWN) {
            let at = base + 8 * *index as u64;
            let table = at & !(PAGE - 1);
            let place = match self.walkers.get(&table) {
                Some(who) => format!("entry {} of a table of {}", (at - table) / 8, who.join(", ")),
                None => what.to_owned(),
            };
            found.push(format!(
                "memory at {} ({place}) is {:#x}, the image says {:#x}",
                address(at),
                word(now),
                word(then)
            ));
        }
        if wrong.len() > SHOWN {
            found.push(format!("{} more words of {what} differ", wrong.len() - SHOWN));
        }
    }
}

/// Returns EL2's segments after EL2 has moved to `base`: the address is added to the values in its
/// executable.
fn relocated(el2_elf: &[u8], segments: &[u8], base: u64) -> Result<Vec<u8>> {
    let elf =
        ElfFile64::<LittleEndian>::parse(el2_elf).context("EL2's executable is not an ELF file")?;
    let mut bytes = segments.to_vec();
    for (at, relocation) in elf.dynamic_relocations().into_iter().flatten() {
        let word = bytes.get_mut(at as usize..at as usize + 8);
        let word = word.context("EL2's executable has a relocation outside its segments")?;
        word.copy_from_slice(&base.wrapping_add_signed(relocation.addend()).to_le_bytes());
    }
    Ok(bytes)
}

/// Returns the registers whose fields have names and reasons.
fn fields(system: &System, design: &Design) -> Vec<Register> {
    let pa_bits = system.board.pa_bits;
    let mut registers = vec![
        traps::hcr(),
        traps::cptr(),
        traps::mdcr(),
        traps::hstr(),
        traps::cnthctl(),
        traps::tcr(design.maps.el2, pa_bits),
    ];
    // One partition is enough for the names: values come from each core's row.
    registers.extend(design.maps.guest.first().map(|&shape| traps::vtcr(shape, pa_bits)));
    registers
}

/// Returns the walkers of each translation table.
fn walkers(system: &System, design: &Design) -> BTreeMap<u64, Vec<String>> {
    let maps = &design.maps;
    let mut walkers = BTreeMap::new();
    let (bytes, base) = (maps.pool.bytes(), maps.pool.base());
    let mut add = |shape: Shape, root: u64, who: &str| {
        for n in 0..shape.root_tables() as u64 {
            visit(&bytes, base, shape.start_level(), root + n * PAGE, who, &mut walkers);
        }
    };
    for (p, map) in maps.stage2.iter().enumerate() {
        add(maps.guest[p], map.root, &format!("{}'s stage 2", system.partitions[p].name));
    }
    for (index, core) in design.places.cores.iter().enumerate() {
        add(maps.el2, maps.run[index].root, &format!("EL2 on core {core}"));
        add(maps.el2, maps.load[index].root, &format!("EL2 on core {core} while loading"));
    }
    walkers
}

/// Records `who` at a table and at those below it.
fn visit(
    bytes: &[u8],
    base: u64,
    level: u32,
    table: u64,
    who: &str,
    walkers: &mut BTreeMap<u64, Vec<String>>,
) {
    const TABLE: u64 = 0b11;
    const ADDRESS: u64 = 0xffff_ffff_f000;
    let names = walkers.entry(table).or_default();
    if names.last().is_none_or(|last| last != who) {
        names.push(who.to_owned());
    }
    let start = (table - base) as usize;
    let Some(entries) = bytes.get(start..start + PAGE as usize).filter(|_| level < 3) else {
        return;
    };
    for entry in entries.chunks_exact(8) {
        let entry = u64::from_le_bytes(entry.try_into().unwrap_or_default());
        if entry & TABLE == TABLE {
            visit(bytes, base, level + 1, entry & ADDRESS, who, walkers);
        }
    }
}
