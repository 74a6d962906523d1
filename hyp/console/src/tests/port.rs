//! Tests of draining to a real UART, with a model of the hardware's transmitter and its interrupt
//! (DDI 0183G, 2.8, 3.3.9).

use super::*;
use std::cell::{Cell, RefCell};
use std::{collections::VecDeque, string::String};

/// The transmitter of a PL011 with a FIFO of 32 bytes, at level 1/8, that sends a byte in `ticks`.
struct Hardware {
    fifo: RefCell<VecDeque<u8>>,
    sent: RefCell<Vec<u8>>,
    /// TXRIS, and the time when the first byte will have left.
    raised: Cell<bool>,
    leaves: Cell<u64>,
    now: Cell<u64>,
    ticks: u64,
    overruns: Cell<u32>,
}

impl Hardware {
    fn new(ticks: u64) -> Self {
        Self {
            fifo: RefCell::default(),
            sent: RefCell::default(),
            raised: Cell::new(false),
            leaves: Cell::new(0),
            now: Cell::new(0),
            ticks,
            overruns: Cell::new(0),
        }
    }

    /// Lets time pass until `now`.
    fn pass(&self, now: u64) {
        self.now.set(now);
        let mut fifo = self.fifo.borrow_mut();
        while !fifo.is_empty() && self.leaves.get() <= now {
            self.sent.borrow_mut().extend(fifo.pop_front());
            self.leaves.set(self.leaves.get() + self.ticks);
            // The interrupt is raised on the transition through the level, not at it.
            if fifo.len() == 4 {
                self.raised.set(true);
            }
        }
    }
}

impl Port for Hardware {
    fn room(&self) -> u32 {
        match self.fifo.borrow().len() {
            0 => 16,
            32 => 0,
            _ if self.raised.get() => 14,
            _ => 1,
        }
    }

    fn is_low(&self) -> bool {
        self.raised.get()
    }

    fn send(&self, byte: u8) {
        let mut fifo = self.fifo.borrow_mut();
        if fifo.len() == 32 {
            self.overruns.set(self.overruns.get() + 1);
            return;
        }
        if fifo.is_empty() {
            self.leaves.set(self.now.get() + self.ticks);
        }
        fifo.push_back(byte);
        if fifo.len() > 4 {
            self.raised.set(false);
        }
    }
}

struct One(&'static Output, Waiting);

impl Partitions for One {
    fn waiting(&self) -> &Waiting {
        &self.1
    }

    fn output(&self, index: usize) -> Option<&Output> {
        (index == 0).then_some(self.0)
    }

    fn live(&self, _: usize) -> (bool, bool) {
        (true, true)
    }

    fn stopped(&self, _: usize) -> bool {
        false
    }
}

/// With UARTs slower and faster than the console core's share, every byte arrives in order, and EL2
/// is entered for fewer times than there are bytes.
#[test]
fn a_drain_by_interrupt_sends_every_byte() {
    for (ticks, lines) in [(1, 4000), (50, 4000), (5000, 500)] {
        let (output, uart) = (output(), Hardware::new(ticks));
        let (mut mux, mut pace) = (Mux::default(), Pace::new(10, 62_500_000));
        mux.set_patience(62_500);
        let one = One(output, FromZeros::new_zeroed());
        let text: String = (0..lines).map(|n| std::format!("line {n}\n")).collect();
        let mut left = text.bytes().peekable();
        let (mut now, mut entries, mut interrupt, mut timer) = (0u64, 0u32, false, None);
        let mut told = false;
        while left.peek().is_some() || output.used() != 0 || timer.is_some() || interrupt {
            now += 1;
            // The guest writes in bursts, when there is room.
            if now % 1000 == 0 {
                while let Some(&byte) = left.peek()
                    && output.put(byte, ROOM).is_some()
                {
                    left.next();
                    told |= one.1.mark(0);
                }
            }
            uart.pass(now);
            let by_interrupt = interrupt && uart.raised.get();
            if !told && !by_interrupt && timer.is_none_or(|at| now < at) {
                continue;
            }
            (told, timer, interrupt) = (false, None, false);
            entries += 1;
            if let Some(at) = pace.wait(now) {
                timer = Some(at);
                continue;
            }
            match mux.drain(16, now, &uart, &one) {
                After::More => timer = Some(pace.charge(now, now + 20)),
                After::Full => {
                    pace.charge(now, now + 20);
                    interrupt = true;
                }
                After::Nothing => {
                    timer = one.1.next(0).map(|_| now + 62_500);
                }
            }
        }
        uart.pass(u64::MAX / 2);
        let sent = String::from_utf8(uart.sent.take()).unwrap();
        assert_eq!(uart.overruns.get(), 0);
        let shown = sent.replace(BREAK, "\n");
        let same = shown.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
        assert!(
            shown == text,
            "{same} the same, {} of {} bytes at {ticks}",
            shown.len(),
            text.len()
        );
        let most = sent.len() as u32;
        assert!(entries < most, "{entries} entries for {} bytes", sent.len());
    }
}
