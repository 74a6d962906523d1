//! The lower half of a drawing: RAM to scale with the rights to each part of it, and the devices.

use super::canvas::{Canvas, MARGIN, width};
use super::units::bytes;
use manifest::system::{Range, System};
use manifest::words::address;
use planner::Design;
use planner::tables::Access;

/// Height of a row.
const ROW: f64 = 24.0;
/// Width of RAM.
const BAR: f64 = 40.0;
/// The left edge of a row's swatch.
const SWATCH: f64 = MARGIN + 110.0;
/// The left edges of its address, size and name.
const COLUMNS: [f64; 3] = [SWATCH + 24.0, SWATCH + 134.0, SWATCH + 204.0];
/// The left edge of the rights, unless the names need more.
const WHO: f64 = SWATCH + 504.0;
/// Least height of what is drawn to scale.
const THIN: f64 = 2.0;
/// The size that EL2's block is rounded to, because its contents change size with every change of
/// EL2.
const BLOCK: u64 = 2 << 20;

/// A part of RAM.
struct Part {
    range: Range,
    /// Whether it is within the part before it, which is EL2's block.
    within: bool,
    class: &'static str,
    what: String,
    who: String,
}

/// Draws RAM and then the devices, from `top` down.
pub fn draw(canvas: &mut Canvas, system: &System, design: &Design, top: f64) {
    let parts = parts(system, design);
    let devices = devices(system);
    let ram: u64 = system.board.ram.iter().map(|range| range.size).sum();
    let title = format!("Memory: {} of RAM, to scale", bytes(ram));
    canvas.text(MARGIN, top + 14.0, "head", title);
    // The last column of both starts to the right of the longest name.
    let what = parts.iter().map(|part| &part.what);
    let what = what.chain(devices.iter().map(|(_, what, _)| what));
    let ends = what.map(|what| COLUMNS[2] + width(what, "") + 24.0);
    let who = ends.fold(WHO, f64::max).ceil();
    let words = ["from", "size", "what", "who may"];
    for (x, word) in COLUMNS.into_iter().chain([who]).zip(words) {
        canvas.text(x, top + 14.0 + ROW, "small muted", word);
    }
    let first = top + 26.0 + ROW;
    let height = (parts.len() as f64 * ROW).max(200.0);
    let scale = height / ram as f64;
    let mut y = first;
    let mut segment = first;
    for (row, part) in parts.iter().enumerate() {
        let middle = first + (row as f64 + 0.5) * ROW;
        if !part.within {
            // Thin parts are drawn thicker, at the cost of the next free one, so the sum stays.
            let end = part.range.base + part.range.size;
            let until = first + scale * sum_until(&system.board.ram, end);
            let thick = (until - y).max(THIN);
            // Neighbours of one colour are drawn with a gap.
            let seen = if thick > 4.0 { thick - 0.8 } else { thick };
            canvas.rectangle([MARGIN, tenth(y), BAR, tenth(seen)], 0.0, part.class);
            segment = tenth(y + thick / 2.0);
            y += thick;
        }
        canvas.curve([MARGIN + BAR + 2.0, segment], [SWATCH - 4.0, middle], "lead");
        canvas.rectangle([SWATCH, middle - 6.0, 12.0, 12.0], 3.0, part.class);
        let muted = if part.class == "free" { " muted" } else { "" };
        let from = match part.within {
            true => "within".to_owned(),
            false => address(part.range.base),
        };
        let cells = [&from, &bytes(part.range.size), &part.what, &part.who];
        cells_of(canvas, middle + 4.0, who, cells, muted);
    }
    // With many thin parts the bar is longer than its rows.
    let top = (first + height).max(tenth(y)) + 28.0;
    canvas.text(MARGIN, top + 14.0, "head", "Devices");
    for (row, (range, what, owner)) in devices.iter().enumerate() {
        let y = top + 14.0 + row as f64 * ROW;
        let muted = if owner == "nobody" { " muted" } else { "" };
        let [from, size] = [address(range.base), bytes(range.size)];
        cells_of(canvas, y, who, [&from, &size, what, owner], muted);
    }
}

/// Rounds a coordinate so that it is short to write.
fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Draws one row's cells, with numbers in one width.
fn cells_of(canvas: &mut Canvas, y: f64, who: f64, cells: [&String; 4], muted: &str) {
    let columns = COLUMNS.into_iter().chain([who]);
    for (column, (x, cell)) in columns.zip(cells).enumerate() {
        let class = if column < 2 { "mono" } else { "" };
        canvas.text(x, y, &format!("{class}{muted}"), cell);
    }
}

/// Bytes of RAM below `address`.
fn sum_until(ram: &[Range], address: u64) -> f64 {
    let below =
        ram.iter().map(|range| address.clamp(range.base, range.base + range.size) - range.base);
    below.sum::<u64>() as f64
}

