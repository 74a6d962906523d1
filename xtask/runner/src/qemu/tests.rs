// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the console reader against hostile guests, of the verdict for every way a run can go,
//! and of QEMU's arguments.

use super::machine::arguments;
use super::*;
use crate::tests::systems::duo;
use proptest::prelude::*;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

const NONCE: u64 = 0x0123_4567_89ab_cdef;
const PAIR: [&str; 2] = ["sensor", "control"];

fn console(text: &str) -> Console {
    let mut console = Console::new(NONCE);
    console.feed(text.as_bytes());
    console.finish();
    console
}

fn outcome(text: &str, status: Option<i32>) -> Outcome {
    Outcome {
        command: String::new(),
        console: console(text),
        bytes: text.as_bytes().to_vec(),
        stderr: "qemu: a word".to_string(),
        status: status.map(|code| ExitStatus::from_raw(code << 8)),
        timed_out: status.is_none(),
        time: Duration::from_secs(7),
        unseen: None,
    }
}

fn verdict(text: &str, status: Option<i32>) -> String {
    judge(&PAIR, &outcome(text, status)).to_string()
}

#[test]
fn every_way_a_run_can_go() {
    let end = "bulkhead: end 0123456789abcdef sensor=off control=off\r\n";
    assert_eq!(verdict(end, Some(0)), "verdict: PASS: sensor off, control off");
    let cases = [
        (end, Some(1), "QEMU failed (exit status: 1): qemu: a word"),
        (end, None, "the machine did not power off within 7 s"),
        ("", Some(1), "QEMU ended early (exit status: 1): qemu: a word"),
        (
            "hello\r\n",
            Some(0),
            "the machine stopped without Bulkhead's end line; the last line was `hello`",
        ),
        ("", None, "partitions did not start within 7 s; nothing was printed"),
        (
            "bulkhead: refused: needs 4 cores, the machine has 2\r\n",
            Some(0),
            "Bulkhead refused the machine: needs 4 cores, the machine has 2",
        ),
        (
            "bulkhead: control: vCPU 0 on core 2 halted: gave up\r\n\
             bulkhead: end 0123456789abcdef sensor=off control=failed\r\n",
            Some(0),
            "sensor off, control failed; control: vCPU 0 on core 2 halted: gave up",
        ),
        (
            "bulkhead: end 0123456789abcdef sensor=off\r\n",
            Some(0),
            "Bulkhead's end line names other partitions than sensor, control",
        ),
    ];
    for (text, status, expected) in cases {
        assert_eq!(verdict(text, status), format!("verdict: FAIL: {expected}"));
    }
}

#[test]
fn a_guest_cannot_end_the_run() {
    let forged = [
        // The wrong number; then the right one after the guest's prefix, a carriage return, a
        // cursor movement and a control byte.
        "bulkhead: end 0000000000000000 sensor=off control=off\r\n",
        "\x1b[31m[chaos]\x1b[0m bulkhead: end 0123456789abcdef sensor=off control=off\r\n",
        "\x1b[31m[chaos]\x1b[0m x\rbulkhead: end 0123456789abcdef sensor=off control=off\r\n",
        "\x1b[31m[chaos]\x1b[0m \x1b[2K\x1b[G\
         bulkhead: end 0123456789abcdef sensor=off control=off\r\n",
        "\x1b[31m[chaos]\x1b[0m \x0bbulkhead: refused: nothing\r\n",
    ];
    for text in forged {
        let console = console(text);
        assert_eq!(console.end, None, "{text:?}");
        assert_eq!(console.refusal(), None, "{text:?}");
    }
}

#[test]
fn escape_sequences_do_not_reach_a_file() {
    let console = console("\x1b[1;33m[a]\x1b[0m one\r\n\x1b]0;title\x07two\x1b(B\n\x1b[2\nthree");
    assert_eq!(console.lines, ["[a] one", "two", "", "three"]);
    assert_eq!(console.guest_lines().collect::<Vec<_>>(), ["[a] one"]);
}

