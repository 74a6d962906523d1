// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files of a boot medium, and the one that lists the others with their checksums.

use crate::sha256;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// The file that lists the others.
pub const LIST: &str = "bulkhead.txt";

/// Files of a boot medium by their path on it, in the order of their paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    files: BTreeMap<String, File>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct File {
    bytes: Vec<u8>,
    /// Where it comes from, for people.
    origin: String,
}

impl Content {
    /// Adds a file. `origin` says where it comes from: a package with its version, a folder.
    ///
    /// # Errors
    /// If there is one of this path already, also in other upper and lower case, which FAT does
    /// not tell apart.
    pub fn add(&mut self, path: &str, bytes: Vec<u8>, origin: &str) -> Result<()> {
        let same = self.files.keys().find(|other| other.eq_ignore_ascii_case(path));
        ensure!(same.is_none(), "the card would have {path} twice");
        self.files.insert(path.to_owned(), File { bytes, origin: origin.to_owned() });
        Ok(())
    }

    /// Returns the bytes of a file, if there is one of this path.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(|file| file.bytes.as_slice())
    }

    /// Paths and bytes, in the order of the paths.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, file)| (path.as_str(), file.bytes.as_slice()))
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.files.values().map(|file| file.bytes.len() as u64).sum()
    }

    /// Adds [`LIST`]: `title`, the origin of each file, and its checksum, in a form that
    /// `sha256sum -c` reads.
    ///
    /// # Errors
    /// If there is a file of this name already.
    pub fn add_list(&mut self, title: &str) -> Result<()> {
        let mut text = format!("# {title}\n# Check with: sha256sum -c {LIST}\n#\n");
        for (path, file) in &self.files {
            // Writing to a string does not fail.
            let _ = writeln!(text, "# {path}: {}", file.origin);
        }
        text.push_str("#\n");
        for (path, file) in &self.files {
            let _ = writeln!(text, "{}  {path}", sha256(&file.bytes));
        }
        self.add(LIST, text.into_bytes(), "")
    }

    /// Writes the files to `folder`, which is made if there is none. Other files there stay.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write_to(&self, folder: &Path) -> Result<()> {
        for (path, bytes) in self.files() {
            let path = folder.join(path);
            let parent = path.parent().unwrap_or(folder);
            std::fs::create_dir_all(parent)
                .with_context(|| format!("cannot make {}", parent.display()))?;
            std::fs::write(&path, bytes)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}
