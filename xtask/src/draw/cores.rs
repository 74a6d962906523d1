//! The upper half of a drawing: a panel per partition with its cores, and the channels below, from
//! core to core.

use super::canvas::{Canvas, MARGIN, width};
use super::units::bytes;
use manifest::guest_machine::PL011_INTID;
use manifest::system::{End, System};
use manifest::words::address;
use manifest::words::count;
use plan::{CLASS_COMM, INTERRUPT_PHYSICAL};
use planner::Design;

/// A core's box.
const CARD: [f64; 2] = [132.0, 62.0];
/// Space between cores, and inside panels.
const GAP: f64 = 12.0;
const PAD: f64 = 16.0;
/// Space between panels.
const BETWEEN: f64 = 24.0;
/// Height of a line of a panel's text.
const LINE: f64 = 18.0;
/// Height of a channel.
const RAIL: f64 = 66.0;

/// A line of a panel: its name, and the rest.
type Fact = (String, String);

/// Draws partitions and channels from `top` down; returns their lower end.
pub fn draw(canvas: &mut Canvas, system: &System, design: &Design, top: f64) -> f64 {
    let facts: Vec<Vec<Fact>> =
        (0..system.partitions.len()).map(|p| facts(system, design, p)).collect();
    let lines = facts.iter().map(Vec::len).max().unwrap_or(0) as f64;
    let cards = top + PAD + 24.0 + lines * LINE + GAP;
    let bottom = cards + CARD[1] + PAD;

    let mut x = MARGIN;
    // The left edge of each core's box, by partition and vCPU.
    let mut places: Vec<Vec<f64>> = Vec::new();
    for (partition, facts) in system.partitions.iter().zip(&facts) {
        let vcpus = partition.vcpus.len() as f64;
        let text = facts
            .iter()
            .map(|(what, rest)| width(what, "mono") + width(rest, "small") + GAP)
            .fold(0.0, f64::max);
        let inner = (vcpus * (CARD[0] + GAP) - GAP).max(text);
        canvas.rectangle([x, top, inner + 2.0 * PAD, bottom - top], 10.0, "panel");
        canvas.text(x + PAD, top + PAD + 10.0, "head", &partition.name);
        for (row, (what, rest)) in facts.iter().enumerate() {
            let y = top + PAD + 34.0 + row as f64 * LINE;
            canvas.text(x + PAD, y, "mono", what);
            let behind = x + PAD + width(what, "mono") + GAP;
            canvas.text(behind, y, "small muted", rest);
        }
        let mut row = Vec::new();
        for (number, vcpu) in partition.vcpus.iter().enumerate() {
            let left = x + PAD + number as f64 * (CARD[0] + GAP);
            let class = match vcpu.class == CLASS_COMM {
                true => "comm",
                false => "compute",
            };
            canvas.rectangle([left, cards, CARD[0], CARD[1]], 7.0, class);
            canvas.text(left + GAP, cards + 21.0, "head", format!("core {}", vcpu.core));
            canvas.text(left + GAP, cards + 37.0, "", format!("vCPU {number}, {class}"));
            if vcpu.core == system.console_core {
                canvas.text(left + GAP, cards + 53.0, "small muted", "drains the console");
            }
            row.push(left);
        }
        places.push(row);
        x += inner + 2.0 * PAD + BETWEEN;
    }
    nobodys(canvas, system, design, [x, top, cards]);
    if system.channels.is_empty() {
        return bottom;
    }
    channels(canvas, system, design, &places, [cards + CARD[1], bottom])
}

/// Draws the cores that no partition has.
fn nobodys(canvas: &mut Canvas, system: &System, design: &Design, [x, top, cards]: [f64; 3]) {
    let free: Vec<String> = (0..system.board.cores.len())
        .filter(|core| !design.places.cores.contains(&(*core as u32)))
        .map(|core| core.to_string())
        .collect();
    if !free.is_empty() {
        let height = cards + CARD[1] + PAD - top;
        let plural = if free.len() == 1 { "core" } else { "cores" };
        let cores = format!("{plural} {}", free.join(" "));
        let wide = (width(&cores, "mono") + 2.0 * PAD).max(150.0);
        canvas.rectangle([x, top, wide, height], 10.0, "nobody");
        canvas.text(x + PAD, top + PAD + 10.0, "head muted", "nobody's");
        canvas.text(x + PAD, top + PAD + 34.0, "mono muted", cores);
        canvas.text(x + PAD, top + PAD + 34.0 + LINE, "small muted", "never started");
    }
}

