//! The GICv3's system registers that `aarch64-cpu` lacks (IHI 0069, 12.2 and 12.4): see
//! `registers.rs`.

use core::arch::{asm, global_asm};

readable! {
    /// `ICC_IAR1_EL1`: acknowledges the most urgent interrupt; 1020 and up means none.
    icc_iar1 = "S3_0_C12_C12_0";
    /// `ICC_CTLR_EL1`.
    icc_ctlr = "S3_0_C12_C12_4";
    /// `ICC_PMR_EL1`.
    icc_pmr = "S3_0_C4_C6_0";
    /// `ICH_ELRSR_EL2`: one bit per list register, set if it holds no interrupt.
    ich_elrsr = "S3_4_C12_C11_5";
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
    /// `ICC_PMR_EL1`.
    set_icc_pmr = "S3_0_C4_C6_0";
}

macro_rules! active_priorities {
    ($($(#[$doc:meta])* $name:ident = $r0:literal $r1:literal $r2:literal $r3:literal;)*) => { $(
        $(#[$doc])*
        fn $name(bits: u64) {
            // SAFETY: a core with that many bits of priority has these registers, and no interrupt
            // of EL2's is active yet.
            unsafe {
                if bits > 6 {
                    asm!(concat!("msr ", $r2, ", xzr"), concat!("msr ", $r3, ", xzr"),
                        options(nomem, nostack));
                }
                if bits > 5 {
                    asm!(concat!("msr ", $r1, ", xzr"), options(nomem, nostack));
                }
                asm!(concat!("msr ", $r0, ", xzr"), options(nomem, nostack));
            }
        }
    )* };
}

active_priorities! {
    /// `ICC_AP0R<n>_EL1`: one with five bits of priority, two with six, four with more.
    clear_group0 = "S3_0_C12_C8_4" "S3_0_C12_C8_5" "S3_0_C12_C8_6" "S3_0_C12_C8_7";
    /// `ICC_AP1R<n>_EL1`.
    clear_group1 = "S3_0_C12_C9_0" "S3_0_C12_C9_1" "S3_0_C12_C9_2" "S3_0_C12_C9_3";
    /// `ICH_AP0R<n>_EL2`.
    clear_virtual_group0 = "S3_4_C12_C8_0" "S3_4_C12_C8_1" "S3_4_C12_C8_2" "S3_4_C12_C8_3";
    /// `ICH_AP1R<n>_EL2`.
    clear_virtual_group1 = "S3_4_C12_C9_0" "S3_4_C12_C9_1" "S3_4_C12_C9_2" "S3_4_C12_C9_3";
}

/// Clears the active priorities of this core's CPU interface, and switches Group 0 off where EL2
/// has it.
pub fn clear_active_priorities() {
    let bits = (icc_ctlr() >> 8 & 7) + 1;
    clear_group1(bits);
    // Where firmware takes Group 0 (SCR_EL3.FIQ), its registers trap to EL3, and the lowest
    // priority that PMR holds reads back as 0 (IHI 0069, 4.8.6; Linux, `gic_has_group0`).
    set_icc_pmr(1 << (8 - bits));
    if icc_pmr() != 0 {
        clear_group0(bits);
        // SAFETY: writes ICC_IGRPEN0_EL1; no interrupt of EL2's is in Group 0.
        unsafe { asm!("msr S3_0_C12_C12_6, xzr", options(nomem, nostack)) };
    }
}

/// Clears the active priorities of the virtual CPU interface, which has one bit of preemption more
/// than `bits` (`ICH_VTR_EL2.PREbits`).
pub fn clear_virtual_active_priorities(bits: u64) {
    clear_virtual_group0(bits + 1);
    clear_virtual_group1(bits + 1);
}

/// Reads `ICH_LR<index>_EL2`; index 0 to 15, others wrap. Only list register accesses branch
/// indirectly at EL2: register numbers are part of the instruction, so this jumps to the `index`th
/// of sixteen MRS, RET pairs.
pub fn ich_lr(index: usize) -> u64 {
    let value: u64;
    // SAFETY: calls the code below, which changes the three registers named and touches no memory.
    unsafe {
        asm!("bl read_list_register", inout("x0") index as u64 => value, out("x1") _, out("x30") _,
            options(nostack, preserves_flags))
    };
    value
}

/// Writes `ICH_LR<index>_EL2`; index 0 to 15, others wrap.
pub fn set_ich_lr(index: usize, value: u64) {
    // SAFETY: as above; only the vGIC uses the register, and only it calls this function.
    unsafe {
        asm!("adr x7, 3f", "b write_list_register", "3:", inout("x0") index as u64 => _,
            in("x5") value, out("x6") _, out("x7") _, options(nostack, preserves_flags))
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
