// SPDX-License-Identifier: MIT OR Apache-2.0
//! A plain model of the GIC that knows no list registers, and what happens to it.

pub mod pair;

use proptest::prelude::*;

/// INTIDs that accesses pick from: owned ones of every kind, and some that are not.
pub const INTIDS: [u32; 20] =
    [0, 1, 7, 15, 16, 24, 27, 28, 30, 33, 40, 45, 46, 47, 64, 100, 128, 129, 130, 287];

#[derive(Clone, Default)]
pub struct Irq {
    pub owned: bool,
    pub physical: bool,
    pub edge: bool,
    pub fixed: bool,
    pub enable: bool,
    pub group1: bool,
    pub priority: u8,
    pub route: Option<usize>,
    pub latch: bool,
    /// The vCPUs whose SGI waits (GICv2).
    pub sources: u32,
    pub line: bool,
    pub active: bool,
    /// The ITARGETSR byte (GICv2).
    pub targets: u8,
    /// Whether it may be signalled once although it is not pending: it was pending in a list
    /// register when its device withdrew it, or raised it again, and that core has not entered EL2
    /// since.
    pub stale: bool,
}

impl Irq {
    pub fn pending(&self) -> bool {
        self.latch || self.sources != 0 || self.line && !self.edge
    }
}

pub struct Model {
    pub private: Vec<Vec<Irq>>,
    pub shared: Vec<Irq>,
    pub groups: u32,
    /// The interrupts that each vCPU has acknowledged and whose priority it has not dropped.
    pub running: Vec<Vec<Running>>,
    /// The interrupts that each vCPU has acknowledged and dropped, and that are not deactivated
    /// (EOImode = 1).
    pub dropped: Vec<Vec<u32>>,
    pub parked: Vec<bool>,
    /// The groups that each vCPU's CPU interface has enabled.
    pub interface: Vec<u32>,
    /// EOImode of each vCPU.
    pub split: Vec<bool>,
}

/// An acknowledged interrupt.
#[derive(Clone, Copy)]
pub struct Running {
    pub intid: u32,
    /// Its priority when it was acknowledged.
    pub priority: u8,
    /// Whether it was deactivated before its end.
    pub cancelled: bool,
}

impl Model {
    pub fn irq(&mut self, vcpu: usize, intid: u32) -> &mut Irq {
        match intid {
            0..32 => &mut self.private[vcpu][intid as usize],
            _ => &mut self.shared[intid as usize],
        }
    }

    pub fn candidates(&mut self, vcpu: usize) -> Vec<(u8, u32)> {
        let groups = self.groups & self.interface[vcpu];
        (0..288)
            .filter_map(|intid| {
                let irq = self.irq(vcpu, intid);
                let on = irq.owned && irq.enable && groups >> u32::from(irq.group1) & 1 != 0;
                let here = intid < 32 || irq.route == Some(vcpu);
                (on && here && irq.pending() && !irq.active).then_some((irq.priority, intid))
            })
            .collect()
    }

    /// Deactivates `intid`, as `vcpu` sees it, for a write of ICACTIVER or DIR.
    pub fn deactivate(&mut self, vcpu: usize, intid: u32) {
        self.irq(vcpu, intid).active = false;
        for core in (0..self.running.len()).filter(|&core| intid >= 32 || core == vcpu) {
            self.dropped[core].retain(|&other| other != intid);
            for running in &mut self.running[core] {
                running.cancelled |= running.intid == intid;
            }
        }
    }
}

