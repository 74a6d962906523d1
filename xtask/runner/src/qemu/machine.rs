// SPDX-License-Identifier: MIT OR Apache-2.0
//! The QEMU process: its command line from the board's data, its run, and the results.

use super::conversation::{Line, converse, pieces};
use super::keyboard::Input;
use super::options::{Level, Options, Outcome};
use super::watch::Watch;
use crate::ui;
use anyhow::{Context, Result};
use manifest::system::Qemu;
use std::io::Read;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

/// QEMU's program.
pub const PROGRAM: &str = "qemu-system-aarch64";

/// The image's address at EL3.
const AT_EL3: u64 = 0x20_0000;

/// Runs `image` on the board's QEMU machine until it ends or its time is over. `show` gets the
/// console's bytes as they come. With `stays_up` the system does not power the machine off, so QEMU
/// is ended after EL2's last line. QEMU is also ended when `watch` is settled.
///
/// # Errors
/// If QEMU cannot be started, or `show` fails.
pub fn run(
    board: &Qemu,
    image: &Path,
    options: &Options,
    stays_up: bool,
    watch: Watch,
    show: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<Outcome> {
    let nonce = options.nonce.unwrap_or_else(random);
    let mut command = Command::new(PROGRAM);
    command.args(arguments(board, options, nonce));
    match options.level {
        Some(Level::El3) => command.args([
            "-device".to_string(),
            format!("loader,file={},addr={AT_EL3:#x},force-raw=on", image.display()),
            "-device".to_string(),
            format!("loader,addr={AT_EL3:#x},cpu-num=0"),
        ]),
        _ => command.arg("-kernel").arg(image),
    };
    let shown = ui::shown(&command);
    let has_input = !matches!(options.input, Input::Nobody);
    let mut machine = spawn(command, has_input)?;

    let stdout = machine.0.stdout.take().context("no console pipe")?;
    let stderr = machine.0.stderr.take().context("no error pipe")?;
    let words = collect(stderr);
    let output = machine.0.stdin.take().map(|stdin| Box::new(stdin) as _);
    let line = Line { bytes: pieces(stdout), output };
    let talk = converse(line, nonce, options, stays_up, watch, show)?;
    let killed = talk.timed_out || talk.is_over || ui::interrupted();
    if killed {
        machine.kill();
    }
    let status = machine.0.wait().context("lost QEMU")?;
    let stderr = words.join().unwrap_or_default();
    let status = (!killed).then_some(status);
    Ok(talk.outcome(shown, stderr, status))
}

/// Starts `image` on the board's QEMU machine for a program that talks to it by itself: the process
/// has pipes for its console, and ends with the value that is returned.
///
/// # Errors
/// If QEMU cannot be started.
pub fn start(board: &Qemu, image: &Path, options: &Options) -> Result<Machine> {
    let mut command = Command::new(PROGRAM);
    command.args(arguments(board, options, options.nonce.unwrap_or_default()));
    command.arg("-kernel").arg(image);
    spawn(command, true)
}

fn spawn(mut command: Command, has_input: bool) -> Result<Machine> {
    let child = command
        .stdin(if has_input { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let child = child.with_context(|| {
        format!("cannot start {PROGRAM}: `cargo xtask doctor` says how to install it")
    })?;
    Ok(Machine(child))
}

/// Writes the boot device tree that QEMU makes for a run of `image` to `path`.
///
/// # Errors
/// If QEMU does not write it.
pub fn device_tree(board: &Qemu, image: &Path, options: &Options, path: &Path) -> Result<()> {
    let mut board = board.clone();
    board.machine = with_property(&board.machine, "dumpdtb", &path.display().to_string());
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments(&board, options, options.nonce.unwrap_or_default()))
        .arg("-kernel")
        .arg(image)
        .stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot start {PROGRAM}"))?;
    anyhow::ensure!(
        output.status.success(),
        "{}: {}",
        ui::shown(&command),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// QEMU's arguments, except the image.
pub(super) fn arguments(board: &Qemu, options: &Options, nonce: u64) -> Vec<String> {
    let cores = options.cores.unwrap_or(board.cores);
    let memory = options.memory.clone().unwrap_or_else(|| format!("{}M", board.memory >> 20));
    let mut machine = board.machine.clone();
    if let Some(version) = options.gic {
        machine = with_gic(&machine, version);
    }
    if options.level == Some(Level::El1) {
        machine = with_property(&machine, "virtualization", "off");
    }
    let mut arguments = vec!["-M".to_string(), machine];
    if let Some(mut cpu) = options.cpu.clone().or_else(|| board.cpu.clone()) {
        if options.icount {
            // The counter then ticks once per instruction.
            cpu = with_property(&cpu, "cntfrq", "1000000000");
        }
        arguments.extend(["-cpu".to_string(), cpu]);
    }
    let fixed = ["-nodefaults", "-display", "none", "-monitor", "none", "-no-reboot"];
    arguments.extend(["-smp".to_string(), cores.to_string(), "-m".to_string(), memory]);
    arguments.extend(fixed.map(String::from));
    // -semihosting is never given: a guest could write the host's files with it.
    arguments.extend(
        ["-chardev", "stdio,id=console,signal=on", "-serial", "chardev:console"].map(String::from),
    );
    if options.icount {
        let exact =
            ["-icount", "shift=0,sleep=off", "-rtc", "base=2026-01-01,clock=vm", "-seed", "1"];
        arguments.extend(exact.map(String::from));
    }
    if let Some(tree) = &board.dtb {
        arguments.extend(["-dtb".to_string(), tree.clone()]);
    }
    let mut words = format!("bulkhead.nonce={nonce:016x}");
    if let Some(append) = &options.append {
        words = format!("{words} {append}");
    }
    // QEMU has a command line only for kernels.
    if options.level != Some(Level::El3) {
        arguments.extend(["-append".to_string(), words]);
    }
    arguments.extend(options.extra.iter().cloned());
    arguments
}

/// The machine `text` with a GIC of this version.
pub(super) fn with_gic(text: &str, version: u32) -> String {
    with_property(text, "gic-version", &version.to_string())
}

/// `text` is `name,key=value,…`: sets one key.
fn with_property(text: &str, key: &str, value: &str) -> String {
    let others = text.split(',').filter(|part| part.split('=').next() != Some(key));
    let mut parts: Vec<&str> = others.collect();
    let property = format!("{key}={value}");
    parts.push(&property);
    parts.join(",")
}

/// Returns a number that no guest can know. The standard library seeds each of these hashers from
/// the system.
pub fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        // After a read error, the text is what was read before it.
        let _ = pipe.read_to_end(&mut text);
        String::from_utf8_lossy(&text).trim_end().to_string()
    })
}

/// A running QEMU, which is killed when this value is dropped.
pub struct Machine(Child);

impl Machine {
    /// Takes the console's two directions: its output, and its input.
    ///
    /// # Errors
    /// If they were taken before.
    pub fn take_console(&mut self) -> Result<(ChildStdout, ChildStdin)> {
        let pipes = self.0.stdout.take().zip(self.0.stdin.take());
        pipes.context("the console is taken already")
    }

    /// Takes the error output, for a program that reads it while QEMU runs.
    ///
    /// # Errors
    /// If it was taken before.
    pub fn take_errors(&mut self) -> Result<ChildStderr> {
        self.0.stderr.take().context("the error output is taken already")
    }

    /// Ends it; returns its error output.
    pub fn stop(mut self) -> String {
        self.kill();
        self.0
            .stderr
            .take()
            .map(|pipe| collect(pipe).join().unwrap_or_default())
            .unwrap_or_default()
    }

    fn kill(&mut self) {
        // It fails only if QEMU has already ended.
        let _ = self.0.kill();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
        let _ = self.0.wait();
    }
}
