//! The report.
use super::Image;
use crate::system::System;
/// Describes a compiled system for a reader.
#[must_use]
pub fn report(_system: &System, image: &Image) -> String {
    format!("{} bytes", image.bytes.len())
}
