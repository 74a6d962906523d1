// SPDX-License-Identifier: MIT OR Apache-2.0
//! A machine of two cores, driven one event at a time.

use std::collections::BTreeMap;

use silicon_model::event::{Access, Barrier, Dc, Device, Scope, Tlbi};
use silicon_model::register::Register;
use silicon_model::{At, Config, Event, Gic, Memory, Model, Site, Violation};

/// RAM, 1 GiB. The loader cleaned its first half.
pub const RAM: u64 = 0x4000_0000;
/// A line that every test may use.
pub const DATA: u64 = RAM + 0x1000;
/// A line that the loader may have left dirty.
pub const UNCLEAN: u64 = RAM + 0x3000_0000;
/// A spin table's slot.
pub const RELEASE: u64 = RAM + 0xd8;
/// EL2's root table, and its entry that maps RAM.
pub const ROOT: u64 = RAM + 0x10_0000;
/// The entry's address.
pub const TABLE_ENTRY: u64 = ROOT + 8;
/// A block of 1 GiB at `RAM`, valid, Normal, Write-Back.
pub const VALID_ENTRY: u64 = RAM | 1 << 10 | 1;
/// Stage 2's root.
const STAGE_2: u64 = RAM + 0x10_1000;
/// The interrupt controller.
pub const GICD: u64 = 0x0800_0000;
pub const GICR: u64 = 0x080a_0000;
pub const GICC: u64 = 0x0801_0000;
pub const GICH: u64 = 0x0803_0000;
/// A UART.
pub const UART: u64 = 0x0900_0000;
/// 32 bits of address, walks through the caches; SL0 = 1 for stage 2.
const CONTROL: u64 = 32 | 5 << 8 | 3 << 12 | 1 << 6;

/// PSCI's `CPU_ON`.
pub const CPU_ON: u64 = 0xc400_0003;
pub const ALL: Barrier = Barrier::ALL;
pub const INNER: Barrier = Barrier::INNER;
pub const STORES: Barrier = Barrier::STORES;
pub const LOCAL: Barrier = Barrier::LOCAL;
pub const ALLE2: Event = Event::Tlbi(Tlbi { scope: Scope::El2, broadcast: false });
pub const VMALLS12: Event = Event::Tlbi(Tlbi { scope: Scope::Guest, broadcast: false });
pub const ERET: Event = Event::Eret { synchronizes: true };

/// Cleans and invalidates the line of `DATA`, with DSB.
pub fn clean(machine: &mut Machine, core: usize) {
    machine.does(core, Event::Dc(Dc::Civac, DATA));
    machine.does(core, Event::Dsb(ALL));
}

/// Memory, by words.
pub struct Words(BTreeMap<u64, u64>);

impl Memory for Words {
    fn read(&mut self, pa: u64, words: &mut [u64]) -> bool {
        for (place, word) in (pa..).step_by(8).zip(words) {
            *word = self.0.get(&place).copied().unwrap_or(0);
        }
        true
    }
}

/// The machine.
pub struct Machine {
    pub model: Model,
    memory: Words,
    pc: u64,
}

impl Machine {
    pub fn new() -> Self {
        let mut model = Model::new(Config {
            ram: (RAM, 1 << 30),
            cores: 2,
            release: vec![RELEASE],
            gic: Gic {
                gicd: (GICD, 0x1_0000),
                gicr: (GICR, 0x4_0000),
                gicc: (GICC, 0x2000),
                gich: (GICH, 0x1000),
            },
        });
        model.loaded(RAM, 0x2000_0000);
        let stage_2 = RAM | 0xf << 2 | 1 << 10 | 1;
        let memory = Words(BTreeMap::from([(TABLE_ENTRY, VALID_ENTRY), (STAGE_2 + 8, stage_2)]));
        Self { model, memory, pc: 0x1000 }
    }

    /// Makes `core` do something at EL2, each time at another instruction.
    pub fn does(&mut self, core: usize, event: Event) {
        self.pc += 4;
        let site = self.model.site(Site { pc: self.pc, el: 2, firmware: false });
        self.model.step(&mut self.memory, At { core, site }, event);
    }

    /// The address of the last instruction.
    pub fn last(&self) -> u64 {
        self.pc
    }

    fn access(&mut self, core: usize, pa: u64, store: bool, exclusive: bool) {
        let size = 8;
        self.does(core, Event::Access(Access { pa, size, store, exclusive }));
    }

    /// Reads `pa` by firmware with its caches off.
    pub fn firmware_load(&mut self, core: usize, pa: u64) {
        let (size, store, exclusive) = (8, false, false);
        let access = Access { pa, size, store, exclusive };
        let at = At { core, site: 0 };
        self.model.step(&mut self.memory, at, Event::Access(access));
    }

    /// Waits for an event by firmware.
    pub fn firmware_wait(&mut self, core: usize) {
        self.model.step(&mut self.memory, At { core, site: 0 }, Event::Wfe);
    }

    pub fn load(&mut self, core: usize, pa: u64) {
        self.access(core, pa, false, false);
    }

    pub fn store(&mut self, core: usize, pa: u64) {
        self.access(core, pa, true, false);
    }

    pub fn atomic(&mut self, core: usize, pa: u64) {
        self.access(core, pa, false, true);
    }

    pub fn device(&mut self, core: usize, pa: u64, value: u64, store: bool) {
        self.does(core, Event::Device(Device { pa, value, store }));
    }

    /// Sets the contents of memory.
    pub fn poke(&mut self, pa: u64, word: u64) {
        self.memory.0.insert(pa, word);
    }

    /// Writes EL2's translation registers.
    pub fn translation(&mut self, core: usize) {
        self.does(core, Event::Write(Register::MairEl2, 0xff));
        self.does(core, Event::Write(Register::TcrEl2, CONTROL));
        self.does(core, Event::Write(Register::Ttbr0El2, ROOT));
    }

    /// Writes stage 2's translation registers.
    pub fn stage_2(&mut self, core: usize) {
        self.does(core, Event::Write(Register::VtcrEl2, CONTROL));
        self.does(core, Event::Write(Register::VttbrEl2, STAGE_2 | 1 << 48));
    }

    /// Switches stage 2 on, in the right way.
    pub fn guest(&mut self, core: usize) {
        self.stage_2(core);
        self.does(core, Event::Isb);
        self.does(core, Event::Write(Register::HcrEl2, 1));
        self.does(core, Event::Isb);
        self.does(core, VMALLS12);
        self.does(core, Event::Dsb(LOCAL));
        self.does(core, Event::Isb);
    }

    /// Switches EL2's MMU and caches on, in the right way.
    pub fn caches_on(&mut self, core: usize) {
        self.translation(core);
        self.does(core, Event::Isb);
        let scope = Scope::El2;
        self.does(core, Event::Tlbi(Tlbi { scope, broadcast: false }));
        self.does(core, Event::Dsb(Barrier::LOCAL));
        self.does(core, Event::Isb);
        self.does(core, Event::Write(Register::SctlrEl2, 0x1005));
        self.does(core, Event::Isb);
    }
}

/// A core with its caches on, and one with its caches off.
pub fn two() -> Machine {
    let mut machine = Machine::new();
    machine.caches_on(0);
    machine
}

/// Returns the names of the rules that are broken.
pub fn rules(machine: &Machine) -> Vec<String> {
    let name = |violation: &Violation| violation.rule.clone();
    let mut rules: Vec<_> = machine.model.violations().map(name).collect();
    rules.dedup();
    rules
}
