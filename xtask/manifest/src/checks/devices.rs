// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules on passed-through devices and interrupts.

use std::ops::Range;

use crate::decode::At;
use crate::guest_machine::PL011_INTID;
use crate::raw::{Manifest, Partition};
use crate::report::Finding;
use crate::resolve::FIRST_SPI;
use crate::system::{Board, Device};
use crate::words::{address, suggest};

/// Every device named, with its owner.
fn named(m: &Manifest) -> impl Iterator<Item = (&Partition, &At<String>)> {
    m.partitions
        .iter()
        .flat_map(|partition| partition.devices.iter().map(move |name| (partition, name)))
}

/// Every device of the board that is named.
fn known<'a>(
    m: &'a Manifest,
    board: &'a Board,
) -> impl Iterator<Item = (&'a Partition, &'a At<String>, &'a Device)> {
    named(m).filter_map(|(partition, name)| {
        let device = board.devices.iter().find(|device| device.name == *name.get_ref())?;
        Some((partition, name, device))
    })
}

pub fn device_unknown(m: &Manifest, board: &Board) -> Vec<Finding> {
    let names: Vec<&str> = board.devices.iter().map(|device| device.name.as_str()).collect();
    named(m)
        .filter(|(_, name)| !names.contains(&name.get_ref().as_str()))
        .map(|(_, name)| {
            let title = format!("{} has no device \"{}\"", board.name, name.get_ref());
            let what = format!("devices of {}", board.name);
            Finding::new(name.span(), title, "unknown device").help(suggest(
                name.get_ref(),
                &what,
                &names,
            ))
        })
        .collect()
}

pub fn device_given_twice(m: &Manifest) -> Vec<Finding> {
    let all: Vec<_> = named(m).collect();
    let mut found = Vec::new();
    for (index, (partition, name)) in all.iter().enumerate() {
        let first = all[..index].iter().find(|(_, first)| first.get_ref() == name.get_ref());
        if let Some((owner, first)) = first {
            let title = format!("device {} is given twice", name.get_ref());
            found.push(
                Finding::new(name.span(), title, format!("to {} here", partition.label()))
                    .other(first.span(), format!("to {} here", owner.label()))
                    .help("a device has one owner: remove one of them"),
            );
        }
    }
    found
}

pub fn device_dma(m: &Manifest, board: &Board) -> Vec<Finding> {
    known(m, board)
        .filter(|(partition, _, device)| device.dma && partition.dma.is_none())
        .map(|(partition, name, _)| {
            let title = format!("device {} can write any memory by DMA", name.get_ref());
            let label = format!("{} could reach its neighbours through it", partition.label());
            Finding::new(name.span(), title, label)
                .note(
                    "stage-2 translation does not restrict DMA, and this board has no SMMU in \
                     front of the device",
                )
                .help(
                    "leave the device out; or, if every partition may trust this guest with all \
                     of memory, write `dma = \"trusted\"` and give this partition's memory equal \
                     guest and physical addresses",
                )
        })
        .collect()
}

pub fn dma_memory(m: &Manifest, board: &Board) -> Vec<Finding> {
    let mut found = Vec::new();
    for partition in &m.partitions {
        let mut devices = known(m, board).filter(|(_, _, device)| device.dma);
        let device = devices.find(|(owner, _, _)| std::ptr::eq(*owner, partition));
        let (Some((_, name, _)), Some(_)) = (device, &partition.dma) else {
            continue;
        };
        for (piece, ipa, _) in partition.pieces() {
            let physical = piece.physical.as_ref().map(|at| *at.get_ref());
            if physical == Some(ipa) {
                continue;
            }
            let title = format!(
                "DMA of device {} would miss {}'s memory",
                name.get_ref(),
                partition.label()
            );
            let label = match physical {
                Some(physical) => format!("{} is at {}", address(ipa), address(physical)),
                None => format!("the planner chooses the physical address of {}", address(ipa)),
            };
            found.push(
                Finding::new(piece.span.clone(), title, label)
                    .other(name.span(), "its DMA uses the addresses that its driver writes")
                    .note("those are guest addresses, and nothing translates them for a device")
                    .help(
                        "write the same address twice: `ipa = 0x5000_0000, physical = 0x5000_0000`",
                    ),
            );
        }
    }
    found
}

