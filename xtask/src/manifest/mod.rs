//! The system manifest: `boards/BOARD/systems/NAME.toml` to a validated [`System`].
//!
//! `decode` reads TOML, `raw` holds what is written, `rules` lists every rule and its check, `image` reads programs,
//! `resolve` makes the [`System`]. Everything that is wrong is reported at once. docs/manifest.md is the reference.

mod board;
mod checks;
mod decode;
mod image;
mod programs;
mod raw;
mod report;
mod resolve;
pub mod rules;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

pub use report::{Errors, Finding};

use crate::system::System;
use decode::Table;
use raw::Manifest;
use report::suggest;
use rules::{Check, RULES};

/// The board whose systems need no board name.
const DEFAULT_BOARD: &str = "qemu-virt";

/// Reads the system `spec`: a path that ends in `.toml`, `BOARD/NAME`, or the NAME of a system of qemu-virt.
/// `root` is the repository. `guests` builds the crate guests/NAME and gives its ELF file.
///
/// # Errors
/// Everything that is wrong with the manifest.
pub fn load(
    root: &Path,
    spec: &str,
    guests: &mut dyn FnMut(&str) -> anyhow::Result<PathBuf>,
) -> Result<System, Errors> {
    let path = locate(root, spec);
    let shown = path
        .strip_prefix(root)
        .unwrap_or(&path)
        .display()
        .to_string();
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let finding = Finding::new(0..0, format!("cannot read {shown}: {error}"), "")
            .rule("system-unknown")
            .help(known_systems(root, spec));
        Errors::new(&shown, "", vec![finding])
    })?;
    read(root, &path, &text, guests).map_err(|findings| Errors::new(shown, text, findings))
}

/// The file that `spec` means.
fn locate(root: &Path, spec: &str) -> PathBuf {
    if spec.ends_with(".toml") {
        return PathBuf::from(spec);
    }
    let (board, name) = spec.split_once('/').unwrap_or((DEFAULT_BOARD, spec));
    root.join("boards")
        .join(board)
        .join("systems")
        .join(format!("{name}.toml"))
}

/// What `spec` could have been.
fn known_systems(root: &Path, spec: &str) -> String {
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
    let systems: Vec<&str> = systems.iter().map(String::as_str).collect();
    suggest(spec, "systems", &systems)
}

/// Names in a folder, sorted; none if it cannot be read.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Reads a manifest's text and applies every rule to it.
fn read(
    root: &Path,
    path: &Path,
    text: &str,
    guests: &mut dyn FnMut(&str) -> anyhow::Result<PathBuf>,
) -> Result<System, Vec<Finding>> {
    let findings = RefCell::default();
    let document = decode::parse(text, &findings);
    if !findings.borrow().is_empty() {
        // What the parser made of the rest would only mislead.
        return Err(findings.into_inner());
    }
    // The whole file is one table; what it lacks is reported at its start.
    let mut table = Table::new("a system", 0..0, document.get_ref(), &findings);
    let manifest = Manifest::read(&mut table);
    table.finish();

    let mut findings = findings.into_inner();
    let board = find_board(root, &manifest, &mut findings);
    let programs = programs::read_all(root, path, &manifest, guests, &mut findings);
    for rule in RULES {
        let found = match (rule.check, &board) {
            (Check::Manifest(check), _) => check(&manifest),
            (Check::Board(check), Some(board)) => check(&manifest, board),
            (Check::Programs(check), _) => check(&manifest, &programs),
            (Check::Board(_), None) | (Check::Reading, _) => Vec::new(),
        };
        findings.extend(found.into_iter().map(|finding| finding.rule(rule.id)));
    }
    match board {
        Some(board) if findings.is_empty() => Ok(resolve::resolve(path, manifest, board, programs)
            .expect("a manifest without findings has every key")),
        _ => Err(findings),
    }
}

/// Reads the board that the manifest names.
fn find_board(
    root: &Path,
    manifest: &Manifest,
    findings: &mut Vec<Finding>,
) -> Option<crate::system::Board> {
    let name = manifest.board.as_ref()?;
    let boards = root.join("boards");
    let known = names(&boards);
    if !known.contains(name.get_ref()) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        findings.push(
            Finding::new(
                name.span(),
                format!("there is no board \"{}\"", name.get_ref()),
                "unknown board",
            )
            .rule("board-unknown")
            .help(suggest(name.get_ref(), "boards", &known)),
        );
        return None;
    }
    let file = boards.join(name.get_ref()).join("board.toml");
    let board = std::fs::read_to_string(&file)
        .map_err(|error| error.to_string())
        .and_then(|text| board::read(name.get_ref(), &text).map_err(|error| error.to_string()));
    board
        .map_err(|error| {
            let title = format!("boards/{}/board.toml cannot be used", name.get_ref());
            findings.push(
                Finding::new(name.span(), title, "this board")
                    .rule("board-file")
                    .note(error)
                    .help("docs/porting.md explains a board's file"),
            );
        })
        .ok()
}

#[cfg(test)]
mod tests;
