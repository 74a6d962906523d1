//! The machine check: one pass over the boot device tree, compared with what the plan needs.
//!
//! The machine must cover the plan: more RAM, more cores or more devices than planned stay unused.
//! Nodes are found as Linux finds them: by `compatible` and `device_type`; `/chosen`, `/cpus` and
//! `/reserved-memory` by path. Bindings: Devicetree Specification v0.4 and Linux
//! `Documentation/devicetree/bindings` (`arm,gic-v3`, `arm,gic`, `pl011`, `psci`, `arm/cpus`).

use core::slice::from_ref;
use core::sync::atomic::Ordering::Relaxed;

use console::LineBuffer;
use plan::{Core, Machine, PAGE, Range};

use super::end::{HVC, PSCI, UART, refused};
use super::refuse::{if_damaged, refusal, refuse};
use super::tree::{self, Node, Nodes, Property::*, Regions, text};
use crate::drivers::distributor;
use crate::drivers::{Gic, gic::GicDriver};
use crate::state::plan_view::PlanView;

/// Most banks of RAM that EL2 keeps; banks that touch count as one.
const RAM_RANGES: usize = 32;
/// Most reserved ranges within the plan's RAM that EL2 keeps until it knows where the RAM disk is.
const KEPT_RANGES: usize = 8;
/// Most levels of nodes that are read; deeper nodes are skipped.
const DEPTH: usize = 8;
/// Most bytes of a device tree (Linux `Documentation/arch/arm64/booting.rst`, 2).
const TREE: u32 = 2 << 20;
/// Key of the nonce on the boot command line.
const NONCE: &[u8] = b"bulkhead.nonce=";
/// Key on the boot command line that starts the board's watchdog.
const WATCHDOG: &[u8] = b"bulkhead.watchdog=1";
/// Key on the boot command line of `GICH_LR.HW`, 0 or 1, for interrupts that a GICv2 could link.
const LINK: &[u8] = b"bulkhead.gich-hw=";

/// Results of the machine check for later steps of boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The nonce of this run, 0 if none was given.
    pub nonce: u64,
    /// The counter's frequency where the tree says it, Hz, or 0.
    pub frequency: u64,
    /// Whether the machine has the device that the board quiesces.
    pub quiesce: bool,
    /// Whether the board's watchdog is to run.
    pub watchdog: bool,
    /// Why the board was reset last, as its firmware says it: the register PM_RSTS of a Raspberry
    /// Pi.
    pub reset_cause: Option<u64>,
}

/// What the device tree says.
#[derive(Default)]
struct Found<'a> {
    ram: [Range; RAM_RANGES],
    ram_count: usize,
    /// Number of banks of RAM that found no room in `ram`.
    ram_lost: u64,
    /// Ranges that the tree reserves and the plan uses, except those that only boot needs.
    kept: [Range; KEPT_RANGES],
    kept_count: usize,
    /// The last one that found no room in `kept`.
    kept_lost: Option<Range>,
    ram_disk: Range,
    cpus: u64,
    planned_cpus: u64,
    /// A planned core and its release address in the tree, if that is not the plan's.
    release: Option<(&'a Core, u64)>,
    gic_version: u32,
    gic: [u64; 4],
    uart: bool,
    psci: bool,
    /// Firmware answers PSCI by HVC.
    hvc: bool,
    link: Option<bool>,
    checked: Checked,
}

/// Compares the machine with `plan`, and refuses one that does not fit. `level` is the exception
/// level that the loader entered at, `image` the range where it put the image.
pub fn check(dtb: u64, level: u64, plan: &PlanView, image: Range) -> Checked {
    let machine = &plan.header.machine;
    if plan.is_valid() {
        UART.store(machine.uart.base, Relaxed);
    }
    let mut found = Found::default();
    let tree = tree(dtb);
    let has_tree = tree.is_some();
    if let Some((nodes, size)) = tree {
        // EL2 does not need these ranges once the image has moved.
        let own = [pages(Range { base: dtb, size }), pages(image)];
        read(&mut found, nodes, plan, &own);
    }
    if found.uart {
        UART.store(machine.uart.base, Relaxed);
    }
    // At EL3 there is no firmware to call, and an HVC at EL2 is taken to EL2 itself.
    PSCI.store(found.psci && level != 3, Relaxed);
    HVC.store(found.hvc && level == 1, Relaxed);
    if level != 2 {
        refuse!(str "exception level: the plan needs EL2, the loader entered at EL", dec level)
    }
    if !has_tree {
        refuse!(str "device tree: the plan needs one to check the machine, ",
            str "the loader passed none at ", hex dtb)
    }
    if !plan.is_valid() {
        refuse!(str "plan: this EL2 needs one of version ", dec plan::VERSION.into(),
            str ", this image has another or none")
    }
    // From here on EL2 relies on the plan's contents, so the plan must not be damaged.
    if_damaged(plan);
    check_ram(&found, plan);
    check_kept(&found, plan);
    check_cores(&found, plan);
    check_gic(&found, plan);
    if !found.uart {
        refuse!(str "console: the plan needs a PL011 at ", hex machine.uart.base,
            str ", the machine has none there")
    }
    if machine.start == plan::START_PSCI && !found.psci {
        refuse!(str "PSCI: the plan needs firmware that starts cores by SMC, the machine has none")
    }
    found.checked
}

