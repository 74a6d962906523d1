// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask package`: Debian package files of the programs for Linux in a partition.

use anyhow::{Context, Result};
use runner::for_linux::{self, BHCHAN};
use runner::ui;
use runner::workspace::{cargo, root, target_dir, write};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Target of the C library: programs are linked with Debian's C library.
const GNU: &str = "aarch64-unknown-linux-gnu";
/// Crate of the C library.
const LIBRARY_CRATE: &str = "bhchan-c";
/// Modes of files.
const DATA: u32 = 0o644;
const PROGRAM: u32 = 0o755;

/// A file of a package: the source from the repository's root, the place, the mode.
type Entry = (&'static str, &'static str, u32);

/// A package file.
struct Package {
    name: &'static str,
    /// One line, then lines that start with a blank (deb-control(5)).
    description: &'static str,
    files: &'static [Entry],
    /// Builds the file that is not in the repository; returns its path, place and mode.
    built: fn() -> Result<(PathBuf, &'static str, u32)>,
}

/// The command, and what a system needs around it.
const COMMAND: Package = Package {
    name: "bhchan",
    description: "channels to other partitions of Bulkhead\n The command bhchan, and a network \
                  over channels. The kernel is a stock one:\n it needs uio_pci_generic, and tun \
                  for networks.\n",
    files: &[
        ("guests/linux/bhchan/packaging/postinst", "DEBIAN/postinst", PROGRAM),
        (
            "guests/linux/bhchan/packaging/60-bhchan.rules",
            "usr/lib/udev/rules.d/60-bhchan.rules",
            DATA,
        ),
        ("guests/linux/bhchan/packaging/bhchan.conf", "usr/lib/modules-load.d/bhchan.conf", DATA),
        (
            "guests/linux/bhchan/packaging/bhchan-net@.service",
            "usr/lib/systemd/system/bhchan-net@.service",
            DATA,
        ),
        (
            "guests/linux/bhchan/packaging/bhchan-net.init",
            "usr/share/doc/bhchan/examples/bhchan-net.init",
            PROGRAM,
        ),
        ("LICENSE-MIT", "usr/share/doc/bhchan/copyright", DATA),
    ],
    built: || Ok((for_linux::program(BHCHAN)?, "usr/bin/bhchan", PROGRAM)),
};

/// The library for C, and its headers.
const LIBRARY: Package = Package {
    name: "libbhchan-dev",
    description: "channels to other partitions of Bulkhead, for C programs\n A static library, its \
                  header, the header of the ring, and an example.\n",
    files: &[
        ("guests/linux/bhchan-c/include/bhchan.h", "usr/include/bhchan.h", DATA),
        ("guests/linux/bhchan-c/examples/ask.c", "usr/share/doc/libbhchan-dev/ask.c", DATA),
        ("hyp/channel/include/bulkhead_channel.h", "usr/include/bulkhead_channel.h", DATA),
        ("hyp/channel/include/bulkhead_abi.h", "usr/include/bulkhead_abi.h", DATA),
        ("LICENSE-MIT", "usr/share/doc/libbhchan-dev/copyright", DATA),
    ],
    built: || Ok((library()?, "usr/lib/aarch64-linux-gnu/libbhchan_c.a", DATA)),
};

/// Builds the programs, and packs them to files in `output`, or in Cargo's target folder.
///
/// # Errors
/// If they do not build, or there is no dpkg-deb.
pub fn command(output: Option<PathBuf>) -> Result<()> {
    let output = output.unwrap_or_else(target_dir);
    COMMAND.write(&output)?;
    if for_linux::has_target(GNU) {
        return LIBRARY.write(&output);
    }
    ui::say(format_args!(
        "{} is left out: `rustup target add {GNU}` adds what it needs",
        LIBRARY.name
    ));
    Ok(())
}

impl Package {
    /// Returns the file's name.
    fn file(&self) -> String {
        format!("{}_{}_arm64.deb", self.name, env!("CARGO_PKG_VERSION"))
    }

    /// Returns the package's fields (deb-control(5)).
    fn fields(&self) -> String {
        format!(
            "Package: {}\nVersion: {}\nArchitecture: arm64\nSection: utils\nPriority: optional\n\
             Maintainer: Bulkhead <bulkhead@localhost>\nDescription: {}",
            self.name,
            env!("CARGO_PKG_VERSION"),
            self.description
        )
    }

    /// Packs it to `output`.
    fn write(&self, output: &Path) -> Result<()> {
        let folder = target_dir().join("package").join(self.name);
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        let (built, to, mode) = (self.built)()?;
        place(&built, &folder.join(to), mode)?;
        for (from, to, mode) in self.files {
            place(&root().join(from), &folder.join(to), *mode)?;
        }
        write(&folder.join("DEBIAN/control"), self.fields().as_bytes())?;
        let file = output.join(self.file());
        let mut pack = Command::new("dpkg-deb");
        pack.args(["--root-owner-group", "-Zxz", "--build"]).arg(&folder).arg(&file);
        let packed = ui::run(&format!("packing {}", self.name), &mut pack);
        packed.context("dpkg-deb packs Debian's packages")?;
        ui::say(format_args!("{}", file.display()));
        Ok(())
    }
}

/// Copies a file, and makes its folder.
fn place(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let copied = (|| {
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(from, to)?;
        fs::set_permissions(to, fs::Permissions::from_mode(mode))
    })();
    copied.with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// Builds the C library. It is an archive, so that no linker for arm64 is needed.
fn library() -> Result<PathBuf> {
    let mut build = cargo("build");
    build.args(["--locked", "--release", "--target", GNU, "--package", LIBRARY_CRATE, "--lib"]);
    build.arg("--target-dir").arg(target_dir());
    ui::run("building the library for C", &mut build)?;
    Ok(target_dir().join(GNU).join("release/libbhchan_c.a"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_packages_exists() {
        for (from, to, _) in COMMAND.files.iter().chain(LIBRARY.files) {
            assert!(root().join(from).is_file(), "{from}");
            assert!(!to.starts_with('/'), "{to}");
        }
    }

    /// Each line of a description after the first starts with a blank, and the fields end with a
    /// line's end.
    #[test]
    fn the_fields_have_debians_form() {
        for package in [COMMAND, LIBRARY] {
            let fields = package.fields();
            assert!(fields.ends_with('\n'));
            for line in fields.lines() {
                assert!(line.starts_with(' ') || line.contains(": "), "{line}");
                assert!(line.len() <= 80, "{line}");
            }
        }
        assert_eq!(COMMAND.file(), format!("bhchan_{}_arm64.deb", env!("CARGO_PKG_VERSION")));
    }
}
