// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files of a system's boot medium: its image, firmware's settings, firmware's files.

use crate::{loader, verify};
use anyhow::{Context, Result, ensure};
use flash::content::Content;
use manifest::system::{Board, Card, CardFile};
use runner::build::Builder;
use runner::linux;
use runner::workspace::root;
use std::collections::BTreeMap;
use std::path::Path;

/// The file of firmware's that has the boot command line.
const COMMAND_LINE: &str = "cmdline.txt";

/// A boot medium's files.
pub struct Medium {
    /// The files.
    pub content: Content,
}

/// A file of firmware: its bytes, and where it comes from.
pub(super) type Found = (Vec<u8>, String);

impl Medium {
    /// Builds and verifies the image of a system, and collects firmware's files from a folder or
    /// from Debian. EL2 gets the words `append`.
    ///
    /// # Errors
    /// If the system's board does not boot from a card, or something cannot be built or found.
    pub fn build(spec: &str, firmware: Option<&Path>, append: Option<&str>) -> Result<Self> {
        let mut builder = Builder::default();
        let system = builder.system(spec)?;
        let board = &system.board;
        let card = card(board).with_context(|| format!("{spec}: no boot medium"))?;
        let image = verify::image(&mut builder, &system)?;
        let program = Program {
            base: image.design.places.image.base,
            bytes: image.bytes,
            title: format!("system {spec}"),
        };
        Self::of(board, card, program, firmware, append)
    }

    /// Builds the loader for a board, and collects firmware's files likewise. The words `append`
    /// are for the systems that the loader starts.
    ///
    /// # Errors
    /// If the board does not boot from a card, or something cannot be built or found.
    pub fn of_loader(board: &str, firmware: Option<&Path>, append: Option<&str>) -> Result<Self> {
        let board = manifest::board(&root(), board).map_err(anyhow::Error::msg)?;
        let card = card(&board).context("no card for the loader")?;
        let bytes = loader::image(&mut Builder::default(), &board)?;
        let program = Program { base: loader::ADDRESS, bytes, title: "serial loader".to_owned() };
        Self::of(&board, card, program, firmware, append)
    }

    fn of(
        board: &Board,
        card: &Card,
        program: Program,
        firmware: Option<&Path>,
        append: Option<&str>,
    ) -> Result<Self> {
        let mut found = match firmware {
            Some(folder) => from_folder(card, folder)?,
            None => from_debian(card)?,
        };
        let Program { base, bytes, title } = program;
        let settings = card.settings(base, bytes.len() as u64);
        let mut content = Content::default();
        content.add("config.txt", settings.into_bytes(), "made by cargo xtask flash")?;
        content.add(&card.image, bytes, &format!("the {title}"))?;
        if let Some(words) = append {
            ensure!(
                !words.contains(['\n', '\r']),
                "--append: firmware reads one line of {COMMAND_LINE}"
            );
            content.add(COMMAND_LINE, format!("{words}\n").into_bytes(), "given with --append")?;
        }
        for file in &card.files {
            if let Some((bytes, origin)) = found.remove(&file.name) {
                content.add(&file.name, bytes, &origin)?;
            }
        }
        let version = env!("CARGO_PKG_VERSION");
        content.add_list(&format!("Bulkhead {version}, {title}, board {}", board.name))?;
        Ok(Self { content })
    }
}

/// What firmware starts.
struct Program {
    base: u64,
    bytes: Vec<u8>,
    title: String,
}

/// Returns what a board's medium needs.
fn card(board: &Board) -> Result<&Card> {
    let name = &board.name;
    board
        .card
        .as_ref()
        .with_context(|| format!("boards/{name}/board.toml has no [card]: {name} boots from none"))
}

/// Reads firmware's files from a folder.
pub(super) fn from_folder(card: &Card, folder: &Path) -> Result<BTreeMap<String, Found>> {
    let mut found = BTreeMap::new();
    let mut missing = Vec::new();
    for file in &card.files {
        let path = folder.join(&file.name);
        match std::fs::read(&path) {
            Ok(bytes) => {
                found.insert(file.name.clone(), (bytes, "given with --firmware".to_owned()));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                missing.push(file.name.as_str());
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        }
    }
    ensure!(
        missing.is_empty(),
        "--firmware {}: it lacks {}; this is the folder boot/ of github.com/raspberrypi/firmware",
        folder.display(),
        missing.join(", ")
    );
    Ok(found)
}

/// Fetches firmware's files from Debian's packages, or takes those fetched earlier.
fn from_debian(card: &Card) -> Result<BTreeMap<String, Found>> {
    let mut packages: BTreeMap<&str, Vec<(&CardFile, &str)>> = BTreeMap::new();
    for file in &card.files {
        let (package, path) = &file.debian;
        packages.entry(package).or_default().push((file, path));
    }
    let mut found = BTreeMap::new();
    for (package, files) in packages {
        let patterns: Vec<_> = files.iter().map(|(_, path)| *path).collect();
        let fetched = linux::packaged(package, &patterns).with_context(|| {
            format!("{package}: firmware's files are missing; --firmware names a folder with them")
        })?;
        for ((file, _), path) in files.iter().zip(&fetched.files) {
            let bytes = std::fs::read(path);
            let bytes = bytes.with_context(|| format!("cannot read {}", path.display()))?;
            found.insert(file.name.clone(), (bytes, format!("Debian, {}", fetched.version)));
        }
    }
    Ok(found)
}
