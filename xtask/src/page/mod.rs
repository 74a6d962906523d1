// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reports of text, tables and plots, as Markdown and as one HTML page.

mod html;
mod number;
pub mod plot;
mod section;

pub use html::{escaped, render as html};
pub use number::number;
pub use section::{Section, Table};
