//! System registers and instructions that `aarch64-cpu` lacks (names and encodings: DDI 0487 D24,
//! IHI 0069 12.4).
//!
//! Reading a register has no effect on memory, nor has writing one of these by itself. The caller
//! of a write is responsible for its effect on the machine, and for the barriers.

use core::arch::asm;

use aarch64_cpu::registers::{MDCR_EL2, Readable};

macro_rules! readable {
    ($($(#[$doc:meta])* $name:ident = $encoding:literal;)*) => { $(
        $(#[$doc])*
        pub fn $name() -> u64 {
            let value;
            // SAFETY: EL2 may read the register, and reading touches no memory.
            unsafe {
                ::core::arch::asm!(concat!("mrs {}, ", $encoding), out(reg) value,
                    options(nostack, preserves_flags));
            }
            value
        }
    )* };
}

macro_rules! writable {
    ($($(#[$doc:meta])* $name:ident = $encoding:literal;)*) => { $(
        $(#[$doc])*
        pub fn $name(value: u64) {
            // SAFETY: EL2 may write the register. The compiler keeps memory accesses in order
            // around it (no `nomem`).
            unsafe {
                ::core::arch::asm!(concat!("msr ", $encoding, ", {}"), in(reg) value,
                    options(nostack, preserves_flags));
            }
        }
    )* };
}

readable! {
    /// `ID_AA64ISAR2_EL1`.
    id_aa64isar2 = "S3_0_C0_C6_2";
    /// `ISR_EL1`: pending interrupts.
    isr = "ISR_EL1";
    /// `PMCR_EL0`: event counters in bits 15:11. Undefined on a core without a PMU.
    pmcr = "PMCR_EL0";
    /// `PMXEVCNTR_EL0`: the counter that `count_work` selected, which guests cannot reach
    /// (`MDCR_EL2.TPM`).
    pmxevcntr = "PMXEVCNTR_EL0";
}

writable! {
    /// `HSTR_EL2`.
    set_hstr = "HSTR_EL2";
    /// `VPIDR_EL2`: what the guest reads as `MIDR_EL1`.
    set_vpidr = "VPIDR_EL2";
    /// `CNTHP_CVAL_EL2`.
    set_cnthp_cval = "CNTHP_CVAL_EL2";
    /// `PMSELR_EL0`: selects the counter that the `PMX*` registers access.
    set_pmselr = "PMSELR_EL0";
    /// `PMXEVTYPER_EL0`.
    set_pmxevtyper = "PMXEVTYPER_EL0";
    /// `PMXEVCNTR_EL0`.
    set_pmxevcntr = "PMXEVCNTR_EL0";
    /// `PMCNTENSET_EL0`.
    set_pmcntenset = "PMCNTENSET_EL0";
}

/// Returns how many instructions this core has retired at EL2, modulo 2^32, if it has a PMU.
pub fn el2_instructions() -> Option<u32> {
    (MDCR_EL2.read(MDCR_EL2::HPMN) != 0).then(|| pmxevcntr() as u32)
}

/// Returns whether an IRQ is pending for this core at EL2 (`ISR_EL1.I`).
pub fn is_interrupt_pending() -> bool {
    const I: u64 = 1 << 7;
    isr() & I != 0
}

/// Makes a PSCI call by HVC from EL1, without arguments or a result.
pub fn hvc(function: u64) {
    // SAFETY: the machine check saw that the software at EL2 answers PSCI by HVC; SMCCC says which
    // registers it may change.
    unsafe { asm!("hvc #0", in("x0") function, clobber_abi("C"), options(nostack)) };
}

/// Calls firmware by SMC (PSCI, DEN 0022): function in x0, three arguments, result in x0.
pub fn smc(function: u64, arguments: [u64; 3]) -> i64 {
    let [x1, x2, x3] = arguments;
    let result: i64;
    // SAFETY: the machine check saw that firmware answers PSCI by SMC; SMCCC says which registers
    // it may change.
    unsafe {
        asm!("smc #0", inout("x0") function => result, inout("x1") x1 => _, inout("x2") x2 => _,
            inout("x3") x3 => _, clobber_abi("C"), options(nostack));
    }
    result
}
