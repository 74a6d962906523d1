// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rows of a run: what is measured, in which order, and how often.

use alloc::vec::Vec;

use rt::Wait;

/// What a row measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Kind {
    /// Two readings of the counter, one after the other.
    Clock,
    /// The call `VERSION`, which does nothing.
    Call,
    /// `PSCI_VERSION` by HVC.
    PsciHvc,
    /// `PSCI_VERSION` by SMC.
    PsciSmc,
    /// A read of `GICD_TYPER`.
    TyperRead,
    /// A read of `GICD_ISENABLER1`.
    EnableRead,
    /// A write of 0 to `GICD_ISENABLER1`.
    EnableWrite,
    /// An SGI to the own vCPU.
    Sgi,
    /// The virtual timer's interrupt to a vCPU in WFI.
    TimerAsleep,
    /// The virtual timer's interrupt to a vCPU that runs.
    TimerAwake,
    /// A copy within the own memory.
    Copy,
    /// A message's copy into a ring.
    Push,
    /// A doorbell or a word, there and back.
    Bell,
    /// A message there, and a short one back.
    Message,
    /// Several messages there, and a short one back.
    Stream,
    /// A reset of the partition that makes load, until its program runs again.
    Restart,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 16] = [
        Self::Clock,
        Self::Call,
        Self::PsciHvc,
        Self::PsciSmc,
        Self::TyperRead,
        Self::EnableRead,
        Self::EnableWrite,
        Self::Sgi,
        Self::TimerAsleep,
        Self::TimerAwake,
        Self::Copy,
        Self::Push,
        Self::Bell,
        Self::Message,
        Self::Stream,
        Self::Restart,
    ];

    /// Returns its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Call => "null-call",
            Self::PsciHvc => "psci-hvc",
            Self::PsciSmc => "psci-smc",
            Self::TyperRead => "gicd-typer-read",
            Self::EnableRead => "gicd-isenabler-read",
            Self::EnableWrite => "gicd-isenabler-write",
            Self::Sgi => "sgi-self",
            Self::TimerAsleep => "timer-asleep",
            Self::TimerAwake => "timer-awake",
            Self::Copy => "copy-plain",
            Self::Push => "copy-channel",
            Self::Bell => "doorbell",
            Self::Message => "message",
            Self::Stream => "stream",
            Self::Restart => "restart",
        }
    }

    /// Whether no other partition takes part.
    pub fn is_solo(self) -> bool {
        !matches!(self, Self::Bell | Self::Message | Self::Stream | Self::Restart)
    }
}

/// The way of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Path {
    /// One channel.
    Direct,
    /// Two channels, and the relay between them.
    Relayed,
}

/// What the other cores do meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Load {
    /// They sleep.
    None,
    /// They copy memory that no cache holds.
    Memory,
    /// They invalidate TLB entries on all cores.
    Tlbi,
    /// They print.
    Console,
}

impl Load {
    /// All loads.
    pub const ALL: [Self; 4] = [Self::None, Self::Memory, Self::Tlbi, Self::Console];

    /// Returns its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Memory => "memory",
            Self::Tlbi => "tlbi",
            Self::Console => "console",
        }
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub kind: Kind,
    pub path: Path,
    pub way: Wait,
    pub load: Load,
    pub bytes: usize,
    /// Values of its distribution.
    pub count: u64,
}

impl Row {
    /// Returns the number of distributions that it reports.
    pub fn reports(&self) -> u32 {
        match self.kind {
            Kind::Bell | Kind::Message => 2,
            _ => 1,
        }
    }

    /// Returns the number of messages that a value of [`Kind::Stream`] is the time of: they fit
    /// into half of the ring.
    pub fn burst(&self) -> u64 {
        match self.bytes {
            0..1025 => 16,
            1025..4097 => 4,
            4097..16_385 => 1,
            16_385..65_537 => 8,
            65_537..262_145 => 4,
            262_145.. => 1,
        }
    }
}

/// Sizes of messages, bytes.
pub const SIZES: [usize; 8] = [64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576];
/// Messages up to this size go over the small rings; larger ones have a channel with large ones.
pub const SMALL: usize = 16_384;
/// Sizes for ways of waiting other than doorbells, and under load.
const FEW: [usize; 3] = [64, 1024, 16_384];

/// Least values of a distribution, unless fewer are asked for.
const LEAST: u32 = 20;

/// Returns all rows of a run with `samples` values per distribution, or fewer of long operations.
/// Without samples it is a short run: one value of each row that needs only the lead.
pub fn rows(samples: u32) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |kind, path, way, load, bytes: usize| {
        let part = match bytes {
            0..4097 => 1,
            4097..16_385 => 4,
            16_385.. => 16,
        };
        // Under load one value takes longer.
        let part = if load == Load::None { part } else { 4 * part };
        let count = (samples / part).max(LEAST.min(samples)).max(1).into();
        rows.push(Row { kind, path, way, load, bytes, count });
    };
    let solo = Kind::ALL.into_iter().filter(|kind| kind.is_solo());
    for kind in solo {
        match kind {
            Kind::Copy | Kind::Push => {
                SIZES.iter().for_each(|&size| {
                    add(kind, Path::Direct, Wait::Doorbell, Load::None, size);
                });
            }
            _ => add(kind, Path::Direct, Wait::Doorbell, Load::None, 0),
        }
    }
    for way in [Wait::Doorbell, Wait::Wfe, Wait::Poll] {
        add(Kind::Bell, Path::Direct, way, Load::None, 0);
    }
    add(Kind::Bell, Path::Relayed, Wait::Doorbell, Load::None, 0);
    for kind in [Kind::Message, Kind::Stream] {
        for way in [Wait::Doorbell, Wait::Wfe, Wait::Poll] {
            let sizes = if way == Wait::Doorbell { &SIZES[..] } else { &FEW[..] };
            for &size in sizes {
                for path in [Path::Direct, Path::Relayed] {
                    add(kind, path, way, Load::None, size);
                }
            }
        }
    }
    for load in [Load::Memory, Load::Tlbi, Load::Console] {
        for kind in [Kind::Call, Kind::TyperRead, Kind::Sgi, Kind::TimerAsleep, Kind::TimerAwake] {
            add(kind, Path::Direct, Wait::Doorbell, load, 0);
        }
        for way in [Wait::Doorbell, Wait::Poll] {
            add(Kind::Bell, Path::Direct, way, load, 0);
        }
        for size in FEW {
            add(Kind::Message, Path::Direct, Wait::Doorbell, load, size);
        }
    }
    if samples == 0 {
        rows.retain(|row| row.kind.is_solo() && row.load == Load::None);
    }
    if samples > 1 {
        // EL2 prints two lines for each, and limits how many there may be.
        let count = samples.min(LEAST).into();
        let (path, way, load) = (Path::Direct, Wait::Doorbell, Load::None);
        rows.push(Row { kind: Kind::Restart, path, way, load, bytes: 0, count });
    }
    rows
}
