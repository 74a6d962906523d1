//! The state: what the cores of a partition share, and what each keeps to itself.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed, Ordering::SeqCst};
use plan::{
    GuestGic, INTERRUPT_EDGE, INTERRUPT_FIXED, INTERRUPT_PHYSICAL, INTIDS, Interrupt, MAX_VCPUS,
};

/// Words of 32 INTIDs: word 0 is private to each vCPU (SGIs and PPIs), the others are SPIs.
pub(crate) const WORDS: usize = INTIDS / 32;
/// Shared words.
const SPI_WORDS: usize = WORDS - 1;
/// SPIs.
const SPIS: usize = SPI_WORDS * 32;
/// SGIs: INTIDs 0 to 15, in the low bits of word 0.
pub(crate) const SGIS: u32 = 0xffff;
/// A mail bit beside the SGIs': compare list registers and latches with the shared words.
pub(crate) const RESYNC: u32 = 1 << 31;

/// 32 interrupts, one bit each. The first four never change after [`Gic::init`].
#[repr(C)]
pub(crate) struct Word {
    /// The partition has it. All others read as zero and ignore writes.
    pub owned: AtomicU32,
    /// Hardware raises it.
    pub physical: AtomicU32,
    /// Edge-triggered.
    pub edge: AtomicU32,
    /// The guest cannot route it.
    pub fixed: AtomicU32,
    /// ISENABLER.
    pub enable: AtomicU32,
    /// IGROUPR.
    pub group: AtomicU32,
    /// IROUTER names no vCPU.
    pub unrouted: AtomicU32,
    /// Pending outside list registers. On a physical interrupt: acknowledged by EL2, physically active, waiting for a list register.
    pub pending: AtomicU32,
    /// Active outside list registers.
    pub active: AtomicU32,
    /// The line of a software level-sensitive interrupt.
    pub level: AtomicU32,
    /// A level-sensitive interrupt that a register write made pending, not known to be acknowledged since.
    pub soft: AtomicU32,
    /// IPRIORITYR, a byte an interrupt.
    pub priority: [AtomicU8; 32],
}

impl Word {
    const fn new() -> Self {
        Self {
            owned: AtomicU32::new(0),
            physical: AtomicU32::new(0),
            edge: AtomicU32::new(0),
            fixed: AtomicU32::new(0),
            enable: AtomicU32::new(0),
            group: AtomicU32::new(0),
            unrouted: AtomicU32::new(0),
            pending: AtomicU32::new(0),
            active: AtomicU32::new(0),
            level: AtomicU32::new(0),
            soft: AtomicU32::new(0),
            priority: [const { AtomicU8::new(0) }; 32],
        }
    }

    fn reset(&self) {
        for word in [
            &self.owned,
            &self.physical,
            &self.edge,
            &self.fixed,
            &self.enable,
            &self.group,
            &self.unrouted,
            &self.pending,
            &self.active,
            &self.level,
            &self.soft,
        ] {
            word.store(0, Relaxed);
        }
        for byte in &self.priority {
            byte.store(0, Relaxed);
        }
    }

    fn add(&self, bit: u32, flags: u16) {
        for (flag, word) in [
            (INTERRUPT_PHYSICAL, &self.physical),
            (INTERRUPT_EDGE, &self.edge),
            (INTERRUPT_FIXED, &self.fixed),
        ] {
            if flags & flag != 0 {
                word.fetch_or(bit, Relaxed);
            }
        }
        self.owned.fetch_or(bit, Relaxed);
    }

    /// Priority of the interrupt at `bit` (0 to 31).
    #[inline(always)]
    pub fn priority(&self, bit: u32) -> u8 {
        self.priority
            .get(bit as usize)
            .map_or(0, |byte| byte.load(Relaxed))
    }
}

