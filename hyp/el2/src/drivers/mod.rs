//! The devices that EL2 drives. A driver returns errors; its caller decides what they mean.

pub mod distributor;
pub mod gic;
#[cfg(feature = "gicv2")]
mod gicv2;
#[cfg(not(feature = "gicv2"))]
mod gicv3;
pub mod pl011;
pub mod vgic_backend;

use gic::GicDriver;
/// The driver of the GIC that this EL2 is built for.
#[cfg(feature = "gicv2")]
pub use gicv2::Gicv2 as Gic;
/// The driver of the GIC that this EL2 is built for.
#[cfg(not(feature = "gicv2"))]
pub use gicv3::Gicv3 as Gic;

/// Whether this EL2 drives a GICv3; most fast paths of the vectors are only for GICv3.
pub const IS_V3: bool = Gic::VERSION == 3;
