// SPDX-License-Identifier: MIT OR Apache-2.0
//! System registers: the effects of a write, and the operations that must not rely on it before a
//! context synchronization event.

use std::sync::Arc;

use crate::core::{HCR_VM, SCTLR_C, SCTLR_M, Tlb};
use crate::event::{At, Scope, Tlbi};
use crate::lines::Ranges;
use crate::model::{Memory, Model};
use crate::register::Register;
use crate::rules::{
    BEFORE_ISB, LIST_REGISTER_BEFORE_ISB, NOT_COMPLETE, Rule, SGI_BEFORE_DSB, STAGE_2_ORDER,
    TLB_UNKNOWN,
};

/// `CNTHCTL_EL2`: the event stream is on.
const EVNTEN: u64 = 1 << 2;

impl Model {
    /// Handles the use of these registers by `what`.
    pub(crate) fn use_registers(&mut self, at: At, registers: &[Register], what: &str) {
        self.require_synced(BEFORE_ISB, at, registers, what);
    }

    fn require_synced(&mut self, rule: &'static Rule, at: At, registers: &[Register], what: &str) {
        if !self.core(at.core).any_unsynced {
            return;
        }
        let block = self.block;
        for &register in registers {
            if let Some(site) = self.core(at.core).unsynced[register as usize] {
                let cause = At { core: at.core, site };
                self.broke(rule, at, None, Some((cause, block)), || {
                    format!("{} was written, and no ISB came before {what}", register.name())
                });
            }
        }
    }

    /// Handles `MSR`.
    pub(crate) fn write_register(
        &mut self,
        memory: &mut dyn Memory,
        at: At,
        register: Register,
        value: u64,
        el2: bool,
    ) {
        if register == Register::SctlrEl1 {
            return self.write_sctlr_el1(at, value, el2);
        }
        if !el2 {
            return;
        }
        match register {
            Register::SctlrEl2 => self.write_sctlr_el2(memory, at, value),
            Register::HcrEl2 => self.write_hcr(memory, at, value),
            Register::Ttbr0El2 | Register::TcrEl2 | Register::MairEl2 => {
                self.write_translation(memory, at, register, value);
            }
            Register::VttbrEl2 | Register::VtcrEl2 => {
                let core = self.core(at.core);
                let slot =
                    if register == Register::VttbrEl2 { &mut core.vttbr } else { &mut core.vtcr };
                *slot = value;
                core.guest_tlb = Tlb::Unknown;
                core.wrote(register, at.site);
                if core.hcr & HCR_VM != 0 {
                    self.walk_stage_2(memory, at);
                }
            }
            Register::IccSgi1r => {
                self.require_synced(
                    BEFORE_ISB,
                    at,
                    &[Register::IccSreEl2],
                    "a GIC register is used",
                );
                self.publish(at, SGI_BEFORE_DSB, false);
                self.core(at.core).wrote(register, at.site);
            }
            Register::MdscrEl1 => {
                self.use_registers(at, &[Register::OslarEl1], "MDSCR_EL1 is written");
            }
            Register::Fpcr => self.use_registers(at, &[Register::CptrEl2], "FP is used"),
            Register::CnthctlEl2 => self.core(at.core).events = value & EVNTEN != 0,
            Register::IccEoir1 | Register::IccDir => self.end_interrupt(at, value),
            Register::Pmxevtyper | Register::Pmxevcntr => {
                self.use_registers(at, &[Register::Pmselr], "the selected counter is used");
            }
            Register::IchLr | Register::IchHcr | Register::OtherIcc => {
                self.use_registers(at, &[Register::IccSreEl2], "a GIC register is used");
                self.core(at.core).wrote(register, at.site);
            }
            _ => self.core(at.core).wrote(register, at.site),
        }
    }

    /// Handles an `MRS` of EL2.
    pub(crate) fn read_register(&mut self, at: At, register: Register) {
        match register {
            Register::IchElrsr | Register::IchEisr => {
                let what = "the status of list registers is read";
                self.require_synced(LIST_REGISTER_BEFORE_ISB, at, &[Register::IchLr], what);
            }
            Register::IchMisr => {
                let written = [Register::IchLr, Register::IchHcr];
                self.require_synced(LIST_REGISTER_BEFORE_ISB, at, &written, "ICH_MISR_EL2 is read");
            }
            Register::IccIar1 => self.acknowledge(at),
            Register::Pmxevtyper | Register::Pmxevcntr => {
                self.use_registers(at, &[Register::Pmselr], "the selected counter is used");
            }
            _ => {}
        }
        let of_gic = matches!(
            register,
            Register::IchElrsr
                | Register::IchEisr
                | Register::IchMisr
                | Register::IchHcr
                | Register::IchLr
                | Register::IccIar1
                | Register::OtherIcc
        );
        if of_gic {
            self.use_registers(at, &[Register::IccSreEl2], "a GIC register is used");
        }
    }

    fn write_sctlr_el1(&mut self, at: At, value: u64, el2: bool) {
        let core = self.core(at.core);
        let old = std::mem::replace(&mut core.sctlr_el1, value);
        if el2 {
            // A vCPU starts again: translations of its earlier run must be gone.
            if old & SCTLR_M != 0 && value & SCTLR_M == 0 {
                core.guest_tlb = Tlb::Unknown;
            }
            core.wrote(Register::SctlrEl1, at.site);
        }
        self.guest_caches(at.core);
    }

    /// Brings the guest's cacheable mapping in line with its registers.
    pub(crate) fn guest_caches(&mut self, core: usize) {
        let now = self.now;
        let core = &mut self.cores[core];
        let on = SCTLR_M | SCTLR_C;
        let cached = core.hcr & HCR_VM != 0 && core.sctlr_el1 & on == on;
        match (core.guest_cached, cached) {
            (false, true) => self.mappings.start(&core.guest_ranges),
            (true, false) => self.mappings.end(&core.guest_ranges, now),
            _ => {}
        }
        core.guest_cached = cached;
    }

