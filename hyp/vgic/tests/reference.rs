//! Random register accesses, arrivals, acknowledgements and ends, against a plain model of the GIC that knows no list registers.
//!
//! Whenever all entries to EL2 are done, each vCPU must see exactly the interrupt that the model would signal: as
//! important as the most important one that may be signalled (which of equals is free), and none if the model has none.
//! Registers must read as the model says; a second read may be needed for what a sibling's list registers hold.
//!
//! Not driven, because stated as approximate: a second edge of a physical interrupt that EL2 has acknowledged and the guest has not; with too few list
//! registers, writes that make interrupts active, and priority and group changes of active ones; an edge that meets a sibling's write of
//! ICPENDR on its way.

mod machine;

use machine::{Face, Machine, WORDS, row};
use plan::{INTERRUPT_EDGE as EDGE, INTERRUPT_FIXED as FIXED, INTERRUPT_PHYSICAL as PHYSICAL};
use proptest::prelude::*;

/// INTIDs that accesses pick from: owned ones of every kind, and some that are not.
const INTIDS: [u32; 20] = [
    0, 1, 7, 15, 16, 24, 27, 28, 30, 33, 40, 45, 46, 47, 64, 100, 128, 129, 130, 287,
];

#[derive(Clone, Default)]
struct Irq {
    owned: bool,
    physical: bool,
    edge: bool,
    fixed: bool,
    enable: bool,
    group1: bool,
    priority: u8,
    route: Option<usize>,
    latch: bool,
    line: bool,
    active: bool,
    /// How often a physical level may be signalled though it is not pending: its device withdrew it after EL2 acknowledged it, or a
    /// register write made it pending.
    spurious: u32,
}

impl Irq {
    fn pending(&self) -> bool {
        self.latch || self.line && !self.edge
    }
}

struct Model {
    private: Vec<Vec<Irq>>,
    shared: Vec<Irq>,
    groups: u32,
    /// Per vCPU, what it has acknowledged: INTID and priority then.
    running: Vec<Vec<(u32, u8)>>,
    parked: Vec<bool>,
}

impl Model {
    fn irq(&mut self, vcpu: usize, intid: u32) -> &mut Irq {
        match intid {
            0..32 => &mut self.private[vcpu][intid as usize],
            _ => &mut self.shared[intid as usize],
        }
    }

