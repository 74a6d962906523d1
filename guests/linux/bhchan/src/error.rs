// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors, each with what to do about it.

use std::fmt::{Display, Formatter};
use std::io;
use std::path::PathBuf;

/// Result of an operation on a channel.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed.
#[derive(Debug)]
pub enum Error {
    /// No PCI function of a channel is there.
    NoFunction,
    /// No channel has this name or address.
    Unknown {
        /// What was looked for.
        name: String,
        /// The channels that are there.
        known: Vec<String>,
    },
    /// Several channels are there, and none was named.
    Several(Vec<String>),
    /// The kernel has no driver `uio_pci_generic`.
    NoModule,
    /// The function has no UIO device: it is not bound to `uio_pci_generic`.
    NotBound(String),
    /// Another process has the channel open.
    Busy(String),
    /// This user may not do it.
    NotPermitted(PathBuf),
    /// The function is not what EL2 shows.
    Malformed {
        /// The function's address.
        address: String,
        /// What is wrong.
        what: String,
    },
    /// The kernel refused an operation.
    Io {
        /// The operation.
        doing: String,
        /// Why.
        source: io::Error,
    },
    /// The message is too long, the buffer too short, or the peer broke the protocol.
    Ring(channel::Error),
    /// The peer's partition has begun another life. The channel is of that life now.
    Restarted {
        /// Messages that the peer had not taken, as far as this end knew: at most so many are lost.
        lost: u32,
    },
    /// The deadline has passed.
    TimedOut,
}

impl Error {
    /// Returns the error of an operation on a file.
    pub(crate) fn file(
        doing: &str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        let (path, source) = (path.into(), source.into());
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::NotPermitted(path),
            _ => Self::Io { doing: format!("{doing} {}", path.display()), source },
        }
    }

    /// Returns the error of an operation that has no file.
    pub fn io(doing: &str, source: impl Into<io::Error>) -> Self {
        Self::Io { doing: doing.to_owned(), source: source.into() }
    }
}

impl From<channel::Error> for Error {
    fn from(error: channel::Error) -> Self {
        Self::Ring(error)
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoFunction => f.write_str(
                "no channel: there is no PCI function 110a:4106 of subsystem 110a:4248; give this \
                 partition's end of a [[channel]] the view \"ivshmem\" (key `views`) in the \
                 system's manifest",
            ),
            Self::Unknown { name, known } => {
                write!(f, "no channel {name:?}; there are: {}", known.join(", "))
            }
            Self::Several(known) => {
                write!(f, "name one of the channels: {}", known.join(", "))
            }
            Self::NoModule => f.write_str(
                "the kernel has no driver uio_pci_generic: run `modprobe uio_pci_generic`, or use \
                 --poll, which needs no driver",
            ),
            Self::NotBound(address) => write!(
                f,
                "{address} is not bound to uio_pci_generic: run `bhchan bind` as root, or use \
                 --poll, which needs no driver"
            ),
            Self::Busy(address) => write!(f, "{address}: another process has this channel open"),
            Self::NotPermitted(path) => write!(
                f,
                "not permitted: {}; run as root, or as a member of the group that the udev rule \
                 60-bhchan.rules names",
                path.display()
            ),
            Self::Malformed { address, what } => write!(f, "{address}: {what}"),
            Self::Io { doing, source } => write!(f, "cannot {doing}: {source}"),
            Self::Ring(error) => error.fmt(f),
            Self::Restarted { lost } => {
                write!(f, "the peer has restarted: at most {lost} messages are lost")
            }
            Self::TimedOut => f.write_str("nothing came in time"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Ring(error) => Some(error),
            _ => None,
        }
    }
}
