//! A client of QEMU's gdbstub that can stop a machine, read it and let it run again (GDB manual,
//! "Remote Protocol").

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Time limit of an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes read at a time: twice as many digits fit QEMU's packets of 4 KiB.
const CHUNK: u64 = 1984;
/// From this size on QEMU writes memory to a file: a packet takes it a millisecond, so a kernel
/// would take minutes.
const LARGE: u64 = 64 << 10;
/// The byte that the stub reads as Ctrl-C.
const BREAK: u8 = 3;

/// A connection. QEMU stops the machine when it is made.
pub struct Gdb {
    stream: UnixStream,
    /// The file that QEMU writes large pieces of memory to.
    exchange: PathBuf,
    received: Vec<u8>,
    /// The stub's numbers of registers, by name.
    registers: HashMap<String, u32>,
}

/// Why the machine stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The client asked for it.
    Asked,
    /// It powered itself off (`-no-shutdown` keeps its state).
    PoweredOff,
}

impl Gdb {
    /// Connects to the socket at `path`, which QEMU makes soon, unless `gone` says that it will
    /// not. Large pieces of memory go through the file `exchange`, which the caller removes.
    ///
    /// # Errors
    /// If the socket does not come, or the peer there is not a gdbstub.
    pub fn connect(path: &Path, exchange: PathBuf, gone: impl Fn() -> bool) -> Result<Self> {
        let start = Instant::now();
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(error) if gone() || start.elapsed() > PATIENCE => {
                    return Err(error).context("cannot reach QEMU's gdbstub");
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let mut gdb = Self { stream, exchange, received: Vec::new(), registers: HashMap::new() };
        gdb.command("qSupported:xmlRegisters=aarch64")?;
        gdb.describe()?;
        let answer = gdb.command("Qqemu.PhyMemMode:1")?;
        ensure!(answer == b"OK", "QEMU's gdbstub cannot read physical memory");
        Ok(gdb)
    }

    /// Reads the list of registers: the target's description names files, whose `reg` elements have
    /// numbers.
    fn describe(&mut self) -> Result<()> {
        let target = self.file("target.xml")?;
        let included: Vec<String> = target
            .split("href=\"")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
            .collect();
        for name in included {
            let text = self.file(&name)?;
            let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
            let document = roxmltree::Document::parse_with_options(&text, options)
                .with_context(|| format!("QEMU's {name}"))?;
            for node in document.descendants().filter(|node| node.has_tag_name("reg")) {
                let number = node.attribute("regnum").and_then(|number| number.parse().ok());
                if let (Some(name), Some(number)) = (node.attribute("name"), number) {
                    self.registers.insert(name.to_owned(), number);
                }
            }
        }
        Ok(())
    }

    /// Reads one of the description's files.
    fn file(&mut self, name: &str) -> Result<String> {
        let mut text = Vec::new();
        loop {
            let offset = text.len();
            let answer = self.command(&format!("qXfer:features:read:{name}:{offset:x},7c0"))?;
            match answer.split_first() {
                Some((b'm', more)) => text.extend(more),
                Some((b'l', last)) => {
                    text.extend(last);
                    return String::from_utf8(text).context("QEMU's description is not text");
                }
                _ => bail!("QEMU has no {name}"),
            }
        }
    }

    /// Lets the machine run.
    ///
    /// # Errors
    /// If QEMU is gone.
    pub fn resume(&mut self) -> Result<()> {
        self.send("c")
    }

    /// Waits until the machine stops by itself; none if it still runs after `limit`.
    ///
    /// # Errors
    /// If QEMU is gone.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<Stop>> {
        let Some(answer) = self.receive(limit)? else {
            return Ok(None);
        };
        // GDB's numbers of signals: 2 is an interrupt from this client, 3 is QEMU's signal for a
        // shutdown.
        Ok(Some(match answer.get(..3) {
            Some(b"T03") => Stop::PoweredOff,
            _ => Stop::Asked,
        }))
    }

    /// Stops the machine.
    ///
    /// # Errors
    /// If QEMU is gone.
    pub fn interrupt(&mut self) -> Result<Stop> {
        self.stream.write_all(&[BREAK]).context("lost QEMU")?;
        self.wait(PATIENCE)?.context("the machine did not stop")
    }

    /// Ends QEMU.
    ///
    /// # Errors
    /// If it is gone already.
    pub fn kill(&mut self) -> Result<()> {
        // GDB's own `k` is a shutdown, which `-no-shutdown` refuses.
        self.monitor("quit").map(|_| ())
    }

    /// Gives QEMU's monitor a command (HMP); returns its answer.
    fn monitor(&mut self, words: &str) -> Result<String> {
        let digits: String = words.bytes().map(|byte| format!("{byte:02x}")).collect();
        let mut answer = self.command(&format!("qRcmd,{digits}"))?;
        let mut said = Vec::new();
        while let Some((b'O', more)) = answer.split_first().filter(|_| answer != b"OK") {
            said.extend(hex(more).context("QEMU's monitor does not answer in text")?);
            let next = self.receive(PATIENCE)?;
            answer = next.with_context(|| format!("QEMU does not finish `{words}`"))?;
        }
        ensure!(answer == b"OK", "QEMU does not accept `{words}`");
        Ok(String::from_utf8_lossy(&said).trim().to_owned())
    }

