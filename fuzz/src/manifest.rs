//! Target `manifest`: any text as a system manifest. It is refused with a message, or it is
//! compiled and the verifier proves the image.

use std::path::PathBuf;
use std::sync::OnceLock;

use bulkhead_verify::{Inputs, manifest::Manifest};

use crate::support;

/// Runs one input: the manifest's text.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let root = support::root();
    // This folder has the files that some seeds name.
    let folder = root.join("xtask/verify/tests/systems");
    let mut guests = |_: &str| Ok(guest().clone());
    let system = match manifest::check_text(&root, &folder.join("fuzz.toml"), text, &mut guests) {
        Ok((system, warnings)) => {
            warnings.render(true);
            system
        }
        Err(errors) => {
            assert!(!errors.render(false).is_empty() && errors.rules().next().is_some());
            return;
        }
    };
    let el2 = support::el2_elf();
    // The compiler may refuse a system that does not fit, with a message.
    let image = match planner::compile(&system, &el2) {
        Ok(image) => image,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let board = root.join("boards").join(&system.board.name).join("board.toml");
    let board = std::fs::read_to_string(board).expect("the board that was just read");
    let mut files = |name: &str| Ok(std::fs::read(folder.join(name))?);
    let inputs = Manifest::read(text).and_then(|manifest| {
        Inputs::of(manifest, &board, &el2, &mut files, &mut |_| Ok(support::guest_elf()))
    });
    let inputs = inputs.unwrap_or_else(|error| panic!("the verifier cannot read it: {error:#}"));
    let proof = bulkhead_verify::verify(&image.bytes, &inputs);
    assert!(proof.holds(), "{}", proof.refusal());
}

/// Returns the guest's ELF file, which is the same for each name.
fn guest() -> &'static PathBuf {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| support::program("guest.elf", &support::guest_elf()))
}
