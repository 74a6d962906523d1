//! Every rule that a manifest must hold: its id, what it says, and the check.
//!
//! Each has a bad manifest in tests/manifests/ID.toml with the exact message in ID.txt, and a line in docs/manifest.md.

use super::checks::{channels, cores, devices, images, memory, names};
use super::programs::Program;
use super::raw::Manifest;
use super::report::Finding;
use crate::system::Board;

/// Looks for one rule's breaches.
#[derive(Clone, Copy)]
pub(super) enum Check {
    /// Found while files are read: by `decode`, `programs` or `image`.
    Reading,
    /// Needs the manifest alone.
    Manifest(fn(&Manifest) -> Vec<Finding>),
    /// Needs the board too.
    Board(fn(&Manifest, &Board) -> Vec<Finding>),
    /// Needs the partitions' programs too.
    Programs(fn(&Manifest, &[Program]) -> Vec<Finding>),
}

use Check::{Board as B, Manifest as M, Programs as P, Reading as R};

/// A rule.
pub struct Rule {
    /// Its id, which messages and file names carry.
    pub id: &'static str,
    /// What it says, in a sentence.
    pub says: &'static str,
    /// Who finds its breaches.
    pub(super) check: Check,
}

/// A line of the table below.
const fn rule(id: &'static str, says: &'static str, check: Check) -> Rule {
    Rule { id, says, check }
}

