// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fetches a file of a Debian arm64 package, on a Debian system of any architecture. It runs apt
//! without root and with separate folders, with the system's sources and keys. The system's
//! packages and apt's view of them do not change.

use super::sources;
use crate::ui::{self, Step};
use crate::workspace::{target_dir, unique};
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Prefix of kernel packages, also of those that depend on the current one
/// (`linux-image-cloud-arm64`).
pub const KERNEL: &str = "linux-image-";

/// Folder of fetched packages, in Cargo's target folder.
const PACKAGES: &str = "debian/packages";

/// The packages cannot be fetched here: no apt, no network, or a distribution without them.
#[derive(Clone, Copy, Debug)]
pub struct Unavailable;

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Debian's packages cannot be fetched here")
    }
}

impl std::error::Error for Unavailable {}

/// Returns files of `package`, or of the package that it depends on to be current: per pattern, the
/// file whose path matches. All kept files are of one version. A file other than the first that the
/// package does not have is empty.
///
/// # Errors
/// [`Unavailable`] if the package has to be fetched and cannot be; otherwise if it does not have
/// the first file.
pub fn members<const N: usize>(
    cache: &Path,
    package: &str,
    patterns: [&str; N],
) -> Result<[PathBuf; N]> {
    let wanted = std::array::from_fn(|number| match number {
        0 => cache.join(package),
        _ => cache.join(format!("{package}.{number}")),
    });
    if wanted.iter().all(|file: &PathBuf| file.is_file()) {
        return Ok(wanted);
    }
    let folder = cache.join(format!("fetch.{}", unique()));
    let deb = download(&folder, package, None).context(Unavailable);
    let kept = deb.and_then(|deb| {
        for (number, (pattern, wanted)) in patterns.iter().zip(&wanted).enumerate() {
            let file = folder.join("member");
            let found = unpack(&deb, pattern, &file)?;
            ensure!(found || number > 0, "{} has no {pattern}", deb.display());
            std::fs::rename(&file, wanted)
                .with_context(|| format!("cannot write {}", wanted.display()))?;
        }
        Ok(())
    });
    // The folder's contents are not needed after success or failure.
    let _ = std::fs::remove_dir_all(&folder);
    kept.map(|()| wanted)
}

/// Files of a package, and which one it was.
pub struct Packaged {
    /// The files, in the order of their patterns.
    pub files: Vec<PathBuf>,
    /// The package's name and version.
    pub version: String,
}

/// Returns the files of `package`, or of the package that it depends on to be current, whose paths
/// match `patterns`. They are kept below `cache`. `component` is a part of the distribution that
/// the machine's sources need not name.
///
/// # Errors
/// [`Unavailable`] if the package has to be fetched and cannot be; otherwise if it lacks a file.
pub fn packaged(
    cache: &Path,
    package: &str,
    patterns: &[&str],
    component: Option<&str>,
) -> Result<Packaged> {
    let kept = cache.join(package);
    let files: Vec<_> = (0..patterns.len()).map(|n| kept.join(n.to_string())).collect();
    let version = kept.join("version");
    // The version is kept with the patterns, so that other patterns fetch again.
    let read = |version: &Path| {
        let text = std::fs::read_to_string(version).ok()?;
        let (first, rest) = text.split_once('\n')?;
        rest.lines().eq(patterns.iter().copied()).then(|| first.to_owned())
    };
    if let Some(version) = read(&version) {
        return Ok(Packaged { files, version });
    }
    let folder = cache.join(format!("fetch.{}", unique()));
    let fetched = (|| {
        let deb = download(&folder, package, component).context(Unavailable)?;
        let part = folder.join("kept");
        std::fs::create_dir_all(&part)
            .with_context(|| format!("cannot make {}", part.display()))?;
        for (number, pattern) in patterns.iter().enumerate() {
            let found = unpack(&deb, pattern, &part.join(number.to_string()))?;
            ensure!(found, "{} has no {pattern}", deb.display());
        }
        let text = format!("{}\n{}\n", name_and_version(&deb)?, patterns.join("\n"));
        std::fs::write(part.join("version"), text).context("cannot write the version")?;
        // Another process may have kept the same files meanwhile, and read them now.
        if read(&version).is_some() {
            return Ok(());
        }
        // The files of other patterns go; there may be none.
        let _ = std::fs::remove_dir_all(&kept);
        std::fs::rename(&part, &kept).with_context(|| format!("cannot make {}", kept.display()))
    })();
    // The folder's contents are not needed after success or failure.
    let _ = std::fs::remove_dir_all(&folder);
    fetched?;
    let version = read(&version).with_context(|| format!("{} has gone", version.display()))?;
    Ok(Packaged { files, version })
}

