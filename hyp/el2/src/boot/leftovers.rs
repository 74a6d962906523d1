//! Clears what a loader leaves in a core's registers and no other code of EL2 writes. docs/boot.md
//! lists all of it.

use core::arch::asm;

use aarch64_cpu::registers::{ID_AA64DFR0_EL1, ID_AA64PFR0_EL1, Readable};

/// `CPTR_EL2` until the plan's: RES1 bits, FP and SIMD do not trap.
const CPTR: u64 = 0x33ff;
/// `PMCR_EL0`: all counters stopped (E) and reset (P, C).
const PMCR_RESET: u64 = 1 << 1 | 1 << 2;

/// Clears it on this core, before the core's guest or an interrupt can depend on it.
pub fn clear() {
    let debug = ID_AA64DFR0_EL1.get();
    let (breakpoints, watchpoints) = (debug >> 12 & 0xf, debug >> 20 & 0xf);
    // SAFETY: traps, timers and debug of EL1 and EL0, where nothing runs yet; EL2 is built without
    // FP and SIMD.
    unsafe {
        asm!(
            "msr ACTLR_EL2, xzr",
            "msr HACR_EL2, xzr",
            "msr CPTR_EL2, {cptr}",
            "msr CNTP_CTL_EL0, xzr",
            "msr CNTV_CTL_EL0, xzr",
            "msr CNTHP_CTL_EL2, xzr",
            // MDSCR_EL1.HDE can be written only while the OS lock is held (DDI 0487, MDSCR_EL1).
            "msr OSLAR_EL1, {lock}",
            "isb",
            "msr MDSCR_EL1, xzr",
            "msr MDCCINT_EL1, xzr",
            ".irp i, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0",
            "cmp {breakpoints}, #\\i",
            "b.lo 2f",
            "msr DBGBCR\\i\\()_EL1, xzr",
            "2:",
            "cmp {watchpoints}, #\\i",
            "b.lo 3f",
            "msr DBGWCR\\i\\()_EL1, xzr",
            "3:",
            ".endr",
            "msr OSDLR_EL1, xzr",
            "msr OSLAR_EL1, xzr",
            ".arch_extension fp",
            ".arch_extension simd",
            "msr FPCR, xzr",
            "msr FPSR, xzr",
            ".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
            "movi v\\i\\().2d, #0",
            ".endr",
            ".irp i, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
            "movi v\\i\\().2d, #0",
            ".endr",
            ".arch_extension nosimd",
            ".arch_extension nofp",
            cptr = in(reg) CPTR,
            lock = in(reg) 1u64,
            breakpoints = in(reg) breakpoints,
            watchpoints = in(reg) watchpoints,
            options(nomem, nostack),
        );
    }
    if !matches!(debug >> 8 & 0xf, 0 | 0xf) {
        // SAFETY: the core has a PMU, which counts for nobody yet.
        unsafe {
            asm!(
                "msr PMCR_EL0, {reset}",
                "msr PMCNTENCLR_EL0, {all}",
                "msr PMINTENCLR_EL1, {all}",
                "msr PMOVSCLR_EL0, {all}",
                "msr PMUSERENR_EL0, xzr",
                reset = in(reg) PMCR_RESET,
                all = in(reg) 0xffff_ffffu64,
                options(nomem, nostack, preserves_flags),
            );
        }
    }
    if ID_AA64PFR0_EL1.get() >> 28 & 0xf != 0 {
        // SAFETY: the core has RAS; DISR_EL1, VDISR_EL2 and VSESR_EL2 describe errors of the
        // loader's.
        unsafe {
            asm!(
                "msr S3_0_C12_C1_1, xzr",
                "msr S3_4_C12_C1_1, xzr",
                "msr S3_4_C5_C2_3, xzr",
                options(nomem, nostack, preserves_flags),
            );
        }
    }
}
