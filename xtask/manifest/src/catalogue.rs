// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which boards and systems the repository has, and where their files are.

use std::path::{Path, PathBuf};

use crate::words::{nearest, suggest};

/// The board whose systems need no board name.
pub const DEFAULT_BOARD: &str = "qemu-virt";

/// A manifest's path as messages name it.
pub fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// The file that `spec` means.
pub fn locate(root: &Path, spec: &str) -> PathBuf {
    if spec.ends_with(".toml") {
        return PathBuf::from(spec);
    }
    let (board, name) = spec.split_once('/').unwrap_or((DEFAULT_BOARD, spec));
    root.join("boards").join(board).join("systems").join(format!("{name}.toml"))
}

/// What `spec` could have been.
pub fn known_systems(root: &Path, spec: &str) -> String {
    let systems = shipped(root);
    let systems: Vec<&str> = systems.iter().map(String::as_str).collect();
    // A system's file may be meant: its name is the last part, without the ending.
    let stem = Path::new(spec).file_stem().and_then(|stem| stem.to_str());
    let meant = [Some(spec), stem].into_iter().flatten();
    let mut near = meant.filter_map(|word| nearest(word, systems.iter().copied()));
    match near.next() {
        Some(name) => format!("did you mean `{name}`?"),
        None => suggest(spec, "systems", &systems),
    }
}

/// Every system of every board, as commands take it.
pub fn shipped(root: &Path) -> Vec<String> {
    let boards = root.join("boards");
    let mut systems = Vec::new();
    for board in names(&boards) {
        for file in names(&boards.join(&board).join("systems")) {
            if let Some(name) = file.strip_suffix(".toml") {
                systems.push(match board == DEFAULT_BOARD {
                    true => name.to_owned(),
                    false => format!("{board}/{name}"),
                });
            }
        }
    }
    systems
}

/// Names in a folder, sorted; none if it cannot be read.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
