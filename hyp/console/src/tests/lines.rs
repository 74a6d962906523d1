//! Lines from several cores to one terminal.

use super::*;
use proptest::prelude::*;
use std::{collections::VecDeque, format, string::String};

const NAMES: [&str; 3] = ["sensor", "control", "third"];

/// Three cores and the console core, whose UART keeps all it is sent.
struct Machine {
    rings: Vec<&'static Ring>,
    printers: Vec<Printer<'static>>,
    mux: Mux,
    out: Vec<u8>,
    /// The core that is live, and whether alone.
    live: Option<(usize, bool)>,
}

impl Machine {
    fn new() -> Self {
        let rings: Vec<&Ring> = NAMES.iter().map(|_| ring()).collect();
        let printers = rings.iter().zip(NAMES).zip(31..);
        Machine {
            printers: printers
                .map(|((ring, name), colour)| Printer::new(ring, name.as_bytes(), colour))
                .collect(),
            rings,
            mux: Mux::default(),
            out: Vec::new(),
            live: None,
        }
    }

    fn guest(&mut self, core: usize, text: &[u8]) {
        let live = self.live.filter(|(live, _)| *live == core);
        for &byte in text {
            let alone = live.is_some_and(|(_, alone)| alone);
            self.printers[core].print(byte, live.is_some(), alone);
        }
    }

    fn el2(&mut self, core: usize, text: &str) {
        let mut line = Line::default();
        self.printers[core].say(line.str(text));
    }

    /// Up to `count` bytes of what waits.
    fn drain(&mut self, count: usize) {
        let (mux, rings) = (&mut self.mux, &self.rings);
        let waiting = || {
            (0..)
                .zip(rings)
                .map(|(core, ring)| u32::from(ring.waiting() != 0) << core)
                .sum()
        };
        let next = |step| mux.next(step == 0, waiting(), |core| rings[core].pop());
        self.out.extend((0..count).map_while(next));
    }

    /// All that waits, lines apart that wait for one that is live.
    fn all(&mut self) {
        self.drain(1 << 20);
    }

    /// All that waits.
    fn wait(&mut self) {
        for _ in 0..9 {
            self.all();
        }
    }

    /// What was shown since the last call, without colours.
    fn shown(&mut self) -> String {
        plain(&std::mem::take(&mut self.out))
    }
}

/// Text as a terminal shows it: without sequences and control bytes.
fn plain(bytes: &[u8]) -> String {
    let mut text = String::from_utf8(bytes.to_vec()).unwrap();
    for sequence in [
        "\x1b[0m",
        "\x18\x0f\x1b(B",
        "\x1b[31m",
        "\x1b[32m",
        "\x1b[33m",
    ] {
        text = text.replace(sequence, "");
    }
    text
}

#[test]
fn lines_are_put_together() {
    let text = |line: &Line| String::from_utf8(line.as_bytes().to_vec()).unwrap();
    let mut line = Line::default();
    line.name(b"control\0\0\0").str(": core ").dec(0).byte(b' ');
    line.dec(1050).byte(b' ').dec(u64::MAX).byte(b' ');
    line.hex(0).byte(b' ').hex(0x1234).byte(b' ').hex(u64::MAX);
    assert_eq!(
        text(&line),
        "control: core 0 1050 18446744073709551615 0x0 0x1234 0xffffffffffffffff"
    );
    for _ in 0..100 {
        line.str("too long");
    }
    assert_eq!(line.as_bytes().len(), Line::SIZE);
}

#[test]
fn lines_carry_names_and_take_turns() {
    let mut m = Machine::new();
    m.guest(0, b"one\r\ntwo\n");
    m.guest(1, b"\n");
    m.el2(1, "core 1 up");
    m.all();
    assert_eq!(
        m.shown(),
        "[control] \r\n[sensor] one\r\nbulkhead: core 1 up\r\n[sensor] two\r\n"
    );
    m.guest(2, b"x\n");
    m.all();
    assert_eq!(m.out, b"\x1b[33m[third]\x1b[0m x\r\n");
}

#[test]
fn an_unfinished_line_waits_until_it_ends_or_its_partition_has_the_input() {
    let mut m = Machine::new();
    m.guest(0, b"# ");
    m.wait();
    assert_eq!(m.shown(), "");
    m.live = Some((0, false));
    assert!(m.printers[0].show());
    m.all();
    assert_eq!(m.shown(), "[sensor] # ");
    m.guest(0, b"l");
    m.all();
    assert_eq!(m.shown(), "l");
    // It has nothing to add: somebody else's line gets in, and the rest is told from a line of EL2's.
    m.guest(1, b"hello\n");
    m.all();
    assert_eq!(m.shown(), "\r\n[control] hello\r\n");
    m.guest(0, b"s\nbulkhead: no\n");
    m.all();
    assert_eq!(m.shown(), "... s\r\n[sensor] bulkhead: no\r\n");
    // It loses the input in the middle of a line.
    m.guest(0, b"bulk");
    m.all();
    m.live = None;
    m.guest(0, b"head: no");
    m.el2(1, "yes");
    m.wait();
    m.guest(0, b"\n");
    m.all();
    assert_eq!(
        m.shown(),
        "[sensor] bulk\r\nbulkhead: yes\r\n... head: no\r\n"
    );
}

