// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds a system's image from its name: builds the hypervisor and the guests, then compiles the
//! plan.

use crate::linux::{self, Overrides};
use crate::ui;
use crate::workspace::{cargo, root, target_dir};
use anyhow::{Context, Result, anyhow, bail};
use manifest::SCHEME;
use manifest::system::System;
use planner::Image;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Target of EL2 and the bundled guests. It has no floating point, so EL2 does not change a guest's
/// floating-point registers.
pub const TARGET: &str = "aarch64-unknown-none-softfloat";
/// Package of the hypervisor.
pub const HYPERVISOR: &str = "bulkhead-el2";
/// The variants of the hypervisor: a GIC's version, the feature of its package for that (none is
/// the default), and the binary.
pub const FLAVOURS: [(u32, Option<&str>, &str); 2] =
    [(3, None, HYPERVISOR), (2, Some("gicv2"), "bulkhead-el2-gicv2")];

/// The guests whose instructions `cargo xtask bench` counts. All others keep frame pointers, for
/// the stack traces of crash records.
const MEASURED: [&str; 2] = ["bench", "relay"];

/// Builds bare-metal programs and fetches files from Debian, each once.
#[derive(Default)]
pub struct Builder {
    built: BTreeMap<String, PathBuf>,
    /// Files that replace those from Debian.
    pub overrides: Overrides,
    /// Builds EL2 without its fast paths: tests compare both builds.
    pub without_fast_paths: bool,
    /// GIC version to build systems for, instead of the first that their board lists.
    pub gic: Option<u32>,
}

impl Builder {
    /// Returns a builder of systems for GIC version `gic`, or for the first that each board lists.
    #[must_use]
    pub fn for_gic(gic: Option<u32>) -> Self {
        Self { gic, ..Self::default() }
    }

    /// Builds a package's program of the same name (release) and returns the path of its ELF file.
    ///
    /// # Errors
    /// If it does not build; the compiler's messages are in the error.
    pub fn program(&mut self, package: &str) -> Result<PathBuf> {
        // Cargo joins these flags with those of the configuration file.
        let flags = format!("target.{TARGET}.rustflags=[\"-Cforce-frame-pointers=yes\"]");
        let arguments: &[&str] = match package {
            _ if MEASURED.contains(&package) => &[],
            _ => &["--config", &flags],
        };
        self.binary(package, package, arguments, &target_dir())
    }

    /// Builds the hypervisor for a system: for its GIC, with its options.
    ///
    /// # Errors
    /// As [`Self::hypervisor`].
    pub fn hypervisor_of(&mut self, system: &System) -> Result<PathBuf> {
        self.hypervisor(system.board.gic.version, system.options)
    }

    /// Builds the hypervisor for a GIC of this version, with these options (`plan::options`) and no
    /// other, and with or without its fast paths.
    ///
    /// # Errors
    /// If it does not build, or has no driver for such a GIC.
    pub fn hypervisor(&mut self, gic: u32, options: u64) -> Result<PathBuf> {
        let flavour = FLAVOURS.iter().find(|(version, ..)| *version == gic);
        let (_, feature, binary) =
            flavour.with_context(|| format!("EL2 does not drive a GICv{gic}"))?;
        let mut arguments: Vec<_> = feature.iter().flat_map(|name| ["--features", name]).collect();
        if options == plan::options::ALL && !self.without_fast_paths {
            return self.binary(HYPERVISOR, binary, &arguments, &target_dir());
        }
        let fast_paths = (!self.without_fast_paths).then_some("fast-paths");
        let features: Vec<_> = plan::options::names(options).chain(fast_paths).collect();
        arguments.push("--no-default-features");
        arguments.extend(features.iter().flat_map(|name| ["--features", name]));
        // Each build of it has the same name, so it goes to its own folder and all can exist. What
        // they have in common is built once.
        let el2 = target_dir().join("el2");
        let build = format!("build.build-dir={:?}", el2.join("build").display().to_string());
        arguments.extend(["--config", &build]);
        let name = if features.is_empty() { "none".to_owned() } else { features.join("+") };
        self.binary(HYPERVISOR, binary, &arguments, &el2.join(name))
    }

    /// Builds the program `name` of a package below `target`, with `arguments` for Cargo.
    fn binary(
        &mut self,
        package: &str,
        name: &str,
        arguments: &[&str],
        target: &Path,
    ) -> Result<PathBuf> {
        let path = target.join(TARGET).join("release").join(name);
        let key = path.display().to_string();
        if let Some(path) = self.built.get(&key) {
            return Ok(path.clone());
        }
        let mut command = cargo("build");
        command.args([
            "--locked",
            "--release",
            "--target",
            TARGET,
            "--package",
            package,
            "--bin",
            name,
        ]);
        command.args(arguments).arg("--target-dir").arg(target);
        let output = ui::run(&format!("building {name}"), &mut command)?;
        if output.iter().any(|line| line.starts_with("warning")) {
            let progress = ["   Compiling", "    Finished", " Downloading", "  Downloaded"];
            let words =
                output.iter().filter(|line| !progress.iter().any(|start| line.starts_with(start)));
            eprintln!("{}", words.map(String::as_str).collect::<Vec<_>>().join("\n"));
        }
        if !path.is_file() {
            bail!(
                "{name} was built, but {} is not there: is build.target-dir set in a Cargo \
                 configuration?",
                path.display()
            );
        }
        self.built.insert(key, path.clone());
        Ok(path)
    }

    /// Returns the file of a name that is not a path: builds the guest crate of that name, or
    /// fetches the file that `debian:PACKAGE` names.
    ///
    /// # Errors
    /// If it does not build or cannot be fetched.
    pub fn file(&mut self, name: &str) -> Result<PathBuf> {
        let Some(package) = name.strip_prefix(SCHEME) else {
            return self.program(name);
        };
        if let Some(path) = self.built.get(name) {
            return Ok(path.clone());
        }
        let path = linux::file(package, &self.overrides)?;
        self.built.insert(name.to_string(), path.clone());
        Ok(path)
    }

    /// Reads a system's manifest, building the guests that it names.
    ///
    /// # Errors
    /// Everything that is wrong with the manifest, or a guest that does not build.
    pub fn system(&mut self, spec: &str) -> Result<System> {
        let mut system = manifest::load(&root(), spec, &mut |name| self.file(name))
            .map_err(|errors| anyhow!(errors.render(ui::coloured(&std::io::stderr()))))?;
        self.choose_gic(&mut system)?;
        Ok(system)
    }

    /// Changes `system` to [`Self::gic`].
    ///
    /// # Errors
    /// If its board has no such GIC.
    pub fn choose_gic(&self, system: &mut System) -> Result<()> {
        let Some(version) = self.gic else {
            return Ok(());
        };
        let gics = &system.board.gics;
        let Some(gic) = gics.iter().find(|gic| gic.version == version) else {
            let known: Vec<_> = gics.iter().map(|gic| gic.version.to_string()).collect();
            bail!(
                "--gic: board {} has no GICv{version}; its [[gic]] tables are of version {}",
                system.board.name,
                known.join(" and ")
            );
        };
        system.board.gic = gic.clone();
        Ok(())
    }

    /// Compiles a system to its image.
    ///
    /// # Errors
    /// If the hypervisor does not build or the system does not fit its board.
    pub fn image(&mut self, system: &System) -> Result<Image> {
        let elf = self.hypervisor_of(system)?;
        let bytes =
            std::fs::read(&elf).with_context(|| format!("cannot read {}", elf.display()))?;
        planner::compile(system, &bytes).with_context(|| format!("{}: no image", system.name))
    }
}
