// SPDX-License-Identifier: MIT OR Apache-2.0
//! The reader's rules, with the planner's refusals where only the planner can see that something
//! does not fit.

// The crate under the name that its users give it.
extern crate bulkhead_manifest as manifest;

#[path = "../../../planner/tests/support/mod.rs"]
mod el2;
mod rules;
mod schema;
mod slips;
mod suggestions;
#[path = "../support/mod.rs"]
mod support;