#[test]
fn el2_ends_the_line_of_its_core() {
    let mut m = Machine::new();
    m.guest(0, b"half");
    m.el2(0, "stopped");
    m.guest(0, b" a line");
    m.printers[0].end();
    m.printers[0].end();
    m.all();
    assert_eq!(
        m.shown(),
        "[sensor] half\r\nbulkhead: stopped\r\n[sensor]  a line\r\n"
    );
}

#[test]
fn who_has_the_terminal_writes_lines_without_a_name() {
    let mut m = Machine::new();
    m.live = Some((1, true));
    m.guest(1, b"\x1b[2J\x1b[1;1Htop\r\nnext");
    m.all();
    assert_eq!(m.out, b"\x1b[2J\x1b[1;1Htop\r\x18\x0f\x1b(B\x1b[0m\r\nnext");
    m.guest(0, b"\x1b[2Jhello\n");
    m.wait();
    assert!(
        m.out
            .ends_with(b"next\x18\x0f\x1b(B\x1b[0m\r\n\x1b[31m[sensor]\x1b[0m hello\r\n")
    );
}

#[test]
fn an_endless_line_does_not_keep_others_waiting() {
    for live in [false, true] {
        let mut m = Machine::new();
        m.live = live.then_some((0, false));
        m.guest(0, &[b'x'; 3000]);
        m.guest(1, b"hello\n");
        m.el2(2, "end");
        m.all();
        let shown = m.shown();
        assert!(shown.find("bulkhead: end\r\n").unwrap() < 1200);
        assert!(shown.find("[control] hello\r\n").unwrap() < 1200);
        // Only what is live does not wait for a line's end.
        let count = shown.matches('x').count();
        assert!(count == 3000 || !live && count > 2700, "{count}");
    }
}

#[test]
fn a_guest_leaves_room_for_el2() {
    let mut m = Machine::new();
    m.guest(0, &[b'x'; 9000]);
    assert!(!m.printers[0].has_room());
    let mut line = String::new();
    while line.len() < Line::SIZE {
        line.push('e');
    }
    m.el2(0, &line);
    m.all();
    assert!(m.shown().ends_with(&format!("\r\nbulkhead: {line}\r\n")));
    assert!(m.printers[0].has_room());
}

/// What happens next at the machine.
#[derive(Clone, Debug)]
enum Step {
    Guest(usize, Vec<u8>),
    El2(usize, String),
    Live(Option<(usize, bool)>),
    Drain(usize),
}

fn steps(guest: impl Strategy<Value = Vec<u8>>, alone: bool) -> impl Strategy<Value = Vec<Step>> {
    let live = prop::option::of((0usize..3, any::<bool>()));
    let step = prop_oneof![
        3 => (0usize..3, guest).prop_map(|(core, text)| Step::Guest(core, text)),
        1 => (0usize..3, "[a-z ]{0,20}").prop_map(|(core, text)| Step::El2(core, text)),
        1 => live.prop_map(move |live| Step::Live(live.map(|(core, b)| (core, alone && b)))),
        2 => (0usize..200).prop_map(Step::Drain),
    ];
    prop::collection::vec(step, 0..60)
}

/// Runs the steps to the end, all lines ended, and returns what each core's guest and EL2 said, and what was shown.
fn run(steps: Vec<Step>, letters: bool) -> ([Vec<u8>; 3], Vec<String>, Vec<u8>) {
    let mut m = Machine::new();
    let mut said: [Vec<u8>; 3] = Default::default();
    let mut el2 = Vec::new();
    for step in steps {
        match step {
            Step::Guest(core, text) => {
                // The text says whose it is.
                let own = |b: &u8| {
                    if b.is_ascii_lowercase() {
                        b'a' + b % 8 + 8 * core as u8
                    } else {
                        *b
                    }
                };
                let text: Vec<u8> = if letters {
                    text.iter().map(own).collect()
                } else {
                    text
                };
                m.guest(core, &text);
                said[core].extend(text);
            }
            Step::El2(core, text) => {
                m.el2(core, &text);
                el2.push(text);
            }
            Step::Live(live) => m.live = live,
            Step::Drain(count) => m.drain(count),
        }
    }
    for (core, said) in said.iter_mut().enumerate() {
        m.guest(core, b"\n");
        said.push(b'\n');
    }
    m.wait();
    assert!(m.rings.iter().all(|ring| ring.waiting() == 0));
    (said, el2, m.out)
}

