//! Good images in memory, and helpers that spoil them: a planner with a mistake, a corrected
//! checksum, a small walker that finds the descriptor to change.
#![allow(dead_code, reason = "each test program uses a part; what none uses is found by reading")]

use std::collections::BTreeMap;
use std::ops::Range as Span;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bulkhead_verify::{Inputs, manifest::Manifest};
use crc::{CRC_32_ISCSI, Crc, Table};
use manifest::system::System;
use plan::{Array, Core, Header, PAGE, Partition};
use planner::{guest, place};
use zerocopy::{FromBytes, Immutable, KnownLayout};

const CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// A system with its good image.
pub struct Good {
    /// Its file's name.
    pub name: String,
    /// The planner's model.
    pub system: System,
    /// The inputs that the image is compared with.
    pub inputs: Inputs,
    /// The image.
    pub image: Vec<u8>,
}

/// The repository's root.
pub fn root() -> PathBuf {
    // This crate's tests use this file, and so does fuzz/.
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let root = folders.find(|folder| folder.join("Cargo.lock").is_file());
    root.expect("the repository").to_path_buf()
}

/// A shipped system that has the channels of the one of this name on another board: mutants of one
/// are enough. `cargo xtask test shipped/` verifies both.
const TWICE: &str = "boards/rpi4/systems/latency.toml";

/// Every shipped system but [`TWICE`], and one with every feature of manifests.
pub fn shipped() -> Vec<Good> {
    of_folders(&["boards/qemu-virt/systems", "boards/rpi4/systems", "xtask/verify/tests/systems"])
}

/// The systems of `shipped`, and every one of the system tests.
pub fn systems() -> Vec<Good> {
    let mut all = shipped();
    all.extend(of_folders(&["tests/systems"]));
    all
}

fn of_folders(folders: &[&str]) -> Vec<Good> {
    let mut paths = Vec::new();
    for folder in folders.iter().map(|folder| root().join(folder)) {
        let entries = std::fs::read_dir(&folder).expect("a folder of systems");
        let files = entries.map(|entry| entry.expect("an entry").path());
        paths.extend(files.filter(|path| path.extension().is_some_and(|e| e == "toml")));
        paths.retain(|path| !path.ends_with(TWICE));
    }
    paths.sort();
    paths.iter().map(|path| good(path)).collect()
}

/// The system with every feature.
pub fn full() -> Good {
    good(&root().join("xtask/verify/tests/systems/full.toml"))
}

/// Returns the path of a program's file, which always has the same `bytes`. Another process may
/// write it at the same time, so the complete file is renamed to its name.
pub fn program(name: &str, bytes: &[u8]) -> PathBuf {
    let path = runner::workspace::target_dir().join("tmp").join(name);
    let new = path.with_extension(runner::workspace::unique());
    runner::workspace::write(&new, bytes).expect("the target folder can be written");
    std::fs::rename(&new, &path).expect("the target folder can be written");
    path
}

/// The system with a device that writes memory by DMA.
pub fn trusted() -> Good {
    good(&root().join("xtask/verify/tests/systems/trusted.toml"))
}

/// The system whose pieces of memory are adjacent for the guest, and in another order in RAM.
pub fn apart() -> Good {
    good(&root().join("xtask/verify/tests/systems/apart.toml"))
}

/// The system whose guests see channels as PCI functions.
pub fn views() -> Good {
    good(&root().join("xtask/verify/tests/systems/views.toml"))
}

/// The shipped system that the documentation starts with.
pub fn duo() -> Good {
    good(&root().join("boards/qemu-virt/systems/duo.toml"))
}

/// The first system, on an EL2 without options.
pub fn minimal() -> Good {
    good(&root().join("boards/qemu-virt/systems/minimal.toml"))
}

/// The first system on a board with a GICv2.
pub fn rpi4() -> Good {
    good(&root().join("boards/rpi4/systems/duo.toml"))
}

fn good(path: &Path) -> Good {
    static PROGRAMS: OnceLock<[PathBuf; 2]> = OnceLock::new();
    let [guest, kernel] = PROGRAMS.get_or_init(|| {
        let all = [("guest.elf", guest_elf()), ("Image", kernel_image())];
        all.map(|(name, bytes)| program(name, &bytes))
    });
    let is_guest = |name: &str| !name.starts_with("debian:");
    let spec = path.to_str().expect("a path of text");
    let system = manifest::load(&root(), spec, &mut |name| {
        Ok(if is_guest(name) { guest } else { kernel }.clone())
    })
    .unwrap_or_else(|errors| panic!("{errors}"));
    let el2 = el2_elf();
    let mut guests = |name: &str| Ok(if is_guest(name) { guest_elf() } else { kernel_image() });
    let inputs = Inputs::read(&root(), path, &el2, &mut guests).expect("a good system");
    let image = compile(&system, |_, _| ());
    let name = system.name.clone();
    Good { name, system, inputs, image }
}