/// Returns `NAME VERSION` of a package's file.
fn name_and_version(deb: &Path) -> Result<String> {
    let mut command = Command::new("dpkg-deb");
    command.args(["--show", "--showformat=${Package} ${Version}"]).arg(deb);
    let output = command.output().context("cannot start dpkg-deb")?;
    ensure!(output.status.success(), "{} is not a package", deb.display());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Returns the package's file, which is fetched once and kept: QEMU and cards need files of the
/// same kernel's package.
fn download(folder: &Path, package: &str, component: Option<&str>) -> Result<PathBuf> {
    // The name has the version, and `package` may be the name of a package that only depends on it.
    let kept = target_dir().join(PACKAGES);
    let name = kept.join(package);
    let known = std::fs::read_to_string(&name).unwrap_or_default();
    let deb = kept.join(known.trim());
    if !known.is_empty() && deb.is_file() {
        return Ok(deb);
    }
    let fetched = fetch(folder, package, component)?;
    let file = fetched.file_name().context("a package without a name")?;
    std::fs::create_dir_all(&kept).with_context(|| format!("cannot make {}", kept.display()))?;
    let deb = kept.join(file);
    // Other processes may do so at the same time; a rename gives every reader a complete file.
    std::fs::rename(&fetched, &deb).with_context(|| format!("cannot write {}", deb.display()))?;
    let part = folder.join("name");
    std::fs::write(&part, file.as_encoded_bytes()).context("cannot write a package's name")?;
    std::fs::rename(&part, &name).with_context(|| format!("cannot write {}", name.display()))?;
    Ok(deb)
}

/// Fetches the package's file to `folder`.
fn fetch(folder: &Path, package: &str, component: Option<&str>) -> Result<PathBuf> {
    for empty in ["state/lists/partial", "cache/archives/partial", "deb"] {
        let path = folder.join(empty);
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
    }
    File::create(folder.join("state/status")).context("cannot write apt's state")?;
    if let Some(component) = component {
        sources::copy(&folder.join(sources::FOLDER), component)?;
    }
    let mut update = apt(folder, "apt-get");
    update.arg("update");
    ui::run("fetching Debian's list of arm64 packages", &mut update)?;
    let current = current(folder, package)?;
    let mut get = apt(folder, "apt-get");
    get.args(["download", &current]).current_dir(folder.join("deb"));
    ui::run(&format!("fetching {current}"), &mut get)?;
    let files: Vec<_> = std::fs::read_dir(folder.join("deb"))?.flatten().collect();
    match files.as_slice() {
        [file] => Ok(file.path()),
        _ => bail!("apt-get download left {} files", files.len()),
    }
}

/// Returns the package that `package` refers to: Debian's `linux-image-cloud-arm64` is empty and
/// depends on the package of a version.
fn current(folder: &Path, package: &str) -> Result<String> {
    let mut show = apt(folder, "apt-cache");
    show.args(["show", "--no-all-versions", package]);
    let output = ui::run(&format!("looking for {package}"), &mut show);
    let output =
        output.with_context(|| format!("apt's sources do not list {package} for arm64"))?;
    Ok(dependency(&output).unwrap_or_else(|| package.to_string()))
}

/// The kernel package of a `Depends:` field.
pub(super) fn dependency(fields: &[String]) -> Option<String> {
    let depends = fields.iter().find_map(|line| line.strip_prefix("Depends:"))?;
    let names = depends.split([',', '|']).filter_map(|item| item.split_whitespace().next());
    names
        .map(|name| name.split(':').next().unwrap_or(name))
        .find(|name| name.starts_with(KERNEL))
        .map(String::from)
}

/// An apt program with separate folders and arm64 as its only architecture.
fn apt(folder: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
    let set = |key: &str, path: &str| format!("{key}={}", folder.join(path).display());
    let options = [
        "APT::Architecture=arm64".into(),
        "APT::Architectures=arm64".into(),
        set("Dir::State", "state"),
        set("Dir::State::status", "state/status"),
        set("Dir::Cache", "cache"),
        // Fetches only package lists: no translations, no icons.
        "Acquire::Languages=none".into(),
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
        // The folders belong to this user, so apt's own user could not write there.
        "APT::Sandbox::User=root".into(),
    ];
    for option in options {
        command.arg("-o").arg(option);
    }
    if folder.join(sources::FOLDER).is_dir() {
        command.arg("-o").arg(set("Dir::Etc::sourceparts", sources::FOLDER));
        command.args(["-o", "Dir::Etc::sourcelist=/dev/null"]);
    }
    command
}

/// Writes the one file of a package that matches `pattern` to `to`; the file is empty (false) if
/// the package has none.
fn unpack(deb: &Path, pattern: &str, to: &Path) -> Result<bool> {
    let _step = Step::start(format!("unpacking {pattern}"));
    let file = File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
    let mut archive = Command::new("dpkg-deb");
    archive.arg("--fsys-tarfile").arg(deb).stdout(Stdio::piped());
    let mut archive = archive.spawn().context("cannot start dpkg-deb")?;
    let pipe = archive.stdout.take().context("no pipe from dpkg-deb")?;
    let mut tar = Command::new("tar");
    tar.args(["-xO", "--wildcards", &format!("./{pattern}")]);
    // tar fails with a message if nothing matches; the check below decides.
    tar.stdin(pipe).stdout(file).stderr(Stdio::null()).status().context("cannot start tar")?;
    let whole = archive.wait().context("lost dpkg-deb")?;
    ensure!(whole.success(), "{} is not a package", deb.display());
    let size = std::fs::metadata(to).map_or(0, |data| data.len());
    Ok(size > 0)
}