proptest! {
    /// Each source's text is shown complete and in order, and a shown line never holds two sources' or two lines' text.
    #[test]
    fn lines_split_back_into_what_was_said(steps in steps("[a-z\n]{0,30}".prop_map(String::into_bytes), false)) {
        let (said, el2, out) = run(steps, true);
        let shown = plain(&out);
        let mut lines: [Vec<String>; 3] = Default::default();
        let mut ours = VecDeque::new();
        let mut open = [false; 3];
        for line in shown.split("\r\n") {
            if let Some(line) = line.strip_prefix(PREFIX) {
                ours.push_back(line.into());
            } else if let Some(rest) = line.strip_prefix("... ") {
                // Only one that was broken off goes on; with several, the text tells.
                let at = (0..3).find(|&core| {
                    let so_far: String = lines[core].concat() + rest;
                    let all: String = said[core].iter().map(|&b| b as char).filter(|&c| c != '\n').collect();
                    !lines[core].is_empty() && all.starts_with(&so_far)
                });
                let Some(core) = at else { return Err(TestCaseError::fail("a line out of nowhere")) };
                *lines[core].last_mut().unwrap() += rest;
                open[core] = true;
            } else if !line.is_empty() {
                let core = NAMES.iter().position(|name| line.starts_with(&format!("[{name}] ")));
                let Some(core) = core else { return Err(TestCaseError::fail(format!("whose? {line}"))) };
                lines[core].push(line[NAMES[core].len() + 3..].into());
            }
        }
        for core in 0..3 {
            let want = String::from_utf8(said[core].clone()).unwrap();
            let want: String = want.replace('\n', "");
            prop_assert_eq!(lines[core].concat(), want);
        }
        let mut want: Vec<String> = el2;
        let mut got: Vec<String> = ours.into();
        want.sort();
        got.sort();
        prop_assert_eq!(got, want);
    }

    /// Whatever guests send, live or not: a line of the terminal's that starts with EL2's prefix is EL2's, as long as none
    /// was given the terminal, and every other starts with a name or goes on.
    #[test]
    fn no_guest_begins_a_line(steps in steps(prop_oneof![
        prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(0x1b), Just(b'[')], 0..40),
        Just(b"\nbulkhead: end\n".to_vec()), Just(b"\rbulkhead: end\n".to_vec()), Just(b"bulk".to_vec()), Just(b"head: x".to_vec()),
    ], false)) {
        let (_, el2, out) = run(steps, false);
        let lines = out.split(|&byte| byte == b'\n');
        let mut count = 0;
        for line in lines.filter(|line| !line.is_empty()) {
            let named = (31..).zip(NAMES).any(|(colour, name)| line.starts_with(format!("\x1b[{colour}m[{name}]\x1b[0m ").as_bytes()));
            if !named && !line.starts_with(b"... ") {
                let text = line.strip_prefix(PREFIX.as_bytes()).and_then(|line| line.strip_suffix(b"\r"));
                prop_assert!(text.is_some_and(|text| el2.iter().any(|said| said.as_bytes() == text)), "{:?}", line.escape_ascii());
                count += 1;
            }
        }
        prop_assert_eq!(count, el2.len());
    }

    /// Lines of guests without the input are whole however the console core drains.
    #[test]
    fn lines_stay_whole(lines in prop::collection::vec((0usize..3, "[a-z]{0,30}"), 0..60), drains in prop::collection::vec(0usize..20, 1..60)) {
        let mut m = Machine::new();
        let mut drains = drains.iter().cycle();
        for (core, line) in &lines {
            for byte in line.bytes().chain([b'\n']) {
                m.guest(*core, &[byte]);
                m.drain(*drains.next().unwrap());
            }
        }
        m.all();
        let shown = m.shown();
        for (core, name) in NAMES.iter().enumerate() {
            let name = format!("[{name}] ");
            let got: Vec<&str> = shown.split("\r\n").filter_map(|line| line.strip_prefix(&name)).collect();
            let want: Vec<&str> = lines.iter().filter(|(c, _)| *c == core).map(|(_, line)| line.as_str()).collect();
            prop_assert_eq!(got, want);
        }
    }
}

#[test]
fn how_much_is_loaded_has_one_unit() {
    let text = |done: u64, bytes: u64| {
        let mut line = Line::default();
        line.loading(done, bytes);
        String::from_utf8(line.as_bytes().to_vec()).expect("text")
    };
    let gib = 1 << 30;
    assert_eq!(text(0, gib), "loading, 0 of 1 GiB");
    assert_eq!(text(gib * 21 / 10, 8 * gib), "loading, 2 of 8 GiB");
    assert_eq!(text(gib * 22 / 10, 8 * gib), "loading, 2.1 of 8 GiB");
    assert_eq!(text(96 << 20, 512 << 20), "loading, 96 of 512 MiB");
    assert_eq!(text(1 << 19, (1 << 20) + 4096), "loading, 0.5 of 1 MiB");
    assert_eq!(
        text(u64::MAX, u64::MAX),
        "loading, 17179869183.9 of 17179869183.9 GiB"
    );
}
