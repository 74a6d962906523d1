//! Loading a partition: all its cores together fill its memory and its channel pages, and clean
//! them to the point of coherency. All earlier contents are overwritten, other partitions' images
//! included.
//!
//! Loading has two rounds. In each, cores take chunks one after the other:
//!
//! 1. The cores copy each byte from the pristine images, or clear it, through the loading tables
//!    (Normal, Write-Back).
//! 2. The cores clean and invalidate each line, since guests start with their caches off. By then
//!    every core has left the loading tables, and a core that cleans maps the memory with its data
//!    cache off. So a core cannot read a line back by speculation, which a guest would find once it
//!    has its caches on.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use aarch64_cpu::asm::{self, barrier};
use aarch64_cpu::registers::{CNTHCTL_EL2, Writeable};
use console::{LineBuffer, PREFIX};
use plan::load::{chunk, first_part, ranges, total};
use plan::{Load, Memory, Partition, Range};

use super::board_watchdog;
use crate::arch::{cache, timer};
use crate::drivers::pl011::Uart;
use crate::state::percpu::PerCpu;
use crate::state::plan_view::PlanView;

/// `CNTHCTL_EL2`: EVNTEN, and EVNTI for an event every 2^16 ticks.
const EVENTS: u64 = 1 << 2 | 15 << 4;

/// What a core does next to load its partition.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Fills a chunk.
    Fill,
    /// Waits until every core has left the loading tables.
    Filled,
    /// Cleans a chunk.
    Clean,
    /// Waits until every core has cleaned its chunks.
    Cleaned,
    /// Nothing: all is loaded, and the running tables are in use.
    Done,
}

/// Does one step of loading the partition of `cpu`, of at most `chunks` chunks, and returns the
/// next one. Each core of the partition begins with [`Step::Fill`], with its loading tables in use
/// and its counters zero. A step that returns itself waits for other cores.
pub fn step(cpu: &PerCpu, step: Step, chunks: usize) -> Step {
    let (plan, row) = (&cpu.plan, cpu.row);
    let Some(loading) = cpu.shared.global.loading.get(row.partition as usize) else {
        return Step::Done;
    };
    let next = |taken: &AtomicU32| {
        let number = taken.fetch_add(1, Relaxed);
        chunk(of(plan, cpu.partition), number.into())
    };
    let have_arrived = |rounds| loading.arrived.load(Acquire) >= rounds * cpu.vcpus.len() as u32;
    match step {
        Step::Fill => {
            for _ in 0..chunks {
                let Some(range) = next(&loading.filled) else {
                    // SAFETY: the row's running root; this core no longer accesses the filled
                    // memory through the loading tables.
                    unsafe { cache::switch_el2_tables(row.ttbr_run) };
                    arrive(&loading.arrived);
                    return Step::Filled;
                };
                fill(plan.slice(cpu.partition.loads), range);
            }
            Step::Fill
        }
        Step::Filled if have_arrived(1) => Step::Clean,
        Step::Clean => {
            for _ in 0..chunks {
                let Some(Range { base, size }) = next(&loading.cleaned) else {
                    cache::invalidate_instructions();
                    arrive(&loading.arrived);
                    return Step::Cleaned;
                };
                // SAFETY: the row's two roots, of which the first maps the partition's memory.
                unsafe {
                    cache::clean_invalidate_unmapped(base, size, row.ttbr_load, row.ttbr_run);
                }
            }
            Step::Clean
        }
        Step::Cleaned if have_arrived(2) => Step::Done,
        Step::Filled | Step::Cleaned | Step::Done => step,
    }
}

/// Clears the indices of the partition's channel pages, through the loading tables. Peers that use
/// the pages see no index of this life from then on, before any data of theirs are cleared.
pub fn disconnect(cpu: &PerCpu) {
    for pages in cpu.plan.slice::<Range>(cpu.partition.clears) {
        for word in 0..plan::PAGE / 8 {
            // SAFETY: as in `fill`; the first of the pages holds the indices. A peer may read each
            // word meanwhile, so it changes at once.
            unsafe { ((pages.base + 8 * word) as *mut u64).write_volatile(0) };
        }
        // A peer's mapping of them may be Non-cacheable.
        cache::clean_invalidate(pages.base, plan::PAGE);
    }
}

