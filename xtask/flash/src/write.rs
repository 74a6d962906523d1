// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes an image to a disk, and reads it back.

use crate::image::{BLOCK, Image};
use anyhow::{Context, Result, ensure};
use rustix::fs::{FileType, OFlags, fstat};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Bytes that are written at a time.
const PIECE: usize = 1 << 20;

/// What an image is written to.
pub trait Medium {
    /// Writes `bytes` at `offset`.
    ///
    /// # Errors
    /// If the medium does not take them.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns when everything written is on the medium itself, and forgets what is cached of it:
    /// reading then asks the medium.
    ///
    /// # Errors
    /// If something written did not arrive.
    fn settle(&mut self) -> io::Result<()>;

    /// Fills `bytes` from `offset` on.
    ///
    /// # Errors
    /// If they cannot be read.
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
}

/// A disk.
pub struct Device(File);

impl Device {
    /// Opens a disk for this process only: the kernel refuses if it or a partition of it is
    /// mounted, also if that has happened since it was looked at.
    ///
    /// # Errors
    /// If it cannot be opened, or is not a disk.
    pub fn open(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        // Without O_CREAT, O_EXCL on a block device means exclusive use: open(2).
        options.custom_flags(OFlags::EXCL.bits().cast_signed());
        let file = options.open(path).with_context(|| match path.exists() {
            true => format!(
                "cannot write {}: it takes root or the group `disk`, and a disk that nobody uses",
                path.display()
            ),
            false => format!("{} has gone", path.display()),
        })?;
        let kind = fstat(&file).map(|status| FileType::from_raw_mode(status.st_mode))?;
        ensure!(kind == FileType::BlockDevice, "{} is not a disk", path.display());
        Ok(Self(file))
    }
}

impl Medium for Device {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn settle(&mut self) -> io::Result<()> {
        self.0.sync_all()?;
        // What is on the medium already is dropped from the page cache.
        #[cfg(target_os = "linux")]
        rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::DontNeed)?;
        Ok(())
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(bytes, offset)
    }
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The image is written.
    Writing,
    /// It is read back.
    Checking,
}

/// Writes an image and reads it back. The first block, with the partition table, is zero until
/// everything else is on the medium: a card that was taken out in the middle has no partition.
/// `progress` gets the stage and the bytes done of it; its error ends the work.
///
/// # Errors
/// If the medium fails, reads back other bytes, or `progress` fails.
pub fn write(
    image: &Image,
    medium: &mut dyn Medium,
    progress: &mut dyn FnMut(Stage, usize) -> Result<()>,
) -> Result<()> {
    let bytes = image.used();
    let incomplete = "the card is incomplete: write it again";
    let piece = |offset: usize| &bytes[offset..bytes.len().min(offset + PIECE)];
    let (head, _) = piece(0).split_at(BLOCK);
    let written = (|| -> Result<()> {
        let failed = |offset: usize| format!("writing failed at byte {offset}");
        medium.write_at(0, &[0; BLOCK]).with_context(|| failed(0))?;
        for offset in (0..bytes.len()).step_by(PIECE) {
            progress(Stage::Writing, offset)?;
            let (start, rest) = match offset {
                0 => (BLOCK, &piece(0)[BLOCK..]),
                _ => (offset, piece(offset)),
            };
            medium.write_at(start as u64, rest).with_context(|| failed(offset))?;
        }
        medium.settle().context("what was written did not reach the medium")?;
        medium.write_at(0, head).with_context(|| failed(0))?;
        medium.settle().context("what was written did not reach the medium")?;
        progress(Stage::Writing, bytes.len())
    })();
    written.context(incomplete)?;
    let mut read = vec![0; PIECE];
    let checked = (|| -> Result<()> {
        for offset in (0..bytes.len()).step_by(PIECE) {
            progress(Stage::Checking, offset)?;
            let wanted = piece(offset);
            let read = &mut read[..wanted.len()];
            medium
                .read_at(offset as u64, read)
                .with_context(|| format!("reading failed at byte {offset}"))?;
            let differs = wanted.iter().zip(read.iter()).position(|(wanted, read)| wanted != read);
            if let Some(at) = differs {
                anyhow::bail!(
                    "byte {} was written as {:#04x} and reads as {:#04x}: the card is worn out, \
                     or has less memory than it says",
                    offset + at,
                    wanted[at],
                    read[at]
                );
            }
        }
        progress(Stage::Checking, bytes.len())
    })();
    checked.context("the card cannot be relied on")
}