/// Every SPI given as such, with its INTID.
fn given(m: &Manifest) -> impl Iterator<Item = (&Partition, &At<u64>, u64)> {
    m.partitions.iter().flat_map(|partition| {
        let spis = partition.interrupts.iter().filter_map(|interrupt| interrupt.spi.as_ref());
        spis.map(move |spi| (partition, spi, spi.get_ref().saturating_add(FIRST_SPI)))
    })
}

pub fn interrupt_private(m: &Manifest) -> Vec<Finding> {
    let lines = m.partitions.iter().flat_map(|partition| &partition.interrupts);
    lines
        .filter_map(|interrupt| interrupt.ppi.as_ref())
        .map(|ppi| {
            Finding::new(
                ppi.span(),
                "a private interrupt cannot be passed through",
                "PPIs belong to the core",
            )
            .note(
                "every guest already has its core's virtual and physical timers, PPI 11 and 14; \
                 EL2 keeps the other PPIs",
            )
            .help("write the number of a shared interrupt: `spi = 7`")
        })
        .collect()
}

pub fn interrupt_range(m: &Manifest, board: &Board) -> Vec<Finding> {
    let end = u64::from(board.gic.intids).min(plan::INTIDS as u64);
    given(m)
        .filter(|(_, _, intid)| *intid >= end)
        .map(|(_, spi, _)| {
            let title = format!("{} has no SPI {}", board.name, spi.get_ref());
            Finding::new(
                spi.span(),
                title,
                format!("its SPIs are 0 to {}", end.saturating_sub(FIRST_SPI + 1)),
            )
            .help("write the SPI's number as in the board's manual: INTID minus 32")
        })
        .collect()
}

pub fn interrupt_of_el2(m: &Manifest, board: &Board) -> Vec<Finding> {
    let (_, console) = board.uart;
    let spis = given(m).map(|(partition, spi, intid)| (partition, spi.span(), vec![intid]));
    let devices = known(m, board).map(|(partition, name, device)| {
        let lines = device.interrupts.iter().map(|line| u64::from(line.intid)).collect();
        (partition, name.span(), lines)
    });
    spis.chain(devices)
        .filter(|(_, _, intids)| intids.contains(&u64::from(console)))
        .map(|(_, span, _)| {
            let title =
                format!("SPI {} belongs to the console UART", u64::from(console) - FIRST_SPI);
            Finding::new(span, title, "EL2 drains the console with it")
                .help("remove it: each partition has an emulated PL011 with its own interrupt")
        })
        .collect()
}

pub fn interrupt_emulated(m: &Manifest, board: &Board) -> Vec<Finding> {
    let pl011 = u64::from(PL011_INTID);
    given(m)
        .filter(|(partition, _, intid)| {
            partition.console && *intid == pl011 && u64::from(board.uart.1) != pl011
        })
        .map(|(partition, spi, _)| {
            let title =
                format!("SPI {} belongs to {}'s emulated PL011", spi.get_ref(), partition.label());
            Finding::new(spi.span(), title, "this number would have two sources")
                .help("write `console = false`, or leave the interrupt out")
        })
        .collect()
}

pub fn interrupt_given_twice(m: &Manifest, board: &Board) -> Vec<Finding> {
    let mut owners: Vec<(u64, Range<usize>, String)> = Vec::new();
    owners.extend(
        given(m).map(|(partition, spi, intid)| (intid, spi.span(), partition.label().to_owned())),
    );
    // A device given twice brings its interrupts twice; another rule reports that.
    let mut seen = Vec::new();
    for (partition, name, device) in known(m, board) {
        if !seen.contains(name.get_ref()) {
            seen.push(name.get_ref().clone());
            let who = format!("{} with device {}", partition.label(), name.get_ref());
            owners.extend(
                device
                    .interrupts
                    .iter()
                    .map(|line| (u64::from(line.intid), name.span(), who.clone())),
            );
        }
    }
    owners.sort_by_key(|(_, span, _)| span.start);
    let mut found = Vec::new();
    for (index, (intid, span, who)) in owners.iter().enumerate() {
        if let Some((_, first, owner)) = owners[..index].iter().find(|(first, _, _)| first == intid)
        {
            let title = format!("SPI {} is given twice", intid.saturating_sub(FIRST_SPI));
            found.push(
                Finding::new(span.clone(), title, format!("to {who} here"))
                    .other(first.clone(), format!("to {owner} here"))
                    .help("an interrupt has one owner: remove one of them"),
            );
        }
    }
    found
}