/// Returns what a partition has in addition to cores.
fn facts(system: &System, design: &Design, p: usize) -> Vec<Fact> {
    let (partition, guest) = (&system.partitions[p], &design.guests[p]);
    let mut facts: Vec<Fact> = partition
        .memory
        .iter()
        .map(|piece| {
            (bytes(piece.size), format!("{}, seen at {}", piece.what(), address(piece.ipa)))
        })
        .collect();
    for &device in &partition.devices {
        let device = &system.board.devices[device];
        facts.push((device.name.clone(), "passed through".to_owned()));
    }
    let physical: Vec<String> = guest
        .interrupts
        .iter()
        .filter(|row| row.intid >= 32 && row.flags & INTERRUPT_PHYSICAL != 0)
        .map(|row| row.intid.to_string())
        .collect();
    facts.push(("INTID 27, 30".to_owned(), "timers of its own cores".to_owned()));
    if partition.console {
        facts.push((format!("INTID {PL011_INTID}"), "PL011, emulated".to_owned()));
    }
    if !physical.is_empty() {
        facts.push((format!("INTID {}", physical.join(", ")), "hardware".to_owned()));
    }
    if partition.policy.restarts() {
        let seconds = partition.policy.within / 1_000_000;
        facts.push(("restarts".to_owned(), format!("{} in {seconds} s", partition.policy.limit)));
    }
    if let Some(intid) = guest.notice {
        facts.push((format!("INTID {intid}"), "supervisor: others' stops and starts".to_owned()));
    }
    // Many ends are shown as a number: each has its arrow below.
    let rung: Vec<_> = guest
        .interrupts
        .iter()
        .filter(|row| guest.ends.iter().any(|end| end.intid == Some(u32::from(row.intid))))
        .collect();
    if let [first, .., last] = rung.as_slice() {
        let ids = format!("INTID {} to {}", first.intid, last.intid);
        facts.push((ids, format!("doorbells of {}", count(rung.len(), "channel"))));
    } else if let [only] = rung.as_slice() {
        facts.push((format!("INTID {}", only.intid), "doorbells".to_owned()));
    }
    facts
}

/// Draws every channel: two lines down from its ends, and an arrow for each direction.
fn channels(
    canvas: &mut Canvas,
    system: &System,
    design: &Design,
    places: &[Vec<f64>],
    [from, below]: [f64; 2],
) -> f64 {
    // Each end's line leaves its core's box at a separate place.
    let drop = |c: usize, side: usize| {
        let end = &system.channels[c].ends[side];
        let ends: Vec<_> =
            design.guests[end.partition].ends.iter().filter(|seen| seen.vcpu == end.vcpu).collect();
        let place =
            ends.iter().position(|seen| seen.channel == c && seen.side == side).unwrap_or(0);
        let share = (place + 1) as f64 / (ends.len() + 1) as f64;
        places[end.partition][end.vcpu] + (CARD[0] * share).round()
    };
    let ends: Vec<[f64; 2]> =
        (0..system.channels.len()).map(|c| [drop(c, 0), drop(c, 1)]).collect();
    let lanes = lanes(&ends);
    let rail = |c: usize| below + 44.0 + lanes[c] as f64 * RAIL;
    for (c, ends) in ends.iter().enumerate() {
        for &x in ends {
            canvas.line([x, from], [x, rail(c) + 31.0], "drop");
        }
    }
    for (c, channel) in system.channels.iter().enumerate() {
        let (x, y) = (ends[c], rail(c));
        let left = x[0].min(x[1]) + 12.0;
        canvas.text(left, y - 22.0, "head over", &channel.name);
        for side in [0, 1] {
            let y = y + 26.0 * side as f64;
            canvas.arrow(x[side], x[1 - side], y);
            let (sender, receiver) = (&channel.ends[side], &channel.ends[1 - side]);
            canvas.text(left, y - 6.0, "small muted over", direction(sender, receiver));
        }
    }
    let lanes = lanes.iter().max().map_or(0, |lane| lane + 1);
    let last = below + 44.0 + lanes as f64 * RAIL - 40.0;
    let note = "An arrow shows pages that the partition at its tail reads and writes and the one \
                at its head only reads.";
    canvas.text(MARGIN, last + 30.0, "small muted", note);
    last + 30.0
}

/// Returns a lane per channel: channels next to each other share one.
fn lanes(ends: &[[f64; 2]]) -> Vec<usize> {
    let mut taken: Vec<Vec<[f64; 2]>> = Vec::new();
    let mut lanes = Vec::new();
    for [a, b] in ends {
        let (from, to) = (a.min(*b), a.max(*b));
        let fits =
            |lane: &Vec<[f64; 2]>| lane.iter().all(|[first, last]| to < *first || from > *last);
        let lane = taken.iter().position(fits).unwrap_or_else(|| {
            taken.push(Vec::new());
            taken.len() - 1
        });
        taken[lane].push([from, to]);
        lanes.push(lane);
    }
    lanes
}

/// Describes one direction of a channel: its size, and how the receiver is notified.
fn direction(sender: &End, receiver: &End) -> String {
    let data = match sender.bytes {
        0 => "no data".to_owned(),
        data => bytes(data),
    };
    match (receiver.wait, sender.rate) {
        (channel::wait::DOORBELL, 0) => format!("{data}, doorbells without limit"),
        (channel::wait::DOORBELL, rate) => format!("{data}, {rate} doorbells/s"),
        (wait, _) => {
            let name = channel::wait::NAMES.get(wait as usize).copied();
            format!("{data}, no doorbell: {}", name.unwrap_or("?"))
        }
    }
}
