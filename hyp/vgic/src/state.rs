//! The state: what the cores of a partition share, and what each keeps to itself.
//!
//! Every change is an atomic read-modify-write followed by a full barrier, every read is plain: a core that
//! changes one word and then reads another, while a sibling does so the other way round, cannot miss the sibling's
//! change if the sibling misses its own. Whoever sees the change acts on it.

use core::array;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering::SeqCst, fence};

use plan::{
    GuestGic, INTERRUPT_EDGE, INTERRUPT_FIXED, INTERRUPT_PHYSICAL, INTIDS, Interrupt, MAX_VCPUS,
};

/// Words of 32 INTIDs: word 0 is private to each vCPU (SGIs and PPIs), the others are SPIs.
pub(crate) const WORDS: usize = INTIDS / 32;
/// SPIs.
const SPIS: usize = INTIDS - 32;
/// SGIs: INTIDs 0 to 15, in the low bits of word 0.
pub(crate) const SGIS: u32 = 0xffff;
/// A mail bit beside the SGIs': compare list registers and latches with the shared words.
pub(crate) const RESYNC: u32 = 1 << 31;

/// `N` words that cores share. An index beyond them reads as zero and ignores writes.
pub(crate) struct Words<const N: usize>([AtomicU32; N]);

impl<const N: usize> Words<N> {
    fn new() -> Self {
        Self(array::from_fn(|_| AtomicU32::new(0)))
    }

    fn reset(&self) {
        self.0.iter().for_each(|word| word.store(0, Relaxed));
    }

    #[inline(always)]
    pub fn get(&self, index: usize) -> u32 {
        self.0.get(index).map_or(0, |word| word.load(Relaxed))
    }

    fn change(&self, index: usize, change: impl FnOnce(&AtomicU32) -> u32) -> u32 {
        let old = self.0.get(index).map_or(0, change);
        fence(SeqCst);
        old
    }

    /// Sets the bits `mask`. Returns what was there.
    pub fn set(&self, index: usize, mask: u32) -> u32 {
        self.change(index, |word| word.fetch_or(mask, AcqRel))
    }

    /// Clears the bits `mask`. Returns what was there.
    pub fn clear(&self, index: usize, mask: u32) -> u32 {
        self.change(index, |word| word.fetch_and(!mask, AcqRel))
    }

    /// Writes a word. Returns what was there.
    pub fn swap(&self, index: usize, value: u32) -> u32 {
        self.change(index, |word| word.swap(value, AcqRel))
    }
}

/// 32 interrupts, one bit each in every word below.
pub(crate) type Word = Words<11>;
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
/// Pending outside list registers. On a physical interrupt: acknowledged by EL2, physically active, waiting for a list register.
pub(crate) const PENDING: usize = 7;
/// Active outside list registers.
pub(crate) const ACTIVE: usize = 8;
/// The line of a software level-sensitive interrupt.
pub(crate) const LEVEL: usize = 9;
/// A level-sensitive interrupt that a register write made pending, not known to be acknowledged since.
pub(crate) const SOFT: usize = 10;

/// What belongs to one vCPU and its siblings may see: its private interrupts, and the requests they leave for it.
#[repr(C, align(64))]
pub struct Bank {
    /// What siblings want of this vCPU's core: SGIs in the low half, [`RESYNC`].
    pub(crate) mail: AtomicU32,
    /// GICR_WAKER.ProcessorSleep, inverted so that zero is the reset value.
    pub(crate) awake: AtomicU32,
    /// Requests: private physical interrupts to make pending in the redistributor (one word).
    pub(crate) set_pending: Words<1>,
    /// Requests: no longer pending.
    pub(crate) drop_pending: Words<WORDS>,
    /// Requests: no longer active.
    pub(crate) drop_active: Words<WORDS>,
    /// What this core last published of its list registers: pending.
    pub(crate) shown_pending: Words<WORDS>,
    /// What this core last published of its list registers: active.
    pub(crate) shown_active: Words<WORDS>,
    word: Word,
    priority: [AtomicU8; 32],
}

/// The virtual GIC of one partition, shared by its cores. All bytes zero is a valid value: a GIC without vCPUs and interrupts.
#[repr(C, align(64))]
pub struct Gic {
    /// GICD_CTLR.EnableGrp0 and EnableGrp1 (one word).
    pub(crate) enable_groups: Words<1>,
    /// Number of vCPUs.
    vcpus: AtomicU32,
    /// INTIDs / 32.
    words: AtomicU32,
    spis: [Word; WORDS - 1],
    priority: [AtomicU8; SPIS],
    /// IROUTER bits 31:0 of each SPI.
    route: Words<SPIS>,
    /// 1 + the vCPU that has the SPI in a list register, or a physical one latched; 0 for none. It may name a vCPU whose guest has ended the interrupt since.
    holder: [AtomicU8; SPIS],
    banks: [Bank; MAX_VCPUS],
}