/// Returns every part of RAM by address, including free parts.
fn parts(system: &System, design: &Design) -> Vec<Part> {
    let places = &design.places;
    let mut parts = Vec::new();
    for (partition, ranges) in system.partitions.iter().zip(&places.memory) {
        let pieces = partition.memory.iter().zip(ranges);
        parts.extend(pieces.map(|(piece, &range)| Part {
            range,
            within: false,
            class: "memory",
            what: format!("{} of {}", piece.what(), partition.name),
            who: format!("{} {}", partition.name, Access::of(piece).letters()),
        }));
    }
    for (channel, regions) in system.channels.iter().zip(&places.regions) {
        for (side, &range) in regions.iter().enumerate() {
            let name = |side: usize| &system.partitions[channel.ends[side].partition].name;
            let (from, to) = (name(side), name(1 - side));
            let (writes, reads) = (Access::ReadWrite.letters(), Access::Read.letters());
            parts.push(Part {
                range,
                within: false,
                class: "channel",
                what: format!("channel {}, {from} to {to}", channel.name),
                who: format!("{from} {writes}, {to} {reads}"),
            });
        }
    }
    let el2 = [&places.private, &places.state, &places.pristine].into_iter().flatten().chain([
        &places.shared,
        &places.records,
        &places.image,
    ]);
    let (mut base, mut end) = (u64::MAX, 0);
    for range in el2.filter(|range| range.size > 0) {
        base = base.min(range.base);
        end = end.max(range.base + range.size);
    }
    // The addresses of small pieces near EL2 also depend on its size.
    let base = base / BLOCK * BLOCK;
    let end = end.next_multiple_of(BLOCK);
    for part in &mut parts {
        part.within = part.range.base >= base && part.range.base < end;
    }
    parts.push(Part {
        range: Range { base, size: end - base },
        within: false,
        class: "el2",
        what: "EL2's block: code, plan, state, pristine images".into(),
        who: "no guest".into(),
    });
    parts.extend(system.board.reserved.iter().map(|&range| Part {
        range,
        within: false,
        class: "kept",
        what: "firmware".into(),
        who: "nobody".into(),
    }));
    let (within, mut all): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|part| part.within);
    all.sort_by_key(|part| part.range.base);
    let taken: Vec<Range> = all.iter().map(|part| part.range).collect();
    for ram in &system.board.ram {
        let mut next = ram.base;
        let end = ram.base + ram.size;
        let inside = taken.iter().filter(|range| (ram.base..end).contains(&range.base));
        for range in inside.copied().chain([Range { base: end, size: 0 }]) {
            if range.base > next {
                all.push(free(next, range.base - next));
            }
            next = next.max(range.base + range.size);
        }
    }
    all.sort_by_key(|part| part.range.base);
    let behind = all.iter().position(|part| part.class == "el2").map_or(0, |at| at + 1);
    all.splice(behind..behind, within);
    all
}

fn free(base: u64, size: u64) -> Part {
    Part {
        range: Range { base, size },
        within: false,
        class: "free",
        what: "free".into(),
        who: "nobody".into(),
    }
}

/// Returns the devices: registers, name, owner.
fn devices(system: &System) -> Vec<(Range, String, String)> {
    let board = &system.board;
    let cores: Vec<String> = system
        .partitions
        .iter()
        .flat_map(|partition| &partition.vcpus)
        .map(|vcpu| vcpu.core.to_string())
        .collect();
    let each = "EL2, each core its own";
    let drains = format!("EL2 on core {}", system.console_core);
    let mut rows = vec![
        (board.gic.gicd, "GIC distributor".into(), "EL2".into()),
        (board.gic.gicr, format!("GIC redistributors of cores {}", cores.join(" ")), each.into()),
        (board.gic.gicc, "GIC CPU interface".into(), each.into()),
        (board.gic.gich, "GIC virtual interface control".into(), each.into()),
        (board.uart.0, format!("console's PL011, INTID {}", board.uart.1), drains),
    ];
    for (index, device) in board.devices.iter().enumerate() {
        let owner = system.partitions.iter().find(|partition| partition.devices.contains(&index));
        let lines: Vec<String> =
            device.interrupts.iter().map(|line| line.intid.to_string()).collect();
        let lines = match lines.as_slice() {
            [] => String::new(),
            [only] => format!(", INTID {only}"),
            [first, .., last] => format!(", INTID {first} to {last}"),
        };
        let who = owner.map_or("nobody".to_owned(), |partition| {
            format!("{} {}", partition.name, Access::Device.letters())
        });
        rows.push((device.regs, format!("{}{lines}", device.name), who));
    }
    rows.retain(|(range, _, _)| range.size > 0);
    rows.sort_by_key(|(range, _, _)| range.base);
    rows
}
