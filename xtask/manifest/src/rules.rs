// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every rule that a manifest must hold, and after them those that it should: id, check, what it
//! says and why.
//!
//! Each has a bad manifest in tests/manifests/ID.toml with the exact message in ID.txt, and a line
//! in docs/manifest.md.

use super::checks::{
    channels, cores, devices, images, memory, names, ram, restart, verdict, warnings,
};
use super::programs::Program;
use super::raw::Manifest;
use super::report::Finding;
use crate::system::Board;

/// Looks for one rule's breaches.
#[derive(Clone, Copy)]
pub(super) enum Check {
    /// Found while files are read: by `decode`, `programs` or `image`.
    Reading,
    /// Needs only the manifest.
    Manifest(fn(&Manifest) -> Vec<Finding>),
    /// Looks for missing entries, so it runs only if every partition could be read.
    Absence(fn(&Manifest) -> Vec<Finding>),
    /// Also needs the board.
    Board(fn(&Manifest, &Board) -> Vec<Finding>),
    /// Also needs the partitions' programs.
    Programs(fn(&Manifest, &[Program]) -> Vec<Finding>),
    /// Looks for what is legal but unwise, once there are no errors.
    Warning(fn(&Manifest, &Board) -> Vec<Finding>),
}

use Check::{Absence as A, Board as B, Manifest as M, Programs as P, Reading as R, Warning as W};

/// A rule.
pub struct Rule {
    /// Its id, which messages and file names carry.
    pub id: &'static str,
    /// The rule in a sentence.
    pub says: &'static str,
    /// The reason: what would happen otherwise.
    pub why: &'static str,
    /// The check that finds its breaches.
    pub(super) check: Check,
}

impl Rule {
    /// Whether a breach is a warning, and no error.
    pub fn warns(&self) -> bool {
        matches!(self.check, W(_))
    }
}

/// A line of the table below.
const fn rule(id: &'static str, check: Check, says: &'static str, why: &'static str) -> Rule {
    Rule { id, says, why, check }
}

