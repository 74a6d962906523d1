//! Rules on where programs, device trees and initial RAM disks go in a partition's memory.

use std::ops::Range;

use plan::PAGE;

use super::{inside, overlap, pairs, span_of};
use crate::manifest::programs::Program;
use crate::manifest::raw::{Manifest, Partition};
use crate::manifest::report::{Finding, address, bytes};
use crate::system::{Image, Segment};

/// Each partition with its program.
fn both<'a>(
    m: &'a Manifest,
    programs: &'a [Program],
) -> impl Iterator<Item = (&'a Partition, &'a Program)> {
    m.partitions.iter().zip(programs)
}

/// Partitions with a readable image: itself, the image, and where the manifest names it.
fn images<'a>(
    m: &'a Manifest,
    programs: &'a [Program],
) -> impl Iterator<Item = (&'a Partition, &'a Image, Range<usize>)> {
    both(m, programs).filter_map(|(partition, program)| {
        let named = partition.image.as_ref()?.get_ref().kinds.first()?.1.span();
        Some((partition, program.image.as_ref()?, named))
    })
}

/// The addresses a segment fills.
fn filled(segment: &Segment) -> (u64, u64) {
    (
        segment.ipa,
        (segment.bytes.len() as u64).saturating_add(segment.clear),
    )
}

/// A partition's memory for people.
fn memory_of(partition: &Partition) -> String {
    let pieces: Vec<String> = partition
        .pieces()
        .map(|(_, ipa, size)| span_of((ipa, size)))
        .collect();
    format!("{}'s memory is {}", partition.label(), pieces.join(", "))
}

/// What to give a partition that needs so many bytes for all but its device tree.
fn at_least(partition: &Partition, need: u64) -> String {
    let with_tree = need.saturating_add(4 * PAGE);
    let whole = with_tree.checked_next_multiple_of(1 << 20);
    format!(
        "give {} at least {}",
        partition.label(),
        bytes(whole.unwrap_or(with_tree))
    )
}

pub fn image_outside_memory(m: &Manifest, programs: &[Program]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (partition, image, named) in images(m, programs) {
        for (number, segment) in image.segments.iter().enumerate() {
            let place = filled(segment);
            let mut pieces = partition.pieces();
            if !partition.memory_is_known()
                || pieces.any(|(_, ipa, size)| inside(place, (ipa, size)))
            {
                continue;
            }
            let begun = partition
                .pieces()
                .find(|(_, ipa, size)| inside((place.0, 0), (*ipa, *size)));
            let (label, help) = match begun {
                Some((_, ipa, size)) => {
                    let over = place.0.saturating_add(place.1) - ipa.saturating_add(size);
                    let label = format!(
                        "segment {number}, {}, is {} too long",
                        span_of(place),
                        bytes(over)
                    );
                    (label, at_least(partition, size.saturating_add(over)))
                }
                None => (
                    format!("segment {number} is {}", span_of(place)),
                    "link or load it elsewhere, or move the memory with `ipa`".into(),
                ),
            };
            let title = format!("the image does not fit {}'s memory", partition.label());
            found.push(
                Finding::new(named.clone(), title, label)
                    .note(memory_of(partition))
                    .help(help),
            );
        }
    }
    found
}

pub fn image_overlap(m: &Manifest, programs: &[Program]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (_, image, named) in images(m, programs) {
        let segments: Vec<_> = image.segments.iter().map(filled).enumerate().collect();
        for ((a, first), (b, second)) in pairs(&segments) {
            if overlap(*first, *second) {
                let label = format!(
                    "segment {a} is {}, segment {b} {}",
                    span_of(*first),
                    span_of(*second)
                );
                found.push(
                    Finding::new(named.clone(), "two segments of the image overlap", label)
                        .help("correct its linker script: physical addresses count"),
                );
            }
        }
    }
    found
}

pub fn image_entry(m: &Manifest, programs: &[Program]) -> Vec<Finding> {
    images(m, programs)
        .filter(|(_, image, _)| {
            !image
                .segments
                .iter()
                .any(|segment| inside((image.entry, 4), filled(segment)))
                || !image.entry.is_multiple_of(4)
        })
        .map(|(partition, image, named)| {
            let given = partition
                .image
                .as_ref()
                .and_then(|image| image.get_ref().entry.as_ref());
            let parts: Vec<String> = image.segments.iter().map(|s| span_of(filled(s))).collect();
            let title = format!("{} would start outside its image", partition.label());
            Finding::new(
                given.map_or(named, |entry| entry.span()),
                title,
                format!("the entry is {}", address(image.entry)),
            )
            .note(format!("the image fills {}", parts.join(", ")))
            .help("give `entry` the address of an instruction in the image")
        })
        .collect()
}

