//! What is typed: bytes for the partition that has the input, and commands to EL2 behind Ctrl-A.

use crate::Ring;

/// The key before a command; twice, it is typed itself.
const CTRL_A: u8 = 0x01;
/// The state between two bytes.
#[derive(Default)]
pub struct Keys {
    /// The last byte was a Ctrl-A.
    command: bool,
    /// Since when the ring has been full.
    full_since: Option<u64>,
}

/// What [`Keys::take`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// It waits for room: look again later.
    Waits,
    /// It took what is for nobody.
    Nothing,
    /// The ring got a byte.
    Text,
    /// It took a command: the byte behind Ctrl-A.
    Command(u8),
}

impl Keys {
    /// Takes what `read` gives, if there is something, and puts it into `ring`, that of the
    /// partition that has the input.
    ///
    /// While that is full nothing is taken, so that the sender waits and nothing is lost. After
    /// `patience` what is typed is dropped: so long can a guest that never reads keep whoever wants
    /// to type a command.
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
        }
        Some(Typed::Nothing)
    }
}
