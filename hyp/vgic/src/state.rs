// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state that the cores of a partition share.
//!
//! Among it is which vCPU holds an SPI: the one that acts on requests for it. A physical SPI's
//! arrival makes its vCPU the holder: hardware has it active then, so that it arrives nowhere else
//! until it has ended, and an earlier holder's entries of it are obsolete. A software SPI is
//! claimed, from no holder only, and released by its holder.

use plan::{
    GuestGic, INTERRUPT_EDGE, INTERRUPT_FIXED, INTERRUPT_PHYSICAL, INTIDS, Interrupt, MAX_VCPUS,
};

use crate::Zeroed;
use crate::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use crate::words::{self, Shared};

/// Words of 32 INTIDs that a vCPU sees. Word 0 is private to it (SGIs, PPIs), the others are SPIs.
pub(crate) const WORDS: usize = if cfg!(loom) { 2 } else { INTIDS / 32 };
/// SPIs.
pub(crate) const SPIS: usize = (WORDS - 1) * 32;
/// Words of a partition: word 0 of each vCPU, then those of the SPIs.
const ALL_WORDS: usize = MAX_VCPUS + WORDS - 1;
/// SGIs: INTIDs 0 to 15, in the low bits of word 0.
pub(crate) const SGIS: u32 = 0xffff;
/// In [`Word::requests`], beside a bit per SGI: make list registers, latches and hardware agree
/// with the shared words.
pub(crate) const RESYNC: u32 = 1 << 31;
/// In [`Word::requests`]: enables, groups, priorities or routes of word 0 changed, and in the bits
/// above those of the other words. Set without a kick: it matters at the next arrival.
pub(crate) const STALE: u32 = 1 << 16;
/// The [`STALE`] bits of all words.
pub(crate) const ALL_STALE: u32 = (STALE << WORDS) - STALE;

/// The shared state of 32 interrupts: one row per register, one bit per interrupt.
#[derive(Zeroed)]
#[repr(align(64))]
pub(crate) struct Word {
    /// The partition owns it. All others read as zero and ignore writes. This row and the next
    /// three never change after [`Gic::init`].
    pub owned: Shared,
    /// Hardware raises it.
    pub physical: Shared,
    /// Edge-triggered.
    pub edge: Shared,
    /// The guest cannot route it.
    pub fixed: Shared,
    /// ISENABLER.
    pub enable: Shared,
    /// IGROUPR.
    pub group: Shared,
    /// The line of a software level-sensitive interrupt.
    pub line_level: Shared,
    /// A software SPI that is pending and held by no vCPU, because it may be signalled to none or
    /// is on its way to another.
    pub unheld: Shared,
    /// [`Request::SetPending`].
    pub set_pending: Shared,
    /// [`Request::ClearPending`].
    pub clear_pending: Shared,
    /// [`Request::SetActive`].
    pub set_active: Shared,
    /// [`Request::ClearActive`].
    pub clear_active: Shared,
    /// A register write made a physical level-sensitive interrupt pending in hardware, and it has
    /// not arrived yet.
    pub sw_pending_ahead: Shared,
    /// Word 0 only, not a bit per interrupt: what siblings request of this vCPU's core: SGIs in
    /// the low half, [`STALE`] bits, [`RESYNC`].
    pub requests: Shared,
    /// Word 0 only: GICR_WAKER.ProcessorSleep, inverted so that zero is the reset value.
    pub awake: Shared,
    /// Word 0 only: the PPIs pending in the core's redistributor when it last published them.
    pub published_ppis: Shared,
}

/// One vCPU's part in 32 interrupts: what is pending or active there, as of its last fold. Only the
/// vCPU's own core writes it.
#[derive(Zeroed)]
pub(crate) struct Latches {
    /// Pending. Of a physical interrupt: acknowledged by EL2 and physically active.
    pub pending: Shared,
    /// Active.
    pub active: Shared,
    /// Level-sensitive, and made pending by a register write: pending until it is acknowledged.
    pub sw_pending: Shared,
}

/// What a register write asks of the core that is responsible for an interrupt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// ISPENDR.
    SetPending,
    /// ICPENDR.
    ClearPending,
    /// ISACTIVER.
    SetActive,
    /// ICACTIVER, DIR.
    ClearActive,
}

impl Word {
    /// Returns the row of `request`, and that of its opposite.
    pub(crate) fn rows(&self, request: Request) -> (&Shared, &Shared) {
        match request {
            Request::SetPending => (&self.set_pending, &self.clear_pending),
            Request::ClearPending => (&self.clear_pending, &self.set_pending),
            Request::SetActive => (&self.set_active, &self.clear_active),
            Request::ClearActive => (&self.clear_active, &self.set_active),
        }
    }

    /// Returns the interrupts with a request to the core that is responsible for them.
    pub(crate) fn requested(&self) -> u32 {
        self.set_pending.get()
            | self.clear_pending.get()
            | self.set_active.get()
            | self.clear_active.get()
    }
}

