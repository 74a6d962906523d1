// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the model requires of the core it runs on, and the form of a list register.

/// The own core's control of its virtual CPU interface (`ICH_*_EL2` on GICv3, IHI 0069, 12.4; GICH
/// on GICv2).
pub trait ListRegisters {
    /// GICv2: an SGI is pending once per vCPU that sent it, and its list register names one sender
    /// ([`Entry::source`]).
    const SGI_SOURCES: bool;
    /// Returns the number of list registers, 1 to 16: `ICH_VTR_EL2.ListRegs` + 1.
    fn count(&self) -> usize;
    /// Reads list register `index`, in [`Entry`]'s form. An index beyond [`Self::count`] reads as
    /// zero.
    fn read(&self, index: usize) -> u64;
    /// Writes list register `index`. An index beyond [`Self::count`] does nothing.
    fn write(&mut self, index: usize, value: u64);
    /// Reads `ICH_ELRSR_EL2`: one bit per list register that is free (invalid, with no
    /// end-of-interrupt report outstanding).
    fn empty(&self) -> u32;
    /// Reads `ICH_HCR_EL2` (`GICH_HCR`).
    fn control(&self) -> u32;
    /// Writes `ICH_HCR_EL2`; the model changes only the bits in [`control`].
    fn set_control(&mut self, value: u32);
    /// Reads `ICH_VMCR_EL2` (`GICH_VMCR`): what the guest has set in its CPU interface, of which
    /// the model uses [`interface`].
    fn interface(&self) -> u32;
    /// Returns the bit of [`control`] that makes the guest's deactivations enter EL2, which hands
    /// them to [`Vcpu::deactivate`](crate::Vcpu::deactivate): [`control::TDIR`], or [`control::TC`]
    /// on cores without it (`ICH_VTR_EL2.TDS`). Zero on GICv2, where stage 2 leaves out the page of
    /// `GICV_DIR`.
    fn deactivation_trap(&self) -> u32;
    /// Returns whether physical interrupts are listed with HW = 1, so that the guest's end
    /// deactivates them without EL2. False on a GICv2 that cannot be trusted with that: with HW = 0
    /// the end is reported, and EL2 deactivates ([`Physical::deactivate`]).
    fn is_linked(&self) -> bool {
        true
    }
}

/// The set and clear registers of the physical GIC, in the order of their addresses from
/// `GICD_ISENABLER` on, 32 words each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bank {
    /// `ISENABLER`.
    SetEnable,
    /// `ICENABLER`.
    ClearEnable,
    /// `ISPENDR`.
    SetPending,
    /// `ICPENDR`.
    ClearPending,
    /// `ISACTIVER`.
    SetActive,
    /// `ICACTIVER`.
    ClearActive,
}

/// The physical GIC, for the interrupts that the partition owns. A word has 32 INTIDs; word 0 is
/// that of the *own* core's redistributor, the others are the distributor's. No operation touches
/// bits of other partitions in the same word.
///
/// The model does not change physical priorities, which are all the same, or physical triggers,
/// which are the plan's.
pub trait Physical {
    /// Writes `mask` to word `word` of `bank`.
    fn write_bank(&mut self, bank: Bank, word: usize, mask: u32);
    /// Waits until private interrupts that were disabled arrive no more (`GICR_CTLR.RWP`), and with
    /// `shared` SPIs too (`GICD_CTLR.RWP`).
    fn wait_for_disable(&mut self, _shared: bool) {}
    /// Reads `ISPENDR<word>`.
    fn pending(&self, word: usize) -> u32;
    /// Deactivates `intid`, whose end by the guest was reported (`GICC_DIR`; see
    /// [`ListRegisters::is_linked`]).
    fn deactivate(&mut self, intid: u32);
    /// Routes SPI `intid` to the core of the partition's vCPU `vcpu` (`IROUTER`, `ITARGETSR`).
    fn route(&mut self, intid: u32, vcpu: usize);
}

/// The other cores of the partition.
pub trait Siblings {
    /// Makes the core of vCPU `vcpu` call [`Vcpu::take_requests`](crate::Vcpu::take_requests), by
    /// the physical doorbell SGI. Earlier stores of the caller must be visible there first (DSB
    /// ISHST before the SGI register write).
    fn kick(&self, vcpu: usize);
}

/// Everything that the model requires.
pub trait Hardware: ListRegisters + Physical + Siblings {}
impl<T: ListRegisters + Physical + Siblings> Hardware for T {}

