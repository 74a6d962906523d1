// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system manifest: `boards/BOARD/systems/NAME.toml` to a validated [`System`].
//!
//! `decode` and `values` read TOML, `raw` holds what is written, `rules` lists every rule and its
//! check, `image` reads programs, `resolve` makes the [`System`]. Everything that is wrong is
//! reported at once; what is unwise once nothing is wrong. docs/manifest.md is the reference,
//! `schema` the same for editors.

mod board;
pub mod catalogue;
mod checks;
mod decode;
mod errata;
pub mod guest_machine;
mod image;
mod names;
mod pieces;
pub mod placement_error;
mod programs;
mod raw;
mod recover;
mod report;
mod resolve;
pub mod rules;
pub mod schema;
pub mod system;
mod values;
pub mod words;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

pub use catalogue::{locate, shipped};
pub use programs::SCHEME;
pub use report::{Diagnostics, Finding};

use catalogue::{known_systems, names, shown};
use decode::Table;
use placement_error::{Of, PlacementError};
use raw::Manifest;
use rules::{Check, RULES};
use system::{Board, Range, System};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use words::{nearest, suggest};

/// Reads the system `spec`: a path that ends in `.toml`, `BOARD/NAME`, or the NAME of a system of
/// qemu-virt. `root` is the repository. `guests` returns the file for a name that is not a path: it
/// builds the crate guests/NAME, or fetches the file that `debian:PACKAGE` names.
///
/// # Errors
/// Everything that is wrong with the manifest.
pub fn load(
    root: &Path,
    spec: &str,
    guests: &mut dyn FnMut(&str) -> anyhow::Result<PathBuf>,
) -> Result<System, Diagnostics> {
    check(root, spec, guests).map(|(system, _)| system)
}

/// Reads like [`load`], and also returns the warnings.
///
/// # Errors
/// Everything that is wrong with the manifest.
pub fn check(
    root: &Path,
    spec: &str,
    guests: &mut dyn FnMut(&str) -> anyhow::Result<PathBuf>,
) -> Result<(System, Diagnostics), Diagnostics> {
    let path = locate(root, spec);
    let refuse = |title: String, help: String| {
        let finding = Finding::new(0..0, title, "").help(help);
        Diagnostics::new(shown(root, &path), "", vec![finding])
    };
    let bytes = std::fs::read(&path).map_err(|error| {
        let title = format!("cannot read {}: {error}", shown(root, &path));
        refuse(title, known_systems(root, spec))
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..good].iter().filter(|b| **b == b'\n').count();
        let title = format!("{} is not UTF-8 from line {line}, byte {good}", shown(root, &path));
        refuse(title, "a manifest is UTF-8 text: save it as UTF-8".into())
    })?;
    check_text(root, &path, &text, guests)
}

/// Reads like [`check`], with `text` in place of the contents of the file at `path`.
///
/// # Errors
/// Everything that is wrong with the manifest.
pub fn check_text(
    root: &Path,
    path: &Path,
    text: &str,
    guests: &mut dyn FnMut(&str) -> anyhow::Result<PathBuf>,
) -> Result<(System, Diagnostics), Diagnostics> {
    let shown = shown(root, path);
    match read(root, path, text, guests) {
        Ok((system, warnings)) => Ok((system, Diagnostics::new(shown, text, warnings))),
        Err(errors) => Err(Diagnostics::new(shown, text, errors)),
    }
}

/// The planner's refusal of the system `spec`, shown at the entry of the manifest that does not
/// fit.
pub fn misfit(root: &Path, spec: &str, misfit: &PlacementError) -> Diagnostics {
    let path = locate(root, spec);
    // The file has just been read. If it cannot be read now, the refusal is reported without its
    // text.
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let finding = refused(&text, misfit);
    Diagnostics::new(shown(root, &path), text, vec![finding])
}

