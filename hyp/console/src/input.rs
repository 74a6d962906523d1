//! Console input: bytes for the partition that has the input, and commands to EL2 after Ctrl-A.

use crate::Ring;

/// The key before a command; pressed twice, it is input itself.
const CTRL_A: u8 = 0x01;
/// State of the input between two bytes.
#[derive(Default)]
pub struct Keys {
    /// The last byte was a Ctrl-A.
    command: bool,
    /// Time since which the ring has been full.
    full_since: Option<u64>,
}

/// What [`Keys::take`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// Nothing was taken: the ring has no room. Call again later.
    Waits,
    /// A byte was taken for which the ring has no room, or the first byte of a command.
    Nothing,
    /// A byte was taken, and there is no ring.
    Key(u8),
    /// A byte was put into the ring.
    Text,
    /// A command was taken: the byte after Ctrl-A.
    Command(u8),
}

impl Keys {
    /// Takes one byte from `read`, if there is one, and puts it into `ring`, that of the partition
    /// that has the input.
    ///
    /// While the ring is full nothing is taken, so that the sender waits and nothing is lost. After
    /// `patience` input is dropped: a guest that never reads can delay a command only so long.
    pub fn take(
        &mut self,
        ring: Option<&Ring>,
        now: u64,
        patience: u64,
        read: impl FnOnce() -> Option<u8>,
    ) -> Option<Typed> {
        if ring.is_some_and(|ring| ring.room() == 0) {
            let since = *self.full_since.get_or_insert(now);
            if now.wrapping_sub(since) < patience {
                return Some(Typed::Waits);
            }
        }
        let byte = read()?;
        let command = core::mem::take(&mut self.command);
        if byte == CTRL_A && !command {
            self.command = true;
        } else if byte != CTRL_A && command {
            return Some(Typed::Command(byte));
        } else if ring.is_some_and(|ring| ring.put(byte)) {
            self.full_since = None;
            return Some(Typed::Text);
        } else if ring.is_none() {
            return Some(Typed::Key(byte));
        }
        Some(Typed::Nothing)
    }
}
