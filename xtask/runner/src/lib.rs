// SPDX-License-Identifier: MIT OR Apache-2.0
//! The runner: builds systems and what they need, and runs them on QEMU.

pub mod build;
pub mod errands;
pub mod for_linux;
pub mod linux;
pub mod qemu;
#[cfg(test)]
mod tests;
pub mod ui;
pub mod workspace;
