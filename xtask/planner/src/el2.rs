// SPDX-License-Identifier: MIT OR Apache-2.0
//! EL2's executable: its segments as they are in the image.

use anyhow::{Context, Result, bail, ensure};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{LittleEndian, elf};

use super::pages::pages;
use super::tables::Access;

/// EL2 as it is in the image.
#[derive(Clone, Debug)]
pub struct El2 {
    /// Its segments, flattened: a byte's place is its linked address. Whole pages, zeroed bytes
    /// included.
    pub bytes: Vec<u8>,
    /// Its segments, in order.
    pub segments: Vec<Segment>,
}

/// A loadable segment: whole pages.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Bytes from the image's start.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// Its permissions.
    pub access: Access,
}

impl Segment {
    /// Returns its name for the report.
    #[must_use]
    pub fn what(&self) -> &'static str {
        match self.access {
            Access::ReadExecute => "text",
            Access::Read => "rodata",
            _ => "data",
        }
    }
}

/// `magic` of the arm64 Image header, at byte 56.
const IMAGE_MAGIC: &[u8] = b"ARM\x64";

impl El2 {
    /// Reads EL2's position-independent executable.
    ///
    /// # Errors
    /// If it is not linked at 0, if segments share a page, or if it does not start with an arm64
    /// Image header.
    pub fn parse(file: &[u8]) -> Result<Self> {
        let elf = ElfFile64::<LittleEndian>::parse(file)
            .context("EL2's executable is not a 64-bit ELF file")?;
        let header = elf.elf_header();
        let machine = header.e_machine(LittleEndian);
        ensure!(
            machine == elf::EM_AARCH64 && header.e_type(LittleEndian) == elf::ET_DYN,
            "EL2's executable is not position-independent code for AArch64"
        );
        let mut bytes = Vec::new();
        let mut segments: Vec<Segment> = Vec::new();
        for program in elf.elf_program_headers() {
            let size = program.p_memsz(LittleEndian);
            if program.p_type(LittleEndian) != elf::PT_LOAD || size == 0 {
                continue;
            }
            let offset = program.p_vaddr(LittleEndian);
            let flags = program.p_flags(LittleEndian);
            let access = match flags & (elf::PF_R | elf::PF_W | elf::PF_X) {
                f if f == elf::PF_R | elf::PF_X => Access::ReadExecute,
                f if f == elf::PF_R => Access::Read,
                f if f == elf::PF_R | elf::PF_W => Access::ReadWrite,
                f => bail!(
                    "EL2's segment at {offset:#x} has permissions {f:#x}, expected those of text, \
                     rodata or data"
                ),
            };
            ensure!(
                offset == bytes.len() as u64 && size < 1 << 30,
                "EL2's segment at {offset:#x} ({size:#x} bytes) does not start on the page after \
                 the last one"
            );
            let data = program.data(LittleEndian, file).map_err(|()| {
                anyhow::anyhow!("EL2's segment at {offset:#x} is outside its file")
            })?;
            bytes.extend_from_slice(data);
            bytes.resize((offset + pages(size)) as usize, 0);
            segments.push(Segment { offset, size: pages(size), access });
        }
        ensure!(
            bytes.get(56..60) == Some(IMAGE_MAGIC),
            "EL2's executable does not start with an arm64 Image header"
        );
        Ok(Self { bytes, segments })
    }

    /// Returns the bytes of the segments: the plan starts there.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}
