//! The machine check: one pass over the boot device tree, held against what the plan needs.
//!
//! Covering is enough: more RAM, more cores or more devices than planned are left alone. Bindings: Devicetree
//! Specification v0.4 and Linux `Documentation/devicetree/bindings` (`arm,gic-v3`, `arm,gic`, `pl011`, `psci`, `arm/cpus`).

use core::sync::atomic::Ordering::Relaxed;

use console::Line;
use fdt::Fdt;
use fdt::node::{FdtNode, NodeProperty};
use plan::{Core, Range};

use super::refuse::{self, PSCI, UART, if_damaged, refusal, refuse};
use crate::gic;
use crate::planned::Plan;

/// RAM ranges a device tree may list; more than any board of this kind has.
const RAM_RANGES: usize = 16;
/// Key of the nonce on the boot command line.
const NONCE: &[u8] = b"bulkhead.nonce=";

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
}

/// Compares the machine with `plan`; what does not fit is refused. Answers the nonce of this run, 0 if none was given.
pub fn check(dtb: u64, plan: &Plan) -> u64 {
    let machine = &plan.header.machine;
    if plan.is_valid() {
        UART.store(machine.uart.base, Relaxed);
    }
    // SAFETY: the boot protocol says x0 is the device tree's address or zero; `from_ptr` checks the magic number.
    let tree = match unsafe { Fdt::from_ptr(dtb as *const u8) } {
        Ok(tree) => tree,
        Err(_) => refuse!(str "device tree: the plan needs one to check the machine, ",
            str "the loader passed none at ", hex dtb),
    };
    let mut found = Found::default();
    for node in tree.all_nodes() {
        look(&mut found, node, plan);
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

/// Takes what one node says. Nodes are first told apart by the generic names the specification recommends (2.2.2).
fn look(found: &mut Found, node: FdtNode, plan: &Plan) {
    let machine = &plan.header.machine;
    let named = |name: &str| node.name.starts_with(name);
    if named("memory@") {
        let Some(regions) = node.reg() else { return };
        for region in regions {
            if let Some(slot) = found.ram.get_mut(found.ram_count) {
                slot.base = region.starting_address as u64;
                slot.size = region.size.unwrap_or(0) as u64;
                found.ram_count += 1;
            }
        }
    } else if named("cpu@") {
        let mpidr = node.property("reg").and_then(NodeProperty::as_usize);
        found.cpus += 1;
        for (index, core) in plan.cores().iter().enumerate() {
            if mpidr == Some(core.mpidr as usize) {
                found.planned_cpus |= 1 << (index & 63);
            }
        }
    } else if named("intc@") || named("interrupt-controller@") {
        if is(node, b"arm,gic-v3") {
            found.gic_version = 3;
        } else if is(node, b"arm,cortex-a15-gic") || is(node, b"arm,gic-400") {
            found.gic_version = 2;
        } else {
            return;
        }
        let Some(regions) = node.reg() else { return };
        for (slot, region) in found.gic.iter_mut().zip(regions) {
            *slot = region.starting_address as u64;
        }
    } else if (named("pl011@") || named("serial@")) && is(node, b"arm,pl011") {
        let base = node
            .reg()
            .and_then(|mut reg| reg.next())
            .map(|region| region.starting_address as u64);
        found.uart |= base == Some(machine.uart.base);
        // Where the plan's UART is missing, a refusal goes to one that is there.
        if let (false, Some(base)) = (found.uart, base) {
            UART.store(base, Relaxed);
        }
    } else if named("psci") {
        found.psci |= node
            .property("method")
            .is_some_and(|method| method.value == b"smc\0");
    } else if named("chosen") {
        found.nonce = node.property("bootargs").and_then(nonce).unwrap_or(0);
    }
}

/// Whether `compatible`, a list of zero-terminated strings, holds `name`.
fn is(node: FdtNode, name: &[u8]) -> bool {
    let list = node
        .property("compatible")
        .map_or(&[][..], |property| property.value);
    list.split(|&byte| byte == 0).any(|one| one == name)
}

/// The 16 hex digits behind [`NONCE`].
fn nonce(bootargs: NodeProperty) -> Option<u64> {
    let start = bootargs
        .value
        .windows(NONCE.len())
        .position(|window| window == NONCE)?
        + NONCE.len();
    let digits = bootargs.value.get(start..start + 16)?;
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
            refuse::power_off_with(&mut line)
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
    let intids = gic::intids(machine.gicd.base);
    if intids < machine.intids {
        refuse!(str "GIC: the plan needs ", dec machine.intids.into(),
            str " INTIDs, the machine has ", dec intids.into())
    }
}
