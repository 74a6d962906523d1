// SPDX-License-Identifier: MIT OR Apache-2.0
//! One vCPU on its core: what the core keeps for itself, reset, power, requests of siblings, and
//! the bookkeeping that the other files share.

use plan::INTIDS;
use zerocopy::FromZeros;

use crate::atomic::Ordering::Relaxed;
use crate::hardware::{Bank, Entry, Hardware, interface};
use crate::state::{ALL_STALE, Gic, Latches, RESYNC, Request, SGIS, WORDS, Word};
use crate::words::Bits;

/// Which interrupt is in which list register of one core; private to that core. All bytes zero:
/// nothing is delivered, the vCPU is parked.
///
/// EL2's vectors read and write the public fields in the same way as [`Vcpu::physical`] and
/// [`Vcpu::inject`].
#[derive(FromZeros)]
#[repr(C)]
pub struct Delivery {
    /// List registers in use, one bit each; none while the vCPU is parked.
    pub(crate) usable: u32,
    /// List registers that an arrival may take at once: none while others wait for room, because
    /// it would overtake them.
    pub free_for_arrival: u32,
    /// List registers with an active interrupt whose pending half stays in the latch, because it
    /// must not be signalled now.
    pub(crate) active_latched_pending: u32,
    /// List registers that may hold a physical interrupt, whose line is to be sampled. The vectors
    /// list them in register 0 only, which always counts.
    pub(crate) physical: u32,
    /// List registers that were given an interrupt as active.
    pub(crate) active: u32,
    /// The list register that each INTID was last in. Valid only where `lr_intid` agrees.
    pub last_lr: [u8; INTIDS],
    /// 1 + the INTID that each list register was last given, 0 for none.
    pub lr_intid: [u16; 16],
    /// The list register content of each INTID's next arrival, 0 if it has to be computed. Valid
    /// only while [`Gic::requests`](crate::Gic::requests) has no bit for its word.
    pub cached_entry: [u64; INTIDS],
    /// GICv2: the sender of each SGI that is latched as active.
    pub(crate) source: [u8; 16],
    /// Per INTID that the guest has acknowledged and not ended, as far as EL2 knows:
    /// [`ACKNOWLEDGED`], with the priority and group it had then.
    pub(crate) acknowledged: [u8; INTIDS],
}

/// In [`Delivery::acknowledged`]: the guest has acknowledged it. Bit 0 is the group, bits 7:3 are
/// the priority.
pub(crate) const ACKNOWLEDGED: u8 = 1 << 1;

impl Delivery {
    /// Returns the list registers that are not `empty` (`ICH_ELRSR_EL2`) and may hold a physical
    /// interrupt: [`Vcpu::sample`](crate::Vcpu::sample) compares their lines.
    #[inline(always)]
    pub fn to_sample(&self, empty: u32) -> u32 {
        !empty & self.usable & (self.physical | 1)
    }

    /// Returns the list registers that the arrival of a software interrupt may take. Register 0 is
    /// for physical ones as long as there is another, and none is free if a sync makes one so: it
    /// was filled, and is `empty` since.
    #[inline(always)]
    pub(crate) fn free_for_software(&self, empty: u32) -> u32 {
        let free = empty & self.free_for_arrival;
        if free > 1 || empty & self.usable != 1 { free & !1 } else { free }
    }

    /// Returns the list register that was given `intid` last, unless it was given another since.
    /// The guest may have ended `intid` there.
    #[inline(always)]
    pub(crate) fn find(&self, intid: u32) -> Option<usize> {
        let register = usize::from(*self.last_lr.get(intid as usize)?) & 15;
        (u32::from(self.lr_intid[register]) == intid + 1).then_some(register)
    }

    /// Returns the INTID that list register `register` was last given.
    pub(crate) fn lr_intid(&self, register: usize) -> Option<u32> {
        u32::from(self.lr_intid[register & 15]).checked_sub(1)
    }
}

/// The vCPU that runs on this core, for as long as EL2 handles one entry. Every method acts for
/// that vCPU.
pub struct Vcpu<'a, H: Hardware> {
    pub(crate) gic: &'a Gic,
    pub(crate) own: usize,
    pub(crate) delivery: &'a mut Delivery,
    pub(crate) hardware: &'a mut H,
}

/// Returns word and bit of `intid`, which must be below [`INTIDS`].
pub(crate) fn place(intid: u32) -> (usize, u32) {
    (intid as usize / 32, 1 << (intid % 32))
}

/// Returns the INTID of `bit` of word `index`.
#[inline(always)]
pub(crate) fn intid(index: usize, bit: u32) -> u32 {
    index as u32 * 32 + bit.trailing_zeros()
}

impl<'a, H: Hardware> Vcpu<'a, H> {
    /// Returns vCPU `own` of `gic` on its core. `delivery` is the one that only this vCPU uses.
    pub fn new(gic: &'a Gic, own: usize, delivery: &'a mut Delivery, hardware: &'a mut H) -> Self {
        Self { gic, own, delivery, hardware }
    }

