// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules on partition memory: guest addresses and physical ones.

use plan::PAGE;

use super::{inside, overlap, pair, pairs, span_of};
use crate::decode::At;
use crate::guest_machine::{GICC, GICD, GICR, GICR_SIZE, PL011};
use crate::pieces::{DEFAULT_IPA, Memory};
use crate::raw::{Manifest, Partition};
use crate::report::Finding;
use crate::system::Board;
use crate::words::{address, bytes};

/// Returns the first multiple of 2 MiB beyond all ranges.
fn behind(ranges: impl Iterator<Item = (u64, u64)>) -> u64 {
    let ends = ranges.map(|(base, size)| base.saturating_add(size));
    let end = ends.max().unwrap_or(0);
    end.checked_next_multiple_of(2 << 20).unwrap_or(end)
}

/// Returns how many addresses two ranges have in common.
fn common((a, a_size): (u64, u64), (b, b_size): (u64, u64)) -> u64 {
    let end = a.saturating_add(a_size).min(b.saturating_add(b_size));
    end.saturating_sub(a.max(b))
}

/// Pieces with a fixed physical address: owner, the address as written, range.
fn fixed(m: &Manifest) -> Vec<(&Partition, &At<u64>, (u64, u64))> {
    let pieces = m.partitions.iter().flat_map(|p| p.pieces().map(move |piece| (p, piece)));
    pieces
        .filter_map(|(partition, (piece, _, size))| {
            let physical = piece.physical.as_ref()?;
            Some((partition, physical, (*physical.get_ref(), size)))
        })
        .collect()
}

pub fn memory_none(m: &Manifest) -> Vec<Finding> {
    let lists = m.partitions.iter().filter_map(|p| Some((p, p.memory.as_ref()?)));
    lists
        .filter(|(_, memory)| memory.get_ref().is_empty())
        .map(|(partition, memory)| {
            let title = format!("{} has no memory", partition.label());
            Finding::new(memory.span(), title, "this is empty")
                .help("write at least one piece: `memory = [{ size = \"32MiB\" }]`")
        })
        .collect()
}

pub fn memory_rom_first(m: &Manifest) -> Vec<Finding> {
    let firsts = m.partitions.iter().filter_map(|partition| {
        let first = partition.memory.as_ref()?.get_ref().first()?;
        let rom = first.rom.as_ref().filter(|rom| *rom.get_ref())?;
        Some((partition, rom))
    });
    firsts
        .map(|(partition, rom)| {
            let title = format!("{}'s first piece of memory is a ROM", partition.label());
            Finding::new(rom.span(), title, "the device tree goes here")
                .help("write a piece of RAM before it: `{ size = \"32MiB\" }`")
        })
        .collect()
}

pub fn memory_empty(m: &Manifest) -> Vec<Finding> {
    let pieces = m.partitions.iter().flat_map(Partition::pieces);
    pieces
        .filter(|(_, _, size)| *size == 0)
        .filter_map(|(piece, _, _)| piece.size.as_ref())
        .map(|size| {
            Finding::new(size.span(), "a piece of memory is empty", "0 bytes")
                .help("write its size, or remove the piece")
        })
        .collect()
}

pub fn memory_unaligned(m: &Manifest) -> Vec<Finding> {
    let pieces =
        m.partitions.iter().filter_map(|p| p.memory.as_ref()).flat_map(|memory| memory.get_ref());
    let values = pieces.flat_map(|Memory { ipa, size, physical, .. }| {
        [("ipa", ipa), ("size", size), ("physical", physical)]
    });
    values
        .filter_map(|(key, value)| Some((key, value.as_ref()?)))
        .filter(|(_, value)| value.get_ref() % PAGE != 0)
        .map(|(key, value)| {
            let up = value.get_ref().checked_next_multiple_of(PAGE);
            let (way, near) = match up {
                Some(up) => ("up", up),
                None => ("down", value.get_ref() / PAGE * PAGE),
            };
            let title = format!("`{key}` is not a multiple of 4 KiB, a page");
            Finding::new(value.span(), title, format!("{} over", bytes(value.get_ref() % PAGE)))
                .help(format!("round it {way}: `{key} = {}`", address(near)))
        })
        .collect()
}

pub fn memory_overlap(m: &Manifest) -> Vec<Finding> {
    let mut found = Vec::new();
    for partition in &m.partitions {
        let pieces: Vec<_> = partition.pieces().collect();
        let place = |(_, ipa, size): &(&Memory, u64, u64)| (*ipa, *size);
        let mut free = behind(pieces.iter().map(place));
        for (index, second) in pieces.iter().enumerate() {
            let mut before = pieces[..index].iter();
            let Some(first) = before.find(|first| overlap(place(first), place(second))) else {
                continue;
            };
            let title = format!("two pieces of {}'s memory overlap", partition.label());
            found.push(
                Finding::new(second.0.span.clone(), title, span_of(place(second)))
                    .other(first.0.span.clone(), span_of(place(first)))
                    .help(format!("move it: `ipa = {}` is after all of them", address(free))),
            );
            free = behind([(free, second.2)].into_iter());
        }
    }
    found
}

