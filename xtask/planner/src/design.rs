// SPDX-License-Identifier: MIT OR Apache-2.0
//! The planner's decisions, and the image made from them.

use crate::el2::El2;
use crate::guest::Guest;
use crate::maps::Maps;
use crate::place::Places;

/// A compiled system.
#[derive(Clone, Debug)]
pub struct Image {
    /// The arm64 Image: EL2's segments, the plan, the pristine guest images.
    pub bytes: Vec<u8>,
    /// The decisions, for the report.
    pub design: Design,
}

/// Everything the planner decided.
#[derive(Clone, Debug)]
pub struct Design {
    /// EL2's executable.
    pub el2: El2,
    /// The guest of each partition, in the system's order.
    pub guests: Vec<Guest>,
    /// Pristine contents that guests are loaded from, each stored once.
    pub pristine: Vec<Vec<u8>>,
    /// Physical addresses.
    pub places: Places,
    /// Translations.
    pub maps: Maps,
    /// The plan's rows: header and arrays, up to the tables.
    pub rows: usize,
    /// Bytes of the plan.
    pub plan_size: u64,
}
