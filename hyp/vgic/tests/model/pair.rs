// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine beside the model: every operation is done to both, and what a vCPU sees is compared.

mod apply;

use plan::{INTERRUPT_EDGE as EDGE, INTERRUPT_FIXED as FIXED, INTERRUPT_PHYSICAL as PHYSICAL};

use super::{INTIDS, Irq, Model, Op, Running};
use crate::machine::{Face, Machine, WORDS, row};

/// The machine of the tests with a face of the vGIC, and the model.
pub struct Pair<const V2: bool> {
    pub machine: Machine<V2>,
    model: Model,
    vcpus: usize,
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
            dropped: vec![Vec::new(); vcpus],
            parked: vec![false; vcpus],
            interface: vec![3; vcpus],
            split: vec![false; vcpus],
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
                irq.targets = irq.route.map_or(0, |vcpu| 1 << vcpu);
            }
        }
        let machine = Machine::new(vcpus, registers, &rows);
        let mut pair = Self { machine, model, vcpus };
        pair.apply(Op::Control { by: 0, groups: 3 });
        for (at, &intid) in INTIDS.iter().enumerate() {
            for of in 0..vcpus {
                pair.apply(Op::Priority { by: of, of, intid, priority: priorities[at] });
                pair.apply(Op::Group { by: of, of, intid, on: at % 3 != 0 });
                pair.apply(Op::Bit { by: of, of, register: 0, intid, extra: 0 });
            }
        }
        pair
    }

    /// Accesses a one-bit register of `intid`, by the frame of its word and the register's offset.
    fn access(&mut self, by: usize, of: usize, intid: u32, offset: u64, write: Option<u32>) -> u32 {
        match (intid < 32 && !V2, write) {
            (true, Some(value)) => self.machine.set_gicr(by, of, 0x1_0000 + offset, value),
            (true, None) => return self.machine.gicr(by, of, 0x1_0000 + offset),
            (false, Some(value)) => self.machine.set_gicd(by, offset, value),
            (false, None) => return self.machine.gicd(by, offset),
        }
        0
    }

    /// Changes `op` to vCPUs that GICv2 lets access the private word: only its own.
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

    /// Writes ITARGETSR, and checks what it reads then.
    fn target(&mut self, by: usize, intid: u32, targets: u8) {
        let register = 0x800 + u64::from(intid);
        self.machine.write(by, register, 1, targets.into());
        let vcpus = self.vcpus;
        let irq = self.model.irq(0, intid);
        if irq.owned && !irq.fixed && vcpus > 1 {
            let first = targets.trailing_zeros() as usize;
            irq.route = Some(first).filter(|&vcpu| vcpu < vcpus);
            irq.targets = targets & ((1 << vcpus) - 1);
        }
        let shown = if irq.owned && vcpus > 1 { irq.targets } else { 0 };
        assert_eq!(self.machine.read(by, register, 1), shown.into());
    }

    /// Writes SGIR: register 2 is the filter that names only the writer.
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

    /// Whether `intid`, as `vcpu` sees it, is pending in some list register.
    fn is_listed(&self, vcpu: usize, intid: u32) -> bool {
        let mut cores = self.machine.cores.iter().enumerate();
        cores.any(|(core, hardware)| (intid >= 32 || core == vcpu) && hardware.pends(intid))
    }

    /// Notes that the core that has `intid`, as `vcpu` sees it, in a list register has looked at
    /// its line.
    fn sampled(&mut self, vcpu: usize, intid: u32) {
        let irq = self.model.irq(vcpu, intid);
        // An edge that came again after the acknowledgement is one more.
        irq.stale &= irq.edge && !irq.latch;
    }

    fn read(&mut self, by: usize, of: usize, register: u8, intid: u32) {
        // What the read samples is not sampled before it.
        self.settle();
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
            if matches!(register, 2..6) {
                self.sampled(of, word * 32 + bit);
            }
            let is_unsure = self.model.irq(of, word * 32 + bit).stale && matches!(register, 2 | 3);
            unsure |= u32::from(is_unsure) << bit;
        }
        let offset =
            BASES.get(usize::from(register)).copied().unwrap_or(0x80) + u64::from(word) * 4;
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
                .map(|running| running.priority)
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
                    irq.stale && irq.enable && !irq.active,
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

    /// Writes ICACTIVER of every INTID as the guest.
    fn deactivate_all(&mut self) {
        for core in 0..self.vcpus {
            for word in 0..WORDS as u32 {
                self.apply(Op::Bit {
                    by: core,
                    of: core,
                    register: 5,
                    intid: word * 32,
                    extra: u32::MAX,
                });
            }
        }
    }

    /// Takes and ends every interrupt that is left, as the guest.
    pub fn drain(&mut self) {
        for core in 0..self.vcpus {
            self.apply(Op::Interface { core, groups: 3 });
        }
        self.deactivate_all();
        for intid in INTIDS {
            for core in 0..self.vcpus {
                self.apply(Op::Line { core, intid, high: false });
            }
        }
        for _ in 0..200 {
            for core in 0..self.vcpus {
                self.apply(Op::Acknowledge { core });
                self.apply(Op::End { core });
            }
        }
        // With EOImode = 1 they are still active, and one that another vCPU had before keeps its
        // end open there.
        self.deactivate_all();
        for core in 0..self.vcpus {
            for _ in 0..self.model.running[core].len() {
                self.apply(Op::End { core });
            }
            assert!(self.model.running[core].is_empty(), "vCPU {core} cannot end what it runs");
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
