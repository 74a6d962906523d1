//! Proves from an image's bytes the promises of its manifest and its board: what can be accessed,
//! by whom, and why.
//!
//! The verifier is independent of the code that made the image: of this project's crates it uses
//! only the plan's types, it reads manifest and board with its own code, walks translation tables
//! itself and reads device trees with another library. `docs/verifier.md` says what is proven, what
//! is taken for granted, and how the tests show that it can fail.
#![forbid(unsafe_code)]

pub mod board;
mod claims;
mod compare;
mod finding;
mod image;
mod inputs;
mod live;
pub mod manifest;
mod ownership;
mod places;
pub mod programs;
mod ranges;
mod registers;
mod report;
mod tree;
mod walk;

pub use finding::{Claim, Finding};
pub use inputs::{Guests, Inputs};
pub use live::{Constant, CoreRegisters, Expected};
pub use ownership::{Access, Reach};
pub use report::Proof;

use claims::{
    Context, channels, cores, devices, el2_map, guest_map, interrupts, machine, start, views,
};
use finding::Findings;
use image::Image;
use ownership::GuestMap;
use places::Places;

/// Verifies an image. The proof has everything that does not hold, not only the first finding.
#[must_use]
pub fn verify(bytes: &[u8], inputs: &Inputs) -> Proof {
    run(bytes, inputs).0
}

/// Verifies an image, and returns the state that a machine must have that runs it; nothing if the
/// proof does not hold.
#[must_use]
pub fn expectations(bytes: &[u8], inputs: &Inputs) -> (Proof, Option<Expected>) {
    run(bytes, inputs)
}

fn run(bytes: &[u8], inputs: &Inputs) -> (Proof, Option<Expected>) {
    let mut findings = Findings::default();
    let mut proof = Proof {
        findings: Vec::new(),
        ranges: Vec::new(),
        trusted: Vec::new(),
        tables: 0,
        translations: 0,
    };
    let mut expected = None;
    if let Some(image) = Image::read(bytes, &mut findings)
        && let Some(context) = context(&image, inputs, &mut findings)
    {
        claims(&context, &mut findings, &mut proof);
        // The numbers of an image that does not hold cannot be relied on.
        expected = findings.is_empty().then(|| live::expected(&context));
    }
    proof.findings = findings.sorted();
    (proof, expected)
}

/// Later claims use indices, so plan and manifest must have equally many cores and partitions.
fn context<'a>(
    image: &'a Image<'a>,
    inputs: &'a Inputs,
    findings: &mut Findings,
) -> Option<Context<'a>> {
    let context =
        Context { image, inputs, cores: inputs.manifest.cores(), ends: inputs.manifest.ends() };
    let (cores, partitions) = (image.cores.len(), image.partitions.len());
    let must = (context.cores.len(), inputs.manifest.partition.len());
    if (cores, partitions) == must {
        return Some(context);
    }
    let what = format!(
        "the plan has {cores} cores and {partitions} partitions, the manifest {} and {}",
        must.0, must.1
    );
    findings.add(Claim::Cores, "Header", &["EL2"], what);
    None
}

fn claims(context: &Context<'_>, findings: &mut Findings, proof: &mut Proof) {
    machine::check(context, findings);
    machine::check_el2(context, findings);
    cores::check(context, findings);
    let places = Places::of(context);
    places.check(context, findings);
    let mut guests = Vec::new();
    for (p, _, _) in context.partitions() {
        devices::check(context, p, findings);
        if let Some(leaves) = guest_map::check(context, p, &places, findings) {
            devices::check_unmapped(context, p, &leaves, findings);
            let partition = p;
            guests.push(GuestMap { partition, leaves });
        }
    }
    proof.trusted = guest_map::check_devices(context, findings);
    guest_map::check_clears(context, findings);
    let el2 = el2_map::check(context, &places, findings);
    interrupts::check(context, findings);
    channels::check(context, findings);
    for (p, _, _) in context.partitions() {
        views::check(context, p, findings);
    }
    for (p, _, _) in context.partitions() {
        start::check(context, p, findings);
    }
    start::check_pristine(context, findings);
    proof.ranges = ownership::check(context, &places, &guests, &el2, findings);
    context.image.check(findings);
    proof.tables = context.image.tables().len();
    proof.translations = guests.len() + el2.len();
}
