// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of what the reader hides.

#[path = "../../tests/support/mod.rs"]
mod support;
mod systems;
