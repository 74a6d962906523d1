//! The rings, the lines they become, what a guest cannot do to them, and the registers a guest's driver uses.

use super::*;
use filter::Filter;
use proptest::prelude::*;
use std::{boxed::Box, collections::VecDeque, format, string::String, vec, vec::Vec};

const NAMES: [&str; 3] = ["sensor", "control", "third"];
const ALL: u32 = 1 << 20;

/// The rings of three cores and their console core, whose UART keeps all it is sent.
struct Machine {
    rings: Vec<Box<Rings>>,
    mux: Mux,
    out: Vec<u8>,
}

impl Machine {
    fn new() -> Self {
        Machine {
            rings: NAMES.iter().map(|_| Box::default()).collect(),
            mux: Mux::default(),
            out: Vec::new(),
        }
    }

    fn guest(&self, core: usize, text: &str) {
        for byte in text.bytes() {
            assert_ne!(self.rings[core].guest.push(byte), Pushed::Full);
        }
    }

    /// Drains while `room` says that the UART has room; each answer is one byte's.
    fn drain(&mut self, patient: bool, budget: u32, room: &mut VecDeque<bool>) -> Progress {
        let rings = &self.rings;
        let source = |core: usize| {
            Some(Source {
                rings: rings.get(core)?,
                name: NAMES.get(core)?.as_bytes(),
                colour: 31 + core as u32,
            })
        };
        let out = &mut self.out;
        self.mux
            .drain(rings.len(), source, patient, budget, |byte| {
                let taken = room.pop_front().unwrap_or(true);
                if taken {
                    out.push(byte);
                }
                taken
            })
    }

    fn all(&mut self, patient: bool) -> Progress {
        self.drain(patient, ALL, &mut VecDeque::new())
    }

    /// What was shown since the last call, without colours.
    fn shown(&mut self) -> String {
        plain(&String::from_utf8(std::mem::take(&mut self.out)).unwrap())
    }
}

fn plain(text: &str) -> String {
    let mut text = text.replace("\x1b[0m", "");
    for core in 0..NAMES.len() {
        text = text.replace(&format!("\x1b[{}m", 31 + core), "");
    }
    text
}

fn filtered(bytes: &[u8]) -> Vec<u8> {
    let mut filter = Filter::default();
    bytes
        .iter()
        .copied()
        .filter(|&byte| filter.keeps(byte))
        .collect()
}

#[test]
fn a_ring_keeps_order_and_bounds() {
    let ring = Ring::<8>::default();
    assert_eq!(ring.pop(), None);
    for round in 0u8..100 {
        assert_eq!(ring.push(b'a'), Pushed::Notify, "the first byte");
        assert_eq!(ring.push(b'b'), Pushed::Quiet);
        assert_eq!(ring.push(round.max(16)), Pushed::Quiet);
        assert!(!ring.is_ready());
        assert_eq!(ring.push(b'd'), Pushed::Quiet);
        assert_eq!(ring.push(b'\n'), Pushed::Notify, "a line");
        assert!(ring.is_ready());
        assert!(!ring.push_line(b"abc"), "no room for four");
        assert!(ring.push_line(b"xy"));
        assert!(ring.is_full());
        assert_eq!(ring.push(b'z'), Pushed::Full);
        let taken: Vec<u8> = std::iter::from_fn(|| ring.pop()).collect();
        assert_eq!(
            taken,
            [b'a', b'b', round.max(16), b'd', b'\n', b'x', b'y', b'\n']
        );
        assert!(ring.is_empty() && !ring.is_ready());
    }
}

#[test]
fn a_ring_half_full_does_not_wait_for_a_line_end() {
    let ring = Ring::<8>::default();
    let pushed: Vec<Pushed> = (0..5).map(|_| ring.push(b'.')).collect();
    assert_eq!(pushed[4], Pushed::Notify);
    assert!(ring.is_ready());
}

