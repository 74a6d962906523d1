// SPDX-License-Identifier: MIT OR Apache-2.0
//! The header has the library's numbers, and the example in C talks over a channel without
//! hardware.
#[path = "../../bhchan/tests/common/mod.rs"]
mod common;

use bhchan::{Channel, Wait};
use common::{Bus, soon};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compiles a C program with the header, and with the library if it is linked.
fn compile(source: &Path, to: &Path, more: &[&std::ffi::OsStr]) {
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1"]);
    compiler.args(["-D_POSIX_C_SOURCE=200809L", "-I"]).arg(here().join("include"));
    let output = compiler.arg(source).arg("-o").arg(to).args(more).output();
    let output = output.expect("cc runs: cargo xtask doctor says how to get it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Builds the static library as its users do, and returns its path.
fn library(folder: &Path) -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--locked", "--package", "bhchan-c", "--lib", "--target-dir"]);
    let output = build.arg(folder).current_dir(here()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder.join("debug/libbhchan_c.a")
}

/// The example asks, and gets every answer in order; and errors have their number and their line.
#[test]
fn the_example_in_c_asks_and_is_answered() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = library(&folder.join("library"));
    let program = folder.join("ask");
    let system = ["-lpthread", "-ldl", "-lm"].map(std::ffi::OsStr::new);
    let link = [&[library.as_os_str()][..], &system].concat();
    compile(&here().join("examples/ask.c"), &program, &link);

    let bus = Bus::new(4096);
    let ask = |count: &str, channel: &str| {
        let mut command = Command::new(&program);
        command.args([channel, count]).env("BHCHAN_ROOT", bus.root(0));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("started")
    };
    let child = ask("2000", "link");
    {
        let device = bus.device(1, Wait::Interrupt);
        let mut peer = Channel::open(&device).expect("a channel");
        let mut buffer = [0; 256];
        for _ in 0..2000 {
            let length = peer.recv(&mut buffer, soon()).expect("a question");
            peer.send(&buffer[..length], soon()).expect("answered");
        }
    }
    let output = child.wait_with_output().expect("ended");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), error), (Some(0), String::new()));
    let expected: String = (0..2000).map(|n| format!("question {n}\n")).collect();
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);

    let output = ask("1", "other").wait_with_output().expect("ended");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "ask: open: no channel \"other\"; there are: link (0000:00:01.0)\n"
    );
}

/// A program that only includes the header compiles as C and prints its numbers.
#[test]
fn the_header_has_the_numbers_of_the_library() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("numbers.c");
    let names =
        ["FAILED", "BAD_ARGUMENT", "NO_CHANNEL", "BUSY", "TIMED_OUT", "RESTARTED", "PEER_CORRUPT"];
    let library = include_str!("../src/lib.rs");
    let lines: String =
        names.iter().map(|name| format!("printf(\"{name} %d\\n\", BHCHAN_{name});\n")).collect();
    let text = format!("#include <bhchan.h>\n#include <stdio.h>\nint main(void) {{\n{lines}}}\n");
    std::fs::write(&source, text).expect("written");
    let program = folder.path().join("numbers");
    compile(&source, &program, &[]);
    let output = Command::new(&program).output().expect("ran");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(text.lines().count(), names.len());
    for line in text.lines() {
        let (name, number) = line.split_once(' ').expect("two words");
        let constant = format!("pub const {name}: i32 = {number};");
        assert!(library.contains(&constant), "{constant}");
    }
}
