// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules on where programs, device trees and initial RAM disks are in a partition's memory.

use std::ops::Range;

use plan::PAGE;

use super::{inside, overlap, pairs, span_of};
use crate::programs::Program;
use crate::raw::{Manifest, Partition};
use crate::report::Finding;
use crate::system::{Image, Segment};
use crate::words::{address, bytes};

/// Each partition with its program.
fn both<'a>(
    m: &'a Manifest,
    programs: &'a [Program],
) -> impl Iterator<Item = (&'a Partition, &'a Program)> {
    m.partitions.iter().zip(programs)
}

/// Partitions with a readable image: itself, the image, and where the manifest names each of its
/// segments.
fn images<'a>(
    m: &'a Manifest,
    programs: &'a [Program],
) -> impl Iterator<Item = (&'a Partition, &'a Image, Vec<Named>)> {
    both(m, programs).filter_map(|(partition, program)| {
        let image = program.image.as_ref()?;
        let file = partition.image.as_ref()?.get_ref().kinds.first()?.1.span();
        let own = image.segments.len().saturating_sub(program.files.len());
        let own = (0..own).map(|number| Named {
            what: format!("segment {number}"),
            place: file.clone(),
            is_file: false,
        });
        let files = program.files.iter().map(|place| Named {
            what: "the file".into(),
            place: place.clone(),
            is_file: true,
        });
        Some((partition, image, own.chain(files).collect()))
    })
}

/// How messages name a segment.
struct Named {
    /// In words.
    what: String,
    /// In the manifest.
    place: Range<usize>,
    /// Whether it is a file loaded next to the program.
    is_file: bool,
}

/// Whether a partition's pieces of memory are each valid. If one is not, a message on what is
/// outside it would say nothing new.
fn memory_is_sound(partition: &Partition) -> bool {
    let mut pieces = partition.pieces();
    partition.memory_is_known() && pieces.all(|(_, ipa, size)| size > 0 && (ipa | size) % PAGE == 0)
}

/// The addresses a segment fills.
fn filled(segment: &Segment) -> (u64, u64) {
    (segment.ipa, (segment.bytes.len() as u64).saturating_add(segment.clear))
}

/// A partition's memory for people.
fn memory_of(partition: &Partition) -> String {
    let pieces: Vec<String> =
        partition.pieces().map(|(_, ipa, size)| span_of((ipa, size))).collect();
    format!("{}'s memory is {}", partition.label(), pieces.join(", "))
}

/// Suggests the memory of a partition that needs `need` bytes for everything but its device tree.
fn at_least(partition: &Partition, need: u64) -> String {
    let with_tree = need.saturating_add(4 * PAGE);
    let whole = with_tree.checked_next_multiple_of(1 << 20);
    format!("give {} at least {}", partition.label(), bytes(whole.unwrap_or(with_tree)))
}

pub fn image_outside_memory(m: &Manifest, programs: &[Program]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (partition, image, named) in images(m, programs) {
        if !memory_is_sound(partition) {
            continue;
        }
        let mut told = false;
        for (segment, named) in image.segments.iter().zip(named) {
            let place = filled(segment);
            let mut pieces = partition.pieces();
            // The program moves as a whole, so its first segment is reported for all of them.
            if pieces.any(|(_, ipa, size)| inside(place, (ipa, size))) || told && !named.is_file {
                continue;
            }
            told |= !named.is_file;
            let what = &named.what;
            let begun =
                partition.pieces().find(|(_, ipa, size)| inside((place.0, 0), (*ipa, *size)));
            let (label, help) = match begun {
                Some((_, ipa, size)) => {
                    let over = place.0.saturating_add(place.1) - ipa.saturating_add(size);
                    let label = format!("{what}, {}, is {} too long", span_of(place), bytes(over));
                    (label, at_least(partition, size.saturating_add(over)))
                }
                None => (
                    format!("{what} is {}", span_of(place)),
                    "link or load it elsewhere, or move the memory with `ipa`".into(),
                ),
            };
            let title = format!("the image does not fit {}'s memory", partition.label());
            found.push(
                Finding::new(named.place, title, label).note(memory_of(partition)).help(help),
            );
        }
    }
    found
}