/// What belongs to one vCPU and its siblings may see: its private interrupts, and the requests they leave for it.
#[repr(C, align(64))]
pub struct Bank {
    /// What siblings want of this vCPU's core: SGIs in the low half, [`RESYNC`].
    pub(crate) mail: AtomicU32,
    /// GICR_WAKER.ProcessorSleep, inverted so that zero is the reset value.
    pub(crate) awake: AtomicU32,
    /// Requests: no longer pending.
    pub(crate) drop_pending: [AtomicU32; WORDS],
    /// Requests: private physical interrupts to make pending in the redistributor.
    pub(crate) set_pending: AtomicU32,
    /// Requests: no longer active.
    pub(crate) drop_active: [AtomicU32; WORDS],
    /// What this core last published of its list registers: pending.
    pub(crate) shown_pending: [AtomicU32; WORDS],
    /// What this core last published of its list registers: active.
    pub(crate) shown_active: [AtomicU32; WORDS],
    /// SGIs and PPIs.
    pub(crate) word: Word,
}

impl Bank {
    const fn new() -> Self {
        Self {
            mail: AtomicU32::new(0),
            awake: AtomicU32::new(0),
            drop_pending: [const { AtomicU32::new(0) }; WORDS],
            set_pending: AtomicU32::new(0),
            drop_active: [const { AtomicU32::new(0) }; WORDS],
            shown_pending: [const { AtomicU32::new(0) }; WORDS],
            shown_active: [const { AtomicU32::new(0) }; WORDS],
            word: Word::new(),
        }
    }

    fn reset(&self) {
        self.mail.store(0, Relaxed);
        self.awake.store(0, Relaxed);
        self.set_pending.store(0, Relaxed);
        for words in [
            &self.drop_pending,
            &self.drop_active,
            &self.shown_pending,
            &self.shown_active,
        ] {
            for word in words {
                word.store(0, Relaxed);
            }
        }
        self.word.reset();
    }
}

/// The virtual GIC of one partition, shared by its cores. All bytes zero is a valid value: a GIC without vCPUs and interrupts.
#[repr(C, align(64))]
pub struct Gic {
    /// GICD_CTLR.EnableGrp0 and EnableGrp1.
    pub(crate) enable_groups: AtomicU32,
    /// Number of vCPUs.
    pub(crate) vcpus: AtomicU32,
    /// INTIDs, a multiple of 32.
    pub(crate) intids: AtomicU32,
    spis: [Word; SPI_WORDS],
    /// IROUTER bits 31:0 of each SPI.
    route: [AtomicU32; SPIS],
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
    pub const fn new() -> Self {
        Self {
            enable_groups: AtomicU32::new(0),
            vcpus: AtomicU32::new(0),
            intids: AtomicU32::new(0),
            spis: [const { Word::new() }; SPI_WORDS],
            route: [const { AtomicU32::new(0) }; SPIS],
            holder: [const { AtomicU8::new(0) }; SPIS],
            banks: [const { Bank::new() }; MAX_VCPUS],
        }
    }

    /// Puts everything into the state after a reset: `vcpus` vCPUs (at most [`MAX_VCPUS`]) and the interrupts of `rows`, all disabled, group 0, priority 0, inactive.
    /// Rows with an INTID outside 16..`INTIDS` or a vCPU beyond `vcpus` are left out; the verifier refuses such plans.
    ///
    /// One core calls it while no other uses `self`: at boot, and before a restart when all vCPUs are parked. Each core then calls [`Vcpu::reset`](crate::Vcpu::reset).
    pub fn init(&self, vcpus: usize, gic: &GuestGic, rows: &[Interrupt]) {
        let vcpus = vcpus.min(MAX_VCPUS);
        self.enable_groups.store(0, Relaxed);
        self.intids
            .store((gic.intids & !31).clamp(32, INTIDS as u32), Relaxed);
        self.vcpus.store(vcpus as u32, Relaxed);
        self.spis.iter().for_each(Word::reset);
        self.banks.iter().for_each(Bank::reset);
        self.route.iter().for_each(|route| route.store(0, Relaxed));
        self.holder.iter().for_each(|byte| byte.store(0, Relaxed));
        for bank in &self.banks {
            for intid in 0..16 {
                bank.word.add(1 << intid, INTERRUPT_EDGE);
            }
        }
        for row in rows {
            let bit = 1 << (row.intid % 32);
            match row.intid {
                0..16 => {}
                16..32 => self
                    .banks
                    .iter()
                    .for_each(|bank| bank.word.add(bit, row.flags)),
                _ if row.vcpu as usize >= vcpus => {}
                _ => {
                    if let Some(word) = self.spis.get(usize::from(row.intid) / 32 - 1) {
                        word.add(bit, row.flags);
                        self.set_route(row.intid.into(), row.vcpu);
                    }
                }
            }
        }
    }

