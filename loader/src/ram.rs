// SPDX-License-Identifier: MIT OR Apache-2.0
//! RAM by the boot device tree (Devicetree Specification v0.4): what there is, and what firmware
//! keeps.

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use loader_protocol::place::Memory;

use crate::cpu;

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// Alignment of the loader.
pub const ALIGN: u64 = 64 << 10;
/// End of the RAM that the loader uses for itself: every core and device of a board reaches it.
pub const LIMIT: u64 = 1 << 32;
/// The first word of a tree, and the most bytes of one (Linux, booting.rst).
const MAGIC: [u8; 4] = [0xd0, 0x0d, 0xfe, 0xed];
const LARGEST: u64 = 2 << 20;

/// Returns the bytes of the tree at `address`, if there is one.
pub fn tree(address: u64) -> Option<&'static [u8]> {
    if address == 0 || !address.is_multiple_of(8) {
        return None;
    }
    // SAFETY: firmware passes the address of a tree; where there is no memory at all, the access
    // faults, and the vectors print a line.
    let header = unsafe { cpu::bytes(address, 8) };
    let (magic, size) = header.split_first_chunk::<4>()?;
    let size = u64::from(u32::from_be_bytes(size.try_into().ok()?));
    if *magic != MAGIC || !(40..=LARGEST).contains(&size) {
        return None;
    }
    // SAFETY: the tree's own header says that it has so many bytes.
    Some(unsafe { cpu::bytes(address, size) })
}

/// Returns RAM and what firmware keeps of it. A tree that is not well-formed has no RAM.
pub fn memory(bytes: &[u8]) -> Memory {
    let mut memory = Memory::default();
    let Ok(tree) = Fdt::new(bytes) else { return memory };
    let mut fits = true;
    for kept in tree.memory_reservations() {
        fits &= memory.kept.add(kept.address(), kept.size());
    }
    if let Some(nodes) = tree.reserved_memory() {
        for node in nodes {
            each(*node, &mut |base, size| fits &= memory.kept.add(base, size));
        }
    }
    for node in tree.root().children() {
        let kind = node.property("device_type");
        if kind.is_some_and(|kind| kind.value() == b"memory\0") {
            each(node, &mut |base, size| fits &= memory.ram.add(base, size));
        }
    }
    // With more ranges than there is room for, something kept could be overwritten.
    if fits { memory } else { Memory::default() }
}

/// Calls `take` with each range of a node's `reg`.
fn each(node: FdtNode<'_>, take: &mut dyn FnMut(u64, u64)) {
    let Ok(Some(ranges)) = node.reg() else { return };
    for range in ranges {
        if let (Ok(base), Ok(size)) = (range.address::<u64>(), range.size::<u64>()) {
            take(base, size);
        }
    }
}
