// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds and reads the files that partitions name: programs and initial RAM disks.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::catalogue::names;
use super::decode::At;
use super::image::{self, Wish};
use super::pieces::DEFAULT_IPA;
use super::raw::{File, Image as RawImage, Kind, Manifest, Partition};
use super::report::Finding;
use super::words::suggest;
use crate::system::{Image, Segment};

/// Prefix of names that mean a Debian package and not a file.
pub const SCHEME: &str = "debian:";

/// The finding is boxed because it is large and rare.
type Outcome<T> = Result<T, Box<Finding>>;

/// The contents of one partition's files; a file that could not be read is left out.
#[derive(Default)]
pub struct Program {
    /// Its program; the further files of the image are its last segments.
    pub image: Option<Image>,
    /// The places in the manifest that give those files' load addresses.
    pub files: Vec<Range<usize>>,
    /// Its initial RAM disk.
    pub initrd: Option<(PathBuf, Vec<u8>)>,
}

/// Reads the files of every partition of the manifest at `path`; returns one element per partition.
pub fn read_all(
    root: &Path,
    path: &Path,
    manifest: &Manifest,
    guests: &mut dyn FnMut(&str) -> anyhow::Result<PathBuf>,
    findings: &mut Vec<Finding>,
) -> Vec<Program> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut programs = Vec::new();
    for partition in &manifest.partitions {
        let files = partition.image.as_ref().map(|image| &image.get_ref().files);
        let files = files.into_iter().flatten();
        let files: Vec<_> = files.map(|file| further(folder, file, guests)).collect();
        let image = partition.image.as_ref().map(|image| {
            let (kind, name) = one_kind(image)?;
            let file = match kind {
                Kind::Guest => guest(root, name, guests)?,
                Kind::Elf | Kind::Raw | Kind::Linux => place(folder, name, guests)?,
            };
            let bytes = contents(&file, name, "image-file")?;
            understand(partition, image.get_ref(), kind, file, bytes, name)
        });
        let initrd = partition.initrd.as_ref().map(|name| {
            let file = place(folder, name, guests)?;
            let bytes = contents(&file, name, "initrd-file")?;
            Ok((file, bytes))
        });
        let mut image = keep(image, findings);
        let mut places = Vec::new();
        for file in files {
            let read = keep(Some(file), findings).flatten();
            if let (Some(image), Some((segment, place))) = (&mut image, read) {
                image.segments.push(segment);
                places.push(place);
            }
        }
        programs.push(Program { image, files: places, initrd: keep(initrd, findings) });
    }
    programs
}

/// Returns what could be read, or adds the finding.
fn keep<T>(result: Option<Outcome<T>>, findings: &mut Vec<Finding>) -> Option<T> {
    result?.map_err(|finding| findings.push(*finding)).ok()
}

/// Returns the only kind that an image gives.
fn one_kind(image: &At<RawImage>) -> Outcome<(Kind, &At<String>)> {
    match image.get_ref().kinds.as_slice() {
        [(kind, name)] => Ok((*kind, name)),
        [(_, first), rest @ ..] => {
            let finding = rest.iter().fold(
                Finding::new(image.span(), "an image is one file", "this names several"),
                |finding, (_, other)| finding.other(other.span(), "and this"),
            );
            let finding = finding.other(first.span(), "this").rule("image-kind");
            Err(finding.help("keep one of them").into())
        }
        [] => Err(Finding::new(image.span(), "an image needs a file", "this names no file")
            .rule("image-kind")
            .help(
                "write one of `guest`, `elf`, `raw` and `linux`: `image = { elf = \
                     \"program.elf\" }`",
            )
            .into()),
    }
}