    fn write_sctlr_el2(&mut self, memory: &mut dyn Memory, at: At, value: u64) {
        let core = self.core(at.core);
        let old = std::mem::replace(&mut core.sctlr_el2, value);
        if old == value {
            return;
        }
        let (tlb, issued) = (core.el2_tlb, core.ic_issued);
        if value & SCTLR_M != 0 && old & SCTLR_M == 0 {
            let translation = [Register::Ttbr0El2, Register::TcrEl2, Register::MairEl2];
            self.use_registers(at, &translation, "the MMU goes on");
            let missing = match tlb {
                Tlb::Unknown => Some("no TLBI ALLE2 came before the MMU goes on"),
                Tlb::Issued { .. } => Some("TLBI ALLE2 has no DSB after it before the MMU goes on"),
                Tlb::Done => {
                    Some("TLBI ALLE2 and DSB have no ISB after them before the MMU goes on")
                }
                Tlb::Clean => None,
            };
            if let Some(missing) = missing {
                self.broke(TLB_UNKNOWN, at, None, None, || missing.to_string());
            }
            if let Some((_, _, site)) = issued {
                let cause = At { core: at.core, site };
                let block = self.block;
                self.broke(NOT_COMPLETE, at, None, Some((cause, block)), || {
                    "IC was issued, and no DSB came before the MMU goes on".to_string()
                });
            }
            self.walk_el2(memory, at);
        }
        self.core(at.core).wrote(Register::SctlrEl2, at.site);
        self.el2_caches(at.core);
    }

    fn write_translation(
        &mut self,
        memory: &mut dyn Memory,
        at: At,
        register: Register,
        value: u64,
    ) {
        let core = self.core(at.core);
        let slot = match register {
            Register::Ttbr0El2 => &mut core.ttbr,
            Register::TcrEl2 => &mut core.tcr,
            _ => &mut core.mair,
        };
        *slot = value;
        core.wrote(register, at.site);
        core.el2_tlb = Tlb::Unknown;
        core.el2_changed = core.el2_translates();
        if core.el2_translates() {
            self.leave_el2_ranges(at.core);
            self.walk_el2(memory, at);
        }
    }

    /// Records the ranges that the TLB may still map until it is invalidated.
    fn leave_el2_ranges(&mut self, core: usize) {
        let core = self.core(core);
        let left = std::mem::replace(&mut core.el2_ranges, Arc::new([]));
        core.el2_leaving.push(left);
    }

    /// Brings EL2's cacheable mappings in line with its registers.
    pub(crate) fn el2_caches(&mut self, core: usize) {
        let now = self.now;
        let core = &mut self.cores[core];
        let mut wanted = Vec::new();
        if core.el2_cached() {
            wanted.clone_from(&core.el2_leaving);
            wanted.push(Arc::clone(&core.el2_ranges));
        }
        let has = |list: &[Ranges], one: &Ranges| list.iter().any(|other| Arc::ptr_eq(other, one));
        for gone in core.el2_open.iter().filter(|&open| !has(&wanted, open)) {
            self.mappings.end(gone, now);
        }
        for new in wanted.iter().filter(|&new| !has(&core.el2_open, new)) {
            self.mappings.start(new);
        }
        core.el2_open = wanted;
    }

    fn write_hcr(&mut self, memory: &mut dyn Memory, at: At, value: u64) {
        let old = std::mem::replace(&mut self.core(at.core).hcr, value);
        if old == value {
            return;
        }
        if old & HCR_VM == 0 && value & HCR_VM != 0 {
            let stage_2 = [Register::VttbrEl2, Register::VtcrEl2, Register::SctlrEl1];
            self.require_synced(STAGE_2_ORDER, at, &stage_2, "HCR_EL2.VM is set");
            self.walk_stage_2(memory, at);
        }
        self.core(at.core).wrote(Register::HcrEl2, at.site);
        self.guest_caches(at.core);
    }

    /// Handles `TLBI`.
    pub(crate) fn invalidate_tlb(&mut self, at: At, tlbi: Tlbi, el2: bool) {
        self.table_tlbi(at, tlbi);
        if !el2 {
            return;
        }
        let issued = Tlb::Issued { broadcast: tlbi.broadcast };
        match tlbi.scope {
            Scope::El2 => {
                if self.core(at.core).el2_translates() {
                    let used = [Register::Ttbr0El2, Register::TcrEl2, Register::MairEl2];
                    self.use_registers(at, &used, "TLBI");
                }
                self.core(at.core).el2_tlb = issued;
            }
            Scope::Guest => {
                let used = [Register::VttbrEl2, Register::HcrEl2, Register::VtcrEl2];
                self.use_registers(at, &used, "TLBI of the VMID");
                self.core(at.core).guest_tlb = issued;
            }
            Scope::Part => return,
        }
        self.core(at.core).tlbi = at.site;
    }

    /// Handles a DSB, which completes this core's TLB maintenance; a `local` one completes only
    /// what affects only this core.
    pub(crate) fn complete_tlbi(&mut self, core: usize, local: bool) {
        let complete = |tlb: Tlb| matches!(tlb, Tlb::Issued { broadcast } if !(broadcast && local));
        if complete(self.core(core).el2_tlb) {
            self.core(core).el2_tlb = Tlb::Done;
            self.core(core).el2_leaving.clear();
            self.el2_caches(core);
        }
        if complete(self.core(core).guest_tlb) {
            self.core(core).guest_tlb = Tlb::Done;
        }
        self.table_complete(core, local);
    }
}
