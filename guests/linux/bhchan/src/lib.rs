// SPDX-License-Identifier: MIT OR Apache-2.0
//! Channels of Bulkhead for programs under Linux: a stock kernel, no module of our own.
//!
//! EL2 shows a channel's end as a PCI function (ivshmem version 2, vendor 110a, device 4106,
//! subsystem 110a:4248). [`Function::all`] finds such functions in sysfs, [`Function::bind`] gives
//! one to the kernel's `uio_pci_generic`, and [`Device::open`] maps its registers and pages. A
//! [`Channel`] then is the message ring of the crate `bulkhead-channel`, the same code that
//! bare-metal guests use, with the blocking that an operating system offers.
//!
//! **Attributes.** The kernel maps `resource2` as Device memory, on which a program's copies may
//! fault and are slow, and `resource2_wc` as Normal Non-cacheable memory. EL2 gives both ends of
//! such a channel Normal Non-cacheable pages in stage 2, so the two ends agree. Exclusive accesses
//! are not guaranteed to work on such memory: the ring uses only loads, stores and fences, and so
//! does this crate.
//!
//! **Interrupts.** [`Channel::arm`] prepares a sleep, in this order: it rewrites the Command
//! register (the kernel's handler has set INTxDisable), enables BAR0's one-shot interrupt, and then
//! looks at the ring. A doorbell that came before is seen in the ring, and one that comes later
//! raises the interrupt. [`Channel::fd`] is the descriptor to sleep on, for epoll or [`sleep`].
//!
//! **Lives.** Each end's partition has a generation, which EL2 raises when it starts again. A peer
//! that restarts breaks the connection: the next operation returns [`Error::Restarted`] once, and
//! the channel then belongs to the peer's new life. A program that restarts while its partition
//! runs on takes the channel over where the one before it stopped.
//!
//! ```no_run
//! use bhchan::{Channel, Device, Function, Wait};
//!
//! let function = Function::named("/".as_ref(), Some("sensor"))?;
//! function.bind()?;
//! let device = Device::open(function, Wait::Interrupt)?;
//! let mut channel = Channel::open(&device)?;
//! channel.send(b"hello", None)?;
//! let mut buffer = vec![0; channel.longest_received()];
//! let length = channel.recv(&mut buffer, None)?;
//! println!("{:?}", &buffer[..length]);
//! # Ok::<(), bhchan::Error>(())
//! ```
#![deny(unsafe_code)]

mod channel;
mod device;
mod error;
mod function;
#[allow(unsafe_code)]
mod sys;
mod tap;

pub use ::channel as ring;
pub use channel::{Channel, Counts, Interest, Sleep, sleep};
pub use device::{Device, Wait};
pub use error::{Error, Result};
pub use function::{Function, Sections, config, registers};
pub use sys::{Pages, Registers};
pub use tap::{FRAME_HEADER, Offload, Tap};
