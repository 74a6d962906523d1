// SPDX-License-Identifier: MIT OR Apache-2.0
//! The hardware: the physical GIC, and a core's virtual CPU interface with its list registers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::WORDS;
use super::vgic::{Bank, Entry, ListRegisters, Physical, Siblings, control, interface};

/// The physical GIC: what all cores share, and the private word of each.
#[derive(Default)]
pub struct PhysicalGic {
    pub enable: Vec<[u32; WORDS]>,
    pub latch: Vec<[u32; WORDS]>,
    pub line: Vec<[u32; WORDS]>,
    pub active: Vec<[u32; WORDS]>,
    pub edge: [u32; WORDS],
    pub route: Vec<usize>,
    /// INTIDs that the partition owns: any write to another is an error.
    pub owned: [u32; WORDS],
    /// Whether it behaves as QEMU's GICv2 (`hw/intc/arm_gic.c`): a deactivation through the virtual
    /// CPU interface changes a linked interrupt's state, and no core is signalled for it until
    /// something else changes in the physical GIC.
    pub forgets: bool,
    /// Whether an interrupt was signalled at the last look, per core.
    pub irq: Vec<bool>,
}

impl PhysicalGic {
    pub fn bank(core: usize, word: usize) -> usize {
        if word == 0 { core } else { 0 }
    }

    pub fn pending(&self, core: usize, word: usize) -> u32 {
        let bank = Self::bank(core, word);
        self.latch[bank][word] | self.line[bank][word] & !self.edge[word]
    }

    /// The interrupt that the core would acknowledge, if it is signalled at all.
    pub fn signalled(&self, core: usize) -> Option<u32> {
        let is_forgotten = self.forgets && !self.irq[core];
        self.first(core).filter(|_| !is_forgotten)
    }

    /// Finds the cores to be signalled.
    pub fn update(&mut self) {
        self.irq = (0..self.enable.len()).map(|core| self.first(core).is_some()).collect();
    }

    fn first(&self, core: usize) -> Option<u32> {
        (0..WORDS as u32 * 32).find(|&intid| {
            let (word, bit) = (intid as usize / 32, 1 << (intid % 32));
            let bank = Self::bank(core, word);
            self.pending(core, word) & self.enable[bank][word] & !self.active[bank][word] & bit != 0
                && (word == 0 || self.route[intid as usize] == core)
        })
    }

    pub fn acknowledge(&mut self, core: usize, intid: u32) {
        let (word, bit) = (intid as usize / 32, 1 << (intid % 32));
        let bank = Self::bank(core, word);
        self.latch[bank][word] &= !bit;
        self.active[bank][word] |= bit;
        self.update();
    }

    pub fn deactivate(&mut self, core: usize, intid: u32) {
        let (word, bit) = (intid as usize / 32, 1 << (intid % 32));
        let bank = Self::bank(core, word);
        assert!(self.active[bank][word] & bit != 0, "deactivated {intid}, which was not active");
        self.active[bank][word] &= !bit;
    }
}

/// One core's hardware.
pub struct Hardware<const V2: bool = false> {
    pub core: usize,
    pub registers: Vec<u64>,
    pub control: u32,
    /// The guest's EOImode.
    pub split: bool,
    /// The groups that the guest has enabled in its CPU interface.
    pub groups: u32,
    /// Whether physical interrupts are listed with HW = 1.
    pub linked: bool,
    pub kicks: Rc<RefCell<Vec<u32>>>,
    pub physical: Rc<RefCell<PhysicalGic>>,
    /// The active priorities: those of interrupts that the guest has acknowledged and not yet
    /// dropped.
    pub running: Vec<u8>,
    pub writes: Cell<u32>,
    /// The sender of the SGI that was acknowledged last (GICv2).
    pub source: u32,
    /// The act of siblings just before a write of this core reaches the physical GIC.
    pub meanwhile: Option<Box<dyn FnMut()>>,
}

