// SPDX-License-Identifier: MIT OR Apache-2.0
//! Links the loader as a position-independent executable, laid out like EL2 by `linker/hyp.ld`.
fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../linker/hyp.ld");
    println!("cargo::rerun-if-changed={script}");
    for arg in [
        &format!("-T{script}"),
        "-pie",
        "--no-dynamic-linker",
        "-znorelro",
        "-znotext",
        "--hash-style=sysv",
        "-zmax-page-size=4096",
        "--build-id=none",
    ] {
        println!("cargo::rustc-link-arg-bins={arg}");
    }
}
