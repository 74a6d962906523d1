//! Orders by name, and the numbers in them.

use abi::call;

use super::actor::{Order, Place, Task};

/// Registers of the distributor, and of the part of it that a GICv3 has per vCPU (IHI 0069, 12.8;
/// IHI 0048, 4.3).
pub const CTLR: u64 = 0x000;
pub const TYPER: u64 = 0x004;
pub const ISENABLER: u64 = 0x100;
pub const ICENABLER: u64 = 0x180;
pub const ISPENDR: u64 = 0x200;
pub const ICPENDR: u64 = 0x280;
pub const ISACTIVER: u64 = 0x300;
pub const IPRIORITYR: u64 = 0x400;
pub const ITARGETSR: u64 = 0x800;
pub const ICFGR: u64 = 0xc00;
pub const IROUTER: u64 = 0x6000;
/// `PSCI_VERSION`.
pub const PSCI_VERSION: u32 = 0x8400_0000;
/// UARTFR.
pub const FLAGS: u64 = 0x18;

/// The SPI that `tests/systems/paths.toml` gives, which no device raises.
pub const SPI: u64 = 208;
/// First interrupt of channel ends, which are in the order of the channels.
pub const DOORBELLS: u64 = 128;
/// The most urgent priority used, and the least difference that a virtual CPU interface with 32
/// priorities knows.
pub const URGENT: u64 = 0x20;
pub const STEP: u64 = 8;
/// More SGIs than there are list registers.
pub const SGIS: core::ops::Range<u64> = 0..8;
/// Handles, by the order of the channels in the manifest.
pub const FIRST: u64 = 0;
pub const SECOND: u64 = 1;
pub const SLOW: u64 = 2;
pub const POLLED: u64 = 3;
/// The peer's end of the sibling's channel.
pub const SIBLINGS: u64 = 4;

pub const TAKE: Order = (Task::Take, [0; 4]);
pub const SIGNALLED: Order = (Task::Signalled, [0; 4]);
pub const AWAIT: Order = (Task::Await, [0; 4]);
pub const ACKNOWLEDGE: Order = (Task::Acknowledge, [0; 4]);
pub const ARM: Order = (Task::Arm, [0; 4]);
pub const DISARM: Order = (Task::Disarm, [0; 4]);

pub fn hvc(function: u32, a: u64, b: u64) -> Order {
    (Task::Hvc, [function.into(), a, b, 0])
}

pub fn ring(handle: u64) -> Order {
    hvc(call::RING, handle, 0)
}

pub fn status(handle: u64) -> Order {
    (Task::Status, [handle, 0, 0, 0])
}

pub fn send(intid: u64, vcpu: u64) -> Order {
    (Task::Send, [intid, vcpu, 0, 0])
}

pub fn end(intid: u64) -> Order {
    (Task::End, [intid, 0, 0, 0])
}

pub fn mask(priority: u64) -> Order {
    (Task::Mask, [priority, 0, 0, 0])
}

pub fn read(place: Place, offset: u64) -> Order {
    (Task::Read, [place as u64, offset, 0, 0])
}

pub fn write(place: Place, offset: u64, value: u64) -> Order {
    (Task::Write, [place as u64, offset, value, 0])
}

pub fn write_byte(place: Place, offset: u64, value: u64) -> Order {
    (Task::WriteByte, [place as u64, offset, value, 0])
}

/// Writes the bit of `intid` in the bank at `register`.
pub fn set(register: u64, intid: u64) -> Order {
    let place = if intid < 32 { Place::Private } else { Place::Distributor };
    write(place, register + intid / 32 * 4, 1 << (intid % 32))
}

/// Reads the word with that bit.
pub fn get(register: u64, intid: u64) -> Order {
    let place = if intid < 32 { Place::Private } else { Place::Distributor };
    read(place, register + intid / 32 * 4)
}