/// The virtual GIC of one partition, shared by its cores. All bytes zero is a GIC without vCPUs and
/// interrupts.
#[derive(Zeroed)]
#[repr(C, align(64))]
pub struct Gic {
    words: [Word; ALL_WORDS],
    latches: [[Latches; WORDS]; MAX_VCPUS],
    priority: [[AtomicU8; 32]; ALL_WORDS],
    /// Per SPI: the affinity that it is routed to in bits 23:0, its ITARGETSR byte (GICv2) above.
    route: [Shared; SPIS],
    /// Per SPI: 1 + the vCPU that holds it, 0 for none. A core that lists an SPI writes its own
    /// number here.
    pub holders: [AtomicU8; SPIS],
    /// GICD_CTLR.EnableGrp0 and EnableGrp1.
    pub(crate) enable_groups: Shared,
    /// GICv2, by receiving vCPU and SGI: the vCPUs whose SGI waits for a list register, one bit per
    /// sender.
    sources: [[Shared; 16]; MAX_VCPUS],
    /// Number of vCPUs.
    vcpus: AtomicU32,
    /// INTIDs / 32.
    visible: AtomicU32,
}

const _: () = assert!(cfg!(loom) || size_of::<Gic>() <= 12 * 1024);

impl Gic {
    /// Turns the zeroed GIC into one after a reset: `vcpus` vCPUs (at most [`MAX_VCPUS`]) and the
    /// interrupts of `rows`, all disabled, Group 0, priority 0, inactive. Rows with an INTID
    /// outside 16..`INTIDS` or a vCPU beyond `vcpus` are left out; the verifier rejects such plans.
    ///
    /// One core calls it while no other uses `self`. Each core then calls
    /// [`Vcpu::reset`](crate::Vcpu::reset).
    pub fn init(&self, vcpus: usize, gic: &GuestGic, rows: &[Interrupt]) {
        let vcpus = vcpus.min(MAX_VCPUS) as u32;
        self.vcpus.store(vcpus, Relaxed);
        self.visible.store((gic.intids / 32).clamp(1, WORDS as u32), Relaxed);
        for vcpu in 0..MAX_VCPUS {
            self.word(vcpu, 0).owned.set(SGIS);
            self.word(vcpu, 0).edge.set(SGIS);
        }
        for row in rows {
            let intid = u32::from(row.intid);
            let is_private = intid < 32;
            if !(16..INTIDS as u32).contains(&intid) || !is_private && row.vcpu >= vcpus {
                continue;
            }
            let bit = 1 << (intid % 32);
            for vcpu in 0..if is_private { MAX_VCPUS } else { 1 } {
                let word = self.word(vcpu, intid as usize / 32);
                word.owned.set(bit);
                word.physical.put(bit, row.flags & INTERRUPT_PHYSICAL != 0);
                word.edge.put(bit, row.flags & INTERRUPT_EDGE != 0);
                word.fixed.put(bit, row.flags & INTERRUPT_FIXED != 0);
            }
            if !is_private {
                self.set_route(intid, row.vcpu | 1 << (24 + row.vcpu));
            }
        }
    }

    /// Returns the number of vCPUs.
    #[inline(always)]
    pub(crate) fn vcpus(&self) -> usize {
        self.vcpus.load(Relaxed) as usize
    }

    /// Returns the number of words that the guest sees.
    pub(crate) fn visible(&self) -> usize {
        self.visible.load(Relaxed) as usize
    }

    /// Returns word `index` as vCPU `vcpu` sees it.
    #[inline(always)]
    pub(crate) fn word(&self, vcpu: usize, index: usize) -> &Word {
        &self.words[slot(vcpu, index)]
    }

    /// Returns vCPU `vcpu`'s latches of the interrupts of word `index`.
    pub(crate) fn latches(&self, vcpu: usize, index: usize) -> &Latches {
        &self.latches[vcpu % MAX_VCPUS][index % WORDS]
    }

    /// Returns the pending and the active bits of word `index` of `vcpu` as they were last latched.
    /// A physical level that is latched is not among the pending ones: its line says more.
    pub(crate) fn latched(&self, vcpu: usize, index: usize) -> (u32, u32) {
        let word = self.word(vcpu, index);
        let levels = word.physical.get() & !word.edge.get();
        let all = 0..self.vcpus();
        let (mut pending, mut active) = (word.unheld.get(), 0);
        for seen in if index == 0 { vcpu..vcpu + 1 } else { all } {
            let latches = self.latches(seen, index);
            pending |= latches.pending.get() & (!levels | latches.sw_pending.get());
            active |= latches.active.get();
        }
        (pending, active)
    }

