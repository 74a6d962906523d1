// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes a FAT32 file system with some files, once. Sources: Microsoft, "FAT: General Overview of
//! On-Disk Format", version 1.03.
//!
//! The crate `fatfs` 0.3.6 was tried first. It writes long names for `.` and `..` and a wrong
//! parent, which `fsck.fat` calls errors, and its files depend on the order in which it writes.
//! Nothing has to be changed or deleted here, so every file has clusters in sequence, and a
//! cluster that is not in use is zero.

use crate::content::Content;
use crate::folder::{self, ENTRY, Entries, Node};
use anyhow::{Result, ensure};

/// Bytes of a sector.
pub const SECTOR: usize = 512;
/// Sectors in front of the allocation tables, as `mkfs.fat` has them.
const RESERVED: usize = 32;
/// Sectors of the boot sector's copy and of the free clusters' number.
const COPY: usize = 6;
const INFO: usize = 1;
/// Allocation tables: two equal ones.
const TABLES: usize = 2;
/// A FAT32 file system has at least so many clusters, or it is another FAT.
const LEAST_CLUSTERS: usize = 65_525;
/// The number of the first cluster, which is the root folder's.
const FIRST: u32 = 2;
/// A table's value for the last cluster of a file.
const LAST: u32 = 0x0fff_ffff;
/// A hard disk.
const MEDIA: u8 = 0xf8;

/// What identifies a file system.
pub struct Identity {
    /// The volume's id.
    pub id: u32,
    /// The volume's name, filled with spaces.
    pub label: [u8; 11],
    /// The sectors in front of the partition.
    pub hidden: u32,
}

/// The sizes of a file system.
struct Layout {
    /// Sectors of a cluster.
    per_cluster: usize,
    /// Sectors of an allocation table.
    table: usize,
    /// Clusters.
    clusters: usize,
}

impl Layout {
    fn of(bytes: usize) -> Result<Self> {
        // Small clusters, so that a small file system has enough of them.
        let per_cluster = if bytes <= 256 << 20 { 1 } else { 8 };
        let rest = bytes / SECTOR - RESERVED;
        // A cluster takes its sectors and 4 bytes of each table. The tables' first two entries
        // belong to no cluster.
        let per_table = SECTOR / 4;
        let table = (rest + 2 * per_cluster).div_ceil(per_cluster * per_table + TABLES);
        let clusters = (rest - TABLES * table) / per_cluster;
        ensure!(clusters >= LEAST_CLUSTERS, "a FAT32 file system needs more than {bytes} bytes");
        Ok(Self { per_cluster, table, clusters })
    }

    fn cluster_bytes(&self) -> usize {
        self.per_cluster * SECTOR
    }

    /// The offset of a cluster.
    fn offset(&self, cluster: u32) -> usize {
        let before = RESERVED + TABLES * self.table;
        before * SECTOR + (cluster - FIRST) as usize * self.cluster_bytes()
    }
}

/// Makes a file system with `content` in `partition`, which is zero. Returns the bytes up to the
/// end of the last cluster in use.
///
/// # Errors
/// If the files do not fit, or a path is not one for FAT.
pub fn format(partition: &mut [u8], identity: &Identity, content: &Content) -> Result<usize> {
    let layout = Layout::of(partition.len())?;
    let root = folder::tree(content)?;
    let mut writer = Writer { table: vec![MEDIA_ENTRY, LAST], layout, partition };
    let label = (identity.label, folder::VOLUME);
    let first = writer.take(folder::size(&root, 1) * ENTRY)?;
    writer.fill(&root, first, None, Some(label))?;
    let Writer { table, layout, partition } = writer;
    let used = layout.offset(u32::try_from(table.len())?);
    let free = layout.clusters + FIRST as usize - table.len();
    let table: Vec<u8> = table.iter().flat_map(|value| value.to_le_bytes()).collect();
    for number in 0..TABLES {
        let start = (RESERVED + number * layout.table) * SECTOR;
        partition[start..start + table.len()].copy_from_slice(&table);
    }
    let boot = boot_sector(identity, &layout, u32::try_from(partition.len() / SECTOR)?)?;
    let info = info_sector(u32::try_from(free)?, u32::try_from(table.len() / 4)?);
    for start in [0, COPY] {
        for (sector, bytes) in [(start, &boot), (start + INFO, &info)] {
            partition[sector * SECTOR..(sector + 1) * SECTOR].copy_from_slice(bytes);
        }
    }
    Ok(used)
}

