//! The functions of the physical GIC that EL2's boot code uses.

/// A GICv3.
pub struct Gic;

impl gic::GicDriver for Gic {
    const VERSION: u32 = 3;
}

pub mod gic {
    /// The functions that boot calls.
    pub trait GicDriver {
        /// The GIC version that this EL2 is taken to drive.
        const VERSION: u32;

        fn attach(_: &plan::Machine, _: Option<bool>) {}
    }
}

pub mod distributor {
    pub fn intids(_base: u64) -> u32 {
        288
    }
}
