// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report: describes a compiled system. Every line comes from what was compiled, never only
//! from the manifest.

/// A row of cells of any kind.
macro_rules! row {
    ($($cell:expr),* $(,)?) => { vec![$($cell.to_string()),*] };
}

mod memory;
mod text;

use plan::{ACTION_RESTART, ACTION_STOP_SYSTEM, CLASS_COMM};

use manifest::system::{End, System, View};
use manifest::words::count;
use text::{Rows, bytes, note, section};

use super::design::{Design, Image};
use super::maps::{Map, owner};
use super::tables::Shape;
use super::traps::{self, Register};

/// Describes a compiled system.
#[must_use]
pub fn report(system: &System, image: &Image) -> String {
    let design = &image.design;
    let mut text = format!(
        "{} on {}: {}, {}, {}, image of {}\n",
        system.name,
        system.board.name,
        count(design.places.cores.len(), "core"),
        count(system.partitions.len(), "partition"),
        count(system.channels.len(), "channel"),
        bytes(image.bytes.len() as u64)
    );
    note(&mut text, &options(system));
    section(&mut text, "Cores", &cores(system, design));
    if !system.board.errata.is_empty() {
        let rows = system.board.errata.iter().map(|line| row![line]).collect();
        section(&mut text, "Errata of real cores of these types", &rows);
    }
    section(&mut text, "Physical memory and devices", &memory::physical(system, design));
    note(
        &mut text,
        "EL2 maps what it marks `loading` only while the core loads its partition. No core \
         maps\n\
         another partition's memory. The first page of each private region is unmapped: the \
         stack's guard.",
    );
    for p in 0..system.partitions.len() {
        memory::partition(&mut text, system, design, p);
    }
    if !system.channels.is_empty() {
        section(&mut text, "Channels", &channels(system, design));
    }
    section(&mut text, "Stops and restarts", &policies(system));
    section(&mut text, "Sizes", &sizes(design));
    section(&mut text, "Translations", &translations(system, design));
    section(&mut text, "Trap registers", &registers(system, design));
    text
}

/// Names the options of EL2 that the system has and those that it leaves out.
fn options(system: &System) -> String {
    let list = |options: u64| {
        let names: Vec<_> = plan::options::names(options).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let left_out = plan::options::ALL & !system.options;
    format!("Options of EL2: {}; left out: {}.", list(system.options), list(left_out))
}

fn class(class: u32) -> &'static str {
    if class == CLASS_COMM { "comm" } else { "compute" }
}

fn cores(system: &System, design: &Design) -> Rows {
    let mut rows =
        vec![row!["core", "mpidr", "partition", "vCPU", "class", "channel ends", "console"]];
    for &core in &design.places.cores {
        let (p, v) = owner(system, core);
        let partition = &system.partitions[p];
        let ends = design.guests[p].ends.iter().filter(|end| end.vcpu == v);
        let mpidr = system.board.cores[core as usize].mpidr;
        rows.push(row![
            core,
            format!("{mpidr:#x}"),
            partition.name,
            v,
            class(partition.vcpus[v].class),
            ends.count(),
            if core == system.console_core {
                format!("drains it, {} % of its time at most", system.console_share)
            } else {
                String::new()
            },
        ]);
    }
    rows
}

fn channels(system: &System, design: &Design) -> Rows {
    let mut rows =
        vec![row!["channel", "from", "to", "data", "doorbells", "handle", "rings", "INTID there"]];
    for (c, channel) in system.channels.iter().enumerate() {
        for side in [0, 1] {
            let ends = [side, 1 - side].map(|side| (&channel.ends[side], side));
            let [from, to] = ends.map(|(end, side)| {
                let mut ends = design.guests[end.partition].ends.iter();
                let seen = ends.find(|seen| seen.channel == c && seen.side == side);
                let partition = &system.partitions[end.partition];
                let name = format!("{}/{}", partition.name, end.vcpu);
                (name, partition.vcpus[end.vcpu].core, seen)
            });
            let end = ends[0].0;
            let wait = channel::wait::NAMES[ends[1].0.wait as usize];
            let (rate, rings) = match (to.2.and_then(|end| end.intid), end.rate) {
                (None, _) => (format!("none, the other end waits by {wait}"), String::new()),
                (_, 0) => ("unlimited".into(), format!("core {} to {}", from.1, to.1)),
                (_, rate) => (
                    format!("{rate}/s, burst {}", end.burst),
                    format!("core {} to {}", from.1, to.1),
                ),
            };
            rows.push(row![
                channel.name,
                seen(from.0, ends[0].0),
                seen(to.0, ends[1].0),
                bytes(end.bytes),
                rate,
                from.2.map_or(0, |end| end.handle),
                rings,
                to.2.and_then(|end| end.intid).map_or_else(String::new, |intid| intid.to_string()),
            ]);
        }
    }
    rows
}

