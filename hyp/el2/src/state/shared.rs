//! The one region of EL2 that all cores map: pending words, control words, counters, console rings.
//!
//! It consists only of atomics. The only guest data in it is console output and input.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

use abi::Reason;
use console::{Output, Ring, Waiting};
use doorbell::{Counters, PendingWord};
use plan::{
    Header, MAX_ENDS, MAX_PARTITIONS, SHARED_GLOBAL, SHARED_PER_CORE, SHARED_PER_PARTITION,
};
use psci::restart::History;

use super::records::{Known, Records};

/// The part that belongs to all cores together.
#[repr(C)]
pub struct Global {
    /// State of each partition, `abi::state`.
    states: [AtomicU32; MAX_PARTITIONS],
    /// Cores that are ready to enter their guests.
    pub ready: AtomicU32,
    /// Partitions that have not stopped.
    pub alive: AtomicU32,
    /// The partitions that have something for the console core.
    pub waiting: Waiting,
    /// The live partition, counted from 1, or 0 for none: it was given the input. A further bit
    /// says that it was given the terminal too.
    pub focus: AtomicU32,
    /// The run's nonce.
    pub nonce: AtomicU64,
    /// Progress of loading, by partition.
    pub loading: [Loading; MAX_PARTITIONS],
    /// Not 0 once a partition's policy stops the whole system.
    pub ending: AtomicU32,
    /// Stops and starts, by partition.
    pub lives: [Life; MAX_PARTITIONS],
    /// What is known of the crash records.
    pub records: Known,
}

/// The stops and starts of a partition (`services/restart.rs`). Only its own cores write it, but
/// for its order.
#[repr(C)]
pub struct Life {
    /// Number of starts so far.
    pub starts: AtomicU32,
    /// Its cores that are at rest after its stop.
    pub resting: AtomicU32,
    /// Number of times that its cores were told to load it again.
    pub reloads: AtomicU32,
    /// Tick of its next start, or 0 if none is planned.
    pub next: AtomicU64,
    /// Its restarts.
    pub history: History,
    /// The last order (`abi::supervise`) that its cores have not taken, or 0. Any core writes it.
    pub order: AtomicU64,
    /// Not 0 once EL2 itself has failed on one of its cores.
    pub damaged: AtomicU32,
}

/// Progress of loading a partition (`services/load.rs`). Its cores count; all counts start at zero.
#[repr(C)]
pub struct Loading {
    /// Chunks that cores took to fill them. It exceeds the number of chunks once cores found none
    /// left.
    pub filled: AtomicU32,
    /// Chunks that cores took to clean them; counts like `filled`.
    pub cleaned: AtomicU32,
    /// How many times a core has come to the end of a round.
    pub arrived: AtomicU32,
}

impl Loading {
    /// Sets all counts to zero, before the cores of the partition load it again.
    pub fn restart(&self) {
        for count in [&self.filled, &self.cleaned, &self.arrived] {
            count.store(0, Relaxed);
        }
    }
}

/// The part that one core shares with the others.
#[repr(C, align(4096))]
pub struct SharedPerCpu {
    /// The pending word and mask of the core's channel ends.
    pub word: PendingWord,
    /// Requests of other cores to this core: [`control`] bits, sent with the control SGI.
    pub control: AtomicU32,
    /// EL2 entries by `abi::Reason`; only the core writes them.
    pub entries: [AtomicU64; Reason::COUNT],
    /// The counters of the core's channel ends, by handle.
    pub doorbells: [Counters; MAX_ENDS],
}

/// The part that the cores of one partition share with the console core.
#[repr(C, align(4096))]
pub struct Terminal {
    /// Output of the partition's vCPUs, and of EL2 on their cores.
    pub output: Output,
    /// Input for the partition.
    pub input: Ring,
}

const _: () = assert!(size_of::<Global>() as u64 <= SHARED_GLOBAL);
const _: () = assert!(size_of::<SharedPerCpu>() as u64 == SHARED_PER_CORE);
const _: () = assert!(size_of::<Terminal>() as u64 == SHARED_PER_PARTITION);