const _: () = assert!(size_of::<Gic>() <= 12 * 1024);

impl Default for Gic {
    fn default() -> Self {
        Self::new()
    }
}

impl Gic {
    /// A GIC without vCPUs and interrupts.
    pub fn new() -> Self {
        Self {
            enable_groups: Words::new(),
            vcpus: AtomicU32::new(0),
            words: AtomicU32::new(0),
            spis: array::from_fn(|_| Words::new()),
            priority: array::from_fn(|_| AtomicU8::new(0)),
            route: Words::new(),
            holder: array::from_fn(|_| AtomicU8::new(0)),
            banks: array::from_fn(|_| Bank {
                mail: AtomicU32::new(0),
                awake: AtomicU32::new(0),
                set_pending: Words::new(),
                drop_pending: Words::new(),
                drop_active: Words::new(),
                shown_pending: Words::new(),
                shown_active: Words::new(),
                word: Words::new(),
                priority: array::from_fn(|_| AtomicU8::new(0)),
            }),
        }
    }

    /// Puts everything into the state after a reset: `vcpus` vCPUs (at most [`MAX_VCPUS`]) and the interrupts of `rows`, all disabled, group 0, priority 0, inactive.
    /// Rows with an INTID outside 16..`INTIDS` or a vCPU beyond `vcpus` are left out; the verifier refuses such plans.
    ///
    /// One core calls it while no other uses `self`: at boot, and before a restart when all vCPUs are parked. Each core then calls [`Vcpu::reset`](crate::Vcpu::reset).
    pub fn init(&self, vcpus: usize, gic: &GuestGic, rows: &[Interrupt]) {
        let vcpus = vcpus.min(MAX_VCPUS) as u32;
        self.vcpus.store(vcpus, Relaxed);
        let words = (gic.intids / 32).clamp(1, WORDS as u32);
        self.words.store(words, Relaxed);
        self.enable_groups.reset();
        self.spis.iter().for_each(Words::reset);
        self.route.reset();
        let bytes = self.priority.iter().chain(&self.holder);
        bytes.for_each(|byte| byte.store(0, Relaxed));
        for bank in &self.banks {
            bank.mail.store(0, Relaxed);
            bank.awake.store(0, Relaxed);
            bank.set_pending.reset();
            for words in [
                &bank.drop_pending,
                &bank.drop_active,
                &bank.shown_pending,
                &bank.shown_active,
            ] {
                words.reset();
            }
            bank.word.reset();
            bank.word.set(OWNED, SGIS);
            bank.word.set(EDGE, SGIS);
            let bytes = bank.priority.iter();
            bytes.for_each(|byte| byte.store(0, Relaxed));
        }
        for row in rows {
            let intid = u32::from(row.intid);
            let is_private = intid < 32;
            if !(16..INTIDS as u32).contains(&intid) || !is_private && row.vcpu >= vcpus {
                continue;
            }
            for vcpu in 0..if is_private { MAX_VCPUS } else { 1 } {
                let word = self.word(vcpu, intid as usize / 32);
                for (flag, field) in [
                    (INTERRUPT_PHYSICAL, PHYSICAL),
                    (INTERRUPT_EDGE, EDGE),
                    (INTERRUPT_FIXED, FIXED),
                ] {
                    word.set(field, u32::from(row.flags & flag != 0) << (intid % 32));
                }
                word.set(OWNED, 1 << (intid % 32));
            }
            self.set_route(intid, row.vcpu);
        }
    }

    /// Number of vCPUs.
    #[inline(always)]
    pub(crate) fn vcpus(&self) -> usize {
        self.vcpus.load(Relaxed) as usize
    }

    /// Number of words the guest sees.
    pub(crate) fn words(&self) -> usize {
        self.words.load(Relaxed) as usize
    }

    #[inline(always)]
    pub(crate) fn bank(&self, vcpu: usize) -> &Bank {
        &self.banks[vcpu % MAX_VCPUS]
    }

    /// Word `index` as vCPU `vcpu` sees it.
    #[inline(always)]
    pub(crate) fn word(&self, vcpu: usize, index: usize) -> &Word {
        match index {
            0 => &self.bank(vcpu).word,
            _ => &self.spis[(index - 1) % (WORDS - 1)],
        }
    }

