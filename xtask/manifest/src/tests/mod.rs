// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the reader's private items.

mod errata;
#[path = "../../tests/support/mod.rs"]
mod support;
mod systems;
