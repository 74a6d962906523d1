// SPDX-License-Identifier: MIT OR Apache-2.0
//! Turns an emulator's callbacks on a running machine into events: finds the owner of an
//! instruction, the address of an access, and the start of the image.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::decode::{self, Operation};
use crate::event::{Access, At, Device, Event, Ic, Site, SiteId};
use crate::lines::LINE;
use crate::model::{Config, Memory, Model};
use crate::report::Report;

/// `ARM\x64`, at byte 56 of an arm64 Image (Linux, Documentation/arch/arm64/booting.rst).
const MAGIC: u64 = 0x644d_5241;
/// Instructions listed on each side of a violation.
const AROUND: u32 = 6;
/// Guest pages whose physical address is remembered, per core.
const PAGES: usize = 4096;

/// Queries to the emulator about the core that runs.
pub trait Probe: Memory {
    /// General register `number`; 31 is XZR.
    fn general(&mut self, number: u8) -> u64;
    /// `TPIDR_EL2`.
    fn state(&mut self) -> u64;
}

/// The settings of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Settings {
    /// The machine.
    pub machine: Config,
    /// The range to which the image moves itself: base and size.
    pub image: (u64, u64),
    /// EL2's private region of each core, base and size; size 0 where a core has none.
    pub private: Vec<(u64, u64)>,
    /// Ends the run after this number of blocks of guests.
    pub stop: Option<u64>,
    /// Ends it after this number of blocks of all kinds: the system hangs.
    pub limit: Option<u64>,
    /// Ends it at the first violation that is not a warning.
    pub first: bool,
    /// Offsets of `ERET` instructions in the image that are taken not to synchronize.
    pub unsynchronized: Vec<u32>,
    /// Whether all cores share one thread of the emulator, so that it names the wrong core
    /// (`docs/silicon.md`).
    pub one_thread: bool,
    /// Believes the emulator nevertheless: for the test of that.
    pub believe: bool,
    /// Path of the report.
    pub report: String,
}

/// A block of instructions that the emulator translated together.
#[derive(Debug)]
pub struct Block {
    site: SiteId,
    el: u8,
    pa: Option<u64>,
    size: u64,
    in_image: bool,
    /// The code's epoch, by core, in which the block broke no rule.
    checked: [u32; 16],
}

impl Block {
    /// Whether it is firmware's code, whose execution need not be reported.
    #[must_use]
    pub fn is_firmware(&self) -> bool {
        self.el >= 2 && !self.in_image
    }
}

/// An instruction with an operation that the model knows.
#[derive(Debug)]
pub struct Hook {
    site: SiteId,
    el: u8,
    operation: Operation,
    /// Its offset in the image.
    offset: Option<u32>,
    /// Set if it is worth a mutant or is an `ERET`.
    class: Option<Class>,
}

/// A load or store.
#[derive(Debug)]
pub struct Transfer {
    site: SiteId,
    el: u8,
    exclusive: bool,
}

/// One access of a load or store, as the emulator reports it.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Virtual address.
    pub va: u64,
    /// Physical address.
    pub pa: u64,
    /// Whether it is a device's.
    pub device: bool,
    /// Bytes.
    pub size: u64,
    /// Whether it is a write.
    pub store: bool,
    /// The value that was read or written, up to 8 bytes.
    pub value: u64,
}

/// Instructions that can make each other redundant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Dc,
    Ic,
    Tlbi,
    Dsb,
    Dmb,
    Synchronization,
    Event,
}

/// The observer's state of one core.
#[derive(Default)]
struct Seen {
    el: u8,
    entered: bool,
    /// Pages of the guest's: virtual and physical, by the virtual one's lowest bits.
    pages: Vec<(u64, u64)>,
    /// The last instruction of each class that ran, as an offset.
    latest: BTreeMap<Class, u32>,
}

/// Turns an emulator's reports into events for a [`Model`].
pub struct Observer {
    /// The model.
    pub model: Model,
    settings: Settings,
    loaded: Option<u64>,
    cores: Vec<Seen>,
    report: Report,
    reached: BTreeSet<u32>,
    reached_late: BTreeSet<u32>,
    followed: BTreeSet<(u32, u32)>,
    /// EL2's instructions by offset: word and text.
    code: BTreeMap<u32, (u32, String)>,
}

