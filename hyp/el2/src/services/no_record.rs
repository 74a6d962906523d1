// SPDX-License-Identifier: MIT OR Apache-2.0
//! In place of `record.rs` in an EL2 without crash records: a stop leaves none.

use ::console::LineBuffer;
use abi::error;

use crate::state::frame::Frame;
use crate::state::next::Stop;
use crate::state::percpu::PerCpu;

/// No record is ever begun.
pub enum Begun {}

pub fn begin(_: &PerCpu, _: Stop, _: bool) -> Option<Begun> {
    None
}

impl Begun {
    pub fn name(&self, _: &PerCpu, _: &mut LineBuffer) {}

    pub fn write(self, _: &mut PerCpu, _: Option<&Frame>) {}
}

pub fn call(_: &mut Frame, _: &PerCpu) -> i64 {
    error::NOT_SUPPORTED
}

pub fn tell(_: &mut PerCpu, _: bool) -> bool {
    false
}

pub fn tell_kept(_: &mut PerCpu) {}
