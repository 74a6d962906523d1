//! Links the firmware with `linker/loader.ld`.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../linker/loader.ld");
    println!("cargo::rerun-if-changed={script}");
    println!("cargo::rustc-link-arg-bins=-T{script}");
}