#[test]
fn a_ring_works_across_the_wrap_of_its_counters_and_between_threads() {
    let ring = Ring::<64>::default();
    let total = 200_000u32;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..total {
                while ring.push(i as u8) == Pushed::Full {
                    std::thread::yield_now();
                }
            }
        });
        for i in 0..total {
            let byte = loop {
                match ring.pop() {
                    Some(byte) => break byte,
                    None => std::thread::yield_now(),
                }
            };
            assert_eq!(byte, i as u8);
        }
    });
    assert!(ring.is_empty() && !ring.is_ready());
}

#[test]
fn lines_are_put_together() {
    let text = |line: &Line| String::from_utf8(line.as_bytes().to_vec()).unwrap();
    let mut line = Line::new();
    line.name(b"control\0\0\0").str(": core ").dec(0).byte(b' ');
    line.dec(1050).byte(b' ').dec(u64::MAX).byte(b' ');
    line.hex(0).byte(b' ').hex(0x1234).byte(b' ').hex(u64::MAX);
    line.byte(b' ').hex_digits(0xab, 16);
    assert_eq!(
        text(&line),
        "control: core 0 1050 18446744073709551615 0x0 0x1234 0xffffffffffffffff 00000000000000ab"
    );
    for _ in 0..100 {
        line.str("too long");
    }
    assert_eq!(line.as_bytes().len(), Line::SIZE);
}

#[test]
fn lines_carry_names_and_take_turns() {
    let mut m = Machine::new();
    m.guest(0, "one\r\ntwo\n");
    m.guest(1, "\n");
    assert!(m.rings[1].el2.push_line(b"core 1 up"));
    assert_eq!(m.all(true), Progress::Idle);
    assert_eq!(
        m.shown(),
        "[sensor] one\r\nbulkhead: core 1 up\r\n[control] \r\n[sensor] two\r\n"
    );
    m.guest(2, "x\n");
    m.all(true);
    assert_eq!(m.out, b"\x1b[33m[third]\x1b[0m x\r\n");
}

#[test]
fn a_prompt_is_shown_after_a_while_and_broken_by_who_waits() {
    let mut m = Machine::new();
    m.guest(0, "# ");
    assert_eq!(m.all(true), Progress::Held);
    assert_eq!(m.shown(), "");
    assert_eq!(m.all(false), Progress::Idle);
    assert_eq!(m.shown(), "[sensor] # ");
    // Its line is begun: what it adds is shown at once.
    m.guest(0, "l");
    assert_eq!(m.all(true), Progress::Idle);
    assert_eq!(m.shown(), "l");
    m.guest(1, "hello\n");
    assert_eq!(m.all(true), Progress::Idle);
    assert_eq!(m.shown(), "\r\n[control] hello\r\n");
    m.guest(0, "s\n");
    assert_eq!(m.all(true), Progress::Idle);
    assert_eq!(m.shown(), "[sensor] s\r\n");
    // A second prompt waits its while before it breaks the first.
    m.guest(0, "# ");
    assert_eq!(m.all(false), Progress::Idle);
    m.guest(1, "> ");
    assert_eq!(m.all(true), Progress::Held);
    assert_eq!(m.shown(), "[sensor] # ");
    assert_eq!(m.all(false), Progress::Idle);
    assert_eq!(m.shown(), "\r\n[control] > ");
}

#[test]
fn an_endless_line_does_not_keep_others_waiting() {
    let mut m = Machine::new();
    m.guest(0, &"x".repeat(5000));
    m.guest(1, "hello\n");
    assert!(m.rings[2].el2.push_line(b"end"));
    assert_eq!(m.all(true), Progress::Idle);
    let shown = m.shown();
    assert!(shown.find("bulkhead: end\r\n").unwrap() < 1200);
    assert!(shown.find("[control] hello\r\n").unwrap() < 1200);
    assert_eq!(shown.matches('x').count(), 5000);
}

#[test]
fn a_full_uart_and_a_budget_stop_exactly_there() {
    let mut m = Machine::new();
    m.guest(0, "abc\n");
    assert_eq!(
        m.drain(true, ALL, &mut VecDeque::from([false])),
        Progress::Full
    );
    assert!(m.out.is_empty());
    assert_eq!(m.drain(true, 5, &mut VecDeque::new()), Progress::More);
    assert_eq!(m.all(true), Progress::Idle);
    assert_eq!(m.shown(), "[sensor] abc\r\n");
    // Bytes that are dropped cost budget too.
    m.guest(0, &"\r".repeat(4200));
    assert_eq!(m.drain(true, 100, &mut VecDeque::new()), Progress::More);
}

