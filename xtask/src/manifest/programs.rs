//! Finding and reading the files that partitions name: programs and initial RAM disks.

use std::path::{Path, PathBuf};

use super::decode::At;
use super::image::{self, Wish};
use super::raw::{Image as RawImage, Kind, Manifest, Partition};
use super::report::{Finding, suggest};
use crate::system::Image;

/// What one partition's files hold, as far as they could be read.
#[derive(Default)]
pub struct Program {
    /// Its program.
    pub image: Option<Image>,
    /// Its initial RAM disk.
    pub initrd: Option<(PathBuf, Vec<u8>)>,
}

/// Reads the files of every partition of the manifest at `path`; an element a partition.
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
        let image = partition.image.as_ref().map(|image| {
            let (kind, name) = one_kind(image)?;
            let file = match kind {
                Kind::Guest => guest(root, name, guests)?,
                Kind::Elf | Kind::Raw | Kind::Linux => folder.join(name.get_ref()),
            };
            let bytes = contents(&file, name).map_err(|finding| finding.rule("image-file"))?;
            understand(partition, image.get_ref(), kind, file, bytes, name)
        });
        let initrd = partition.initrd.as_ref().map(|name| {
            let file = folder.join(name.get_ref());
            let bytes = contents(&file, name).map_err(|finding| finding.rule("initrd-file"))?;
            Ok((file, bytes))
        });
        programs.push(Program {
            image: keep(image, findings),
            initrd: keep(initrd, findings),
        });
    }
    programs
}

/// What could be read; findings otherwise.
fn keep<T>(result: Option<Result<T, Finding>>, findings: &mut Vec<Finding>) -> Option<T> {
    result?.map_err(|finding| findings.push(finding)).ok()
}

/// The one kind that an image gives.
fn one_kind(image: &At<RawImage>) -> Result<(Kind, &At<String>), Finding> {
    match image.get_ref().kinds.as_slice() {
        [(kind, name)] => Ok((*kind, name)),
        [(_, first), rest @ ..] => {
            let finding = rest.iter().fold(
                Finding::new(image.span(), "an image is one file", "this names several"),
                |finding, (_, other)| finding.other(other.span(), "and this"),
            );
            Err(finding.other(first.span(), "this").rule("image-kind").help("keep one of them"))
        }
        [] => Err(Finding::new(image.span(), "an image needs a file", "this names none")
            .rule("image-kind")
            .help("write one of `guest`, `elf`, `raw` and `linux`: `image = { elf = \"program.elf\" }`")),
    }
}

/// Builds the guest crate `name`.
fn guest(
    root: &Path,
    name: &At<String>,
    build: &mut dyn FnMut(&str) -> anyhow::Result<PathBuf>,
) -> Result<PathBuf, Finding> {
    let folder = root.join("guests");
    let known: Vec<String> = super::names(&folder)
        .into_iter()
        // guests/rt is the runtime that the others are linked with.
        .filter(|name| name != "rt" && folder.join(name).join("Cargo.toml").exists())
        .collect();
    if !known.contains(name.get_ref()) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let title = format!("there is no guest \"{}\"", name.get_ref());
        return Err(
            Finding::new(name.span(), title, "no such crate under guests/")
                .rule("guest-unknown")
                .help(suggest(name.get_ref(), "guests", &known)),
        );
    }
    build(name.get_ref()).map_err(|error| {
        let title = format!("guests/{} does not build", name.get_ref());
        Finding::new(name.span(), title, "this guest")
            .rule("guest-build")
            .note(format!("{error:#}"))
    })
}

/// A file's contents.
fn contents(file: &Path, name: &At<String>) -> Result<Vec<u8>, Finding> {
    std::fs::read(file).map_err(|error| {
        let title = format!("cannot read {}", name.get_ref());
        Finding::new(name.span(), title, error.kind().to_string())
            .help("paths start from the manifest's folder")
    })
}

/// Makes a program of a file's contents.
fn understand(
    partition: &Partition,
    image: &RawImage,
    kind: Kind,
    file: PathBuf,
    bytes: Vec<u8>,
    name: &At<String>,
) -> Result<Image, Finding> {
    let wish = Wish {
        load: image.load.as_ref().map(|at| *at.get_ref()),
        entry: image.entry.as_ref().map(|at| *at.get_ref()),
        memory: partition
            .pieces()
            .next()
            .map_or(super::raw::DEFAULT_IPA, |(_, ipa, _)| ipa),
    };
    image::read(kind, file, bytes, wish).map_err(|refusal| {
        let title = format!(
            "{} cannot be loaded into {}",
            name.get_ref(),
            partition.label()
        );
        Finding::new(name.span(), title, refusal.why)
            .rule(refusal.rule)
            .help(refusal.help)
    })
}
