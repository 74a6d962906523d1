// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rules: the demand of each, its reason, and the section of the architecture.

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// Its name.
    pub id: &'static str,
    /// What it means to break it.
    pub says: &'static str,
    /// The effect on silicon.
    pub why: &'static str,
    /// What is missing.
    pub missing: &'static str,
    /// The section of the architecture that demands it.
    pub section: &'static str,
    /// Whether breaking it may be right: it is reported and does not fail a run.
    pub warns: bool,
}

macro_rules! rules {
    ($(
        $name:ident $id:literal {
            $says:literal
            $why:literal
            missing $missing:literal
            section $section:literal
            $(warns $warns:literal)?
        }
    )*) => {
        $(
            #[doc = $says]
            pub const $name: &Rule = &Rule {
                id: $id, says: $says, why: $why, missing: $missing, section: $section,
                warns: false $(|| $warns)?,
            };
        )*
        /// All rules.
        pub const RULES: &[&Rule] = &[$($name),*];
    };
}

rules! {
    READ_UNDER_DIRTY "read-under-dirty" {
        "A read with caches off of bytes that a cache holds newer."
        "Memory has what was there before: the reader gets old bytes. The loader may have \
            left any line dirty that is outside the image and the device tree."
        missing "DC CVAC or DC CIVAC of the line and DSB, by the writer, after the write"
        section "DDI 0487, B2.7 (Normal memory, Non-cacheable accesses); D7.5 (cache maintenance)"
    }
    WRITE_UNDER_DIRTY "write-under-dirty" {
        "A write with caches off to a line that is dirty in a cache."
        "The cache may evict the old line at any later time, on top of the new bytes."
        missing "DC CIVAC of the line and DSB before the write"
        section "DDI 0487, B2.8 (mismatched memory attributes); D7.5 (cache maintenance)"
    }
    STALE_READ "stale-read" {
        "A read with caches on of bytes that changed in memory while a cache may have held \
            the line."
        "Any line that some core maps cacheable may be fetched into a cache at any time, so \
            the reader may get the old bytes."
        missing "DC IVAC or DC CIVAC of the line and DSB, after the write with caches off"
        section "DDI 0487, B2.8 (mismatched memory attributes); D7.5 (cache maintenance)"
    }
    CLEAN_NOT_COMPLETE "clean-not-complete" {
        "An access with caches off to a line whose clean has no DSB after it."
        "The clean is under way: the access may come before it, and the line's bytes land on \
            what was written, or are read too early."
        missing "DSB between the DC and the access, on the core that issued the DC"
        section "DDI 0487, D7.5 (ordering and completion of cache maintenance)"
    }
    DC_BEFORE_BARRIER "dc-before-barrier" {
        "DC of a line that another core wrote, with no barrier of this core since."
        "A load-acquire that saw the other core's flag does not order DC: only a barrier does. \
            The DC may come before the other core's write, which then stays in its cache."
        missing "DSB or DMB between the load that saw the other core's progress and the DC"
        section "DDI 0487, D7.5 (ordering and completion of cache maintenance); B2.3"
    }
    INVALIDATE_DIRTY "invalidate-dirty" {
        "DC IVAC of a line that is dirty."
        "The invalidation drops bytes that are nowhere else, unless the line was evicted before."
        missing "DC CIVAC instead of DC IVAC"
        section "DDI 0487, D7.5 (cache maintenance)"
    }
    WALK_STALE "walk-stale" {
        "A translation table that its walker may not see as it was written."
        "The walker reads through the caches or past them, as TCR_EL2 and VTCR_EL2 say; bytes \
            that only the other side has are not seen."
        missing "DC CIVAC of the table and DSB before the tables are used"
        section "DDI 0487, D8.2 (translation table walk attributes); D7.5"
    }
    FETCH_NOT_CLEANED "fetch-not-cleaned" {
        "Execution of instructions whose data was written and not cleaned to the point of \
            unification."
        "Instruction caches are filled from there, not from the data cache: old instructions run."
        missing "DC CVAU, CVAC or CIVAC of the line and DSB, before the IC"
        section "DDI 0487, B2.4 (concurrent modification and execution of instructions); D7.5"
    }
    FETCH_NOT_INVALIDATED "fetch-not-invalidated" {
        "Execution of instructions that changed after the core's last instruction cache \
            invalidation."
        "The core's instruction cache may hold what was there before. IC IALLU is for the \
            core that executes it; every core needs a context synchronization event afterwards."
        missing "IC IALLUIS (or IC IALLU on this core), DSB, and an ISB on this core"
        section "DDI 0487, B2.4 (concurrent modification and execution of instructions); D7.5"
    }
    FETCH_STALE "fetch-stale" {
        "Execution of instructions from a line that changed in memory while a unified cache \
            may have held it."
        "With SCTLR_ELx.I set, fetches go through unified caches even when the MMU is off, \
            and so do prefetches of the same and the next page."
        missing "DC CIVAC of the line and DSB, after it was written with caches off"
        section "DDI 0487, D8.2.12 (behavior when stage 1 translation is disabled); D7.5"
    }
    NOT_COMPLETE "maintenance-not-complete" {
        "An exception return, a release of another core or the MMU's start while cache or TLB \
            maintenance has no DSB after it."
        "Maintenance without DSB may take effect at any later time."
        missing "DSB (for reads and writes; ISH or SY after broadcast maintenance) after the DC, \
            IC or TLBI"
        section "DDI 0487, D7.5 (ordering and completion of cache maintenance); D8.17 (TLB \
            maintenance)"
    }
    TLB_UNKNOWN "tlb-unknown" {
        "A translation regime switched on without a complete TLBI since the core was handed over."
        "Reset and firmware leave TLBs in any state: entries of other tables may translate."
        missing "TLBI, DSB and ISB before the regime is on"
        section "DDI 0487, D8.17 (TLB maintenance); D1.4 (reset)"
    }
    TLB_STALE "tlb-stale" {
        "An access or exception return after translation registers changed, without TLBI."
        "Entries of the old tables, the old attributes or an earlier life of the vCPU still \
            translate."
        missing "TLBI, DSB and ISB after the change"
        section "DDI 0487, D8.17 (TLB maintenance requirements)"
    }
    TABLE_CHANGED "table-changed" {
        "A live descriptor changed without break-before-make, or its new value used without TLBI."
        "Two translations of one address may be live at once: TLB conflict aborts, lost \
            coherency or exclusives."
        missing "an invalid descriptor, DSB, TLBI and DSB before the new one"
        section "DDI 0487, D8.17.1 (break-before-make)"
    }
    BEFORE_ISB "register-before-isb" {
        "Use of what a system register decides, before the context synchronization event that \
            follows its write."
        "The write may not have taken effect: the old value is used."
        missing "ISB between the MSR and its use"
        section "DDI 0487, D24.1.2 (synchronization requirements for System registers)"
    }
    STAGE_2_ORDER "stage-2-order" {
        "HCR_EL2.VM set while VTTBR_EL2, VTCR_EL2 or SCTLR_EL1 are not synchronized."
        "A speculative walk of EL1's regime with half of stage 2 set up may stay in the TLB \
            (Cortex-A57 and A72, erratum 1319367 and its siblings)."
        missing "ISB between those MSRs and the one that sets VM"
        section "DDI 0487, D24.1.2; Arm Cortex-A72 software developers errata notice, 1319367"
    }
    SGI_BEFORE_DSB "sgi-before-dsb" {
        "An SGI sent before earlier stores to shared memory are complete."
        "The other core may take the interrupt and read what was there before. A write to a \
            system register is not ordered by DMB."
        missing "DSB ISHST before the MSR; DMB ISHST suffices before a store to GICD_SGIR"
        section "IHI 0069, 4.1 and 12.1 (ordering of System register accesses); DDI 0487, B2.3"
    }
    SEV_BEFORE_DSB "sev-before-dsb" {
        "SEV before earlier stores to shared memory are complete."
        "The waiting core may wake, read what was there before, and wait again for ever."
        missing "DSB ISHST before the SEV"
        section "DDI 0487, D1.6 (Wait for Event mechanism and Send event)"
    }
    RELEASE_BEFORE_DSB "release-before-dsb" {
        "A core released, by PSCI CPU_ON or its spin-table address, before earlier stores are \
            complete."
        "The released core starts with caches off and may run ahead of what it needs."
        missing "DSB before the SMC or the store that releases"
        section "DEN 0022, CPU_ON (caller responsibilities); DDI 0487, B2.3 (Data Synchronization \
            Barrier)"
    }
    LIST_REGISTER_BEFORE_ISB "list-register-before-isb" {
        "ICH_ELRSR_EL2, ICH_EISR_EL2 or ICH_MISR_EL2 read after a list register or \
            ICH_HCR_EL2 was written, without ISB."
        "The status registers follow the others only after a context synchronization event."
        missing "ISB between the MSR and the MRS"
        section "IHI 0069, 12.1 (GIC System registers: synchronization); DDI 0487, D24.1.2"
    }
    ACKNOWLEDGE_BEFORE_DSB "acknowledge-before-dsb" {
        "Another core's memory read after an SGI was acknowledged, without DSB in between."
        "The redistributor may not know of the acknowledgement yet: an SGI sent after this \
            read merges with the one that ends here, and what it announced is never looked at."
        missing "DSB SY after the read of ICC_IAR1_EL1 or GICC_IAR"
        section "IHI 0069, 4.1.1 (physical CPU interface: the effect of an acknowledgement is \
            visible after DSB)"
    }
    GIC_WRITE_BEFORE_DSB "gic-write-before-dsb" {
        "Another core's memory read after the state of interrupts was written to the GIC, without \
            DSB in between."
        "The write may not have reached the distributor: the other core changes the word, finds \
            the interrupt as it was before, and neither core acts on the change."
        missing "DSB SY between the write to GICD or GICR and the read"
        section "DDI 0487, B2.3 (Data Synchronization Barrier; Device memory and Normal memory are \
            not ordered); IHI 0069, 12.1"
    }
    END_BEFORE_SILENT "end-before-silent" {
        "A level-sensitive interrupt ended before the write that silences its source has taken \
            effect."
        "The line is still high when the interrupt is deactivated: it becomes pending once more, \
            with no cause."
        missing "DSB SY after a write to a device, ISB after a write to a system register, before \
            the end of the interrupt"
        section "IHI 0069, 4.1 (level-sensitive interrupts, deactivation); 12.1; DDI 0487, B2.3 \
            and D24.1.2"
    }
    EXCLUSIVE_UNCACHED "exclusive-uncached" {
        "An atomic access by EL2 to memory that is not cacheable."
        "Whether the exclusive monitor covers such memory is IMPLEMENTATION DEFINED: LDXR may \
            fault, and STXR may never succeed."
        missing "caches on, or plain loads and stores"
        section "DDI 0487, B2.12 (synchronization and semaphores)"
    }
    RWP_NOT_AWAITED "rwp-not-awaited" {
        "An interrupt's configuration changed or its state read after GICD_ICENABLER or \
            GICR_ICENABLER0 was written, without RWP read as 0."
        "The interrupt may still be enabled: its route or trigger changes under way, or it \
            becomes pending once more."
        missing "a read of GICD_CTLR.RWP or GICR_CTLR.RWP until it is 0"
        section "IHI 0069, 4.7.3 (effect of disabling interrupts); 12.9 GICD_CTLR.RWP; GICD_ICFGR"
    }
    WFE_WITHOUT_EVENT "wfe-without-event" {
        "A store to the word that another core waits for with WFE, and no event that ends the wait."
        "WFE ends at SEV, at an event stream's tick, or when a location is written that the \
            waiter's exclusive monitor watches. Emulators end it by themselves."
        missing "LDAXR instead of LDAR at the waiter, or DSB and SEV after the store"
        section "DDI 0487, D1.6 (Wait for Event mechanism and Send event)"
        warns true
    }
}

/// Returns the rule of this name.
#[must_use]
pub fn find(id: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.id == id)
}
