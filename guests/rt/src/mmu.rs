//! EL1 translation: an identity map of 39 bits, made of 1 GiB and 2 MiB blocks (DDI 0487, D8).
//!
//! Blocks may be larger than the partition's ranges: stage 2 decides what exists. RAM is mapped
//! from the start; devices and channel pages are added when they are found in the device tree.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use aarch64_cpu::asm::barrier;

/// Attribute 0 is Device-nGnRE, attribute 1 Normal Write-Back, attribute 2 Normal Non-cacheable.
pub(crate) const MAIR: u64 = 0x44_ff04;
/// T0SZ = 25; walks Write-Back, Inner Shareable; 4 KiB granule; no TTBR1; 40-bit addresses.
pub(crate) const TCR: u64 = 25 | 0b01 << 8 | 0b01 << 10 | 0b11 << 12 | 1 << 23 | 0b010 << 32;
/// RES1 bits of Armv8.0, and I, C, M.
pub(crate) const SCTLR: u64 = 0x30d0_0800 | 1 << 12 | 1 << 2 | 1;

const BLOCK: u64 = 0b01;
const TABLE: u64 = 0b11;
const AF: u64 = 1 << 10;
const INNER_SHAREABLE: u64 = 0b11 << 8;
const OUTER_SHAREABLE: u64 = 0b10 << 8;
const XN: u64 = 0b11 << 53;
const GIB: u64 = 1 << 30;
const MIB_2: u64 = 2 << 20;

/// The kind of an address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Kind {
    /// Device-nGnRE, never executed.
    Device = XN | AF,
    /// Normal Write-Back Inner Shareable, never executed.
    Shared = XN | AF | INNER_SHAREABLE | 1 << 2,
    /// Normal Non-cacheable, never executed.
    NonCacheable = XN | AF | OUTER_SHAREABLE | 2 << 2,
    /// Normal Write-Back Inner Shareable.
    Ram = AF | INNER_SHAREABLE | 1 << 2,
}

/// One translation table.
#[repr(align(4096))]
pub(crate) struct Table([AtomicU64; 512]);

impl Table {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 512])
    }

    /// RAM is between 1 and 4 GiB.
    const fn root() -> Self {
        let mut table = Self::new();
        let mut gib = 1;
        while gib < 4 {
            table.0[gib] = AtomicU64::new((gib as u64 * GIB) | Kind::Ram as u64 | BLOCK);
            gib += 1;
        }
        table
    }
}

pub(crate) static ROOT: Table = Table::root();
static POOL: [Table; 8] = [const { Table::new() }; 8];
static USED: AtomicUsize = AtomicUsize::new(0);

/// Maps the 2 MiB blocks around `size` bytes at `address`. Blocks that are already mapped do not
/// change.
///
/// Only one vCPU at a time may call this.
///
/// # Panics
///
/// Above 512 GiB, or when tables for more than eight different GiB are asked for.
pub fn map(address: u64, size: u64, kind: Kind) {
    let mut block = address & !(MIB_2 - 1);
    while block < address + size.max(1) {
        let root = &ROOT.0[(block / GIB) as usize];
        let mut entry = root.load(Ordering::Relaxed);
        if entry == 0 {
            let table = &POOL[USED.fetch_add(1, Ordering::Relaxed)];
            entry = table.0.as_ptr() as u64 | TABLE;
            root.store(entry, Ordering::Relaxed);
        }
        if let Some(table) = POOL.iter().find(|table| table.0.as_ptr() as u64 | TABLE == entry) {
            let slot = &table.0[(block / MIB_2) as usize % 512];
            // A TLB never has an invalid entry, so making it valid needs no break-before-make, only
            // the barriers below.
            let new = block | kind as u64 | BLOCK;
            let _ = slot.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed);
        }
        block += MIB_2;
    }
    barrier::dsb(barrier::ISHST);
    barrier::isb(barrier::SY);
}