    /// Priority of `intid` as vCPU `vcpu` sees it.
    #[inline(always)]
    pub(crate) fn priority(&self, vcpu: usize, intid: u32) -> &AtomicU8 {
        match intid {
            0..32 => &self.bank(vcpu).priority[intid as usize % 32],
            _ => &self.priority[spi(intid)],
        }
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

    /// IROUTER bits 31:0 of SPI `intid`.
    #[inline(always)]
    pub(crate) fn route(&self, intid: u32) -> u32 {
        self.route.get(spi(intid))
    }

    pub(crate) fn set_route(&self, intid: u32, route: u32) {
        if intid >= 32 {
            self.route.swap(spi(intid), route);
        }
    }

    /// The vCPU that holds SPI `intid`.
    pub(crate) fn holder(&self, intid: u32) -> Option<usize> {
        usize::from(self.holder[spi(intid)].load(Relaxed)).checked_sub(1)
    }

    #[inline(always)]
    pub(crate) fn set_holder(&self, intid: u32, vcpu: usize) {
        self.holder[spi(intid)].store(vcpu as u8 + 1, Relaxed);
    }

    /// Takes SPI `intid` for `vcpu` unless another holds it.
    pub(crate) fn claim(&self, intid: u32, vcpu: usize) -> bool {
        self.change_holder(intid, 0, vcpu as u8 + 1) || self.holder(intid) == Some(vcpu)
    }

    /// `vcpu` no longer holds SPI `intid`. Says whether it did.
    pub(crate) fn release(&self, intid: u32, vcpu: usize) -> bool {
        self.change_holder(intid, vcpu as u8 + 1, 0)
    }

    fn change_holder(&self, intid: u32, old: u8, new: u8) -> bool {
        let byte = &self.holder[spi(intid)];
        let is_changed = byte.compare_exchange(old, new, AcqRel, Relaxed).is_ok();
        fence(SeqCst);
        is_changed
    }
}

/// Index of SPI `intid`.
#[inline(always)]
fn spi(intid: u32) -> usize {
    (intid as usize).wrapping_sub(32) % SPIS
}

/// Which interrupt sits in which list register of one core; private to that core. All bytes zero is a valid value: nothing is delivered.
#[repr(C)]
pub struct Delivery {
    /// List registers in use, one bit each; none while the vCPU is parked.
    pub(crate) usable: u32,
    /// List registers that an arrival may take without looking further: none while others wait for room, lest it overtake them.
    pub(crate) open: u32,
    /// Whether active interrupts of this vCPU are latched, or may be.
    pub(crate) unlisted: bool,
    /// The list register that each INTID was last in. True only where `intid` agrees and the list register is not empty.
    register: [u8; INTIDS],
    /// What each list register was last given.
    intid: [u16; 16],
}

impl Default for Delivery {
    fn default() -> Self {
        Self::new()
    }
}

impl Delivery {
    /// Nothing is delivered: the vCPU is parked.
    pub const fn new() -> Self {
        Self {
            usable: 0,
            open: 0,
            unlisted: false,
            register: [0; INTIDS],
            intid: [0; 16],
        }
    }

    /// The list register that holds `intid`, where `empty` is ELRSR.
    #[inline(always)]
    pub(crate) fn find(&self, intid: u32, empty: u32) -> Option<usize> {
        let index = usize::from(*self.register.get(intid as usize)?) & 15;
        let is_there =
            u32::from(self.intid[index]) == intid && (self.usable & !empty) >> index & 1 != 0;
        is_there.then_some(index)
    }

    /// Whether list register `index` is the last that `intid` was in.
    pub(crate) fn was_last_in(&self, intid: u32, index: usize) -> bool {
        self.register.get(intid as usize).copied().map(usize::from) == Some(index)
    }

    /// Notes that list register `index` is given `intid`.
    #[inline(always)]
    pub(crate) fn note(&mut self, index: usize, intid: u32) {
        if let Some(register) = self.register.get_mut(intid as usize) {
            *register = index as u8;
        }
        self.intid[index & 15] = intid as u16;
    }
}

/// The bits of `mask`, lowest first.
pub(crate) fn bits(mask: u32) -> impl Iterator<Item = u32> {
    let mut rest = mask;
    core::iter::from_fn(move || {
        let bit = (rest != 0).then(|| rest.trailing_zeros());
        rest &= rest.wrapping_sub(1);
        bit
    })
}