/// Where the planner puts the initial RAM disk: at the end of the first memory, from a page's start.
fn initrd_place(partition: &Partition, program: &Program) -> Option<(u64, u64)> {
    let (_, ipa, size) = partition.pieces().next()?;
    let length = program.initrd.as_ref()?.1.len() as u64;
    let base = ipa.saturating_add(size).saturating_sub(length) & !(PAGE - 1);
    Some((base, length))
}

pub fn initrd_empty(m: &Manifest, programs: &[Program]) -> Vec<Finding> {
    let disks = both(m, programs).filter_map(|(partition, program)| {
        let (_, bytes) = program.initrd.as_ref()?;
        bytes.is_empty().then_some(partition.initrd.as_ref()?)
    });
    disks
        .map(|named| {
            let title = "the initial RAM disk has no bytes";
            Finding::new(named.span(), title, "an empty file")
                .help("give it contents, or leave `initrd` out")
        })
        .collect()
}

pub fn initrd_room(m: &Manifest, programs: &[Program]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (partition, program) in both(m, programs) {
        let (Some(place), Some(named)) = (initrd_place(partition, program), &partition.initrd)
        else {
            continue;
        };
        let Some((_, ipa, size)) = partition.pieces().next() else {
            continue;
        };
        // A RAM disk larger than the memory would lie over all of the image in it.
        let room = (
            place.0.max(ipa),
            ipa.saturating_add(size) - place.0.max(ipa),
        );
        let hit = program
            .image
            .iter()
            .flat_map(|image| &image.segments)
            .map(filled);
        let top = hit
            .filter(|segment| overlap(*segment, room))
            .map(|(base, size)| base.saturating_add(size))
            .max();
        let over = match top {
            Some(top) => top - place.0,
            None if place.0 < ipa => place.1.saturating_sub(size),
            None => continue,
        };
        let title = format!(
            "the initial RAM disk does not fit {}'s memory",
            partition.label()
        );
        let label = format!("its {} are {} too many", bytes(place.1), bytes(over));
        found.push(
            Finding::new(named.span(), title, label)
                .note("it lies at the end of the first memory, behind the image")
                .help(at_least(partition, size.saturating_add(over))),
        );
    }
    found
}

pub fn device_tree_place(m: &Manifest, programs: &[Program]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (partition, program) in both(m, programs) {
        let Some(tree) = &partition.device_tree else {
            continue;
        };
        let address_of = *tree.get_ref();
        // A tree is a page at least; its exact size is known when the plan is made.
        let room = (address_of, PAGE);
        let on = program
            .image
            .iter()
            .flat_map(|image| &image.segments)
            .map(filled);
        let on = on
            .chain(initrd_place(partition, program))
            .find(|other| overlap(*other, room));
        let label = if !address_of.is_multiple_of(8) {
            "must be a multiple of 8".to_owned()
        } else if !partition
            .pieces()
            .any(|(_, ipa, size)| inside(room, (ipa, size)))
        {
            "outside its memory".to_owned()
        } else if let Some(other) = on {
            format!("{} is loaded here", span_of(other))
        } else {
            continue;
        };
        let title = format!(
            "{}'s device tree cannot be at {}",
            partition.label(),
            address(address_of)
        );
        found.push(
            Finding::new(tree.span(), title, label)
                .note(memory_of(partition))
                .help("leave `device-tree` out: the planner finds a place"),
        );
    }
    found
}

pub fn device_tree_room(m: &Manifest, programs: &[Program]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (partition, program) in both(m, programs) {
        let (None, Some((piece, ipa, size))) = (&partition.device_tree, partition.pieces().next())
        else {
            continue;
        };
        let top =
            initrd_place(partition, program).map_or(ipa.saturating_add(size), |(base, _)| base);
        let room = (top.saturating_sub(PAGE), PAGE);
        let segments = program
            .image
            .iter()
            .flat_map(|image| &image.segments)
            .map(filled);
        // An image beyond the memory, or on the initial RAM disk, is another rule's.
        let mut hit = segments.filter(|segment| overlap(*segment, room));
        if let Some(segment) = hit.find(|segment| inside(*segment, (ipa, top.saturating_sub(ipa))))
        {
            let title = format!(
                "{}'s memory has no room for its device tree",
                partition.label()
            );
            found.push(
                Finding::new(
                    piece.span.clone(),
                    title,
                    format!("the image fills {}", span_of(segment)),
                )
                .help("make the memory larger, or give `device-tree` an address that is free"),
            );
        }
    }
    found
}
