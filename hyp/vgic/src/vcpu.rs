//! One vCPU on its core: the paths that deliver an interrupt, short when a list register is free.
//!
//! Whatever does not fit at once is latched in the shared words, and `sync.rs` sorts it out.

use core::sync::atomic::Ordering::Relaxed;

use plan::INTIDS;
use zerocopy::FromZeros;

use crate::hardware::{Bank, Entry, Hardware, interface};
use crate::state::{
    ALL_STALE, CLEAR_ACTIVE, CLEAR_PENDING, Delivery, EDGE, FIXED, GROUP, Gic, LEVEL, MAIL, OWNED,
    PENDING, PHYSICAL, RESYNC, SET_PENDING, SGIS, SHOWN, SOFT, SOFT_AHEAD, STALE, WORDS, Word,
    bits,
};

/// The vCPU that runs on this core, for as long as EL2 handles one entry. Every method acts for that vCPU.
pub struct Vcpu<'a, H: Hardware> {
    pub(crate) gic: &'a Gic,
    pub(crate) own: usize,
    pub(crate) delivery: &'a mut Delivery,
    pub(crate) hardware: &'a mut H,
}

/// Word and bit of `intid`, which must be below [`INTIDS`].
#[inline(always)]
pub(crate) fn place(intid: u32) -> (usize, u32) {
    (intid as usize / 32, 1 << (intid % 32))
}

/// INTID of `bit` of word `index`.
#[inline(always)]
pub(crate) fn intid(index: usize, bit: u32) -> u32 {
    index as u32 * 32 + bit.trailing_zeros()
}

impl<'a, H: Hardware> Vcpu<'a, H> {
    /// vCPU `own` of `gic` on its core. `delivery` is the one that only this vCPU uses.
    #[inline(always)]
    pub fn new(gic: &'a Gic, own: usize, delivery: &'a mut Delivery, hardware: &'a mut H) -> Self {
        Self { gic, own, delivery, hardware }
    }

    /// Puts the own core's share into the state after a reset: list registers empty, control bits off, private interrupts disabled
    /// and inactive in the redistributor; on vCPU 0 the SPIs too, routed as planned. Delivers nothing until [`Self::unpark`].
    /// Call it on each core after [`Gic::init`], vCPU 0 before any other is unparked.
    /// The active priorities (`ICH_AP0R<n>_EL2`, `ICH_AP1R<n>_EL2`) and `ICH_VMCR_EL2` are EL2's to reset.
    pub fn reset(&mut self) {
        self.delivery.zero();
        for index in 0..self.hardware.count() {
            self.hardware.write(index, 0);
        }
        self.hardware.set_control(0);
        for index in 0..if self.own == 0 { WORDS } else { 1 } {
            let physical = self.word(index).get(PHYSICAL);
            if physical != 0 {
                self.hardware.write_bank(Bank::ClearEnable, index, physical);
                self.hardware.write_bank(Bank::ClearPending, index, physical);
                self.hardware.write_bank(Bank::ClearActive, index, physical);
            }
            for bit in bits(physical) {
                self.apply_route(index, 1 << bit);
            }
        }
    }

    /// The guest is off (CPU_OFF, or not started): what the list registers hold is latched, nothing is delivered.
    /// Physical interrupts that arrive now wait, physically active, until [`Self::unpark`].
    pub fn park(&mut self) {
        self.unload();
        self.delivery.usable = 0;
        self.load();
    }

    /// The guest is about to run: turns the virtual CPU interface on and delivers what is pending.
    pub fn unpark(&mut self) {
        let count = self.hardware.count().clamp(1, 16) as u32;
        self.delivery.usable = u32::MAX >> (32 - count);
        self.forget_priorities();
        self.word(0).set(MAIL, RESYNC);
        self.inbox();
    }

    /// An edge of the software interrupt `intid`, raised by this core: a channel's doorbell. Coalesces with one that is pending.
    /// An INTID that the partition does not own is ignored. Level-sensitive ones: see [`Self::set_level`].
    pub fn inject(&mut self, intid: u32) {
        if intid >= INTIDS as u32 {
            return;
        }
        if H::SGI_SOURCES && intid < 16 {
            return self.inject_sgi(intid);
        }
        let (index, bit) = place(intid);
        let word = self.word(index);
        let entry = self.ready(intid);
        // An earlier write of ICPENDR must not take this edge too.
        let is_free = word.get(CLEAR_PENDING) & bit == 0;
        if entry != 0 && is_free && (index == 0 || word.get(FIXED) & bit != 0) {
            let empty = self.hardware.empty();
            let listed = self.delivery.find(intid);
            let free = empty & self.delivery.open;
            if let Some(register) = listed.filter(|&at| empty >> at & 1 == 0) {
                let there = self.hardware.read(register);
                // One that is active keeps the priority it was acknowledged with; the guest may have given it another.
                if (there ^ entry) & Entry::RANK == 0 {
                    self.hardware.write(register, there | Entry::PENDING);
                    return;
                }
            } else if free != 0 {
                // List register 0 is for physical ones as long as there is another.
                let free = if free > 1 { free & !1 } else { free };
                self.list(free.trailing_zeros() as usize, intid, entry);
                return;
            }
        }
        self.ask(SET_PENDING, self.own, index, bit & word.get(OWNED) & !word.get(PHYSICAL));
    }

