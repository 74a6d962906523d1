// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the monitor: what it shows, in which steps, and what it makes of keys.

use super::*;
use proptest::prelude::*;
use std::cell::RefCell;
use std::string::{String, ToString};

/// Two partitions with three cores, and one channel.
struct Shown;

impl Facts for Shown {
    fn name(&self, partition: usize) -> Option<&'static [u8]> {
        [&b"sensor\0\0"[..], b"control\0"].get(partition).copied()
    }

    fn state(&self, partition: usize) -> Option<&'static str> {
        ["running", "restarting"].get(partition).copied()
    }

    fn restarts(&self, partition: usize) -> u32 {
        [0, u32::MAX][partition]
    }

    fn owner(&self, core: usize) -> Option<(usize, usize)> {
        [(1, 0), (0, 0), (0, 1)].get(core).copied()
    }

    fn reason(&self, reason: usize) -> Option<&'static str> {
        ["hvc", "smc", "doorbell"].get(reason).copied()
    }

    fn entries(&self, core: usize, reason: usize) -> Option<u64> {
        let all = [[10, 0, 9], [0, 0, u64::MAX], [0, 0, 0]];
        all.get(core)?.get(reason).copied()
    }

    fn peer(&self, core: usize, end: usize) -> Option<usize> {
        [Some(0), Some(1), None][core].filter(|_| end == 0)
    }

    fn doorbells(&self, core: usize, end: usize, counter: usize) -> Option<u64> {
        (core < 2 && end == 0).then(|| [100, 1, 0][counter] + core as u64)
    }
}

const SCREEN: &str = "bulkhead: 1 sensor: running, restarts 0\r
bulkhead: 2 control: restarting, restarts 4294967295\r
bulkhead:   control/0 entries: hvc 10 doorbell 9\r
bulkhead:   control/0 end 0 to sensor: sent 100, coalesced 1, deferred 0\r
bulkhead:   sensor/0 entries: doorbell 18446744073709551615\r
bulkhead:   sensor/0 end 0 to control: sent 101, coalesced 2, deferred 1\r
bulkhead:   sensor/1 entries:\r
bulkhead: monitor: stop N, start N, restart N; Enter shows this again, q leaves\r
";

/// Does all steps that are left. Returns what the terminal got.
fn shown(monitor: &mut Monitor, most: usize) -> String {
    let sent = RefCell::new(Vec::new());
    for step in 0.. {
        assert!(step < 5000, "the output does not end");
        let before = sent.borrow().len();
        let result = monitor.step(most, |byte| sent.borrow_mut().push(byte), &Shown);
        let count = sent.borrow().len() - before;
        assert!(count <= most, "{count} bytes in one step");
        match result {
            Some(bytes) => assert_eq!(bytes as usize, count),
            None => break,
        }
    }
    assert!(!monitor.has_output());
    String::from_utf8(sent.into_inner()).unwrap()
}

/// Presses each key. Returns what the terminal got, and the last order.
fn pressed(monitor: &mut Monitor, keys: &[u8]) -> (String, Option<Order>) {
    let mut all = String::new();
    let mut order = None;
    for &key in keys {
        monitor.press(key);
        order = monitor.take_key().or(order);
        all += &shown(monitor, 3);
    }
    (all, order)
}

fn opened() -> Monitor {
    let mut monitor = Monitor::default();
    monitor.open();
    assert_eq!(shown(&mut monitor, 3), SCREEN);
    monitor
}

#[test]
fn the_screen_has_all_facts_in_steps_of_any_size() {
    for most in [1, 2, 3, 10, 200] {
        let mut monitor = Monitor::default();
        assert!(!monitor.is_active() && !monitor.has_output());
        monitor.open();
        assert!(monitor.is_open() && monitor.is_active());
        assert_eq!(shown(&mut monitor, most), SCREEN);
    }
}

#[test]
fn commands_are_shown_and_become_orders() {
    let mut monitor = opened();
    let order = |partition, what| Some(Order { partition, what });
    for (keys, wanted) in [
        ("stop 1\r", order(0, 1)),
        ("start 2\n", order(1, 2)),
        ("restart 8\r", order(7, 3)),
        ("stop 9\r", order(8, 1)),
        ("stpo\x7f\x08op 3\r", order(2, 1)),
        ("stop 0\r", None),
        ("stop 10\r", None),
        ("stop  1\r", None),
        ("stop\r", None),
        (" 1\r", None),
        ("Stop 1\r", None),
        ("stop 1 \r", None),
        ("restart 1 and more\r", None),
        ("help\r", None),
    ] {
        let (text, given) = pressed(&mut monitor, keys.as_bytes());
        assert_eq!(given, wanted, "{keys:?}");
        assert_eq!(text.contains("bulkhead: no such command: "), wanted.is_none(), "{text:?}");
        assert!(text.starts_with("\r\x1b[Kbulkhead: > "), "{text:?}");
        monitor.answer("bulkhead: answered\r\n");
        assert_eq!(shown(&mut monitor, 3), "bulkhead: answered\r\n");
    }
    let (text, _) = pressed(&mut monitor, b"stop 1");
    assert_eq!(text, "\r\x1b[Kbulkhead: > stop 1");
    // Other control bytes do nothing.
    assert_eq!(pressed(&mut monitor, b"\0\x03\xff").0, "");
    assert_eq!(pressed(&mut monitor, b"\x7f2").0, "\r\x1b[Kbulkhead: > stop 2");
}

