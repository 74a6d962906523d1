// SPDX-License-Identifier: MIT OR Apache-2.0
//! One operation, done to the machine and to the model.

use super::*;

impl<const V2: bool> Pair<V2> {
    pub fn apply(&mut self, op: Op) {
        match self.banked(op) {
            Op::Bit { by, of, register, intid, extra } => {
                let (by, of) = (by % self.vcpus, of % self.vcpus);
                let word = intid / 32;
                let mask = 1 << (intid % 32) | extra;
                for bit in 0..32 {
                    let other = word * 32 + bit;
                    let irq = self.model.irq(of, other);
                    let is_fixed = V2 && other < 16 && matches!(register, 2 | 3);
                    if mask >> bit & 1 == 0 || !irq.owned || is_fixed {
                        continue;
                    }
                    match register {
                        0 => irq.enable = true,
                        1 => irq.enable = false,
                        2 => (irq.latch, irq.stale) = (true, irq.stale && irq.latch),
                        3 => irq.latch = false,
                        4 => irq.active = true,
                        _ => self.model.deactivate(of, other),
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
                let offset = 0x80 + u64::from(intid / 32) * 4;
                let bit = 1 << (intid % 32);
                let old = self.access(by, of, intid, offset, None);
                let new = if on { old | bit } else { old & !bit };
                self.access(by, of, intid, offset, Some(new));
                let irq = self.model.irq(of, intid);
                irq.group1 = irq.owned && on;
            }
            Op::Priority { by, of, intid, priority } => {
                let (by, of) = (by % self.vcpus, of % self.vcpus);
                let irq = self.model.irq(of, intid);
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
                let is_listed = self.is_listed(core, intid);
                let irq = self.model.irq(core, intid);
                if !irq.owned || irq.edge && !irq.physical {
                    return;
                }
                let rises = high && !irq.line;
                irq.line = high;
                if irq.edge && rises {
                    irq.stale = irq.latch && (irq.stale || is_listed);
                    irq.latch = true;
                } else if !irq.edge {
                    irq.stale = irq.physical && !irq.pending() && (irq.stale || is_listed);
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
            Op::Sgi { by, targets, broadcast, intid, register } => {
                let by = by % self.vcpus;
                if V2 {
                    return self.sgir(by, targets as u8, broadcast, register, intid);
                }
                let value =
                    u64::from(targets) | u64::from(intid) << 24 | u64::from(broadcast) << 40;
                self.machine.vcpu(by).send_sgi(value, register != 0);
                for vcpu in 0..self.vcpus {
                    let named = if broadcast { vcpu != by } else { targets >> vcpu & 1 != 0 };
                    let irq = self.model.irq(vcpu, intid);
                    if named && (register == 0 || !irq.group1) {
                        irq.latch = true;
                    }
                }
            }
            Op::Sources { by, intid, set, mask } => {
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
                    irq.stale &= irq.edge && irq.latch;
                    if V2 && intid < 16 {
                        assert!(irq.sources & source != 0, "no vCPU sent SGI {intid} so");
                        irq.sources &= !source;
                    }
                    irq.latch = false;
                    irq.active = true;
                    let priority = irq.priority;
                    self.model.running[core].push(Running { intid, priority, cancelled: false });
                }
            }
            Op::End { core } => self.end(core % self.vcpus),
            Op::Deactivate { by, pick, intid } => {
                let by = by % self.vcpus;
                let dropped = self.model.dropped.iter().enumerate();
                let dropped: Vec<u32> = dropped
                    .flat_map(|(core, list)| list.iter().map(move |&intid| (core, intid)))
                    .filter(|&(core, intid)| intid >= 32 || core == by)
                    .map(|(_, intid)| intid)
                    .collect();
                let count = dropped.len().max(1);
                let intid = dropped.get(pick % count).copied().unwrap_or(intid);
                self.machine.vcpu(by).deactivate(intid);
                if self.model.split[by] {
                    self.model.deactivate(by, intid);
                }
            }
            Op::Mode { core, split } => {
                let core = core % self.vcpus;
                // The maintenance interrupt of an end comes right after it.
                self.settle();
                if self.model.running[core].is_empty() && self.model.dropped[core].is_empty() {
                    self.machine.cores[core].split = split;
                    self.model.split[core] = split;
                }
            }
            Op::Interface { core, groups } => {
                let core = core % self.vcpus;
                self.machine.cores[core].groups = groups;
                self.model.interface[core] = groups;
            }
            Op::Enter { core } => {
                let core = core % self.vcpus;
                let pends = |&intid: &u32| self.machine.cores[core].pends(intid);
                let listed: Vec<u32> = (0..288).filter(pends).collect();
                self.machine.vcpu(core).sample();
                for intid in listed {
                    self.sampled(core, intid);
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
            Op::Read { by, of, register, intid } => {
                self.read(by % self.vcpus, of % self.vcpus, register, intid)
            }
        }
    }

    /// Writes EOIR of the interrupt that was acknowledged last.
    fn end(&mut self, core: usize) {
        self.settle();
        let Some(&running) = self.model.running[core].last() else {
            return;
        };
        let Running { intid, cancelled, .. } = running;
        let is_active = self.model.irq(core, intid).active;
        if self.model.split[core] {
            self.machine.cores[core].drop_priority();
            if !cancelled {
                self.model.dropped[core].push(intid);
            }
        } else if !(cancelled && is_active) {
            self.machine.cores[core].end(intid);
            self.model.irq(core, intid).active = false;
        } else {
            // Active once more, maybe on another core: whose end this would be is open.
            return;
        }
        self.model.running[core].pop();
    }
}
