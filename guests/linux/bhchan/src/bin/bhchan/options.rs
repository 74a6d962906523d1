// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use crate::Failure;
use bhchan::{Channel, Device, Function, Wait};
use lexopt::{Arg, Parser, ValueExt};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Environment variable: a folder to use in place of `/`, for tests.
const ROOT: &str = "BHCHAN_ROOT";

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Help,
    Version,
    List,
    Bind,
    Send,
    Recv,
    Cat,
    Echo,
    Ping,
    Bench,
    Forward,
    Net,
    Tcp,
}

/// Commands by name, with the number of words that may follow.
const COMMANDS: [(&str, Command, usize); 11] = [
    ("list", Command::List, 0),
    ("bind", Command::Bind, 1),
    ("send", Command::Send, 1),
    ("recv", Command::Recv, 1),
    ("cat", Command::Cat, 1),
    ("echo", Command::Echo, 1),
    ("ping", Command::Ping, 1),
    ("bench", Command::Bench, 1),
    ("forward", Command::Forward, 2),
    ("net", Command::Net, 1),
    ("tcp", Command::Tcp, 1),
];

/// The command line, checked.
#[derive(Debug)]
pub struct Options {
    pub command: Command,
    /// Channels, or an address.
    pub words: Vec<String>,
    pub wait: Wait,
    pub timeout: Option<Duration>,
    pub bytes: u64,
    pub size: Option<usize>,
    pub lines: bool,
    pub count: Option<u64>,
    pub interval: Duration,
    pub forever: bool,
    pub tap: String,
    pub mtu: u32,
    pub up: Option<String>,
    pub offload: bool,
    pub listen: bool,
    root: PathBuf,
}

impl Options {
    /// Reads this process's command line.
    pub fn parse() -> Result<Self, Failure> {
        Self::read(Parser::from_env(), std::env::var_os(ROOT).unwrap_or_else(|| "/".into()).into())
    }

    fn read(mut parser: Parser, root: PathBuf) -> Result<Self, Failure> {
        let mut options = Self {
            command: Command::Help,
            words: Vec::new(),
            wait: Wait::Interrupt,
            timeout: None,
            bytes: 16 << 20,
            size: None,
            lines: false,
            count: None,
            interval: Duration::ZERO,
            forever: false,
            tap: "bh%d".into(),
            mtu: 1500,
            up: None,
            offload: true,
            listen: false,
            root,
        };
        let mut command = None;
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Value(word) if command.is_none() => {
                    let word = word.string()?;
                    let known = COMMANDS.iter().find(|(name, ..)| *name == word);
                    command =
                        Some(known.ok_or_else(|| Failure::Usage(format!("no command {word:?}")))?);
                }
                Arg::Value(word) => options.words.push(word.string()?),
                Arg::Short('h') | Arg::Long("help") => return Ok(options),
                Arg::Short('V') | Arg::Long("version") => {
                    return Ok(Self { command: Command::Version, ..options });
                }
                Arg::Long("poll") => options.wait = Wait::Poll,
                Arg::Long("timeout") => options.timeout = Some(seconds(&mut parser)?),
                Arg::Long("bytes") => options.bytes = bytes(&mut parser)?,
                Arg::Long("size") => options.size = Some(bytes(&mut parser)? as usize),
                Arg::Long("lines") => options.lines = true,
                Arg::Long("count") => options.count = Some(parser.value()?.parse()?),
                Arg::Long("interval") => {
                    options.interval = Duration::from_millis(parser.value()?.parse()?);
                }
                Arg::Long("forever") => options.forever = true,
                Arg::Long("tap") => options.tap = parser.value()?.string()?,
                Arg::Long("mtu") => options.mtu = parser.value()?.parse()?,
                Arg::Long("up") => options.up = Some(parser.value()?.string()?),
                Arg::Long("no-offload") => options.offload = false,
                Arg::Long("listen") => options.listen = true,
                other => return Err(other.unexpected().into()),
            }
        }
        let Some((name, command, words)) = command else {
            return Err(Failure::Usage("no command".into()));
        };
        options.command = *command;
        let needed = match command {
            Command::Forward => 2,
            Command::Tcp => 1,
            _ => 0,
        };
        if options.words.len() > *words || options.words.len() < needed {
            let what = match command {
                Command::Forward => "two channels",
                Command::Tcp => "ADDRESS:PORT",
                Command::List => "nothing",
                _ => "at most one channel",
            };
            return Err(Failure::Usage(format!("`{name}` is followed by {what}")));
        }
        Ok(options)
    }

    /// Where sysfs and /dev are.
    pub fn root(&self) -> &std::path::Path {
        &self.root
    }

    /// Returns the deadline of what starts now.
    pub fn deadline(&self) -> Option<Instant> {
        Some(Instant::now() + self.timeout?)
    }

    /// Opens the device of word `number`; with interrupts it is bound first, if it is not.
    pub fn device(&self, number: usize) -> Result<Device, Failure> {
        let name = self.words.get(number).map(String::as_str);
        let function = Function::named(&self.root, name)?;
        if self.wait == Wait::Interrupt {
            function.bind()?;
        }
        Ok(Device::open(function, self.wait)?)
    }

    /// Returns the bytes per message, within what the channel can take.
    pub fn size(&self, default: usize, channel: &Channel<'_>) -> Result<usize, Failure> {
        let longest = channel.longest();
        let size = self.size.unwrap_or(default.min(longest));
        if size > longest || size == 0 {
            let name = channel.device().name();
            let text = format!("--size: {name} takes messages of 1 to {longest} bytes");
            return Err(Failure::Usage(text));
        }
        Ok(size)
    }
}

