// SPDX-License-Identifier: MIT OR Apache-2.0
//! Contents of cards, and the tools of others that read them.
#![allow(dead_code, reason = "each test program uses some of these")]

use bulkhead_flash::content::Content;
use std::path::Path;
use std::process::Command;

/// Returns `size` bytes without a pattern that a misplaced cluster would keep.
pub fn bytes(seed: u32, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..size).map(|_| next()).collect()
}

/// Returns a card's files: long and short names, a folder, an empty file, sizes around a cluster's,
/// zeros in the middle of a file.
pub fn content() -> Content {
    let mut content = Content::default();
    let mut zeros = bytes(1, 3_000_000);
    zeros[500_000..2_000_000].fill(0);
    let files = [
        ("kernel8.img", zeros),
        ("start4.elf", bytes(2, 2_249_280)),
        ("fixup4.dat", bytes(3, 512)),
        ("config.txt", bytes(4, 511)),
        ("bcm2711-rpi-4-b.dtb", bytes(5, 513)),
        ("overlays/disable-bt.dtbo", bytes(6, 1)),
        ("overlays/a name that is long enough for several entries.dtbo", bytes(7, 70_000)),
        ("empty.txt", Vec::new()),
    ];
    for (path, bytes) in files {
        content.add(path, bytes, "a test").expect("paths differ");
    }
    content.add_list("a card").expect("no such file");
    content
}

/// Runs a tool of the distribution and returns what it prints; it must succeed. On Debian some are
/// in folders that are on root's search path only.
pub fn tool(program: &str, arguments: &[&str]) -> String {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", path).env("LC_ALL", "C");
    // Without this mtools asks for the number of heads to fit the size.
    command.env("MTOOLS_SKIP_CHECK", "1");
    let output = command.output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}: run `cargo xtask setup`"));
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{out}{err}", output.status);
    out + &err
}

/// The path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}
