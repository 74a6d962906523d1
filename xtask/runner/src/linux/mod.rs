// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that a manifest names by `debian:PACKAGE`: Debian's arm64 kernel, and an initial RAM disk
//! of its busybox. Both are fetched when they are first needed, and kept in Cargo's target folder;
//! later builds do not use the network.

mod fetch;
mod initramfs;
mod sources;
#[cfg(test)]
mod tests;

use crate::for_linux::{self, BHCHAN};
use crate::workspace::{root, target_dir, unique, write};
use anyhow::{Context, Result, bail, ensure};
use fetch::KERNEL;
use manifest::{SCHEME, locate};
use std::path::{Path, PathBuf};

pub use fetch::{Packaged, Unavailable};

/// The package of the initial RAM disk's one program.
const BUSYBOX: &str = "busybox-static";
/// U-Boot for QEMU's machine, and the file of it for arm64.
const U_BOOT: (&str, &str) = ("u-boot-qemu", "usr/lib/u-boot/qemu_arm64/u-boot.bin");
/// Files of a kernel's package: the kernel, and the modules for a disk on virtio-mmio, for channels
/// and for their network, in the order they are loaded. A module that the package does not have is
/// built in.
const KERNEL_FILES: [&str; 8] = [
    "boot/vmlinuz-*",
    "lib/modules/*/virtio_ring.ko*",
    "lib/modules/*/virtio.ko*",
    "lib/modules/*/virtio_mmio.ko*",
    "lib/modules/*/virtio_blk.ko*",
    "lib/modules/*/uio.ko*",
    "lib/modules/*/uio_pci_generic.ko*",
    "lib/modules/*/tun.ko*",
];

/// Files to use instead of the fetched ones.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// A kernel.
    pub kernel: Option<PathBuf>,
    /// An initial RAM disk.
    pub initrd: Option<PathBuf>,
}

impl Overrides {
    /// Checks that the system `spec` has a file that these replace, and makes their paths absolute.
    ///
    /// # Errors
    /// If a file does not exist, or no partition names the file that it replaces.
    pub fn of(self, spec: &str) -> Result<Self> {
        let packages = packages(spec);
        let checked = |option: &str, file: Option<PathBuf>, wanted: fn(&str) -> bool| {
            let Some(file) = file else { return Ok(None) };
            ensure!(
                packages.iter().any(|package| wanted(package)),
                "--{option}: no partition of {spec} uses Debian's file; name {} in its manifest",
                file.display()
            );
            let absolute = file.canonicalize();
            let absolute =
                absolute.with_context(|| format!("--{option}: cannot read {}", file.display()))?;
            Ok(Some(absolute))
        };
        Ok(Self {
            kernel: checked("kernel", self.kernel, is_kernel)?,
            initrd: checked("initrd", self.initrd, |package| {
                package.split('+').next() == Some(BUSYBOX)
            })?,
        })
    }
}

fn is_kernel(package: &str) -> bool {
    package.starts_with(KERNEL)
}

/// Returns the packages that the manifest of `spec` names, without their scheme. None if it cannot
/// be read, which its later readers report. For `debian:PACKAGE` it is that package.
pub fn packages(spec: &str) -> Vec<String> {
    if let Some(package) = spec.strip_prefix(SCHEME) {
        return vec![package.to_owned()];
    }
    let path = locate(&root(), spec);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let table: toml::Table = text.parse().unwrap_or_default();
    let partitions = table.get("partition").and_then(toml::Value::as_array);
    let named = partitions.into_iter().flatten().flat_map(|partition| {
        let image = partition.get("image");
        let of_image = |key| image.and_then(|image| image.get(key));
        let files = of_image("files").and_then(toml::Value::as_array);
        let files = files.into_iter().flatten();
        let one = of_image("linux").or(of_image("raw"));
        one.into_iter()
            .chain(files.filter_map(|file| file.get("path")))
            .chain(partition.get("initrd"))
    });
    named.filter_map(|name| name.as_str()?.strip_prefix(SCHEME)).map(String::from).collect()
}

/// Fetches what the system `spec` takes from Debian, or the one package that `spec` is. So a
/// missing network can be told from other errors.
///
/// # Errors
/// [`Unavailable`], and why.
pub fn fetched(spec: &str) -> Result<()> {
    let files = packages(spec).into_iter().map(|package| file(&package, &Overrides::default()));
    let tree = board_tree(spec).map(|name| device_tree(&name));
    let failed = files.chain(tree).filter_map(Result::err).find(anyhow::Error::is::<Unavailable>);
    failed.map_or(Ok(()), Err)
}