    /// Returns the vCPUs whose SGI `sgi` waits at `vcpu`, one bit each (GICv2).
    pub(crate) fn sources(&self, vcpu: usize, sgi: u32) -> &Shared {
        &self.sources[vcpu % MAX_VCPUS][sgi as usize % 16]
    }

    /// Returns the senders of vCPU `vcpu`'s SGI 0, as the vectors read them; the words of its other
    /// SGIs follow.
    pub fn senders(&self, vcpu: usize) -> &AtomicU32 {
        &self.sources(vcpu, 0).0
    }

    /// Returns the priority of `intid` as vCPU `vcpu` sees it.
    pub(crate) fn priority(&self, vcpu: usize, intid: u32) -> &AtomicU8 {
        &self.priority[slot(vcpu, intid as usize / 32)][intid as usize % 32]
    }

    /// Returns which of `word`'s interrupts may be signalled: enabled, and their group too.
    #[inline(always)]
    pub(crate) fn on(&self, word: &Word) -> u32 {
        let groups = self.enable_groups.get();
        let group = word.group.get();
        let group0 = 0u32.wrapping_sub(groups & 1);
        let group1 = 0u32.wrapping_sub(groups >> 1 & 1);
        word.enable.get() & ((group & group1) | (!group & group0))
    }

    /// Marks the cached entries of word `index` of `vcpu` as stale at each vCPU that sees the word.
    pub(crate) fn mark_stale(&self, vcpu: usize, index: usize) {
        let all = 0..self.vcpus();
        for seen in if index == 0 { vcpu..vcpu + 1 } else { all } {
            self.word(seen, 0).requests.fast_set(STALE << index);
        }
    }

    /// Returns vCPU `vcpu`'s request word. Zero means the cached entries are valid and no sibling
    /// has a request.
    pub fn requests(&self, vcpu: usize) -> &AtomicU32 {
        &self.word(vcpu, 0).requests.0
    }

    /// Returns the affinity that SPI `intid` is routed to: IROUTER bits 23:0.
    pub(crate) fn route(&self, intid: u32) -> u32 {
        self.route[spi(intid)].get() & 0x00ff_ffff
    }

    /// Returns ITARGETSR's byte of SPI `intid`.
    pub(crate) fn targets(&self, intid: u32) -> u32 {
        self.route[spi(intid)].get() >> 24
    }

    /// Routes SPI `intid`. Returns the affinity that it was routed to.
    pub(crate) fn set_route(&self, intid: u32, route: u32) -> u32 {
        self.route[spi(intid)].swap(route) & 0x00ff_ffff
    }

    /// Returns the vCPU that SPI `intid` is routed to.
    pub(crate) fn target(&self, intid: u32) -> Option<usize> {
        Some(self.route(intid) as usize).filter(|&vcpu| vcpu < self.vcpus())
    }

    /// Returns the vCPU that holds SPI `intid`. Of a physical interrupt, or one that cannot be
    /// routed, this may be a vCPU whose guest has ended it since.
    pub(crate) fn holder(&self, intid: u32) -> Option<usize> {
        usize::from(self.holders[spi(intid)].load(Relaxed)).checked_sub(1)
    }

    /// Makes `vcpu` the holder of `intid`, if that is an SPI.
    pub(crate) fn set_holder(&self, intid: u32, vcpu: usize) {
        if intid >= 32 {
            let byte = &self.holders[spi(intid)];
            #[cfg(not(loom))]
            byte.store(vcpu as u8 + 1, Relaxed);
            // Loom may order a read-modify-write of an older value after a plain store, which
            // coherence forbids.
            #[cfg(loom)]
            byte.swap(vcpu as u8 + 1, Relaxed);
        }
    }

    /// Makes `vcpu` the holder of SPI `intid`, unless another vCPU holds it. Returns the holder.
    pub(crate) fn claim(&self, intid: u32, vcpu: usize) -> usize {
        let claimed = self.change_holder(intid, 0, vcpu as u8 + 1);
        claimed.map_or_else(|holder| usize::from(holder) - 1, |_| vcpu)
    }

    /// Ends `vcpu`'s hold on `intid`, if that is an SPI that it holds.
    pub(crate) fn release(&self, intid: u32, vcpu: usize) {
        if intid >= 32 {
            let _ = self.change_holder(intid, vcpu as u8 + 1, 0);
        }
    }

    #[inline(never)]
    fn change_holder(&self, intid: u32, old: u8, new: u8) -> Result<u8, u8> {
        words::exchange(&self.holders[spi(intid)], old, new)
    }
}

/// Returns where word `index` of vCPU `vcpu` is.
fn slot(vcpu: usize, index: usize) -> usize {
    match index {
        0 => vcpu % MAX_VCPUS,
        _ => MAX_VCPUS + (index - 1) % (WORDS - 1),
    }
}

/// Returns the index of SPI `intid`.
fn spi(intid: u32) -> usize {
    (intid as usize).wrapping_sub(32) % SPIS
}
