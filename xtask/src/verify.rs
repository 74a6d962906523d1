//! `cargo xtask verify`: verifies an image against its system's manifest and its board. The crate
//! bulkhead-verify makes the proof; this file reads its inputs. `image` and `qemu` verify every
//! image that they write or run.

pub mod live;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use verify::{Inputs, Proof};

use manifest::system::System;
use planner::Image;
use runner::build::Builder;
use runner::workspace;

/// Verifies the image file of the system `spec` for GIC version `gic` or the board's first, builds
/// what its manifest names, and writes the report as JSON to `json` if it is given.
///
/// # Errors
/// If a file cannot be read or written, or a program does not build; a proof that does not hold is
/// returned.
pub fn command(image: &Path, spec: &str, gic: Option<u32>, json: Option<&Path>) -> Result<Proof> {
    let bytes = std::fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let mut builder = Builder::for_gic(gic);
    let system = builder.system(spec)?;
    let inputs = inputs(&mut builder, &system)?;
    let proof = verify::verify(&bytes, &inputs);
    if let Some(json) = json {
        workspace::write(json, proof.json()?.as_bytes())?;
    }
    Ok(proof)
}

/// Compiles a system to an image, and refuses one that does not verify.
///
/// # Errors
/// If it cannot be compiled, or its proof does not hold, with all findings.
pub fn image(builder: &mut Builder, system: &System) -> Result<Image> {
    let image = builder.image(system)?;
    let inputs = inputs(builder, system)?;
    let proof = verify::verify(&image.bytes, &inputs);
    if !proof.holds() {
        bail!(
            "{}: its image does not verify, so it was not written\n{}",
            system.name,
            proof.refusal()
        );
    }
    Ok(image)
}

/// Returns the inputs that the image of `system` is verified with: of the system, it uses only its
/// manifest's path, its GIC's version and its options. Builds EL2 and guest crates.
///
/// # Errors
/// If a file cannot be read or a program does not build.
pub fn inputs(builder: &mut Builder, system: &System) -> Result<Inputs> {
    let read = |path: &Path| {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let gic = system.board.gic.version;
    let el2 = read(&builder.hypervisor_of(system)?)?;
    let root = workspace::root();
    let mut guests = |name: &str| -> Result<Vec<u8>> {
        let guest = root.join("guests").join(name).join("Cargo.toml").exists();
        ensure!(guest || name.starts_with(manifest::SCHEME), "there is no guest \"{name}\"");
        read(&builder.file(name)?)
    };
    let mut inputs = Inputs::read(&root, &system.path, &el2, &mut guests)?;
    inputs.choose_gic(gic)?;
    Ok(inputs)
}
