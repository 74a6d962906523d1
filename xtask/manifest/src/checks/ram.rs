// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules on RAM that a manifest gives in place of its board's least.

use plan::PAGE;

use super::{inside, overlap, pair, pairs, span_of};
use crate::decode::At;
use crate::raw::Manifest;
use crate::report::Finding;
use crate::system::{Board, Range};
use crate::words::count;

/// Ranges that could be read: base and size as written.
fn ranges(m: &Manifest) -> impl Iterator<Item = (&At<u64>, &At<u64>)> {
    let ranges = m.ram.iter();
    ranges.filter_map(|ram| Some((ram.base.as_ref()?, ram.size.as_ref()?)))
}

fn value((base, size): (&At<u64>, &At<u64>)) -> (u64, u64) {
    (*base.get_ref(), *size.get_ref())
}

pub fn ram_range(m: &Manifest, board: &Board) -> Vec<Finding> {
    let limit = 1u64.checked_shl(board.pa_bits).unwrap_or(u64::MAX);
    ranges(m)
        .filter_map(|(base, size)| {
            let (at, bytes) = (*base.get_ref(), *size.get_ref());
            let label = if bytes == 0 || (at | bytes) % PAGE != 0 {
                "base and size are multiples of 4 KiB, above 0".into()
            } else if !inside((at, bytes), (0, limit)) {
                format!("addresses have {} bits there", board.pa_bits)
            } else {
                return None;
            };
            let title = format!("{} cannot have this range of RAM", board.name);
            let place = match at.is_multiple_of(PAGE) {
                true => size.span(),
                false => base.span(),
            };
            Some(Finding::new(place, title, span_of((at, bytes))).note(label).help(
                "write the ranges that the machine has, or leave `ram` out to use only the RAM \
                 that every such board has",
            ))
        })
        .collect()
}

pub fn ram_overlap(m: &Manifest) -> Vec<Finding> {
    let ranges: Vec<_> = ranges(m).collect();
    pairs(&ranges)
        .filter(|(one, other)| overlap(value(**one), value(**other)))
        .map(|(first, second)| {
            let title = "two ranges of RAM overlap";
            Finding::new(second.0.span(), title, span_of(value(*second)))
                .other(first.0.span(), span_of(value(*first)))
                .help("list each address once: memory listed twice would be counted twice")
        })
        .collect()
}

pub fn ram_on_device(m: &Manifest, board: &Board) -> Vec<Finding> {
    let mut known = vec![("the console's UART", board.uart.0)];
    for gic in &board.gics {
        known.extend([
            ("the GIC's distributor", gic.gicd),
            ("the GIC's redistributors", gic.gicr),
            ("the GIC's CPU interface", gic.gicc),
            ("the GIC's virtual interface control", gic.gich),
            ("the GIC's virtual CPU interface", gic.gicv),
        ]);
    }
    let names = plan::writes::KEYS.map(|key| format!("a register of `{key}`"));
    known.extend(names.iter().zip(&board.writes).flat_map(|(name, writes)| {
        let page = |address| Range { base: address & !(PAGE - 1), size: PAGE };
        writes.iter().map(move |&(address, _)| (name.as_str(), page(address)))
    }));
    let devices = board.devices.iter();
    known.extend(devices.map(|device| (device.name.as_str(), device.regs)));
    let mut found = Vec::new();
    for range in ranges(m) {
        let hit = |(_, device): &&(&str, Range)| overlap(value(range), pair(device));
        let mut hits = known.iter().filter(hit);
        let Some((what, device)) = hits.next() else {
            continue;
        };
        let title = format!("{} has {what} there, not RAM", board.name);
        let mut finding = Finding::new(range.0.span(), title, span_of(value(range)))
            .note(format!("{what} is at {}", span_of(pair(device))));
        let more = hits.count();
        if more > 0 {
            finding = finding.note(format!("also in this range: {}", count(more, "more device")));
        }
        found.push(finding.help("list only ranges that are RAM; leave out gaps and devices"));
    }
    found
}
