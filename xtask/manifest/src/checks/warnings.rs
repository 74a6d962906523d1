// SPDX-License-Identifier: MIT OR Apache-2.0
//! Warnings on what is legal but unwise, given for manifests without errors.

use std::collections::BTreeMap;

use plan::{CLASS_COMM, CLASS_COMPUTE, PAGE};

use super::cores::{join, vcpus};
use crate::pieces::Memory;
use crate::raw::{Manifest, Partition};
use crate::report::Finding;
use crate::resolve::split_end;
use crate::system::Board;
use crate::words::address;
use crate::words::count;

/// Bytes that one entry of a level-2 table maps.
const BLOCK: u64 = 2 << 20;

/// vCPUs of `class`: their partition, their number, their core's number and its place in the file.
fn of_class(
    m: &Manifest,
    class: u32,
) -> impl Iterator<Item = (&Partition, usize, u64, std::ops::Range<usize>)> {
    vcpus(m).filter_map(move |(partition, number, vcpu, core)| {
        let is = vcpu.class.as_ref()?.get_ref() == &class;
        is.then(|| (partition, number, *core.get_ref(), core.span()))
    })
}

pub fn shared_cluster(m: &Manifest, board: &Board) -> Vec<Finding> {
    // A manifest that sets the key shows that its author knows of the risk.
    if m.mixed_clusters.is_some() {
        return Vec::new();
    }
    let cluster = |core: u64| board.cores.get(core as usize).map(|core| core.cluster);
    let mut clusters: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for compute in of_class(m, CLASS_COMPUTE) {
        clusters.entry(cluster(compute.2)).or_default().push(compute);
    }
    let mut found = Vec::new();
    for (shared, computing) in clusters {
        let comm: Vec<_> =
            of_class(m, CLASS_COMM).filter(|comm| cluster(comm.2) == shared).collect();
        let Some((first, rest)) = computing.split_first().filter(|_| !comm.is_empty()) else {
            continue;
        };
        let title = format!(
            "compute {} and comm {} share an L2",
            cores(computing.iter().map(|vcpu| vcpu.2)),
            cores(comm.iter().map(|vcpu| vcpu.2))
        );
        let label = |vcpu: &(&Partition, usize, u64, _), what| {
            format!("{}/{} has the class {what}", vcpu.0.label(), vcpu.1)
        };
        let finding = Finding::new(first.3.clone(), title, label(first, "compute"));
        let finding = rest
            .iter()
            .fold(finding, |finding, vcpu| finding.other(vcpu.3.clone(), label(vcpu, "compute")));
        let finding = comm
            .iter()
            .fold(finding, |finding, vcpu| finding.other(vcpu.3.clone(), label(vcpu, "comm")));
        let elsewhere = (0..board.cores.len() as u64).filter(|&core| {
            cluster(core) != shared && vcpus(m).all(|(.., taken)| *taken.get_ref() != core)
        });
        found.push(finding.help(match join(elsewhere) {
            none if none.is_empty() => format!(
                "{} has no free core in another cluster: write `mixed-clusters = \"allow\"` to \
                 accept this",
                board.name
            ),
            free => format!("free cores of other clusters: {free}"),
        }));
    }
    found
}

/// `core 1` or `cores 1, 2`.
fn cores(numbers: impl Iterator<Item = u64>) -> String {
    let list = join(numbers);
    let plural = if list.contains(',') { "s" } else { "" };
    format!("core{plural} {list}")
}

pub fn comm_idle(m: &Manifest, _: &Board) -> Vec<Finding> {
    let ends: Vec<(&str, usize)> = m
        .channels
        .iter()
        .filter_map(|channel| channel.ends.as_ref())
        .flat_map(|ends| ends.get_ref())
        .flatten()
        .filter_map(|end| split_end(end.get_ref()))
        .collect();
    let console = m.console_core.as_ref().map(|core| *core.get_ref());
    of_class(m, CLASS_COMM)
        .filter(|(partition, number, core, _)| {
            Some(*core) != console && !ends.contains(&(partition.label(), *number))
        })
        .map(|(partition, number, core, place)| {
            let title = format!("comm core {core} has no channel");
            let label = format!("{}/{number} is not an end of a channel", partition.label());
            Finding::new(place, title, label).help(
                "write `class = \"compute\"`: then no neighbour can interrupt it, also after a \
                 later mistake",
            )
        })
        .collect()
}

/// Returns how many pages of a piece of memory no 2 MiB block can map, the key that causes it, and
/// the value to write instead.
fn small_pages(piece: &Memory, ipa: u64, size: u64) -> Option<(u64, &'static str, u64)> {
    let physical = piece.physical.as_ref().map_or(ipa, |at| *at.get_ref());
    let all = size / PAGE;
    let (from, to) = (ipa.next_multiple_of(BLOCK), (ipa + size) / BLOCK * BLOCK);
    if ipa % BLOCK != physical % BLOCK {
        let wanted = physical - physical % BLOCK + ipa % BLOCK;
        Some((all, "physical", wanted))
    } else if !ipa.is_multiple_of(BLOCK) {
        let blocks = to.saturating_sub(from) / PAGE;
        Some((all - blocks, "ipa", ipa - ipa % BLOCK))
    } else if !size.is_multiple_of(BLOCK) {
        Some((size % BLOCK / PAGE, "size", size.next_multiple_of(BLOCK)))
    } else {
        None
    }
}

pub fn small_mappings(m: &Manifest, _: &Board) -> Vec<Finding> {
    let pieces = m
        .partitions
        .iter()
        .flat_map(|partition| partition.pieces().map(move |piece| (partition, piece)));
    pieces
        .filter_map(|(partition, (piece, ipa, size))| {
            let (pages, key, wanted) = small_pages(piece, ipa, size)?;
            let title = format!(
                "{} of {}'s memory cannot be mapped by 2 MiB blocks",
                count(pages as usize, "page"),
                partition.label()
            );
            let (place, label) = match key {
                "physical" => (&piece.physical, "this and `ipa` differ modulo 2 MiB"),
                "ipa" => (&piece.ipa, "not a multiple of 2 MiB"),
                _ => (&piece.size, "not a multiple of 2 MiB"),
            };
            // Other rules check whether the memory fits at the suggested address.
            let help = match key {
                "size" => format!("write `size = \"{}MiB\"`, if there is enough RAM", wanted >> 20),
                "ipa" => format!(
                    "start at a multiple, such as {} or {}; what is loaded there moves with it",
                    address(wanted),
                    address(wanted.saturating_add(BLOCK))
                ),
                _ => format!("write `{key} = {}`", address(wanted)),
            };
            Some(Finding::new(place.as_ref()?.span(), title, label).help(help))
        })
        .collect()
}

pub fn rate_unlimited(m: &Manifest, _: &Board) -> Vec<Finding> {
    let mut found = Vec::new();
    for channel in &m.channels {
        let (Some(ends), Some(rates)) = (&channel.ends, &channel.rates) else {
            continue;
        };
        let names: Vec<&str> =
            ends.get_ref().iter().flatten().map(|end| end.get_ref().as_str()).collect();
        for (index, rate) in rates.get_ref().iter().flatten().enumerate() {
            let (Some(from), Some(to)) = (names.get(index), names.get(1 - index.min(1))) else {
                continue;
            };
            if rate.get_ref().per_second == 0 {
                let title = format!("{from} may ring {to} without limit");
                found.push(
                    Finding::new(rate.span(), title, format!("each doorbell interrupts {to}"))
                        .help("write the rate that it needs, with a margin: `per-second = 10000`"),
                );
            }
        }
    }
    found
}
