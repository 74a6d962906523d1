//! The virtual GIC of one partition: one state machine, pure and testable on the host, under a thin GICv3 face.
//!
//! - [`Gic`] is what a partition's cores share: the distributor and one [`Bank`] a vCPU, atomics only, no lock.
//! - [`Delivery`] is one core's own: which INTID sits in which list register.
//! - [`Vcpu`] joins both with the core's hardware ([`Hardware`]) for as long as EL2 handles one entry. All operations are its methods.
//!
//! References: IHI 0069 is the GICv3 architecture specification, IHI 0048 the GICv2 one.
//!
//! # Where an interrupt's state is
//! An interrupt is pending or active in one of three places, and moves between them on the core that has it:
//! 1. **a list register** of the vCPU it is routed to; the guest acknowledges and ends it there without EL2;
//! 2. **a latch** in [`Gic`]: software interrupts that cannot be delivered yet; physical ones that found every list register full (EL2 has
//!    acknowledged them, they stay physically active and cannot arrive again); active ones that had to leave their list register;
//! 3. **the physical GIC**: an owned interrupt that the guest has disabled, in its own register or by its group, is disabled there too, so that hardware keeps its state. One that
//!    is retracted from a list register goes back: it is deactivated, and made pending again if it is edge-triggered or was made pending by a register write. A level that the device
//!    has withdrawn meanwhile is gone, as it should be; one still asserted arrives again when it is enabled.
//!
//! Only the core that holds an interrupt in a list register or latched touches it there. A sibling's register write changes the shared words, leaves a request in the
//! holder's [`Bank`] and sends one kick; [`Vcpu::inbox`] on the holder's core does the rest.
//!
//! # What is approximated
//! - Pending and active bits of an interrupt that sits in a *sibling's* list register read as that core last published them; the
//!   read asks it to publish again. A guest that polls sees the true value.
//! - An interrupt whose group GICD_CTLR enables and the vCPU's own ICC_IGRPENn disables still takes a list register.
//! - One-of-N routing is not offered (GICD_TYPER.No1N = 1): a write of IROUTER.IRM = 1 selects vCPU 0.
//! - Hardware-linked interrupts (any hypervisor's): a level that its device withdraws, and a second edge, between EL2's acknowledgement and the
//!   guest's are each signalled once more than a bare GIC would.
//! - Priority and group of an interrupt changed while it is active count from the next time it becomes pending.
//! - A level interrupt made pending by a register write and then retracted may arrive once more; none is lost.
//! - With `ICC_CTLR_EL1.EOImode` = 1, active interrupts that left their list register need ICC_DIR_EL1 trapped ([`control::TDIR`], where
//!   `ICH_VTR_EL2.TDS` says so) and handed to [`Vcpu::deactivate`].
#![no_std]
#![forbid(unsafe_code)]

mod bits;
mod drops;
mod hardware;
mod overflow;
mod registers;
mod state;
mod sync;
mod vcpu;

pub use hardware::{Entry, Hardware, ListRegisters, Physical, Siblings, control};
pub use state::{Bank, Delivery, Gic};
pub use vcpu::{SgiRegister, Vcpu};
