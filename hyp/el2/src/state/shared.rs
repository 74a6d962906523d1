//! The one region of EL2 that all cores map: pending words, control words, counters, console rings.
//!
//! Atomics alone live here. It holds nothing of a guest's but what that guest prints.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

use abi::Reason;
use console::{Output, Ring, Waiting};
use doorbell::PendingWord;
use plan::{MAX_PARTITIONS, Range, SHARED_GLOBAL, SHARED_PER_CORE, SHARED_PER_PARTITION};

/// What belongs to all cores together.
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
    /// The partition that is live: it was given the input, and maybe the terminal too. Counted from
    /// 1; 0 for none.
    pub focus: AtomicU32,
    /// The run's nonce.
    pub nonce: AtomicU64,
    /// How far the loading of each partition is.
    pub loading: [Loading; MAX_PARTITIONS],
}

/// How far the loading of a partition is (`services/load.rs`). Its cores count; all zero before.
#[repr(C)]
pub struct Loading {
    /// Chunks that a core took to fill them; more than there are once cores found none left.
    pub filled: AtomicU32,
    /// Chunks that a core took to clean them.
    pub cleaned: AtomicU32,
    /// How often a core has come to the end of a round.
    pub arrived: AtomicU32,
}

/// What one core shares with the others.
#[repr(C, align(4096))]
pub struct SharedPerCpu {
    /// The pending word and mask of the core's channel ends.
    pub word: PendingWord,
    /// What others want of this core: [`control`] bits, sent with the control SGI.
    pub control: AtomicU32,
    /// EL2 entries by `abi::Reason`; the core alone writes.
    pub entries: [AtomicU64; Reason::COUNT],
}

/// What the cores of one partition share with the console core.
#[repr(C, align(4096))]
pub struct Terminal {
    /// What they print, and EL2 there.
    pub output: Output,
    /// What was typed for them.
    pub input: Ring,
}

const _: () = assert!(size_of::<Global>() as u64 <= SHARED_GLOBAL);
const _: () = assert!(size_of::<SharedPerCpu>() as u64 == SHARED_PER_CORE);
const _: () = assert!(size_of::<Terminal>() as u64 == SHARED_PER_PARTITION);

/// Bits of [`SharedPerCpu::control`].
pub mod control {
    /// The partition stops.
    pub const STOP: u32 = 1 << 0;
    /// A sibling's `CPU_ON` waits to be taken.
    pub const START: u32 = 1 << 1;
    /// The console has work.
    pub const CONSOLE: u32 = 1 << 2;
    /// Something was typed for the partition.
    pub const INPUT: u32 = 1 << 3;
}

/// The shared region of the running system.
#[derive(Clone, Copy)]
pub struct Shared {
    /// What belongs to all cores together.
    pub global: &'static Global,
    cores: &'static [SharedPerCpu],
    /// What each partition shares with the console core.
    pub terminals: &'static [Terminal],
}

impl Shared {
    /// Clears the region at boot, when no other core runs, and keeps `nonce` there. Zero is valid
    /// for all of it.
    pub fn clear(range: Range, nonce: u64) {
        // SAFETY: the plan gives EL2 the region, a multiple of a page, and boot's core alone runs.
        // `Global` is at its start.
        unsafe {
            core::ptr::write_bytes(range.base as *mut u8, 0, range.size as usize);
            (*(range.base as *const Global)).nonce.store(nonce, Relaxed);
        }
    }

    /// The region at `range`, which boot cleared.
    ///
    /// # Safety
    /// `range` is the plan's shared region with room for so many cores and partitions, mapped, and
    /// boot cleared it.
    pub unsafe fn new(range: Range, cores: usize, partitions: usize) -> Self {
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
            }
        }
    }

    /// What core `index` shares.
    #[inline(never)]
    pub fn core(&self, index: usize) -> Option<&'static SharedPerCpu> {
        self.cores.get(index)
    }

    /// Where the state of partition `index` is, `abi::state`; none is never running.
    pub fn state_word(&self, index: usize) -> &'static AtomicU32 {
        static NONE: AtomicU32 = AtomicU32::new(abi::state::LOADING);
        self.global.states.get(index).unwrap_or(&NONE)
    }

    /// State of partition `index`, `abi::state`.
    pub fn state(&self, index: usize) -> u32 {
        self.state_word(index).load(Acquire)
    }

    /// Moves partition `index` from state `from` to `to`; false if it is in another.
    pub fn change_state(&self, index: usize, from: u32, to: u32) -> bool {
        self.global
            .states
            .get(index)
            .is_some_and(|state| state.compare_exchange(from, to, AcqRel, Relaxed).is_ok())
    }
}