#[test]
fn guests_print_ascii_tabs_and_utf8() {
    for kept in [
        "a\tb~ ",
        "\u{a3}1",
        "\u{c7}\u{e9}",
        "\u{2019}\u{1f600}",
        "\u{105}\u{145}",
    ] {
        assert_eq!(filtered(kept.as_bytes()), kept.as_bytes(), "{kept:?}");
    }
}

#[test]
fn guests_cannot_reach_outside_their_line() {
    for dropped in [
        "\r",
        "\n",
        "\x0b",
        "\x0c",
        "\x00",
        "\x07",
        "\x7f",
        "\x08",
        "\x0e",
        "\x1b",
        "\x1bc",
        "\x1bM",
        "\x1b(0",
        "\x1b[2J",
        "\x1b[1K",
        "\x1b[A",
        "\x1b[99D",
        "\x1b[G",
        "\x1b[1;1H",
        "\x1b[?25l",
        "\x1b[6n",
        "\x1b[!p",
        "\x1b[31m",
        "\x1b[>4m",
        "\x1b[\r",
        "\x1b\x1b[A",
        "\x1b[1\x1b[A",
    ] {
        assert_eq!(filtered(dropped.as_bytes()), b"", "{dropped:?}");
    }
    // The sequence is gone, the text after it is text.
    assert_eq!(filtered(b"\x1b]0;title"), b"0;title");
    assert_eq!(filtered(b"\x1b[1;32mok\x1b[0m."), b"ok.");
    assert_eq!(filtered(b"\x9b31m\x85"), b"31m");
    // 8-bit controls: the lead byte alone shows nothing, whatever else is dropped before the second byte.
    for text in [
        &b"a\xc2\x85"[..],
        b"a\xc2\x07\x9b",
        b"a\xc2\x1b[0m\x84",
        b"a\xc2\x80\x80",
    ] {
        assert_eq!(filtered(text), b"a\xc2", "{text:x?}");
    }
}

#[test]
fn pl011_registers() {
    let (uart, ring) = (Pl011::default(), Ring::<8>::default());
    let reset: Vec<(u64, u32)> = (0..0x50)
        .step_by(4)
        .map(|offset| (offset, uart.read(offset, &ring)))
        .filter(|(_, value)| *value != 0)
        .collect();
    assert_eq!(reset, vec![(0x18, 0x90), (0x30, 0x300), (0x34, 0x12)]);
    for (offset, bits) in [
        (0x20, 0xff),
        (0x24, 0xffff),
        (0x28, 0x3f),
        (0x2c, 0xff),
        (0x30, 0xff87),
        (0x34, 0x3f),
        (0x38, 0x7ff),
        (0x48, 7),
    ] {
        for value in [u32::MAX, 0x1a5, 0] {
            assert!(!uart.write(offset, value, &ring));
            assert_eq!(uart.read(offset, &ring), value & bits, "{offset:#x}");
        }
    }
    let ids: Vec<u32> = (0xfe0..0x1000)
        .step_by(4)
        .map(|offset| uart.read(offset, &ring))
        .collect();
    assert_eq!(ids, [0x11, 0x10, 0x34, 0, 0x0d, 0xf0, 0x05, 0xb1]);
    // A byte access to the second byte of a register.
    assert!(!uart.write(0x24, 0x1234, &ring));
    assert_eq!(uart.read(0x25, &ring) & 0xff, 0x12);
    // Read-only and absent registers.
    for offset in [0x04, 0x18, 0x3c, 0x40, 0x100, 0xfe0, 0x1000, u64::MAX] {
        let before = uart.read(offset, &ring);
        uart.write(offset, !0, &ring);
        assert_eq!(uart.read(offset, &ring), before, "{offset:#x}");
    }
    assert!(ring.is_empty());
}