/// Every rule, in the order of docs/manifest.md.
#[rustfmt::skip] // one rule a line
pub const RULES: &[Rule] = &[
    rule("syntax", "A manifest is TOML.", R),
    rule("unknown-key", "A table has no keys but those of this page.", R),
    rule("missing-key", "Keys without a default are given.", R),
    rule("wrong-type", "A value has the type that its key wants.", R),
    rule("bad-size", "A size is a number with KiB, MiB or GiB in a string, or a number of bytes.", R),
    rule("unknown-word", "Where a key takes certain words, it takes no others.", R),
    rule("board-unknown", "The board is a folder of boards/.", R),
    rule("board-gic", "The board's interrupt controller is one that EL2 drives: a GICv3.", B(cores::board_gic)),
    rule("console-core-unowned", "The console's core runs a vCPU.", M(cores::console_core_unowned)),
    rule("console-core-class", "The console's core has the class `comm`: draining would disturb a compute core.", M(cores::console_core_class)),
    rule("partition-none", "A system has one partition at least.", M(names::partition_none)),
    rule("partition-name", "A partition's name has 1 to 15 characters of a-z, 0-9 and -.", M(names::partition_name)),
    rule("partition-name-twice", "No two partitions have the same name.", M(names::partition_name_twice)),
    rule("vcpus-none", "A partition has one vCPU at least.", M(cores::vcpus_none)),
    rule("vcpus-too-many", "A partition has 8 vCPUs at most.", M(cores::vcpus_too_many)),
    rule("cores-too-many", "A system uses 8 cores at most, and so has 8 partitions at most.", M(cores::cores_too_many)),
    rule("core-unknown", "A core is one of the board's.", B(cores::core_unknown)),
    rule("core-given-twice", "A core runs one vCPU, forever.", B(cores::core_given_twice)),
    rule("mixed-clusters", "With `mixed-clusters = \"refuse\"`, no cluster has cores of both classes: they would share its L2.", B(cores::mixed_clusters)),
    rule("memory-none", "A partition has one piece of memory at least.", M(memory::memory_none)),
    rule("memory-empty", "A piece of memory has a size above 0.", M(memory::memory_empty)),
    rule("memory-unaligned", "Addresses and sizes of memory are multiples of 4 KiB.", M(memory::memory_unaligned)),
    rule("memory-overlap", "Pieces of a partition's memory have no guest address in common.", M(memory::memory_overlap)),
    rule("memory-on-device", "Memory does not lie where the guest sees its GIC, its PL011 or a device.", B(memory::memory_on_device)),
    rule("memory-too-high", "Guest addresses have no more bits than the board's physical addresses.", B(memory::memory_too_high)),
    rule("memory-exceeds-board", "All partitions and channels together fit the board's RAM.", B(memory::memory_exceeds_board)),
    rule("physical-outside-ram", "A fixed physical address lies in the board's RAM with all its bytes.", B(memory::physical_outside_ram)),
    rule("physical-reserved", "A fixed physical address does not lie where the board's firmware is.", B(memory::physical_reserved)),
    rule("physical-overlap", "No physical byte is given twice.", M(memory::physical_overlap)),
    rule("image-kind", "An image names one file: `guest`, `elf`, `raw` or `linux`.", R),
    rule("image-file", "The image's file can be read.", R),
    rule("image-empty", "The image's file is not empty.", R),
    rule("image-load", "`load` is given for `raw`, where nothing else says it, and never for ELF files, which say it themselves.", R),
    rule("guest-unknown", "The guest is a crate of guests/.", R),
    rule("guest-build", "The guest builds.", R),
    rule("elf-magic", "An ELF image is an ELF file.", R),
    rule("elf-class", "It is a 64-bit little-endian one.", R),
    rule("elf-machine", "It is for AArch64.", R),
    rule("elf-malformed", "It is whole.", R),
    rule("elf-segments", "It has a segment to load.", R),
    rule("linux-compressed", "A kernel is not compressed: nobody is there to unpack it.", R),
    rule("linux-magic", "It is an arm64 Image.", R),
    rule("linux-endian", "It is little-endian.", R),
    rule("linux-load", "It loads at a multiple of 2 MiB plus its own text_offset.", R),
    rule("image-outside-memory", "Every segment lies in one piece of the partition's memory.", P(images::image_outside_memory)),
    rule("image-overlap", "Segments do not lie over each other.", P(images::image_overlap)),
    rule("image-entry", "vCPU 0 starts at an instruction of the image.", P(images::image_entry)),
    rule("device-tree-place", "A fixed device tree lies in the partition's memory, at a multiple of 8, and not on what is loaded there.", P(images::device_tree_place)),
    rule("device-tree-room", "Otherwise the first piece of memory has room for it at its end.", P(images::device_tree_room)),
    rule("initrd-file", "The initial RAM disk's file can be read.", R),
    rule("initrd-room", "It fits the first piece of memory beside the image.", P(images::initrd_room)),
    rule("command-line-length", "A command line has 2047 bytes at most.", M(names::command_line_length)),
    rule("command-line-text", "It has no control characters.", M(names::command_line_text)),
    rule("device-unknown", "A device is one of the board's.", B(devices::device_unknown)),
    rule("device-given-twice", "A device has one owner.", M(devices::device_given_twice)),
    rule("device-dma", "A device that writes memory by itself is not passed through.", B(devices::device_dma)),
    rule("interrupt-private", "Private interrupts (PPIs) are not passed through.", M(devices::interrupt_private)),
    rule("interrupt-range", "An interrupt is one of the board's SPIs.", B(devices::interrupt_range)),
    rule("interrupt-of-el2", "The console UART's interrupt is EL2's.", B(devices::interrupt_of_el2)),
    rule("interrupt-emulated", "A partition with an emulated PL011 does not own SPI 1, which is that PL011's.", B(devices::interrupt_emulated)),
    rule("interrupt-given-twice", "An interrupt has one owner, be it given as such or with a device.", B(devices::interrupt_given_twice)),
    rule("channel-name", "A channel's name has 1 to 15 characters of a-z, 0-9 and -.", M(names::channel_name)),
    rule("channel-name-twice", "No two channels have the same name.", M(names::channel_name_twice)),
    rule("channel-ends-count", "A channel has two ends.", M(channels::channel_ends_count)),
    rule("channel-end-form", "An end is written partition/vCPU.", M(channels::channel_end_form)),
    rule("channel-end-partition", "An end's partition exists.", M(channels::channel_end_partition)),
    rule("channel-end-vcpu", "An end's vCPU exists.", M(channels::channel_end_vcpu)),
    rule("channel-end-class", "An end's vCPU has the class `comm`: a doorbell would disturb a compute core.", M(channels::channel_end_class)),
    rule("channel-one-partition", "A channel's ends are two partitions': vCPUs of one share its memory.", M(channels::channel_one_partition)),
    rule("channel-ends-too-many", "A vCPU is an end of 64 channels at most.", M(channels::channel_ends_too_many)),
    rule("channel-interrupts", "A partition has interrupts for 160 channel ends that take doorbells, less those from 128 up that it owns otherwise.", B(channels::channel_interrupts)),
    rule("channel-bytes-count", "A channel has two sizes, one for each sending end.", M(channels::channel_bytes_count)),
    rule("channel-bytes", "A direction's data is a power of two, from 4 KiB to 2 GiB, or 0 where nothing is sent.", M(channels::channel_bytes)),
    rule("channel-waits", "A channel has two ways of waiting if any, one for each end.", M(channels::channel_waits)),
    rule("channel-rate", "A channel has two rates if any, each with a burst of 1 or more.", M(channels::channel_rate)),
];
