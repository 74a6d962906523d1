// SPDX-License-Identifier: MIT OR Apache-2.0
//! The virtual GIC of one partition: one state machine, pure and tested on the host, under two thin
//! faces, GICv2 and GICv3.
//!
//! - [`Gic`] is what a partition's cores share: distributor and redistributors, atomics only, no
//!   lock.
//! - [`Delivery`] is one core's own: which INTID is in which list register.
//! - [`Vcpu`] joins both with the core's hardware ([`Hardware`]) for as long as EL2 handles one
//!   entry. All operations are its methods.
//!
//! References: IHI 0069 is the GICv3 architecture specification, IHI 0048 the GICv2 one.
//!
//! # Where an interrupt's state is
//! An interrupt is pending or active in one of four places:
//! 1. **a list register** of the vCPU that holds it. The guest acknowledges and ends it there
//!    without EL2;
//! 2. **a latch** of the vCPU that holds it, written by that vCPU's core only: software interrupts
//!    that wait for a list register, physical ones that found all of them full (EL2 has
//!    acknowledged them: they stay physically active and cannot arrive again), active ones that
//!    have no list register. A latch keeps a copy of what was moved to a list register until the
//!    next fold, for siblings to read; the list register decides;
//! 3. **the physical GIC**: a physical interrupt that the guest has disabled is disabled there too,
//!    so that hardware keeps its state. One that may no longer be signalled returns there: it is
//!    deactivated, and made pending again if it is edge-triggered or a register write made it
//!    pending. A level arrives again if its line is still high;
//! 4. **the row of unheld interrupts** in the shared words: software SPIs that are pending and may
//!    be signalled to no vCPU, or are on their way to another.
//!
//! ```text
//!     physical                                 software
//!
//!  +--------------+                    +---------------------+
//!  | physical GIC |                    | unheld, line, SGIs, |
//!  | (pending)    |                    | doorbells           |
//!  +--------------+                    +---------------------+
//!    |  ^                                ^    |
//!    |  | return_to_distributor          |    | claim, inject
//!    |  | (disabled, routed away,        |    |
//!    |  |  withdrawn)    disabled, routed away|
//!    |  |                                |    |
//!    |  +--------------+     +-----------+    |
//!    |   arrival       |     |                |
//!    v                 |     |                v
//!  +-----------------------------------------------------------+
//!  | a vCPU that holds the interrupt                           |
//!  |              fill_list_registers (pending and active)     |
//!  |   +-------+ ----------------------------> +-------------+ |
//!  |   | latch |                               | list        | |
//!  |   +-------+ <---------------------------- | register    | |
//!  |              fold_list_registers          +-------------+ |
//!  +----------------------------------------------|------------+
//!                                                 | the guest's end: hardware deactivates
//!                                                 v a linked interrupt, EL2 need not know
//!                                             inactive
//! ```
//!
//! What does not fit at once takes one way, [`Vcpu::sync`]: the list registers are folded into the
//! latches, the latches changed, and the list registers filled again. A register write of pending
//! or active bits, the own core's too, is a request beside the latch and one kick to a sibling,
//! whose [`Vcpu::take_requests`] does the rest.
//!
//! # How an SPI changes hands
//! The holder of an SPI acts on requests for it. An arrival of a physical SPI makes its vCPU the
//! holder. The last holder may not know of the end yet, and may fold at the same moment: it writes
//! its own latches only, and releases the SPI only if it still holds it. A write of the route, an
//! enable, the group or the priority also makes a core sync at which the SPI may be arriving with
//! an entry that it read before the write. `tests/loom.rs` tries the interleavings.
//!
//! # What differs from a GIC without list registers
//! Each line is a test in `tests/limits.rs`, which shows exactly what a guest sees.
//! - Pending and active bits of an interrupt that a *sibling* holds, or that is private to it, read
//!   as that core last folded them. The read makes it fold again, so that the next read is exact
//!   (`a_sibling_reads_the_state_of_the_last_fold_and_the_next_read_is_exact`).
//! - A write of a sibling's GICR_ICPENDR0 also clears an edge of that PPI that comes before the
//!   sibling's core has handled the writer's kick
//!   (`a_write_of_a_siblings_icpendr0_also_takes_an_edge_before_its_kick`).
//! - A write of ICPENDR does not clear an edge that EL2 has acknowledged on a sibling's core and
//!   not listed yet (`an_edge_that_el2_acknowledged_before_a_siblings_icpendr_is_signalled`).
//! - If siblings change an enable bit eight times while EL2 handles one write of the same register,
//!   the physical GIC may have an earlier state until the next change
//!   (`eight_changes_during_one_enable_may_reach_hardware_with_the_next`).
//! - One-of-N routing is not offered (GICD_TYPER.No1N = 1): a write of IROUTER.IRM = 1 selects vCPU
//!   0 (`one_of_n_routing_selects_vcpu_0`).
//! - IAR and WFI do not enter EL2. A level that its device withdraws between EL2's acknowledgement
//!   and the guest's is signalled once, unless that core makes an entry that looks at the line
//!   ([`Vcpu::sample`]) or any vCPU reads ISPENDR before
//!   (`a_withdrawn_level_is_signalled_once_to_a_guest_that_makes_no_entry`). For the same reason a
//!   second edge may not coalesce with the first
//!   (`a_second_edge_is_signalled_to_a_guest_that_makes_no_entry`).
//! - GICv2: an SGI that is active and sent again, also by another vCPU, waits for its deactivation
//!   (`gicv2_an_active_sgi_sent_again_waits_for_its_deactivation`).
//! - GICv2: hardware decides whether a pending interrupt of a group that the guest has off in its
//!   CPU interface keeps less important ones of the other group from being signalled
//!   (`gicv2_lists_a_pending_interrupt_of_a_group_that_is_off`).
//!
//! # Ends
//! With EOImode = 0 the guest ends an interrupt in hardware, without EL2 where it is linked. The
//! end of an active interrupt that has no list register is counted (EOIcount); it is the end of the
//! one acknowledged with the highest priority. With EOImode = 1 every write of ICC_DIR_EL1
//! (GICC_DIR) enters EL2, which ends exactly the interrupt that it names, an SPI on the vCPU that
//! acknowledged it.
//!
//! # Example
//! A vCPU with one list register, and a doorbell's SPI. [`Hardware`] is EL2's part; here it is an
//! array.
//!
//! ```
//! use bulkhead_vgic::{Bank, Delivery, Entry, Gic, ListRegisters, Physical, Siblings, Vcpu};
//! use plan::{GuestGic, INTERRUPT_EDGE, INTERRUPT_FIXED, Interrupt};
//! use zerocopy::FromZeros;
//!
//! #[derive(Default)]
//! struct Core { list: [u64; 1], control: u32 }
//! impl ListRegisters for Core {
//!     const SGI_SOURCES: bool = false;
//!     fn count(&self) -> usize { 1 }
//!     fn read(&self, index: usize) -> u64 { self.list[index] }
//!     fn write(&mut self, index: usize, value: u64) { self.list[index] = value }
//!     fn empty(&self) -> u32 { u32::from(self.list[0] == 0) }
//!     fn control(&self) -> u32 { self.control }
//!     fn set_control(&mut self, value: u32) { self.control = value }
//!     fn interface(&self) -> u32 { 3 } // both groups enabled, EOImode = 0
//!     fn deactivation_trap(&self) -> u32 { 0 }
//! }
//! impl Physical for Core {
//!     fn write_bank(&mut self, _: Bank, _: usize, _: u32) {}
//!     fn pending(&self, _: usize) -> u32 { 0 }
//!     fn deactivate(&mut self, _: u32) {}
//!     fn route(&mut self, _: u32, _: usize) {}
//! }
//! impl Siblings for Core {
//!     fn kick(&self, _: usize) {}
//! }
//!
//! let gic = Gic::new_zeroed();
//! let shape = GuestGic { version: 3, intids: 288 };
//! let doorbell = Interrupt { intid: 128, flags: INTERRUPT_EDGE | INTERRUPT_FIXED, vcpu: 0 };
//! gic.init(1, &shape, &[doorbell]);
//! let (mut delivery, mut core) = (Delivery::new_zeroed(), Core::default());
//! let mut vcpu = Vcpu::new(&gic, 0, &mut delivery, &mut core);
//! vcpu.reset();
//! vcpu.unpark();
//!
//! vcpu.inject(128);
//! assert!(!vcpu.is_pending()); // latched: the guest has not enabled it
//! vcpu.write(None, 0x000, 4, 2); // GICD_CTLR.EnableGrp1
//! vcpu.write(None, 0x090, 4, 1); // GICD_IGROUPR4: INTID 128 is in group 1
//! vcpu.write(None, 0x110, 4, 1); // GICD_ISENABLER4
//! assert!(vcpu.is_pending());
//! assert_eq!(Entry(core.list[0]).intid(), 128);
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod arrival;
mod distributor;
mod fill;
mod fold;
mod hardware;
mod registers;
mod state;
mod sync;
mod v2;
mod v3;
mod vcpu;
mod words;

// Loom's atomics are not made of zeroes.
#[cfg(loom)]
use {core::default::Default as Zeroed, loom::sync::atomic};
#[cfg(not(loom))]
use {core::sync::atomic, zerocopy::FromZeros as Zeroed};

pub use hardware::{Bank, Entry, Hardware, ListRegisters, Physical, Siblings, control, interface};
pub use state::Gic;
pub use v2::GICD_ISENABLER0;
pub use v3::GICR_ISENABLER0;
pub use vcpu::{Delivery, Vcpu};
