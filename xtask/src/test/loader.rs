//! The tests' own boot loader in front of an image, and the boot device trees that it passes, which
//! are QEMU's with changes.

use anyhow::{Context, Result, ensure};
use dtoolkit::Node;
use dtoolkit::fdt::Fdt;
use dtoolkit::memreserve::MemoryReservation;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use object::{Object, ObjectSection};
use system_tests::{Edit, Loader};

/// Bytes from the loader to the image; an arm64 Image starts at a multiple of it.
const IMAGE: usize = 2 << 20;
/// Offsets of the loader's own words: what it leaves, and where the tree is.
const LEAVES: usize = 64;
const TREE: usize = 72;
/// Alignment of the tree.
const ALIGN: usize = 64 << 10;

/// Packs the loader (an ELF file), then `image`, then `tree`, as one arm64 Image.
///
/// # Errors
/// If the ELF file is not such a loader.
pub fn in_front(elf: &[u8], loader: &Loader, image: &[u8], tree: &[u8]) -> Result<Vec<u8>> {
    let file = object::File::parse(elf).context("the loader is not an ELF file")?;
    let text = file.section_by_name(".text");
    let mut bytes = text.context("the loader has no code")?.data()?.to_vec();
    ensure!(
        bytes.len() <= IMAGE && bytes.get(56..60) == Some(b"ARM\x64"),
        "the loader is not an arm64 Image of at most {IMAGE} bytes"
    );
    bytes.resize(IMAGE, 0);
    bytes.extend_from_slice(image);
    bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
    let bits = loader.leaves.iter().map(|&leaves| 1u64 << leaves as u32);
    put(&mut bytes, LEAVES, bits.sum());
    let at = bytes.len() as u64;
    put(&mut bytes, TREE, at);
    bytes.extend_from_slice(tree);
    Ok(bytes)
}

/// Returns the tests' firmware (an ELF file) for a GIC of this version, which keeps the private
/// interrupts `kept` and starts the boot core at `image`.
///
/// # Errors
/// If the ELF file is not such firmware.
pub fn firmware(elf: &[u8], gic: u32, kept: u32, image: u32) -> Result<Vec<u8>> {
    let file = object::File::parse(elf).context("the firmware is not an ELF file")?;
    let text = file.section_by_name(".text").context("the firmware has no code")?;
    let mut bytes = text.data()?.to_vec();
    ensure!(bytes.get(4..16) == Some(&[0; 12]), "the firmware has no room for its words");
    for (at, word) in [(4, gic), (8, !kept), (12, image)] {
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    Ok(bytes)
}

fn put(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// Returns the flattened tree `bytes` after `edits`.
///
/// # Errors
/// If it is not a tree, or does not have what an edit changes.
pub fn edited(bytes: &[u8], edits: &[Edit]) -> Result<Vec<u8>> {
    let fdt = Fdt::new(bytes).context("QEMU's device tree")?;
    let mut tree = DeviceTree::from_fdt(&fdt);
    for edit in edits {
        apply(&mut tree, edit).with_context(|| format!("{edit:?}"))?;
    }
    Ok(tree.to_dtb())
}

fn apply(tree: &mut DeviceTree, edit: &Edit) -> Result<()> {
    match *edit {
        Edit::Set(path, name, value) => set(node(tree, path)?, name, value)?,
        Edit::Add(path, name, properties) => {
            let mut new = DeviceTreeNode::new(name).context("its name")?;
            for (name, value) in properties {
                set(&mut new, name, value)?;
            }
            node(tree, path)?.add_child(new);
        }
        Edit::Rename(path, name, new) => {
            let parent = node(tree, path)?;
            let old = parent.remove_child(name).context("there is no such node")?;
            let mut child = DeviceTreeNode::new(new).context("its name")?;
            for property in old.properties() {
                child.add_property(DeviceTreeProperty::from_property(&property));
            }
            for below in old.children() {
                child.add_child(DeviceTreeNode::from_node(&below));
            }
            parent.add_child(child);
        }
        Edit::Reserve(base, size) => {
            tree.memory_reservations.push(MemoryReservation::new(base, size));
        }
    }
    Ok(())
}

fn node<'a>(tree: &'a mut DeviceTree, path: &str) -> Result<&'a mut DeviceTreeNode> {
    tree.find_node_mut(path).with_context(|| format!("there is no {path}"))
}

fn set(node: &mut DeviceTreeNode, name: &str, value: &[u8]) -> Result<()> {
    node.remove_property(name);
    node.add_property(DeviceTreeProperty::new(name, value.to_vec()).context("a property's name")?);
    Ok(())
}

/// The check of every loader's file: the bits that `tests/loader` knows.
#[cfg(test)]
mod tests {
    use super::*;
    use system_tests::Leaves;

    #[test]
    fn every_kind_of_remains_is_known_to_the_loader() {
        let source = include_str!("../../../tests/loader/src/main.rs");
        let bits = source.lines().filter_map(|line| {
            let (_, rest) = line.split_once("when    ")?;
            rest.split_whitespace().next()?.parse().ok()
        });
        let bits: Vec<u32> = bits.collect();
        assert_eq!(bits, Leaves::ALL.map(|leaves| leaves as u32));
    }

    #[test]
    fn a_tree_is_changed_where_the_edit_says() {
        let seed = include_bytes!("../../../fuzz/seeds/tree/virt.dtb");
        let edits = [
            Edit::Set("/psci", "method", b"hvc\0"),
            Edit::Add("/", "extra", &[("status", b"okay\0")]),
            Edit::Rename("/", "psci", "firmware"),
            Edit::Reserve(0x1000, 0x2000),
        ];
        let bytes = edited(seed, &edits).expect("edits that fit");
        let fdt = Fdt::new(&bytes).expect("a tree");
        let tree = DeviceTree::from_fdt(&fdt);
        let method = tree.find_node("/firmware").and_then(|node| {
            node.property("method").map(|p| dtoolkit::Property::value(&p).to_vec())
        });
        assert_eq!(method.as_deref(), Some(&b"hvc\0"[..]));
        assert!(tree.find_node("/extra").is_some() && tree.find_node("/psci").is_none());
        assert_eq!(tree.memory_reservations, [MemoryReservation::new(0x1000, 0x2000)]);
        assert!(edited(seed, &[Edit::Set("/absent", "x", b"")]).is_err());
        assert!(edited(seed, &[Edit::Rename("/", "absent", "x")]).is_err());
    }
}
