//! Links the guest with `linker/guest.ld`.

fn main() {
    // Only the bare-metal binary needs it: the library parts are also tested on the host.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../linker/guest.ld");
        println!("cargo::rerun-if-changed={script}");
        println!("cargo::rustc-link-arg-bins=-T{script}");
    }
}