#[test]
fn enter_shows_the_screen_and_escape_and_q_leave() {
    let mut monitor = opened();
    assert_eq!(pressed(&mut monitor, b"\r").0, SCREEN);
    for keys in [&b"q"[..], b"\x1b"] {
        assert_eq!(pressed(&mut monitor, keys), (String::new(), None));
        assert!(!monitor.is_open());
        monitor.open();
        shown(&mut monitor, 3);
    }
    // A command has no effect once Escape has left it; `q` is a letter in it.
    let (text, order) = pressed(&mut monitor, b"qstop 1");
    assert_eq!((&*text, order), ("\r\x1b[Kbulkhead: > stop 1", None));
    let (text, order) = pressed(&mut monitor, b"q\x1b");
    assert_eq!((&*text, order), ("q\r\n", None));
    assert!(!monitor.is_open());
    monitor.open();
    assert_eq!(shown(&mut monitor, 3), SCREEN);
    assert_eq!(pressed(&mut monitor, b"stop 2\r").1, Some(Order { partition: 1, what: 1 }));
}

/// The partitions' lines come between the monitor's, never into one.
#[test]
fn lines_take_turns() {
    let mut monitor = Monitor::default();
    monitor.open();
    let (mut line, mut turns) = (String::new(), 0);
    loop {
        if monitor.goes_first(|| true, || true) {
            let mut sent = Vec::new();
            if monitor.step(3, |byte| sent.push(byte), &Shown).is_none() {
                break;
            }
            line += std::str::from_utf8(&sent).unwrap();
        } else {
            if !monitor.has_output() {
                break;
            }
            assert!(line.is_empty() || line.ends_with('\n'), "{line:?}");
            turns += 1;
        }
    }
    assert_eq!((line.as_str(), turns), (SCREEN, SCREEN.lines().count()));
    // While a line of theirs keeps the terminal it does not begin one.
    monitor.open();
    assert!(!monitor.goes_first(|| true, || false));
    assert!(monitor.goes_first(|| true, || true));
    shown(&mut monitor, 3);
    // It holds the line of a command only as long as nobody else has something to show.
    assert_eq!(pressed(&mut monitor, b"sto").0, "\r\x1b[Kbulkhead: > sto");
    assert!(monitor.goes_first(|| false, || unreachable!()));
    assert_eq!(monitor.step(3, |_| unreachable!(), &Shown), None);
    assert!(monitor.goes_first(|| true, || unreachable!()));
    assert_eq!(shown(&mut monitor, 3), "\r\n");
    assert!(!monitor.goes_first(|| true, || unreachable!()));
    assert_eq!(pressed(&mut monitor, b"p").0, "\r\x1b[Kbulkhead: > stop");
}

/// A live partition's prompt, which may never end, gives way; a whole line ends first.
#[test]
fn a_prompt_gives_way() {
    struct One(&'static Output, Waiting, bool);
    impl Partitions for One {
        fn waiting(&self) -> &Waiting {
            &self.1
        }
        fn output(&self, index: usize) -> Option<&Output> {
            (index == 0).then_some(self.0)
        }
        fn live(&self, _: usize) -> (bool, bool) {
            (self.2, false)
        }
        fn stopped(&self, _: usize) -> bool {
            false
        }
    }
    let drained = |one: &One, mux: &mut Mux, steps: usize| {
        let mut text = Vec::new();
        for _ in 0..steps {
            if mux.step(10, 0, |byte| text.push(byte), one).is_none() {
                break;
            }
        }
        String::from_utf8(text).unwrap()
    };
    let print = |one: &One, text: &str| {
        text.bytes().for_each(|byte| assert!(one.0.put(byte, ROOM).is_some()));
        one.1.mark(0);
    };
    let mut mux = Mux::default();
    mux.set_name(0, b"shell", 0);
    let one = One(output(), FromZeros::new_zeroed(), true);
    assert!(mux.pause());
    print(&one, "# ");
    let shown = drained(&one, &mut mux, 100);
    assert!(shown.ends_with("] \x1b[0m# ") || shown.ends_with("# "), "{shown:?}");
    assert!(!mux.pause(), "the break is sent first");
    assert_eq!(drained(&one, &mut mux, 9), BREAK.to_string());
    assert!(mux.pause());
    // A line of EL2's after it ends first.
    print(&one, "\n");
    drained(&one, &mut mux, 100);
    one.0.say(&[b"bulkhead: a line\r\n"]);
    one.1.mark(0);
    let begun = drained(&one, &mut mux, 4);
    assert!(begun.starts_with('b') && !begun.contains('\n'), "{begun:?}");
    assert!(!mux.pause());
    assert_eq!(begun + &drained(&one, &mut mux, 100), "bulkhead: a line\r\n");
    assert!(mux.pause());
    let one = One(output(), FromZeros::new_zeroed(), false);
    let mut mux = Mux::default();
    print(&one, "a whole line that takes several steps\n");
    drained(&one, &mut mux, 3);
    assert!(!mux.pause());
    drained(&one, &mut mux, 100);
    assert!(mux.pause());
}

proptest! {
    /// Whatever is typed, each key is answered in bounded output, and the monitor goes on.
    #[test]
    fn any_keys(keys in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut monitor = opened();
        pressed(&mut monitor, &keys);
        monitor.open();
        shown(&mut monitor, 3);
        let (_, order) = pressed(&mut monitor, b"restart 2\r");
        prop_assert_eq!(order, Some(Order { partition: 1, what: 3 }));
    }
}