    fn candidates(&mut self, vcpu: usize) -> Vec<(u8, u32)> {
        let groups = self.groups;
        (0..288)
            .filter_map(|intid| {
                let irq = self.irq(vcpu, intid);
                let on = irq.owned && irq.enable && groups >> u32::from(irq.group1) & 1 != 0;
                let here = intid < 32 || irq.route == Some(vcpu);
                (on && here && irq.pending() && !irq.active).then_some((irq.priority, intid))
            })
            .collect()
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// ISENABLER, ICENABLER, ISPENDR, ICPENDR, ISACTIVER, ICACTIVER of one INTID and its neighbours in `extra`.
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
    Acknowledge {
        core: usize,
    },
    End {
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

fn op() -> impl Strategy<Value = Op> {
    let core = 0..4usize;
    let intid = || prop::sample::select(&INTIDS[..]);
    prop_oneof![
        4 => (core.clone(), core.clone(), 0..6u8, intid(), any::<u32>())
            .prop_map(|(by, of, register, intid, extra)| Op::Bit { by, of, register, intid, extra: if extra % 4 == 0 { extra } else { 0 } }),
        1 => (core.clone(), core.clone(), intid(), any::<bool>()).prop_map(|(by, of, intid, on)| Op::Group { by, of, intid, on }),
        2 => (core.clone(), core.clone(), intid(), any::<u8>()).prop_map(|(by, of, intid, priority)| Op::Priority { by, of, intid, priority }),
        2 => (core.clone(), intid(), prop_oneof![0..5u32, Just(0x100), Just(1 << 31), Just(0xff00_0001)]).prop_map(|(by, intid, to)| Op::Route { by, intid, to }),
        1 => (core.clone(), prop_oneof![3 => Just(3u32), 1 => 0..4u32]).prop_map(|(by, groups)| Op::Control { by, groups }),
        4 => (core.clone(), intid(), any::<bool>()).prop_map(|(core, intid, high)| Op::Line { core, intid, high }),
        3 => (core.clone(), intid()).prop_map(|(by, intid)| Op::Inject { by, intid }),
        3 => (core.clone(), any::<u16>(), any::<bool>(), 0..16u32, 0..3u8)
            .prop_map(|(by, targets, broadcast, intid, register)| Op::Sgi { by, targets, broadcast, intid, register }),
        6 => core.clone().prop_map(|core| Op::Acknowledge { core }),
        5 => core.clone().prop_map(|core| Op::End { core }),
        1 => (core.clone(), any::<bool>()).prop_map(|(core, on)| Op::Park { core, on }),
        2 => (core.clone(), core, 0..8u8, intid()).prop_map(|(by, of, register, intid)| Op::Read { by, of, register, intid }),
    ]
}

struct Pair {
    machine: Machine,
    model: Model,
    vcpus: usize,
    registers: usize,
}

const BASES: [u64; 6] = [0x100, 0x180, 0x200, 0x280, 0x300, 0x380];

impl Pair {
    fn new(vcpus: usize, registers: usize, priorities: &[u8]) -> Self {
        let last = vcpus as u32 - 1;
        let rows = [
            row(16, EDGE, 0),
            row(24, PHYSICAL | EDGE, 0),
            row(27, PHYSICAL, 0),
            row(30, PHYSICAL, 0),
            row(33, 0, 0),
            row(40, EDGE, last),
            row(45, PHYSICAL, 0),
            row(46, PHYSICAL | EDGE, last),
            row(64, PHYSICAL, last),
            row(128, EDGE | FIXED, 0),
            row(129, EDGE | FIXED, last),
            row(130, EDGE | FIXED, 0),
        ];
        let mut model = Model {
            private: vec![vec![Irq::default(); 32]; vcpus],
            shared: vec![Irq::default(); 288],
            groups: 0,
            running: vec![Vec::new(); vcpus],
            parked: vec![false; vcpus],
        };
        for vcpu in 0..vcpus {
            for intid in 0..16 {
                let irq = model.irq(vcpu, intid);
                (irq.owned, irq.edge) = (true, true);
            }
            for row in &rows {
                let irq = model.irq(vcpu, row.intid.into());
                irq.owned = true;
                irq.physical = row.flags & PHYSICAL != 0;
                irq.edge = row.flags & EDGE != 0;
                irq.fixed = row.flags & FIXED != 0;
                irq.route = (row.intid >= 32).then_some(row.vcpu as usize);
            }
        }
        let machine = Machine::new(vcpus, registers, &rows);
        let mut pair = Self {
            machine,
            model,
            vcpus,
            registers,
        };
        pair.apply(Op::Control { by: 0, groups: 3 });
        for (at, &intid) in INTIDS.iter().enumerate() {
            for of in 0..vcpus {
                pair.apply(Op::Priority {
                    by: of,
                    of,
                    intid,
                    priority: priorities[at],
                });
                pair.apply(Op::Group {
                    by: of,
                    of,
                    intid,
                    on: at % 3 != 0,
                });
                pair.apply(Op::Bit {
                    by: of,
                    of,
                    register: 0,
                    intid,
                    extra: 0,
                });
            }
        }
        pair
    }

    /// Where a guest finds the registers of `intid`: its word's frame, and the offset of a one-bit register.
    fn access(&mut self, by: usize, of: usize, intid: u32, offset: u64, write: Option<u32>) -> u32 {
        match (intid < 32, write) {
            (true, Some(value)) => self.machine.set_gicr(by, of, 0x1_0000 + offset, value),
            (true, None) => return self.machine.gicr(by, of, 0x1_0000 + offset),
            (false, Some(value)) => self.machine.set_gicd(by, offset, value),
            (false, None) => return self.machine.gicd(by, offset),
        }
        0
    }

    fn acknowledged(&self, intid: u32, vcpu: usize) -> bool {
        self.model
            .running
            .iter()
            .enumerate()
            .any(|(core, running)| {
                (intid >= 32 || core == vcpu) && running.iter().any(|&(other, _)| other == intid)
            })
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Bit {
                by,
                of,
                register,
                intid,
                extra,
            } => {
                let (by, of) = (by % self.vcpus, of % self.vcpus);
                let word = intid / 32;
                let mut mask = 1 << (intid % 32) | extra;
                for bit in 0..32 {
                    let other = word * 32 + bit;
                    let acknowledged = self.acknowledged(other, of);
                    // Pending ones need list registers too: more active ones than these do not fit.
                    let active = (0..288).filter(|&intid| self.model.irq(of, intid).active);
                    let is_full = self.registers < 16 || active.count() >= 6;
                    let irq = self.model.irq(of, other);
                    let skip = match register {
                        2 => irq.physical && irq.pending(),
                        4 => is_full || acknowledged,
                        5 => acknowledged,
                        _ => false,
                    };
                    if skip && irq.owned {
                        mask &= !(1 << bit);
                    }
                    if mask >> bit & 1 == 0 || !irq.owned {
                        continue;
                    }
                    match register {
                        0 => irq.enable = true,
                        1 => irq.enable = false,
                        2 => {
                            irq.latch = true;
                            irq.spurious += u32::from(irq.physical && !irq.edge);
                        }
                        3 => irq.latch = false,
                        4 => irq.active = true,
                        _ => irq.active = false,
                    }
                }
                let offset = BASES[usize::from(register)] + u64::from(word) * 4;
                self.access(by, of, intid, offset, Some(mask));
                if register == 3 && word == 0 && by != of {
                    self.machine.settle();
                }
            }
            Op::Group { by, of, intid, on } => {
                let (by, of) = (by % self.vcpus, of % self.vcpus);
                if self.model.irq(of, intid).active {
                    return;
                }
                let offset = 0x80 + u64::from(intid / 32) * 4;
                let bit = 1 << (intid % 32);
                let old = self.access(by, of, intid, offset, None);
                let new = if on { old | bit } else { old & !bit };
                self.access(by, of, intid, offset, Some(new));
                let irq = self.model.irq(of, intid);
                irq.group1 = irq.owned && on;
            }
            Op::Priority {
                by,
                of,
                intid,
                priority,
            } => {
                let (by, of) = (by % self.vcpus, of % self.vcpus);
                let irq = self.model.irq(of, intid);
                if irq.active {
                    return;
                }
                if irq.owned {
                    irq.priority = priority & 0xf8;
                }
                let offset = 0x400 + u64::from(intid);
                match intid {
                    0..32 => self.machine.vcpu(by).gicr_write(
                        of as u64 * 0x2_0000 + 0x1_0000 + offset,
                        1,
                        priority.into(),
                    ),
                    _ => self
                        .machine
                        .vcpu(by)
                        .write(None, offset, 1, priority.into()),
                }
            }
            Op::Route { by, intid, to } => {
                let by = by % self.vcpus;
                if intid < 32 {
                    return;
                }
                self.machine.vcpu(by).write(
                    None,
                    0x6000 + u64::from(intid) * 8,
                    8,
                    7 << 32 | u64::from(to),
                );
                let affinity = if to >> 31 != 0 { 0 } else { to & 0xff_ffff };
                let vcpus = self.vcpus;
                let irq = self.model.irq(0, intid);
                if irq.owned && !irq.fixed {
                    irq.route = Some(affinity as usize).filter(|&vcpu| vcpu < vcpus);
                }
            }
            Op::Control { by, groups } => {
                self.machine.set_gicd(by % self.vcpus, 0, groups);
                self.model.groups = groups;
            }
            Op::Line { core, intid, high } => {
                let core = core % self.vcpus;
                let irq = self.model.irq(core, intid);
                if !irq.owned || irq.edge && !irq.physical {
                    return;
                }
                let rises = high && !irq.line;
                if irq.edge && rises && irq.latch && !irq.active {
                    return;
                }
                irq.spurious += u32::from(irq.physical && !irq.edge && !high && irq.line);
                irq.line = high;
                if irq.edge {
                    irq.latch |= rises;
                }
                if irq.physical {
                    self.machine.set_line(core, intid, high);
                } else {
                    self.machine.vcpu(core).set_level(intid, high);
                }
            }
            Op::Inject { by, intid } => {
                let by = by % self.vcpus;
                let irq = self.model.irq(by, intid);
                if irq.physical || irq.owned && !irq.edge {
                    return;
                }
                irq.latch |= irq.owned;
                self.machine.vcpu(by).inject(intid);
            }
            Op::Sgi {
                by,
                targets,
                broadcast,
                intid,
                register,
            } => {
                let by = by % self.vcpus;
                let value =
                    u64::from(targets) | u64::from(intid) << 24 | u64::from(broadcast) << 40;
                self.machine.vcpu(by).send_sgi(value, register != 0);
                for vcpu in 0..self.vcpus {
                    let named = if broadcast {
                        vcpu != by
                    } else {
                        targets >> vcpu & 1 != 0
                    };
                    let irq = self.model.irq(vcpu, intid);
                    if named && (register == 0 || !irq.group1) {
                        irq.latch = true;
                    }
                }
            }
            Op::Acknowledge { core } => {
                let core = core % self.vcpus;
                self.settle();
                if let Some(intid) = self.machine.cores[core].acknowledge() {
                    let irq = self.model.irq(core, intid);
                    irq.spurious -= u32::from(!irq.pending());
                    irq.latch = false;
                    irq.active = true;
                    let priority = irq.priority;
                    self.model.running[core].push((intid, priority));
                }
            }
            Op::End { core } => {
                let core = core % self.vcpus;
                self.settle();
                if let Some((intid, _)) = self.model.running[core].pop() {
                    self.machine.cores[core].end(intid);
                    self.model.irq(core, intid).active = false;
                }
            }
            Op::Park { core, on } => {
                let core = core % self.vcpus;
                self.settle();
                if self.model.parked[core] == on || on && !self.model.running[core].is_empty() {
                    return;
                }
                self.model.parked[core] = on;
                match on {
                    true => self.machine.vcpu(core).park(),
                    false => self.machine.vcpu(core).unpark(),
                }
            }
            Op::Read {
                by,
                of,
                register,
                intid,
            } => self.read(by % self.vcpus, of % self.vcpus, register, intid),
        }
    }

    fn read(&mut self, by: usize, of: usize, register: u8, intid: u32) {
        let word = intid / 32;
        let mut expected = 0;
        let mut unsure = 0;
        for bit in 0..32 {
            let irq = self.model.irq(of, word * 32 + bit);
            let value = match register {
                0 | 1 => irq.enable,
                2 | 3 => irq.pending(),
                4 | 5 => irq.active,
                _ => irq.group1,
            };
            expected |= u32::from(value && irq.owned) << bit;
            unsure |= u32::from(irq.spurious != 0 && matches!(register, 2 | 3)) << bit;
        }
        let offset =
            BASES.get(usize::from(register)).copied().unwrap_or(0x80) + u64::from(word) * 4;
        self.settle();
        self.access(by, of, intid, offset, None);
        self.settle();
        let value = self.access(by, of, intid, offset, None);
        assert_eq!(
            value & !unsure,
            expected & !unsure,
            "register {offset:#x} of {of}, read by {by}"
        );
    }

    fn settle(&mut self) {
        self.machine.settle();
        for core in 0..self.vcpus {
            let candidates = self.model.candidates(core);
            let running = self.model.running[core]
                .iter()
                .map(|&(_, priority)| priority)
                .min()
                .unwrap_or(0xff);
            let best = candidates
                .iter()
                .map(|&(priority, _)| priority)
                .min()
                .filter(|&best| best < running && !self.model.parked[core]);
            let signalled = self.machine.cores[core]
                .signalled()
                .map(|register| bulkhead_vgic::Entry(self.machine.cores[core].registers[register]));
            let Some(entry) = signalled else {
                assert_eq!(best, None, "vCPU {core} misses one of {candidates:?}");
                continue;
            };
            let irq = self.model.irq(core, entry.intid()).clone();
            if !candidates.contains(&(irq.priority, entry.intid())) {
                assert!(
                    irq.spurious != 0 && irq.enable && !irq.active,
                    "vCPU {core} sees {}, which is not to be signalled",
                    entry.intid()
                );
                continue;
            }
            assert_eq!(
                Some(entry.priority()),
                best,
                "vCPU {core} sees {} before a more important one of {candidates:?}",
                entry.intid()
            );
            assert_eq!(entry.has(bulkhead_vgic::Entry::GROUP1), irq.group1);
        }
    }

    /// The guest takes and ends everything that is left.
    fn drain(&mut self) {
        for intid in INTIDS {
            for core in 0..self.vcpus {
                self.apply(Op::Line {
                    core,
                    intid,
                    high: false,
                });
            }
        }
        for _ in 0..200 {
            for core in 0..self.vcpus {
                self.apply(Op::Acknowledge { core });
                self.apply(Op::End { core });
            }
        }
        for core in 0..self.vcpus {
            while !self.model.running[core].is_empty() {
                self.apply(Op::End { core });
            }
        }
        self.settle();
        for word in 0..WORDS as u32 {
            for of in 0..self.vcpus {
                for register in [2, 4] {
                    self.read(of, of, register, word * 32);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_vcpu_sees_what_the_plain_model_signals(
        vcpus in 1..5usize,
        registers in prop::sample::select(&[1usize, 2, 4, 16][..]),
        priorities in prop::collection::vec(any::<u8>(), INTIDS.len()),
        ops in prop::collection::vec((op(), any::<bool>()), 1..150),
    ) {
        let mut pair = Pair::new(vcpus, registers, &priorities);
        for (op, settles) in ops {
            pair.apply(op);
            if settles {
                pair.settle();
            }
        }
        pair.drain();
    }
}
