// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system registers that the model knows.

macro_rules! registers {
    ($(
        $(#[$doc:meta])*
        $name:ident $text:literal $op1:literal $crn:literal $crm:literal $op2:literal;
    )*) => {
        /// A system register that the model knows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Register {
            $($(#[$doc])* $name,)*
            /// A list register of the GIC.
            IchLr,
            /// Another register of the GIC's CPU interface.
            OtherIcc,
            /// The OS lock.
            OslarEl1,
            /// Debug control.
            MdscrEl1,
        }

        impl Register {
            /// Returns the register with this encoding, if the model knows it.
            pub(crate) fn of(op1: u32, crn: u32, crm: u32, op2: u32) -> Option<Self> {
                Some(match (op1, crn, crm, op2) {
                    $(($op1, $crn, $crm, $op2) => Self::$name,)*
                    (4, 12, 12 | 13, _) => Self::IchLr,
                    (0, 12, 8..=12, _) | (4, 12, 8..=11, _) => Self::OtherIcc,
                    _ => return None,
                })
            }

            /// Returns the debug register (op0 is 2) with this encoding, if the model knows it.
            pub(crate) fn of_debug(op1: u32, crn: u32, crm: u32, op2: u32) -> Option<Self> {
                match (op1, crn, crm, op2) {
                    (0, 1, 0, 4) => Some(Self::OslarEl1),
                    (0, 0, 2, 2) => Some(Self::MdscrEl1),
                    _ => None,
                }
            }

            /// Returns its name in DDI 0487 or IHI 0069.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::IchLr => "ICH_LR<n>_EL2",
                    Self::OtherIcc => "a GIC register",
                    Self::OslarEl1 => "OSLAR_EL1",
                    Self::MdscrEl1 => "MDSCR_EL1",
                }
            }

            /// All registers.
            pub const ALL: &'static [Self] = &[
                $(Self::$name,)*
                Self::IchLr,
                Self::OtherIcc,
                Self::OslarEl1,
                Self::MdscrEl1,
            ];
            /// The number of registers.
            pub const COUNT: usize = Self::ALL.len();
        }
    };
}

registers! {
    /// EL2's control register.
    SctlrEl2 "SCTLR_EL2" 4 1 0 0;
    /// EL1's control register.
    SctlrEl1 "SCTLR_EL1" 0 1 0 0;
    /// Hypervisor configuration.
    HcrEl2 "HCR_EL2" 4 1 1 0;
    /// EL2's translation table.
    Ttbr0El2 "TTBR0_EL2" 4 2 0 0;
    /// EL2's translation control.
    TcrEl2 "TCR_EL2" 4 2 0 2;
    /// EL2's memory attributes.
    MairEl2 "MAIR_EL2" 4 10 2 0;
    /// Stage 2's table and VMID.
    VttbrEl2 "VTTBR_EL2" 4 2 1 0;
    /// Stage 2's control.
    VtcrEl2 "VTCR_EL2" 4 2 1 2;
    /// EL2's timer: control.
    CnthpCtl "CNTHP_CTL_EL2" 4 14 2 1;
    /// EL2's timer: the time at which it fires.
    CnthpCval "CNTHP_CVAL_EL2" 4 14 2 2;
    /// The event stream's control.
    CnthctlEl2 "CNTHCTL_EL2" 4 14 1 0;
    /// Traps of FP and SIMD.
    CptrEl2 "CPTR_EL2" 4 1 1 2;
    /// FP control.
    Fpcr "FPCR" 3 4 4 0;
    /// The GIC's system register interface.
    IccSreEl2 "ICC_SRE_EL2" 4 12 9 5;
    /// Interrupt acknowledge.
    IccIar1 "ICC_IAR1_EL1" 0 12 12 0;
    /// End of interrupt.
    IccEoir1 "ICC_EOIR1_EL1" 0 12 12 1;
    /// Deactivate interrupt.
    IccDir "ICC_DIR_EL1" 0 12 11 1;
    /// Send SGIs.
    IccSgi1r "ICC_SGI1R_EL1" 0 12 11 5;
    /// Virtual interface control.
    IchHcr "ICH_HCR_EL2" 4 12 11 0;
    /// Maintenance interrupt state.
    IchMisr "ICH_MISR_EL2" 4 12 11 2;
    /// End-of-interrupt status.
    IchEisr "ICH_EISR_EL2" 4 12 11 3;
    /// Empty list registers.
    IchElrsr "ICH_ELRSR_EL2" 4 12 11 5;
    /// Selects an event counter.
    Pmselr "PMSELR_EL0" 3 9 12 5;
    /// The selected counter's event.
    Pmxevtyper "PMXEVTYPER_EL0" 3 9 13 1;
    /// The selected counter.
    Pmxevcntr "PMXEVCNTR_EL0" 3 9 13 2;
}
