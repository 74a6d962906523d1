// SPDX-License-Identifier: MIT OR Apache-2.0
//! apt's sources with one component more. Debian's firmware is in `non-free-firmware`, which many
//! machines do not list; addresses, keys and options stay those that the administrator configured.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Name of the folder with the changed copies.
pub const FOLDER: &str = "sources";

/// Copies every source file of this machine to `folder`, with `component` wherever there is `main`.
///
/// # Errors
/// If a copy cannot be written.
pub fn copy(folder: &Path, component: &str) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut paths = vec![PathBuf::from("/etc/apt/sources.list")];
    let more = std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    paths.extend(more.map(|entry| entry.path()));
    for path in paths {
        let (Ok(text), Some(name)) = (std::fs::read_to_string(&path), path.file_name()) else {
            continue;
        };
        let copy = folder.join(name);
        std::fs::write(&copy, with(&text, component))
            .with_context(|| format!("cannot write {}", copy.display()))?;
    }
    Ok(())
}

/// Returns a source file's text with `component` wherever there is `main`. Both of apt's formats
/// are known by their lines: `Components: main` and `deb ADDRESS SUITE main`.
pub(super) fn with(text: &str, component: &str) -> String {
    let line = |line: &str| {
        let lower = line.trim_start().to_ascii_lowercase();
        let lists = lower.starts_with("components:") || lower.starts_with("deb ");
        let has = |wanted| line.split_whitespace().any(|word| word == wanted);
        match lists && has("main") && !has(component) {
            true => format!("{line} {component}\n"),
            false => format!("{line}\n"),
        }
    };
    text.lines().map(line).collect()
}
