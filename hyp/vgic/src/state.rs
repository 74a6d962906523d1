//! The state: what the cores of a partition share, and what each keeps to itself.
//!
//! Every change is an atomic read-modify-write followed by a full barrier, every read is plain: a core that
//! changes one word and then reads another, while a sibling does so the other way round, cannot miss the sibling's
//! change if the sibling misses its own. Whoever sees the change acts on it.

use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering::SeqCst, fence};

use plan::{
    GuestGic, INTERRUPT_EDGE, INTERRUPT_FIXED, INTERRUPT_PHYSICAL, INTIDS, Interrupt, MAX_VCPUS,
};
use zerocopy::FromZeros;

/// Words of 32 INTIDs that a vCPU sees: word 0 is private to it (SGIs and PPIs), the others are SPIs.
pub(crate) const WORDS: usize = INTIDS / 32;
/// SPIs.
const SPIS: usize = INTIDS - 32;
/// Words of a partition: word 0 of each vCPU, then those of the SPIs.
const ALL_WORDS: usize = MAX_VCPUS + WORDS - 1;
/// SGIs: INTIDs 0 to 15, in the low bits of word 0.
pub(crate) const SGIS: u32 = 0xffff;
/// In [`MAIL`] beside the SGIs' bits: bring list registers, latches and hardware into step with the shared words.
pub(crate) const RESYNC: u32 = 1 << 31;
/// In [`MAIL`]: enables, groups, priorities or routes of word 0 changed, and in the bits above of the others. Set without a
/// kick: it counts at the next arrival.
pub(crate) const STALE: u32 = 1 << 16;
/// Every word's [`STALE`] bit.
pub(crate) const ALL_STALE: u32 = (STALE << WORDS) - STALE;

/// `N` words that cores share. An index beyond them reads as zero and ignores writes.
#[derive(FromZeros)]
#[repr(align(64))]
pub(crate) struct Words<const N: usize>([AtomicU32; N]);

impl<const N: usize> Words<N> {
    #[inline(always)]
    pub fn get(&self, index: usize) -> u32 {
        self.0.get(index).map_or(0, |word| word.load(Relaxed))
    }

    #[inline(always)]
    fn change(&self, index: usize, change: impl FnOnce(&AtomicU32) -> u32) -> u32 {
        let old = self.0.get(index).map_or(0, change);
        fence(SeqCst);
        old
    }

    /// Sets the bits `mask`. Returns what was there.
    #[inline(never)]
    pub fn set(&self, index: usize, mask: u32) -> u32 {
        self.set_at_once(index, mask)
    }

    /// [`Self::set`] without a call, for short paths.
    #[inline(always)]
    pub fn set_at_once(&self, index: usize, mask: u32) -> u32 {
        self.change(index, |word| word.fetch_or(mask, AcqRel))
    }

    /// Clears the bits `mask`. Returns what was there.
    #[inline(never)]
    pub fn clear(&self, index: usize, mask: u32) -> u32 {
        self.clear_at_once(index, mask)
    }

    /// [`Self::clear`] without a call, for short paths.
    #[inline(always)]
    pub fn clear_at_once(&self, index: usize, mask: u32) -> u32 {
        self.change(index, |word| word.fetch_and(!mask, AcqRel))
    }

    /// Clears the bits `mask`. Returns whether any was set.
    #[inline(never)]
    pub fn take(&self, index: usize, mask: u32) -> bool {
        self.get(index) & mask != 0 && self.clear(index, mask) & mask != 0
    }

    /// Sets or clears the bits `mask`.
    #[inline(never)]
    pub fn put(&self, index: usize, mask: u32, on: bool) {
        match on {
            true => self.set(index, mask),
            false => self.clear(index, mask),
        };
    }

    /// Writes a word. Returns what was there.
    pub fn swap(&self, index: usize, value: u32) -> u32 {
        self.change(index, |word| word.swap(value, AcqRel))
    }
}

