// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opens a port: a serial device or pty at 115200 8N1, or a TCP connection to a server of one.

use anyhow::{Context, Result, anyhow, bail};
use runner::qemu::pieces;
use rustix::fs::{FlockOperation, Mode, OFlags, fcntl_setfl, flock, open};
use rustix::io::Errno;
use rustix::termios::{
    ControlModes, OptionalActions, QueueSelector, SpecialCodeIndex, ioctl_tiocexcl, isatty,
    tcdrain, tcflush, tcgetattr, tcsetattr,
};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// Bits per second of a board's console.
pub const BAUD: u32 = 115_200;
/// Start of the name of a TCP server.
pub const TCP: &str = "tcp://";
/// Time for a TCP connection.
const CONNECT: Duration = Duration::from_secs(10);

/// An open port.
pub struct Port {
    /// Its name, for messages.
    pub name: String,
    /// The board's bytes, in pieces as they come. It ends with the port.
    pub bytes: Receiver<Vec<u8>>,
    /// Bytes for the board.
    pub output: Box<dyn Write + Send>,
    /// Sets its rate, bits per second; none where it cannot be set.
    pub rate: Option<SetRate>,
}

/// Sets a port's rate.
pub type SetRate = Box<dyn FnMut(u32) -> Result<()> + Send>;

impl Port {
    /// Makes a port of two streams.
    pub fn of(
        name: impl Into<String>,
        input: impl Read + Send + 'static,
        output: impl Write + Send + 'static,
    ) -> Self {
        Self { name: name.into(), bytes: pieces(input), output: Box::new(output), rate: None }
    }

    /// Sets the rate after everything was sent; returns whether the port has one to set.
    ///
    /// # Errors
    /// If it does not take this rate.
    pub fn set_rate(&mut self, baud: u32) -> Result<bool> {
        match &mut self.rate {
            Some(set) => set(baud).map(|()| true),
            None => Ok(false),
        }
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// If the port does not take them.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let sent = self.output.write_all(bytes).and_then(|()| self.output.flush());
        sent.with_context(|| format!("{}: cannot write to the port", self.name))
    }

    /// Opens `/dev/ttyUSB0`, a pty, or `tcp://HOST:PORT`.
    ///
    /// # Errors
    /// If it cannot be opened, is no serial port, or another program has it.
    pub fn open(name: &str) -> Result<Self> {
        match name.strip_prefix(TCP) {
            Some(server) => tcp(name, server),
            None => device(name),
        }
    }
}

fn tcp(name: &str, server: &str) -> Result<Port> {
    let wanted = || format!("--port {name}: expected {TCP}HOST:PORT");
    let mut addresses = server.to_socket_addrs().with_context(wanted)?;
    let address = addresses.next().with_context(wanted)?;
    let stream = TcpStream::connect_timeout(&address, CONNECT)
        .with_context(|| format!("--port {name}: no server answers there"))?;
    // An order is one line, which must not wait for more.
    stream.set_nodelay(true).with_context(wanted)?;
    let input = stream.try_clone().with_context(wanted)?;
    Ok(Port::of(name, input, stream))
}

fn device(name: &str) -> Result<Port> {
    // Without NONBLOCK an adapter with modem lines would wait for a carrier.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = open(name, flags, Mode::empty()).map_err(|error| refusal(name, error))?;
    if !isatty(&file) {
        bail!("--port {name}: this is not a serial port; `cargo xtask flash` lists those on USB");
    }
    // TIOCEXCL keeps later programs out, the lock those that ask for it, such as picocom.
    let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
    locked.map_err(|error| refusal(name, error))?;
    ioctl_tiocexcl(&file).map_err(|error| refusal(name, error))?;
    let wanted = || format!("--port {name}: it does not take {BAUD} baud 8N1");
    let mut settings = tcgetattr(&file).with_context(wanted)?;
    settings.make_raw();
    settings.control_modes -= ControlModes::CSTOPB | ControlModes::PARENB | ControlModes::CRTSCTS;
    settings.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
    settings.special_codes[SpecialCodeIndex::VMIN] = 1;
    settings.special_codes[SpecialCodeIndex::VTIME] = 0;
    settings.set_speed(BAUD).with_context(wanted)?;
    tcsetattr(&file, OptionalActions::Now, &settings).with_context(wanted)?;
    // What came before is of no run.
    tcflush(&file, QueueSelector::IOFlush).with_context(wanted)?;
    fcntl_setfl(&file, OFlags::empty()).with_context(wanted)?;
    let output = File::from(file);
    let input = output.try_clone().with_context(wanted)?;
    let rated = output.try_clone().with_context(wanted)?;
    let shown = name.to_owned();
    let mut port = Port::of(name, input, output);
    port.rate = Some(Box::new(move |baud| {
        let wanted = || format!("--port {shown}: it does not take {baud} baud");
        tcdrain(&rated).with_context(wanted)?;
        let mut settings = tcgetattr(&rated).with_context(wanted)?;
        settings.set_speed(baud).with_context(wanted)?;
        tcsetattr(&rated, OptionalActions::Now, &settings).with_context(wanted)
    }));
    Ok(port)
}

