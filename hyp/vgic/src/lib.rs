//! The virtual GIC of one partition: one state machine, pure and testable on the host, under two thin faces,
//! GICv2 and GICv3.
//!
//! - [`Gic`] is what a partition's cores share: distributor and redistributors, atomics only, no lock.
//! - [`Delivery`] is one core's own: which INTID sits in which list register.
//! - [`Vcpu`] joins both with the core's hardware ([`Hardware`]) for as long as EL2 handles one entry. All operations are its methods.
//!
//! References: IHI 0069 is the GICv3 architecture specification, IHI 0048 the GICv2 one.
//!
//! # Where an interrupt's state is
//! An interrupt is pending or active in one of three places, and moves between them on the core that holds it:
//! 1. **a list register** of the vCPU it is routed to; the guest acknowledges and ends it there without EL2;
//! 2. **a latch** in [`Gic`]: software interrupts that cannot be delivered yet; physical ones that found every list register full (EL2 has
//!    acknowledged them, they stay physically active and cannot arrive again); active ones that have no list register. A latch keeps what was moved to a list register until its
//!    core looks again, for siblings to read; the list register is what counts;
//! 3. **the physical GIC**: an owned interrupt that the guest has disabled, in its own register or by its group, is disabled there too, so that hardware keeps its state. One that
//!    is retracted from a list register goes back: it is deactivated, and made pending again if it is edge-triggered or was made pending by a register write. A level that the device
//!    has withdrawn meanwhile is gone, as it should be; one still asserted arrives again when it is enabled.
//!
//! Whatever does not fit at once goes one way (`sync.rs`): list registers are emptied into the latches, the latches changed, and the list registers filled again.
//! Only the core that holds an interrupt does that. A register write of pending or active bits, the own core's too, is a request beside
//! the latch and, to a sibling, one kick; [`Vcpu::inbox`] on that core does the rest.
//!
//! # What is approximated
//! - Pending and active bits of an interrupt that a *sibling* holds, or that is private to it, read as that core last saw them; the
//!   read asks it to look again. A guest that polls sees the true value.
//! - A write of a sibling's GICR_ICPENDR0 also takes an edge of that PPI that comes before the sibling's core has handled the writer's kick.
//! - One-of-N routing is not offered (GICD_TYPER.No1N = 1): a write of IROUTER.IRM = 1 selects vCPU 0.
//! - A level that its device withdraws, or a second edge, between EL2's acknowledgement and the guest's, may be signalled once although a bare GIC
//!   would not: IAR and WFI enter no EL2. The window is open from the withdrawal to the next entry of that core that looks at the line
//!   ([`Vcpu::sample`]), or to the guest's acknowledgement. A guest that makes no entry keeps it open; reading ISPENDR closes it.
//! - Priority and group of an interrupt changed while it is active count from the next time it becomes pending.
//! - A physical SPI that is routed to another vCPU and arrives there at the very moment in which its last holder empties its list
//!   registers may be forgotten by both: it stays physically active until it is deactivated by a register write.
//! - GICv2: an SGI that is active and sent again waits until its deactivation, also where the guest drops priority earlier (`GICC_CTLR.EOImode` = 1).
//! - GICv2: a pending interrupt of a group that the guest has off in its CPU interface may stand before less important ones of
//!   the other group, as hardware's virtual CPU interface has it.
//!
//! # Ends
//! With EOImode = 0 an end is the guest's and the hardware's alone, where interrupts are linked. The end of an active interrupt that has no
//! list register is counted (EOIcount), and is that of the one acknowledged with the highest priority. With EOImode = 1 every write of
//! ICC_DIR_EL1 (GICC_DIR) enters EL2, which ends exactly what it names, an SPI on whichever vCPU it was acknowledged.
//!
//! # Example
//! A vCPU with one list register, and a doorbell's SPI. [`Hardware`] is EL2's part: here, an array.
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
//! let shape = GuestGic { version: 3, intids: 288, gicd_ipa: 0x0800_0000, gicr_ipa: 0x080a_0000 };
//! gic.init(1, &shape, &[Interrupt { intid: 128, flags: INTERRUPT_EDGE | INTERRUPT_FIXED, vcpu: 0 }]);
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

mod ends;
mod hardware;
mod registers;
mod state;
mod sync;
mod v2;
mod v3;
mod vcpu;

pub use hardware::{Bank, Entry, Hardware, ListRegisters, Physical, Siblings, control, interface};
pub use state::{Delivery, Gic};
pub use vcpu::Vcpu;