/// Reads the inputs of a manifest's text on the board of QEMU.
pub fn manifest(text: &str) -> anyhow::Result<Inputs> {
    let board = std::fs::read_to_string(root().join("boards/qemu-virt/board.toml"))?;
    let mut guests = |_: &str| Ok(guest_elf());
    Inputs::of(Manifest::read(text)?, &board, &el2_elf(), &mut |_| Ok(vec![1; 64]), &mut guests)
}

/// Runs the planner with a mistake: `change` may alter its decisions, and every later step follows
/// them.
pub fn compile(
    system: &System,
    change: impl Fn(&mut place::Places, &mut Vec<guest::Guest>),
) -> Vec<u8> {
    let image = planner::compile_with_fault(system, &el2_elf(), &change);
    image.expect("an image").bytes
}

/// The parts of an image, for changes.
pub struct Parts<'a> {
    pub image: &'a [u8],
    pub plan: usize,
    pub header: Header,
}

impl<'a> Parts<'a> {
    pub fn of(image: &'a [u8]) -> Self {
        let plan = u64::read_from_bytes(&image[64..72]).expect("eight bytes") as usize;
        let (header, _) = Header::read_from_prefix(&image[plan..]).expect("a header");
        Self { image, plan, header }
    }

    /// Returns the offsets of the elements of an array in the image.
    pub fn span<T>(&self, array: Array) -> impl Iterator<Item = usize> + use<T> {
        let start = self.plan + array.offset as usize;
        (0..array.count as usize).map(move |n| start + n * size_of::<T>())
    }

    pub fn array<T: FromBytes + KnownLayout + Immutable>(&self, array: Array) -> Vec<T> {
        let read = |at| T::read_from_prefix(&self.image[at..]).expect("an element").0;
        self.span::<T>(array).map(read).collect()
    }

    pub fn cores(&self) -> Vec<Core> {
        self.array(self.header.cores)
    }

    pub fn partitions(&self) -> Vec<Partition> {
        self.array(self.header.partitions)
    }

    /// Returns the offset in the file of a physical address of the moved image.
    pub fn offset(&self, address: u64) -> usize {
        (address - self.header.el2_base) as usize
    }

    /// Returns the offsets of every translation table, by the roots that the rows name.
    pub fn tables(&self) -> Vec<usize> {
        let mut found = BTreeMap::new();
        for core in self.cores() {
            let bits = 64 - (self.header.tcr & 0x3f) as u32;
            let start = (0..3).rev().find(|level| bits <= 48 - 9 * level).unwrap_or(0);
            for root in [core.ttbr_run, core.ttbr_load] {
                self.collect(self.offset(root), start, &mut found);
            }
            let start = 2 - (core.vtcr >> 6 & 3) as u32;
            let bits = 64 - (core.vtcr & 0x3f) as u32;
            for n in 0..1 << bits.saturating_sub(48 - 9 * start) {
                let root = (core.vttbr & 0xffff_ffff_ffff) + n * PAGE;
                self.collect(self.offset(root), start, &mut found);
            }
        }
        found.into_keys().collect()
    }

    fn collect(&self, table: usize, level: u32, found: &mut BTreeMap<usize, ()>) {
        if found.insert(table, ()).is_some() || level == 3 {
            return;
        }
        for at in (table..table + PAGE as usize).step_by(8) {
            let entry = word(self.image, at);
            if entry & 3 == 3 {
                self.collect(self.offset(entry & 0xffff_ffff_f000), level + 1, found);
            }
        }
    }

    /// Returns the offset of the descriptor that maps an input address.
    pub fn leaf(&self, root: u64, bits: u32, start: u32, input: u64) -> usize {
        let mut table = root;
        for level in start..4 {
            let span = 39 - 9 * level;
            let mask = if level == start { (1 << (bits - span)) - 1 } else { 511 };
            let at = self.offset(table + (input >> span & mask) * 8);
            let entry = word(self.image, at);
            match (entry & 3, level) {
                (3, 0..=2) => table = entry & 0xffff_ffff_f000,
                (0, _) => panic!("{input:#x} is not mapped"),
                _ => return at,
            }
        }
        panic!("{input:#x}: a walk without an end")
    }

