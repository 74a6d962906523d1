// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small machine for the tests: a physical GIC, a virtual CPU interface per core, and EL2's part
//! of each entry.
#![allow(dead_code)]

mod hardware;

#[cfg(loom)]
pub use hardware::barrier;
pub use hardware::{Hardware, PhysicalGic};

use bulkhead_vgic as vgic;
use plan::{
    GuestGic, INTERRUPT_EDGE as EDGE, INTERRUPT_FIXED as FIXED, INTERRUPT_PHYSICAL as PHYSICAL,
    Interrupt,
};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use vgic::{Delivery, GICD_ISENABLER0, GICR_ISENABLER0, Gic, Vcpu, interface};
use zerocopy::FromZeros;

pub const WORDS: usize = 9;

/// Accesses by the offset from the first redistributor.
pub trait Face {
    fn gicr_read(&mut self, offset: u64, size: u64) -> u64;
    fn gicr_write(&mut self, offset: u64, size: u64, value: u64);
}

impl<H: vgic::Hardware> Face for Vcpu<'_, H> {
    fn gicr_read(&mut self, offset: u64, size: u64) -> u64 {
        self.read(Some((offset >> 17) as usize), offset & 0x1_ffff, size)
    }

    fn gicr_write(&mut self, offset: u64, size: u64, value: u64) {
        self.write(Some((offset >> 17) as usize), offset & 0x1_ffff, size, value);
    }
}

/// A partition on its cores, with a GICv2's face or a GICv3's.
pub struct Machine<const V2: bool = false> {
    pub gic: Rc<Gic>,
    pub deliveries: Vec<Delivery>,
    pub cores: Vec<Hardware<V2>>,
    pub kicks: Rc<RefCell<Vec<u32>>>,
    pub physical: Rc<RefCell<PhysicalGic>>,
    pub maintenances: u32,
}

impl<const V2: bool> Machine<V2> {
    pub fn new(vcpus: usize, registers: usize, rows: &[Interrupt]) -> Self {
        let kicks = Rc::new(RefCell::new(vec![0; vcpus]));
        let mut physical = PhysicalGic {
            enable: vec![[0; WORDS]; vcpus],
            latch: vec![[0; WORDS]; vcpus],
            line: vec![[0; WORDS]; vcpus],
            active: vec![[0; WORDS]; vcpus],
            route: vec![0; WORDS * 32],
            irq: vec![false; vcpus],
            ..Default::default()
        };
        for row in rows {
            let (word, bit) = (usize::from(row.intid) / 32, 1 << (row.intid % 32));
            if row.flags & plan::INTERRUPT_PHYSICAL != 0 {
                physical.owned[word] |= bit;
            }
            if row.flags & plan::INTERRUPT_EDGE != 0 {
                physical.edge[word] |= bit;
            }
        }
        let physical = Rc::new(RefCell::new(physical));
        let gic = Rc::new(new_gic());
        gic.init(vcpus, &GuestGic { version: if V2 { 2 } else { 3 }, intids: 288 }, rows);
        let mut machine = Self {
            gic,
            deliveries: (0..vcpus).map(|_| Delivery::new_zeroed()).collect(),
            cores: (0..vcpus)
                .map(|core| Hardware {
                    core,
                    registers: vec![0; registers],
                    control: 0,
                    split: false,
                    linked: true,
                    groups: interface::GROUPS,
                    kicks: kicks.clone(),
                    physical: physical.clone(),
                    running: Vec::new(),
                    writes: Cell::new(0),
                    source: 0,
                    meanwhile: None,
                })
                .collect(),
            kicks,
            physical,
            maintenances: 0,
        };
        for core in 0..vcpus {
            machine.vcpu(core).reset();
        }
        for core in 0..vcpus {
            machine.vcpu(core).unpark();
        }
        machine
    }

    /// Makes the machine behave as QEMU's GICv2, with physical interrupts linked or not, before the
    /// first interrupt has arrived.
    pub fn as_qemu(&mut self, linked: bool) {
        self.physical.borrow_mut().forgets = true;
        for core in &mut self.cores {
            core.linked = linked;
        }
    }

