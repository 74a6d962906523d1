//! Words in a channel's pages, by which two bench partitions synchronize without entering EL2.

use core::arch::asm;
use core::slice;
use core::sync::atomic::{AtomicU64, Ordering};

use rt::{Tree, fail, mmu, smp};

/// One end of the channel: its own word, which gives its progress, and the peer's.
pub struct Rendezvous {
    own: &'static [AtomicU64],
    peer: &'static [AtomicU64],
    /// Handle of the end, for doorbells.
    pub handle: u64,
    /// The interrupt that a doorbell makes pending.
    pub intid: u32,
}

impl Rendezvous {
    /// Opens the channel `name` of the calling vCPU. Fails if there is none with a doorbell.
    #[must_use]
    pub fn open(tree: &Tree, name: &str) -> Self {
        let node = tree.channels().find(|node| node.name == name && node.vcpu == smp::vcpu());
        let Some((node, intid)) = node.and_then(|node| Some((node, node.intid?))) else {
            fail!("no channel named {name:?} with a doorbell at this vCPU")
        };
        let [own, peer] = [node.own, node.peer].map(|(address, _)| {
            mmu::map(address, channel::layout::DATA as u64, mmu::Kind::Shared);
            // SAFETY: the first page of a channel's pages, which the device tree gives this end as
            // Normal memory, is never unmapped and is used only as atomics. No code stores through
            // `peer`: stage 2 would not let it.
            unsafe { slice::from_raw_parts(address as *const AtomicU64, channel::layout::DATA / 8) }
        });
        Self { own, peer, handle: node.handle, intid }
    }

    /// Stores `value` in word `index` for the peer to read.
    pub fn tell(&self, index: usize, value: u64) {
        self.own[index].store(value, Ordering::Release);
    }

    /// Returns word `index` of this end, and that of its peer.
    #[must_use]
    pub fn words(&self, index: usize) -> (&'static AtomicU64, &'static AtomicU64) {
        (&self.own[index], &self.peer[index])
    }

    /// Waits until the peer's word `index` is `value` or more, without entering EL2.
    pub fn await_word(&self, index: usize, value: u64) {
        while self.peer[index].load(Ordering::Acquire) < value {
            pause();
        }
    }

    /// Waits until both ends are at `step`; steps only increase.
    pub fn meet(&self, step: u64) {
        self.tell(0, step);
        self.await_word(0, step);
    }
}

/// Pauses in a loop that polls. An emulator that runs one core after the other switches to the
/// next.
pub fn pause() {
    // SAFETY: the instruction is a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
}