    /// Number of vCPUs.
    #[inline(always)]
    pub(crate) fn vcpus(&self) -> usize {
        self.vcpus.load(Relaxed) as usize
    }

    #[inline(always)]
    pub(crate) fn bank(&self, vcpu: usize) -> &Bank {
        &self.banks[vcpu % MAX_VCPUS]
    }

    /// Word `index` as vCPU `vcpu` sees it. Indices beyond the last word give the last.
    #[inline(always)]
    pub(crate) fn word(&self, vcpu: usize, index: usize) -> &Word {
        match index {
            0 => &self.bank(vcpu).word,
            _ => &self.spis[(index - 1) % SPI_WORDS],
        }
    }

    /// Which of `word`'s interrupts may be signalled: enabled, their group too, and routed to a vCPU that exists.
    #[inline(always)]
    pub(crate) fn on(&self, word: &Word) -> u32 {
        let groups = self.enable_groups.load(SeqCst);
        let group = word.group.load(Relaxed);
        let group0 = 0u32.wrapping_sub(groups & 1);
        let group1 = 0u32.wrapping_sub(groups >> 1 & 1);
        word.enable.load(SeqCst) & !word.unrouted.load(Relaxed) & (group & group1 | !group & group0)
    }

    /// IROUTER bits 31:0 of SPI `intid`.
    #[inline(always)]
    pub(crate) fn route(&self, intid: u32) -> u32 {
        self.route[(intid as usize).wrapping_sub(32) % SPIS].load(SeqCst)
    }

    pub(crate) fn set_route(&self, intid: u32, route: u32) {
        self.route[(intid as usize).wrapping_sub(32) % SPIS].store(route, SeqCst);
    }

    /// The vCPU that SPI `intid` is held by.
    #[inline(always)]
    pub(crate) fn holder(&self, intid: u32) -> Option<usize> {
        usize::from(self.holder_byte(intid).load(SeqCst)).checked_sub(1)
    }

    #[inline(always)]
    pub(crate) fn set_holder(&self, intid: u32, vcpu: usize) {
        self.holder_byte(intid).store(vcpu as u8 + 1, Relaxed);
    }

    /// Takes SPI `intid` for `vcpu` unless another holds it.
    pub(crate) fn claim(&self, intid: u32, vcpu: usize) -> bool {
        let own = vcpu as u8 + 1;
        match self
            .holder_byte(intid)
            .compare_exchange(0, own, SeqCst, SeqCst)
        {
            Ok(_) => true,
            Err(holder) => holder == own,
        }
    }

    /// `vcpu` no longer holds SPI `intid`. Says whether it did.
    pub(crate) fn release(&self, intid: u32, vcpu: usize) -> bool {
        self.holder_byte(intid)
            .compare_exchange(vcpu as u8 + 1, 0, SeqCst, SeqCst)
            .is_ok()
    }

    #[inline(always)]
    fn holder_byte(&self, intid: u32) -> &AtomicU8 {
        &self.holder[(intid as usize).wrapping_sub(32) % SPIS]
    }
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
