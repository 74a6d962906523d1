// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report shows what was compiled, within a page's width.

use super::support::{duo, el2_elf};
use crate::{compile, report};

#[test]
fn says_what_was_compiled() {
    let system = duo();
    let image = compile(&system, &el2_elf()).unwrap();
    let text = report(&system, &image);
    for line in text.lines() {
        assert!(line.len() <= 120, "{} columns: {line}", line.len());
        assert_eq!(line, line.trim_end());
    }
    let words: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "duo on test-board: 3 cores, 2 partitions, 1 channel, image of 180 KiB",
        "1 0x1 sensor 1 compute 0",
        "2 0x2 control 0 comm 1 drains it, 25 % of its time at most",
        "0x07c000000 0x07dffffff 32 MiB memory of sensor sensor rwx rw- 0 1 loading",
        "0x009040000 0x009040fff 4 KiB uart1 of control control rw-",
        "0x010000000 0x010010fff 68 KiB rw- channel samples, sends 0x07fe60000",
        "40 physical level uart1 vCPU 0",
        "128 virtual edge channel samples vCPU 0, fixed",
        "samples sensor/0 control/0 64 KiB 10000/s, burst 32 0 core 0 to 2 128",
        "samples control/0 sensor/0 16 KiB 10000/s, burst 32 0 core 2 to 0 128",
        "HCR_EL2 = 0x18803c003f",
        "VM = 0x1 stage 2 keeps a guest in its partition",
    ] {
        assert!(words.iter().any(|l| l == line), "{line} is not in\n{text}");
    }
}
