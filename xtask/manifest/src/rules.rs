// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every rule that a manifest must hold, and after them those that it should: id, check, what it
//! says and why.
//!
//! Each has a bad manifest in tests/manifests/ID.toml with the exact message in ID.txt, and a line
//! in docs/manifest.md.

use super::checks::{
    channels, cores, devices, images, memory, names, ram, restart, supervision, verdict, views,
    warnings,
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
        "Text that cannot be parsed has no meaning. The reader still checks everything without \
         such an error."),
    rule("unknown-key", R,
        "A table has only keys that this page lists.",
        "A misspelt key would silently keep its default, and defaults decide who owns what."),
    rule("missing-key", R,
        "A table has every key that has no default.",
        "There is no safe guess for what a partition owns: only its author knows it."),
    rule("wrong-type", R,
        "A value has the type of its key.",
        "A value of another type is a mistake, and converting it would hide the mistake."),
    rule("bad-size", R,
        "A size is a number with KiB, MiB or GiB in a string, or a number of bytes.",
        "`MB` and `KB` mean different things to different people; KiB, MiB and GiB do not."),
    rule("bad-time", R,
        "A time is a string of a number with us, ms, s or min, of a day at most.",
        "A number without a unit means milliseconds to one reader and seconds to another."),
    rule("unknown-word", R,
        "A key that takes words takes only the words that this page lists.",
        "Each of these words has its own meaning at EL2; there are no others."),
    rule("board-unknown", R,
        "The board is a folder in boards/.",
        "The reader checks cores, RAM and interrupts against the board: without a board it can \
         check none of them."),
    rule("console-core-unowned", A(cores::console_core_unowned),
        "The console's core runs a vCPU.",
        "EL2 on one core drains the console, and only cores that run a vCPU run EL2."),
    rule("console-core-class", M(cores::console_core_class),
        "The console's core has the class `comm`: draining would disturb a compute core.",
        "Each line that a partition prints enters EL2 on the console's core. On a compute core \
         this would be a foreign entry, and the class promises that there are none."),
    rule("console-share", M(cores::console_share),
        "The console takes 1 to 50 percent of its core's time.",
        "With 0 percent EL2 would never print anything, and with more than 50 that core's guest \
         would have the smaller part."),
    rule("ram-range", B(ram::ram_range),
        "RAM consists of whole pages, and a core can address each of their bytes.",
        "The planner places partitions in pages, and it cannot use memory that cores cannot \
         address."),
    rule("ram-overlap", M(ram::ram_overlap),
        "Ranges of RAM do not overlap.",
        "Memory listed twice would be counted twice, and a system that does not fit would seem to \
         fit."),
    rule("ram-on-device", B(ram::ram_on_device),
        "Ranges of RAM do not overlap the board's devices.",
        "The planner places partitions in RAM: one would get the device's registers as memory, \
         although another partition may own the device."),
    rule("does-not-fit", R,
        "The planner finds room for every part of the system.",
        "The total size may fit while the parts do not: fixed addresses split RAM into ranges, \
         EL2 takes a part of it, and a device tree grows with the nodes that it lists."),
    rule("partition-none", A(names::partition_none),
        "A system has at least one partition.",
        "EL2 only runs partitions: a system without partitions would power off at once."),
    rule("partition-name", M(names::partition_name),
        "A partition's name has 1 to 15 characters of a-z, 0-9 and -.",
        "Each of the partition's console lines starts with the name, and the plan holds it in 16 \
         bytes with a final zero."),
    rule("partition-name-twice", M(names::partition_name_twice),
        "Each partition has a different name.",
        "Console lines, channel ends and reports identify a partition only by its name."),
    rule("vcpus-none", M(cores::vcpus_none),
        "A partition has at least one vCPU.",
        "A partition without a vCPU would never run, and its memory would be lost to the others."),
    rule("vcpus-too-many", M(cores::vcpus_too_many),
        "A partition has at most 8 vCPUs.",
        "EL2's state of a partition has a fixed size: EL2 does not allocate memory at run time."),
    rule("cores-too-many", M(cores::cores_too_many),
        "A system uses at most 8 cores, and so has at most 8 partitions.",
        "The plan and EL2's shared region have room for this many; EL2 does not allocate memory \
         at run time."),
    rule("core-unknown", B(cores::core_unknown),
        "Each core exists on the board.",
        "EL2 would wait forever for a core that the machine does not have."),
    rule("core-given-twice", B(cores::core_given_twice),
        "A core runs only one vCPU.",
        "Two vCPUs on one core would need a scheduler, which Bulkhead does not have, and would \
         disturb each other."),
    rule("mixed-clusters", B(cores::mixed_clusters),
        "With `mixed-clusters = \"refuse\"`, each cluster has cores of only one class: cores of \
         both would share its L2.",
        "The manifest asks for this: a neighbour cannot interrupt a compute core, but it can slow \
         it down through a shared cache."),
    rule("memory-none", M(memory::memory_none),
        "A partition has at least one piece of memory.",
        "The device tree and the program need memory."),
    rule("memory-rom-first", M(memory::memory_rom_first),
        "The first piece of memory is RAM.",
        "It holds the device tree and the initial RAM disk, and it is the guest's working memory."),
    rule("memory-empty", M(memory::memory_empty),
        "A piece of memory has a size above 0.",
        "An empty piece maps nothing, so it is a mistake."),
    rule("memory-unaligned", M(memory::memory_unaligned),
        "Addresses and sizes of memory are multiples of 4 KiB.",
        "Stage 2 maps pages of 4 KiB: it cannot protect data in a page that a neighbour shares."),
    rule("memory-overlap", M(memory::memory_overlap),
        "Pieces of a partition's memory do not overlap in guest addresses.",
        "One guest address would name two places."),
    rule("memory-on-device", B(memory::memory_on_device),
        "Memory does not overlap the guest addresses of its GIC, its PL011 or a device.",
        "The guest would reach RAM where its device tree promises a device, or a device where it \
         promises RAM."),
    rule("memory-too-high", B(memory::memory_too_high),
        "Guest addresses have no more bits than the board's physical addresses.",
        "Stage 2 cannot translate such addresses: the guest's first access there would fault."),
    rule("memory-exceeds-board", B(memory::memory_exceeds_board),
        "All partitions and channels together fit the board's RAM.",
        "Each partition owns its memory: there is no swapping and no ballooning."),
    rule("physical-outside-ram", B(memory::physical_outside_ram),
        "Memory with a fixed physical address is completely inside the board's RAM.",
        "Stage 2 would map addresses that are not RAM: devices, or addresses where nothing \
         answers."),
    rule("physical-reserved", B(memory::physical_reserved),
        "Memory with a fixed physical address does not overlap the board's firmware.",
        "Firmware continues to use its memory, and devices may write there."),
    rule("physical-overlap", M(memory::physical_overlap),
        "Each physical byte has at most one owner.",
        "Partitions that share a page are not isolated from each other."),
    rule("image-kind", R,
        "An image names one file: `guest`, `elf`, `raw` or `linux`.",
        "One program starts at vCPU 0; with two files it would be unclear which."),
    rule("image-file", R,
        "The image's file can be read.",
        "The program is part of the image, so it is read at build time."),
    rule("image-empty", R,
        "The image's file is not empty.",
        "An empty file has no instruction to start at."),
    rule("image-load", R,
        "A `raw` image has `load`, because it holds no load address; an ELF image has no `load`, \
         because the file holds its addresses.",
        "If two places gave the load address, they could differ."),
    rule("debian-package", R,
        "`debian:` names a kernel package of Debian, u-boot-qemu, or for `initrd` busybox-static, \
         and apt can fetch it.",
        "apt fetches the package once, and the image contains it like any other file."),
    rule("guest-unknown", R,
        "The guest is a crate in guests/.",
        "`guest` builds a crate of this repository; use `elf`, `raw` or `linux` for other \
         programs."),
    rule("guest-build", R,
        "The guest builds.",
        "A guest that does not build has no program to pack."),
    rule("elf-magic", R,
        "An ELF image is an ELF file.",
        "The key says how to read the file; a guess could load garbage."),
    rule("elf-class", R,
        "It is a 64-bit little-endian one.",
        "A vCPU starts in AArch64 at EL1, little-endian: other programs cannot run there."),
    rule("elf-machine", R,
        "It is for AArch64.",
        "The core would execute another architecture's instructions as if they were its own."),
    rule("elf-malformed", R,
        "It is whole.",
        "A truncated program is the result of a failed copy or build."),
    rule("elf-segments", R,
        "It has a segment to load.",
        "EL2 would load nothing, and the first instruction would be zero."),
    rule("linux-compressed", R,
        "A kernel is not compressed: Bulkhead does not unpack it.",
        "A boot loader would unpack it. Here vCPU 0 starts at the image's first byte."),
    rule("linux-magic", R,
        "It is an arm64 Image.",
        "The header says where the kernel must load and how much room it needs after its end."),
    rule("linux-endian", R,
        "It is little-endian.",
        "EL2 writes the device tree and starts the vCPU in little-endian state."),
    rule("linux-load", R,
        "It loads at a multiple of 2 MiB plus its own text_offset.",
        "The kernel computes its own addresses from that alignment and would overwrite itself \
         otherwise."),
    rule("image-outside-memory", P(images::image_outside_memory),
        "Every segment is inside one piece of the partition's memory.",
        "Loading would write to memory that the partition does not own."),
    rule("image-overlap", P(images::image_overlap),
        "Segments do not overlap.",
        "The later segment would overwrite the earlier one."),
    rule("image-entry", P(images::image_entry),
        "vCPU 0 starts at an instruction of the image.",
        "Otherwise the first fetch would read data, or fault."),
    rule("device-tree-place", P(images::device_tree_place),
        "A device tree with a fixed address is in the partition's memory, at a multiple of 8, and \
         does not overlap the parts that are loaded there.",
        "vCPU 0 gets this address in x0 and reads there what its machine has."),
    rule("device-tree-room", P(images::device_tree_room),
        "Otherwise the first piece of memory has room for it at its end.",
        "vCPU 0 gets the device tree's address in x0: without it a guest does not know its \
         machine."),
    rule("initrd-file", R,
        "The initial RAM disk's file can be read.",
        "The initial RAM disk is part of the image, so it is read at build time."),
    rule("initrd-empty", P(images::initrd_empty),
        "It has bytes.",
        "An empty file cannot be loaded, so the device tree could not give its address."),
    rule("initrd-room", P(images::initrd_room),
        "It fits the first piece of memory beside the image.",
        "It would overwrite the program, or be outside the partition's memory."),
    rule("command-line-length", M(names::command_line_length),
        "A command line has at most 2047 bytes.",
        "Linux truncates a longer one without a message (COMMAND_LINE_SIZE)."),
    rule("command-line-text", M(names::command_line_text),
        "It has no control characters.",
        "Such a character is invisible in a file, and guests give it no meaning."),
    rule("verdict-text", M(verdict::verdict_text),
        "`pass` and `fail` have 1 to 100 printable characters.",
        "The runner looks for the text within one console line; lines contain no control \
         characters, and EL2 breaks lines at 200 bytes."),
    rule("verdict-both", M(verdict::verdict_both),
        "The text of `pass` does not contain that of `fail`.",
        "Every line that reports a pass would also report a failure."),
    rule("verdict-console", M(verdict::verdict_console),
        "A partition with `pass` or `fail` has a console.",
        "Without a console it prints no line in which the runner could look for the text."),
    rule("restart-limit", M(restart::restart_limit),
        "A partition restarts 1 to 1000 times in its window.",
        "Without a limit a fault at the start would be repeated for ever; a limit of 0 is what \
         `halt` says."),
    rule("restart-window", M(restart::restart_window),
        "All restarts that the limit allows fit in the window, with their delays.",
        "Otherwise a restart begins another window, and the limit is never reached."),
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
    rule("supervisor-count", M(supervision::supervisor_count),
        "At most two partitions are supervisors.",
        "One supervises the system, and a second one can supervise the first. Each of them is \
         interrupted whenever a partition stops or starts, and can stop every other one."),
    rule("supervisor-class", M(supervision::supervisor_class),
        "vCPU 0 of a supervisor has the class `comm`.",
        "It is interrupted when another partition stops or starts; the class `compute` promises \
         that no neighbour interrupts a core."),
    rule("supervisor-option", M(supervision::supervisor_option),
        "A system with a supervisor does not have `supervision = false`.",
        "EL2 would be built without the calls by which a supervisor reads, stops and starts other \
         partitions: all of them would fail."),
    rule("device-unknown", B(devices::device_unknown),
        "Each device exists on the board.",
        "The board's file describes each device's registers, interrupts and DMA: only these \
         devices are known to be safe."),
    rule("device-given-twice", M(devices::device_given_twice),
        "A device has one owner.",
        "Two drivers of one device would corrupt each other's work, and could communicate through \
         it."),
    rule("device-dma", B(devices::device_dma),
        "A device with DMA is passed through only to a partition with `dma = \"trusted\"`.",
        "Stage 2 restricts only the accesses of cores: by DMA a guest would reach all memory, \
         also EL2's."),
    rule("dma-memory", B(devices::dma_memory),
        "A partition with such a device has its memory at equal guest and physical addresses.",
        "The device uses the guest's addresses as physical addresses: it would write into memory \
         of another owner."),
    rule("device-quiesce", B(restart::device_quiesce),
        "A partition with a device that writes memory by itself restarts only if the board's file \
         says how to silence the device (`quiesce`).",
        "The device would go on writing into memory that is being loaded, or into the next life."),
    rule("interrupt-private", M(devices::interrupt_private),
        "Private interrupts (PPIs) are not passed through.",
        "Each PPI is wired to one core, and EL2 needs two of them for its timer and for the list \
         registers."),
    rule("interrupt-range", B(devices::interrupt_range),
        "Each interrupt is an SPI that the board has.",
        "The distributor has no other lines, so another interrupt would never arrive."),
    rule("interrupt-of-el2", B(devices::interrupt_of_el2),
        "The console UART's interrupt belongs to EL2.",
        "A partition with this interrupt could stop the console of every partition."),
    rule("interrupt-emulated", B(devices::interrupt_emulated),
        "A partition with an emulated PL011 does not own SPI 1, which belongs to that PL011.",
        "The guest could not know whether the device or the PL011 raised it."),
    rule("interrupt-given-twice", B(devices::interrupt_given_twice),
        "An interrupt has one owner, whether it is listed itself or comes with a device.",
        "The GIC delivers an interrupt to one core, which completes it once."),
    rule("channel-name", M(names::channel_name),
        "A channel's name has 1 to 15 characters of a-z, 0-9 and -.",
        "Guests find the channel by its name in their device trees."),
    rule("channel-name-twice", M(names::channel_name_twice),
        "Each channel has a different name.",
        "Guests find a channel by its name."),
    rule("channel-ends-count", M(channels::channel_ends_count),
        "A channel has two ends.",
        "A channel joins two vCPUs directly; there are no broadcasts and no relay between them."),
    rule("channel-end-form", M(channels::channel_end_form),
        "An end is written partition/vCPU.",
        "A channel joins vCPUs, not partitions: the doorbell interrupts one core."),
    rule("channel-end-partition", A(channels::channel_end_partition),
        "An end's partition exists.",
        "Otherwise only one side would have the channel's pages."),
    rule("channel-end-vcpu", M(channels::channel_end_vcpu),
        "An end's vCPU exists.",
        "Otherwise the doorbell would have no core to interrupt."),
    rule("channel-end-class", M(channels::channel_end_class),
        "An end's vCPU has the class `comm`: a doorbell would disturb a compute core.",
        "The class promises that EL2 never runs on a compute core because of a neighbour."),
    rule("channel-one-partition", M(channels::channel_one_partition),
        "A channel joins two different partitions: vCPUs of one partition share its memory.",
        "vCPUs of one partition already share its memory, and they can interrupt each other by \
         SGIs."),
    rule("channel-ends-too-many", M(channels::channel_ends_too_many),
        "A vCPU is an end of at most 64 channels.",
        "A vCPU's pending doorbells are the bits of one 64-bit word, so EL2 can take them without \
         a lock."),
    rule("channel-interrupts", B(channels::channel_interrupts),
        "A partition has at most 160 channel ends that take doorbells, minus one per other \
         interrupt that it owns from INTID 128 up.",
        "Each end that takes doorbells has its own interrupt in the guest, and the emulated \
         distributor has 288 INTIDs."),
    rule("channel-bytes-count", M(channels::channel_bytes_count),
        "A channel has two sizes, one for each sending end.",
        "The two directions are separate pages, and only the sender of each can write it."),
    rule("channel-bytes", M(channels::channel_bytes),
        "A direction's data size is a power of two, from 4 KiB to 2 GiB, or 0 if nothing is sent.",
        "Positions in the ring wrap by masking, which stays in bounds for every index that the \
         peer writes."),
    rule("channel-waits", M(channels::channel_waits),
        "A channel has no `waits`, or two of them, one for each end.",
        "Before it rings, a sender asks how its peer waits: with one entry, one end's way of \
         waiting would be unknown."),
    rule("channel-views", M(views::channel_views),
        "A channel has no `views`, or two of them, one for each end.",
        "With one entry it would be unknown what the other end's guest sees."),
    rule("channel-view-waits", M(views::channel_view_waits),
        "An end with the view `ivshmem` waits by doorbell, and its peer does not wait by WFE.",
        "The PCI function has one interrupt. The pages are not cacheable at either end, and the \
         exclusive load that arms WFE works only on cacheable memory."),
    rule("channel-view-bytes", M(views::channel_view_bytes),
        "A channel with the view `ivshmem` has as much data in one direction as in the other.",
        "All output sections of ivshmem have the same size."),
    rule("channel-views-too-many", M(views::channel_views_too_many),
        "A partition has at most 32 ends with the view `ivshmem`.",
        "They are the devices of one PCI bus, which has 32."),
    rule("channel-rate", M(channels::channel_rate),
        "A channel has no `rate`, or two of them, each with a burst of at least 1.",
        "With a burst of 0 a sender could never ring; with one rate the other end would have \
         none."),

    rule("shared-cluster", W(warnings::shared_cluster),
        "Compute cores do not share an L2 with comm cores, unless the manifest says \
         `mixed-clusters = \"allow\"`.",
        "A core's loads evict the cache lines of other cores: a neighbour cannot interrupt a \
         compute core, but it can slow it down."),
    rule("comm-idle", W(warnings::comm_idle),
        "A core of the class `comm` is an end of a channel, or drains the console.",
        "The class allows neighbours to interrupt the core: only cores that need this should have \
         it."),
    rule("small-mappings", W(warnings::small_mappings),
        "Memory starts and ends at multiples of 2 MiB, for the guest and in RAM.",
        "Otherwise each 4 KiB page needs its own TLB entry and a longer walk; a 2 MiB block needs \
         only one entry."),
    rule("rate-unlimited", W(warnings::rate_unlimited),
        "A doorbell rate has a limit.",
        "A faulty guest could ring forever, and its peer's core would do little except take \
         doorbells."),
];
