//! Contents that are loaded into a guest, by the file that its manifest names: ELF, raw bytes, an
//! arm64 Image.

use anyhow::{Context, Result, ensure};
use object::LittleEndian as LE;
use object::elf::{EM_AARCH64, FileHeader64, PF_R, PF_W, PF_X, PT_LOAD};
use object::read::elf::{FileHeader as _, ProgramHeader as _, Sym as _};

use crate::manifest::Partition;

/// A piece of a program.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Guest address.
    pub ipa: u64,
    /// Contents.
    pub bytes: Vec<u8>,
    /// Bytes of zero after them.
    pub zero: u64,
}

/// A program.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its pieces.
    pub pieces: Vec<Piece>,
    /// Where vCPU 0 starts.
    pub entry: u64,
}

impl Program {
    /// Reads the file that a partition's manifest names.
    ///
    /// # Errors
    /// If it is not of the kind that the manifest says.
    pub fn read(partition: &Partition, file: Vec<u8>) -> Result<Self> {
        let image = &partition.image;
        if image.guest.is_some() || image.elf.is_some() {
            let mut program = Self::elf(&file)?;
            program.entry = image.entry.unwrap_or(program.entry);
            return Ok(program);
        }
        let (ipa, size) = match image.linux {
            // Linux, Documentation/arch/arm64/booting.rst: text_offset at byte 8, image_size at
            // byte 16.
            Some(_) => {
                let word = |at: usize| file.get(at..).and_then(|rest| rest.first_chunk());
                let word = |at: usize| word(at).map(|bytes| u64::from_le_bytes(*bytes));
                let (offset, size) = word(8).zip(word(16)).context("not an arm64 Image")?;
                let (offset, size) = match size {
                    0 => (0x8_0000, file.len() as u64),
                    _ => (offset, size),
                };
                let first = partition.memory[0].ipa().next_multiple_of(2 << 20);
                (image.load.unwrap_or(first.saturating_add(offset)), size)
            }
            None => (image.load.context("a raw file needs `load`")?, file.len() as u64),
        };
        let zero = size.saturating_sub(file.len() as u64);
        Ok(Self {
            pieces: vec![Piece { ipa, bytes: file, zero }],
            entry: image.entry.unwrap_or(ipa),
        })
    }

    fn elf(file: &[u8]) -> Result<Self> {
        let header = FileHeader64::<LE>::parse(file).context("not a 64-bit ELF file")?;
        ensure!(header.e_machine(LE) == EM_AARCH64, "not an ELF file for AArch64");
        let mut pieces = Vec::new();
        let mut entry = header.e_entry(LE);
        for segment in header.program_headers(LE, file)? {
            if segment.p_type(LE) != PT_LOAD || segment.p_memsz(LE) == 0 {
                continue;
            }
            let bytes = segment.data(LE, file).ok().context("the ELF file is cut short")?;
            let memory = segment.p_memsz(LE);
            // The entry is a virtual address, and a guest starts with its MMU off.
            let inside = header.e_entry(LE).wrapping_sub(segment.p_vaddr(LE));
            if inside < memory {
                entry = segment.p_paddr(LE).wrapping_add(inside);
            }
            pieces.push(Piece {
                ipa: segment.p_paddr(LE),
                bytes: bytes.to_vec(),
                zero: memory.saturating_sub(bytes.len() as u64),
            });
        }
        Ok(Self { pieces, entry })
    }
}

/// A segment of EL2: whole pages of the image.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Offset in the image.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// Rights, in the letters of `ls`.
    pub rights: &'static str,
}

/// EL2's executable.
#[derive(Clone, Debug)]
pub struct El2 {
    /// Its contents from address 0, whole pages.
    pub bytes: Vec<u8>,
    /// Its segments.
    pub segments: Vec<Segment>,
    /// Offset of the exception vectors, if the executable has symbols.
    pub vectors: Option<u64>,
}

impl El2 {
    /// Reads EL2's executable.
    ///
    /// # Errors
    /// If it is not a position-independent one whose segments follow each other page by page, each
    /// either writable or executable or neither.
    pub fn read(file: &[u8]) -> Result<Self> {
        let header = FileHeader64::<LE>::parse(file).context("EL2: not a 64-bit ELF file")?;
        let mut el2 = Self { bytes: Vec::new(), segments: Vec::new(), vectors: None };
        for segment in header.program_headers(LE, file)? {
            if segment.p_type(LE) != PT_LOAD || segment.p_memsz(LE) == 0 {
                continue;
            }
            let offset = segment.p_vaddr(LE);
            let size = segment.p_memsz(LE).next_multiple_of(plan::PAGE);
            let flags = segment.p_flags(LE) & (PF_R | PF_W | PF_X);
            let rights = match flags {
                f if f == PF_R | PF_X => "r-x",
                f if f == PF_R => "r--",
                f if f == PF_R | PF_W => "rw-",
                _ => anyhow::bail!("EL2's segment at {offset:#x} is not r-x, r-- or rw-"),
            };
            ensure!(
                offset == el2.bytes.len() as u64 && size < 1 << 30,
                "EL2's segment at {offset:#x} does not follow the one before it"
            );
            let bytes = segment.data(LE, file).ok().context("EL2: the file is cut short")?;
            el2.bytes.extend_from_slice(bytes);
            el2.bytes.resize((offset + size) as usize, 0);
            el2.segments.push(Segment { offset, size, rights });
        }
        let sections = header.sections(LE, file)?;
        let symbols = sections.symbols(LE, file, object::elf::SHT_SYMTAB)?;
        let vectors = symbols
            .iter()
            .find(|symbol| symbol.name(LE, symbols.strings()).ok() == Some(b"vectors".as_slice()));
        el2.vectors = vectors.map(|symbol| symbol.st_value(LE));
        Ok(el2)
    }
}