#[test]
fn pl011_sends_and_interrupts() {
    let (uart, ring) = (Pl011::default(), Ring::<8>::default());
    let (dr, fr, imsc, ris, mis, icr) = (0x00, 0x18, 0x38, 0x3c, 0x40, 0x44);
    assert!(!uart.level(&ring));
    uart.write(imsc, 0x20, &ring);
    assert!(!uart.level(&ring), "nothing sent yet");
    assert!(uart.write(dr, 0x1_00 | 'h' as u32, &ring), "notify");
    assert!(!uart.write(dr, 'i' as u32, &ring));
    assert!(uart.level(&ring));
    assert_eq!((uart.read(ris, &ring), uart.read(mis, &ring)), (0x20, 0x20));
    uart.write(icr, 0x20, &ring);
    assert!(!uart.level(&ring));
    for _ in 0..20 {
        uart.write(dr, 'x' as u32, &ring);
    }
    assert_eq!(uart.read(fr, &ring), 0x38, "full, busy, nothing received");
    assert!(!uart.level(&ring), "no room, no interrupt");
    assert_eq!(ring.pop(), Some(b'h'));
    assert_eq!(uart.read(fr, &ring), 0x90);
    assert!(uart.level(&ring), "room again");
    uart.write(imsc, 0, &ring);
    assert!(!uart.level(&ring));
    assert_eq!((uart.read(ris, &ring), uart.read(mis, &ring)), (0x20, 0));
    assert_eq!(std::iter::from_fn(|| ring.pop()).count(), 7);
}

/// What happens next at the machine.
#[derive(Clone, Debug)]
enum Step {
    Guest(usize, String),
    El2(usize, String),
    Drain(bool, u32, Vec<bool>),
}

fn steps(guest: &'static str) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0usize..3, guest).prop_map(|(core, text)| Step::Guest(core, text)),
        (0usize..3, "[a-z ]{0,20}").prop_map(|(core, text)| Step::El2(core, text)),
        (
            any::<bool>(),
            0u32..200,
            prop::collection::vec(any::<bool>(), 0..60)
        )
            .prop_map(|(patient, budget, room)| Step::Drain(patient, budget, room)),
    ];
    prop::collection::vec(step, 0..60)
}

/// Runs the steps to the end, all shown, and returns what each source said and each line shown.
fn run(steps: Vec<Step>) -> ([String; 6], Vec<String>) {
    let mut m = Machine::new();
    let mut said: [String; 6] = Default::default();
    for step in steps {
        match step {
            Step::Guest(core, text) => {
                m.guest(core, &text);
                said[2 * core + 1] += &text;
            }
            Step::El2(core, text) => {
                if m.rings[core].el2.push_line(text.as_bytes()) {
                    said[2 * core] += &(text + "\n");
                }
            }
            Step::Drain(patient, budget, room) => {
                let progress = m.drain(patient, budget, &mut room.into());
                let rings = || m.rings.iter();
                if matches!(progress, Progress::Held | Progress::Idle) {
                    assert!(!rings().any(|r| r.guest.is_ready() || !r.el2.is_empty()));
                    let unfinished = rings().any(|r| !r.guest.is_empty());
                    assert_eq!(unfinished, progress == Progress::Held);
                    assert!(!unfinished || patient, "held without patience");
                }
            }
        }
    }
    assert_eq!(m.all(false), Progress::Idle);
    let shown = String::from_utf8(m.out).unwrap();
    (said, shown.split("\r\n").map(String::from).collect())
}

