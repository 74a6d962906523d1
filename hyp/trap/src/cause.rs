// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why EL2 ends a partition's life, in types and words.

/// Why a partition's life ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// A fault; the ESR says which.
    #[default]
    Fault = 1,
    /// A fault, and the guest's vector for it faults too.
    FaultAtVector = 2,
    /// An exception that EL1 took, and the guest's vector for it faults.
    ExceptionAtVector = 3,
    /// Code of AArch32.
    AArch32 = 4,
    /// A missed watchdog.
    Watchdog = 5,
    /// `SYSTEM_RESET`.
    Reset = 6,
    /// The call `FAIL`.
    Failed = 7,
    /// A device that does not fall silent before a restart.
    Device = 8,
    /// A fault of EL2 itself.
    El2Fault = 9,
    /// A panic of EL2.
    El2Panic = 10,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 10] = [
        Self::Fault,
        Self::FaultAtVector,
        Self::ExceptionAtVector,
        Self::AArch32,
        Self::Watchdog,
        Self::Reset,
        Self::Failed,
        Self::Device,
        Self::El2Fault,
        Self::El2Panic,
    ];

    /// Returns the cause in words. For [`Self::has_syndrome`] they follow the words for the ESR.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Fault => "",
            Self::FaultAtVector => ", and its vector faults",
            Self::ExceptionAtVector => "exception, and its vector faults",
            Self::AArch32 => "AArch32 code, which is not supported",
            Self::Watchdog => "missed its watchdog",
            Self::Reset => "asked for a reset",
            Self::Failed => "reported failure",
            Self::Device => "a device does not fall silent",
            Self::El2Fault => "fault in EL2",
            Self::El2Panic => "panic in EL2",
        }
    }

    /// Returns whether the ESR says more about the cause.
    #[must_use]
    pub fn has_syndrome(self) -> bool {
        matches!(self, Self::Fault | Self::FaultAtVector)
    }

    /// Returns whether EL2 itself failed: the registers are then EL2's.
    #[must_use]
    pub fn is_el2(self) -> bool {
        matches!(self, Self::El2Fault | Self::El2Panic)
    }
}
