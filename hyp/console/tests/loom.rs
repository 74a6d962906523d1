//! Every interleaving of vCPUs that print and the console core, which sleeps. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p bulkhead-console --release --test loom`.
#![cfg(loom)]

use bulkhead_console::{Front, Output, Waiting, published};
use loom::sync::atomic::{AtomicBool, Ordering::Relaxed};
use loom::sync::{Arc, Notify};
use loom::thread;

/// A partition's ring, the console core's SGI, and whether the partition is live, so that an
/// unfinished line is shown.
struct Console {
    output: Output<4>,
    waiting: Waiting,
    live: AtomicBool,
    sgi: Notify,
}

impl Console {
    fn new(live: bool) -> Arc<Self> {
        Arc::new(Self {
            output: Output::new(),
            waiting: Waiting::new(),
            live: AtomicBool::new(live),
            sgi: Notify::new(),
        })
    }

    /// Prints as EL2 does for a vCPU: it marks the ring only at a line's end or if the partition is
    /// live.
    fn print(&self, bytes: &[u8]) {
        for &byte in bytes {
            while self.output.put(byte, 4).is_none() {
                thread::yield_now();
            }
            published();
            if (byte == b'\n' || self.live.load(Relaxed)) && self.waiting.mark(0) {
                self.sgi.notify();
            }
        }
    }

    /// Returns whether the console core has something to show.
    fn offers(&self, lines: u32) -> bool {
        let whole = self.live.load(Relaxed) || (lines.wrapping_sub(self.output.lines()) as i32) < 0;
        self.output.used() != 0 && whole
    }

    /// Shows what comes, as the console core, until there are `count` bytes. It sleeps until an SGI
    /// if no partition has anything: a lost SGI makes it wait for ever, which loom reports.
    fn show(&self, count: usize) -> Vec<u8> {
        let (mut shown, mut lines) = (Vec::new(), 0);
        while shown.len() < count {
            if self.offers(lines) {
                match self.output.front() {
                    Front::Guest(byte) => {
                        self.output.take();
                        lines += u32::from(byte == b'\n');
                        shown.push(byte);
                    }
                    // On hardware the core would wait for its timer here.
                    Front::Unfilled => thread::yield_now(),
                    other => panic!("{other:?}"),
                }
            } else {
                self.waiting.clear(0, || self.offers(lines));
                if self.waiting.next(0).is_none() {
                    self.sgi.wait();
                }
            }
        }
        shown
    }
}

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Returns those of `bytes` that one producer wrote, in the order in which they were shown.
fn of(bytes: &[u8], producer: &[u8]) -> Vec<u8> {
    let of = bytes.iter().copied();
    of.filter(|byte| producer.contains(byte)).collect()
}

#[test]
fn two_vcpus_and_a_sleeping_console_core() {
    explore(|| {
        let console = Console::new(true);
        let vcpus = [&b"ab"[..], b"x"].map(|bytes| {
            let console = console.clone();
            thread::spawn(move || console.print(bytes))
        });
        let shown = console.show(3);
        vcpus.into_iter().for_each(|vcpu| vcpu.join().unwrap());
        assert_eq!(of(&shown, b"ab"), b"ab");
        assert_eq!(of(&shown, b"x"), b"x");
        assert_eq!(console.output.front(), Front::Empty);
    });
}

#[test]
fn a_line_is_shown_when_it_ends() {
    explore(|| {
        let console = Console::new(false);
        let vcpus = [&b"a\n"[..], b"x"].map(|bytes| {
            let console = console.clone();
            thread::spawn(move || console.print(bytes))
        });
        // The second vCPU's byte may come after the line's end.
        let shown = console.show(2);
        vcpus.into_iter().for_each(|vcpu| vcpu.join().unwrap());
        assert!(shown == b"a\n" || of(&shown, b"ax").len() == 2, "{shown:?}");
    });
}

#[test]
fn an_unfinished_line_is_shown_when_its_partition_becomes_live() {
    explore(|| {
        let console = Console::new(false);
        let vcpu = {
            let console = console.clone();
            thread::spawn(move || console.print(b"$"))
        };
        // On a command, the console core itself makes the partition live, and looks.
        console.live.store(true, Relaxed);
        console.waiting.mark(0);
        assert_eq!(console.show(1), b"$");
        vcpu.join().unwrap();
    });
}

#[test]
fn slots_are_used_again() {
    explore(|| {
        let console = Console::new(true);
        let vcpu = {
            let console = console.clone();
            thread::spawn(move || {
                for byte in *b"abcdef" {
                    while console.output.put(byte, 2).is_none() {
                        thread::yield_now();
                    }
                }
            })
        };
        let mut shown = Vec::new();
        while shown.len() < 6 {
            match console.output.front() {
                Front::Guest(byte) => {
                    console.output.take();
                    shown.push(byte);
                }
                _ => thread::yield_now(),
            }
        }
        vcpu.join().unwrap();
        assert_eq!(shown, b"abcdef");
    });
}