/// Every rule, in the order of docs/manifest.md.
#[rustfmt::skip] // three lines per rule: id and check, what it says, why
pub const RULES: &[Rule] = &[
    rule("syntax", R,
        "A manifest is TOML.",
        "What cannot be parsed says nothing. Everything without such an error is still looked at."),
    rule("unknown-key", R,
        "A table has no keys but those of this page.",
        "A misspelt key would silently leave its default in place, and defaults decide who owns \
         what."),
    rule("missing-key", R,
        "Keys without a default are given.",
        "There is no safe guess for what a partition owns: only its author knows."),
    rule("wrong-type", R,
        "A value has the type that its key wants.",
        "A value of another type is a slip, and converting it would hide the slip."),
    rule("bad-size", R,
        "A size is a number with KiB, MiB or GiB in a string, or a number of bytes.",
        "`MB` and `KB` mean different things to different people; KiB, MiB and GiB do not."),
    rule("bad-time", R,
        "A time is a string of a number with us, ms, s or min, of a day at most.",
        "A number without a unit means milliseconds to one reader and seconds to another."),
    rule("unknown-word", R,
        "Where a key takes certain words, it takes no others.",
        "The words of such a key are all there are; each has its own meaning at EL2."),
    rule("board-unknown", R,
        "The board is a folder of boards/.",
        "Cores, RAM and interrupts are checked against the board: without it nothing can be."),
    rule("console-core-unowned", A(cores::console_core_unowned),
        "The console's core runs a vCPU.",
        "Draining is work of one core's EL2, and only cores that run a vCPU run EL2."),
    rule("console-core-class", M(cores::console_core_class),
        "The console's core has the class `comm`: draining would disturb a compute core.",
        "Each line that anybody prints enters EL2 on the console's core: foreign entries, of which \
         a compute core has none."),
    rule("console-share", M(cores::console_share),
        "The console takes 1 to 50 percent of its core's time.",
        "With none of it nothing would ever be shown, and with more the guest of that core would \
         have the smaller part."),
    rule("ram-range", B(ram::ram_range),
        "RAM is whole pages, of which a core can address every byte.",
        "Partitions are placed in pages, and what no core can address holds nothing."),
    rule("ram-overlap", M(ram::ram_overlap),
        "No two ranges of RAM have an address in common.",
        "What is there twice is counted twice, and a system seems to fit that does not."),
    rule("ram-on-device", B(ram::ram_on_device),
        "Where the board has a device, it has no RAM.",
        "Partitions are placed in RAM: one would get the device's registers for memory, beside \
         whoever owns the device."),
    rule("does-not-fit", R,
        "When everything is placed, there is room for it.",
        "Sizes can add up and still not fit: fixed addresses break RAM into ranges, EL2 takes a \
         part of it, a device tree grows with what it lists."),
    rule("partition-none", A(names::partition_none),
        "A system has one partition at least.",
        "EL2 does nothing for itself: a system without partitions would power off at once."),
    rule("partition-name", M(names::partition_name),
        "A partition's name has 1 to 15 characters of a-z, 0-9 and -.",
        "The name stands before each of the partition's console lines and in the plan, where it \
         has 16 bytes with its zero."),
    rule("partition-name-twice", M(names::partition_name_twice),
        "No two partitions have the same name.",
        "Console lines, channel ends and reports tell partitions apart by their names alone."),
    rule("vcpus-none", M(cores::vcpus_none),
        "A partition has one vCPU at least.",
        "Without a vCPU nothing of the partition would ever run, and its memory would be lost to \
         the others."),
    rule("vcpus-too-many", M(cores::vcpus_too_many),
        "A partition has 8 vCPUs at most.",
        "EL2's state of a partition has a fixed size: nothing is allocated at run time."),
    rule("cores-too-many", M(cores::cores_too_many),
        "A system uses 8 cores at most, and so has 8 partitions at most.",
        "The plan and EL2's shared region have room for this many; nothing is allocated at run \
         time."),
    rule("core-unknown", B(cores::core_unknown),
        "A core is one of the board's.",
        "EL2 would wait for ever for a core that the machine does not have."),
    rule("core-given-twice", B(cores::core_given_twice),
        "A core runs one vCPU, forever.",
        "Bulkhead has no scheduler: two vCPUs on one core would need one, and would disturb each \
         other."),
    rule("mixed-clusters", B(cores::mixed_clusters),
        "With `mixed-clusters = \"refuse\"`, no cluster has cores of both classes: they would \
         share its L2.",
        "The manifest's author asked for it: a neighbour cannot interrupt a compute core, but slow \
         it through a cache."),
    rule("memory-none", M(memory::memory_none),
        "A partition has one piece of memory at least.",
        "The device tree and the program have to lie somewhere."),
    rule("memory-rom-first", M(memory::memory_rom_first),
        "The first piece of memory is RAM.",
        "It holds the device tree and the initial RAM disk, and is where a guest finds memory to \
         work in."),
    rule("memory-empty", M(memory::memory_empty),
        "A piece of memory has a size above 0.",
        "A piece without bytes maps nothing; it is a slip."),
    rule("memory-unaligned", M(memory::memory_unaligned),
        "Addresses and sizes of memory are multiples of 4 KiB.",
        "Stage 2 maps pages of 4 KiB: what shares a page with a neighbour cannot be kept from it."),
    rule("memory-overlap", M(memory::memory_overlap),
        "Pieces of a partition's memory have no guest address in common.",
        "One guest address would have two meanings."),
    rule("memory-on-device", B(memory::memory_on_device),
        "Memory does not lie where the guest sees its GIC, its PL011 or a device.",
        "The guest would reach RAM where its tree promises a device, or a device where it promises \
         RAM."),
    rule("memory-too-high", B(memory::memory_too_high),
        "Guest addresses have no more bits than the board's physical addresses.",
        "Translation has no entries for such addresses: the guest's first access there would \
         fault."),
    rule("memory-exceeds-board", B(memory::memory_exceeds_board),
        "All partitions and channels together fit the board's RAM.",
        "Memory is given outright, never promised twice: there is no swapping and no ballooning."),
    rule("physical-outside-ram", B(memory::physical_outside_ram),
        "A fixed physical address lies in the board's RAM with all its bytes.",
        "Stage 2 would map what is no RAM: devices, or nothing at all."),
    rule("physical-reserved", B(memory::physical_reserved),
        "A fixed physical address does not lie where the board's firmware is.",
        "Firmware goes on using its memory, and devices may write there."),
    rule("physical-overlap", M(memory::physical_overlap),
        "No physical byte is given twice.",
        "Two partitions with one page are one partition: nothing would be isolated."),
    rule("image-kind", R,
        "An image names one file: `guest`, `elf`, `raw` or `linux`.",
        "One program starts at vCPU 0; two files would leave open which."),
    rule("image-file", R,
        "The image's file can be read.",
        "The program is part of the image: it is read now, not at run time."),
    rule("image-empty", R,
        "The image's file is not empty.",
        "An empty file has no instruction to start at."),
    rule("image-load", R,
        "`load` is given for `raw`, where nothing else says it, and never for ELF files, which say \
         it themselves.",
        "Only one of the two may say where the program goes, or they may differ."),
    rule("debian-package", R,
        "`debian:` names a kernel package of Debian, u-boot-qemu, or for `initrd` busybox-static, \
         and can be fetched.",
        "The package is fetched once, by apt, and is part of the image as any other file is."),
    rule("guest-unknown", R,
        "The guest is a crate of guests/.",
        "`guest` builds a crate of this repository; other programs are given as files."),
    rule("guest-build", R,
        "The guest builds.",
        "What does not build cannot be packed."),
    rule("elf-magic", R,
        "An ELF image is an ELF file.",
        "The kind says how to read the file; guessing would load garbage."),
    rule("elf-class", R,
        "It is a 64-bit little-endian one.",
        "A vCPU starts in AArch64 at EL1, little-endian: other programs cannot run there."),
    rule("elf-machine", R,
        "It is for AArch64.",
        "Instructions of another architecture would be executed as what they happen to mean on \
         this one."),
    rule("elf-malformed", R,
        "It is whole.",
        "Half a program is a failed copy or build."),
    rule("elf-segments", R,
        "It has a segment to load.",
        "Nothing would be loaded, and the first instruction would be zero."),
    rule("linux-compressed", R,
        "A kernel is not compressed: nobody is there to unpack it.",
        "A boot loader would unpack it. Here vCPU 0 starts at the image's first byte."),
    rule("linux-magic", R,
        "It is an arm64 Image.",
        "The header says where the kernel wants to lie and how much room it needs behind its end."),
    rule("linux-endian", R,
        "It is little-endian.",
        "EL2 writes the device tree and starts the vCPU in little-endian state."),
    rule("linux-load", R,
        "It loads at a multiple of 2 MiB plus its own text_offset.",
        "The kernel computes its own addresses from that alignment and would overwrite itself \
         otherwise."),
    rule("image-outside-memory", P(images::image_outside_memory),
        "Every segment lies in one piece of the partition's memory.",
        "Loading would write to memory that the partition does not own."),
    rule("image-overlap", P(images::image_overlap),
        "Segments do not lie over each other.",
        "The later segment would overwrite the earlier one."),
    rule("image-entry", P(images::image_entry),
        "vCPU 0 starts at an instruction of the image.",
        "The first instruction fetched would be data, or a fault."),
    rule("device-tree-place", P(images::device_tree_place),
        "A fixed device tree lies in the partition's memory, at a multiple of 8, and not on what \
         is loaded there.",
        "vCPU 0 is given this address in x0 and reads its whole machine there."),
    rule("device-tree-room", P(images::device_tree_room),
        "Otherwise the first piece of memory has room for it at its end.",
        "vCPU 0 is given a device tree in x0: without it a guest knows nothing of its machine."),
    rule("initrd-file", R,
        "The initial RAM disk's file can be read.",
        "The initial RAM disk is part of the image: it is read now, not at run time."),
    rule("initrd-empty", P(images::initrd_empty),
        "It has bytes.",
        "Nothing can be loaded from an empty file, and no guest can be told where it is."),
    rule("initrd-room", P(images::initrd_room),
        "It fits the first piece of memory beside the image.",
        "It would overwrite the program, or lie outside the partition's memory."),
    rule("command-line-length", M(names::command_line_length),
        "A command line has 2047 bytes at most.",
        "Linux cuts a longer one without a word (COMMAND_LINE_SIZE)."),
    rule("command-line-text", M(names::command_line_text),
        "It has no control characters.",
        "Nobody sees such a character in a file, and no guest means anything by it."),
    rule("verdict-text", M(verdict::verdict_text),
        "`pass` and `fail` have 1 to 100 printable characters.",
        "The text is looked for within one console line; no line holds control characters, and EL2 \
         breaks lines of 200 bytes."),
    rule("verdict-both", M(verdict::verdict_both),
        "The text of `pass` does not hold that of `fail`.",
        "Every line that says that the partition has passed would say that it has failed."),
    rule("verdict-console", M(verdict::verdict_console),
        "A partition with `pass` or `fail` has a console.",
        "Without one it prints nothing that could be looked for."),
    rule("restart-limit", M(restart::restart_limit),
        "A partition restarts 1 to 1000 times in its window.",
        "Without a limit a fault at the start would be repeated for ever; a limit of 0 is what \
         `halt` says."),
    rule("restart-window", M(restart::restart_window),
        "The window of restarts is longer than the delay before one.",
        "Otherwise each restart begins another window, and the limit is never reached."),
    rule("restart-back-off", M(restart::restart_back_off),
        "The delay grows by a factor of 1 to 10.",
        "A factor of 0 would end the delay after the first restart; a large one makes the second \
         delay as long as the window."),
    rule("restart-unused", M(restart::restart_unused),
        "A partition with `restart` is restarted by something.",
        "The author expects restarts that `on-fault`, `on-reset` and `on-off` rule out."),
    rule("watchdog-first", M(restart::watchdog_first),
        "A watchdog's first time is more than 0.",
        "No program sets its watchdog in no time."),
    rule("device-unknown", B(devices::device_unknown),
        "A device is one of the board's.",
        "Registers, interrupts and DMA of a device come from the board's file: nothing else is \
         known to be safe."),
    rule("device-given-twice", M(devices::device_given_twice),
        "A device has one owner.",
        "Two drivers at one device would corrupt each other's work, and could talk through it."),
    rule("device-dma", B(devices::device_dma),
        "A device that writes memory by itself is passed through only to a partition with `dma = \
         \"trusted\"`.",
        "Stage 2 binds the cores' accesses alone: through DMA a guest would reach any memory, \
         EL2's too."),
    rule("dma-memory", B(devices::dma_memory),
        "A partition with such a device sees its memory at physical addresses.",
        "The device takes the guest's addresses for physical ones: it would write into somebody \
         else's memory."),
    rule("device-quiesce", B(restart::device_quiesce),
        "A partition with a device that writes memory by itself restarts only if the board's file \
         says how to silence the device (`quiesce`).",
        "The device would go on writing into memory that is being loaded, or into the next life."),
    rule("interrupt-private", M(devices::interrupt_private),
        "Private interrupts (PPIs) are not passed through.",
        "PPIs are wired to one core each, and EL2 needs its own for its timer and for the list \
         registers."),
    rule("interrupt-range", B(devices::interrupt_range),
        "An interrupt is one of the board's SPIs.",
        "The distributor has no such line, so nothing would ever arrive."),
    rule("interrupt-of-el2", B(devices::interrupt_of_el2),
        "The console UART's interrupt is EL2's.",
        "Whoever has it could stop everybody's console."),
    rule("interrupt-emulated", B(devices::interrupt_emulated),
        "A partition with an emulated PL011 does not own SPI 1, which is that PL011's.",
        "The guest could not tell whether the device or the PL011 wants it."),
    rule("interrupt-given-twice", B(devices::interrupt_given_twice),
        "An interrupt has one owner, be it given as such or with a device.",
        "An interrupt is delivered to one core and completed once."),
    rule("channel-name", M(names::channel_name),
        "A channel's name has 1 to 15 characters of a-z, 0-9 and -.",
        "The name is a node of the guests' device trees, by which they find the channel."),
    rule("channel-name-twice", M(names::channel_name_twice),
        "No two channels have the same name.",
        "Guests find a channel by its name."),
    rule("channel-ends-count", M(channels::channel_ends_count),
        "A channel has two ends.",
        "A channel joins two vCPUs directly; there are no broadcasts and nobody in between."),
    rule("channel-end-form", M(channels::channel_end_form),
        "An end is written partition/vCPU.",
        "A channel joins vCPUs, not partitions: the doorbell interrupts one core."),
    rule("channel-end-partition", A(channels::channel_end_partition),
        "An end's partition exists.",
        "The pages would have one side alone."),
    rule("channel-end-vcpu", M(channels::channel_end_vcpu),
        "An end's vCPU exists.",
        "The doorbell would have no core to go to."),
    rule("channel-end-class", M(channels::channel_end_class),
        "An end's vCPU has the class `comm`: a doorbell would disturb a compute core.",
        "This is what the class promises: EL2 never runs on a compute core because of a \
         neighbour."),
    rule("channel-one-partition", M(channels::channel_one_partition),
        "A channel's ends are two partitions': vCPUs of one share its memory.",
        "Inside one partition memory is shared anyway, and a sibling is interrupted by a guest's \
         own SGI."),
    rule("channel-ends-too-many", M(channels::channel_ends_too_many),
        "A vCPU is an end of 64 channels at most.",
        "A vCPU's pending doorbells are the bits of one 64-bit word, which is why taking them \
         needs no lock."),
    rule("channel-interrupts", B(channels::channel_interrupts),
        "A partition has interrupts for 160 channel ends that take doorbells, less those from 128 \
         up that it owns otherwise.",
        "Each end that takes doorbells has an interrupt of its own in the guest, and the emulated \
         distributor has 288."),
    rule("channel-bytes-count", M(channels::channel_bytes_count),
        "A channel has two sizes, one for each sending end.",
        "The two directions are separate pages, each writable by its sender alone."),
    rule("channel-bytes", M(channels::channel_bytes),
        "A direction's data is a power of two, from 4 KiB to 2 GiB, or 0 where nothing is sent.",
        "Positions in the ring wrap by masking, which cannot go out of bounds whatever the peer \
         writes."),
    rule("channel-waits", M(channels::channel_waits),
        "A channel has two ways of waiting if any, one for each end.",
        "A sender asks how its peer waits before it rings: one way for two ends would leave one of \
         them open."),
    rule("channel-rate", M(channels::channel_rate),
        "A channel has two rates if any, each with a burst of 1 or more.",
        "With a burst of 0 no doorbell would ever be sent; with one rate the other end would have \
         none."),

    rule("shared-cluster", W(warnings::shared_cluster),
        "Compute cores share no L2 with comm cores, unless the manifest says `mixed-clusters = \
         \"allow\"`.",
        "What a core loads, another one's cache lines make room for: a neighbour cannot interrupt \
         a compute core, but slow it."),
    rule("comm-idle", W(warnings::comm_idle),
        "A core of the class `comm` is an end of a channel, or drains the console.",
        "The class is a permission to be interrupted by neighbours: nobody should have it without \
         need."),
    rule("small-mappings", W(warnings::small_mappings),
        "Memory starts and ends at multiples of 2 MiB, for the guest and in RAM.",
        "Each 4 KiB page then needs a TLB entry of its own and a longer walk, where 2 MiB could \
         share one."),
    rule("rate-unlimited", W(warnings::rate_unlimited),
        "A doorbell rate has a limit.",
        "A guest that goes wrong could ring for ever, and its peer's core would do little but take \
         doorbells."),
];