pub fn image_overlap(m: &Manifest, programs: &[Program]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (_, image, named) in images(m, programs) {
        let segments = image.segments.iter().map(filled);
        let segments: Vec<_> = segments.zip(named).collect();
        for ((first, one), (second, other)) in pairs(&segments) {
            if overlap(*first, *second) {
                let label = format!(
                    "{} is {}, {} {}",
                    one.what,
                    span_of(*first),
                    other.what,
                    span_of(*second)
                );
                let help = match other.is_file {
                    true => "load it at an address that is free",
                    false => "correct its linker script: segments load at their physical addresses",
                };
                let title = "two parts of the image overlap";
                found.push(Finding::new(other.place.clone(), title, label).help(help));
            }
        }
    }
    found
}

pub fn image_entry(m: &Manifest, programs: &[Program]) -> Vec<Finding> {
    images(m, programs)
        .filter(|(_, image, _)| {
            !image.segments.iter().any(|segment| inside((image.entry, 4), filled(segment)))
                || !image.entry.is_multiple_of(4)
        })
        .filter_map(|(partition, image, named)| {
            let given = partition.image.as_ref().and_then(|image| image.get_ref().entry.as_ref());
            let parts: Vec<String> = image.segments.iter().map(|s| span_of(filled(s))).collect();
            let title = match image.entry.is_multiple_of(4) {
                true => format!("{} would start outside its image", partition.label()),
                false => format!("{} would start between two instructions", partition.label()),
            };
            let file = named.into_iter().next()?.place;
            let load = partition.image.as_ref()?.get_ref().load.as_ref();
            let place = given.or(load).map_or(file, |place| place.span());
            let label = format!("the entry is {}", address(image.entry));
            let finding = Finding::new(place, title, label)
                .note(format!("the image fills {}", parts.join(", ")));
            Some(
                finding.help(
                    "give `entry` the address of an instruction in the image, a multiple of 4",
                ),
            )
        })
        .collect()
}

/// Where the planner puts the initial RAM disk: at the end of the first memory, from a page's
/// start.
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
            let title = "the initial RAM disk is empty";
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
        // A RAM disk larger than the memory would overlap every part of the image in it.
        let room = (place.0.max(ipa), ipa.saturating_add(size) - place.0.max(ipa));
        let hit = program.image.iter().flat_map(|image| &image.segments).map(filled);
        let top = hit
            .filter(|segment| overlap(*segment, room))
            .map(|(base, size)| base.saturating_add(size))
            .max();
        let over = match top {
            Some(top) => top - place.0,
            None if place.0 < ipa => place.1.saturating_sub(size),
            None => continue,
        };
        let title = format!("the initial RAM disk does not fit {}'s memory", partition.label());
        let label = format!("it has {}, which is {} too many", bytes(place.1), bytes(over));
        found.push(
            Finding::new(named.span(), title, label)
                .note("it goes at the end of the first piece of memory, after the image")
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
        // A tree takes at least a page; its exact size is known when the plan is made.
        let room = (address_of, PAGE);
        let on = program.image.iter().flat_map(|image| &image.segments).map(filled);
        let on = on.chain(initrd_place(partition, program)).find(|other| overlap(*other, room));
        let label = if !address_of.is_multiple_of(8) {
            "must be a multiple of 8".to_owned()
        } else if !partition.pieces().any(|(_, ipa, size)| inside(room, (ipa, size))) {
            "outside its memory".to_owned()
        } else if let Some(other) = on {
            format!("{} is loaded here", span_of(other))
        } else {
            continue;
        };
        let title =
            format!("{}'s device tree cannot be at {}", partition.label(), address(address_of));
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
        let segments = program.image.iter().flat_map(|image| &image.segments).map(filled);
        // Another rule reports an image beyond the memory or on the initial RAM disk.
        let mut hit = segments.filter(|segment| overlap(*segment, room));
        if let Some(segment) = hit.find(|segment| inside(*segment, (ipa, top.saturating_sub(ipa))))
        {
            let title = format!("{}'s memory has no room for its device tree", partition.label());
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