/// Reads a number of bytes: `4096`, `64K`, `16M`.
fn bytes(parser: &mut Parser) -> Result<u64, Failure> {
    let text = parser.value()?.string()?;
    let (digits, unit) = match text.strip_suffix(['K', 'k', 'M', 'm']) {
        Some(digits) if text.ends_with(['K', 'k']) => (digits, 1 << 10),
        Some(digits) => (digits, 1 << 20),
        None => (text.as_str(), 1_u64),
    };
    let value = digits.parse::<u64>().ok().and_then(|value| value.checked_mul(unit));
    value.ok_or_else(|| Failure::Usage(format!("{text:?} is not a size such as 4096, 64K or 16M")))
}

fn seconds(parser: &mut Parser) -> Result<Duration, Failure> {
    let text = parser.value()?.string()?;
    let value = text.parse().ok().and_then(|value| Duration::try_from_secs_f64(value).ok());
    value.ok_or_else(|| Failure::Usage(format!("{text:?} is not a number of seconds")))
}

/// Prints to standard output.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    written.map_err(|error| Failure::local("write standard output", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, String> {
        let options = Options::read(Parser::from_args(line.split_whitespace()), "/".into());
        options.map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_line_has_a_command_channels_and_options() {
        let options = read("bench link --bytes 2M --size 4K --timeout 0.5 --poll").expect("good");
        assert_eq!((options.command, options.bytes), (Command::Bench, 2 << 20));
        assert_eq!((options.size, options.wait), (Some(4096), Wait::Poll));
        assert_eq!(options.timeout, Some(Duration::from_millis(500)));
        assert_eq!(options.words, ["link"]);
        assert_eq!(read("--help").expect("good").command, Command::Help);
    }

    #[test]
    fn lines_that_are_wrong_say_why() {
        for (line, why) in [
            ("", "no command"),
            ("sing", "no command \"sing\""),
            ("forward one", "`forward` is followed by two channels"),
            ("send one two", "`send` is followed by at most one channel"),
            ("tcp", "`tcp` is followed by ADDRESS:PORT"),
            ("list one", "`list` is followed by nothing"),
            ("bench --bytes 16G", "\"16G\" is not a size such as 4096, 64K or 16M"),
            ("bench --bytes 99999999999999999999", "is not a size"),
            ("recv --timeout soon", "\"soon\" is not a number of seconds"),
            ("recv --timeout -1", "\"-1\" is not a number of seconds"),
            ("recv --sideways", "invalid option '--sideways'"),
        ] {
            let text = read(line).expect_err(line);
            assert!(text.contains(why), "{line}: {text}");
            assert!(text.ends_with("; `bhchan --help` lists commands and options"), "{text}");
        }
    }

    /// The help names every command, option and exit code.
    #[test]
    fn the_help_is_complete() {
        for (name, ..) in COMMANDS {
            assert!(crate::help::TEXT.contains(&format!("\n  {name}")), "{name}");
        }
        for option in include_str!("options.rs").split("Arg::Long(\"").skip(1) {
            let Some((option, _)) = option.split_once("\") =>") else { continue };
            assert!(crate::help::TEXT.contains(&format!("--{option}")), "{option}");
        }
        for code in 0..=7 {
            assert!(crate::help::TEXT.contains(&format!("\n  {code}  ")), "{code}");
        }
        let widest = crate::help::TEXT.lines().map(str::len).max();
        assert!(widest <= Some(100), "{widest:?}");
    }
}
