//! A guest can access its memory, its channel pages and its devices with the declared rights, and
//! nothing else.

use plan::{Ipa, PAGE, Pa, Range};

use super::{Context, Emulated, GUEST_GICC, paged};
use crate::compare::{Mapping, compare};
use crate::finding::{Claim, Findings, range};
use crate::manifest::Kind;
use crate::places::Places;
use crate::ranges::end;
use crate::registers;
use crate::walk::Leaf;

/// Checks a partition's memory rows and its stage 2; returns what stage 2 maps.
pub fn check(
    context: &Context<'_>,
    p: usize,
    places: &Places,
    findings: &mut Findings,
) -> Option<Vec<Leaf>> {
    memory(context, p, findings);
    let name = context.name(p);
    let mut declared = mappings(context, p);
    let emulated = context.emulated(p);
    for Emulated { what, range: emulated, .. } in &emulated {
        let hit = |m: &&Mapping| {
            m.input < end(*emulated) && emulated.base < m.input.saturating_add(m.size)
        };
        for mapping in declared.iter().filter(hit) {
            let place = format!("IPA {}", range(mapping.input, mapping.size));
            let what = format!("{} overlaps {what}", mapping.what);
            findings.add(Claim::Stage2, place, &[name], what);
        }
    }
    let mapped = declared.iter().map(|m| m.input.saturating_add(m.size));
    let last = mapped.chain(emulated.iter().map(|device| end(device.range)));
    let end = last.max().unwrap_or(0);
    let place = context.core_name(context.core_of(p, 0));
    let core = context.core_row(p, 0);
    let regime = registers::guest_regime(core, end, context.board(), &place, name, findings)?;
    let leaves = regime.walk(context.image, findings);
    compare(Claim::Stage2, &regime, &mut declared, &leaves, places, findings);
    Some(leaves)
}

/// Checks that the rows of a partition's memory are the manifest's.
fn memory(context: &Context<'_>, p: usize, findings: &mut Findings) {
    let declared = &context.manifest().partition[p].memory;
    let rows = &context.image.partitions[p].memory;
    let who = [context.name(p)];
    let of = |n: usize| format!("memory row {n} of partition {}", context.name(p));
    let what = "the number of pieces of memory";
    findings.expect(Claim::Stage2, of(0), &who, what, rows.len(), declared.len());
    for (n, (row, must)) in rows.iter().zip(declared).enumerate() {
        let (ipa, base) = (Ipa(must.ipa()), must.physical.map_or(row.base, Pa));
        findings.expect(Claim::Stage2, of(n), &who, "the guest address", row.ipa, ipa);
        findings.expect(Claim::Stage2, of(n), &who, "the size", row.size, must.size.0);
        findings.expect(Claim::Stage2, of(n), &who, "the physical address", row.base, base);
    }
}

fn mappings(context: &Context<'_>, p: usize) -> Vec<Mapping> {
    let name = context.name(p);
    let mut list = Vec::new();
    let declared = &context.manifest().partition[p].memory;
    for (n, row) in context.image.partitions[p].memory.iter().enumerate() {
        let at = Range { base: row.base.0, size: row.size };
        // A row that no piece declares is reported by `memory`.
        let rights = match declared.get(n).map(|piece| piece.kind) {
            Some(Kind::Rom) => "r-x",
            _ => "rwx",
        };
        list.push(Mapping::normal(row.ipa.0, at, rights, format!("memory of {name}")));
    }
    for (end, row) in context.ends_of(p) {
        for (end, ipa, rights) in [(end, row.tx_ipa, "rw-"), (context.peer(end), row.rx_ipa, "r--")]
        {
            if let Some(region) = context.region(end) {
                let what = format!("pages of {}", context.direction(end));
                let pages = Mapping::normal(ipa, region, rights, what);
                let function = context.manifest().channel[end.channel].has_function();
                list.push(if function { pages.non_cacheable() } else { pages });
            }
        }
        if let (Some(view), Some(table)) = (context.view(end), context.state_table(end)) {
            let what = format!("the state table of {}", context.channel_name(end));
            list.push(Mapping::normal(view.shared, table, "r--", what).non_cacheable());
        }
    }
    for device in context.devices(p) {
        let what = format!("device {}", device.name);
        list.push(Mapping::device(paged(device.regs), what));
    }
    let gic = &context.board().gic[0];
    if gic.version == 2 {
        // Only the first page is mapped: EL2 emulates the second one, which has only GICV_DIR.
        let gicv = Range { size: gic.gicv.size.min(PAGE), ..gic.gicv };
        list.push(Mapping {
            input: GUEST_GICC.base,
            ..Mapping::device(gicv, "the GIC's virtual CPU interface")
        });
    }
    list
}

/// Checks that devices that write memory by DMA are passed through only where the manifest trusts
/// them, because there is no SMMU to confine them, and only to partitions whose guest addresses
/// equal their physical addresses. Returns the trusted devices: no other claim confines them.
pub fn check_devices(context: &Context<'_>, findings: &mut Findings) -> Vec<String> {
    let mut trusted = Vec::new();
    for (p, declared, row) in context.partitions() {
        for device in context.devices(p).filter(|device| device.dma) {
            let place = format!("physical {}", range(device.regs.base, device.regs.size));
            let name = &device.name;
            let who = [context.name(p)];
            if declared.dma.is_none() {
                let what = format!(
                    "device {name} writes memory by DMA, and there is no SMMU that confines it: it \
                     reaches all of RAM"
                );
                findings.add(Claim::Ownership, place, &who, what);
                continue;
            }
            for piece in row.memory.iter().filter(|piece| piece.ipa.0 != piece.base.0) {
                let what = format!(
                    "device {name} uses guest addresses as physical addresses, but {:#x} is at \
                     {:#x}",
                    piece.ipa, piece.base
                );
                findings.add(Claim::Ownership, &place, &who, what);
            }
            trusted.push(format!(
                "device {name} of {}: it writes memory by DMA and reaches all of RAM",
                who[0]
            ));
        }
    }
    trusted
}

/// Checks that each partition clears, before any guest runs, exactly the pages that it writes.
pub fn check_clears(context: &Context<'_>, findings: &mut Findings) {
    for (p, _, row) in context.partitions() {
        let regions = context.ends.iter().filter(|end| end.partition == p);
        let mut must: Vec<_> = regions.filter_map(|&end| context.region(end)).collect();
        let mut found = row.clears.clone();
        for list in [&mut must, &mut found] {
            list.sort_by_key(|range| (range.base, range.size));
        }
        if found != must {
            let shown = |list: &[Range]| {
                let list: Vec<_> = list.iter().map(|r| range(r.base, r.size)).collect();
                list.join(" ")
            };
            let what = format!(
                "before any guest runs, its core clears {}, must be the channel pages that it \
                 writes: {}",
                shown(&found),
                shown(&must)
            );
            let place = format!("clears of partition {}", context.name(p));
            findings.add(Claim::Start, place, &[context.name(p)], what);
        }
    }
}
