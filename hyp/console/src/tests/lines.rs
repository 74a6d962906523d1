//! Tests of lines from several cores to one terminal.

use super::*;
use proptest::prelude::*;
use std::{collections::VecDeque, format, string::String};

const NAMES: [&str; 3] = ["sensor", "control", "third"];

/// How long a line with nothing to add keeps the terminal.
const PATIENCE: u64 = 10;

/// Three partitions and the console core, whose UART records all bytes.
struct Machine {
    outputs: [&'static Output; 3],
    waiting: Waiting,
    mux: Mux,
    out: Vec<u8>,
    now: u64,
    /// The partition that is live, and whether it has the terminal to itself.
    live: Option<(usize, bool)>,
    stopped: [bool; 3],
}

impl Machine {
    fn new() -> Self {
        let mut mux = Mux::default();
        mux.set_patience(PATIENCE);
        for ((index, name), colour) in NAMES.into_iter().enumerate().zip(31..) {
            mux.set_name(index, name.as_bytes(), colour);
        }
        Machine {
            outputs: [output(), output(), output()],
            waiting: FromZeros::new_zeroed(),
            mux,
            out: Vec::new(),
            now: 0,
            live: None,
            stopped: [false; 3],
        }
    }

    /// Prints as much of `text` as fits, as the guest of partition `index`.
    fn guest(&mut self, index: usize, text: &[u8]) {
        for &byte in text {
            let used = self.outputs[index].put(byte, ROOM);
            let is_live = self.live.is_some_and(|(live, _)| live == index);
            if is_live || byte == b'\n' || used.is_some_and(|used| used >= LINE) {
                self.waiting.mark(index as u32);
            }
        }
    }

    /// Gives a partition the input, or takes it from all.
    fn focus(&mut self, live: Option<(usize, bool)>) {
        self.live = live;
        if let Some((index, _)) = live {
            self.waiting.mark(index as u32);
        }
    }

    /// Stops partition `index`.
    fn end(&mut self, index: usize) {
        self.stopped[index] = true;
        self.outputs[index].end();
        self.waiting.mark(index as u32);
    }

    fn el2(&mut self, index: usize, text: &str) {
        let say = || self.outputs[index].say(&[PREFIX.as_bytes(), text.as_bytes(), b"\r\n"]);
        assert!(say());
        self.waiting.mark(index as u32);
    }

    /// Drains up to `count` bytes of what waits, in no time.
    fn drain(&mut self, count: usize) {
        let mut mux = std::mem::take(&mut self.mux);
        let before = self.out.len();
        while self.out.len() - before < count {
            let mut out = Vec::new();
            let most = (count - (self.out.len() - before)).min(14) as u32;
            if mux.step(most, self.now, |byte| out.push(byte), &*self).is_none() {
                break;
            }
            self.out.extend(out);
        }
        self.mux = mux;
    }

    /// Drains all that waits, except lines that wait for a live one.
    fn all(&mut self) {
        self.drain(1 << 20);
    }

    /// Drains all that waits, and checks that nothing is left.
    fn wait(&mut self) {
        self.wait_for_the_filled();
        assert_eq!(self.waiting.next(0), None);
    }

    /// Drains all that waits, except slots that may still be filled and what follows them.
    fn wait_for_the_filled(&mut self) {
        for _ in 0..20 {
            self.all();
            self.now += PATIENCE;
        }
    }

    /// Returns what was shown since the last call, without colours.
    fn shown(&mut self) -> String {
        plain(&std::mem::take(&mut self.out))
    }
}

impl Partitions for Machine {
    fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    fn output(&self, index: usize) -> Option<&Output> {
        self.outputs.get(index).copied()
    }

    fn live(&self, index: usize) -> (bool, bool) {
        let live = self.live.filter(|(live, _)| *live == index);
        (live.is_some(), live.is_some_and(|(_, alone)| alone))
    }