/// The device tree that QEMU takes for the board of the system `spec`, if its machine does not make
/// one.
fn board_tree(spec: &str) -> Option<String> {
    let table =
        |path: PathBuf| -> Option<toml::Table> { std::fs::read_to_string(path).ok()?.parse().ok() };
    let system = table(locate(&root(), spec))?;
    let board = root().join("boards").join(system.get("board")?.as_str()?);
    let name = table(board.join("board.toml"))?;
    Some(name.get("qemu")?.get("dtb")?.as_str()?.to_owned())
}

/// Returns the board's device tree that `debian:PACKAGE/FILE` names: Debian's kernels for arm64
/// include those of their boards.
///
/// # Errors
/// [`Unavailable`] if it has to be fetched and cannot be; otherwise if there is no such package or
/// file in it.
pub fn device_tree(name: &str) -> Result<PathBuf> {
    let parts = name.strip_prefix(SCHEME).and_then(|name| name.split_once('/'));
    let Some((package, file)) = parts.filter(|(package, _)| is_kernel(package)) else {
        bail!("{name} is not a device tree: write {SCHEME}{KERNEL}…/FILE.dtb");
    };
    // The file is kept next to the other files of the package.
    let cache = cache().join(file);
    let [tree] = fetch::members(&cache, package, [&format!("usr/lib/*/{file}")])?;
    Ok(tree)
}

/// The part of Debian with firmware. The machine's own sources need not list it.
const FIRMWARE: &str = "non-free-firmware";

/// Returns files of one of Debian's arm64 packages, which may be firmware, by patterns of their
/// paths in it.
///
/// # Errors
/// [`Unavailable`] if the package has to be fetched and cannot be; otherwise if it lacks a file.
pub fn packaged(package: &str, patterns: &[&str]) -> Result<Packaged> {
    fetch::packaged(&cache().join("card"), package, patterns, Some(FIRMWARE))
}

/// Whether `file` was fetched, or made of fetched files.
pub fn is_kept(file: &Path) -> bool {
    file.parent() == Some(&cache())
}

/// The folder where packages, and files made of them, are kept.
fn cache() -> PathBuf {
    target_dir().join("debian")
}

/// Returns the file that `debian:` and `package` name.
///
/// # Errors
/// [`Unavailable`] if it has to be fetched and cannot be; otherwise if there is no such package, or
/// it does not have the expected contents.
pub fn file(package: &str, overrides: &Overrides) -> Result<PathBuf> {
    let cache = cache();
    match package {
        _ if is_kernel(package) => match &overrides.kernel {
            Some(file) => Ok(file.clone()),
            None => Ok(fetch::members(&cache, package, KERNEL_FILES)?[0].clone()),
        },
        _ if package == U_BOOT.0 => {
            let [file] = fetch::members(&cache, package, [U_BOOT.1])?;
            Ok(file)
        }
        _ => match (package.split_once('+'), &overrides.initrd) {
            (None, Some(file)) if package == BUSYBOX => Ok(file.clone()),
            (Some((BUSYBOX, _)), Some(file)) => Ok(file.clone()),
            (None, None) if package == BUSYBOX => initial_ram_disk(&cache, None),
            (Some((BUSYBOX, kernel)), None) if is_kernel(kernel) => {
                initial_ram_disk(&cache, Some(kernel))
            }
            _ => bail!(
                "{SCHEME} names a kernel ({KERNEL}…), {}, or for an initial RAM disk {BUSYBOX} or \
                 {BUSYBOX}+{KERNEL}…",
                U_BOOT.0
            ),
        },
    }
}

/// Packs busybox and guests/linux, with modules of `kernel` and the command for channels if one is
/// named. It is packed each time, because guests/linux may have changed and packing is fast.
fn initial_ram_disk(cache: &Path, kernel: Option<&str>) -> Result<PathBuf> {
    let [busybox] = fetch::members(cache, BUSYBOX, ["*bin/busybox"])?;
    let mut programs = vec![("busybox", busybox)];
    let mut modules = Vec::new();
    if let Some(kernel) = kernel {
        modules = fetch::members(cache, kernel, KERNEL_FILES)?[1..].to_vec();
        programs.push((BHCHAN, for_linux::program(BHCHAN)?));
    }
    let folder = root().join("guests/linux");
    let archive = initramfs::pack(&folder, &programs, &modules)
        .with_context(|| format!("cannot pack {}", folder.display()))?;
    let path = cache.join(format!("initramfs{}.cpio", kernel.unwrap_or_default()));
    // Other processes may do so at the same time; the rename gives every reader a complete file.
    let part = cache.join(format!("initramfs.{}", unique()));
    write(&part, &archive)?;
    std::fs::rename(&part, &path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