/// Names an end with its view, if that is not its pages.
fn seen(name: String, end: &End) -> String {
    match end.view {
        View::Pages => name,
        View::Ivshmem => format!("{name} (ivshmem)"),
    }
}

fn policies(system: &System) -> Rows {
    let mut rows = vec![row![
        "partition",
        "fault",
        "reset",
        "off",
        "restarts",
        "delay",
        "first watchdog call",
        "supervisor"
    ]];
    let action = |action| match action {
        ACTION_RESTART => "restart",
        ACTION_STOP_SYSTEM => "stop-system",
        _ => "halt",
    };
    for partition in &system.partitions {
        let policy = &partition.policy;
        let (limit, delay) = match policy.restarts() {
            true => (
                format!("{} in {}", policy.limit, time(policy.within)),
                format!("{}, times {} each", time(policy.delay), policy.back_off),
            ),
            false => ("none".into(), String::new()),
        };
        rows.push(row![
            partition.name,
            action(policy.on_fault),
            action(policy.on_reset),
            action(policy.on_off),
            limit,
            delay,
            if policy.first == 0 { "any time".into() } else { time(policy.first) },
            if partition.supervisor { "yes" } else { "" },
        ]);
    }
    rows
}

/// A time in microseconds as a manifest writes it.
fn time(microseconds: u64) -> String {
    match microseconds {
        time if time % 1_000_000 == 0 => format!("{} s", time / 1_000_000),
        time if time % 1000 == 0 => format!("{} ms", time / 1000),
        time => format!("{time} us"),
    }
}

fn sizes(design: &Design) -> Rows {
    let mut rows = vec![row!["bytes", "what"]];
    for segment in &design.el2.segments {
        rows.push(row![segment.size, format!("EL2 {}, whole pages", segment.what())]);
    }
    let tables = design.maps.pool.bytes().len() as u64;
    rows.push(row![design.rows, "plan: header and rows"]);
    rows.push(row![
        tables,
        format!("plan: {} translation tables, equal ones stored once", tables / plan::PAGE)
    ]);
    let pristine: u64 = design.places.pristine.iter().map(|range| range.size).sum();
    rows.push(row![
        pristine,
        format!("{} pristine guest contents, whole pages", design.pristine.len())
    ]);
    rows
}

fn translations(system: &System, design: &Design) -> Rows {
    let maps = &design.maps;
    let mut rows = vec![row!["of", "root", "bits", "start level", "1 GiB", "2 MiB", "4 KiB"]];
    let mut add = |of: String, shape: Shape, map: &Map| {
        let leaves = maps.pool.leaves(shape, map.root);
        rows.push(row![
            of,
            format!("{:#x}", map.root),
            shape.bits,
            shape.start_level(),
            leaves[0],
            leaves[1],
            leaves[2],
        ]);
    };
    for (p, map) in maps.stage2.iter().enumerate() {
        add(format!("{}, stage 2", system.partitions[p].name), maps.guest[p], map);
    }
    for (index, core) in design.places.cores.iter().enumerate() {
        add(format!("EL2 on core {core}"), maps.el2, &maps.run[index]);
        if maps.load[index].root != maps.run[index].root {
            add(format!("EL2 on core {core}, loading"), maps.el2, &maps.load[index]);
        }
    }
    rows
}

fn registers(system: &System, design: &Design) -> Rows {
    let pa_bits = system.board.pa_bits;
    let mut all: Vec<(String, Register)> = Vec::new();
    for register in [
        traps::hcr(),
        traps::cptr(),
        traps::mdcr(),
        traps::hstr(),
        traps::cnthctl(),
        traps::cntvoff(),
        traps::tcr(design.maps.el2, pa_bits),
    ] {
        all.push((register.name.to_string(), register));
    }
    for (p, &shape) in design.maps.guest.iter().enumerate() {
        let register = traps::vtcr(shape, pa_bits);
        let name = format!("{} of {}", register.name, system.partitions[p].name);
        all.push((name, register));
    }
    let mut rows = Rows::new();
    for (name, register) in all {
        rows.push(row![format!("{name} = {:#x}", register.value())]);
        for field in &register.fields {
            let what = format!("{} = {:#x}", field.name, field.value);
            rows.push(row![format!("  {what:16} {}", field.reason)]);
        }
    }
    rows
}
