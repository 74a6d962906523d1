// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rules by which a disk may be written. All of them are checked before the first byte is.

use crate::disks::{Bytes, Disk};

/// Cards are smaller: a larger disk is more likely someone's backup.
pub const LARGEST: u64 = 256_000_000_000;

/// Returns why an image of `size` bytes must not be written to `disk`, a sentence each; none if it
/// may be. `force` allows disks that do not look like a card, and never one that is in use.
pub fn refusals(disk: &Disk, size: u64, force: bool) -> Vec<String> {
    let path = disk.path();
    let mut refusals: Vec<_> = disk.uses.clone();
    if !refusals.is_empty() {
        refusals.push(format!(
            "unmount every file system of {path} first: udisksctl unmount -b, or umount"
        ));
    }
    if disk.size == 0 {
        refusals.push(format!("{path} has no card in it"));
    } else if disk.size < size {
        refusals.push(format!(
            "{path} has {}, and the image has {}",
            Bytes(disk.size),
            Bytes(size)
        ));
    }
    if disk.read_only {
        refusals
            .push(format!("{path} is write-protected: look at the switch on the card's adapter"));
    }
    if !disk.removable && !force {
        refusals.push(format!(
            "{path} is built in, not removable; if it is the right one, add --force"
        ));
    }
    if disk.size > LARGEST && !force {
        refusals.push(format!(
            "{path} has {}, more than {}; if it is the right one, add --force",
            Bytes(disk.size),
            Bytes(LARGEST)
        ));
    }
    refusals
}
