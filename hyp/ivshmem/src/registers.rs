//! The registers of BAR0 (ivshmem, "Register Region"), and those that Bulkhead adds in the part
//! which the specification leaves empty. All accesses are of 4 aligned bytes; others read as zero
//! and have no effect.

use core::sync::atomic::Ordering::{AcqRel, Acquire};

use crate::{Facts, Function, action, control};

/// Read-only: the function's own ID.
pub const ID: u64 = 0x00;
/// Read-only: the number of IDs.
pub const MAXIMUM_PEERS: u64 = 0x04;
/// Bit 0: interrupts are on. One-shot mode clears it at a delivery.
pub const INTERRUPT_CONTROL: u64 = 0x08;
/// Write-only: target ID in bits 31:16, vector in bits 15:0. There is one vector, 0.
pub const DOORBELL: u64 = 0x0c;
/// The own state, which the state table shows the peer.
pub const STATE: u64 = 0x10;
/// Bulkhead's, read-only: generation of the own partition.
pub const OWN_GENERATION: u64 = 0x20;
/// Bulkhead's, read-only: generation of the peer's partition.
pub const PEER_GENERATION: u64 = 0x24;
/// Bulkhead's, read-only: state of the peer's partition, as the call `PEER` returns it.
pub const PEER_STATE: u64 = 0x28;
/// Bulkhead's, read-only: how the peer waits: 0 by doorbell; otherwise it takes none.
pub const PEER_WAIT: u64 = 0x2c;
/// Bulkhead's, read-only: the channel's name, 16 bytes, padded with zeros.
pub const NAME: u64 = 0x30;

impl Function<'_> {
    /// Returns the `size` bytes of the register at `offset`. `facts` is called for registers that
    /// only EL2 can answer.
    pub fn read_register(&self, offset: u64, size: u64, facts: impl FnOnce() -> Facts) -> u64 {
        if size != 4 || !offset.is_multiple_of(4) {
            return 0;
        }
        let value = match offset {
            ID => self.view.id,
            MAXIMUM_PEERS => 2,
            INTERRUPT_CONTROL => u32::from(self.state.control.load(Acquire) & control::ENABLE != 0),
            STATE => self.state.state.load(Acquire),
            OWN_GENERATION => facts().generations[0],
            PEER_GENERATION => facts().generations[1],
            PEER_STATE => facts().peer_state,
            PEER_WAIT => self.view.peer_wait,
            _ => {
                let at = offset.wrapping_sub(NAME) as usize;
                let bytes = self.view.name.get(at..).and_then(|name| name.first_chunk());
                bytes.map_or(0, |&bytes| u32::from_le_bytes(bytes))
            }
        };
        value.into()
    }

    /// Writes the register at `offset`, of which `value` has `size` bytes. Returns bits of
    /// [`action`].
    pub fn write_register(&self, offset: u64, size: u64, value: u64) -> u32 {
        if size != 4 {
            return 0;
        }
        let value = value as u32;
        match offset {
            INTERRUPT_CONTROL => {
                let enable = if value & 1 != 0 { control::ENABLE } else { 0 };
                self.change(|old| (old & !control::ENABLE | enable, ()));
                0
            }
            DOORBELL => {
                let (target, vector) = (value >> 16, value as u16);
                let is_own = target == self.view.id;
                match (vector, target) {
                    (0, _) if is_own && self.arrive() => action::PULSE,
                    (0, 0 | 1) if !is_own => action::RING,
                    _ => 0,
                }
            }
            STATE if self.state.state.swap(value, AcqRel) != value => action::STATE,
            _ => 0,
        }
    }
}