proptest! {
    /// Each source's text is shown complete and in order, and a shown line never holds two sources' or two lines' text.
    #[test]
    fn lines_split_back_into_what_was_said(steps in steps("[a-z\n]{0,30}")) {
        let (said, lines) = run(steps);
        let el2: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix(PREFIX)).collect();
        for (source, said) in said.iter().enumerate() {
            if source % 2 == 0 {
                // EL2's lines have no core's name: each core's are there, in their order.
                let mut rest = el2.iter();
                for line in said.lines() {
                    prop_assert!(rest.any(|shown| *shown == line));
                }
                continue;
            }
            let name = format!("\x1b[{}m[{}]\x1b[0m ", 31 + source / 2, NAMES[source / 2]);
            let (mut shown, mut ends) = (String::new(), vec![0]);
            for piece in lines.iter().filter_map(|line| line.strip_prefix(&name)) {
                shown += piece;
                ends.push(shown.len());
            }
            prop_assert_eq!(&shown, &said.replace('\n', ""));
            let mut at = 0;
            for line in said.split_inclusive('\n') {
                at += line.trim_end().len();
                prop_assert!(ends.contains(&at), "two lines in one");
            }
            prop_assert!(ends.len() > said.matches('\n').count());
        }
        let count = said.iter().step_by(2).map(|said| said.lines().count()).sum::<usize>();
        prop_assert_eq!(el2.len(), count);
    }

    /// Whole lines are never broken, and nothing is shown of what is not complete, while the console core is patient.
    #[test]
    fn patience_keeps_lines_whole(lines in prop::collection::vec((0usize..3, "[a-z]{0,30}"), 0..60), rooms in prop::collection::vec(any::<bool>(), 0..500)) {
        let mut m = Machine::new();
        let mut room = VecDeque::from(rooms);
        for (core, line) in &lines {
            for byte in line.bytes() {
                m.rings[*core].guest.push(byte);
                m.drain(true, 3, &mut room);
            }
            m.rings[*core].guest.push(b'\n');
            m.drain(true, 3, &mut room);
        }
        while m.drain(true, ALL, &mut room) == Progress::Full {}
        let shown = m.shown();
        for (core, name) in NAMES.iter().enumerate() {
            let name = format!("[{name}] ");
            let got: Vec<&str> = shown.split("\r\n").filter_map(|line| line.strip_prefix(&name)).collect();
            let want: Vec<&str> = lines.iter().filter(|(c, _)| *c == core).map(|(_, line)| line.as_str()).collect();
            prop_assert_eq!(got, want);
        }
    }

    /// Whatever bytes a guest sends, the terminal gets no control, of 7 bits or 8, and all text outside sequences.
    #[test]
    fn a_guest_stays_in_its_line(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0x1b), Just(b'['), Just(8), Just(b'm'), Just(0xc2), 0x80u8..0xa0, 0x20u8..0x7f], 0..300)) {
        let out = filtered(&bytes);
        prop_assert!(out.iter().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..)));
        for pair in out.windows(2) {
            // Raw, or as U+0080 to U+009F.
            prop_assert!(!(0x80..0xa0).contains(&pair[1]) || (pair[0] >= 0x80 && pair[0] != 0xc2));
        }
        prop_assert!(!out.first().is_some_and(|byte| (0x80..0xa0).contains(byte)));
        prop_assert_eq!(filtered(&out), out, "once is enough");
    }

    /// Text is shown as it is, sequences and control bytes in it or not.
    #[test]
    fn text_survives(pieces in prop::collection::vec(("[ -~\t\u{a0}-\u{d7ff}\u{10000}-\u{10ffff}]{0,9}", "(\x1b\\[[0-9;?]{0,4}[@-~]|\x1b[0-9A-Z]|[\x00-\x08\x0b-\x1a\x7f]|)"), 0..20)) {
        let (mut sent, mut text) = (String::new(), String::new());
        for (piece, dropped) in &pieces {
            sent += piece;
            sent += dropped;
            text += piece;
        }
        prop_assert_eq!(String::from_utf8(filtered(sent.as_bytes())).unwrap(), text);
    }

    /// Any access to the PL011 is answered, and only stores to DR put something into the ring.
    #[test]
    fn any_access_is_answered(accesses in prop::collection::vec((0u64..0x1010, any::<u32>()), 0..50)) {
        let (uart, ring) = (Pl011::default(), Ring::<64>::default());
        for (offset, value) in accesses {
            let before = ring.len();
            uart.read(offset, &ring);
            prop_assert_eq!(ring.len(), before);
            uart.write(offset, value, &ring);
            prop_assert_eq!(ring.len() - before, u32::from(offset == 0));
            prop_assert!(!uart.level(&ring) || uart.read(0x40, &ring) != 0);
        }
    }
}