    /// The line of the software level-sensitive interrupt `intid` (PL011) is now `high`. Any core of the partition may say so.
    /// While a line is high, each end of the interrupt costs a maintenance interrupt: EL2 must look at the line again.
    pub fn set_level(&mut self, intid: u32, high: bool) {
        if intid >= INTIDS as u32 {
            return;
        }
        let (index, bit) = place(intid);
        let word = self.word(index);
        let bit = bit & word.get(OWNED) & !word.get(PHYSICAL) & !word.get(EDGE);
        if bit != 0 && (word.get(LEVEL) & bit != 0) != high {
            word.put(LEVEL, bit, high);
            self.look(self.own, index, bit);
        }
    }

    /// EL2 acknowledged and priority-dropped (not deactivated) physical interrupt `intid`. It is delivered linked to
    /// the physical one, which the guest's deactivation then deactivates, or with its end reported
    /// ([`is_linked`](crate::ListRegisters::is_linked)). False: the partition does not own it, nothing was done.
    pub fn physical(&mut self, intid: u32) -> bool {
        if intid >= INTIDS as u32 {
            return false;
        }
        let (index, bit) = place(intid);
        let word = self.word(index);
        if word.get(PHYSICAL) & bit == 0 {
            return false;
        }
        // What ICPENDR was to take came before this one.
        if word.get(CLEAR_PENDING) & bit != 0 {
            word.clear(CLEAR_PENDING, bit);
        }
        let entry = self.ready(intid);
        let empty = self.hardware.empty();
        let free = empty & self.delivery.open;
        // Latched, it was routed here from a core that has not let go of it yet: latch and list register must agree again.
        let is_latched = word.get(PENDING) & bit != 0;
        if free != 0 && entry != 0 && !is_latched {
            // The vectors' short path looks at list register 0 alone.
            self.list(free.trailing_zeros() as usize, intid, entry);
            self.sample_listed(!empty);
        } else {
            self.hold(index, bit);
        }
        true
    }

    /// An entry of any kind: what devices have withdrawn since the last one is pending no longer, unless the guest has
    /// acknowledged it meanwhile.
    #[inline(always)]
    pub fn sample(&mut self) {
        self.sample_listed(!self.hardware.empty());
    }

    /// [`Self::sample`] of the list registers `registers`.
    #[inline(always)]
    fn sample_listed(&mut self, registers: u32) {
        if registers & self.delivery.usable != 0 {
            self.compare_lines(registers);
        }
    }

    #[cold]
    #[inline(never)]
    fn compare_lines(&mut self, registers: u32) {
        for register in bits(registers & self.delivery.usable) {
            let register = register as usize;
            // In this order: reading a list register costs most.
            if let Some(intid) = self.delivery.noted(register)
                && self.is_outdated(intid)
                && Entry(self.hardware.read(register)).is_only_pending()
            {
                return self.sync();
            }
        }
    }

    /// Whether hardware says otherwise than the latch or list register in which `intid`, acknowledged by EL2, is pending: a
    /// level is withdrawn; or an edge came again, which is the same one as long as the guest has not acknowledged it.
    pub(crate) fn is_outdated(&self, intid: u32) -> bool {
        let (index, bit) = place(intid);
        let word = self.word(index);
        let is_edge = word.get(EDGE) & bit != 0;
        word.get(PHYSICAL) & !word.get(SOFT) & bit != 0
            && (self.hardware.pending(index) & bit != 0) == is_edge
    }

    /// After a kick: does what siblings asked. False: nothing was asked.
    pub fn inbox(&mut self) -> bool {
        let mail = self.word(0).swap(MAIL, 0);
        if mail & ALL_STALE != 0 {
            self.forget(mail);
        }
        // First, for a write of ICPENDR meant none of these SGIs.
        if mail & RESYNC != 0 {
            self.apply(0, u32::MAX);
            self.sync();
            let pending = self.hardware.pending(0) & self.word(0).get(PHYSICAL);
            self.word(0).swap(SHOWN, pending);
        }
        let mut sgis = mail & SGIS;
        while sgis != 0 {
            self.inject(sgis.trailing_zeros());
            sgis &= sgis - 1;
        }
        mail & !ALL_STALE != 0
    }

    /// Whether a list register is pending, of a group that the guest has enabled: a WFI at EL2 on its behalf (CPU_SUSPEND) must not wait then.
    pub fn is_pending(&self) -> bool {
        let groups = self.hardware.interface();
        bits(self.delivery.usable).any(|index| {
            let entry = Entry(self.hardware.read(index as usize));
            entry.is_only_pending() && groups >> entry.group() & 1 != 0
        })
    }

    /// Whether a list register is pending, of whichever group: what wakes a vCPU from a power-down, for which software has
    /// switched its groups off (IHI 0069, 11.1).
    pub fn is_woken(&self) -> bool {
        bits(self.delivery.usable)
            .any(|index| Entry(self.hardware.read(index as usize)).is_only_pending())
    }

