//! The owner of each physical range: EL2's parts, partitions' memory, channel pages, devices. Each
//! range has one owner, and ranges of RAM are in RAM that the board has and firmware does not use.

use plan::{
    PRIVATE_SIZE, RECORDS_SIZE, Range, SHARED_GLOBAL, SHARED_PER_CORE, SHARED_PER_PARTITION,
    STATE_SIZE,
};

use crate::board::GICR_SIZE;
use crate::claims::{Context, paged};
use crate::finding::{Claim, Findings, range};
use crate::ranges::{end, merged};

/// A physical range with one owner.
#[derive(Clone, Debug)]
pub struct Place {
    /// The range.
    pub range: Range,
    /// A name for findings: "memory of sensor".
    pub what: String,
    /// Its owners.
    pub who: Vec<String>,
    /// Whether it is RAM that the plan uses.
    pub ram: bool,
    /// The declared writer's and reader's partition, of channel pages.
    pub channel: Option<(usize, usize)>,
    /// The partitions of both ends, of a channel's state table.
    pub table: Option<[usize; 2]>,
}

/// All places, by address.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The ranges.
    pub list: Vec<Place>,
}

impl Places {
    /// Lists every range that has an owner.
    pub fn of(context: &Context<'_>) -> Self {
        let mut places = Self::default();
        places.el2(context);
        places.board(context);
        for (p, _, row) in context.partitions() {
            let name = context.name(p);
            for piece in &row.memory {
                let range = Range { base: piece.base.0, size: piece.size };
                places.ram(range, format!("memory of {name}"), name);
            }
        }
        for &end in &context.ends {
            if let Some(range) = context.region(end) {
                let what = format!("pages of {}", context.direction(end));
                let (writer, reader) = (end.partition, context.peer(end).partition);
                places.ram(range, what, context.name(writer));
                if let Some(place) = places.list.last_mut() {
                    place.who.push(context.name(reader).to_string());
                    place.channel = Some((writer, reader));
                }
            }
        }
        for &end in context.ends.iter().filter(|end| end.side == 0) {
            if let Some(range) = context.state_table(end) {
                let both = [end.partition, context.peer(end).partition];
                let what = format!("the state table of {}", context.channel_name(end));
                places.ram(range, what, "EL2");
                if let Some(place) = places.list.last_mut() {
                    place.table = Some(both);
                }
            }
        }
        places.list.sort_by_key(|place| (place.range.base, place.range.size));
        places
    }

    fn el2(&mut self, context: &Context<'_>) {
        let image = context.image;
        let header = &image.header;
        for segment in &context.inputs.el2.segments {
            let range =
                Range { base: header.el2_base.wrapping_add(segment.offset), size: segment.size };
            self.ram(range, segment_name(segment.rights).into(), "EL2");
        }
        let plan = Range { base: image.plan_base(), size: image.plan.len() as u64 };
        self.ram(plan, "the plan".into(), "EL2");
        let pristine = image.pristine_offset();
        let pristine = Range {
            base: header.el2_base.wrapping_add(pristine as u64),
            size: (image.bytes.len() - pristine) as u64,
        };
        self.ram(pristine, "pristine images".into(), "EL2");
        self.ram(header.shared, "EL2's shared region".into(), "EL2");
        self.ram(header.records, "EL2's crash records".into(), "EL2");
        for (index, core) in image.cores.iter().enumerate() {
            let what = format!("EL2's private region of {}", context.core_name(index));
            self.ram(core.row.private, what, "EL2");
        }
        for (p, _, row) in context.partitions() {
            let what = format!("EL2's state of {}", context.name(p));
            self.ram(row.row.state, what, "EL2");
        }
    }

    fn board(&mut self, context: &Context<'_>) {
        let board = context.board();
        let gic = &board.gic[0];
        self.fixed(gic.gicd, "the distributor".into(), "EL2");
        for number in 0..gic.gicr.size / GICR_SIZE {
            let base = gic.gicr.base + number * GICR_SIZE;
            let size = GICR_SIZE;
            let what = format!("the redistributor of core {number}");
            self.fixed(Range { base, size }, what, "EL2");
        }
        self.fixed(gic.gicc, "the GIC's CPU interface".into(), "EL2");
        self.fixed(gic.gich, "the GIC's virtual interface control".into(), "EL2");
        self.fixed(gic.gicv, "the GIC's virtual CPU interface".into(), "EL2");
        self.fixed(paged(board.console.regs), "the console's UART".into(), "EL2");
        for page in board.running_pages() {
            self.fixed(page, "a register that ends the machine".into(), "EL2");
        }
        for device in &board.device {
            let given = context.manifest().partition.iter();
            let given = given.filter(|p| p.devices.contains(&device.name));
            let owners: Vec<_> = given.map(|p| p.name.clone()).collect();
            let what = format!("device {}", device.name);
            self.fixed(paged(device.regs), what, "nobody");
            if let (false, Some(place)) = (owners.is_empty(), self.list.last_mut()) {
                place.who = owners;
            }
        }
    }

