// SPDX-License-Identifier: MIT OR Apache-2.0
//! The demands of silicon on EL2 that QEMU does not model: caches, TLBs, barriers.
//!
//! [`Model`] takes the operations of a machine's cores, one [`Event`] at a time, and reports every
//! [`Violation`] of a [`rules::Rule`]. It does not depend on QEMU: [`observer::Observer`] turns
//! instructions and accesses into events, and the plugin in the folder next to this crate calls it.
//! `docs/silicon.md` explains the method and its limits.
#![forbid(unsafe_code)]

mod barriers;
mod core;
mod data;
pub mod decode;
pub mod event;
mod fetch;
mod gic;
mod lines;
mod live_tables;
mod model;
pub mod observer;
pub mod register;
mod registers;
pub mod report;
pub mod rules;
mod tables;

pub use event::{At, Event, Site, SiteId};
pub use model::{Config, Gic, Memory, Model};
pub use report::{Report, Violation};
