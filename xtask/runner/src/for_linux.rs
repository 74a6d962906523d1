// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds this repository's programs for Linux in a partition: static, so that every distribution
//! runs them, and linked by the toolchain's own linker, so that no compiler for arm64 is needed.

use crate::ui;
use crate::workspace::{cargo, root, target_dir};
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::Command;

/// Target of programs for Linux. Their linker is in .cargo/config.toml.
pub const TARGET: &str = "aarch64-unknown-linux-musl";
/// The command for channels, and its package.
pub const BHCHAN: &str = "bhchan";

/// Whether the toolchain has the library of `target`.
pub fn has_target(target: &str) -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", target]).current_dir(root());
    let output = rustc.output().ok().filter(|output| output.status.success());
    let folder = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    folder.is_some_and(|folder| std::path::Path::new(&folder).is_dir())
}

/// Builds the program `name` of the package of the same name (release); returns its path.
///
/// # Errors
/// If the toolchain cannot build for Linux, or the program does not build.
pub fn program(name: &str) -> Result<PathBuf> {
    ensure!(
        has_target(TARGET),
        "{name} for Linux needs the Rust target {TARGET}: run cargo xtask setup"
    );
    let mut command = cargo("build");
    command.args(["--locked", "--release", "--target", TARGET, "--package", name, "--bin", name]);
    command.arg("--target-dir").arg(target_dir());
    ui::run(&format!("building {name} for Linux"), &mut command)
        .with_context(|| format!("{name} does not build for Linux"))?;
    Ok(target_dir().join(TARGET).join("release").join(name))
}
