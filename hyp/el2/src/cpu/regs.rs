//! System registers and instructions that `aarch64-cpu` lacks (names and encodings: DDI 0487 D24, IHI 0069 12.4).
//!
//! Reading a register has no effect on memory, nor has writing one of these by itself; what a write makes the machine
//! do is up to its caller, who has the barriers.

use core::arch::{asm, global_asm};

use aarch64_cpu::registers::{MDCR_EL2, Readable};

macro_rules! readable {
    ($($(#[$doc:meta])* $name:ident = $encoding:literal;)*) => { $(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() -> u64 {
            let value;
            // SAFETY: EL2 may read the register, and reading touches no memory.
            unsafe { asm!(concat!("mrs {}, ", $encoding), out(reg) value, options(nostack, preserves_flags)) };
            value
        }
    )* };
}

macro_rules! writable {
    ($($(#[$doc:meta])* $name:ident = $encoding:literal;)*) => { $(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name(value: u64) {
            // SAFETY: EL2 may write the register. The compiler keeps memory accesses in order around it (no `nomem`).
            unsafe { asm!(concat!("msr ", $encoding, ", {}"), in(reg) value, options(nostack, preserves_flags)) };
        }
    )* };
}

readable! {
    /// `ICC_IAR1_EL1`: acknowledges the most urgent interrupt; 1020 and up is none.
    icc_iar1 = "S3_0_C12_C12_0";
    /// `ICH_ELRSR_EL2`: a bit for each list register that holds no interrupt.
    ich_elrsr = "S3_4_C12_C11_5";
    /// `ID_AA64ISAR2_EL1`.
    id_aa64isar2 = "S3_0_C0_C6_2";
    /// `PMCR_EL0`: event counters in bits 15:11. Undefined on a core without a PMU.
    pmcr = "PMCR_EL0";
    /// `PMXEVCNTR_EL0`: the counter that `count_work` selected, which guests cannot reach (`MDCR_EL2.TPM`).
    pmxevcntr = "PMXEVCNTR_EL0";
}

writable! {
    /// `ICC_EOIR1_EL1`: priority drop (EOImode = 1).
    set_icc_eoir1 = "S3_0_C12_C12_1";
    /// `ICC_DIR_EL1`: deactivation.
    set_icc_dir = "S3_0_C12_C11_1";
    /// `ICC_SGI1R_EL1`: sends SGIs.
    set_icc_sgi1r = "S3_0_C12_C11_5";
    /// `ICC_CTLR_EL1`.
    set_icc_ctlr = "S3_0_C12_C12_4";
    /// `ICC_BPR1_EL1`.
    set_icc_bpr1 = "S3_0_C12_C12_3";
    /// `HSTR_EL2`.
    set_hstr = "HSTR_EL2";
    /// `VPIDR_EL2`: what the guest reads as `MIDR_EL1`.
    set_vpidr = "VPIDR_EL2";
    /// `CNTHP_CVAL_EL2`.
    set_cnthp_cval = "CNTHP_CVAL_EL2";
    /// `PMSELR_EL0`: the counter that `PMX*` registers are of.
    set_pmselr = "PMSELR_EL0";
    /// `PMXEVTYPER_EL0`.
    set_pmxevtyper = "PMXEVTYPER_EL0";
    /// `PMXEVCNTR_EL0`.
    set_pmxevcntr = "PMXEVCNTR_EL0";
    /// `PMCNTENSET_EL0`.
    set_pmcntenset = "PMCNTENSET_EL0";
}

/// `ICH_LR<index>_EL2`; index 0 to 15, others wrap. The one kind of place where EL2 branches indirectly: register numbers
/// are part of the instruction, so this jumps to the `index`th of sixteen MRS, RET pairs.
pub fn ich_lr(index: usize) -> u64 {
    let value: u64;
    // SAFETY: calls the code below, which changes the three registers named and touches no memory.
    unsafe {
        asm!("bl read_list_register", inout("x0") index as u64 => value, out("x1") _, out("x30") _, options(nostack, preserves_flags))
    };
    value
}

/// Writes `ICH_LR<index>_EL2`; index 0 to 15, others wrap.
pub fn set_ich_lr(index: usize, value: u64) {
    // SAFETY: as above; what the register holds is the vGIC's, this function's only caller.
    unsafe {
        asm!("adr x7, 3f", "b write_list_register", "3:", inout("x0") index as u64 => _, in("x5") value, out("x6") _, out("x7") _, options(nostack, preserves_flags))
    };
}

macro_rules! list_registers {
    ($($encoding:literal)*) => {
        global_asm!(
            ".pushsection .text.list_registers, \"ax\"",
            "read_list_register: and x0, x0, #15", "adr x1, 1f", "add x1, x1, x0, lsl #3", "br x1",
            "1:", $(concat!("mrs x0, ", $encoding), "ret",)*
            "write_list_register: and x0, x0, #15", "adr x6, 2f", "add x6, x6, x0, lsl #3", "br x6",
            "2:", $(concat!("msr ", $encoding, ", x5"), "ret x7",)*
            ".popsection",
        );
    };
}

list_registers! {
    "S3_4_C12_C12_0" "S3_4_C12_C12_1" "S3_4_C12_C12_2" "S3_4_C12_C12_3"
    "S3_4_C12_C12_4" "S3_4_C12_C12_5" "S3_4_C12_C12_6" "S3_4_C12_C12_7"
    "S3_4_C12_C13_0" "S3_4_C12_C13_1" "S3_4_C12_C13_2" "S3_4_C12_C13_3"
    "S3_4_C12_C13_4" "S3_4_C12_C13_5" "S3_4_C12_C13_6" "S3_4_C12_C13_7"
}

/// Instructions this core has retired at EL2, modulo 2^32, if it has a PMU.
pub fn work() -> Option<u32> {
    (MDCR_EL2.read(MDCR_EL2::HPMN) != 0).then(|| pmxevcntr() as u32)
}

/// SMC to firmware (PSCI, DEN 0022): function in x0, three arguments, result in x0.
pub fn smc(function: u64, arguments: [u64; 3]) -> i64 {
    let [x1, x2, x3] = arguments;
    let result: i64;
    // SAFETY: the machine check saw that firmware speaks PSCI by SMC; SMCCC says which registers it may change.
    unsafe {
        asm!("smc #0", inout("x0") function => result, inout("x1") x1 => _, inout("x2") x2 => _, inout("x3") x3 => _,
            lateout("x4") _, lateout("x5") _, lateout("x6") _, lateout("x7") _, lateout("x8") _, lateout("x9") _,
            lateout("x10") _, lateout("x11") _, lateout("x12") _, lateout("x13") _, lateout("x14") _, lateout("x15") _,
            lateout("x16") _, lateout("x17") _, options(nostack));
    }
    result
}
