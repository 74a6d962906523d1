//! Runtime for bare-metal guests of Bulkhead: the code between the reset vector and [`main!`].
//!
//! A guest starts at EL1 with its device tree's address in x0. The runtime turns the MMU on
//! (identity map), finds the console and the GIC in the tree, gives the guest a heap and calls its
//! main function on vCPU 0; the others sleep until [`smp::start`]. Interrupts are always masked in
//! PSTATE: a guest sleeps in [`interrupt::wait`], which returns one interrupt after the other.
//! There are no handlers, so there are no races between a handler and the code it interrupts.
#![no_std]
#![cfg(target_os = "none")]

extern crate alloc;

mod boot;
pub mod console;
pub mod exception;
pub mod figures;
mod heap;
pub mod hv;
pub mod interrupt;
pub mod link;
pub mod mmio;
pub mod mmu;
pub mod psci;
pub mod smp;
pub mod timer;
pub mod tree;
pub mod wait;

pub use log;
pub use tree::Tree;
pub use wait::Wait;

/// Most vCPUs a guest of this runtime may have.
pub const MAX_VCPUS: usize = 8;

/// Names the function that vCPU 0 runs: `fn(&'static rt::Tree)`. When it returns, the partition
/// powers off.
#[macro_export]
macro_rules! main {
    ($function:path) => {
        #[unsafe(export_name = "guest_main")]
        fn guest_main(tree: &'static $crate::Tree) {
            $function(tree)
        }
    };
}

/// Prints the reason and gives the partition up: it ends as `failed`, and so does the run's
/// verdict.
#[macro_export]
macro_rules! fail {
    ($($arg:tt)*) => {{
        $crate::log::error!($($arg)*);
        $crate::hv::fail(1)
    }};
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    log::error!("{info}");
    hv::fail(2)
}