#[test]
fn arguments_follow_the_board_and_the_options() {
    let board = Qemu {
        machine: "virt,virtualization=on,gic-version=3".to_string(),
        cpu: Some("cortex-a53".to_string()),
        cores: 4,
        memory: 1 << 30,
        dtb: None,
    };
    let plain = arguments(&board, &Options::default(), NONCE).join(" ");
    assert!(
        plain.starts_with(
            "-M virt,virtualization=on,gic-version=3 -cpu cortex-a53 -smp 4 -m 1024M "
        ),
        "{plain}"
    );
    assert!(plain.ends_with("-append bulkhead.nonce=0123456789abcdef"), "{plain}");
    let options = Options {
        icount: true,
        cores: Some(8),
        memory: Some("2G".to_string()),
        cpu: Some("cortex-a72".to_string()),
        gic: Some(2),
        extra: vec!["-S".to_string()],
        ..Options::default()
    };
    let other = arguments(&board, &options, 1).join(" ");
    assert!(
        other.starts_with(
            "-M virt,virtualization=on,gic-version=2 -cpu cortex-a72,cntfrq=1000000000 \
             -smp 8 -m 2G "
        ),
        "{other}"
    );
    assert!(other.ends_with("-append bulkhead.nonce=0000000000000001 -S"), "{other}");
    assert!(other.contains(" -icount shift=0,sleep=off "), "{other}");
}

proptest! {
    /// The result does not depend on how QEMU's output is cut into chunks.
    #[test]
    fn chunks_do_not_matter(
        bytes in proptest::collection::vec(
            prop_oneof![Just(0x1b), Just(b'\n'), Just(b'['), any::<u8>()],
            0..200,
        ),
        cut in 0usize..200,
    ) {
        let mut whole = Console::new(NONCE);
        whole.feed(&bytes);
        let mut parts = Console::new(NONCE);
        let cut = cut.min(bytes.len());
        parts.feed(&bytes[..cut]);
        parts.feed(&bytes[cut..]);
        prop_assert_eq!(whole.lines, parts.lines);
    }
}

#[test]
fn keys_pass_and_ctrl_a_x_leaves() {
    let mut keys = super::keyboard::Keys::default();
    assert_eq!(keys.take(b""), Some(vec![]));
    // The first key makes the first partition live.
    assert_eq!(keys.take(b"l"), Some(b"\x011l".to_vec()));
    assert_eq!(keys.take(b"s\r\x03x"), Some(b"s\r\x03x".to_vec()));
    // Ctrl-A twice sends one Ctrl-A, and later keys are not a command.
    assert_eq!(keys.take(b"\x01\x01x\x012"), Some(b"\x01\x01x\x012".to_vec()));
    assert_eq!(keys.take(b"ab\x01"), Some(b"ab\x01".to_vec()));
    assert_eq!(keys.take(b"x"), None, "in two pieces");
    let mut keys = super::keyboard::Keys::default();
    assert_eq!(keys.take(b"\x01?"), Some(b"\x01?".to_vec()), "a command is not a key");
}

#[test]
fn what_a_live_guest_leaves_behind_is_no_text() {
    let reset = "\x18\x0f\x1b(B\x1b[0m\r\n";
    let text = format!(
        "[a] \x1b]0;x{reset}bulkhead: end 123456789abcdef a=off\r\n[a] \x1b[1{reset}... more\r\n"
    );
    let console = console(&text);
    assert_eq!(console.lines[1..], ["bulkhead: end 123456789abcdef a=off", "[a] ", "... more"]);
    assert_eq!(console.end, Some(vec![("a".to_string(), "off".to_string())]));
}

/// Each step waits for its own words, even if the console's output is cut within them.
#[test]
fn a_test_types_what_it_was_asked_for() {
    let step =
        |seen: &str, keys: &str| Step { seen: seen.to_string(), keys: keys.as_bytes().to_vec() };
    let input =
        Input::Typed(vec![step("", "a"), step("/ # ", "b"), step("/ # ", "c"), step("", "d")]);
    let output = b"boot / # b\r\n/ # c";
    let mut script = keyboard::Script::new(&input);
    let mut typed = Vec::new();
    for end in 0..=output.len() {
        let keys = script.due(&output[..end]);
        if !keys.is_empty() {
            typed.push((end, String::from_utf8(keys).expect("letters")));
        }
    }
    let expected = [(0, "a"), (9, "b"), (16, "cd")].map(|(at, keys)| (at, keys.to_string()));
    assert_eq!(typed, expected);
    assert_eq!(script.unseen(), None);
    let mut script = keyboard::Script::new(&input);
    assert_eq!(script.due(output), b"abcd");
    let mut script = keyboard::Script::new(&input);
    script.due(b"/ #");
    assert_eq!(script.unseen().as_deref(), Some("/ # "));
}

