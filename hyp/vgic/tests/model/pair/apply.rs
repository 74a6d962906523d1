//! One operation, done to the machine and to the model.

use super::*;

impl<const V2: bool> Pair<V2> {
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
}