    /// The guest wrote `intid` to `ICC_DIR_EL1` (`GICC_DIR`): that interrupt is active no longer, an SPI wherever it was
    /// acknowledged. With EOImode = 0 such writes are ignored (IHI 0069, ICC_DIR_EL1).
    pub fn deactivate(&mut self, intid: u32) {
        let is_split = self.hardware.interface() & interface::EOI_MODE != 0;
        if intid < INTIDS as u32 && is_split {
            let (index, bit) = place(intid);
            let owned = bit & self.word(index).get(OWNED);
            self.ask(CLEAR_ACTIVE, self.own, index, owned);
        }
    }

    /// Asks whichever core is in charge of each interrupt of `mask` for what row `request` says. The opposite request is off.
    #[inline(never)]
    pub(crate) fn ask(&mut self, request: usize, vcpu: usize, index: usize, mask: u32) {
        let word = self.gic.word(vcpu, index);
        if request == CLEAR_PENDING && (index != 0 || vcpu == self.own) {
            let physical = mask & word.get(PHYSICAL);
            self.hardware.write_bank(Bank::ClearPending, index, physical);
        }
        if request == CLEAR_PENDING && index == 0 {
            word.clear(MAIL, mask & SGIS);
        }
        word.clear(request ^ 1, mask);
        word.set(request, mask);
        self.look(vcpu, index, mask);
    }

    /// Word `index` as this vCPU sees it.
    #[inline(always)]
    pub(crate) fn word(&self, index: usize) -> &'a Word {
        self.gic.word(self.own, index)
    }

    /// Whether the interrupt may be signalled to this vCPU.
    pub(crate) fn deliverable(&self, index: usize, bit: u32) -> bool {
        self.gic.on(self.word(index)) & bit != 0
            && (index == 0 || self.gic.route(intid(index, bit)) == self.own as u32)
    }

    /// What an arrival of `intid` puts into a list register: 0 if it may not be signalled to this vCPU.
    pub(crate) fn ready(&mut self, intid: u32) -> u64 {
        let stale = self.word(0).get(MAIL) & ALL_STALE;
        if stale != 0 {
            self.word(0).clear(MAIL, stale);
            self.forget(stale);
        }
        match self.delivery.ready.get(intid as usize) {
            None | Some(0) => self.make_ready(intid),
            Some(&entry) => entry,
        }
    }

    #[cold]
    #[inline(never)]
    fn make_ready(&mut self, intid: u32) -> u64 {
        let (index, bit) = place(intid);
        let word = self.word(index);
        let is_physical = word.get(PHYSICAL) & bit != 0;
        // The next arrival has to find out anew whether a register write is behind it.
        let is_soft = is_physical && word.take(SOFT_AHEAD, bit);
        if is_physical {
            word.put(SOFT, bit, is_soft);
        }
        if !self.deliverable(index, bit) {
            return 0;
        }
        let entry = match is_physical {
            false => self.entry(intid, Entry::PENDING),
            true => self.entry(intid, Entry::PENDING | self.physical_flag()),
        };
        if let Some(ready) = self.delivery.ready.get_mut(intid as usize)
            && !is_soft
        {
            *ready = entry;
        }
        entry
    }

    /// What a physical interrupt's list register says about its end.
    pub(crate) fn physical_flag(&self) -> u64 {
        match self.hardware.is_linked() {
            true => Entry::LINKED,
            false => Entry::REPORT_END,
        }
    }

    /// Forgets what was ready in the words that `mail` says have changed.
    fn forget(&mut self, mail: u32) {
        for index in bits((mail & ALL_STALE) / STALE) {
            let word = self.delivery.ready.chunks_exact_mut(32).nth(index as usize);
            word.into_iter().for_each(|word| word.fill(0));
        }
    }

    /// The form of `intid` in a list register.
    pub(crate) fn entry(&self, intid: u32, flags: u64) -> u64 {
        let (index, bit) = place(intid);
        let group = match self.word(index).get(GROUP) & bit {
            0 => 0,
            _ => Entry::GROUP1,
        };
        let priority = self.gic.priority(self.own, intid).load(Relaxed);
        Entry::new(intid, priority, flags | group).0
    }

    /// Puts `entry`, which is of `intid`, into list register `register`, which must be free.
    pub(crate) fn list(&mut self, register: usize, intid: u32, entry: u64) {
        self.delivery.note(register, intid);
        self.gic.set_holder(intid, self.own);
        self.hardware.write(register, entry);
    }

    /// Asks vCPU `target`'s core for what `mail` says. If mail is still there, so is a kick on its way.
    #[inline(never)]
    pub(crate) fn post(&mut self, target: usize, mail: u32) {
        self.post_at_once(target, mail);
    }

    /// [`Self::post`] without a call, for the short path.
    #[inline(always)]
    pub(crate) fn post_at_once(&mut self, target: usize, mail: u32) {
        let before = self.gic.word(target, 0).set_at_once(MAIL, mail);
        if before & !ALL_STALE == 0 {
            self.hardware.kick(target);
        }
    }
}
