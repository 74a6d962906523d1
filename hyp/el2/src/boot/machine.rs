//! The machine check: one pass over the boot device tree, held against what the plan needs.
//!
//! Covering is enough: more RAM, more cores or more devices than planned are left alone. Bindings: Devicetree
//! Specification v0.4 and Linux `Documentation/devicetree/bindings` (`arm,gic-v3`, `arm,gic`, `pl011`, `psci`, `arm/cpus`).

use core::sync::atomic::Ordering::Relaxed;

use console::Line;
use plan::{Core, Range};

use super::off::{self, PSCI, UART};
use super::refuse::{if_damaged, refusal, refuse};
use super::tree::{self, Node, Nodes};
use crate::gic;
use crate::planned::Plan;

/// RAM ranges a device tree may list; more than any board of this kind has.
const RAM_RANGES: usize = 16;
/// Most bytes of a device tree (Linux `Documentation/arch/arm64/booting.rst`, 2).
const TREE: u32 = 2 << 20;
/// Key of the nonce on the boot command line.
const NONCE: &[u8] = b"bulkhead.nonce=";

/// Key there of `GICH_LR.HW`, 0 or 1, for interrupts that a GICv2 could link.
const LINK: &[u8] = b"bulkhead.gich-hw=";

/// What the device tree says.
#[derive(Default)]
struct Found {
    ram: [Range; RAM_RANGES],
    ram_count: usize,
    cpus: u64,
    planned_cpus: u64,
    gic_version: u32,
    gic: [u64; 4],
    uart: bool,
    psci: bool,
    nonce: u64,
    link: Option<bool>,
}

/// Compares the machine with `plan`; what does not fit is refused. Answers the nonce of this run, 0 if none was given.
pub fn check(dtb: u64, plan: &Plan) -> u64 {
    let machine = &plan.header.machine;
    if plan.is_valid() {
        UART.store(machine.uart.base, Relaxed);
    }
    let mut found = Found::default();
    let mut above = [Node::default(); 2];
    for node in nodes(dtb) {
        // What is looked for lies in the root, in `cpus`, or on a bus there.
        if node.depth == 1 || node.depth == 2 {
            look(&mut found, &node, &above, plan);
        }
        if let Some(place) = above.get_mut(node.depth) {
            *place = node;
        }
    }
    if found.uart {
        UART.store(machine.uart.base, Relaxed);
    }
    PSCI.store(found.psci, Relaxed);
    if !plan.is_valid() {
        refuse!(str "plan: this EL2 needs one of version ", dec plan::VERSION.into(),
            str ", this image has another or none")
    }
    // From here on the plan's claims count: they must be its author's.
    if_damaged(plan);
    check_ram(&found, plan);
    check_cores(&found, plan);
    check_gic(&found, plan);
    if !found.uart {
        refuse!(str "console: the plan needs a PL011 at ", hex machine.uart.base,
            str ", the machine has none there")
    }
    if machine.start == plan::START_PSCI && !found.psci {
        refuse!(str "PSCI: the plan needs firmware that starts cores by SMC, the machine has none")
    }
    found.nonce
}

/// The nodes of the tree that the loader passed. The boot protocol aligns it to 8 bytes, and lets it have [`TREE`].
fn nodes(dtb: u64) -> Nodes<'static> {
    let is_place = dtb != 0 && dtb.is_multiple_of(8);
    // SAFETY: the boot protocol says x0 is the device tree's address or zero.
    let header = is_place.then(|| unsafe { &*(dtb as *const [u32; 2]) });
    if let Some(&[magic, size]) = header
        && magic == tree::MAGIC.to_be()
        && u32::from_be(size) <= TREE
        // SAFETY: as above; the tree says its own size.
        && let Some(nodes) = Nodes::of(unsafe {
            core::slice::from_raw_parts(dtb as *const u8, u32::from_be(size) as usize)
        })
    {
        return nodes;
    }
    refuse!(str "device tree: the plan needs one to check the machine, ",
        str "the loader passed none at ", hex dtb)
}

/// Takes what one node says. Nodes are first told apart by the generic names the specification recommends (2.2.2).
fn look(found: &mut Found, node: &Node, above: &[Node; 2], plan: &Plan) {
    let machine = &plan.header.machine;
    let named = |name: &[u8]| node.name.starts_with(name);
    let compatible = |name| node.says(b"compatible", name);
    let on_bus = node.depth > 1 && !named(b"cpu@");
    let mut regions = Regions {
        reg: node.property(b"reg").unwrap_or(&[]),
        root: &above[0],
        parent: &above[node.depth - 1],
        on_bus,
    };
    if named(b"memory@") {
        for (region, slot) in regions.zip(found.ram.iter_mut().skip(found.ram_count)) {
            *slot = region;
            found.ram_count += 1;
        }
    } else if named(b"cpu@") {
        let mpidr = regions.next().map(|region| region.base);
        found.cpus += 1;
        for (index, core) in plan.cores().iter().enumerate() {
            if mpidr == Some(core.mpidr) {
                found.planned_cpus |= 1 << (index & 63);
            }
        }
    } else if named(b"intc@") || named(b"interrupt-controller@") {
        if compatible(b"arm,gic-v3") {
            found.gic_version = 3;
        } else if compatible(b"arm,cortex-a15-gic") || compatible(b"arm,gic-400") {
            found.gic_version = 2;
        } else {
            return;
        }
        for (slot, region) in found.gic.iter_mut().zip(regions) {
            *slot = region.base;
        }
    } else if (named(b"pl011@") || named(b"serial@")) && compatible(b"arm,pl011") {
        let base = regions.next().map(|region| region.base);
        found.uart |= base == Some(machine.uart.base);
        // Where the plan's UART is missing, a refusal goes to one that is there, and is wired (2.3.4).
        let wired = !node.says(b"status", b"disabled");
        if let (false, true, Some(base)) = (found.uart, wired, base) {
            UART.store(base, Relaxed);
        }
    } else if named(b"psci") {
        found.psci |= node.says(b"method", b"smc");
    } else if named(b"chosen") {
        let bootargs = node.property(b"bootargs").unwrap_or(&[]);
        found.nonce = value(bootargs, NONCE).and_then(nonce).unwrap_or(0);
        let link = value(bootargs, LINK).and_then(<[u8]>::first);
        found.link = link.map(|&digit| digit != b'0');
    }
}