impl<const V2: bool> Hardware<V2> {
    pub fn maintenance(&self) -> bool {
        let entries = || self.registers.iter().map(|&raw| Entry(raw));
        self.control & control::EN != 0
            && (entries().any(|entry| {
                entry.is_over() && entry.has(Entry::REPORT_END) && !entry.has(Entry::LINKED)
            }) || self.control & control::NPIE != 0
                && !entries().any(|entry| entry.is_only_pending())
                || self.control & control::LRENPIE != 0 && self.control & control::EOI_COUNT != 0
                || (0..2).any(|group| {
                    let reports = match self.groups >> group & 1 {
                        0 => control::VGRP0_DIE,
                        _ => control::VGRP0_EIE,
                    };
                    self.control >> (2 * group) & reports != 0
                }))
    }

    /// The list register in which `intid` is pending and not active.
    pub fn pends(&self, intid: u32) -> bool {
        let mut entries = self.registers.iter().map(|&raw| Entry(raw));
        entries.any(|entry| entry.is_only_pending() && entry.intid() == intid)
    }

    /// The register of the most important pending interrupt, if it may preempt.
    pub fn signalled(&self) -> Option<usize> {
        if self.control & control::EN == 0 {
            return None;
        }
        (0..self.registers.len())
            .filter(|&index| {
                let entry = Entry(self.registers[index]);
                entry.is_only_pending() && self.groups >> entry.group() & 1 != 0
            })
            .min_by_key(|&index| Entry(self.registers[index]).priority())
            .filter(|&index| {
                let running = self.running.iter().min().copied().unwrap_or(0xff);
                Entry(self.registers[index]).priority() < running
            })
    }

    pub fn acknowledge(&mut self) -> Option<u32> {
        let index = self.signalled()?;
        let entry = Entry(self.registers[index]);
        self.registers[index] = entry.0 & !Entry::PENDING | Entry::ACTIVE;
        self.running.push(entry.priority());
        self.source = entry.source();
        Some(entry.intid())
    }

    /// Carries out the guest's write of EOIR with EOImode = 0: priority drop and deactivation.
    pub fn end(&mut self, intid: u32) {
        if let Some(dropped) = self.drop_priority()
            && !self.deactivate(intid, dropped)
        {
            let count = (self.control >> 27) + 1;
            self.control = self.control & !control::EOI_COUNT | count << 27;
        }
    }

    /// Carries out the guest's write of EOIR with EOImode = 1: drops the highest active priority.
    pub fn drop_priority(&mut self) -> Option<u8> {
        let dropped = self.running.iter().min().copied()?;
        let at = self.running.iter().position(|&other| other == dropped)?;
        Some(self.running.remove(at))
    }

    /// Deactivates `intid`. Some hardware (QEMU's) does not if it was acknowledged with another
    /// priority than the one that drops.
    fn deactivate(&mut self, intid: u32, dropped: u8) -> bool {
        let Some(index) = self
            .registers
            .iter()
            .position(|&raw| Entry(raw).has(Entry::ACTIVE) && Entry(raw).intid() == intid)
        else {
            return false;
        };
        let entry = Entry(self.registers[index]);
        if entry.priority() != dropped {
            return true;
        }
        self.registers[index] &= !Entry::ACTIVE;
        if entry.has(Entry::LINKED) {
            let mut physical = self.physical.borrow_mut();
            physical.deactivate(self.core, intid);
            if !physical.forgets {
                physical.update();
            }
        }
        true
    }

    fn check(&self, word: usize, mask: u32) {
        let owned = self.physical.borrow().owned[word];
        assert_eq!(mask & !owned, 0, "a foreign interrupt of word {word} is touched");
    }

    fn bank(&self, word: usize) -> usize {
        PhysicalGic::bank(self.core, word)
    }
}

impl<const V2: bool> ListRegisters for Hardware<V2> {
    const SGI_SOURCES: bool = V2;

