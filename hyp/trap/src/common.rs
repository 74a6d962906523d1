//! The registers of a GICv3's CPU interface that both groups have in common, as a guest sees them
//! where they trap together with `ICC_DIR_EL1`. Their state is in `ICH_VMCR_EL2` and the active
//! priorities (IHI 0069, 12.2 and 12.4).

/// One of these registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Common {
    /// `ICC_PMR_EL1`.
    PriorityMask,
    /// `ICC_RPR_EL1`.
    RunningPriority,
    /// `ICC_CTLR_EL1`.
    Control,
}

/// `ICH_VMCR_EL2.VPMR`.
const VPMR: u64 = 0xff << 24;
/// `ICH_VMCR_EL2.VEOIM`.
const VEOIM: u64 = 1 << 9;
/// `ICH_VMCR_EL2.VCBPR`.
const VCBPR: u64 = 1 << 4;

impl Common {
    /// Returns what the register reads as. `vmcr` and `vtr` are `ICH_VMCR_EL2` and `ICH_VTR_EL2`;
    /// `active` are the active priorities of both groups, `ICH_AP0R0_EL2 | ICH_AP1R0_EL2`. These
    /// are all registers of active priorities with five bits of preemption, which every core that
    /// comes here has.
    pub const fn read(self, vmcr: u64, vtr: u64, active: u32) -> u64 {
        match self {
            Self::PriorityMask => (vmcr & VPMR) >> 24,
            Self::RunningPriority => match active {
                0 => 0xff,
                _ => 8 * active.trailing_zeros() as u64,
            },
            // From VTR: PRIbits (31:29), IDbits (25:23), SEIS (22) and A3V (21).
            Self::Control => {
                (vtr >> 29 & 7) << 8
                    | (vtr >> 23 & 7) << 11
                    | (vtr >> 22 & 1) << 14
                    | (vtr >> 21 & 1) << 15
                    | (vmcr & VEOIM) >> 8
                    | (vmcr & VCBPR) >> 4
            }
        }
    }

    /// Returns `ICH_VMCR_EL2` after `value` is written. Hardware drops priority bits that it does
    /// not have.
    pub const fn written(self, vmcr: u64, value: u64) -> u64 {
        match self {
            Self::PriorityMask => vmcr & !VPMR | value << 24 & VPMR,
            Self::RunningPriority => vmcr,
            Self::Control => vmcr & !(VEOIM | VCBPR) | value << 8 & VEOIM | value << 4 & VCBPR,
        }
    }
}
