// SPDX-License-Identifier: MIT OR Apache-2.0
//! Physical addresses of everything: EL2's block, partition memory, channel regions.
//!
//! A buddy allocator returns naturally aligned blocks, so that partition memory is mapped by the
//! largest stage-2 blocks that its size permits and small regions share the rest. EL2's block is at
//! the top of RAM, away from where boot loaders put the image and the boot device tree.

use std::fmt::Write;

use anyhow::{Result, bail, ensure};
use buddy_system_allocator::FrameAllocator;
use manifest::placement_error::{Of, PlacementError};
use manifest::system::{Range, System, merged};
use manifest::words::bytes;
use plan::{
    PAGE, PRIVATE_SIZE, RECORDS_SIZE, SHARED_GLOBAL, SHARED_PER_CORE, SHARED_PER_PARTITION,
    STATE_SIZE, options,
};

use super::guest::Guest;
use super::pages::pages;

/// Alignment of EL2's block: what cores map while they run is in one level-3 table where possible.
const BLOCK: u64 = 2 << 20;
/// Largest stage-2 block of the 4 KiB granule.
const LARGEST: u64 = 1 << 30;

/// Physical addresses of everything.
#[derive(Clone, Debug)]
pub struct Places {
    /// Board core numbers of the cores that the system uses, ascending: a core's index in the plan
    /// is its index here.
    pub cores: Vec<u32>,
    /// EL2's private region of each core, by index.
    pub private: Vec<Range>,
    /// EL2's memory for each partition.
    pub state: Vec<Range>,
    /// EL2's shared region.
    pub shared: Range,
    /// EL2's ring of crash records; all zero if the system has none.
    pub records: Range,
    /// The moved image.
    pub image: Range,
    /// The place of each pristine contents in the moved image: whole pages.
    pub pristine: Vec<Range>,
    /// Each partition's pieces of memory, in its order.
    pub memory: Vec<Vec<Range>>,
    /// Each channel's regions, by the end that writes to them.
    pub regions: Vec<[Range; 2]>,
    /// Each channel's state table: a page, or nothing if no guest sees it as a PCI function.
    pub tables: Vec<Option<Range>>,
}

impl Places {
    /// Returns the place of the plan.
    #[must_use]
    pub fn plan_base(&self, el2_size: u64) -> u64 {
        self.image.base + el2_size
    }

    /// Returns all places, sorted, and merged where neighbours touch.
    #[must_use]
    pub fn ram(&self) -> Vec<Range> {
        let regions = self.regions.iter().flatten();
        let memory = self.memory.iter().flatten();
        let el2 = self.private.iter().chain(&self.state);
        let single = [self.shared, self.records, self.image];
        let tables = self.tables.iter().flatten();
        let all = regions.chain(tables).chain(memory).chain(el2).chain(&single);
        merged(all.filter(|range| range.size > 0))
    }
}

/// Places a system: with the largest blocks, or packed if those leave too many holes.
///
/// # Errors
/// If it does not fit the board's RAM; the error gives the sizes of both.
pub fn place(
    system: &System,
    guests: &[Guest],
    pristine: &[Vec<u8>],
    el2_size: u64,
    plan_size: u64,
) -> Result<Places> {
    place_aligned(system, guests, pristine, el2_size + plan_size, LARGEST)
        .or_else(|_| place_aligned(system, guests, pristine, el2_size + plan_size, BLOCK))
}

