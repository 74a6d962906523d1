// SPDX-License-Identifier: MIT OR Apache-2.0
//! The model's state, and the handling of each event.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::core::Core;
use crate::event::{At, Event, Site, SiteId};
use crate::lines::{self, Line, Lines, Mappings, Ranges};
use crate::live_tables::Tables;
use crate::report::{Place, Violation};
use crate::rules::Rule;

/// Physical memory, as table walkers read it.
pub trait Memory {
    /// Reads whole words at `pa`; false if it cannot.
    fn read(&mut self, pa: u64, words: &mut [u64]) -> bool;
}

/// Facts about a machine before it runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Config {
    /// RAM: base and size.
    pub ram: (u64, u64),
    /// Cores that the plan starts.
    pub cores: usize,
    /// Spin-table release addresses.
    pub release: Vec<u64>,
    /// The interrupt controller.
    pub gic: Gic,
}

/// The interrupt controller's parts, each with base and size; size 0 for a part that it does not
/// have.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Gic {
    /// Distributor.
    pub gicd: (u64, u64),
    /// Redistributors.
    pub gicr: (u64, u64),
    /// CPU interface.
    pub gicc: (u64, u64),
    /// Virtual interface control (GICv2).
    pub gich: (u64, u64),
}

/// The model.
pub struct Model {
    pub(crate) config: Config,
    pub(crate) lines: Lines,
    pub(crate) cores: Vec<Core>,
    pub(crate) mappings: Mappings,
    pub(crate) tables: Tables,
    /// Ranges that are clean when the image starts: the image and the device tree.
    clean: Vec<(u64, u64)>,
    /// Everything: firmware's cores may cache any line until the plan's last core is handed over.
    everything: Ranges,
    /// Counts every event that is not an access.
    pub(crate) now: u32,
    /// Blocks that all cores started.
    pub(crate) block: u32,
    /// Changes when a line is written that was executed before.
    pub(crate) code_epoch: u32,
    /// Issue time of the last complete broadcast instruction cache invalidation.
    pub(crate) ic_everywhere: u32,
    /// Changes when lines are invalidated.
    pub(crate) invalidations: u32,
    /// Lines stored before an SGI or SEV with no barrier: wrong if another core reads them.
    pub(crate) exposed: BTreeMap<u64, (At, &'static Rule)>,
    /// ICENABLER writes with no RWP read as 0 since: by frame, words and writer.
    pub(crate) disabling: BTreeMap<u64, (u32, At)>,
    /// Enabled interrupts, by the address of their ICENABLER.
    pub(crate) enabled: BTreeMap<u64, u32>,
    /// Every group is disabled in the distributor.
    pub(crate) groups_off: bool,
    sites: Vec<Site>,
    site_ids: HashMap<Site, SiteId>,
    found: BTreeMap<(&'static str, u64, SiteId), Violation>,
    /// Some violation is not a warning.
    failed: bool,
}

impl Model {
    /// The model of a machine that starts now.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let everything: Ranges = Arc::new([(0, u64::MAX)]);
        let mut mappings = Mappings::default();
        mappings.start(&everything);
        let mut model = Self {
            lines: Lines::new(config.ram.0, config.ram.1),
            cores: Vec::new(),
            mappings,
            tables: Tables::default(),
            clean: Vec::new(),
            everything,
            now: 1,
            block: 0,
            code_epoch: 1,
            ic_everywhere: 0,
            invalidations: 0,
            exposed: BTreeMap::new(),
            disabling: BTreeMap::new(),
            enabled: BTreeMap::new(),
            groups_off: false,
            sites: Vec::new(),
            site_ids: HashMap::new(),
            found: BTreeMap::new(),
            failed: false,
            config,
        };
        // Site 0: the code that ran before the image.
        model.site(Site { pc: 0, el: 3, firmware: true });
        model
    }

    /// Records that the loader cleaned these bytes: the image, the device tree. It may have left
    /// anything else dirty in a cache.
    pub fn loaded(&mut self, base: u64, size: u64) {
        self.clean.push((base, size));
    }

    /// Returns the index of an instruction.
    pub fn site(&mut self, site: Site) -> SiteId {
        let next = self.sites.len() as SiteId;
        *self.site_ids.entry(site).or_insert_with(|| {
            self.sites.push(site);
            next
        })
    }

    /// Returns the instruction with this index.
    #[must_use]
    pub fn site_of(&self, id: SiteId) -> Site {
        self.sites[id as usize]
    }

    /// The core with this number.
    pub(crate) fn core(&mut self, core: usize) -> &mut Core {
        if self.cores.len() <= core {
            self.cores.resize_with(core + 1, Core::default);
        }
        &mut self.cores[core]
    }

    /// Every violation so far.
    pub fn violations(&self) -> impl Iterator<Item = &Violation> {
        self.found.values()
    }

    /// Whether a rule is broken that is not a warning.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// The physical address of a guest's `ipa` on this core.
    pub fn stage_2(&mut self, core: usize, ipa: u64) -> Option<u64> {
        self.core(core).translate(ipa)
    }

    /// Whether the guest's MMU is on.
    pub fn guest_translates(&mut self, core: usize) -> bool {
        self.core(core).sctlr_el1 & crate::core::SCTLR_M != 0
    }

    /// A number that changes when code that passed [`Model::fetch`] must be checked again.
    #[must_use]
    pub fn code_epoch(&self) -> u32 {
        self.code_epoch
    }

    /// Counts one more block.
    pub fn next_block(&mut self) {
        self.block = self.block.wrapping_add(1);
    }

    /// Takes one event.
    pub fn step(&mut self, memory: &mut dyn Memory, at: At, event: Event) {
        self.core(at.core);
        match event {
            Event::Access(access) => return self.access(memory, at, access),
            Event::Fetch(pa, size) => {
                self.fetch(at, pa, size);
                return;
            }
            _ => self.now += 1,
        }
        let el2 = self.site_of(at.site).el == 2;
        match event {
            Event::Enter => self.enter(at),
            Event::Exception | Event::Isb => self.synchronize(at),
            Event::Dc(dc, pa) => self.maintain(at, dc, pa, el2),
            Event::Ic(ic, pa) => self.invalidate_instructions(at, ic, pa),
            Event::Tlbi(tlbi) => self.invalidate_tlb(at, tlbi, el2),
            Event::Dsb(barrier) => self.dsb(at, barrier),
            Event::Dmb(barrier) => self.dmb(at, barrier),
            Event::Eret { synchronizes } if el2 => self.exception_return(at, synchronizes),
            Event::Eret { .. } => self.synchronize(at),
            Event::Smc(function) if el2 => self.firmware_call(at, function),
            Event::Sev if el2 => self.send_event(at),
            // Firmware waits for a core's release.
            Event::Wfe if self.site_of(at.site).el >= 2 => self.wait_for_event(at),
            Event::Wfi if el2 => self.wait_for_interrupt(at),
            Event::Write(register, value) => self.write_register(memory, at, register, value, el2),
            Event::Read(register) if el2 => self.read_register(at, register),
            Event::Device(device) if el2 => self.device(at, device),
            Event::Smc(_) | Event::Sev | Event::Wfe | Event::Wfi | Event::Read(_) => {}
            Event::Device(_) | Event::Access(_) | Event::Fetch(..) => {}
        }
    }

    /// Handles firmware's hand-over of a core: its return to the image is a context synchronization
    /// event.
    fn enter(&mut self, at: At) {
        self.synchronize(at);
        self.core(at.core).entered = true;
        let entered = self.cores.iter().filter(|core| core.entered).count();
        if entered >= self.config.cores {
            self.mappings.end(&self.everything, self.now);
        }
    }

    /// Returns the present state of the line of `pa`; the first call decides what firmware may have
    /// left in it.
    pub(crate) fn line(&mut self, pa: u64) -> Option<&mut Line> {
        let line = self.lines.line(pa)?;
        if line.flags & lines::SEEN == 0 {
            line.flags |= lines::SEEN;
            if !lines::within(&self.clean, pa) {
                line.flags |= lines::FIRMWARE;
                line.dirty = !0;
            }
        }
        Some(line)
    }

    /// Whether a cache may hold a copy of the line.
    pub(crate) fn may_be_cached(&self, pa: u64, line: &Line) -> bool {
        line.invalidated == 0
            || line.cached >= line.invalidated
            || self.mappings.covered(pa, line.invalidated)
    }

    fn place(&self, at: At, block: u32) -> Place {
        let site = self.site_of(at.site);
        Place { core: at.core, el: site.el, pc: site.pc, block, firmware: site.firmware }
    }

    /// Reports that `rule` is broken at `at`. `cause` is the instruction that caused it, and its
    /// block.
    pub(crate) fn broke(
        &mut self,
        rule: &'static Rule,
        at: At,
        address: Option<u64>,
        cause: Option<(At, u32)>,
        detail: impl FnOnce() -> String,
    ) {
        let key = u64::from(at.site);
        self.broke_once(rule, key, at, address, cause, detail);
    }

    /// Reports like `broke`, but places with one `key` count as one.
    pub(crate) fn broke_once(
        &mut self,
        rule: &'static Rule,
        key: u64,
        at: At,
        address: Option<u64>,
        cause: Option<(At, u32)>,
        detail: impl FnOnce() -> String,
    ) {
        let key = (rule.id, key, cause.map_or(0, |(cause, _)| cause.site));
        if let Some(known) = self.found.get_mut(&key) {
            known.count += 1;
            return;
        }
        let violation = Violation {
            rule: rule.id.to_string(),
            place: self.place(at, self.block),
            address,
            cause: cause.map(|(cause, block)| self.place(cause, block)),
            detail: detail(),
            count: 1,
        };
        self.failed |= !rule.warns && !violation.is_guests();
        self.found.insert(key, violation);
    }
}
