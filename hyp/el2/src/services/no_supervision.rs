// SPDX-License-Identifier: MIT OR Apache-2.0
//! In place of `supervision/` in an EL2 without supervision: nobody gives an order, and the console
//! has no monitor.

use abi::error;

use crate::state::frame::Frame;
use crate::state::percpu::PerCpu;

pub fn call(_: &mut Frame, _: &mut PerCpu, _: u32) -> i64 {
    error::NOT_SUPPORTED
}

pub fn announce(_: &PerCpu) {}

pub mod orders {
    use crate::state::next::Next;
    use crate::state::percpu::PerCpu;

    pub fn requests(_: &mut PerCpu, _: u32) -> Next {
        Next::Resume
    }

    pub fn obey(_: &PerCpu) -> Next {
        Next::Resume
    }
}

pub mod monitor {
    use ::console::After;

    use crate::drivers::pl011::Uart;
    use crate::state::percpu::PerCpu;

    pub fn drain(_: &mut PerCpu, _: Uart) -> Option<After> {
        None
    }
}
