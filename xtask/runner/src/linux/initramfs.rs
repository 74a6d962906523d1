// SPDX-License-Identifier: MIT OR Apache-2.0
//! The initial RAM disk: `/init`, the checks and programs as a cpio archive, the `newc` format of
//! Linux `Documentation/driver-api/early-userspace/buffer-format.rst`.

use anyhow::{Context, Result};
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// Types and permissions in a file's mode (POSIX, `sys/stat.h`).
const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// Packs `folder` (guests/linux), programs by name, and kernel modules in the order they are
/// loaded; empty ones are left out. The same files make the same archive.
///
/// # Errors
/// If a file cannot be read.
pub fn pack(folder: &Path, programs: &[(&str, PathBuf)], modules: &[PathBuf]) -> Result<Vec<u8>> {
    let read = |path: &Path| {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let mut entries = vec![("bin".to_string(), FOLDER, Vec::new())];
    for (name, file) in programs {
        entries.push((format!("bin/{name}"), PROGRAM, read(file)?));
    }
    entries.push(("init".to_string(), PROGRAM, read(&folder.join("init"))?));
    entries.push(("checks".to_string(), FOLDER, Vec::new()));
    let checks = std::fs::read_dir(folder.join("checks")).context("cannot read checks")?;
    let mut checks: Vec<_> = checks.flatten().map(|entry| entry.file_name()).collect();
    checks.sort();
    for check in checks {
        let name = Path::new("checks").join(check);
        let contents = read(&folder.join(&name))?;
        entries.push((name.display().to_string(), PROGRAM, contents));
    }
    entries.push(("modules".to_string(), FOLDER, Vec::new()));
    for (place, file) in modules.iter().enumerate() {
        let module = read(file)?;
        if !module.is_empty() {
            entries.push((format!("modules/{place}.ko"), PROGRAM, module));
        }
    }
    let files = entries.into_iter().map(|(name, mode, contents)| {
        let entry = cpio::NewcBuilder::new(&name).mode(mode);
        (entry, Cursor::new(contents))
    });
    cpio::write_cpio(files, Vec::new()).context("cannot write the archive")
}
