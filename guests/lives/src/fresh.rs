// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a life leaves behind, and the check that the next one finds nothing of it: in memory, in
//! the channel pages, and in the GIC.

extern crate alloc;

use alloc::alloc::{Layout, alloc};

use aarch64_cpu::registers::{CNTP_CTL_EL0, CNTP_CVAL_EL0, Writeable};
use rt::tree::ChannelNode;
use rt::{Tree, fail, interrupt, mmio, mmu, timer};

/// Bytes of memory that a life marks: a quarter of the partition's.
const MARKED: usize = 8 << 20;
/// Bytes between two marks.
const STEP: usize = 4096;
/// Place of a mark in its step: the heap keeps its own words at the start of a free block.
const PLACE: usize = 0x808;
/// The mark of a life; the low bits are its number.
const MARK: u64 = 0x01d1_1fe0_0000_0000;

/// INTID of the physical timer (PPI 14).
const CNTP: u32 = 30;
const GICD_TYPER: u64 = 0x004;
const GICD_ISPENDR: u64 = 0x200;
const GICD_ISACTIVER: u64 = 0x300;
/// Offset of a GICv3 redistributor's frame for SGIs and PPIs.
const SGI_FRAME: u64 = 0x1_0000;
/// SGIs that a life sends to itself and does not take.
const SGIS: core::ops::Range<u32> = 1..16;

/// What a life has that the next one must not find.
pub struct Mess {
    /// Its marked memory, whose first words are zero.
    pub memory: u64,
    own: (u64, u64),
}

impl Mess {
    /// Checks that this life finds nothing of an earlier one. Call it before the channel is opened.
    pub fn none(tree: &Tree, node: &ChannelNode) -> Self {
        stray(tree, &[node.intid]);
        let layout = Layout::from_size_align(MARKED, STEP).expect("a power of two");
        // SAFETY: the size is not zero. The memory is never given back.
        let memory = unsafe { alloc(layout) } as u64;
        if memory == 0 {
            fail!("the partition has less than {MARKED} bytes of memory");
        }
        let mess = Self { memory, own: node.own };
        // The pages of the first life may be older than EL2, but EL2 has cleared them.
        for address in mess.marks().chain(mess.channel()) {
            // SAFETY: memory of `alloc` or of the own channel pages, which `channel` has mapped.
            let found = unsafe { mmio::read64(address) };
            if found != 0 {
                fail!("{found:#x} at {address:#x} is from an earlier life");
            }
        }
        mess
    }

    fn marks(&self) -> impl Iterator<Item = u64> + use<> {
        let memory = self.memory;
        (0..MARKED).step_by(STEP).map(move |at| memory + (at + PLACE) as u64)
    }

    fn channel(&self) -> impl Iterator<Item = u64> + use<> {
        let (base, size) = self.own;
        mmu::map(base, size, mmu::Kind::Shared);
        (base..base + size).step_by(8)
    }

    /// Marks the memory of this life.
    pub fn mark(&self, life: u16) {
        for address in self.marks() {
            // SAFETY: memory of `alloc`, which nothing else uses.
            unsafe { mmio::write64(address, MARK | u64::from(life)) };
        }
    }
}

/// Leaves interrupts in every state: SGIs pending and one active, both timers pending and enabled.
pub fn leave_interrupts() {
    for intid in SGIS {
        interrupt::enable(intid);
        interrupt::send(intid, 0);
    }
    // It is taken and never ended.
    let _ = interrupt::acknowledge();
    interrupt::enable(CNTP);
    CNTP_CVAL_EL0.set(0);
    CNTP_CTL_EL0.set(1);
    timer::arm(0);
}

/// Fails if an interrupt is pending that is not in `known`, or active. The timer of [`rt::timer`]
/// may be pending at any time.
pub fn stray(tree: &Tree, known: &[Option<u32>]) {
    let Some(node) = tree.gic_node() else { fail!("the device tree has no GIC") };
    let [(gicd, _), (second, _)] = node.regs;
    // SAFETY: registers of the GIC that the runtime has mapped; reading them has no effect.
    let read = |register| unsafe { mmio::read32(register) };
    let words = (read(gicd + GICD_TYPER) & 0x1f) + 1;
    for number in 0..words {
        let base = match (number, node.version) {
            (0, 3) => second + SGI_FRAME,
            _ => gicd,
        };
        let [pending, active] = [GICD_ISPENDR, GICD_ISACTIVER]
            .map(|register| read(base + register + 4 * u64::from(number)));
        let known = known.iter().flatten().chain(&[timer::INTID]);
        let known = known.filter(|&intid| intid / 32 == number);
        let known = known.fold(0, |bits, intid| bits | 1 << (intid % 32));
        if pending & !known != 0 || active != 0 {
            let first = 32 * number;
            fail!("stray interrupts from {first} on: pending {pending:#x}, active {active:#x}");
        }
    }
}
