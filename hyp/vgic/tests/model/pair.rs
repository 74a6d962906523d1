//! The machine beside the model: every operation is done to both, and what a vCPU sees is compared.

use plan::{INTERRUPT_EDGE as EDGE, INTERRUPT_FIXED as FIXED, INTERRUPT_PHYSICAL as PHYSICAL};

use super::{INTIDS, Irq, Model, Op};
use crate::machine::{Face, Machine, WORDS, row};

/// The machine of the tests with a face of the vGIC, and the model.
pub struct Pair<const V2: bool> {
    machine: Machine<V2>,
    model: Model,
    vcpus: usize,
    registers: usize,
}

const BASES: [u64; 6] = [0x100, 0x180, 0x200, 0x280, 0x300, 0x380];

impl<const V2: bool> Pair<V2> {
    pub fn new(vcpus: usize, registers: usize, priorities: &[u8]) -> Self {
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
        match (intid < 32 && !V2, write) {
            (true, Some(value)) => self.machine.set_gicr(by, of, 0x1_0000 + offset, value),
            (true, None) => return self.machine.gicr(by, of, 0x1_0000 + offset),
            (false, Some(value)) => self.machine.set_gicd(by, offset, value),
            (false, None) => return self.machine.gicd(by, offset),
        }
        0
    }

    /// GICv2 shows a vCPU its own private words alone.
    fn banked(&self, mut op: Op) -> Op {
        if let Op::Bit { by, of, intid, .. }
        | Op::Group { by, of, intid, .. }
        | Op::Priority { by, of, intid, .. }
        | Op::Read { by, of, intid, .. } = &mut op
            && V2
            && *intid < 32
        {
            *of = *by;
        }
        op
    }

    /// ITARGETSR, and what it reads then.
    fn target(&mut self, by: usize, intid: u32, targets: u8) {
        let register = 0x800 + u64::from(intid);
        self.machine.write(by, register, 1, targets.into());
        let vcpus = self.vcpus;
        let irq = self.model.irq(0, intid);
        if irq.owned && !irq.fixed && vcpus > 1 {
            let first = targets.trailing_zeros() as usize;
            irq.route = Some(first).filter(|&vcpu| vcpu < vcpus);
        }
        let shown = irq.route.filter(|_| irq.owned && vcpus > 1);
        let expected = shown.map_or(0, |vcpu| 1 << vcpu);
        assert_eq!(self.machine.read(by, register, 1), expected);
    }

    /// SGIR: register 2 stands for the filter that names the writer alone.
    fn sgir(&mut self, by: usize, targets: u8, broadcast: bool, register: u8, intid: u32) {
        let (filter, named) = match (register, broadcast) {
            (2, _) => (2, 1 << by),
            (_, true) => (1, !(1 << by)),
            _ => (0, u32::from(targets)),
        };
        let value = filter << 24 | u32::from(targets) << 16 | 1 << 15 | intid;
        self.machine.set_gicd(by, 0xf00, value);
        for vcpu in (0..self.vcpus).filter(|vcpu| named >> vcpu & 1 != 0) {
            self.model.irq(vcpu, intid).sources |= 1 << by;
        }
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

    pub fn apply(&mut self, op: Op) {
        match self.banked(op) {
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
                    let is_fixed = V2 && other < 16 && matches!(register, 2 | 3);
                    if mask >> bit & 1 == 0 || !irq.owned || is_fixed {
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
                    0..32 if !V2 => self.machine.vcpu(by).gicr_write(
                        of as u64 * 0x2_0000 + 0x1_0000 + offset,
                        1,
                        priority.into(),
                    ),
                    _ => self.machine.write(by, offset, 1, priority.into()),
                }
            }
            Op::Route { by, intid, to } => {
                let by = by % self.vcpus;
                if intid < 32 {
                    return;
                }
                if V2 {
                    return self.target(by, intid, to as u8);
                }
                let offset = 0x6000 + u64::from(intid) * 8;
                self.machine.write(by, offset, 8, 7 << 32 | u64::from(to));
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
                // An SGI comes from a vCPU there.
                irq.latch |= irq.owned && !(V2 && intid < 16);
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
                if V2 {
                    return self.sgir(by, targets as u8, broadcast, register, intid);
                }
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
            Op::Sources {
                by,
                intid,
                set,
                mask,
            } => {
                let by = by % self.vcpus;
                if !V2 {
                    return;
                }
                self.settle();
                let register = if set { 0xf20 } else { 0xf10 } + u64::from(intid);
                self.machine.write(by, register, 1, mask.into());
                let all = (1 << self.vcpus) - 1;
                let irq = self.model.irq(by, intid);
                match set {
                    true => irq.sources |= u32::from(mask) & all,
                    false => irq.sources &= !u32::from(mask),
                }
                let expected = irq.sources;
                let found = self.machine.read(by, register, 1);
                assert_eq!(found, expected.into(), "sources of SGI {intid}");
            }
            Op::Acknowledge { core } => {
                let core = core % self.vcpus;
                self.settle();
                if let Some(intid) = self.machine.cores[core].acknowledge() {
                    let source = 1 << self.machine.cores[core].source;
                    let irq = self.model.irq(core, intid);
                    irq.spurious -= u32::from(!irq.pending());
                    if V2 && intid < 16 {
                        assert!(irq.sources & source != 0, "nobody sent SGI {intid} so");
                        irq.sources &= !source;
                    }
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

    pub fn settle(&mut self) {
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
    pub fn drain(&mut self) {
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