    /// Whether the cores have a register of this name.
    pub fn has(&self, name: &str) -> bool {
        self.registers.contains_key(name)
    }

    /// Reads a system register of core `core` (QEMU's number), which must be stopped.
    ///
    /// # Errors
    /// If there is no such core or register.
    pub fn register(&mut self, core: u32, name: &str) -> Result<u64> {
        let number = self.registers.get(name).copied();
        let number = number.with_context(|| format!("QEMU does not report {name}"))?;
        let answer = self.command(&format!("Hg{:x}", core + 1))?;
        ensure!(answer == b"OK", "the machine has no core {core}");
        let digits = self.command(&format!("p{number:x}"))?;
        let bytes = hex(&digits).filter(|bytes| bytes.len() == 8);
        let bytes = bytes.with_context(|| format!("QEMU does not report {name} of core {core}"))?;
        Ok(u64::from_le_bytes(bytes.try_into().unwrap_or_default()))
    }

    /// Reads `size` bytes of physical memory from `address` on.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn memory(&mut self, address: u64, size: u64) -> Result<Vec<u8>> {
        if size >= LARGE {
            return self.large_memory(address, size);
        }
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < size {
            let (at, left) = (address + bytes.len() as u64, size - bytes.len() as u64);
            let digits = self.command(&format!("m{at:x},{:x}", left.min(CHUNK)))?;
            let more = hex(&digits).filter(|more| !more.is_empty());
            bytes.extend(more.with_context(|| format!("cannot read memory at {at:#x}"))?);
        }
        Ok(bytes)
    }

    fn large_memory(&mut self, address: u64, size: u64) -> Result<Vec<u8>> {
        let file = self.exchange.display().to_string();
        let quoted = file.replace('\\', "\\\\").replace('"', "\\\"");
        let said = self.monitor(&format!("pmemsave {address:#x} {size:#x} \"{quoted}\""))?;
        let bytes = std::fs::read(&self.exchange).unwrap_or_default();
        ensure!(
            said.is_empty() && bytes.len() as u64 == size,
            "cannot read {size:#x} bytes of memory at {address:#x} through {file}: {said}"
        );
        Ok(bytes)
    }

    /// Writes one byte of physical memory.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn write(&mut self, address: u64, byte: u8) -> Result<()> {
        let answer = self.command(&format!("M{address:x},1:{byte:02x}"))?;
        ensure!(answer == b"OK", "cannot write memory at {address:#x}");
        Ok(())
    }

    fn command(&mut self, packet: &str) -> Result<Vec<u8>> {
        self.send(packet)?;
        let answer = self.receive(PATIENCE)?;
        answer.with_context(|| format!("QEMU does not answer `{packet}`"))
    }

    fn send(&mut self, packet: &str) -> Result<()> {
        let sum = packet.bytes().fold(0u8, u8::wrapping_add);
        let framed = format!("${packet}#{sum:02x}");
        self.stream.write_all(framed.as_bytes()).context("lost QEMU")
    }

    /// Returns the next packet's contents, acknowledged; none after `limit`.
    fn receive(&mut self, limit: Duration) -> Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(packet) = take_packet(&mut self.received) {
                self.stream.write_all(b"+").context("lost QEMU")?;
                return Ok(Some(packet));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut buffer = [0; 8192];
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("lost QEMU"),
                Ok(count) => self.received.extend(&buffer[..count]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error).context("lost QEMU"),
            }
        }
    }
}

/// Takes the first whole packet from the received bytes: `$contents#` and two digits, `}` before a
/// changed byte.
fn take_packet(received: &mut Vec<u8>) -> Option<Vec<u8>> {
    let start = received.iter().position(|&byte| byte == b'$')?;
    let end = start + received[start..].iter().position(|&byte| byte == b'#')?;
    if received.len() < end + 3 {
        return None;
    }
    let mut contents = Vec::new();
    let mut bytes = received[start + 1..end].iter();
    while let Some(&byte) = bytes.next() {
        contents.push(match byte {
            b'}' => bytes.next()? ^ 0x20,
            byte => byte,
        });
    }
    received.drain(..end + 3);
    Some(contents)
}

/// Decodes hexadecimal digits to bytes.
fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(digits).ok()?;
    let pairs = (0..text.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_taken_whole() {
        let mut received = b"+$T02thread:1;#aa$part".to_vec();
        assert_eq!(take_packet(&mut received).as_deref(), Some(&b"T02thread:1;"[..]));
        assert_eq!(take_packet(&mut received), None);
        received.extend(b"s}\x03#00");
        assert_eq!(take_packet(&mut received).as_deref(), Some(&b"parts#"[..]));
        assert!(received.is_empty());
    }

    #[test]
    fn digits_are_bytes() {
        assert_eq!(hex(b"00ff10"), Some(vec![0, 255, 16]));
        assert_eq!(hex(b"E01"), None);
        assert_eq!(hex(b"zz"), None);
    }
}
