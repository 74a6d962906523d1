// SPDX-License-Identifier: MIT OR Apache-2.0
//! labgrid's strategy and example test, `tests/labgrid`, with QEMU in the board's place: its
//! console is a TCP port, and its power a command.

use super::skipped::Skipped;
use crate::hil::emulator::Emulator;
use anyhow::{Context, Result, bail, ensure};
use hil::line::{Faults, start};
use hil::port::{Port, TCP};
use runner::workspace::{root, target_dir, unique, write};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

/// The version that this was tried with.
const LABGRID: &str = "labgrid==26.0.1";
/// The folder of the strategy and the test.
const FOLDER: &str = "tests/labgrid";
/// What the example says of its own lab, and what is put in its place here.
const PORT: &str = "port: 4000";
const POWER: &str = "uhubctl -l 1-1 -p 2 -a ";

/// Runs the example test.
pub fn strategy() -> Result<usize> {
    let pytest = installed()?;
    let (near, far) = UnixStream::pair()?;
    let board = Port::of("a board", near.try_clone()?, near);
    let console = start(board, Faults { baud: 115_200, ..Faults::default() })?;
    let console = console.strip_prefix(TCP).and_then(|name| name.rsplit_once(':'));
    let (_, console) = console.context("the console has no port")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let switch = listener.local_addr()?.port();
    std::thread::spawn(move || power(&listener, &far));

    let folder = target_dir().join("tests").join(format!("labgrid-{}", unique()));
    let text = std::fs::read_to_string(root().join(FOLDER).join("env.yaml"))?;
    ensure!(text.contains(PORT) && text.matches(POWER).count() == 2, "env.yaml has other words");
    let text = text.replace(PORT, &format!("port: {console}"));
    let command = format!(
        "bash -c 'exec 3<>/dev/tcp/127.0.0.1/{switch} && echo \"$0\" >&3 && read -r answer <&3 && \
         test \"$answer\" = ok' "
    );
    let text = text.replace(POWER, &command);
    let text =
        text.replace("- strategy.py", &format!("- {}/{FOLDER}/strategy.py", root().display()));
    write(&folder.join("env.yaml"), text.as_bytes())?;
    let mut run = Command::new(pytest);
    run.args(["-q", "-p", "no:cacheprovider", "--lg-env"]).arg(folder.join("env.yaml"));
    run.arg(root().join(FOLDER)).env("PYTHONDONTWRITEBYTECODE", "1").current_dir(&folder);
    let output = run.output().context("cannot start pytest")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::remove_dir_all(&folder)?;
    Ok(1)
}

/// Returns the path of pytest, in an environment with labgrid that is made once.
fn installed() -> Result<PathBuf> {
    let folder = target_dir().join("labgrid");
    let pytest = folder.join("bin/pytest");
    if pytest.is_file() {
        return Ok(pytest);
    }
    let none = Skipped("labgrid is not to be had: it needs Python with venv, and PyPI");
    let ran = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    if !ran(Command::new("python3").args(["-m", "venv"]).arg(&folder)) {
        bail!(none);
    }
    if !ran(Command::new(folder.join("bin/pip")).args(["install", "--quiet", LABGRID])) {
        bail!(none);
    }
    Ok(pytest)
}

/// The switch of a board's power: `on` starts QEMU at `line`, `off` ends it.
fn power(listener: &TcpListener, line: &UnixStream) {
    let mut running: Option<Emulator> = None;
    for client in listener.incoming().map_while(Result::ok) {
        let word = BufReader::new(&client).lines().next().and_then(Result::ok);
        let done = match word.as_deref() {
            Some("on") => switch_on(line).map(|board| running = Some(board)),
            Some("off") => {
                running.take().map(Emulator::stop);
                Ok(())
            }
            word => Err(anyhow::anyhow!("not a word of a switch: {word:?}")),
        };
        let answer = done.map_or_else(|error| format!("{error:#}\n"), |()| "ok\n".to_owned());
        // A client that has gone needs no answer.
        let _ = (&client as &TcpStream).write_all(answer.as_bytes());
    }
}

fn switch_on(line: &UnixStream) -> Result<Emulator> {
    let (Port { bytes, mut output, .. }, board) = Emulator::start("rpi4/duo")?;
    let (mut to_host, mut from_host) = (line.try_clone()?, line.try_clone()?);
    std::thread::spawn(move || bytes.iter().try_for_each(|piece| to_host.write_all(&piece)));
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok(count @ 1..) = from_host.read(&mut buffer) {
            if output.write_all(&buffer[..count]).and_then(|()| output.flush()).is_err() {
                return;
            }
        }
    });
    Ok(board)
}
