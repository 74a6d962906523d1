// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the planner.

mod channels;
mod image;
mod place;
mod plan_reader;
mod policy;
mod report;
#[path = "../../tests/support/mod.rs"]
mod support;
mod tables;
mod traps;
mod tree;
mod walker;
