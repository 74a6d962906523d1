//! EL2 maps on each core what it needs there and never another partition's memory; nothing is both
//! writable and executable. Each core has two translations: while its guest runs, and while it
//! loads its partition.

use plan::{PAGE, Range};

use super::{Context, paged};
use crate::board::GICR_SIZE;
use crate::compare::{Mapping, compare};
use crate::finding::{Claim, Findings};
use crate::places::{Places, segment_name};
use crate::ranges::merged;
use crate::registers;
use crate::walk::Leaf;

/// One core's translation.
pub struct El2Map {
    /// Index of the core.
    pub core: usize,
    /// Whether it is the translation in use while the core loads.
    pub load: bool,
    /// The ranges that it maps.
    pub leaves: Vec<Leaf>,
}

/// Checks both translations of every core; returns what they map.
pub fn check(context: &Context<'_>, places: &Places, findings: &mut Findings) -> Vec<El2Map> {
    let cores = 0..context.cores.len();
    let declared: Vec<_> = cores
        .flat_map(|core| {
            let run = running(context, core);
            let load = [run.clone(), loading(context, core)].concat();
            [(core, false, run), (core, true, load)]
        })
        .collect();
    let all = declared.iter().flat_map(|(_, _, list)| list);
    let end = all.map(|m| m.input.saturating_add(m.size)).max().unwrap_or(0);
    let mut maps = Vec::new();
    for (core, load, mut declared) in declared {
        let row = &context.image.cores[core].row;
        let (root, word) = match load {
            true => (row.ttbr_load, "loads"),
            false => (row.ttbr_run, "runs"),
        };
        let name = format!("EL2 on {} while it {word}", context.core_name(core));
        let who = vec!["EL2".to_string(), context.name(context.owner(core).0).to_string()];
        let (tcr, board) = (context.image.header.tcr, context.board());
        let named = (name, who);
        let Some(regime) = registers::el2_regime(tcr, root, end, board, named, findings) else {
            continue;
        };
        let leaves = regime.walk(context.image, findings);
        compare(Claim::El2Map, &regime, &mut declared, &leaves, places, findings);
        maps.push(El2Map { core, load, leaves });
    }
    maps
}

/// Returns what a core's EL2 always maps.
fn running(context: &Context<'_>, core: usize) -> Vec<Mapping> {
    let image = context.image;
    let header = &image.header;
    let row = &image.cores[core].row;
    let (p, _, _) = context.owner(core);
    let normal = |at: Range, rights, what: &str| Mapping::normal(at.base, at, rights, what);
    let mut list = Vec::new();
    for segment in &context.inputs.el2.segments {
        let at = Range { base: header.el2_base.wrapping_add(segment.offset), size: segment.size };
        list.push(normal(at, segment.rights, segment_name(segment.rights)));
    }
    let plan = Range { base: image.plan_base(), size: image.plan.len() as u64 };
    list.push(normal(plan, "r--", "the plan"));
    // The first page stays unmapped, so that a stack which grows too far faults.
    let private = Range {
        base: row.private.base.wrapping_add(PAGE),
        size: row.private.size.saturating_sub(PAGE),
    };
    list.push(normal(private, "rw-", "its own private region"));
    let state = format!("EL2's state of {}", context.name(p));
    list.push(normal(image.partitions[p].row.state, "rw-", &state));
    list.push(normal(header.shared, "rw-", "EL2's shared region"));
    if context.manifest().crash_records {
        list.push(normal(header.records, "rw-", "EL2's crash records"));
    }
    for end in context.ends.iter().filter(|end| end.partition == p) {
        if let Some(table) = context.state_table(*end) {
            let what = format!("the state table of {}", context.channel_name(*end));
            list.push(normal(table, "rw-", &what).non_cacheable());
        }
    }

    let gic = &context.board().gic[0];
    list.push(Mapping::device(paged(gic.gicd), "the distributor"));
    if gic.version == 3 {
        let own = Range {
            base: gic.gicr.base + u64::from(context.cores[core]) * GICR_SIZE,
            size: GICR_SIZE,
        };
        list.push(Mapping::device(own, "its own redistributor"));
    } else {
        list.push(Mapping::device(paged(gic.gicc), "the GIC's CPU interface"));
        list.push(Mapping::device(paged(gic.gich), "the GIC's virtual interface control"));
    }
    if context.cores[core] == context.manifest().console_core {
        let uart = paged(context.board().console.regs);
        list.push(Mapping::device(uart, "the console's UART"));
        for page in context.board().running_pages() {
            list.push(Mapping::device(page, "a register that ends the machine"));
        }
    }
    list
}

/// Returns what it maps in addition while it loads: each core of a partition loads a share of it.
fn loading(context: &Context<'_>, core: usize) -> Vec<Mapping> {
    let (p, _, _) = context.owner(core);
    let name = context.name(p);
    let row = &context.image.partitions[p];
    let mut list = Vec::new();
    for piece in &row.memory {
        let at = Range { base: piece.base.0, size: piece.size };
        list.push(Mapping::normal(at.base, at, "rw-", format!("memory of {name}")));
    }
    for end in context.ends.iter().filter(|end| end.partition == p) {
        if let Some(at) = context.region(*end) {
            let what = format!("pages of {}", context.direction(*end));
            list.push(Mapping::normal(at.base, at, "rw-", what));
        }
    }
    for device in context.quiesced(p) {
        list.push(Mapping::device(paged(device.regs), format!("device {}", device.name)));
    }
    let sources = row.loads.iter().filter(|load| load.size > 0);
    let sources = sources.map(|load| paged(Range { base: load.source, size: load.size }));
    for at in merged(&sources.collect::<Vec<_>>()) {
        let what = format!("pristine images of {name}");
        list.push(Mapping::normal(at.base, at, "r--", what));
    }
    list
}
