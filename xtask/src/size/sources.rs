// SPDX-License-Identifier: MIT OR Apache-2.0
//! The source files that a program was compiled from, as Cargo wrote them beside it: so a module
//! that a feature leaves out is not among them.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Returns the files of this project's crates that the program at `path` was compiled from.
///
/// # Errors
/// If Cargo's list cannot be read, or names no file.
pub fn of(path: &Path) -> Result<BTreeSet<PathBuf>> {
    let list = path.with_extension("d");
    let text = std::fs::read_to_string(&list)
        .with_context(|| format!("cannot read {}", list.display()))?;
    let files = files(&text);
    ensure!(!files.is_empty(), "{} names no source file", list.display());
    Ok(files)
}

/// Reads a make rule: the program and a colon, then the files that it depends on. A space within a
/// name has a backslash before it. Build scripts and linker scripts are no part of a program.
pub fn files(text: &str) -> BTreeSet<PathBuf> {
    let rule = text.lines().next().unwrap_or_default();
    let (_, list) = rule.split_once(": ").unwrap_or_default();
    let names = list.replace("\\ ", "\0");
    let names = names.split(' ').map(|name| PathBuf::from(name.replace('\0', " ")));
    let is_source = |path: &PathBuf| {
        path.extension().is_some_and(|end| end == "rs")
            && path.components().any(|part| part.as_os_str() == "src")
    };
    // A link to a file is the same source.
    names.filter(is_source).map(|path| path.canonicalize().unwrap_or(path)).collect()
}

/// Returns the name of the crate that a file belongs to: of the folder that has `src`.
pub fn crate_of(path: &Path) -> String {
    let src = path.ancestors().find(|folder| folder.ends_with("src"));
    let folder = src.and_then(Path::parent).and_then(Path::file_name);
    folder.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
