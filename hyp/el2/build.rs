//! Links EL2 as a position-independent executable laid out by `linker/hyp.ld`.
fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../linker/hyp.ld");
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
        "--icf=all",
        "--fix-cortex-a53-843419",
    ] {
        println!("cargo::rustc-link-arg-bins={arg}");
    }
}