fn place_aligned(
    system: &System,
    guests: &[Guest],
    pristine: &[Vec<u8>],
    el2_and_plan: u64,
    largest: u64,
) -> Result<Places> {
    let mut frames = Frames::new(&system.board.ram, &system.board.reserved, largest);
    let mut memory: Vec<Vec<Range>> = vec![Vec::new(); system.partitions.len()];
    let mut wanted = Vec::new();
    for (p, partition) in system.partitions.iter().enumerate() {
        for piece in &partition.memory {
            let base = piece.physical.unwrap_or(0);
            let size = piece.size;
            let at = memory[p].len();
            memory[p].push(Range { base, size });
            if piece.physical.is_none() {
                wanted.push((size, p, at, piece.ipa));
                continue;
            }
            ensure!(
                frames.reserve(base, size),
                PlacementError {
                    of: Of::Memory(p, at),
                    what: format!(
                        "the `physical` address of {}'s memory is not free RAM",
                        partition.name
                    ),
                    why: format!(
                        "{base:#x} to {:#x} is not free RAM of {}",
                        base + size - 1,
                        system.board.name
                    ),
                    help: "leave `physical` out: the planner finds a place",
                }
            );
        }
    }

    let mut cores: Vec<u32> = system
        .partitions
        .iter()
        .flat_map(|partition| &partition.vcpus)
        .map(|vcpu| vcpu.core)
        .collect();
    cores.sort_unstable();
    let mut block = 0;
    let mut next = |size: u64| {
        let base = block;
        block += size;
        Range { base, size }
    };
    let mut private: Vec<_> = cores.iter().map(|_| next(PRIVATE_SIZE)).collect();
    let mut state: Vec<_> = guests.iter().map(|_| next(STATE_SIZE)).collect();
    let shared = SHARED_GLOBAL
        + cores.len() as u64 * SHARED_PER_CORE
        + guests.len() as u64 * SHARED_PER_PARTITION;
    let mut shared = next(shared);
    let has_records = system.options & options::CRASH_RECORDS != 0;
    let mut records = next(if has_records { RECORDS_SIZE } else { 0 });
    let mut image = next(0);
    next(el2_and_plan);
    let mut contents: Vec<_> = pristine.iter().map(|p| next(pages(p.len() as u64))).collect();
    image.size = block - image.base;

    let Some(base) = frames.take_top(block) else {
        bail!(frames.does_not_fit(system, Of::System, "EL2 with its image", block));
    };
    let ranges = private.iter_mut().chain(&mut state).chain(&mut contents);
    for range in ranges.chain([&mut shared, &mut records, &mut image]) {
        range.base += base;
    }
    if !has_records {
        records.base = 0;
    }

    // Large pieces are placed first, so that small ones do not break the blocks that large ones
    // need.
    wanted.sort_by_key(|&(size, p, at, _)| (std::cmp::Reverse(size), p, at));
    for (size, p, at, ipa) in wanted {
        let Some(base) = frames.take(size, ipa) else {
            let who = format!("memory of {}", system.partitions[p].name);
            bail!(frames.does_not_fit(system, Of::Memory(p, at), &who, size));
        };
        memory[p][at].base = base;
    }
    let mut regions = vec![[Range { base: 0, size: 0 }; 2]; system.channels.len()];
    let mut wanted = Vec::new();
    for (c, channel) in system.channels.iter().enumerate() {
        for (side, end) in channel.ends.iter().enumerate() {
            wanted.push((PAGE + end.bytes, c, side));
        }
    }
    wanted.sort_by_key(|&(size, c, side)| (std::cmp::Reverse(size), c, side));
    for (size, c, side) in wanted {
        let Some(base) = frames.take(size, 0) else {
            let who = format!("pages of channel {}", system.channels[c].name);
            bail!(frames.does_not_fit(system, Of::Channel(c), &who, size));
        };
        regions[c][side] = Range { base, size };
    }
    let mut tables = Vec::new();
    for (c, channel) in system.channels.iter().enumerate() {
        let mut table = None;
        if channel.has_function() {
            let Some(base) = frames.take(PAGE, 0) else {
                let who = format!("the state table of channel {}", channel.name);
                bail!(frames.does_not_fit(system, Of::Channel(c), &who, PAGE));
            };
            table = Some(Range { base, size: PAGE });
        }
        tables.push(table);
    }
    Ok(Places {
        cores,
        private,
        state,
        shared,
        records,
        image,
        pristine: contents,
        memory,
        regions,
        tables,
    })
}

/// Free page frames of a board.
struct Frames {
    free: FrameAllocator,
    ram: Vec<Range>,
    /// Largest alignment that is given.
    largest: u64,
}