impl Observer {
    /// Returns an observer of a machine that starts now.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            model: Model::new(settings.machine.clone()),
            settings,
            loaded: None,
            cores: Vec::new(),
            report: Report::default(),
            reached: BTreeSet::new(),
            reached_late: BTreeSet::new(),
            followed: BTreeSet::new(),
            code: BTreeMap::new(),
        }
    }

    /// Returns the offset in the image of the instruction at `pc`, an address of EL2.
    fn offset(&self, pc: u64) -> Option<u32> {
        let (base, size) = self.settings.image;
        let from = |start: u64| pc.checked_sub(start).filter(|&offset| offset < size);
        let offset = from(base).or_else(|| from(self.loaded?))?;
        u32::try_from(offset).ok()
    }

    fn site(&mut self, pc: u64, el: u8) -> SiteId {
        let firmware = el >= 2 && self.offset(pc).is_none();
        self.model.site(Site { pc, el, firmware })
    }

    fn seen(&mut self, core: usize) -> &mut Seen {
        if self.cores.len() <= core {
            self.cores.resize_with(core + 1, || Seen {
                el: 3,
                pages: vec![(u64::MAX, 0); PAGES],
                ..Seen::default()
            });
        }
        &mut self.cores[core]
    }

    /// Handles the translation of a block: `pa` is its physical address, if it is in RAM.
    pub fn block(
        &mut self,
        probe: &mut dyn Probe,
        el: u8,
        pc: u64,
        pa: Option<u64>,
        size: u64,
    ) -> Block {
        if self.loaded.is_none() && el == 2 && pc.is_multiple_of(4096) {
            let mut words = [0];
            if probe.read(pc + 56, &mut words) && words[0] & 0xffff_ffff == MAGIC {
                self.start(probe, pc);
            }
        }
        Block {
            site: self.site(pc, el),
            el,
            pa,
            size,
            in_image: el == 2 && self.offset(pc).is_some(),
            checked: [0; 16],
        }
    }

    /// Handles the start of the image, at `pc`.
    fn start(&mut self, probe: &mut dyn Probe, pc: u64) {
        self.loaded = Some(pc);
        self.report.loaded = Some(pc);
        self.model.loaded(pc, self.settings.image.1);
        let tree = probe.general(0);
        let mut words = [0];
        if probe.read(tree, &mut words) {
            let size = u32::from_be((words[0] >> 32) as u32);
            self.model.loaded(tree, size.into());
        }
    }

    /// Returns the callbacks that the instruction `word` at `pc` needs.
    pub fn instruction(&mut self, el: u8, pc: u64, word: u32) -> (Option<Hook>, Option<Transfer>) {
        let hook = decode::decode(word).map(|operation| Hook {
            site: self.site(pc, el),
            el,
            operation,
            offset: if el == 2 { self.offset(pc) } else { None },
            class: class(operation),
        });
        let transfer = decode::accesses_memory(word).then(|| Transfer {
            site: self.site(pc, el),
            el,
            exclusive: decode::is_exclusive(word),
        });
        (hook, transfer)
    }

    /// Keeps the text of an instruction if it will be listed; `text` makes it.
    pub fn list(&mut self, el: u8, pc: u64, word: u32, text: impl FnOnce() -> String) {
        if el == 2
            && let Some(offset) = self.offset(pc)
        {
            self.code.entry(offset).or_insert_with(|| (word, text()));
        }
    }

    /// Handles the start of a block. Returns whether the run goes on.
    pub fn on_block(&mut self, probe: &mut dyn Probe, core: usize, block: &mut Block) -> bool {
        self.model.next_block();
        self.report.blocks += 1;
        let at = At { core, site: block.site };
        let seen = self.seen(core);
        let before = std::mem::replace(&mut seen.el, block.el);
        if block.in_image && !seen.entered {
            seen.entered = true;
            self.model.step(probe, at, Event::Enter);
        }
        if block.el == 2 && before < 2 {
            self.model.step(probe, at, Event::Exception);
        }
        if block.el < 2 {
            self.report.guest_blocks += 1;
        }
        let epoch = self.model.code_epoch();
        if let Some(pa) = block.pa
            && self.loaded.is_some()
            && block.checked[core & 15] != epoch
            && self.model.fetch(at, pa, block.size)
        {
            block.checked[core & 15] = epoch;
        }
        let stop = self.settings.stop.is_some_and(|stop| self.report.guest_blocks > stop);
        self.report.stopped |= stop;
        let hangs = self.settings.limit.is_some_and(|limit| self.report.blocks > limit);
        self.report.hangs |= hangs;
        let failed = self.settings.first && self.model.failed();
        !(stop || hangs || failed)
    }

    /// Handles an instruction that is about to run.
    pub fn on_instruction(&mut self, probe: &mut dyn Probe, core: usize, hook: &Hook) {
        if self.loaded.is_none() {
            return;
        }
        self.cover(core, hook);
        let at = At { core, site: hook.site };
        let event = match hook.operation {
            Operation::Dc(dc, register) => match self.place(probe, core, hook.el, register) {
                Some(pa) => Event::Dc(dc, pa),
                None => return,
            },
            Operation::Zva(register) => {
                if let Some(pa) = self.place(probe, core, hook.el, register) {
                    self.report.accesses += 1;
                    self.model.step(
                        probe,
                        at,
                        Event::Access(Access {
                            pa: pa & !(LINE - 1),
                            size: LINE,
                            store: true,
                            exclusive: false,
                        }),
                    );
                }
                return;
            }
            Operation::Ic(Ic::Ivau, register) => match self.place(probe, core, hook.el, register) {
                Some(pa) => Event::Ic(Ic::Ivau, pa),
                None => return,
            },
            Operation::Ic(ic, _) => Event::Ic(ic, 0),
            Operation::SetWay => return,
            Operation::Tlbi(tlbi) => {
                if hook.el < 2 {
                    self.seen(core).pages.fill((u64::MAX, 0));
                }
                Event::Tlbi(tlbi)
            }
            Operation::Dsb(barrier) => Event::Dsb(barrier),
            Operation::Dmb(barrier) => Event::Dmb(barrier),
            Operation::Isb => Event::Isb,
            Operation::Eret => {
                self.identify(probe, core, hook);
                let ignored =
                    hook.offset.is_some_and(|at| self.settings.unsynchronized.contains(&at));
                Event::Eret { synchronizes: !ignored }
            }
            Operation::Smc => Event::Smc(probe.general(0)),
            Operation::Sev => Event::Sev,
            Operation::Wfe => Event::Wfe,
            Operation::Wfi => Event::Wfi,
            Operation::Write(register, from) => Event::Write(register, probe.general(from)),
            Operation::Read(register) => Event::Read(register),
        };
        self.model.step(probe, at, event);
    }

    /// Records that an instruction of EL2 ran, and which of its kind ran before it.
    fn cover(&mut self, core: usize, hook: &Hook) {
        let (Some(offset), Some(class)) = (hook.offset, hook.class) else {
            return;
        };
        if hook.operation != Operation::Eret {
            self.reached.insert(offset);
            if self.report.guest_blocks != 0 {
                self.reached_late.insert(offset);
            }
        }
        let latest = self.seen(core).latest.insert(class, offset);
        if let Some(latest) = latest {
            self.followed.insert((latest, offset));
        }
    }

    /// Compares the core that events are attributed to with the one that runs: `TPIDR_EL2` points
    /// to the core's own memory.
    fn identify(&mut self, probe: &mut dyn Probe, core: usize, hook: &Hook) {
        if hook.el != 2 {
            return;
        }
        let state = probe.state();
        let own = self.settings.private.get(core).copied().unwrap_or_default();
        // It is zero until the core has its memory.
        match state {
            0 => {}
            _ if state.wrapping_sub(own.0) < own.1 => self.report.identified += 1,
            _ => self.report.mistaken += 1,
        }
    }

    /// Returns the physical address in a register.
    fn place(&mut self, probe: &mut dyn Probe, core: usize, el: u8, register: u8) -> Option<u64> {
        let va = probe.general(register);
        // EL2 runs with VA = PA.
        if el == 2 {
            return Some(va);
        }
        if !self.model.guest_translates(core) {
            return self.model.stage_2(core, va);
        }
        let page = self.seen(core).pages[(va >> 12) as usize % PAGES];
        if page.0 != va >> 12 {
            self.report.unplaced += 1;
            return None;
        }
        Some(page.1 << 12 | va & 4095)
    }

    /// Handles a load or store that ran.
    pub fn on_access(
        &mut self,
        probe: &mut dyn Probe,
        core: usize,
        transfer: &Transfer,
        told: Told,
    ) {
        if self.loaded.is_none() {
            return;
        }
        let at = At { core, site: transfer.site };
        let Told { va, pa, device, size, store, value } = told;
        if device {
            if transfer.el == 2 {
                self.model.step(probe, at, Event::Device(Device { pa, value, store }));
            }
            return;
        }
        self.report.accesses += 1;
        if transfer.el < 2 {
            self.seen(core).pages[(va >> 12) as usize % PAGES] = (va >> 12, pa >> 12);
        }
        // An access that crosses a line is one event per line.
        let (mut pa, mut left) = (pa, size);
        while left > 0 {
            let size = left.min(LINE - pa % LINE);
            let access = Access { pa, size, store, exclusive: transfer.exclusive };
            self.model.step(probe, at, Event::Access(access));
            pa += size;
            left -= size;
        }
    }

    /// Returns the results.
    #[must_use]
    pub fn report(&self) -> Report {
        let violations: Vec<_> = self.model.violations().cloned().collect();
        let mut code = BTreeMap::new();
        for violation in &violations {
            let places = std::iter::once(violation.place).chain(violation.cause);
            for place in places.filter(|place| place.el == 2) {
                if let Some(offset) = self.offset(place.pc) {
                    let around = offset.saturating_sub(4 * AROUND)..=offset + 4 * AROUND;
                    code.extend(self.code.range(around));
                }
            }
        }
        let listed =
            |(&offset, (word, text)): (&u32, &(u32, String))| (offset, *word, text.clone());
        Report {
            violations,
            reached: self.reached.iter().copied().collect(),
            reached_late: self.reached_late.iter().copied().collect(),
            followed: self.followed.iter().copied().collect(),
            code: code.into_iter().map(listed).collect(),
            ..self.report.clone()
        }
    }
}

fn class(operation: Operation) -> Option<Class> {
    Some(match operation {
        Operation::Dc(..) => Class::Dc,
        Operation::Ic(..) => Class::Ic,
        Operation::Tlbi(_) => Class::Tlbi,
        Operation::Dsb(_) => Class::Dsb,
        Operation::Dmb(_) => Class::Dmb,
        Operation::Isb | Operation::Eret => Class::Synchronization,
        Operation::Sev | Operation::Wfe | Operation::Wfi => Class::Event,
        _ => return None,
    })
}
