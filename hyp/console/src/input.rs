//! What is typed: bytes for the partition that has the input, and commands to EL2 behind Ctrl-A.

use crate::Ring;

/// The key before a command; twice, it is typed itself.
const CTRL_A: u8 = 0x01;
/// How often a full ring is waited for until what is typed is dropped: a second of the console core's steps. So long can a
/// guest that never reads keep whoever wants to type something else.
pub(crate) const WAITS: u32 = 64_000;

/// The state between two bytes.
#[derive(Default)]
pub struct Keys {
    /// The last byte was a Ctrl-A.
    command: bool,
    /// How often the ring was waited for since something went in.
    waits: u32,
}

/// What [`Keys::take`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// It waited for room, or took what is for nobody.
    Nothing,
    /// The ring got a byte.
    Text,
    /// It took a command: the byte behind Ctrl-A.
    Command(u8),
}

impl Keys {
    /// Takes what `read` gives, if there is something, and puts it into `ring`, that of the partition that has the input.
    ///
    /// While that is full nothing is taken, so that the sender waits and nothing is lost, unless it lasts too long.
    pub fn take(
        &mut self,
        ring: Option<&Ring>,
        read: impl FnOnce() -> Option<u8>,
    ) -> Option<Typed> {
        if self.waits < WAITS && ring.is_some_and(|ring| ring.room() == 0) {
            self.waits += 1;
            return Some(Typed::Nothing);
        }
        let byte = read()?;
        let command = core::mem::take(&mut self.command);
        if byte == CTRL_A && !command {
            self.command = true;
        } else if byte != CTRL_A && command {
            return Some(Typed::Command(byte));
        } else if ring.is_some_and(|ring| ring.put(&[&[byte]])) {
            self.waits = 0;
            return Some(Typed::Text);
        }
        Some(Typed::Nothing)
    }
}