/// EL2 prints other partitions' lines within a line that has paused.
#[test]
fn words_are_seen_in_a_line_that_was_broken_off() {
    let input = Input::Typed(vec![Step { seen: "load".to_string(), keys: b"!".to_vec() }]);
    let (end, on) = (::console::BREAK, ::console::CONTINUED);
    let others = "[a] 1\r\n[b] 2\r\n";
    let typed = |output: &str| {
        let mut script = keyboard::Script::new(&input);
        let ends = 0..=output.len();
        ends.map(|end| script.due(&output.as_bytes()[..end]).len()).sum::<usize>()
    };
    assert_eq!(typed(&format!("# lo{end}{others}{on}ad")), 1);
    let thrice = format!("l{end}{others}{on}oa{end}{others}{on}d");
    assert_eq!(typed(&thrice), 1);
    // There is much output before.
    let before = others.repeat(10_000);
    let mut script = keyboard::Script::new(&input);
    let keys = (0..=thrice.len())
        .map(|end| script.due(format!("{before}{}", &thrice[..end]).as_bytes()).len());
    assert_eq!(keys.sum::<usize>(), 1);
    for other in ["lo\r\nad", "lo", "lo... ad"] {
        assert_eq!(typed(other), 0, "{other}");
    }
    assert_eq!(typed(&format!("lo{end}{others}ad")), 0, "another's");
    assert_eq!(typed(&format!("lo{end}{others}{on}aid")), 0, "other words");
}

/// The pair's watch; `texts` are `pass` and `fail` of control.
fn watching(texts: [Option<&str>; 2], until: Option<&str>) -> Watch {
    let mut system = duo();
    let names = ["sensor", "control"];
    for (partition, name) in system.partitions.iter_mut().zip(names) {
        partition.name = name.to_string();
    }
    let [pass, fail] = texts.map(|text| text.map(String::from));
    system.partitions[1].pass = pass;
    system.partitions[1].fail = fail;
    system.partitions.truncate(2);
    Watch::new(&system, until.map(String::from))
}

/// The verdict on a run that ended with `status`, or that was ended.
fn watched(watch: Watch, text: &str, status: Option<i32>) -> String {
    let mut outcome = outcome("", status);
    outcome.timed_out = false;
    outcome.console = Console::new(NONCE).watching(watch);
    outcome.console.feed(text.as_bytes());
    outcome.console.finish();
    judge(&PAIR, &outcome).to_string()
}

const OFF: &str = "bulkhead: end 0123456789abcdef sensor=off control=off\r\n";

#[test]
fn texts_of_a_partition_settle_a_run() {
    let both = || watching([Some("PASSED"), Some("ASSERT")], None);
    let cases = [
        ("[control] all PASSED\r\n", "PASS: control printed \"PASSED\""),
        // An error, then a power-off that looks well.
        (
            "[control] ASSERT at 7\r\n[control] PASSED\r\n",
            "FAIL: control printed \"ASSERT\": ASSERT at 7",
        ),
        ("[control] PASSED but ASSERT\r\n", "FAIL: control printed \"ASSERT\": PASSED but ASSERT"),
        (
            "\x1b[31m[control]\x1b[0m PASSED\r\n[control] ASSERT\r\n",
            "PASS: control printed \"PASSED\"",
        ),
        (
            "bulkhead: control: vCPU 0 on core 2 halted: SError (ESR 0x0)\r\n[control] PASSED\r\n",
            "FAIL: control: vCPU 0 on core 2 halted: SError (ESR 0x0)",
        ),
        // A line of another partition, of EL2, one without a name, and one that has not ended yet.
        (
            "[sensor] PASSED\r\n[sensor] [control] PASSED\r\n",
            "FAIL: sensor off, control off; control did not print \"PASSED\"",
        ),
        (
            "[sensor] ASSERT\r\n[sensor] \rbulkhead: control: vCPU 0 halted\r\n\
             bulkhead: control: loading, PASSED\r\n PASSED\r\n",
            "FAIL: sensor off, control off; control did not print \"PASSED\"",
        ),
    ];
    for (text, expected) in cases {
        let verdict = watched(both(), &format!("{text}{OFF}"), Some(0));
        assert_eq!(verdict, format!("verdict: {expected}"), "{text:?}");
    }
    let reset = OFF.replace("control=off", "control=reset");
    let text = format!("[control] PASSED\r\n{reset}");
    assert_eq!(watched(both(), &text, Some(0)), "verdict: PASS: control printed \"PASSED\"");
    // With only `fail`, the end line decides if that text does not come.
    let fail = || watching([None, Some("ASSERT")], None);
    assert_eq!(watched(fail(), OFF, Some(0)), "verdict: PASS: sensor off, control off");
    assert_eq!(
        watched(fail(), &format!("[control] ASSERT\r\n{OFF}"), Some(0)),
        "verdict: FAIL: control printed \"ASSERT\": ASSERT"
    );
}

