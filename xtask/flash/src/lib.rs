// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boot media for boards: the files of a card, an image of a whole card, the folder of a TFTP
//! server, and the rules by which an image is written to a disk.
//!
//! Images depend only on the files in them: the same files give the same bytes, on every day and
//! every machine.

#![forbid(unsafe_code)]

pub mod bmap;
pub mod content;
pub mod disks;
pub mod fat32;
pub mod folder;
pub mod image;
pub mod netboot;
pub mod ports;
pub mod rules;
pub mod sysfs;
pub mod write;

use sha2::{Digest, Sha256};

/// Returns the SHA-256 of `bytes` in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
