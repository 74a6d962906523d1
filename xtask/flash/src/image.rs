// SPDX-License-Identifier: MIT OR Apache-2.0
//! The image of a whole card: a partition table, and one FAT32 partition with the files.
//!
//! Everything that other tools take from the clock or at random is fixed or computed from the
//! files: times, the volume's id, the disk's signature.

use crate::content::Content;
use crate::fat32::{self, Identity, SECTOR};
use crate::sha256;
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// First sector of the partition: 4 MiB, a multiple of every card's erase block.
pub const FIRST_SECTOR: u32 = 8192;
/// The partition's type: FAT32 with addresses in sectors (LBA).
pub const PARTITION_TYPE: u8 = 0x0c;
/// Bytes of a block, for holes in the image's file.
pub const BLOCK: usize = 4096;
/// The least size of an image. Sizes are powers of two, because QEMU's cards are.
const LEAST: u64 = 128 << 20;
/// The largest, far beyond the RAM that an image can fill.
const LARGEST: u64 = 2 << 30;
/// The volume's name.
const LABEL: [u8; 11] = *b"BULKHEAD   ";

/// The image of a card.
pub struct Image {
    bytes: Vec<u8>,
    used: usize,
}

impl Image {
    /// Makes the image of a card with these files.
    ///
    /// # Errors
    /// If the files do not fit the largest image, or a path is not one for FAT.
    pub fn new(content: &Content) -> Result<Self> {
        // A twelfth for the allocation tables and half-filled clusters is more than they take.
        let start = u64::from(FIRST_SECTOR) * SECTOR as u64;
        let least = start + content.size() + content.size() / 12 + (4 << 20);
        let size = least.next_power_of_two().max(LEAST);
        ensure!(size <= LARGEST, "{} bytes of files do not fit a card", content.size());
        let id = identity(content);
        let start = usize::try_from(start)?;
        let mut bytes = vec![0; usize::try_from(size)?];
        let identity = Identity { id, label: LABEL, hidden: FIRST_SECTOR };
        let used = start + fat32::format(&mut bytes[start..], &identity, content)?;
        let sectors = u32::try_from(bytes.len() / SECTOR)?;
        bytes[..SECTOR].copy_from_slice(&partition_table(id, sectors));
        Ok(Self { bytes, used: used.next_multiple_of(BLOCK) })
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes that a card must have: up to the end of the last file. Those after them are
    /// free clusters, whose content means nothing.
    pub fn used(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// Writes the image to a new file, with holes where it is zero.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_to(&self, path: &Path) -> Result<()> {
        let written = || -> std::io::Result<()> {
            let file = File::create(path)?;
            file.set_len(self.bytes.len() as u64)?;
            for (number, block) in self.used().chunks(BLOCK).enumerate() {
                if block.iter().any(|&byte| byte != 0) {
                    file.write_all_at(block, (number * BLOCK) as u64)?;
                }
            }
            file.sync_all()
        };
        written().with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Returns a number for the disk's signature and the volume's id: two cards of different content
/// can be told apart.
fn identity(content: &Content) -> u32 {
    let mut text = String::new();
    for (path, bytes) in content.files() {
        text.push_str(&format!("{path} {}\n", sha256(bytes)));
    }
    u32::from_str_radix(&sha256(text.as_bytes())[..8], 16).unwrap_or_default()
}

/// Returns the first sector of a card of `sectors`: a table with one partition, which goes to the
/// end.
fn partition_table(id: u32, sectors: u32) -> [u8; SECTOR] {
    let mut table = [0; SECTOR];
    table[440..444].copy_from_slice(&id.to_le_bytes());
    let entry = &mut table[446..462];
    // Cylinder, head and sector are beyond what the fields hold: readers take the sector's number.
    let beyond = [0xfe, 0xff, 0xff];
    entry[1..4].copy_from_slice(&beyond);
    entry[4] = PARTITION_TYPE;
    entry[5..8].copy_from_slice(&beyond);
    entry[8..12].copy_from_slice(&FIRST_SECTOR.to_le_bytes());
    entry[12..16].copy_from_slice(&(sectors - FIRST_SECTOR).to_le_bytes());
    table[510..].copy_from_slice(&[0x55, 0xaa]);
    table
}
