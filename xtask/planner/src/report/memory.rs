// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report's sections on memory: who accesses which physical addresses, and each guest's
//! addresses.

use std::collections::BTreeMap;

use plan::{INTERRUPT_EDGE, INTERRUPT_FIXED, INTERRUPT_PHYSICAL};

use super::text::{Rows, bytes, section};
use crate::design::Design;
use crate::maps::owner;
use manifest::guest_machine;
use manifest::system::{Outside, System};

/// Who accesses a range of physical addresses.
#[derive(Default)]
struct Reach {
    what: String,
    guests: Vec<String>,
    run: Vec<u32>,
    load: Vec<u32>,
    el2: &'static str,
}

/// Everything that the system accesses, by physical address.
pub fn physical(system: &System, design: &Design) -> Rows {
    let mut ranges: BTreeMap<(u64, u64), Reach> = BTreeMap::new();
    for (p, map) in design.maps.stage2.iter().enumerate() {
        let name = &system.partitions[p].name;
        for m in &map.mappings {
            let reach = ranges.entry((m.output, m.size)).or_default();
            reach.guests.push(format!("{name} {}", m.access.letters()));
            reach.what = match m.what.split_once(',') {
                Some((channel, _)) => channel.to_string(),
                None => format!("{} of {name}", m.what),
            };
        }
    }
    for (index, &core) in design.places.cores.iter().enumerate() {
        let (p, _) = owner(system, core);
        let run = &design.maps.run[index].mappings;
        for m in &design.maps.load[index].mappings {
            let reach = ranges.entry((m.output, m.size)).or_default();
            reach.el2 = m.access.letters();
            if run.contains(m) {
                reach.run.push(core);
            } else {
                reach.load.push(core);
            }
            if reach.what.is_empty() {
                reach.what = match m.what.as_str() {
                    "private" | "GICR" => format!("EL2: {} of core {core}", m.what),
                    "state" => format!("EL2: state of {}", system.partitions[p].name),
                    what => format!("EL2: {what}"),
                };
            }
        }
    }
    let mut rows = vec![row!["from", "to", "size", "what", "guests", "EL2 on cores"]];
    for ((base, size), reach) in ranges {
        let list = |cores: &[u32]| {
            let words: Vec<_> = cores.iter().map(u32::to_string).collect();
            words.join(" ")
        };
        let el2 = match (reach.run.as_slice(), reach.load.as_slice()) {
            ([], []) => String::new(),
            ([], load) => format!("{} {} loading", reach.el2, list(load)),
            (run, _) if run.len() == design.places.cores.len() => format!("{} all", reach.el2),
            (run, _) => format!("{} {}", reach.el2, list(run)),
        };
        rows.push(row![
            format!("{base:#011x}"),
            format!("{:#011x}", base + size - 1),
            bytes(size),
            reach.what,
            reach.guests.join(", "),
            el2,
        ]);
    }
    rows
}

/// A partition: its address map, its contents, its interrupts.
pub fn partition(text: &mut String, system: &System, design: &Design, p: usize) {
    let partition = &system.partitions[p];
    let guest = &design.guests[p];
    let title = format!("Partition {}: starts at {:#x}", partition.name, partition.image.entry);

    let mut map = BTreeMap::new();
    for m in &design.maps.stage2[p].mappings {
        map.insert(
            m.input,
            (m.size, m.access.letters(), m.what.clone(), format!("{:#011x}", m.output)),
        );
    }
    for device in &guest.emulated {
        let range = device.range;
        map.insert(range.base, (range.size, "rw-", device.name(), "emulated".to_string()));
    }
    let mut rows = vec![row!["guest from", "to", "size", "may", "what", "at"]];
    for (ipa, (size, may, what, at)) in map {
        rows.push(row![
            format!("{ipa:#011x}"),
            format!("{:#011x}", ipa + size - 1),
            bytes(size),
            may,
            what,
            at,
        ]);
    }
    let answer = match partition.outside {
        Outside::Abort => "external abort",
        Outside::Halt => "halts it",
    };
    rows.push(row!["elsewhere", "", "", "---", "nothing", answer]);
    section(text, &title, &rows);

    let mut rows = vec![row!["loaded to", "size", "cleared after it", "what"]];
    for load in &guest.loads {
        let clear = if load.clear > 0 { bytes(load.clear) } else { String::new() };
        rows.push(row![format!("{:#011x}", load.ipa), bytes(load.size), clear, load.what]);
    }
    section(text, &format!("Contents of {}", partition.name), &rows);

    let mut rows = vec![row!["INTID", "kind", "trigger", "source", "first to"]];
    for row in &guest.interrupts {
        let end = guest.ends.iter().find(|end| end.intid == Some(row.intid.into()));
        let to = match row.intid {
            0..32 => "its own vCPU".to_string(),
            _ if row.flags & INTERRUPT_FIXED != 0 => format!("vCPU {}, fixed", row.vcpu),
            _ => format!("vCPU {}", row.vcpu),
        };
        let source = match (row.intid, end) {
            (27, _) => "virtual timer".to_string(),
            (30, _) => "physical timer".to_string(),
            (_, Some(end)) => format!("channel {}", system.channels[end.channel].name),
            (n, _) if guest.notice == Some(n.into()) => "supervisor".to_string(),
            (n, _)
                if row.flags & INTERRUPT_PHYSICAL == 0
                    && u32::from(n) == guest_machine::PL011_INTID =>
            {
                "emulated PL011".to_string()
            }
            (n, _) => device_of(system, p, n),
        };
        rows.push(row![
            row.intid,
            if row.flags & INTERRUPT_PHYSICAL != 0 { "physical" } else { "virtual" },
            if row.flags & INTERRUPT_EDGE != 0 { "edge" } else { "level" },
            source,
            to,
        ]);
    }
    section(text, &format!("Interrupts of {}", partition.name), &rows);
}

/// Returns the name of the passed-through device that raises an interrupt.
fn device_of(system: &System, p: usize, intid: u16) -> String {
    let devices = system.partitions[p].devices.iter();
    let mut devices = devices.map(|&device| &system.board.devices[device]);
    let raises = |device: &&manifest::system::Device| {
        device.interrupts.iter().any(|i| i.intid == u32::from(intid))
    };
    let device = devices.find(raises);
    device.map_or("hardware".to_string(), |device| device.name.clone())
}