    /// Puts the own core's share into the state after a reset: list registers empty, control bits
    /// off, private interrupts disabled and inactive in the redistributor; on vCPU 0 the SPIs too,
    /// routed as planned. Delivers nothing until [`Self::unpark`].
    ///
    /// Call it on each core after [`Gic::init`], on vCPU 0 before any other is unparked. The active
    /// priorities (`ICH_AP0R<n>_EL2`, `ICH_AP1R<n>_EL2`) and `ICH_VMCR_EL2` are EL2's to reset.
    pub fn reset(&mut self) {
        self.delivery.zero();
        for index in 0..self.hardware.count() {
            self.hardware.write(index, 0);
        }
        self.hardware.set_control(0);
        let words = if self.own == 0 { WORDS } else { 1 };
        for index in 0..words {
            self.write_bank(Bank::ClearEnable, index, self.word(index).physical.get());
        }
        self.hardware.wait_for_disable(self.own == 0);
        for index in 0..words {
            let physical = self.word(index).physical.get();
            if physical == 0 {
                continue;
            }
            self.write_bank(Bank::ClearActive, index, physical);
            self.write_bank(Bank::ClearPending, index, physical);
            for number in Bits(physical) {
                self.route(index, 1 << number);
            }
        }
    }

    /// Stops delivery because the guest is off (CPU_OFF, or not started): latches what the list
    /// registers hold. Physical interrupts that arrive now wait, physically active, until
    /// [`Self::unpark`].
    pub fn park(&mut self) {
        self.fold_list_registers();
        self.delivery.usable = 0;
        self.fill_list_registers();
    }

    /// Turns the virtual CPU interface on and delivers what is pending: the guest is about to run.
    pub fn unpark(&mut self) {
        let count = self.hardware.count().clamp(1, 16) as u32;
        self.delivery.usable = u32::MAX >> (32 - count);
        self.forget_priorities();
        self.word(0).requests.set(RESYNC);
        self.take_requests();
    }

    /// Does what siblings requested, after their kick. Returns false if there was no request.
    pub fn take_requests(&mut self) -> bool {
        let requests = self.word(0).requests.swap(0);
        if requests & ALL_STALE != 0 {
            self.drop_cached(requests);
        }
        // First, because a write of ICPENDR was not for any of these SGIs.
        if requests & RESYNC != 0 {
            self.apply_enable(0, u32::MAX);
            self.sync();
            let pending = self.hardware.pending(0) & self.word(0).physical.get();
            self.word(0).published_ppis.swap(pending);
        }
        for sgi in Bits(requests & SGIS) {
            self.inject(sgi);
        }
        requests & !ALL_STALE != 0
    }

    /// Returns whether a list register is pending, of a group that the guest has enabled: a WFI at
    /// EL2 on its behalf (CPU_SUSPEND) must not wait then.
    pub fn is_pending(&self) -> bool {
        self.is_pending_in(self.hardware.interface())
    }

    /// Returns whether a list register is pending, of either group: this wakes a vCPU from a
    /// power-down, for which software has switched its groups off (IHI 0069, 11.1).
    pub fn is_woken(&self) -> bool {
        self.is_pending_in(interface::GROUPS)
    }

    fn is_pending_in(&self, groups: u32) -> bool {
        Bits(self.delivery.usable).any(|index| {
            let entry = Entry(self.hardware.read(index as usize));
            entry.is_only_pending() && groups >> entry.group() & 1 != 0
        })
    }

    /// Deactivates `intid` because the guest wrote it to `ICC_DIR_EL1` (`GICC_DIR`), an SPI on the
    /// vCPU that acknowledged it. Does nothing with EOImode = 0 (IHI 0069, ICC_DIR_EL1).
    pub fn deactivate(&mut self, intid: u32) {
        let is_split = self.hardware.interface() & interface::EOI_MODE != 0;
        if intid < INTIDS as u32 && is_split {
            let (index, bit) = place(intid);
            let owned = bit & self.word(index).owned.get();
            self.request(Request::ClearActive, self.own, index, owned);
        }
    }

    /// Returns word `index` as this vCPU sees it.
    pub(crate) fn word(&self, index: usize) -> &'a Word {
        self.gic.word(self.own, index)
    }

    /// Returns this vCPU's latches of the interrupts of word `index`.
    pub(crate) fn latches(&self, index: usize) -> &'a Latches {
        self.gic.latches(self.own, index)
    }

    /// Returns whether the interrupt may be signalled to this vCPU.
    pub(crate) fn deliverable(&self, index: usize, bit: u32) -> bool {
        self.gic.on(self.word(index)) & bit != 0
            && (index == 0 || self.gic.route(intid(index, bit)) == self.own as u32)
    }

    /// Returns the group of `intid`, 0 or 1.
    pub(crate) fn group(&self, intid: u32) -> u32 {
        let (index, bit) = place(intid);
        u32::from(self.word(index).group.get() & bit != 0)
    }

    /// Returns the list register content of `intid` with `flags` and, if it is physical, the flag
    /// that says how it ends.
    pub(crate) fn entry(&self, intid: u32, flags: u64) -> u64 {
        let (index, bit) = place(intid);
        let end = match self.is_physical(index, bit) {
            false => 0,
            true if self.hardware.is_linked() => Entry::LINKED,
            true => Entry::REPORT_END,
        };
        let group = u64::from(self.group(intid)) << Entry::GROUP1.trailing_zeros();
        let priority = self.gic.priority(self.own, intid).load(Relaxed);
        Entry::new(intid, priority, flags | end | group).0
    }

    /// [`Self::list`] for an interrupt that arrives: this vCPU holds it from now on.
    pub(crate) fn list_arrival(&mut self, register: usize, intid: u32, entry: u64) {
        self.gic.set_holder(intid, self.own);
        self.list(register, intid, entry);
    }

    /// Writes `entry`, which is of `intid`, to list register `register`, which must be free.
    #[inline(never)]
    pub(crate) fn list(&mut self, register: usize, intid: u32, entry: u64) {
        if let Some(last) = self.delivery.last_lr.get_mut(intid as usize) {
            *last = register as u8;
        }
        self.delivery.lr_intid[register & 15] = intid as u16 + 1;
        self.hardware.write(register, entry);
    }
}