/// 32 interrupts, one bit each in every row below.
pub(crate) type Word = Words<19>;
/// The partition has it. All others read as zero and ignore writes. This and the next three never change after [`Gic::init`].
pub(crate) const OWNED: usize = 0;
/// Hardware raises it.
pub(crate) const PHYSICAL: usize = 1;
/// Edge-triggered.
pub(crate) const EDGE: usize = 2;
/// The guest cannot route it.
pub(crate) const FIXED: usize = 3;
/// ISENABLER.
pub(crate) const ENABLE: usize = 4;
/// IGROUPR.
pub(crate) const GROUP: usize = 5;
/// IROUTER names no vCPU.
pub(crate) const UNROUTED: usize = 6;
/// The latch: pending when its holder last looked. On a physical interrupt: acknowledged by EL2, physically active. Only the holder writes it.
pub(crate) const PENDING: usize = 7;
/// The latch: active when its holder last looked. Only the holder writes it.
pub(crate) const ACTIVE: usize = 8;
/// The line of a software level-sensitive interrupt.
pub(crate) const LEVEL: usize = 9;
/// The latch, of a level-sensitive interrupt: a register write made it pending, so it stays that until it is acknowledged.
pub(crate) const SOFT: usize = 10;
/// A register write made a physical level-sensitive interrupt pending in hardware, from where it has not arrived yet.
pub(crate) const SOFT_AHEAD: usize = 11;
/// Requests to the core in charge: become pending, and, in this order, no longer pending, active, no longer active.
pub(crate) const SET_PENDING: usize = 12;
/// See [`SET_PENDING`].
pub(crate) const CLEAR_PENDING: usize = 13;
/// See [`SET_PENDING`].
pub(crate) const SET_ACTIVE: usize = 14;
/// See [`SET_PENDING`].
pub(crate) const CLEAR_ACTIVE: usize = 15;
/// Word 0 alone: what siblings want of this vCPU's core: SGIs in the low half, [`RESYNC`].
pub(crate) const MAIL: usize = 16;
/// Word 0 alone: GICR_WAKER.ProcessorSleep, inverted so that zero is the reset value.
pub(crate) const AWAKE: usize = 17;
/// Word 0 alone: what is pending in the core's redistributor, as it last published.
pub(crate) const SHOWN: usize = 18;

impl Word {
    /// What is asked of the core in charge.
    pub(crate) fn asked(&self) -> u32 {
        self.get(SET_PENDING)
            | self.get(CLEAR_PENDING)
            | self.get(SET_ACTIVE)
            | self.get(CLEAR_ACTIVE)
    }

    /// Pending or active as far as the latches know, or about to be.
    pub(crate) fn live(&self) -> u32 {
        self.get(PENDING) | self.get(LEVEL) | self.get(ACTIVE) | self.asked()
    }
}

/// The virtual GIC of one partition, shared by its cores. All bytes zero is a GIC without vCPUs and interrupts.
#[derive(FromZeros)]
#[repr(C, align(64))]
pub struct Gic {
    words: [Word; ALL_WORDS],
    priority: [AtomicU8; ALL_WORDS * 32],
    /// Of each SPI: the affinity that it is routed to in bits 23:0, its ITARGETSR byte (GICv2) above.
    route: Words<SPIS>,
    /// 1 + the vCPU that has the SPI latched or in a list register; 0 for none. Of a physical interrupt or one that cannot be routed
    /// it may name a vCPU whose guest has ended it since.
    holder: [AtomicU8; SPIS],
    /// GICD_CTLR.EnableGrp0 and EnableGrp1 (one word).
    pub(crate) enable_groups: Words<1>,
    /// GICv2: the vCPUs that sent each SGI of each vCPU and whose SGI waits for a list register, one bit each.
    sources: Words<{ MAX_VCPUS * 16 }>,
    /// Number of vCPUs.
    vcpus: AtomicU32,
    /// INTIDs / 32.
    visible: AtomicU32,
}

const _: () = assert!(size_of::<Gic>() <= 12 * 1024);