pub fn memory_on_device(m: &Manifest, board: &Board) -> Vec<Finding> {
    let mut found = Vec::new();
    for partition in &m.partitions {
        let vcpus = partition.vcpus.as_ref().map_or(0, |vcpus| vcpus.get_ref().len() as u64);
        let mut taken = vec![
            ("the GIC's distributor", pair(&GICD)),
            // These addresses are taken with each of the board's GICs.
            ("the GIC's CPU interface", pair(&GICC)),
            ("the GIC's redistributors", (GICR, vcpus.saturating_mul(GICR_SIZE))),
        ];
        if partition.console {
            taken.push(("the console's PL011", pair(&PL011)));
        }
        let passed = board
            .devices
            .iter()
            .filter(|device| partition.devices.iter().any(|name| *name.get_ref() == device.name));
        taken.extend(passed.map(|device| (device.name.as_str(), pair(&device.regs))));
        let pieces = partition.pieces().map(|(_, ipa, size)| (ipa, size));
        let devices = taken.iter().map(|(_, range)| *range);
        let mut free = behind(pieces.chain(devices).chain([(DEFAULT_IPA, 0)]));
        for (piece, ipa, size) in partition.pieces() {
            // One overlap is enough to require a move.
            let mut hits = taken.iter();
            if let Some((what, range)) = hits.find(|(_, range)| overlap((ipa, size), *range)) {
                let title = format!("{}'s memory overlaps {what}", partition.label());
                found.push(
                    Finding::new(piece.span.clone(), title, span_of((ipa, size)))
                        .note(format!("a guest sees {what} at {}", span_of(*range)))
                        .help(format!(
                            "move the memory: `ipa = {}` is after all of them",
                            address(free)
                        )),
                );
                free = behind([(free, size)].into_iter());
            }
        }
    }
    found
}

pub fn memory_too_high(m: &Manifest, board: &Board) -> Vec<Finding> {
    let limit = 1u64.checked_shl(board.pa_bits).unwrap_or(u64::MAX);
    let pieces = m.partitions.iter().flat_map(Partition::pieces);
    pieces
        .filter(|(_, ipa, size)| !inside((*ipa, *size), (0, limit)))
        .map(|(piece, ipa, size)| {
            let title = format!("the memory ends beyond what a core of {} can address", board.name);
            Finding::new(piece.span.clone(), title, span_of((ipa, size))).help(format!(
                "stay below {}: addresses have {} bits there",
                address(limit),
                board.pa_bits
            ))
        })
        .collect()
}

pub fn physical_outside_ram(m: &Manifest, board: &Board) -> Vec<Finding> {
    fixed(m)
        .into_iter()
        .filter(|(_, _, range)| !board.ram.iter().any(|ram| inside(*range, pair(ram))))
        .map(|(partition, physical, range)| {
            let ram: Vec<String> = board.ram.iter().map(|ram| span_of(pair(ram))).collect();
            let title =
                format!("{}'s memory is outside the RAM of {}", partition.label(), board.name);
            Finding::new(physical.span(), title, span_of(range))
                .note(format!("its RAM: {}", ram.join(", ")))
                .help("leave `physical` out: the planner finds a place")
        })
        .collect()
}

pub fn physical_reserved(m: &Manifest, board: &Board) -> Vec<Finding> {
    let mut found = Vec::new();
    for (partition, physical, range) in fixed(m) {
        for kept in board.reserved.iter().filter(|kept| overlap(range, pair(kept))) {
            let title =
                format!("{}'s memory overlaps the firmware of {}", partition.label(), board.name);
            found.push(
                Finding::new(physical.span(), title, span_of(range))
                    .note(format!("the firmware keeps {}", span_of(pair(kept))))
                    .help("leave `physical` out: the planner finds a place"),
            );
        }
    }
    found
}

pub fn physical_overlap(m: &Manifest) -> Vec<Finding> {
    let fixed = fixed(m);
    pairs(&fixed)
        .filter(|((_, _, a), (_, _, b))| overlap(*a, *b))
        .map(|((first, first_at, a), (second, second_at, b))| {
            let title = format!("{} and {} get the same memory", first.label(), second.label());
            Finding::new(second_at.span(), title, format!("{}: {}", second.label(), span_of(*b)))
                .other(first_at.span(), format!("{}: {}", first.label(), span_of(*a)))
                .help("move one, or leave `physical` out: the planner finds a place")
        })
        .collect()
}

pub fn memory_exceeds_board(m: &Manifest, board: &Board) -> Vec<Finding> {
    let total = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(0, u64::saturating_add);
    let ram = total(&mut board.ram.iter().map(|range| range.size));
    let mut kept = board.reserved.iter().flat_map(|kept| {
        let common = |ram| common(pair(kept), pair(ram));
        board.ram.iter().map(common)
    });
    let there = ram.saturating_sub(total(&mut kept));
    let mut takes = Vec::new();
    for partition in &m.partitions {
        let size = partition.pieces().fold(0u64, |sum, (_, _, size)| sum.saturating_add(size));
        takes.push((partition.label(), size));
    }
    let data = m.channels.iter().filter_map(|channel| channel.bytes.as_ref());
    let channels = data.flat_map(|bytes| bytes.get_ref()).flatten().fold(0u64, |sum, bytes| {
        // Each direction has a page of indices before its data.
        sum.saturating_add(*bytes.get_ref()).saturating_add(PAGE)
    });
    takes.push(("channels", channels));
    let asked = takes.iter().fold(0u64, |sum, (_, size)| sum.saturating_add(*size));
    let Some(board_name) = m.board.as_ref().filter(|_| asked > there) else {
        return Vec::new();
    };
    let takes: Vec<String> =
        takes.iter().map(|(who, size)| format!("{who} {}", bytes(*size))).collect();
    let title =
        format!("the system asks for {} more than {} has", bytes(asked - there), board.name);
    let finding =
        Finding::new(board_name.span(), title, format!("{} for partitions", bytes(there)));
    let finding = m.partitions.iter().filter_map(|p| Some((p, p.memory.as_ref()?))).fold(
        finding,
        |finding, (partition, memory)| {
            finding.other(memory.span(), format!("{}'s", partition.label()))
        },
    );
    vec![
        finding
            .note(format!("asked for: {}", takes.join(", ")))
            .help("make one of them smaller, and leave at least 2 MiB for EL2 and its image"),
    ]
}
