// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who may access what: stage 2 of every partition, and EL2's own two translations per core.

use std::collections::BTreeSet;

use anyhow::Result;
use plan::PAGE;

use super::el2::El2;
use super::guest::{self, Guest};
use super::pages::pages;
use super::place::Places;
use super::tables::{Access, Mapping, Pool, Shape, Stage};
use manifest::guest_machine::GICR_SIZE;
use manifest::system::{Range, System};

/// One translation: its root and what it maps.
#[derive(Clone, Debug)]
pub struct Map {
    /// Physical address of the root.
    pub root: u64,
    /// Everything it maps.
    pub mappings: Vec<Mapping>,
}

/// All translations of a system.
#[derive(Clone, Debug)]
pub struct Maps {
    /// Their tables.
    pub pool: Pool,
    /// Shape of every EL2 translation.
    pub el2: Shape,
    /// Each core's translation while its guest runs, by index.
    pub run: Vec<Map>,
    /// Each core's translation while it loads its partition.
    pub load: Vec<Map>,
    /// Shape of each partition's stage 2.
    pub guest: Vec<Shape>,
    /// Each partition's stage 2.
    pub stage2: Vec<Map>,
}

/// Builds every translation, with tables from `base` on.
///
/// # Errors
/// If two parts of one translation overlap, or an address is out of bounds.
pub fn build(
    system: &System,
    guests: &[Guest],
    pristine: &[Vec<u8>],
    el2: &El2,
    places: &Places,
    base: u64,
) -> Result<Maps> {
    let mut pool = Pool::new(base);
    let mut shapes = Vec::new();
    let mut stage2 = Vec::new();
    for (p, guest) in guests.iter().enumerate() {
        let mappings = stage2_mappings(system, p, guest, places);
        guest::check_emulated(&system.partitions[p], guest, &mappings)?;
        let mapped = mappings.iter().map(|m| m.input + m.size);
        let emulated = guest.emulated.iter().map(|d| d.range.base + d.range.size);
        let end = mapped.chain(emulated).max().unwrap_or(0);
        let shape = Shape::covering(Stage::Two, end)?;
        let root = pool.root(shape, &mappings)?;
        shapes.push(shape);
        stage2.push(Map { root, mappings });
    }

    let cores: Vec<_> = (0..places.cores.len())
        .map(|core| core_mappings(system, guests, pristine, el2, places, core))
        .collect();
    let all = cores.iter().flat_map(|(run, load)| run.iter().chain(load));
    let end = all.map(|m| m.input + m.size).max().unwrap_or(0);
    let shape = Shape::covering(Stage::One, end)?;
    let mut run = Vec::new();
    let mut load = Vec::new();
    for (mappings, more) in cores {
        let both = [mappings.clone(), more].concat();
        run.push(Map { root: pool.root(shape, &mappings)?, mappings });
        load.push(Map { root: pool.root(shape, &both)?, mappings: both });
    }
    Ok(Maps { pool, el2: shape, run, load, guest: shapes, stage2 })
}

/// Returns what a partition's guest may access: its memory, its channel pages, and its devices.
fn stage2_mappings(system: &System, p: usize, guest: &Guest, places: &Places) -> Vec<Mapping> {
    let mut mappings = Vec::new();
    for (piece, range) in system.partitions[p].memory.iter().zip(&places.memory[p]) {
        mappings.push(Mapping {
            what: piece.what().to_string(),
            input: piece.ipa,
            output: range.base,
            size: range.size,
            access: Access::of(piece),
        });
    }
    for end in &guest.ends {
        let name = &system.channels[end.channel].name;
        let regions = &places.regions[end.channel];
        let mut map = |word, ipa: Range, region: Range, access| {
            mappings.push(Mapping {
                what: format!("channel {name}, {word}"),
                input: ipa.base,
                output: region.base,
                size: ipa.size,
                access,
            });
        };
        let cacheable = !system.channels[end.channel].has_function();
        let access = |write| Access::to_channel(write, cacheable);
        map("sends", end.tx, regions[end.side], access(true));
        map("receives", end.rx, regions[1 - end.side], access(false));
        if let (Some(function), Some(table)) = (end.function, places.tables[end.channel]) {
            let ipa = Range { base: function.shared.base, ..table };
            map("state table", ipa, table, Access::ReadNonCacheable);
        }
    }
    mappings.extend(guest::devices(system, p));
    mappings.sort_by_key(|mapping| mapping.input);
    mappings
}

