// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bhchan`: channels of Bulkhead from the command line of a stock Linux.
#![forbid(unsafe_code)]

mod bench;
mod copy;
mod echo;
mod forward;
mod help;
mod list;
mod net;
mod options;
mod pattern;
mod ping;
mod tcp;

use options::{Command, Options};
use std::fmt::{Display, Formatter};
use std::process::ExitCode;

/// Why a command failed, as its exit code.
#[derive(Debug)]
enum Failure {
    /// The command line is wrong.
    Usage(String),
    /// The library's error.
    Channel(bhchan::Error),
    /// The peer is not what it should be: other data, another program, another MTU.
    Peer(String),
    /// Standard input, standard output, or a program that was started.
    Local(String),
}

impl Failure {
    /// Returns the exit code that [`help::TEXT`] documents.
    fn code(&self) -> u8 {
        use bhchan::Error as E;
        match self {
            Self::Usage(_) => 2,
            Self::Channel(
                E::NoFunction
                | E::Unknown { .. }
                | E::Several(_)
                | E::NoModule
                | E::NotBound(_)
                | E::NotPermitted(_),
            ) => 3,
            Self::Channel(E::Busy(_)) => 4,
            Self::Channel(E::TimedOut) => 5,
            Self::Channel(E::Restarted { .. }) => 6,
            Self::Channel(E::Ring(_)) | Self::Peer(_) => 7,
            Self::Channel(E::Malformed { .. } | E::Io { .. }) | Self::Local(_) => 1,
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(text) => write!(f, "{text}; `bhchan --help` lists commands and options"),
            Self::Channel(error) => error.fmt(f),
            Self::Peer(text) | Self::Local(text) => f.write_str(text),
        }
    }
}

impl From<bhchan::Error> for Failure {
    fn from(error: bhchan::Error) -> Self {
        Self::Channel(error)
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

impl Failure {
    /// Returns the failure of an operation of this program's own.
    fn local(doing: &str, error: &std::io::Error) -> Self {
        Self::Local(format!("cannot {doing}: {error}"))
    }
}

fn main() -> ExitCode {
    match Options::parse().and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bhchan: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    match options.command {
        Command::Help => options::print(help::TEXT),
        Command::Version => options::print(concat!("bhchan ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::List => list::list(options),
        Command::Bind => list::bind(options),
        Command::Send => copy::send(options),
        Command::Recv => copy::recv(options),
        Command::Cat => copy::cat(options),
        Command::Echo => echo::run(options),
        Command::Ping => ping::run(options),
        Command::Bench => bench::run(options),
        Command::Forward => forward::run(options),
        Command::Net => net::run(options),
        Command::Tcp => tcp::run(options),
    }
}