/// A node's `reg` as the cores see it. What no range of its bus holds ends it.
struct Regions<'a> {
    reg: &'a [u8],
    root: &'a Node<'a>,
    parent: &'a Node<'a>,
    /// The parent is a bus, which has addresses of its own.
    on_bus: bool,
}

/// `#address-cells` and `#size-cells` (2.3.5): at least a word, and no more than anything has.
fn cells(node: &Node) -> [usize; 2] {
    [
        node.number(b"#address-cells", 2).clamp(1, 4),
        node.number(b"#size-cells", 1).min(4),
    ]
}

impl Iterator for Regions<'_> {
    type Item = Range;

    fn next(&mut self) -> Option<Range> {
        let [address_cells, size_cells] = cells(self.parent);
        let base = tree::number(&mut self.reg, address_cells)?;
        let size = tree::number(&mut self.reg, size_cells)?;
        let mut ranges: &[u8] = &[];
        if self.on_bus {
            ranges = self.parent.property(b"ranges")?;
        }
        if ranges.is_empty() {
            // No bus, or one that changes nothing (2.3.8).
            return Some(Range { base, size });
        }
        loop {
            let inside = base.wrapping_sub(tree::number(&mut ranges, address_cells)?);
            let base = tree::number(&mut ranges, cells(self.root)[0])?.wrapping_add(inside);
            if inside < tree::number(&mut ranges, size_cells)? {
                return Some(Range { base, size });
            }
        }
    }
}

/// What follows `key` on the boot command line.
fn value<'a>(bootargs: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let start = bootargs
        .windows(key.len())
        .position(|window| window == key)?;
    bootargs.get(start + key.len()..)
}

/// The number that [`NONCE`]'s 16 hex digits make.
fn nonce(text: &[u8]) -> Option<u64> {
    let digits = text.get(..16)?;
    digits.iter().try_fold(0, |value, &digit| {
        Some(value << 4 | u64::from(char::from(digit).to_digit(16)?))
    })
}

fn check_ram(found: &Found, plan: &Plan) {
    let ram = found.ram.get(..found.ram_count).unwrap_or(&[]);
    for need in plan.slice::<Range>(plan.header.machine.ram) {
        let end = need.base + need.size;
        // Adjacent ranges cover together: step from one to the next until none goes on. Saturated, each step is forward,
        // whatever sizes the tree claims.
        let mut covered = need.base;
        while let Some(range) = ram
            .iter()
            .find(|range| range.base <= covered && covered - range.base < range.size)
        {
            covered = range.base.saturating_add(range.size);
            if covered >= end {
                break;
            }
        }
        if covered < end {
            let mut line = refusal();
            between(line.str("RAM: the plan needs "), need);
            line.str(", the machine has");
            for range in ram {
                between(line.str(" "), range);
            }
            off::power_off_with(&mut line)
        }
    }
}

fn between(line: &mut Line, range: &Range) {
    line.hex(range.base)
        .str("-")
        .hex(range.base.saturating_add(range.size).wrapping_sub(1));
}

fn check_cores(found: &Found, plan: &Plan) {
    let missing = |&(index, _): &(usize, &Core)| found.planned_cpus >> (index & 63) & 1 == 0;
    if let Some((_, core)) = plan.cores().iter().enumerate().find(missing) {
        refuse!(str "cores: the plan needs ", dec plan.cores().len() as u64,
            str " cores, one with MPIDR ", hex core.mpidr,
            str ", the machine has ", dec found.cpus, str " and not that one")
    }
}

fn check_gic(found: &Found, plan: &Plan) {
    let machine = &plan.header.machine;
    // In the order of `reg`; of what follows a plan for GICv3 needs nothing.
    let needed = match machine.gic_version {
        3 => &[machine.gicd, machine.gicr][..],
        _ => &[machine.gicd, machine.gicc, machine.gich, machine.gicv],
    };
    let fits = found.gic_version == machine.gic_version
        && (needed.iter().zip(found.gic)).all(|(range, base)| range.base == base);
    let (version, base) = (machine.gic_version.into(), machine.gicd.base);
    if found.gic_version == 0 {
        refuse!(str "GIC: the plan needs GICv", dec version, str " at ", hex base,
            str ", the machine has none")
    }
    if !fits {
        refuse!(str "GIC: the plan needs GICv", dec version, str " at ", hex base,
            str ", the machine has GICv", dec found.gic_version.into(), str " at ", hex found.gic[0])
    }
    if machine.gic_version != gic::VERSION {
        refuse!(str "plan: for GICv", dec version, str ", this EL2 drives GICv", dec gic::VERSION.into())
    }
    gic::attach(machine, found.link);
    let intids = gic::physical::intids(machine.gicd.base);
    if intids < machine.intids {
        refuse!(str "GIC: the plan needs ", dec machine.intids.into(),
            str " INTIDs, the machine has ", dec intids.into())
    }
}
