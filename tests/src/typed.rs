//! Console input. The pair next to the partition that gets it must lose nothing.

use crate::{COMPLETE, Case, DUO, Expect};

/// 64 bytes.
const TEXT: &str = "The quick brown fox jumps over the lazy dog, 0123456789 times.\r\n";

/// A case next to the pair: its name, chaos's action, the input, words that must appear.
macro_rules! typed {
    ($name:literal, $line:literal, $typed:expr, [$($words:expr),*]) => {
        Case {
            name: concat!("typed/", $name),
            system: "tests/systems/chaos.toml",
            command_line: Some(("chaos", concat!("attack=", $line))),
            typed: $typed,
            expect: Expect::Ends(&[("sensor", "off"), ("control", "off"), ("chaos", "off")]),
            wanted: &[COMPLETE, $($words),*],
            ..DUO
        }
    };
}

/// All cases. Sums are FNV-1a of the bytes that must arrive.
pub const CASES: &[Case] = &[
    // Lines are whole when no partition is live: `\x010`.
    typed!(
        "paste",
        "echo",
        &[("\x013", 1), (TEXT, 64), ("\x04\x010", 1)],
        [
            "bulkhead: input goes to chaos;",
            "[chaos] survived echo: 4096 bytes, sum 0x078d3a0dd36c0f25"
        ]
    ),
    // More bytes than its ring holds, faster than it reads.
    typed!(
        "paste-slow",
        "echo slow=5",
        &[("\x013", 1), (TEXT, 256), ("\x04\x010", 1)],
        ["[chaos] survived echo: 16384 bytes, sum 0xee9346c92349d325"]
    ),
    typed!(
        "focus",
        "echo",
        &[("\x01?\x010lost\r\x019\x013hello\r\x04\x010", 1)],
        [
            "bulkhead: input goes to sensor; 0 nobody, 1 sensor, 2 control, 3 chaos",
            "bulkhead: input goes to nobody; 0 nobody, 1 sensor, 2 control, 3 chaos",
            "[chaos] survived echo: 6 bytes, sum 0xa9bc85cca21f3132"
        ]
    ),
    // Three times the bytes that its ring holds, for a guest that reads nothing: after it a command
    // still gets through.
    typed!(
        "flood",
        "deaf",
        &[("\x013", 1), (TEXT, 192), ("\x010", 1)],
        [
            "[chaos] survived deaf: the first input byte is still there: 0x54",
            "bulkhead: input goes to nobody;"
        ]
    ),
];