impl Gic {
    /// From all zero to the state after a reset: `vcpus` vCPUs (at most [`MAX_VCPUS`]) and the interrupts of `rows`, all disabled, group 0, priority 0, inactive.
    /// Rows with an INTID outside 16..`INTIDS` or a vCPU beyond `vcpus` are left out; the verifier refuses such plans.
    ///
    /// One core calls it while no other uses `self`. Each core then calls [`Vcpu::reset`](crate::Vcpu::reset).
    pub fn init(&self, vcpus: usize, gic: &GuestGic, rows: &[Interrupt]) {
        let vcpus = vcpus.min(MAX_VCPUS) as u32;
        self.vcpus.store(vcpus, Relaxed);
        let visible = (gic.intids / 32).clamp(1, WORDS as u32);
        self.visible.store(visible, Relaxed);
        for vcpu in 0..MAX_VCPUS {
            self.word(vcpu, 0).set(OWNED, SGIS);
            self.word(vcpu, 0).set(EDGE, SGIS);
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
                word.set(OWNED, bit);
                word.put(PHYSICAL, bit, row.flags & INTERRUPT_PHYSICAL != 0);
                word.put(EDGE, bit, row.flags & INTERRUPT_EDGE != 0);
                word.put(FIXED, bit, row.flags & INTERRUPT_FIXED != 0);
            }
            if !is_private {
                self.set_route(intid, row.vcpu | 1 << (24 + row.vcpu));
            }
        }
    }

    /// Number of vCPUs.
    #[inline(always)]
    pub(crate) fn vcpus(&self) -> usize {
        self.vcpus.load(Relaxed) as usize
    }

    /// Number of words the guest sees.
    #[inline(always)]
    pub(crate) fn visible(&self) -> usize {
        self.visible.load(Relaxed) as usize
    }

    /// Word `index` as vCPU `vcpu` sees it.
    #[inline(always)]
    pub(crate) fn word(&self, vcpu: usize, index: usize) -> &Word {
        &self.words[slot(vcpu, index)]
    }

    /// Priority of `intid` as vCPU `vcpu` sees it.
    pub(crate) fn priority(&self, vcpu: usize, intid: u32) -> &AtomicU8 {
        let at = slot(vcpu, intid as usize / 32) * 32 + intid as usize % 32;
        &self.priority[at % (ALL_WORDS * 32)]
    }

    /// GICv2: the vCPUs whose SGI `sgi` waits at `vcpu`.
    #[inline(always)]
    pub(crate) fn sources(&self, vcpu: usize, sgi: usize) -> Sources<'_> {
        Sources(&self.sources, vcpu % MAX_VCPUS * 16 + sgi % 16)
    }

    /// Which of `word`'s interrupts may be signalled: enabled, their group too, and routed to a vCPU that exists.
    #[inline(always)]
    pub(crate) fn on(&self, word: &Word) -> u32 {
        let groups = self.enable_groups.get(0);
        let group = word.get(GROUP);
        let group0 = 0u32.wrapping_sub(groups & 1);
        let group1 = 0u32.wrapping_sub(groups >> 1 & 1);
        word.get(ENABLE) & !word.get(UNROUTED) & (group & group1 | !group & group0)
    }

    /// The affinity that SPI `intid` is routed to: IROUTER bits 23:0.
    pub(crate) fn route(&self, intid: u32) -> u32 {
        self.route.get(spi(intid)) & 0x00ff_ffff
    }

    /// ITARGETSR's byte of SPI `intid`.
    pub(crate) fn targets(&self, intid: u32) -> u32 {
        self.route.get(spi(intid)) >> 24
    }

    /// What the vCPUs that see word `index` of `vcpu` keep ready for its interrupts no longer holds.
    pub(crate) fn outdate(&self, vcpu: usize, index: usize) {
        let all = 0..self.vcpus();
        for seen in if index == 0 { vcpu..vcpu + 1 } else { all } {
            self.word(seen, 0).set(MAIL, STALE << index);
        }
    }

    /// Where siblings tell vCPU `vcpu` that it has to look again: zero as long as what its core keeps ready holds.
    pub fn mail(&self, vcpu: usize) -> &AtomicU32 {
        &self.word(vcpu, 0).0[MAIL]
    }

    /// 1 + the vCPU that holds each SPI, 0 for none; a core that lists one says so here.
    pub fn holders(&self) -> &[AtomicU8; SPIS] {
        &self.holder
    }

    pub(crate) fn set_route(&self, intid: u32, route: u32) {
        self.route.swap(spi(intid), route);
    }

    /// The vCPU that SPI `intid` is routed to.
    pub(crate) fn target(&self, intid: u32) -> Option<usize> {
        Some(self.route(intid) as usize).filter(|&vcpu| vcpu < self.vcpus())
    }

    /// The vCPU that holds SPI `intid`.
    pub(crate) fn holder(&self, intid: u32) -> Option<usize> {
        usize::from(self.holder[spi(intid)].load(Relaxed)).checked_sub(1)
    }

    pub(crate) fn set_holder(&self, intid: u32, vcpu: usize) {
        if intid >= 32 {
            self.holder[spi(intid)].store(vcpu as u8 + 1, Relaxed);
        }
    }

    /// Takes SPI `intid` for `vcpu` unless another holds it.
    pub(crate) fn claim(&self, intid: u32, vcpu: usize) -> bool {
        self.change_holder(intid, 0, vcpu as u8 + 1) || self.holder(intid) == Some(vcpu)
    }

    /// `vcpu` no longer holds `intid`, if it is an SPI.
    pub(crate) fn release(&self, intid: u32, vcpu: usize) {
        if intid >= 32 {
            self.change_holder(intid, vcpu as u8 + 1, 0);
        }
    }

    fn change_holder(&self, intid: u32, old: u8, new: u8) -> bool {
        let byte = &self.holder[spi(intid)];
        let is_changed = byte.compare_exchange(old, new, AcqRel, Relaxed).is_ok();
        fence(SeqCst);
        is_changed
    }
}

