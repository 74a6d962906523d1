//! The inputs that an image is compared with: manifest, board, EL2's executable and the guests'
//! files.

use std::cell::RefCell;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use plan::Range;

use crate::board::Board;
use crate::manifest::Manifest;
use crate::programs::{El2, Piece, Program};

/// All inputs except the image.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The system's manifest.
    pub manifest: Manifest,
    /// Its board.
    pub board: Board,
    /// EL2's executable.
    pub el2: El2,
    /// Each partition's program.
    pub programs: Vec<Program>,
    /// Each partition's initial RAM disk, where the manifest names one.
    pub initrds: Vec<Option<Vec<u8>>>,
}

/// Prefix of the names of files that are not paths.
const DEBIAN: &str = "debian:";

/// Returns the ELF file of the guest crate of a name, or the file that `debian:PACKAGE` names.
pub type Guests<'a> = &'a mut dyn FnMut(&str) -> Result<Vec<u8>>;

impl Inputs {
    /// Reads the manifest at `path`, the board it names from `root/boards`, and the files it names.
    ///
    /// # Errors
    /// If a file cannot be read, or does not have the expected contents.
    pub fn read(root: &Path, path: &Path, el2: &[u8], guests: Guests<'_>) -> Result<Self> {
        let text = read(path, "the manifest")?;
        let text = String::from_utf8(text).context("the manifest is not UTF-8 text")?;
        let manifest = Manifest::read(&text).with_context(|| path.display().to_string())?;
        let board = root.join("boards").join(&manifest.board).join("board.toml");
        let text =
            String::from_utf8(read(&board, "the board")?).context("the board is not UTF-8 text")?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let guests = RefCell::new(guests);
        Self::of(
            manifest,
            &text,
            el2,
            &mut |name| match name.starts_with(DEBIAN) {
                true => guests.borrow_mut()(name),
                false => read(&folder.join(name), name),
            },
            &mut |name| guests.borrow_mut()(name),
        )
        .with_context(|| path.display().to_string())
    }

    /// Makes inputs from contents: `files` reads what the manifest names by path.
    ///
    /// # Errors
    /// If a file cannot be read, or does not have the expected contents.
    pub fn of(
        manifest: Manifest,
        board: &str,
        el2: &[u8],
        files: &mut dyn FnMut(&str) -> Result<Vec<u8>>,
        guests: Guests<'_>,
    ) -> Result<Self> {
        let mut board: Board = toml::from_str(board)
            .with_context(|| format!("boards/{}/board.toml", manifest.board))?;
        if !manifest.ram.is_empty() {
            let ranges = manifest.ram.iter().map(|ram| Range { base: ram.base, size: ram.size.0 });
            board.ram = ranges.collect();
        }
        ensure!(!board.gic.is_empty(), "a board needs at least one [[gic]]");
        for partition in &manifest.partition {
            let name = &partition.name;
            for vcpu in &partition.vcpus {
                let number = vcpu.core;
                ensure!(
                    (number as usize) < board.core.len(),
                    "partition {name}: the board has no core {number}"
                );
            }
            for device in &partition.devices {
                ensure!(
                    board.device.iter().any(|known| known.name == *device),
                    "partition {name}: the board has no device {device}"
                );
            }
        }
        let mut programs = Vec::new();
        let mut initrds = Vec::new();
        for partition in &manifest.partition {
            let image = &partition.image;
            let path = [&image.elf, &image.raw, &image.linux];
            let file = match (&image.guest, path.into_iter().flatten().next()) {
                (Some(guest), _) => guests(guest)?,
                (None, Some(path)) => files(path)?,
                (None, None) => bail!("partition {}: its image names no file", partition.name),
            };
            let program = Program::read(partition, file);
            let mut program =
                program.with_context(|| format!("the image of {}", partition.name))?;
            for file in &image.files {
                program.pieces.push(Piece { ipa: file.load, bytes: files(&file.path)?, zero: 0 });
            }
            programs.push(program);
            initrds.push(partition.initrd.as_deref().map(&mut *files).transpose()?);
        }
        Ok(Self { manifest, board, el2: El2::read(el2)?, programs, initrds })
    }
}

impl Inputs {
    /// Selects the board's GIC of this version instead of the board's first, for an image that is
    /// built for it.
    ///
    /// # Errors
    /// If the board has none.
    pub fn choose_gic(&mut self, version: u32) -> Result<()> {
        let gics = &mut self.board.gic;
        let at = gics.iter().position(|gic| gic.version == version);
        let at = at.with_context(|| format!("the board has no GICv{version}"))?;
        gics.swap(0, at);
        Ok(())
    }
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {what} {}", path.display()))
}