/// Reads the tree in one pass.
fn read<'a>(found: &mut Found<'a>, nodes: Nodes, plan: &'a PlanView, own: &[Range]) {
    for range in nodes.reservations() {
        keep(found, range, plan, own);
    }
    let mut above = [Node::default(); DEPTH];
    for mut node in nodes {
        let Some((place, ancestors)) = above.get_mut(..=node.depth).and_then(<[_]>::split_last_mut)
        else {
            continue;
        };
        let parent = ancestors.last();
        node.usable = node.is_available() && parent.is_none_or(|parent| parent.usable);
        look(found, &node, ancestors, plan, own);
        *place = node;
    }
}

/// Returns the nodes of the tree that the loader passed, and its size, or `None` if it passed no
/// tree. The boot protocol aligns the tree to 8 bytes and limits it to [`TREE`].
fn tree(dtb: u64) -> Option<(Nodes<'static>, u64)> {
    let is_place = dtb != 0 && dtb.is_multiple_of(8);
    // SAFETY: the boot protocol says x0 is the device tree's address or zero.
    let &[magic, size] = is_place.then(|| unsafe { &*(dtb as *const [u32; 2]) })?;
    let size = u32::from_be(size);
    if magic != tree::MAGIC.to_be() || size > TREE {
        return None;
    }
    // SAFETY: as above; the tree says its own size.
    let bytes = unsafe { core::slice::from_raw_parts(dtb as *const u8, size as usize) };
    Some((Nodes::of(bytes)?, size.into()))
}

const MEMORY: tree::Text = text("memory");
const CPU: tree::Text = text("cpu");

/// Takes the contents of one node, whose ancestors from the root on are `above`.
fn look<'a>(found: &mut Found<'a>, node: &Node, above: &[Node], plan: &'a PlanView, own: &[Range]) {
    match above {
        [] => {}
        [_] if node.name == b"chosen" => {
            let bootargs = node.value(Bootargs).unwrap_or(&[]);
            found.checked.nonce = value(bootargs, NONCE).and_then(nonce).unwrap_or(0);
            found.checked.watchdog = value(bootargs, WATCHDOG).is_some();
            let link = value(bootargs, LINK).and_then(<[u8]>::first);
            found.link = link.map(|&digit| digit != b'0');
            let ends = (node.number(InitrdStart), node.number(InitrdEnd));
            if let (Some(base), Some(end)) = ends {
                let size = end.saturating_sub(base);
                found.ram_disk = pages(Range { base, size });
            }
        }
        [_] if node.says(DeviceType, &MEMORY) && node.usable => {
            Regions::of(node, above).for_each(|bank| add_ram(found, bank));
        }
        [_, chosen] if chosen.name == b"chosen" && node.name == b"bootloader" => {
            found.checked.reset_cause = node.number(ResetStatus);
        }
        [_, cpus] if cpus.name == b"cpus" && node.says(DeviceType, &CPU) => {
            look_at_cpu(found, node, cpus, plan);
        }
        [_, parent] if parent.name == b"reserved-memory" && node.usable => {
            // Its addresses are the cores', as in Linux.
            for range in Regions::of(node, from_ref(parent)) {
                keep(found, range, plan, own);
            }
        }
        _ if node.usable => look_at_device(found, node, above, &plan.header.machine),
        _ => {}
    }
}

/// Takes a core's node. `status = "disabled"` says that the core waits to be started, "fail" that
/// it cannot be (3.8).
fn look_at_cpu<'a>(found: &mut Found<'a>, node: &Node, cpus: &Node, plan: &'a PlanView) {
    let (Some(mut reg), Some([cells, _])) = (node.value(Reg), cpus.cells()) else {
        return;
    };
    let mpidr = tree::number(&mut reg, cells);
    if node.value(Status).is_some_and(|status| status.starts_with(b"fail")) {
        return;
    }
    found.cpus += 1;
    for (index, core) in plan.cores().iter().enumerate() {
        if mpidr == Some(core.mpidr) {
            found.planned_cpus |= 1 << (index & 63);
            let release = node.number(ReleaseAddress);
            if let Some(address) = release.filter(|&address| address != core.release) {
                found.release = Some((core, address));
            }
        }
    }
}