/// Bits of [`SharedPerCpu::control`].
pub mod control {
    /// The partition stops.
    pub const STOP: u32 = 1 << 0;
    /// A sibling's `CPU_ON` waits to be taken, or the partition's next start.
    pub const START: u32 = 1 << 1;
    /// The console has work.
    pub const CONSOLE: u32 = 1 << 2;
    /// The partition's input ring may have changed.
    pub const INPUT: u32 = 1 << 3;
    /// The partition has an order, on the core of vCPU 0.
    pub const ORDER: u32 = 1 << 4;
    /// A partition's state has changed, on the core of a supervisor's vCPU 0.
    pub const NOTICE: u32 = 1 << 5;
    /// A sibling has accessed a PCI function of one of the core's channel ends.
    pub const FUNCTION: u32 = 1 << 6;
}

/// The shared region of the running system.
#[derive(Clone, Copy)]
pub struct Shared {
    /// The part that belongs to all cores together.
    pub global: &'static Global,
    cores: &'static [SharedPerCpu],
    /// For each partition, the part that it shares with the console core.
    pub terminals: &'static [Terminal],
    /// The crash records, which are not in the region: boot does not clear them.
    pub ring: Records,
}

impl Shared {
    /// Clears the region at boot, when no other core runs, stores `nonce` there, and finds the
    /// crash records of an earlier run. Zero is valid for all of it.
    pub fn clear(header: &Header, nonce: u64) {
        let range = header.shared;
        // SAFETY: the plan gives EL2 the region, a multiple of a page, and only the boot core runs.
        // `Global` is at its start. The ring is the plan's too.
        unsafe {
            core::ptr::write_bytes(range.base as *mut u8, 0, range.size as usize);
            let global = &*(range.base as *const Global);
            global.nonce.store(nonce, Relaxed);
            Records::new(header.records).recover(&global.records, header.crc);
        }
    }

    /// Returns the region, which boot cleared.
    ///
    /// # Safety
    /// `header` is the plan's; its regions have room for so many cores and partitions and are
    /// mapped, and boot cleared the shared one.
    pub unsafe fn new(header: &Header, cores: usize, partitions: usize) -> Self {
        let range = header.shared;
        let per_core = range.base + SHARED_GLOBAL;
        let per_partition = per_core + cores as u64 * SHARED_PER_CORE;
        // SAFETY: the caller says so; everything in it is atomic and valid when zero.
        unsafe {
            Self {
                global: &*(range.base as *const Global),
                cores: core::slice::from_raw_parts(per_core as *const SharedPerCpu, cores),
                terminals: core::slice::from_raw_parts(
                    per_partition as *const Terminal,
                    partitions,
                ),
                ring: Records::new(header.records),
            }
        }
    }

    /// Returns the part that core `index` shares.
    #[inline(never)]
    pub fn core(&self, index: usize) -> Option<&'static SharedPerCpu> {
        self.cores.get(index)
    }

    /// Returns the word with the state of partition `index`, one of `abi::state`. The word of an
    /// index without a partition never says running.
    pub fn state_word(&self, index: usize) -> &'static AtomicU32 {
        static NONE: AtomicU32 = AtomicU32::new(abi::state::LOADING);
        self.global.states.get(index).unwrap_or(&NONE)
    }

    /// Returns the state of partition `index`, one of `abi::state`.
    pub fn state(&self, index: usize) -> u32 {
        self.state_word(index).load(Acquire)
    }

    /// Returns the number of starts of partition `index`, modulo 2^32.
    pub fn starts(&self, index: usize) -> u32 {
        self.global.lives.get(index).map_or(0, |life| life.starts.load(Acquire))
    }

    /// Returns the generation of partition `index`: its starts, counted from 1 to 65535 and on from
    /// 1, or 0 before the first.
    pub fn generation(&self, index: usize) -> u64 {
        self.starts(index).checked_sub(1).map_or(0, |before| u64::from(before % 0xffff) + 1)
    }

    /// Makes partition `index`, in state `from`, run: counts the start first, so that whoever sees
    /// it run sees that it is another life.
    pub fn start(&self, index: usize, from: u32) {
        if let Some(life) = self.global.lives.get(index) {
            life.starts.fetch_add(1, AcqRel);
        }
        self.change_state(index, from, abi::state::RUNNING);
    }

    /// Moves partition `index` from state `from` to `to`. Returns false if it is in another.
    pub fn change_state(&self, index: usize, from: u32, to: u32) -> bool {
        self.global
            .states
            .get(index)
            .is_some_and(|state| state.compare_exchange(from, to, AcqRel, Relaxed).is_ok())
    }
}
