// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that manifests name. The reader's tests use this file, and so do those of the commands.
#![allow(dead_code, reason = "each test program uses a part; what none uses is found by reading")]

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// An ELF file for `machine`; each segment has 16 bytes of file at its address and fills the given
/// size there.
pub fn elf(machine: u16, segments: &[(u64, u64)]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let half = |file: &mut Vec<u8>, values: &[u16]| {
        values.iter().for_each(|value| file.extend(value.to_le_bytes()));
    };
    let word = |file: &mut Vec<u8>, values: &[u64]| {
        values.iter().for_each(|value| file.extend(value.to_le_bytes()));
    };
    // ET_EXEC, version 1; entry, program headers at 64, no sections; flags 0; sizes and numbers of
    // headers.
    half(&mut file, &[2, machine, 1, 0]);
    word(&mut file, &[segments.first().map_or(0, |(address, _)| *address), 64, 0]);
    half(&mut file, &[0, 0, 64, 56, segments.len() as u16, 0, 0, 0]);
    let data = 64 + 56 * segments.len() as u64;
    for (address, size) in segments {
        // PT_LOAD, R+X; offset, virtual and physical address, sizes in file and memory, alignment.
        half(&mut file, &[1, 0, 5, 0]);
        word(&mut file, &[data, *address, *address, 16, *size, 16]);
    }
    file.extend(*b"sixteen bytes...");
    file
}

/// An arm64 Image of 64 bytes with the given flags, which fills 1 MiB from 0 bytes after a multiple
/// of 2 MiB.
pub fn kernel(flags: u64) -> Vec<u8> {
    let mut file = vec![0; 64];
    file[16..24].copy_from_slice(&(1u64 << 20).to_le_bytes());
    file[24..32].copy_from_slice(&flags.to_le_bytes());
    file[56..60].copy_from_slice(b"ARM\x64");
    file
}

/// Writes the files that the bad manifests name, and returns the folder where a manifest would be.
pub fn files() -> TempDir {
    let folder = scratch();
    let program = elf(183, &[(0x4008_0000, 32)]);
    let mut narrow = program.clone();
    narrow[4] = 1;
    let mut zboot = b"MZ\0\0zimg".to_vec();
    zboot.resize(64, 0);
    let files = folder.path().join("files");
    std::fs::create_dir_all(&files).expect("the temporary folder can be written");
    for (file, bytes) in [
        ("program.elf", program.clone()),
        ("32-bit.elf", narrow),
        ("x86-64.elf", elf(62, &[(0x4008_0000, 32)])),
        ("cut.elf", program[..130].to_vec()),
        ("no-segment.elf", elf(183, &[])),
        ("bss-64MiB.elf", elf(183, &[(0x4008_0000, 32), (0x4100_0000, 64 << 20)])),
        ("overlap.elf", elf(183, &[(0x4008_0000, 4096), (0x4008_0800, 16)])),
        ("program.bin", vec![0x1f; 4096]),
        ("64KiB.bin", vec![0; 65536]),
        ("empty.bin", Vec::new()),
        ("Image", kernel(0)),
        ("Image.be", kernel(1)),
        ("Image.gz", b"\x1f\x8b\x08".to_vec()),
        ("vmlinuz.efi", zboot),
    ] {
        let written = std::fs::write(files.join(file), bytes);
        written.expect("the temporary folder can be written");
    }
    folder
}

/// The repository.
pub fn root() -> PathBuf {
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let root = folders.find(|folder| folder.join("Cargo.lock").is_file());
    root.expect("the repository").to_path_buf()
}

/// A temporary folder for a test's files, removed when the value is dropped.
pub fn scratch() -> TempDir {
    tempfile::tempdir().expect("the temporary folder can be written")
}