/// Values of `compatible` of the devices that the machine check looks for. PSCI 0.1 is not among
/// them: the tree chooses its function identifiers, and it has no `SYSTEM_OFF`.
const DEVICES: [tree::Text; 8] = [
    text("arm,gic-v3"),
    text("arm,gic-400"),
    text("arm,cortex-a15-gic"),
    text("arm,cortex-a7-gic"),
    text("arm,pl011"),
    text("arm,psci-0.2"),
    text("arm,psci-1.0"),
    text("arm,armv8-timer"),
];
const GICV3: usize = 0;
const GICV2: usize = 3;
const PL011: usize = 4;
const PSCI_1_0: usize = 6;

fn look_at_device(found: &mut Found, node: &Node, above: &[Node], machine: &Machine) {
    let Some(device) = node.find(Compatible, &DEVICES) else {
        let text = machine.quiesced.split_inclusive(|&byte| byte == 0).next().unwrap_or(&[]);
        let is_it = |value: &[u8]| text.len() > 1 && value.starts_with(text);
        found.checked.quiesce |= node.value(Compatible).is_some_and(is_it);
        return;
    };
    let mut regions = Regions::of(node, above);
    if device <= GICV2 {
        if !fits(found, machine) {
            found.gic_version = if device == GICV3 { 3 } else { 2 };
            found.gic = [0; 4];
            for (slot, region) in found.gic.iter_mut().zip(regions) {
                *slot = region.base;
            }
        }
    } else if device == PL011 {
        let base = regions.next().map(|region| region.base);
        found.uart |= base == Some(machine.uart.base);
        // If the plan's UART is missing, a refusal goes to a PL011 that is there.
        if let (false, Some(base)) = (found.uart, base) {
            UART.store(base, Relaxed);
        }
    } else if device <= PSCI_1_0 {
        found.psci |= node.says(Method, &const { text("smc") });
        found.hvc |= node.says(Method, &const { text("hvc") });
    } else {
        found.checked.frequency = node.number(ClockFrequency).unwrap_or(0);
    }
}

/// Adds a bank of RAM, joined with one that it touches.
fn add_ram(found: &mut Found, bank: Range) {
    if bank.size == 0 {
        return;
    }
    let mut banks = found.ram.iter_mut().take(found.ram_count);
    let touched = banks.find(|other| bank.base <= end(other) && other.base <= end(&bank));
    if let Some(other) = touched {
        let last = end(other).max(end(&bank));
        other.base = other.base.min(bank.base);
        other.size = last - other.base;
    } else if let Some(slot) = found.ram.get_mut(found.ram_count) {
        *slot = bank;
        found.ram_count += 1;
    } else {
        found.ram_lost += 1;
    }
}

/// Keeps a range that the tree reserves, if the plan uses a part of it that is not needed only by
/// boot (`own`) and that the board does not give to the plan.
fn keep(found: &mut Found, range: Range, plan: &PlanView, own: &[Range]) {
    let given = plan.slice::<Range>(plan.header.machine.reclaimed);
    let allowed = |both: &Range| own.iter().chain(given).any(|other| holds(other, both));
    if used(&range, plan, allowed).is_none() {
        return;
    }
    match found.kept.get_mut(found.kept_count) {
        Some(slot) => {
            *slot = range;
            found.kept_count += 1;
        }
        None => found.kept_lost = Some(range),
    }
}

/// Returns the first range of RAM that the plan needs and that has a part in `range` which is not
/// allowed.
fn used(
    range: &Range,
    plan: &PlanView,
    allowed: impl Fn(&Range) -> bool,
) -> Option<&'static Range> {
    let ram = plan.slice::<Range>(plan.header.machine.ram);
    ram.iter().find(|need| {
        let base = need.base.max(range.base);
        let size = end(need).min(end(range)).saturating_sub(base);
        size != 0 && !allowed(&Range { base, size })
    })
}

fn end(range: &Range) -> u64 {
    range.base.saturating_add(range.size)
}

fn holds(outer: &Range, inner: &Range) -> bool {
    outer.base <= inner.base && end(inner) <= end(outer)
}

/// Returns the whole pages that hold `range`.
fn pages(range: Range) -> Range {
    let base = range.base & !(PAGE - 1);
    let size = end(&range).checked_next_multiple_of(PAGE).unwrap_or(u64::MAX) - base;
    Range { base, size }
}

/// Returns what follows `key` on the boot command line.
fn value<'a>(bootargs: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let start = bootargs.windows(key.len()).position(|window| window == key)?;
    bootargs.get(start + key.len()..)
}