/// The planner's refusal as a finding in the manifest's text.
pub fn refused(text: &str, misfit: &PlacementError) -> Finding {
    let document = DeTable::parse_recoverable(text).0;
    let element = |list: &str, index: usize, keys: &[&str]| {
        let DeValue::Array(items) = document.get_ref().get(list)?.get_ref() else {
            return None;
        };
        let DeValue::Table(table) = items.get(index)?.get_ref() else {
            return None;
        };
        keys.iter().find_map(|key| table.get(*key))
    };
    let place = match misfit.of {
        Of::System => document.get_ref().get("board").map(Spanned::span),
        Of::DeviceTree(p) => element("partition", p, &["device-tree", "memory"]).map(Spanned::span),
        Of::Channel(c) => element("channel", c, &["bytes"]).map(Spanned::span),
        Of::Memory(p, piece) => element("partition", p, &["memory"]).map(|memory| {
            let pieces = memory.get_ref().as_array();
            let piece = pieces.and_then(|pieces| pieces.get(piece));
            piece.unwrap_or(memory).span()
        }),
    };
    Finding::new(place.unwrap_or(0..0), &misfit.what, "this")
        .rule("does-not-fit")
        .note(&misfit.why)
        .help(misfit.help)
}

/// Reads a manifest's text and applies every rule to it. Returns the system with its warnings.
///
/// # Errors
/// Everything that is wrong with the manifest.
pub fn read(
    root: &Path,
    path: &Path,
    text: &str,
    guests: &mut dyn FnMut(&str) -> anyhow::Result<PathBuf>,
) -> Result<(System, Vec<Finding>), Vec<Finding>> {
    let findings = RefCell::default();
    let sound = recover::sound(text, &findings);
    let document = DeTable::parse_recoverable(&sound.text).0;
    // The whole file is one table; missing keys are reported at its start.
    let mut table = Table::new("a system", 0..0, document.get_ref(), &findings);
    let mut manifest = Manifest::read(&mut table);
    let unknown = table.finish();
    let misspelt = |name: &String| nearest(name, ["partition"]).is_some();
    manifest.complete &= !sound.tables_lost && !unknown.iter().any(misspelt);

    let mut findings = findings.into_inner();
    if sound.head_lost {
        // If the head of the file is damaged, its keys cannot be told from missing ones.
        findings.retain(|finding| finding.rule != "missing-key" || !finding.is_of_whole_file());
    }
    let board = find_board(root, &manifest, &mut findings);
    let programs = programs::read_all(root, path, &manifest, guests, &mut findings);
    for rule in RULES {
        let found = match (rule.check, &board) {
            (Check::Manifest(check), _) => check(&manifest),
            (Check::Board(check), Some(board)) => check(&manifest, board),
            (Check::Programs(check), _) => check(&manifest, &programs),
            (Check::Absence(check), _) if manifest.knows_partitions() => check(&manifest),
            (Check::Board(_), None)
            | (Check::Reading | Check::Absence(_) | Check::Warning(_), _) => Vec::new(),
        };
        findings.extend(found.into_iter().map(|finding| finding.rule(rule.id)));
    }
    findings.retain(|finding| finding.rule == "syntax" || !finding.is_within(&sound.lost));
    let Some(board) = board.filter(|_| findings.is_empty()) else {
        return Err(findings);
    };
    let mut warnings = Vec::new();
    for rule in RULES {
        if let Check::Warning(check) = rule.check {
            let found = check(&manifest, &board).into_iter();
            warnings.extend(found.map(|finding| finding.rule(rule.id).warning()));
        }
    }
    let system = resolve::resolve(path, manifest, board, programs)
        .expect("a manifest without findings has every key");
    Ok((system, warnings))
}

/// Reads the board `name`.
///
/// # Errors
/// If its file cannot be read, or the first error in it.
pub fn board(root: &Path, name: &str) -> Result<Board, String> {
    let file = root.join("boards").join(name).join("board.toml");
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    board::read(name, &text).map_err(|error| error.to_string())
}

/// Reads the board that the manifest names.
fn find_board(root: &Path, manifest: &Manifest, findings: &mut Vec<Finding>) -> Option<Board> {
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
    let with_ram = |board: Board| {
        let ranges = manifest.ram.iter().filter_map(|range| {
            let (base, size) = (*range.base.as_ref()?.get_ref(), *range.size.as_ref()?.get_ref());
            Some(Range { base, size })
        });
        let ram: Vec<_> = ranges.collect();
        match ram.is_empty() {
            true => board,
            false => Board { ram, ..board },
        }
    };
    board(root, name.get_ref())
        .map(with_ram)
        .map_err(|error| {
            let title = format!("boards/{}/board.toml cannot be used", name.get_ref());
            findings.push(
                Finding::new(name.span(), title, "this board")
                    .note(error)
                    .help("docs/porting.md explains a board's file"),
            );
        })
        .ok()
}

#[cfg(test)]
mod tests;