/// One of [`Gic::sources`].
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a>(&'a Words<{ MAX_VCPUS * 16 }>, usize);

impl Sources<'_> {
    pub fn get(self) -> u32 {
        self.0.get(self.1)
    }

    pub fn set(self, mask: u32) {
        self.0.set(self.1, mask);
    }

    #[inline(always)]
    pub fn set_at_once(self, mask: u32) {
        self.0.set_at_once(self.1, mask);
    }

    pub fn clear(self, mask: u32) {
        self.0.clear(self.1, mask);
    }

    #[inline(always)]
    pub fn clear_at_once(self, mask: u32) {
        self.0.clear_at_once(self.1, mask);
    }
}

/// Where word `index` of vCPU `vcpu` is.
#[inline(always)]
fn slot(vcpu: usize, index: usize) -> usize {
    match index {
        0 => vcpu % MAX_VCPUS,
        _ => MAX_VCPUS + (index - 1) % (WORDS - 1),
    }
}

/// Index of SPI `intid`.
fn spi(intid: u32) -> usize {
    (intid as usize).wrapping_sub(32) % SPIS
}

/// Which interrupt sits in which list register of one core; private to that core. All bytes zero: nothing is delivered, the
/// vCPU is parked.
///
/// EL2's vectors read and write the public fields as [`Vcpu::physical`] and [`Vcpu::inject`] do at first.
///
/// [`Vcpu::physical`]: crate::Vcpu::physical
/// [`Vcpu::inject`]: crate::Vcpu::inject
#[derive(FromZeros)]
#[repr(C)]
pub struct Delivery {
    /// List registers in use, one bit each; none while the vCPU is parked.
    pub(crate) usable: u32,
    /// List registers that an arrival may take without looking further: none while others wait for room, lest it overtake them, nor
    /// those whose interrupt is latched too.
    pub open: u32,
    /// List registers with an active interrupt that is pending too, but must not be signalled now: that half stays in the latch.
    pub(crate) partial: u32,
    /// List registers that were given an interrupt as active.
    pub(crate) active: u32,
    /// The list register that each INTID was last in. True only where `noted` agrees.
    pub register: [u8; INTIDS],
    /// 1 + the INTID that each list register was last given, 0 for none.
    pub noted: [u16; 16],
    /// What an arrival of each INTID puts into a list register, 0 if that has to be found out. True only while [`Gic::mail`]
    /// has no word for it.
    pub ready: [u64; INTIDS],
    /// GICv2: who sent each SGI that is latched as active.
    pub(crate) source: [u8; 16],
    /// Of what the guest has acknowledged and not ended, as far as is known: [`TAKEN`], and with what priority and group.
    pub(crate) taken: [u8; INTIDS],
}

/// In [`Delivery::taken`]: the guest has acknowledged it. The group is in bit 0, the priority in bits 7:3.
pub(crate) const TAKEN: u8 = 1 << 1;

impl Delivery {
    /// The list register that was given `intid` last and nothing since. The guest may have ended it there.
    pub(crate) fn find(&self, intid: u32) -> Option<usize> {
        self.find_at_once(intid)
    }

    /// [`Self::find`] without a call, for the short path.
    #[inline(always)]
    pub(crate) fn find_at_once(&self, intid: u32) -> Option<usize> {
        let register = usize::from(*self.register.get(intid as usize)?) & 15;
        (u32::from(self.noted[register]) == intid + 1).then_some(register)
    }

    /// What list register `register` was given.
    pub(crate) fn noted(&self, register: usize) -> Option<u32> {
        u32::from(self.noted[register & 15]).checked_sub(1)
    }

    /// Notes that list register `register` is given `intid`.
    pub(crate) fn note(&mut self, register: usize, intid: u32) {
        if let Some(last) = self.register.get_mut(intid as usize) {
            *last = register as u8;
        }
        self.noted[register & 15] = intid as u16 + 1;
    }

    /// Notes that no list register holds anything.
    pub(crate) fn forget(&mut self) {
        self.partial = 0;
        self.active = 0;
        self.noted = [0; 16];
    }
}

/// The bits of `mask`, lowest first.
pub(crate) fn bits(mask: u32) -> Bits {
    Bits(mask)
}

/// See [`bits`].
pub(crate) struct Bits(u32);

impl Iterator for Bits {
    type Item = u32;

    #[inline(always)]
    fn next(&mut self) -> Option<u32> {
        let bit = (self.0 != 0).then(|| self.0.trailing_zeros());
        self.0 &= self.0.wrapping_sub(1);
        bit
    }
}