/// Bits of `ICH_HCR_EL2` that the model sets (IHI 0069, ICH_HCR_EL2); `GICH_HCR` has the same
/// except [`TDIR`](control::TDIR).
pub mod control {
    /// The virtual CPU interface is on.
    pub const EN: u32 = 1 << 0;
    /// Maintenance interrupt when an interrupt ended that no list register has. On while an active
    /// interrupt is latched.
    pub const LRENPIE: u32 = 1 << 2;
    /// Maintenance interrupt when no list register is pending. On while pending interrupts wait for
    /// room.
    ///
    /// Not the underflow interrupt (UIE: at most one list register valid): list registers that stay
    /// active would hold it back for ever.
    pub const NPIE: u32 = 1 << 3;
    /// Maintenance interrupt while the guest has Group 0 enabled (Group 1: two bits above). On
    /// while interrupts of a group that it has disabled wait for room.
    pub const VGRP0_EIE: u32 = 1 << 4;
    /// Maintenance interrupt while the guest has Group 0 disabled (Group 1: two bits above). On
    /// while others wait for list registers that its interrupts may hold.
    pub const VGRP0_DIE: u32 = 1 << 5;
    /// Writes of the registers that both groups have in common, `ICC_DIR_EL1` among them, trap to
    /// EL2, and so do reads.
    pub const TC: u32 = 1 << 10;
    /// `ICC_DIR_EL1` writes trap to EL2.
    pub const TDIR: u32 = 1 << 14;
    /// `EOIcount`: ends of interrupts that no list register had.
    pub const EOI_COUNT: u32 = 0x1f << 27;
}

/// Bits of `ICH_VMCR_EL2` that the model reads; `GICH_VMCR` has the same.
pub mod interface {
    /// Group 0 is enabled, and in the bit above Group 1.
    pub const GROUPS: u32 = 3;
    /// The end of an interrupt only drops its priority, and a write of `ICC_DIR_EL1` (`GICC_DIR`)
    /// deactivates it.
    pub const EOI_MODE: u32 = 1 << 9;
}

/// A list register's content, in the form of `ICH_LR<n>_EL2` (IHI 0069, section 12.4). A GICv2 back
/// end narrows it to `GICH_LR<n>`: the same fields at other places, an SGI's source where the link
/// is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry(pub u64);

impl Entry {
    /// State: pending.
    pub const PENDING: u64 = 1 << 62;
    /// State: active.
    pub const ACTIVE: u64 = 1 << 63;
    /// Linked to the physical interrupt of the same number, which the guest's deactivation
    /// deactivates (HW = 1).
    pub const LINKED: u64 = 1 << 61;
    /// Group 1.
    pub const GROUP1: u64 = 1 << 60;
    /// Maintenance interrupt at the end of an interrupt that is not linked.
    pub const REPORT_END: u64 = 1 << 41;
    /// What decides when it is signalled: priority and group.
    pub(crate) const RANK: u64 = 0xff << Self::PRIORITY_SHIFT | Self::GROUP1;
    const LINK_SHIFT: u32 = 32;
    const PRIORITY_SHIFT: u32 = 48;

    /// An entry for `intid` with the given flags; [`Self::LINKED`] links it to the physical
    /// interrupt of the same number.
    pub const fn new(intid: u32, priority: u8, flags: u64) -> Self {
        let link = if flags & Self::LINKED != 0 { (intid as u64) << Self::LINK_SHIFT } else { 0 };
        Self(flags | (priority as u64) << Self::PRIORITY_SHIFT | link | intid as u64)
    }

    /// Returns this entry with another priority and group.
    pub(crate) const fn ranked(self, priority: u8, group: u8) -> Self {
        let group = (group as u64) << Self::GROUP1.trailing_zeros();
        Self(self.0 & !Self::RANK | group | (priority as u64) << Self::PRIORITY_SHIFT)
    }

    /// Virtual INTID.
    pub const fn intid(self) -> u32 {
        self.0 as u32
    }

    /// This entry of an SGI, sent by vCPU `source` (0 to 7; `GICH_LR<n>.CPUID`), and with its end
    /// reported or not.
    pub(crate) const fn sent_by(self, source: u32, reported: bool) -> Self {
        let report = if reported { Self::REPORT_END } else { 0 };
        Self(self.0 | report | (source as u64) << Self::LINK_SHIFT)
    }

    /// The vCPU that sent an SGI (GICv2).
    pub const fn source(self) -> u32 {
        (self.0 >> Self::LINK_SHIFT) as u32 & 7
    }

    /// Priority: lower is more important.
    pub const fn priority(self) -> u8 {
        (self.0 >> Self::PRIORITY_SHIFT) as u8
    }

    /// Its group, 0 or 1.
    pub const fn group(self) -> u32 {
        (self.0 >> Self::GROUP1.trailing_zeros()) as u32 & 1
    }

    /// Whether any of `flags` is set.
    pub const fn has(self, flags: u64) -> bool {
        self.0 & flags != 0
    }

    /// Pending and not active: the guest can acknowledge it.
    pub const fn is_only_pending(self) -> bool {
        self.has(Self::PENDING) && !self.has(Self::ACTIVE)
    }

    /// Not linked, and the guest has ended it since it was listed.
    pub(crate) const fn is_reported(self) -> bool {
        self.is_over() && self.has(Self::REPORT_END) && !self.has(Self::LINKED)
    }

    /// Neither pending nor active.
    pub const fn is_over(self) -> bool {
        !self.has(Self::PENDING | Self::ACTIVE)
    }
}