impl Frames {
    fn new(ram: &[Range], reserved: &[Range], largest: u64) -> Self {
        let ram = merged(ram.iter());
        let mut free = FrameAllocator::new();
        for range in &ram {
            // Whole pages inside the range.
            let first = pages(range.base) / PAGE;
            let end = (range.base + range.size) / PAGE;
            free.insert(first as usize..end.max(first) as usize);
        }
        let mut frames = Self { free, ram, largest };
        for page in reserved.iter().flat_map(|range| {
            let first = range.base / PAGE;
            first..pages(range.base + range.size) / PAGE
        }) {
            // Ranges that firmware keeps may reach beyond RAM and overlap, so each page is taken if
            // it is free.
            frames.free.alloc_at(page as usize, 1);
        }
        frames
    }

    /// Takes exactly `base..base + size`, whole pages, if all of it is free.
    fn reserve(&mut self, base: u64, size: u64) -> bool {
        let mut taken = Vec::new();
        for (frame, count) in aligned_pieces(base, size) {
            if self.free.alloc_at(frame, count).is_none() {
                for (frame, count) in taken {
                    self.free.dealloc(frame, count);
                }
                return false;
            }
            taken.push((frame, count));
        }
        true
    }

    /// Takes `size` bytes, aligned like `like` (an IPA) as far as a stage-2 block can profit from
    /// it.
    fn take(&mut self, size: u64, like: u64) -> Option<u64> {
        let whole = size.next_power_of_two();
        if whole <= self.largest
            && like.is_multiple_of(whole)
            && let Some(frame) = self.free.alloc((whole / PAGE) as usize)
        {
            let base = frame as u64 * PAGE;
            for (frame, count) in aligned_pieces(base + size, whole - size) {
                self.free.dealloc(frame, count);
            }
            return Some(base);
        }
        // If an aligned block of that size is not free, it is placed anywhere, at the largest
        // alignment first.
        let mut align = whole.min(self.largest);
        while align >= PAGE {
            for range in self.ram.clone() {
                let mut base = range.base.next_multiple_of(align) + like % align;
                while base + size <= range.base + range.size {
                    if self.reserve(base, size) {
                        return Some(base);
                    }
                    base += align;
                }
            }
            align /= 2;
        }
        None
    }

    /// Takes `size` bytes at the highest free addresses, their base aligned for EL2.
    fn take_top(&mut self, size: u64) -> Option<u64> {
        for range in self.ram.clone().iter().rev() {
            let mut end = range.base + range.size;
            while let Some(base) = end.checked_sub(size).map(|base| base & !(BLOCK - 1)) {
                if base < range.base {
                    break;
                }
                if self.reserve(base, size) {
                    return Some(base);
                }
                end = base + size - 1;
            }
        }
        None
    }

    fn does_not_fit(&self, system: &System, of: Of, who: &str, size: u64) -> PlacementError {
        let ram = self.ram.iter().map(|range| range.size).sum();
        let mut why = format!("RAM has {};", bytes(ram));
        for partition in &system.partitions {
            let size = partition.memory.iter().map(|piece| piece.size).sum();
            // Writing to a String cannot fail.
            let _ = write!(why, " {} takes {},", partition.name, bytes(size));
        }
        let _ = write!(why, " and no range of {} is free", bytes(size));
        PlacementError {
            of,
            what: format!("{who} does not fit the RAM of {}", system.board.name),
            why,
            help: "make a piece of memory smaller, or choose `physical` addresses that leave \
                   longer ranges free",
        }
    }
}

/// Splits `base..base + size` into naturally aligned powers of two, in page frames.
fn aligned_pieces(base: u64, size: u64) -> impl Iterator<Item = (usize, usize)> {
    let mut frame = (base / PAGE) as usize;
    let mut left = (size / PAGE) as usize;
    std::iter::from_fn(move || {
        let largest = 1 << left.checked_ilog2()?;
        let aligned = if frame == 0 { largest } else { 1 << frame.trailing_zeros() };
        let piece = (frame, largest.min(aligned));
        frame += piece.1;
        left -= piece.1;
        Some(piece)
    })
}