/// Returns what EL2 maps on one core: always, and in addition while it loads its partition.
fn core_mappings(
    system: &System,
    guests: &[Guest],
    pristine: &[Vec<u8>],
    el2: &El2,
    places: &Places,
    core: usize,
) -> (Vec<Mapping>, Vec<Mapping>) {
    let number = places.cores[core];
    let (p, _) = owner(system, number);
    let mut run = Vec::new();
    for segment in &el2.segments {
        let base = places.image.base + segment.offset;
        run.push(same(segment.what(), base, segment.size, segment.access));
    }
    let plan = places.plan_base(el2.size());
    let plan_size =
        places.pristine.first().map_or(places.image.base + places.image.size, |r| r.base) - plan;
    if plan_size > 0 {
        run.push(same("plan", plan, plan_size, Access::Read));
    }
    let private = &places.private[core];
    run.extend([
        // The first page stays unmapped: a stack that grows too far faults.
        same("private", private.base + PAGE, private.size - PAGE, Access::ReadWrite),
        same("state", places.state[p].base, places.state[p].size, Access::ReadWrite),
        same("shared", places.shared.base, places.shared.size, Access::ReadWrite),
    ]);
    for table in guests[p].ends.iter().filter_map(|end| places.tables[end.channel]) {
        run.push(same("state table", table.base, table.size, Access::ReadWriteNonCacheable));
    }
    if places.records.size > 0 {
        run.push(same("records", places.records.base, places.records.size, Access::ReadWrite));
    }
    let gic = &system.board.gic;
    let gicr = Range {
        base: gic.gicr.base + u64::from(number) * GICR_SIZE,
        size: if gic.version == 3 { GICR_SIZE } else { 0 },
    };
    let mut devices = vec![
        ("GICD", gic.gicd),
        ("GICR", gicr),
        ("GICC", if gic.version == 2 { gic.gicc } else { EMPTY }),
        ("GICH", if gic.version == 2 { gic.gich } else { EMPTY }),
    ];
    if number == system.console_core {
        devices.push(("UART", system.board.uart.0));
        let writes = system.board.writes[..plan::writes::RUNNING].iter().flatten();
        devices.extend(writes.map(|&(base, _)| ("power", Range { base, size: 4 })));
    }
    let mut mapped = BTreeSet::new();
    for (what, range) in devices.into_iter().filter(|(_, range)| range.size > 0) {
        let base = range.base & !(PAGE - 1);
        let size = pages(range.base + range.size - base);
        // Registers of one page are mapped once.
        if mapped.insert((base, size)) {
            run.push(same(what, base, size, Access::Device));
        }
    }

    let mut load = Vec::new();
    for range in &places.memory[p] {
        load.push(same("memory", range.base, range.size, Access::ReadWrite));
    }
    for end in &guests[p].ends {
        let region = &places.regions[end.channel][end.side];
        load.push(same("channel", region.base, region.size, Access::ReadWrite));
    }
    let partition = &system.partitions[p];
    let devices = partition.devices.iter().map(|&device| &system.board.devices[device]);
    for device in devices.filter(|device| partition.policy.restarts() && !device.quiesce.is_empty())
    {
        let base = device.regs.base & !(PAGE - 1);
        let size = pages(device.regs.base + device.regs.size - base);
        if mapped.insert((base, size)) {
            load.push(same("device", base, size, Access::Device));
        }
    }
    let mut sources: Vec<_> = guests[p].loads.iter().map(|load| load.pristine).collect();
    sources.sort_unstable();
    sources.dedup();
    for source in sources {
        if !pristine[source].is_empty() {
            let range = &places.pristine[source];
            load.push(same("pristine", range.base, range.size, Access::Read));
        }
    }
    (run, load)
}

const EMPTY: Range = Range { base: 0, size: 0 };

/// A mapping of EL2: VA = PA.
fn same(what: &str, base: u64, size: u64, access: Access) -> Mapping {
    Mapping { what: what.to_string(), input: base, output: base, size, access }
}

/// Returns the partition and vCPU that own a board's core. Each core of a system's places has one.
#[must_use]
pub fn owner(system: &System, core: u32) -> (usize, usize) {
    for (p, partition) in system.partitions.iter().enumerate() {
        if let Some(vcpu) = partition.vcpus.iter().position(|v| v.core == core) {
            return (p, vcpu);
        }
    }
    unreachable!("a core of the plan belongs to a vCPU")
}
