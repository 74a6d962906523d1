// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bhchan tcp`: a self-test of a connection over TCP, as over the bridge of `bhchan net`.

use crate::Failure;
use crate::options::{Options, print};
use crate::pattern::{Checksum, Pattern};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Bytes per read and write.
const SIZE: usize = 64 << 10;
/// Pause between two attempts to connect, while nobody listens.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest wait for the listener's end.
const LAST: Duration = Duration::from_secs(2);

/// Sends and checks, or listens.
pub fn run(options: &Options) -> Result<(), Failure> {
    let address = options.words.first().map_or("", String::as_str);
    if options.listen { listen(address, options) } else { talk(address, options) }
}

/// Returns the failure of an operation on a connection.
fn failed(doing: &str, error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => bhchan::Error::TimedOut.into(),
        _ => Failure::local(doing, error),
    }
}

fn limit(connection: &TcpStream, options: &Options) -> Result<(), Failure> {
    let set = connection.set_read_timeout(options.timeout);
    let set = set.and_then(|()| connection.set_write_timeout(options.timeout));
    set.map_err(|error| failed("set a time limit", &error))
}

/// Sends back what comes over one connection.
fn listen(address: &str, options: &Options) -> Result<(), Failure> {
    let socket = TcpListener::bind(address);
    let socket = socket.map_err(|error| failed(&format!("listen at {address}"), &error))?;
    let (mut connection, peer) =
        socket.accept().map_err(|error| failed("take a connection", &error))?;
    limit(&connection, options)?;
    let mut buffer = vec![0; SIZE];
    let mut bytes = 0;
    loop {
        let length = connection.read(&mut buffer).map_err(|error| failed("receive", &error))?;
        if length == 0 {
            break;
        }
        bytes += length;
        connection.write_all(&buffer[..length]).map_err(|error| failed("send", &error))?;
    }
    print(&format!("{bytes} bytes from {peer}, sent back\n"))
}

fn connect(address: &str, options: &Options) -> Result<TcpStream, Failure> {
    let deadline = options.deadline();
    loop {
        match TcpStream::connect(address) {
            Ok(connection) => return Ok(connection),
            Err(error) => match error.kind() {
                // Nobody listens yet, or the bridge is not there yet.
                ErrorKind::ConnectionRefused
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
                | ErrorKind::TimedOut
                    if deadline.is_some_and(|deadline| Instant::now() < deadline) =>
                {
                    std::thread::sleep(PAUSE);
                }
                _ => return Err(failed(&format!("connect to {address}"), &error)),
            },
        }
    }
}

/// Sends a pattern in one thread, and checks what comes back in another.
fn talk(address: &str, options: &Options) -> Result<(), Failure> {
    let connection = connect(address, options)?;
    limit(&connection, options)?;
    let start = Instant::now();
    let checksum = std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(&connection, options.bytes));
        let checked = check(&connection, options.bytes);
        let sent = sender.join().unwrap_or_else(|_| Err(Failure::Local("a thread failed".into())));
        sent?;
        checked
    })?;
    let seconds = start.elapsed().as_secs_f64().max(1e-9);
    finish(&connection).map_err(|error| failed("end the stream", &error))?;
    print(&format!(
        "{} bytes both ways over TCP, checksum {:016x}: {:.1} MB/s each way\n",
        options.bytes,
        checksum.0,
        options.bytes as f64 / 1e6 / seconds
    ))
}

/// Ends the connection now that everything has come back. The listener ends after that: if it ended
/// earlier, its partition might switch off with bytes still on their way. This side waits for the
/// listener's end for the same reason, but not for long, since nothing depends on it.
fn finish(mut connection: &TcpStream) -> std::io::Result<()> {
    connection.shutdown(Shutdown::Write)?;
    connection.set_read_timeout(Some(LAST))?;
    let _ = connection.read(&mut [0]);
    Ok(())
}

fn send(mut connection: &TcpStream, bytes: u64) -> Result<(), Failure> {
    let mut pattern = Pattern::default();
    let mut buffer = vec![0; SIZE];
    let mut left = bytes;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(SIZE).min(SIZE);
        pattern.fill(&mut buffer[..part]);
        connection.write_all(&buffer[..part]).map_err(|error| failed("send", &error))?;
        left -= part as u64;
    }
    Ok(())
}

fn check(mut connection: &TcpStream, bytes: u64) -> Result<Checksum, Failure> {
    let mut pattern = Pattern::default();
    let (mut buffer, mut wanted) = (vec![0; SIZE], vec![0; SIZE]);
    let mut sum = Checksum::default();
    let mut left = bytes;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(SIZE).min(SIZE);
        connection.read_exact(&mut buffer[..part]).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => Failure::Peer(format!("{left} bytes did not come back")),
            _ => failed("receive", &error),
        })?;
        pattern.fill(&mut wanted[..part]);
        if buffer[..part] != wanted[..part] {
            let text = format!("wrong data came back in the last {left} bytes");
            return Err(Failure::Peer(text));
        }
        sum.take(&buffer[..part]);
        left -= part as u64;
    }
    Ok(sum)
}