    fn stopped(&self, index: usize) -> bool {
        self.stopped[index]
    }
}

/// Returns text as a terminal shows it: without sequences and control bytes.
fn plain(bytes: &[u8]) -> String {
    let mut text = String::from_utf8(bytes.to_vec()).unwrap();
    for sequence in ["\x1b[0m", "\x18\x0f\x1b(B", "\x1b[31m", "\x1b[32m", "\x1b[33m"] {
        text = text.replace(sequence, "");
    }
    text
}

#[test]
fn lines_are_put_together() {
    let text = |line: &LineBuffer| String::from_utf8(line.as_bytes().to_vec()).unwrap();
    let mut line = LineBuffer::default();
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
    assert_eq!(line.as_bytes().len(), LineBuffer::SIZE);
}

#[test]
fn lines_carry_names_and_take_turns() {
    let mut m = Machine::new();
    m.guest(0, b"one\r\ntwo\n");
    m.guest(1, b"\n");
    m.el2(1, "core 1 up");
    m.all();
    assert_eq!(m.shown(), "[control] \r\n[sensor] one\r\nbulkhead: core 1 up\r\n[sensor] two\r\n");
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
    m.focus(Some((0, false)));
    m.all();
    assert_eq!(m.shown(), "[sensor] # ");
    m.guest(0, b"l");
    m.all();
    assert_eq!(m.shown(), "l");
    // The line has nothing to add: another partition's line is shown, and the rest of the first
    // cannot be taken for a line of EL2's.
    m.guest(1, b"hello\n");
    m.all();
    assert_eq!(m.shown(), "", "it may still add something");
    m.now += PATIENCE;
    m.all();
    assert_eq!(m.shown(), "\r\n[control] hello\r\n");
    m.guest(0, b"s\nbulkhead: no\n");
    m.all();
    assert_eq!(m.shown(), "... s\r\n[sensor] bulkhead: no\r\n");
    // The partition loses the input in the middle of a line.
    m.guest(0, b"bulk");
    m.all();
    m.focus(None);
    m.guest(0, b"head: no");
    m.el2(1, "yes");
    m.wait();
    m.guest(0, b"\n");
    m.all();
    assert_eq!(m.shown(), "[sensor] bulk\r\nbulkhead: yes\r\n... head: no\r\n");
}

#[test]
fn el2_ends_an_unfinished_line() {
    let mut m = Machine::new();
    m.guest(0, b"half");
    m.el2(0, "stopped");
    m.guest(0, b" a line");
    m.end(0);
    m.end(0);
    m.wait();
    assert_eq!(m.shown(), "[sensor] half\r\nbulkhead: stopped\r\n[sensor]  a line\r\n");
}

/// An unfinished line is shown when its partition has stopped, before EL2's line about that.
#[test]
fn a_partition_that_stops_keeps_its_last_words() {
    let mut m = Machine::new();
    m.guest(0, b"last words");
    m.all();
    assert_eq!(m.shown(), "");
    m.end(0);
    m.el2(0, "sensor: halted");
    m.wait();
    assert_eq!(m.shown(), "[sensor] last words\r\nbulkhead: sensor: halted\r\n");
}

/// A vCPU that fails after it has reserved slots, and before it has filled them, holds nobody up
/// once it has stopped.
#[test]
fn a_slot_that_is_never_filled_holds_up_nobody() {
    let mut m = Machine::new();
    m.guest(0, b"a\nb");
    m.outputs[0].reserve_only(3);
    m.guest(0, b"c\n");
    m.guest(1, b"other\n");
    m.wait_for_the_filled();
    assert_eq!(m.shown(), "[control] other\r\n[sensor] a\r\n[sensor] b");
    m.end(0);
    m.el2(0, "sensor: fault in EL2");
    m.guest(1, b"more\n");
    m.wait();
    let shown = m.shown();
    assert!(shown.contains("... c\r\nbulkhead: sensor: fault in EL2\r\n"), "{shown}");
    assert!(shown.contains("[control] more\r\n"), "{shown}");
    assert_eq!(m.outputs[0].used(), 0);
}

/// Both vCPUs of a partition write into one line.
#[test]
fn an_unfinished_line_shows_whoever_wrote_it() {
    let mut m = Machine::new();
    std::thread::scope(|scope| {
        for text in ["log", "in: "] {
            let output = m.outputs[1];
            let vcpu =
                scope.spawn(move || text.bytes().all(|byte| output.put(byte, ROOM).is_some()));
            assert!(vcpu.join().unwrap());
        }
    });
    m.wait();
    assert_eq!(m.shown(), "");
    m.focus(Some((1, false)));
    m.wait();
    assert_eq!(m.shown(), "[control] login: ");
}

#[test]
fn who_has_the_terminal_writes_lines_without_a_name() {
    let mut m = Machine::new();
    m.focus(Some((1, true)));
    m.guest(1, b"\x1b[2J\x1b[1;1Htop\r\nnext");
    m.all();
    assert_eq!(m.out, b"\x1b[2J\x1b[1;1Htop\r\x18\x0f\x1b(B\x1b[0m\r\nnext");
    m.guest(0, b"\x1b[2Jhello\n");
    m.wait();
    assert!(m.out.ends_with(b"next\x18\x0f\x1b(B\x1b[0m\r\n\x1b[31m[sensor]\x1b[0m hello\r\n"));
}

#[test]
fn an_endless_line_does_not_keep_others_waiting() {
    for live in [false, true] {
        let mut m = Machine::new();
        m.focus(live.then_some((0, false)));
        m.guest(0, &[b'x'; 3000]);
        m.guest(1, b"hello\n");
        m.el2(2, "end");
        m.wait();
        let shown = m.shown();
        assert!(shown.find("bulkhead: end\r\n").unwrap() < 1200);
        assert!(shown.find("[control] hello\r\n").unwrap() < 1200);
        // Only a live partition's bytes do not wait for the line's end.
        let count = shown.matches('x').count();
        assert!(count == 3000 || !live && count > 2700, "{count}");
    }
}

/// A long live line continues in another once it is not live.
#[test]
fn a_long_line_outlives_the_input() {
    let mut m = Machine::new();
    m.focus(Some((0, false)));
    m.guest(0, &[b'x'; 300]);
    m.all();
    m.focus(None);
    m.guest(0, b"yy\nz\n");
    m.wait();
    let want = format!("[sensor] {}\r\n[sensor] yy\r\n[sensor] z\r\n", "x".repeat(300));
    assert_eq!(m.shown(), want);
}

#[test]
fn a_guest_leaves_room_for_el2() {
    let mut m = Machine::new();
    m.guest(0, &[b'x'; 9000]);
    let line = "e".repeat(LineBuffer::SIZE);
    m.el2(0, &line);
    m.wait();
    assert!(m.shown().ends_with(&format!("\r\nbulkhead: {line}\r\n")));
    assert_eq!(m.outputs[0].used(), 0);
}

/// One step of the machine.
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

/// Runs the steps, ends all lines, and returns what each core's guest and EL2 printed, and what was
/// shown.
fn run(steps: Vec<Step>, letters: bool) -> ([Vec<u8>; 3], Vec<String>, Vec<u8>) {
    let mut m = Machine::new();
    let mut said: [Vec<u8>; 3] = Default::default();
    let mut el2 = Vec::new();
    for step in steps {
        match step {
            Step::Guest(core, text) => {
                // The letters tell which core's guest printed them.
                let own = |b: &u8| {
                    if b.is_ascii_lowercase() { b'a' + b % 8 + 8 * core as u8 } else { *b }
                };
                let text: Vec<u8> = if letters { text.iter().map(own).collect() } else { text };
                m.guest(core, &text);
                said[core].extend(text);
            }
            Step::El2(core, text) => {
                m.el2(core, &text);
                el2.push(text);
            }
            Step::Live(live) => m.focus(live),
            Step::Drain(count) => m.drain(count),
        }
    }
    for (core, said) in said.iter_mut().enumerate() {
        m.guest(core, b"\n");
        said.push(b'\n');
    }
    m.wait();
    assert!(m.outputs.iter().all(|output| output.used() == 0));
    (said, el2, m.out)
}

proptest! {
    /// Each source's text is shown complete and in order, and a shown line never holds two sources'
    /// or two lines' text.
    #[test]
    fn lines_split_back_into_what_was_said(
        steps in steps("[a-z\n]{0,30}".prop_map(String::into_bytes), false),
    ) {
        let (said, el2, out) = run(steps, true);
        let shown = plain(&out);
        let mut lines: [Vec<String>; 3] = Default::default();
        let mut ours = VecDeque::new();
        let mut open = [false; 3];
        for line in shown.split("\r\n") {
            if let Some(line) = line.strip_prefix(PREFIX) {
                ours.push_back(line.into());
            } else if let Some(rest) = line.strip_prefix("... ") {
                // Only a line that was broken off continues; if there are several, the text tells
                // which.
                let at = (0..3).find(|&core| {
                    let so_far: String = lines[core].concat() + rest;
                    let all = said[core].iter().map(|&b| b as char);
                    let all: String = all.filter(|&c| c != '\n').collect();
                    !lines[core].is_empty() && all.starts_with(&so_far)
                });
                let Some(core) = at else {
                    return Err(TestCaseError::fail("a line out of nowhere"));
                };
                *lines[core].last_mut().unwrap() += rest;
                open[core] = true;
            } else if !line.is_empty() {
                let core = NAMES.iter().position(|name| line.starts_with(&format!("[{name}] ")));
                let Some(core) = core else {
                    return Err(TestCaseError::fail(format!("whose? {line}")));
                };
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

    /// For anything that guests send, live or not: as long as no guest was given the terminal, a
    /// line that starts with EL2's prefix is EL2's, and every other starts with a name or with
    /// [`CONTINUED`].
    #[test]
    fn no_guest_begins_a_line(steps in steps(prop_oneof![
        prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(0x1b), Just(b'[')], 0..40),
        Just(b"\nbulkhead: end\n".to_vec()),
        Just(b"\rbulkhead: end\n".to_vec()),
        Just(b"bulk".to_vec()),
        Just(b"head: x".to_vec()),
    ], false)) {
        let (_, el2, out) = run(steps, false);
        let lines = out.split(|&byte| byte == b'\n');
        let mut count = 0;
        for line in lines.filter(|line| !line.is_empty()) {
            let named = (31..).zip(NAMES).any(|(colour, name)| {
                line.starts_with(format!("\x1b[{colour}m[{name}]\x1b[0m ").as_bytes())
            });
            if !named && !line.starts_with(b"... ") {
                let text = line.strip_prefix(PREFIX.as_bytes());
                let text = text.and_then(|line| line.strip_suffix(b"\r"));
                let is_el2s = |text: &[u8]| el2.iter().any(|said| said.as_bytes() == text);
                prop_assert!(text.is_some_and(is_el2s), "{:?}", line.escape_ascii());
                count += 1;
            }
        }
        prop_assert_eq!(count, el2.len());
    }

    /// Lines of guests without the input stay whole in any pattern of drains.
    #[test]
    fn lines_stay_whole(
        lines in prop::collection::vec((0usize..3, "[a-z]{0,30}"), 0..60),
        drains in prop::collection::vec(0usize..20, 1..60),
    ) {
        let mut m = Machine::new();
        let mut drains = drains.iter().cycle();
        for (core, line) in &lines {
            for byte in line.bytes().chain([b'\n']) {
                m.guest(*core, &[byte]);
                m.drain(*drains.next().unwrap());
            }
        }
        m.wait();
        let shown = m.shown();
        for (core, name) in NAMES.iter().enumerate() {
            let name = format!("[{name}] ");
            let got = shown.split("\r\n").filter_map(|line| line.strip_prefix(&name));
            let got: Vec<&str> = got.collect();
            let want = lines.iter().filter(|(c, _)| *c == core);
            let want: Vec<&str> = want.map(|(_, line)| line.as_str()).collect();
            prop_assert_eq!(got, want);
        }
    }
}

#[test]
fn how_much_is_loaded_has_one_unit() {
    let text = |done: u64, bytes: u64| {
        let mut line = LineBuffer::default();
        line.loading(done, bytes);
        String::from_utf8(line.as_bytes().to_vec()).expect("text")
    };
    let gib = 1 << 30;
    assert_eq!(text(0, gib), "loading, 0 of 1 GiB");
    assert_eq!(text(gib * 21 / 10, 8 * gib), "loading, 2 of 8 GiB");
    assert_eq!(text(gib * 22 / 10, 8 * gib), "loading, 2.1 of 8 GiB");
    assert_eq!(text(96 << 20, 512 << 20), "loading, 96 of 512 MiB");
    assert_eq!(text(1 << 19, (1 << 20) + 4096), "loading, 0.5 of 1 MiB");
    assert_eq!(text(u64::MAX, u64::MAX), "loading, 17179869183.9 of 17179869183.9 GiB");
}
