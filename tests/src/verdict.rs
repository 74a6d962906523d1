//! Runs that are judged by partitions' output, before EL2's last line or in spite of it.

use crate::{Case, DUO, Expect};

/// All cases.
pub const CASES: &[Case] = &[
    Case {
        name: "verdict/pass",
        system: "tests/systems/pass.toml",
        expect: Expect::Verdict("verdict: PASS: control printed \"samples so far\""),
        wanted: &[],
        ..DUO
    },
    Case {
        name: "verdict/fail",
        system: "tests/systems/fail.toml",
        expect: Expect::Verdict(
            "verdict: FAIL: control printed \"waits for samples\": vCPU 0 (comm) waits for samples",
        ),
        wanted: &[],
        ..DUO
    },
    Case {
        name: "verdict/silent",
        system: "tests/systems/silent.toml",
        expect: Expect::Verdict(
            "verdict: FAIL: sensor off, control off; control did not print \"all suites passed\"",
        ),
        ..DUO
    },
    Case {
        name: "verdict/until",
        until: Some("samples so"),
        expect: Expect::Verdict("verdict: PASS: a line contains \"samples so\""),
        wanted: &[],
        ..DUO
    },
];