    fn ram(&mut self, range: Range, what: String, who: &str) {
        self.fixed(range, what, who);
        if let (true, Some(place)) = (range.size > 0, self.list.last_mut()) {
            place.ram = true;
        }
    }

    fn fixed(&mut self, range: Range, what: String, who: &str) {
        if range.size > 0 {
            self.list.push(Place {
                range,
                what,
                who: vec![who.to_string()],
                ram: false,
                channel: None,
                table: None,
            });
        }
    }

    /// Returns the place that has a physical address.
    #[must_use]
    pub fn at(&self, address: u64) -> Option<&Place> {
        let holds = |place: &&Place| address.wrapping_sub(place.range.base) < place.range.size;
        self.list.iter().find(holds)
    }

    /// Describes what is at a physical address.
    #[must_use]
    pub fn words(&self, address: u64) -> String {
        let place = self.at(address);
        place.map_or("an address without an owner".into(), |place| place.what.clone())
    }

    /// Checks that every range has one owner, that RAM is the board's, and that the plan demands
    /// exactly what it uses.
    pub fn check(&self, context: &Context<'_>, findings: &mut Findings) {
        let board = context.board();
        let mut last: Option<&Place> = None;
        for place in &self.list {
            let Range { base, size } = place.range;
            let who: Vec<_> = place.who.iter().map(String::as_str).collect();
            let mut add = |at: Range, who: &[&str], what: String| {
                findings.add(Claim::Ownership, range(at.base, at.size), who, what);
            };
            if base.checked_add(size).is_none_or(|end| end > 1 << 48) {
                add(place.range, &who, format!("{} reaches beyond the address space", place.what));
                continue;
            }
            if !(base | size).is_multiple_of(plan::PAGE) && place.ram {
                add(place.range, &who, format!("{} is not whole pages", place.what));
            }
            if let Some(before) = last
                && base < end(before.range)
            {
                let both = Range { base, size: end(before.range).min(base + size) - base };
                let mut owners: Vec<_> = before.who.iter().map(String::as_str).collect();
                owners.extend(who.iter().filter(|name| !before.who.iter().any(|b| b == *name)));
                add(both, &owners, format!("one range is both {} and {}", before.what, place.what));
            }
            if last.is_none_or(|before| end(before.range) <= base + size) {
                last = Some(place);
            }
            if place.ram {
                let inside = |ram: &&Range| ram.base <= base && base + size <= end(**ram);
                if !merged(&board.ram).iter().any(|ram| inside(&ram)) {
                    add(place.range, &who, format!("{} is outside the board's RAM", place.what));
                }
                let hit = |kept: &&Range| kept.base < base + size && base < end(**kept);
                if let Some(kept) = board.reserved.iter().find(hit) {
                    add(*kept, &who, format!("{} overlaps firmware", place.what));
                }
            }
        }
        let used: Vec<_> = self.list.iter().filter(|place| place.ram).collect();
        let used = merged(&used.iter().map(|place| place.range).collect::<Vec<_>>());
        if context.image.ram != used {
            let shown = |list: &[Range]| {
                let list: Vec<_> = list.iter().map(|r| range(r.base, r.size)).collect();
                list.join(" ")
            };
            let what = format!(
                "the machine must have RAM at {}, the plan uses {}",
                shown(&context.image.ram),
                shown(&used)
            );
            findings.add(Claim::Machine, "Machine::ram", &["EL2"], what);
        }
        self.check_sizes(context, findings);
    }

    /// Checks sizes that EL2 takes for granted.
    fn check_sizes(&self, context: &Context<'_>, findings: &mut Findings) {
        let image = context.image;
        let cores = image.cores.len() as u64;
        let mut expect = |place: String, found: Range, must: u64| {
            let what = "the size of EL2's region";
            findings.expect(Claim::Ownership, place, &["EL2"], what, found.size, must);
        };
        let partitions = context.partitions().count() as u64;
        let must = SHARED_GLOBAL + cores * SHARED_PER_CORE + partitions * SHARED_PER_PARTITION;
        expect("Header::shared".into(), image.header.shared, must);
        let has_records = context.manifest().crash_records;
        let must = if has_records { RECORDS_SIZE } else { 0 };
        expect("Header::records".into(), image.header.records, must);
        for (index, core) in image.cores.iter().enumerate() {
            let place = format!("private, {}", context.core_name(index));
            expect(place, core.row.private, PRIVATE_SIZE);
        }
        for (p, _, row) in context.partitions() {
            expect(format!("state, partition {}", context.name(p)), row.row.state, STATE_SIZE);
        }
        if !has_records {
            let (place, what) = ("Header::records", "the place of a ring that is not kept");
            let found = image.header.records.base;
            findings.expect(Claim::Ownership, place, &["EL2"], what, found, 0);
        }
    }
}

/// Returns the name of a segment of EL2.
#[must_use]
pub fn segment_name(rights: &str) -> &'static str {
    match rights {
        "r-x" => "EL2's text",
        "r--" => "EL2's rodata",
        _ => "EL2's data",
    }
}