/// Chunks between two looks at the progress of boot.
const CHUNKS: usize = 4;

/// Loads the partition of `cpu` at boot.
pub fn load(cpu: &PerCpu, progress: &mut Progress) {
    let Some(loading) = cpu.shared.global.loading.get(cpu.row.partition as usize) else {
        return;
    };
    let cores = cpu.vcpus.len() as u32;
    let mut next = Step::Fill;
    while next != Step::Done {
        next = step(cpu, next, CHUNKS);
        match next {
            Step::Filled => meet(cpu, &loading.arrived, cores, progress),
            Step::Cleaned => meet(cpu, &loading.arrived, 2 * cores, progress),
            _ => progress.look(cpu),
        }
    }
}

/// Returns all ranges that are loaded of a partition.
fn of(plan: &PlanView, partition: &Partition) -> impl Iterator<Item = Range> {
    ranges(plan.slice::<Memory>(partition.memory), plan.slice(partition.clears))
}

/// Fills one chunk.
fn fill(loads: &[Load], range: Range) {
    let (mut base, end) = (range.base, range.base + range.size);
    while base < end {
        let (until, source) = first_part(loads, base, end);
        let size = until - base;
        // SAFETY: the plan gives this partition the range, its loading tables map it and the
        // source, which is in the moved image and not in the range. No guest of the partition runs,
        // and no other core has this chunk.
        unsafe {
            match source {
                Some(source) => core::ptr::copy_nonoverlapping(
                    source as *const u8,
                    base as *mut u8,
                    size as usize,
                ),
                None => cache::clear_range(base, size),
            }
        }
        base = until;
    }
}

/// Counts this core in `arrived`, and wakes the cores that wait for that.
pub fn arrive(arrived: &AtomicU32) {
    arrived.fetch_add(1, AcqRel);
    barrier::dsb(barrier::ISHST);
    asm::sev();
}

/// Waits at boot until `count` cores, the caller included, have come here, counted in `arrived` by
/// [`arrive`]. Prints the progress of loading meanwhile.
pub fn meet(cpu: &PerCpu, arrived: &AtomicU32, count: u32, progress: &mut Progress) {
    while arrived.load(Acquire) < count {
        progress.look(cpu);
        asm::wfe();
    }
}

/// The console core's messages while partitions are loaded. Only boot uses the UART then, so it may
/// wait for it.
pub struct Progress {
    began: u64,
    next: u64,
}

impl Progress {
    /// Prints nothing on other cores than the console core. On the console core it enables periodic
    /// events that end WFE, until the guest's own `CNTHCTL_EL2` is loaded.
    pub fn new(cpu: &PerCpu) -> Self {
        let began = timer::now();
        let mut next = u64::MAX;
        if cpu.index == cpu.plan.header.console_core as usize {
            next = began + timer::frequency() / 2;
            CNTHCTL_EL2.set(EVENTS);
        }
        Self { began, next }
    }

    /// Prints how far partitions are loaded, if that is due: first after half a second, then at
    /// twice the elapsed time, but at least every four seconds.
    pub fn look(&mut self, cpu: &PerCpu) {
        let now = timer::now();
        if now < self.next {
            return;
        }
        // It takes longer to load than the board's watchdog may wait.
        board_watchdog::pet(&cpu.plan);
        self.next = now + (now - self.began).min(4 * timer::frequency());
        // SAFETY: the machine check saw the PL011 there; only this core maps it, and nothing else
        // drives it before the partitions start.
        let uart = unsafe { Uart::new(cpu.plan.header.machine.uart.base) };
        uart.switch_on();
        for (index, partition) in cpu.plan.partitions().iter().enumerate() {
            let Some(loading) = cpu.shared.global.loading.get(index) else {
                continue;
            };
            let (chunks, bytes) = total(of(&cpu.plan, partition));
            let done = |taken: &AtomicU32| chunks.min(taken.load(Relaxed).into());
            let done = done(&loading.filled) + done(&loading.cleaned);
            if done < 2 * chunks {
                let mut line = LineBuffer::default();
                line.str(PREFIX).name(&partition.name).str(": ");
                line.loading(bytes / (2 * chunks) * done, bytes).str("\r\n");
                line.as_bytes().iter().for_each(|&byte| uart.write(byte));
            }
        }
        uart.flush();
    }
}