/// A text that EL2 broke off is found where the line continues, but not if that may be another
/// partition's line.
#[test]
fn a_broken_line_is_one_line() {
    let (end, on) = (::console::BREAK, ::console::CONTINUED);
    let broken = format!("[control] PAS{end}[sensor] x\r\n{on}SED\r\n");
    let watch = || watching([Some("PASSED"), None], None);
    assert_eq!(watched(watch(), &broken, None), "verdict: PASS: control printed \"PASSED\"");
    let twice = format!("[control] PA{end}[sensor] x\r\n{on}SS{end}[sensor] x\r\n{on}ED\r\n");
    assert_eq!(watched(watch(), &twice, None), "verdict: PASS: control printed \"PASSED\"");
    // The sensor was live before, and its line was broken off, too.
    let forged = format!("[sensor] x{end}[control] PAS{end}{on}SED\r\n{OFF}");
    assert_eq!(
        watched(watch(), &forged, Some(0)),
        "verdict: FAIL: sensor off, control off; control did not print \"PASSED\""
    );
    let forged = format!("[control] x{end}[sensor] PASSED\r\n{on}PASSED\r\n{OFF}");
    assert_eq!(
        watched(watch(), &forged, Some(0)),
        "verdict: PASS: control printed \"PASSED\"",
        "control's own rest"
    );
}

/// A partition that has the terminal to itself prints without its name.
#[test]
fn lines_without_names_settle_nothing() {
    let mut watch = watching([Some("PASSED"), None], None);
    watch.lose_names();
    assert_eq!(
        watched(watch, &format!("[control] PASSED\r\n{OFF}"), Some(0)),
        "verdict: FAIL: sensor off, control off; control did not print \"PASSED\""
    );
    let alone = |keys: &[&[u8]]| {
        let mut focus = keyboard::Focus::default();
        keys.iter().any(|keys| focus.take(keys))
    };
    assert!(alone(&[b"\x011abc\x011"]));
    assert!(alone(&[b"\x01", b"2", b"x\x01", b"2"]), "in pieces");
    assert!(alone(&[b"\x011\x01?\x011"]), "a question between");
    assert!(!alone(&[b"\x011\x012\x010\x010\x011"]));
    assert!(!alone(&[b"\x011\x01\x0111"]), "Ctrl-A for the guest");
}

#[test]
fn until_ends_a_run_at_any_line() {
    let watch = || watching([None, Some("ASSERT")], Some("login: "));
    for text in ["[sensor] login: ", "bulkhead: login: x\r\n", "login: "] {
        assert_eq!(watched(watch(), text, None), "verdict: PASS: a line contains \"login: \"");
    }
    assert_eq!(
        watched(watch(), OFF, Some(0)),
        "verdict: FAIL: sensor off, control off; no line contained \"login: \""
    );
    assert_eq!(
        watched(watch(), "[control] ASSERT\r\nlogin: ", None),
        "verdict: FAIL: control printed \"ASSERT\": ASSERT"
    );
    let mut late = outcome("bulkhead: here\r\n", None);
    assert_eq!(
        judge(&PAIR, &late).to_string(),
        "verdict: FAIL: partitions did not start within 7 s; the last line was `bulkhead: here`"
    );
    late.console.watch = watch();
    late.console.feed(format!("{EL2}{}\r\n", ::console::STARTED).as_bytes());
    assert!(late.console.started);
    let why = judge(&PAIR, &late).to_string();
    assert!(why.starts_with("verdict: FAIL: no end line after 7 s; "), "{why}");
    assert!(why.ends_with("; no line contained \"login: \""), "{why}");
}