/// Says why a port cannot be opened, and what to do.
fn refusal(name: &str, error: Errno) -> anyhow::Error {
    match error {
        Errno::NOENT => {
            anyhow!("--port {name}: there is no such port; `cargo xtask flash` lists those on USB")
        }
        Errno::ACCESS | Errno::PERM => {
            let group = group(Path::new(name)).unwrap_or_else(|| "dialout".to_owned());
            anyhow!(
                "--port {name}: this user may not open it; it belongs to the group {group}: \
                 `sudo usermod -aG {group} $USER`, then log in again"
            )
        }
        Errno::BUSY | Errno::WOULDBLOCK => anyhow!(
            "--port {name}: another program has it (a terminal program, ModemManager); end that \
             one first"
        ),
        Errno::NODEV | Errno::NXIO | Errno::IO => {
            anyhow!("--port {name}: the adapter does not answer; plug it in again")
        }
        error => anyhow!(error).context(format!("--port {name}: cannot open it")),
    }
}

/// Returns the name of the group that a file belongs to.
fn group(path: &Path) -> Option<String> {
    let id = std::fs::metadata(path).ok()?.gid().to_string();
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    let fields = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut found = fields.filter(|fields| fields.get(2) == Some(&id.as_str()));
    found.next().map(|fields| fields[0].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    fn why(name: &str) -> String {
        Port::open(name).err().map(|error| format!("{error:#}")).unwrap_or_default()
    }

    #[test]
    fn a_port_that_cannot_be_opened_says_what_to_do() {
        let absent = why("/dev/there-is-no-such-port");
        assert!(absent.contains("`cargo xtask flash` lists"), "{absent}");
        let file = tempfile::NamedTempFile::new().expect("a file");
        let other = why(&file.path().display().to_string());
        assert!(other.contains("not a serial port"), "{other}");
        let form = why("tcp://nowhere");
        assert!(form.contains("expected tcp://HOST:PORT"), "{form}");
        let text = refusal("/dev/null", Errno::ACCESS).to_string();
        assert!(
            text.contains("belongs to the group root: `sudo usermod -aG root $USER`"),
            "{text}"
        );
    }

    #[test]
    fn a_pty_is_a_port_and_only_one_program_has_it() {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pty");
        grantpt(&controller).expect("its rights");
        unlockpt(&controller).expect("its lock");
        let name = ptsname(&controller, Vec::new()).expect("its name");
        let name = name.to_str().expect("text").to_owned();
        let mut port = Port::open(&name).expect("the first one");
        let second = why(&name);
        assert!(second.contains("another program has it"), "{second}");
        let mut controller = File::from(controller);
        controller.write_all(b"a\r\n\x01\x7f").expect("the board's bytes");
        let mut seen = Vec::new();
        while seen.len() < 5 {
            seen.extend(port.bytes.recv_timeout(Duration::from_secs(5)).expect("bytes"));
        }
        assert_eq!(seen, b"a\r\n\x01\x7f", "not one of them is changed");
        port.output.write_all(b"run\n").expect("bytes for the board");
        let mut order = [0; 4];
        controller.read_exact(&mut order).expect("the same");
        assert_eq!(&order, b"run\n", "no line feed is changed, and nothing is echoed");
    }
}