    pub fn vcpu(&mut self, core: usize) -> Vcpu<'_, Hardware<V2>> {
        Vcpu::new(&self.gic, core, &mut self.deliveries[core], &mut self.cores[core])
    }

    /// Takes the interrupts to EL2 on `core`: kicks, owned physical interrupts, maintenance.
    /// Returns whether there was one.
    pub fn entry(&mut self, core: usize) -> bool {
        if std::mem::take(&mut self.kicks.borrow_mut()[core]) != 0 {
            self.vcpu(core).take_requests();
            return true;
        }
        let signalled = self.physical.borrow().signalled(core);
        if let Some(intid) = signalled {
            self.physical.borrow_mut().acknowledge(core, intid);
            assert!(self.vcpu(core).physical(intid), "{intid} is owned");
            return true;
        }
        if self.cores[core].maintenance() {
            self.maintenances += 1;
            self.vcpu(core).sync();
            return true;
        }
        false
    }

    /// Runs all entries until there are none; a storm fails.
    pub fn settle(&mut self) {
        for _ in 0..1000 {
            let entries = (0..self.cores.len()).filter(|&core| self.entry(core)).count();
            if entries == 0 {
                return;
            }
        }
        panic!("interrupts to EL2 never end");
    }

    /// Reads the distributor as vCPU `core`.
    pub fn read(&mut self, core: usize, offset: u64, size: u64) -> u64 {
        let fast = match V2 {
            true => self.gic.distributor_state_v2(core, offset),
            false => self.gic.distributor_state(offset),
        };
        let read = match V2 {
            true => self.vcpu(core).read_v2(offset, size),
            false => self.vcpu(core).read(None, offset, size),
        };
        if size == 4
            && let Some(fast) = fast
        {
            assert_eq!(u64::from(fast), read, "the fast path reads GICD {offset:#x} otherwise");
        }
        read
    }
    /// Writes the distributor as vCPU `core`.
    pub fn write(&mut self, core: usize, offset: u64, size: u64, value: u64) {
        // EL2 tries the fast path first.
        if size == 4
            && let Some(waits) = match self.vcpu(core).enable_spis(offset, value as u32) {
                None if V2 && offset == GICD_ISENABLER0 => {
                    Some(self.vcpu(core).enable(0, value as u32))
                }
                waits => waits,
            }
        {
            if waits != 0 {
                self.vcpu(core).settle(offset, waits);
            }
            return;
        }
        match V2 {
            true => self.vcpu(core).write_v2(offset, size, value),
            false => self.vcpu(core).write(None, offset, size, value),
        }
    }
    pub fn gicd(&mut self, core: usize, offset: u64) -> u32 {
        self.read(core, offset, 4) as u32
    }
    pub fn set_gicd(&mut self, core: usize, offset: u64, value: u32) {
        self.write(core, offset, 4, value.into());
    }
    pub fn gicr(&mut self, core: usize, of: usize, offset: u64) -> u32 {
        let fast = self.gic.redistributor_state(of, offset, 4);
        let read = self.vcpu(core).gicr_read(of as u64 * 0x2_0000 + offset, 4);
        if of < self.cores.len()
            && let Some(fast) = fast
        {
            assert_eq!(fast, read, "the fast path reads GICR {offset:#x} otherwise");
        }
        read as u32
    }
    pub fn set_gicr(&mut self, core: usize, of: usize, offset: u64, value: u32) {
        // As EL2 does for the vCPU's own.
        if of == core && offset == GICR_ISENABLER0 {
            let waits = self.vcpu(core).enable(0, value);
            if waits != 0 {
                self.vcpu(core).settle(offset, waits);
            }
            return;
        }
        self.vcpu(core).gicr_write(of as u64 * 0x2_0000 + offset, 4, value.into());
    }

    /// Drives the line of a physical interrupt as its device.
    pub fn set_line(&mut self, core: usize, intid: u32, high: bool) {
        let (word, bit) = (intid as usize / 32, 1 << (intid % 32));
        let mut physical = self.physical.borrow_mut();
        let bank = PhysicalGic::bank(core, word);
        let was = physical.line[bank][word] & bit != 0;
        if high {
            physical.line[bank][word] |= bit;
            if !was && physical.edge[word] & bit != 0 {
                physical.latch[bank][word] |= bit;
            }
        } else {
            physical.line[bank][word] &= !bit;
        }
        physical.update();
    }
}

/// A GIC without vCPUs. Loom's atomics are not made of zeroes.
pub fn new_gic() -> Gic {
    #[cfg(not(loom))]
    return Gic::new_zeroed();
    #[cfg(loom)]
    return Gic::default();
}

pub fn row(intid: u16, flags: u16, vcpu: u32) -> Interrupt {
    Interrupt { intid, flags, vcpu }
}

pub const DOORBELL: u32 = 128;
pub const UART: u32 = 33;
pub const TIMER: u32 = 27;
pub const DISK: u32 = 45;

/// Two physical SPIs, the timer, the UART and two doorbells, all enabled in Group 1, of equal
/// priority.
pub fn partition(vcpus: usize, registers: usize) -> Machine {
    let rows = [
        row(27, PHYSICAL, 0),
        row(33, 0, 0),
        row(45, PHYSICAL, 0),
        row(46, PHYSICAL | EDGE, 0),
        row(128, EDGE | FIXED, 0),
        row(129, EDGE | FIXED, 0),
    ];
    let mut machine = <Machine>::new(vcpus, registers, &rows);
    machine.set_gicd(0, 0, 3);
    for word in 1..9 {
        machine.set_gicd(0, 0x80 + word * 4, u32::MAX);
        machine.set_gicd(0, 0x100 + word * 4, u32::MAX);
    }
    for vcpu in 0..vcpus {
        machine.set_gicr(vcpu, vcpu, 0x1_0080, u32::MAX);
        machine.set_gicr(vcpu, vcpu, 0x1_0100, u32::MAX);
    }
    machine.settle();
    machine
}