    fn count(&self) -> usize {
        self.registers.len()
    }
    fn read(&self, index: usize) -> u64 {
        self.registers.get(index).copied().unwrap_or(0)
    }
    fn write(&mut self, index: usize, value: u64) {
        self.writes.set(self.writes.get() + 1);
        self.registers[index] = value;
        let entry = Entry(value);
        let (word, bit) = (entry.intid() as usize / 32, 1 << (entry.intid() % 32));
        let is_physical = self.physical.borrow().owned[word] & bit != 0;
        if is_physical && !entry.is_over() {
            assert_eq!(entry.has(Entry::LINKED), self.linked, "HW");
            assert_ne!(entry.has(Entry::REPORT_END), self.linked, "EOI");
            assert!(
                !(entry.has(Entry::PENDING) && entry.has(Entry::ACTIVE)),
                "a physical interrupt's list register is pending and active"
            );
            assert!(
                self.physical.borrow().active[self.bank(word)][word] & bit != 0,
                "{} is listed and not physically active",
                entry.intid()
            );
        }
        if !entry.is_over() {
            let same = self
                .registers
                .iter()
                .filter(|&&raw| !Entry(raw).is_over() && Entry(raw).intid() == entry.intid());
            assert_eq!(same.count(), 1, "{} is in two list registers", entry.intid());
        }
    }
    fn empty(&self) -> u32 {
        self.registers
            .iter()
            .enumerate()
            .filter(|(_, raw)| {
                let entry = Entry(**raw);
                entry.is_over() && (entry.has(Entry::LINKED) || !entry.has(Entry::REPORT_END))
            })
            .fold(0, |mask, (index, _)| mask | 1 << index)
    }
    fn control(&self) -> u32 {
        self.control
    }
    fn set_control(&mut self, value: u32) {
        self.control = value;
    }
    fn interface(&self) -> u32 {
        self.groups | if self.split { interface::EOI_MODE } else { 0 }
    }
    fn deactivation_trap(&self) -> u32 {
        if V2 { 0 } else { control::TDIR }
    }
    fn is_linked(&self) -> bool {
        self.linked
    }
}

/// Carries out EL2's barrier around an access that other cores see: it also orders between threads
/// of loom.
pub fn barrier() {
    #[cfg(loom)]
    loom::sync::atomic::fence(loom::sync::atomic::Ordering::SeqCst);
}

impl<const V2: bool> Physical for Hardware<V2> {
    fn write_bank(&mut self, bank: Bank, word: usize, mask: u32) {
        barrier();
        if let Some(meanwhile) = &mut self.meanwhile {
            meanwhile();
        }
        self.check(word, mask);
        let physical = &mut *self.physical.borrow_mut();
        let words = match bank {
            Bank::SetEnable | Bank::ClearEnable => &mut physical.enable,
            Bank::SetPending | Bank::ClearPending => &mut physical.latch,
            Bank::SetActive | Bank::ClearActive => &mut physical.active,
        };
        let word = &mut words[self.bank(word)][word];
        match bank {
            Bank::SetEnable | Bank::SetPending | Bank::SetActive => *word |= mask,
            Bank::ClearEnable | Bank::ClearPending | Bank::ClearActive => *word &= !mask,
        }
        physical.update();
    }
    fn deactivate(&mut self, intid: u32) {
        self.check(intid as usize / 32, 1 << (intid % 32));
        let mut physical = self.physical.borrow_mut();
        physical.deactivate(self.core, intid);
        physical.update();
    }
    fn pending(&self, word: usize) -> u32 {
        // Bits of other partitions show in the same register.
        let owned = self.physical.borrow().owned[word];
        self.physical.borrow().pending(self.core, word) | !owned
    }
    fn route(&mut self, intid: u32, vcpu: usize) {
        barrier();
        self.check(intid as usize / 32, 1 << (intid % 32));
        let mut physical = self.physical.borrow_mut();
        physical.route[intid as usize] = vcpu;
        physical.update();
    }
}

impl<const V2: bool> Siblings for Hardware<V2> {
    fn kick(&self, vcpu: usize) {
        assert_ne!(vcpu, self.core, "a core kicked itself");
        barrier();
        self.kicks.borrow_mut()[vcpu] += 1;
    }
}