/// The first entry of a table: the medium's byte.
const MEDIA_ENTRY: u32 = 0x0fff_ff00 | MEDIA as u32;

/// Gives out clusters in order and fills them.
struct Writer<'a> {
    /// The allocation table so far.
    table: Vec<u32>,
    layout: Layout,
    partition: &'a mut [u8],
}

impl Writer<'_> {
    /// Takes clusters for `bytes` and returns the first; 0 for no bytes.
    fn take(&mut self, bytes: usize) -> Result<u32> {
        let count = bytes.div_ceil(self.layout.cluster_bytes());
        if count == 0 {
            return Ok(0);
        }
        let first = u32::try_from(self.table.len())?;
        let last = first + u32::try_from(count)? - 1;
        self.table.extend(first + 1..=last);
        self.table.push(LAST);
        let end = self.layout.clusters + FIRST as usize;
        ensure!(self.table.len() <= end, "the files do not fit the card");
        Ok(first)
    }

    fn put(&mut self, first: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            let start = self.layout.offset(first);
            self.partition[start..start + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// Writes the folder `node`, whose clusters start at `own`, and everything in it. `parent` is
    /// none for the root.
    fn fill(
        &mut self,
        node: &folder::Folder<'_>,
        own: u32,
        parent: Option<u32>,
        label: Option<([u8; 11], u8)>,
    ) -> Result<()> {
        let mut entries = Entries::default();
        if let Some((name, attributes)) = label {
            entries.add_short(name, attributes, 0, 0);
        }
        if let Some(parent) = parent {
            entries.add_short(*b".          ", folder::FOLDER, own, 0);
            entries.add_short(*b"..         ", folder::FOLDER, parent, 0);
        }
        for (name, child) in node {
            let (first, attributes, size) = match child {
                Node::File(bytes) => {
                    let first = self.take(bytes.len())?;
                    self.put(first, bytes);
                    (first, folder::FILE, u32::try_from(bytes.len())?)
                }
                Node::Folder(inner) => {
                    let first = self.take(folder::size(inner, 2) * ENTRY)?;
                    // The root has the number 0 as a parent.
                    let parent = if parent.is_some() { own } else { 0 };
                    self.fill(inner, first, Some(parent), None)?;
                    (first, folder::FOLDER, 0)
                }
            };
            entries.add(name, attributes, first, size)?;
        }
        self.put(own, &entries.bytes);
        Ok(())
    }
}

fn boot_sector(identity: &Identity, layout: &Layout, sectors: u32) -> Result<[u8; SECTOR]> {
    let mut sector = [0; SECTOR];
    let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0xeb, 0x58, 0x90]);
    // Readers that look at this name want the one that most tools write.
    put(3, b"MSWIN4.1");
    put(11, &u16::try_from(SECTOR)?.to_le_bytes());
    put(13, &[u8::try_from(layout.per_cluster)?]);
    put(14, &u16::try_from(RESERVED)?.to_le_bytes());
    put(16, &[u8::try_from(TABLES)?]);
    put(21, &[MEDIA]);
    // Sectors per track and heads: a disk has neither, and some readers refuse 0.
    put(24, &63u16.to_le_bytes());
    put(26, &255u16.to_le_bytes());
    put(28, &identity.hidden.to_le_bytes());
    put(32, &sectors.to_le_bytes());
    put(36, &u32::try_from(layout.table)?.to_le_bytes());
    put(44, &FIRST.to_le_bytes());
    put(48, &u16::try_from(INFO)?.to_le_bytes());
    put(50, &u16::try_from(COPY)?.to_le_bytes());
    // The first hard disk; then the mark that the next three fields are there.
    put(64, &[0x80, 0, 0x29]);
    put(67, &identity.id.to_le_bytes());
    put(71, &identity.label);
    put(82, b"FAT32   ");
    put(510, &[0x55, 0xaa]);
    Ok(sector)
}

fn info_sector(free: u32, next: u32) -> [u8; SECTOR] {
    let mut sector = [0; SECTOR];
    let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"RRaA");
    put(484, b"rrAa");
    put(488, &free.to_le_bytes());
    put(492, &next.to_le_bytes());
    put(508, &[0, 0, 0x55, 0xaa]);
    sector
}