#[derive(Clone, Debug)]
pub enum Op {
    /// ISENABLER, ICENABLER, ISPENDR, ICPENDR, ISACTIVER, ICACTIVER of one INTID and its neighbours
    /// in `extra`.
    Bit {
        by: usize,
        of: usize,
        register: u8,
        intid: u32,
        extra: u32,
    },
    Group {
        by: usize,
        of: usize,
        intid: u32,
        on: bool,
    },
    Priority {
        by: usize,
        of: usize,
        intid: u32,
        priority: u8,
    },
    Route {
        by: usize,
        intid: u32,
        to: u32,
    },
    Control {
        by: usize,
        groups: u32,
    },
    Line {
        core: usize,
        intid: u32,
        high: bool,
    },
    Inject {
        by: usize,
        intid: u32,
    },
    Sgi {
        by: usize,
        targets: u16,
        broadcast: bool,
        intid: u32,
        register: u8,
    },
    /// SPENDSGIR or CPENDSGIR of one SGI (GICv2).
    Sources {
        by: usize,
        intid: u32,
        set: bool,
        mask: u8,
    },
    Acknowledge {
        core: usize,
    },
    /// EOIR.
    End {
        core: usize,
    },
    /// DIR of an interrupt that some vCPU has dropped, or of `intid` if there is none.
    Deactivate {
        by: usize,
        pick: usize,
        intid: u32,
    },
    /// EOImode, if no interrupt is acknowledged.
    Mode {
        core: usize,
        split: bool,
    },
    /// The groups that the CPU interface has enabled.
    Interface {
        core: usize,
        groups: u32,
    },
    /// An entry to EL2 for another reason.
    Enter {
        core: usize,
    },
    Park {
        core: usize,
        on: bool,
    },
    Read {
        by: usize,
        of: usize,
        register: u8,
        intid: u32,
    },
}

pub fn op() -> impl Strategy<Value = Op> {
    let core = 0..4usize;
    let intid = || prop::sample::select(&INTIDS[..]);
    prop_oneof![
        4 => (core.clone(), core.clone(), 0..6u8, intid(), any::<u32>())

                .prop_map(|(by, of, register, intid, extra)| {
                    let extra = if extra % 4 == 0 { extra } else { 0 };
                    Op::Bit { by, of, register, intid, extra }
                }),
        1 => (core.clone(), core.clone(), intid(), any::<bool>())
            .prop_map(|(by, of, intid, on)| Op::Group { by, of, intid, on }),
        2 => (core.clone(), core.clone(), intid(), any::<u8>())
            .prop_map(|(by, of, intid, priority)| Op::Priority { by, of, intid, priority }),
        2 => (
            core.clone(),
            intid(),
            prop_oneof![0..5u32, Just(0x100), Just(1 << 31), Just(0xff00_0001)],
        )
            .prop_map(|(by, intid, to)| Op::Route { by, intid, to }),
        1 => (core.clone(), prop_oneof![3 => Just(3u32), 1 => 0..4u32])
            .prop_map(|(by, groups)| Op::Control { by, groups }),
        4 => (core.clone(), intid(), any::<bool>())
            .prop_map(|(core, intid, high)| Op::Line { core, intid, high }),
        3 => (core.clone(), intid()).prop_map(|(by, intid)| Op::Inject { by, intid }),
        3 => (core.clone(), any::<u16>(), any::<bool>(), 0..16u32, 0..3u8)

                .prop_map(|(by, targets, broadcast, intid, register)| {
                    Op::Sgi { by, targets, broadcast, intid, register }
                }),
        1 => (core.clone(), 0..16u32, any::<bool>(), any::<u8>())
            .prop_map(|(by, intid, set, mask)| Op::Sources { by, intid, set, mask }),
        6 => core.clone().prop_map(|core| Op::Acknowledge { core }),
        5 => core.clone().prop_map(|core| Op::End { core }),
        3 => (core.clone(), any::<usize>(), intid())
            .prop_map(|(by, pick, intid)| Op::Deactivate { by, pick, intid }),
        2 => (core.clone(), any::<bool>()).prop_map(|(core, split)| Op::Mode { core, split }),
        2 => (core.clone(), prop_oneof![2 => Just(3u32), 1 => 0..4u32])
            .prop_map(|(core, groups)| Op::Interface { core, groups }),
        3 => core.clone().prop_map(|core| Op::Enter { core }),
        1 => (core.clone(), any::<bool>()).prop_map(|(core, on)| Op::Park { core, on }),
        2 => (core.clone(), core, 0..8u8, intid())
            .prop_map(|(by, of, register, intid)| Op::Read { by, of, register, intid }),
    ]
}