/// Returns the number in [`NONCE`]'s 16 hex digits.
fn nonce(text: &[u8]) -> Option<u64> {
    let digits = text.get(..16)?;
    digits
        .iter()
        .try_fold(0, |value, &digit| Some(value << 4 | u64::from(char::from(digit).to_digit(16)?)))
}

fn check_ram(found: &Found, plan: &PlanView) {
    let ram = found.ram.get(..found.ram_count).unwrap_or(&[]);
    for need in plan.slice::<Range>(plan.header.machine.ram) {
        // Adjacent ranges cover together: step from one to the next until none continues. `end`
        // saturates, so each step is forward for all sizes that the tree claims.
        let mut covered = need.base;
        while let Some(range) =
            ram.iter().find(|range| range.base <= covered && covered - range.base < range.size)
        {
            covered = end(range);
            if covered >= end(need) {
                break;
            }
        }
        if covered < end(need) {
            let mut line = refusal();
            between(line.str("RAM: the plan needs "), need);
            line.str(", the machine has");
            let mut rest = ram.len() as u64 + found.ram_lost;
            for range in ram {
                // Keep room for one more range and for the end of the line.
                if line.as_bytes().len() > LineBuffer::SIZE - 80 {
                    break;
                }
                between(line.str(" "), range);
                rest -= 1;
            }
            if rest != 0 {
                line.str(" and ").dec(rest).str(" more; EL2 reads only ");
                line.dec(RAM_RANGES as u64);
            }
            refused(&mut line)
        }
    }
}

fn between(line: &mut LineBuffer, range: &Range) {
    line.hex(range.base).str("-").hex(end(range).wrapping_sub(1));
}

/// Refuses a machine whose tree reserves RAM that the plan uses, except for the RAM disk.
fn check_kept(found: &Found, plan: &PlanView) {
    let kept = found.kept.get(..found.kept_count).unwrap_or(&[]);
    // Of several ranges that found no room only the last is known, and the others may not be the
    // RAM disk.
    let kept = kept.iter().map(|range| (range, true));
    for (range, is_known) in kept.chain(found.kept_lost.iter().map(|range| (range, false))) {
        let in_ram_disk = |both: &Range| is_known && holds(&found.ram_disk, both);
        if let Some(need) = used(range, plan, in_ram_disk) {
            let mut line = refusal();
            between(line.str("RAM: the plan needs "), need);
            between(line.str(", the device tree reserves "), range);
            refused(&mut line)
        }
    }
}

fn check_cores(found: &Found, plan: &PlanView) {
    let missing = |&(index, _): &(usize, &Core)| found.planned_cpus >> (index & 63) & 1 == 0;
    if let Some((_, core)) = plan.cores().iter().enumerate().find(missing) {
        refuse!(str "cores: the plan needs ", dec plan.cores().len() as u64,
            str " cores, one with MPIDR ", hex core.mpidr,
            str ", the machine has ", dec found.cpus, str ", not this one")
    }
    if let (false, Some((core, address))) = (found.psci, found.release) {
        refuse!(str "cores: the plan releases MPIDR ", hex core.mpidr, str " at ", hex core.release,
            str ", the machine at ", hex address)
    }
}

/// Returns whether the GIC found last is the plan's. Ranges are in the order of `reg`; a plan for
/// GICv3 needs only the first two.
fn fits(found: &Found, machine: &Machine) -> bool {
    let needed = match machine.gic_version {
        3 => &[machine.gicd, machine.gicr][..],
        _ => &[machine.gicd, machine.gicc, machine.gich, machine.gicv],
    };
    found.gic_version == machine.gic_version
        && (needed.iter().zip(found.gic)).all(|(range, base)| range.base == base)
}

fn check_gic(found: &Found, plan: &PlanView) {
    let machine = &plan.header.machine;
    let (version, base) = (machine.gic_version.into(), machine.gicd.base);
    if found.gic_version == 0 {
        refuse!(str "GIC: the plan needs GICv", dec version, str " at ", hex base,
            str ", the machine has none")
    }
    if !fits(found, machine) {
        refuse!(str "GIC: the plan needs GICv", dec version, str " at ", hex base,
            str ", the machine has GICv", dec found.gic_version.into(),
            str " at ", hex found.gic[0])
    }
    if machine.gic_version != Gic::VERSION {
        refuse!(str "plan: for GICv", dec version,
            str ", this EL2 drives GICv", dec Gic::VERSION.into())
    }
    Gic::attach(machine, found.link);
    let intids = distributor::intids(machine.gicd.base);
    if intids < machine.intids {
        refuse!(str "GIC: the plan needs ", dec machine.intids.into(),
            str " INTIDs, the machine has ", dec intids.into())
    }
}