    /// Returns the offset of the stage-2 descriptor that maps a guest address.
    pub fn guest_leaf(&self, core: &Core, ipa: u64) -> usize {
        let start = 2 - (core.vtcr >> 6 & 3) as u32;
        let bits = 64 - (core.vtcr & 0x3f) as u32;
        self.leaf(core.vttbr & 0xffff_ffff_ffff, bits, start, ipa)
    }

    /// Returns the offset of EL2's descriptor that maps an address.
    pub fn el2_leaf(&self, root: u64, address: u64) -> usize {
        let bits = 64 - (self.header.tcr & 0x3f) as u32;
        let start = (0..3).rev().find(|level| bits <= 48 - 9 * level).unwrap_or(0);
        self.leaf(root, bits, start, address)
    }

    /// Returns the place of each partition's device tree in the image.
    pub fn trees(&self) -> Vec<Span<usize>> {
        let trees = self.partitions().into_iter().map(|partition| {
            let memory: Vec<plan::Memory> = self.array(partition.memory);
            let piece = memory.iter().find(|m| partition.dtb.offset_from(m.ipa) < m.size);
            let piece = piece.expect("the tree is in memory");
            let target = piece.base.0 + partition.dtb.offset_from(piece.ipa);
            let loads: Vec<plan::Load> = self.array(partition.loads);
            let load = loads.iter().find(|load| load.target == target);
            let load = load.expect("the tree is loaded");
            let start = self.offset(load.source);
            start..start + load.size as usize
        });
        trees.collect()
    }
}

/// A word of an image.
pub fn word(image: &[u8], at: usize) -> u64 {
    u64::read_from_bytes(&image[at..at + 8]).expect("eight bytes")
}

/// Writes a word.
pub fn put(image: &mut [u8], at: usize, value: u64) {
    image[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// Corrects the checksum, because a refusal by it would not count.
pub fn seal(image: &mut [u8]) {
    let plan = word(image, 64) as usize;
    let header = image.get(plan..).map(Header::read_from_prefix);
    let Some(Ok((header, _))) = header else {
        return;
    };
    let size = header.size as usize;
    // With a spoilt size there are no bytes to sum up; the bounds refuse it.
    if let Some(bytes) = image.get_mut(plan..plan.saturating_add(size))
        && size > size_of::<Header>()
    {
        let crc = CRC.checksum(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    }
}

/// A sequence of numbers that is the same in every run (xorshift64*).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }
}

/// An ELF file with one header and some segments: flags, address, contents, bytes in memory.
fn elf(kind: u16, entry: u64, segments: &[(u32, u64, Vec<u8>, u64)]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([kind, 183].map(u16::to_le_bytes).concat());
    file.extend(1u32.to_le_bytes());
    file.extend([entry, 64, 0].map(u64::to_le_bytes).concat());
    file.extend(0u32.to_le_bytes());
    let count = segments.len() as u16;
    file.extend([64, 56, count, 64, 0, 0].map(u16::to_le_bytes).concat());
    let mut offset = 0x1000;
    for (flags, address, bytes, memory) in segments {
        file.extend([1, *flags].map(u32::to_le_bytes).concat());
        let row = [offset, *address, *address, bytes.len() as u64, *memory, 0x1000];
        file.extend(row.map(u64::to_le_bytes).concat());
        offset += (bytes.len() as u64).next_multiple_of(0x1000);
    }
    for (_, _, bytes, _) in segments {
        file.resize(file.len().next_multiple_of(0x1000), 0);
        file.extend(bytes);
    }
    file
}

/// Returns an executable with the header and segments that EL2's has, but without code.
pub fn el2_elf() -> Vec<u8> {
    let mut text = vec![0xe1; 0x1800];
    text[..80].fill(0);
    text[56..60].copy_from_slice(b"ARM\x64");
    let segments = [
        (5, 0, text, 0x1800),
        (4, 0x2000, vec![0xe2; 0x900], 0x900),
        (6, 0x3000, vec![0xe3; 0x40], 0x3000),
    ];
    elf(3, 0, &segments)
}

/// An arm64 Image of 64 bytes, which fills 1 MiB from 0 bytes after a multiple of 2 MiB. It is also
/// used as Debian's initial RAM disk.
pub fn kernel_image() -> Vec<u8> {
    let mut file = vec![0; 64];
    file[16..24].copy_from_slice(&(1u64 << 20).to_le_bytes());
    file[56..60].copy_from_slice(b"ARM\x64");
    file
}

/// A guest of two segments, one with zeros after it.
pub fn guest_elf() -> Vec<u8> {
    let segments =
        [(5, 0x4008_0000, vec![0x61; 5000], 5000), (6, 0x4008_2000, vec![0x62; 100], 9000)];
    elf(2, 0x4008_0004, &segments)
}
