// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs: ELF, raw bytes and the arm64 Image, read into segments.

use std::path::PathBuf;

use object::LittleEndian as LE;
use object::elf::{EM_AARCH64, FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use super::raw::Kind;
use super::words::address;
use crate::system::{Image, Segment};

/// Why a file is not a program: the rule's id, what is wrong, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Rule.
    pub rule: &'static str,
    /// What is wrong, shown under the caret.
    pub why: String,
    /// The remedy.
    pub help: &'static str,
}

fn refuse<T>(rule: &'static str, why: impl Into<String>, help: &'static str) -> Result<T, Refusal> {
    Err(Refusal { rule, why: why.into(), help })
}

/// Where a program goes; none where the manifest does not say it.
#[derive(Clone, Copy, Default)]
pub struct Wish {
    /// Load address.
    pub load: Option<u64>,
    /// Entry address.
    pub entry: Option<u64>,
    /// Where the partition's first piece of memory starts.
    pub memory: u64,
}

/// Reads a program of the given kind from its file's contents.
///
/// # Errors
/// The first reason why it cannot run.
pub fn read(kind: Kind, file: PathBuf, bytes: Vec<u8>, wish: Wish) -> Result<Image, Refusal> {
    match kind {
        Kind::Guest | Kind::Elf => elf(file, &bytes, wish),
        Kind::Raw => raw(file, bytes, wish),
        Kind::Linux => linux(file, bytes, wish),
    }
}

/// An ELF executable: its loadable segments go to their physical addresses.
fn elf(file: PathBuf, bytes: &[u8], wish: Wish) -> Result<Image, Refusal> {
    const BUILD: &str = "build it for aarch64-unknown-none-softfloat, or give `raw` or `linux`";
    if wish.load.is_some() {
        return refuse("image-load", "an ELF file already says where it loads", "remove `load`");
    }
    if bytes.get(..4) != Some(b"\x7fELF".as_slice()) {
        return refuse("elf-magic", "the file is not an ELF file", BUILD);
    }
    if bytes.get(4..6) != Some(&[2, 1]) {
        return refuse("elf-class", "the file is not a 64-bit little-endian ELF file", BUILD);
    }
    let malformed = || Refusal {
        rule: "elf-malformed",
        why: "the ELF file is cut short or damaged".into(),
        help: "build it again",
    };
    let header = FileHeader64::<LE>::parse(bytes).map_err(|_| malformed())?;
    let machine = header.e_machine(LE);
    if machine != EM_AARCH64 {
        let why = format!("the ELF file is for machine {}, not AArch64 (183)", machine.0);
        return refuse("elf-machine", why, BUILD);
    }
    let mut entry = wish.entry;
    let mut segments = Vec::new();
    for program in header.program_headers(LE, bytes).map_err(|_| malformed())? {
        let (start, size) = (program.p_paddr(LE), program.p_memsz(LE));
        if program.p_type(LE) != PT_LOAD || size == 0 {
            continue;
        }
        let data = program.data(LE, bytes).map_err(|()| malformed())?;
        let Some(clear) = size.checked_sub(data.len() as u64) else {
            return Err(malformed());
        };
        // The entry is a virtual address; the guest starts with its MMU off.
        let offset = header.e_entry(LE).wrapping_sub(program.p_vaddr(LE));
        if offset < size {
            entry = entry.or(start.checked_add(offset));
        }
        segments.push(Segment { ipa: start, bytes: data.to_vec(), clear });
    }
    if segments.is_empty() {
        return refuse(
            "elf-segments",
            "the ELF file has no segment to load",
            "link it to an executable",
        );
    }
    segments.sort_by_key(|segment| segment.ipa);
    Ok(Image { file, segments, entry: entry.unwrap_or(header.e_entry(LE)) })
}

/// Reads a raw program: the file's bytes, unchanged.
fn raw(file: PathBuf, bytes: Vec<u8>, wish: Wish) -> Result<Image, Refusal> {
    let Some(load) = wish.load else {
        return refuse(
            "image-load",
            "a raw file does not say where it loads",
            "write its address, for instance `load = 0x4008_0000`",
        );
    };
    if bytes.is_empty() {
        return refuse("image-empty", "the file is empty", "give a file with a program in it");
    }
    let entry = wish.entry.unwrap_or(load);
    Ok(Image { file, segments: vec![Segment { ipa: load, bytes, clear: 0 }], entry })
}

/// First bytes of packed files, whose kernel must be unpacked before the build.
const PACKED: [(usize, &[u8], &str); 6] = [
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x02\x21\x4c\x18", "lz4"),
    (0, b"BZh", "bzip2"),
    (4, b"zimg", "EFI zboot"),
];

/// Alignment that an arm64 Image asks for, before `text_offset`.
const LINUX_ALIGN: u64 = 2 << 20;

/// An arm64 Image (Linux `Documentation/arch/arm64/booting.rst`, "Call the kernel image").
fn linux(file: PathBuf, bytes: Vec<u8>, wish: Wish) -> Result<Image, Refusal> {
    const UNPACK: &str = "unpack it and give the plain Image (Debian's vmlinuz of arm64 is one)";
    if let Some((_, _, name)) = PACKED
        .iter()
        .find(|(at, magic, _)| bytes.get(*at..).is_some_and(|rest| rest.starts_with(magic)))
    {
        return refuse("linux-compressed", format!("the kernel is compressed ({name})"), UNPACK);
    }
    if bytes.get(56..60) != Some(b"ARM\x64".as_slice()) {
        return refuse(
            "linux-magic",
            "the file is not an arm64 Image",
            "give arch/arm64/boot/Image",
        );
    }
    let field = |at: usize| {
        let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    let (mut text_offset, mut size, flags) = (field(8), field(16), field(24));
    if size == 0 {
        // Kernels before 3.17 leave these fields zero: the offset is 0x80000, and the kernel finds
        // room for what it clears.
        (text_offset, size) = (0x8_0000, bytes.len() as u64);
    }
    if flags & 1 != 0 {
        return refuse("linux-endian", "the kernel is big-endian", "give a little-endian kernel");
    }
    let load = wish.load.unwrap_or(
        wish.memory.checked_next_multiple_of(LINUX_ALIGN).unwrap_or(0).saturating_add(text_offset),
    );
    if load % LINUX_ALIGN != text_offset % LINUX_ALIGN {
        let why = format!(
            "an arm64 Image loads at a multiple of 2 MiB plus its text_offset {}, not at {}",
            address(text_offset),
            address(load)
        );
        return refuse("linux-load", why, "leave `load` out");
    }
    let clear = size.saturating_sub(bytes.len() as u64);
    let entry = wish.entry.unwrap_or(load);
    Ok(Image { file, segments: vec![Segment { ipa: load, bytes, clear }], entry })
}