/// Builds the guest crate `name`.
fn guest(
    root: &Path,
    name: &At<String>,
    build: &mut dyn FnMut(&str) -> anyhow::Result<PathBuf>,
) -> Outcome<PathBuf> {
    let folder = root.join("guests");
    let known: Vec<String> = names(&folder)
        .into_iter()
        // guests/rt is the runtime that the others are linked with.
        .filter(|name| name != "rt" && folder.join(name).join("Cargo.toml").exists())
        .collect();
    if !known.contains(name.get_ref()) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let title = format!("there is no guest \"{}\"", name.get_ref());
        let finding = Finding::new(name.span(), title, "no such crate under guests/");
        let help = suggest(name.get_ref(), "guests", &known);
        return Err(finding.rule("guest-unknown").help(help).into());
    }
    build(name.get_ref()).map_err(|error| {
        let title = format!("guests/{} does not build", name.get_ref());
        Finding::new(name.span(), title, "this guest")
            .rule("guest-build")
            .note(format!("{error:#}"))
            .help("see cargo's messages above")
            .into()
    })
}

/// Returns the path of a file that a manifest in `folder` names.
fn place(
    folder: &Path,
    name: &At<String>,
    fetch: &mut dyn FnMut(&str) -> anyhow::Result<PathBuf>,
) -> Outcome<PathBuf> {
    if !name.get_ref().starts_with(SCHEME) {
        return Ok(folder.join(name.get_ref()));
    }
    fetch(name.get_ref()).map_err(|error| {
        let title = format!("there is no {}", name.get_ref());
        Finding::new(name.span(), title, "this package")
            .rule("debian-package")
            .note(format!("{error:#}"))
            .help(
                "write the path of a file instead; `cargo xtask qemu` and `image` also take \
                 `--kernel FILE` and `--initrd FILE`",
            )
            .into()
    })
}

/// Reads a further file of an image into a segment, if all of its entry could be read; also returns
/// the place of its `load`.
fn further(
    folder: &Path,
    file: &File,
    fetch: &mut dyn FnMut(&str) -> anyhow::Result<PathBuf>,
) -> Outcome<Option<(Segment, Range<usize>)>> {
    let (Some(name), Some(load)) = (&file.path, &file.load) else {
        return Ok(None);
    };
    let bytes = contents(&place(folder, name, fetch)?, name, "image-file")?;
    if bytes.is_empty() {
        let title = format!("{} is empty", name.get_ref());
        let finding = Finding::new(name.span(), title, "an empty file").rule("image-file");
        return Err(finding.help("give a file that is not empty, or remove this one").into());
    }
    let segment = Segment { ipa: *load.get_ref(), bytes, clear: 0 };
    Ok(Some((segment, load.span())))
}

/// A file's contents.
fn contents(file: &Path, name: &At<String>, rule: &'static str) -> Outcome<Vec<u8>> {
    std::fs::read(file).map_err(|error| {
        let title = format!("cannot read \"{}\"", name.get_ref().escape_debug());
        let why = match error.kind() {
            _ if name.get_ref().is_empty() => "this names no file".into(),
            std::io::ErrorKind::NotFound => "there is no such file".into(),
            kind => kind.to_string(),
        };
        Finding::new(name.span(), title, why)
            .rule(rule)
            .help("paths start from the manifest's folder")
            .into()
    })
}

/// Parses a file's contents as a program.
fn understand(
    partition: &Partition,
    image: &RawImage,
    kind: Kind,
    file: PathBuf,
    bytes: Vec<u8>,
    name: &At<String>,
) -> Outcome<Image> {
    let wish = Wish {
        load: image.load.as_ref().map(|at| *at.get_ref()),
        entry: image.entry.as_ref().map(|at| *at.get_ref()),
        memory: partition.pieces().next().map_or(DEFAULT_IPA, |(_, ipa, _)| ipa),
    };
    // `--kernel` may have replaced the file from Debian, so the message names the file that was
    // read.
    let shown = match name.get_ref().starts_with(SCHEME) {
        true => file.display().to_string(),
        false => name.get_ref().clone(),
    };
    image::read(kind, file, bytes, wish).map_err(|refusal| {
        let title = format!("{shown} cannot be loaded into {}", partition.label());
        // An error of `load` is shown at that key.
        let load = image.load.as_ref().filter(|_| refusal.rule.ends_with("-load"));
        let culprit = load.map_or(name.span(), |load| load.span());
        let finding = Finding::new(culprit, title, refusal.why);
        finding.rule(refusal.rule).help(refusal.help).into()
    })
}
