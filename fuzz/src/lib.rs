//! The fuzz targets: one module per target, whose `run` takes any bytes and panics if it finds a
//! fault.
//!
//! `fuzz_targets/` has a program for libFuzzer per target, `seeds/TARGET` its first inputs. `cargo
//! xtask fuzz` runs them; `tests/seeds.rs` replays the seeds, and variants of them, without
//! libFuzzer.

pub mod channel;
pub mod esr;
pub mod ivshmem;
pub mod manifest;
pub mod pl011;
pub mod plan;
pub mod record;
pub mod tree;
pub mod verifier;
pub mod vgic;

/// A target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, which is also that of its module, its program and its folder of seeds.
    pub name: &'static str,
    /// Tries one input.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 10] = [
    Target { name: "channel", run: channel::run },
    Target { name: "esr", run: esr::run },
    Target { name: "ivshmem", run: ivshmem::run },
    Target { name: "manifest", run: manifest::run },
    Target { name: "pl011", run: pl011::run },
    Target { name: "plan", run: plan::run },
    Target { name: "record", run: record::run },
    Target { name: "tree", run: tree::run },
    Target { name: "verifier", run: verifier::run },
    Target { name: "vgic", run: vgic::run },
];

// Sources of other crates that are not part of a library: EL2's program, and code that tests share.
#[path = "../../xtask/verify/tests/support/mod.rs"]
#[allow(missing_docs, reason = "the tests' own")]
mod support;

mod arch;
/// EL2's boot code, with a replacement for each function of the machine that it uses.
mod boot {
    pub mod end;
    #[path = "../../../hyp/el2/src/boot/machine.rs"]
    pub mod machine;
    #[path = "../../../hyp/el2/src/boot/refuse.rs"]
    #[allow(dead_code, reason = "EL2 uses more of it")]
    pub mod refuse;
    #[path = "../../../hyp/el2/src/boot/tree.rs"]
    pub mod tree;
}

mod drivers;
mod state;
