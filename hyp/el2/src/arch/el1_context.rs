//! A guest's EL1 context: the trap registers that its plan row names, the EL1 state that a vCPU
//! starts with, and exceptions taken to EL1 on its behalf.
//!
//! The plan's report (`cargo xtask report`) prints the trap registers' values and says what each
//! bit is for.

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::*;

use plan::Ipa;

use super::{cache, registers, timer};

/// `SCTLR_EL1` at a start: only RES1 bits, so MMU and caches are off (DDI 0487, `SCTLR_EL1`).
const SCTLR_EL1_START: u64 = 0x30d0_0800;
/// `SPSR_EL2` at a start: EL1h with D, A, I, F masked (DEN 0022, 6.4.3).
const SPSR_START: u64 = 0x3c5;

/// Returns the address whose translation by stage 2 failed.
#[inline(always)]
pub fn fault_ipa() -> Ipa {
    Ipa(trap::fault_ipa(HPFAR_EL2.get(), FAR_EL2.get()))
}

/// Loads the trap and translation registers of this core's `row`, which do not change while the
/// core runs.
pub fn init(row: &plan::Core) {
    VTCR_EL2.set(row.vtcr);
    VTTBR_EL2.set(row.vttbr);
    CPTR_EL2.set(row.cptr);
    MDCR_EL2.set(row.mdcr | count_work());
    registers::set_hstr(row.hstr);
    CNTHCTL_EL2.set(row.cnthctl);
    CNTVOFF_EL2.set(row.cntvoff);
    registers::set_vpidr(MIDR_EL1.get());
    VMPIDR_EL2.set(row.vmpidr);
    // Erratum 1319367 (Cortex-A72, A57): a walk of EL1's regime with stage 2 half set up may stay
    // in the TLB. Stage 2 is complete, and EL1's MMU off, before HCR_EL2.VM lets any walk happen;
    // `set_entry` drops earlier TLB entries.
    SCTLR_EL1.set(SCTLR_EL1_START);
    barrier::isb(barrier::SY);
    HCR_EL2.set(row.hcr);
    barrier::isb(barrier::SY);
    timer::arm(timer::NEVER);
}

/// Makes the PMU's highest event counter EL2's own, if there is one to spare, and counts
/// instructions there. Returns `MDCR_EL2.HPMN`, the number of the counters below it.
fn count_work() -> u64 {
    /// Event INST_RETIRED only at EL2: P, U and NSH (DDI 0487, `PMEVTYPER<n>_EL0`).
    const INSTRUCTIONS_AT_EL2: u64 = 0xc800_0008;
    let counter = match ID_AA64DFR0_EL1.get() >> 8 & 0xf {
        0 | 0xf => 0,
        _ => (registers::pmcr() >> 11 & 0x1f).saturating_sub(1),
    };
    if counter != 0 {
        registers::set_pmselr(counter);
        barrier::isb(barrier::SY);
        registers::set_pmxevtyper(INSTRUCTIONS_AT_EL2);
        registers::set_pmxevcntr(0);
        registers::set_pmcntenset(1 << counter);
    }
    counter
}

/// Sets the EL1 and EL0 registers as a core has them out of reset.
pub fn reset() {
    SCTLR_EL1.set(SCTLR_EL1_START);
    macro_rules! clear {
        ($($register:ident)*) => { $($register.set(0);)* };
    }
    clear!(CPACR_EL1 TTBR0_EL1 TTBR1_EL1 TCR_EL1 MAIR_EL1 AMAIR_EL1 VBAR_EL1 CONTEXTIDR_EL1);
    clear!(TPIDR_EL0 TPIDRRO_EL0 TPIDR_EL1 SP_EL0 SP_EL1 ELR_EL1 SPSR_EL1 ESR_EL1 FAR_EL1);
    clear!(PAR_EL1 AFSR0_EL1 AFSR1_EL1 CSSELR_EL1 CNTKCTL_EL1 CNTV_CTL_EL0 CNTP_CTL_EL0 MDSCR_EL1);
}

/// Switches the guest's timers off, until it or its next start sets them.
pub fn stop_timers() {
    CNTV_CTL_EL0.set(0);
    CNTP_CTL_EL0.set(0);
    barrier::isb(barrier::SY);
}

/// Makes the next exception return go to `entry` at EL1h with D, A, I and F masked, and drops this
/// core's TLB entries of the guest: it starts with its MMU off and must not use translations from
/// before.
pub fn set_entry(entry: u64) {
    ELR_EL2.set(entry);
    SPSR_EL2.set(SPSR_START);
    cache::invalidate_guest_tlb();
}

/// Makes the next exception return go to `entry` at EL2, with everything masked. Returns `ELR_EL2`
/// and `SPSR_EL2` of the guest.
pub fn divert(entry: u64) -> [u64; 2] {
    /// EL2h with D, A, I and F masked.
    const EL2: u64 = 0x3c9;
    let guest = [ELR_EL2.get(), SPSR_EL2.get()];
    ELR_EL2.set(entry);
    SPSR_EL2.set(EL2);
    guest
}

/// Returns whether the guest was at EL0.
pub fn is_el0() -> bool {
    SPSR_EL2.get() & 0xf == 0
}

/// Returns the vector of an exception to EL1, by the level and stack pointer that the guest used
/// (DDI 0487, D1.3.1).
pub fn vector() -> u64 {
    let offset = match SPSR_EL2.get() & 0xf {
        0b0100 => 0x000, // EL1t
        0b0101 => 0x200, // EL1h
        _ => 0x400,      // EL0
    };
    VBAR_EL1.get().wrapping_add(offset)
}

/// Takes the exception `esr` to EL1 as hardware would: to `vector`, PSTATE masked, the cause in
/// ESR_EL1.
pub fn inject(vector: u64, esr: u64) {
    let spsr = SPSR_EL2.get();
    SPSR_EL1.set(spsr);
    ELR_EL1.set(ELR_EL2.get());
    ESR_EL1.set(esr);
    ELR_EL2.set(vector);
    SPSR_EL2.set(SPSR_START | taken_state(spsr));
}

/// Returns the PSTATE bits other than mode and masks that an exception to EL1 leaves or sets (DDI
/// 0487, D1.3.5.2).
fn taken_state(spsr: u64) -> u64 {
    const NZCV: u64 = 0xf << 28;
    const DIT: u64 = 1 << 24;
    const PAN: u64 = 1 << 22;
    const SSBS: u64 = 1 << 12;
    const SPAN: u64 = 1 << 23;
    const DSSBS: u64 = 1 << 44;
    let control = SCTLR_EL1.get();
    let mut state = spsr & (NZCV | DIT);
    if ID_AA64MMFR1_EL1.get() >> 20 & 0xf != 0 && (spsr & PAN != 0 || control & SPAN == 0) {
        state |= PAN;
    }
    if ID_AA64PFR1_EL1.get() >> 4 & 0xf != 0 && control & DSSBS != 0 {
        state |= SSBS;
    }
    state
}

/// Steps over the instruction that trapped, also as a debugger in the guest sees it
/// (`SPSR_EL2.SS`).
#[inline(always)]
pub fn skip_instruction() {
    const SS: u64 = 1 << 21;
    SPSR_EL2.set(SPSR_EL2.get() & !SS);
    ELR_EL2.set(ELR_EL2.get().wrapping_add(4));
}
