// SPDX-License-Identifier: MIT OR Apache-2.0
//! The model's input: one event per operation of a core, in the order of execution.

use crate::register::Register;

/// Index of a site: an instruction's address and exception level ([`crate::Model::site`]).
pub type SiteId = u32;

/// An instruction that caused an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// Its address, as its core sees it.
    pub pc: u64,
    /// Exception level.
    pub el: u8,
    /// Whether it is code of the firmware, not of the image or of a guest. The model takes it to be
    /// right.
    pub firmware: bool,
}

/// The core and the instruction of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Core number.
    pub core: usize,
    /// The instruction.
    pub site: SiteId,
}

/// An operation of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Firmware handed the core over: its next instruction is the image's.
    Enter,
    /// It took an exception to EL2.
    Exception,
    /// It starts to execute this many bytes at this physical address.
    Fetch(u64, u64),
    /// It read or wrote RAM.
    Access(Access),
    /// It read or wrote a device register.
    Device(Device),
    /// Cache maintenance of the line at this physical address.
    Dc(Dc, u64),
    /// Instruction cache maintenance; the physical address is that of `IC IVAU`.
    Ic(Ic, u64),
    /// TLB maintenance.
    Tlbi(Tlbi),
    /// `DSB`.
    Dsb(Barrier),
    /// `DMB`.
    Dmb(Barrier),
    /// `ISB`.
    Isb,
    /// `ERET`; it is a context synchronization event, unless the caller asks about the case where
    /// it is not.
    Eret {
        /// Whether it is a context synchronization event.
        synchronizes: bool,
    },
    /// `SMC` with this function in X0.
    Smc(u64),
    /// `SEV`.
    Sev,
    /// `WFE`.
    Wfe,
    /// `WFI`.
    Wfi,
    /// `MSR` with this value.
    Write(Register, u64),
    /// `MRS`.
    Read(Register),
}

/// An access to RAM. It does not cross a cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Physical address.
    pub pa: u64,
    /// Bytes.
    pub size: u64,
    /// A write, otherwise a read.
    pub store: bool,
    /// Whether it is part of an atomic operation: LDXR, STXR, and instructions that do both at
    /// once.
    pub exclusive: bool,
}

/// An access to a device register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Physical address.
    pub pa: u64,
    /// The value that was read or written.
    pub value: u64,
    /// A write, otherwise a read.
    pub store: bool,
}

/// Data cache maintenance by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dc {
    /// Clean to the point of unification.
    Cvau,
    /// Clean to the point of coherency.
    Cvac,
    /// Clean and invalidate to the point of coherency.
    Civac,
    /// Invalidate to the point of coherency.
    Ivac,
}

/// Instruction cache maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ic {
    /// The whole instruction cache of this core.
    Iallu,
    /// The whole instruction cache of every core in the Inner Shareable domain.
    Ialluis,
    /// One line, of every core.
    Ivau,
}

/// TLB maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlbi {
    /// The entries it drops.
    pub scope: Scope,
    /// Whether it affects every core in the Inner Shareable domain, otherwise only this one.
    pub broadcast: bool,
}

/// The entries that TLB maintenance drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// EL2's regime.
    El2,
    /// Stages 1 and 2 of the current VMID, or of all.
    Guest,
    /// Fewer entries: addresses, ASIDs, stage 1 only.
    Part,
}

/// A barrier's domain and access types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// Only this core observes it (Non-shareable domain).
    pub local: bool,
    /// Observers outside the Inner Shareable domain wait too: `OSH` and `SY`.
    pub outer: bool,
    /// It waits for reads.
    pub loads: bool,
    /// It waits for writes.
    pub stores: bool,
}

impl Barrier {
    /// `SY` and `OSH`.
    pub const ALL: Self = Self { local: false, outer: true, loads: true, stores: true };
    /// `ISH`.
    pub const INNER: Self = Self { outer: false, ..Self::ALL };
    /// `ISHST`.
    pub const STORES: Self = Self { loads: false, ..Self::INNER };
    /// `NSH`.
    pub const LOCAL: Self = Self { local: true, ..Self::INNER };

    /// Whether it waits for maintenance: only a barrier for reads and writes does (DDI 0487, "Data
    /// Synchronization Barrier").
    #[must_use]
    pub fn completes_maintenance(self) -> bool {
        self.loads && self.stores
    }
}
