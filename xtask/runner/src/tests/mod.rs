// SPDX-License-Identifier: MIT OR Apache-2.0
//! Items that tests of several files need.

#[path = "../../../planner/tests/support/mod.rs"]
pub mod systems;
