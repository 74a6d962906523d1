// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes the report's lines: docs/hil.md describes them.

use core::arch::asm;
use core::fmt::{Arguments, Write};
use core::hint::black_box;

use aarch64_cpu::registers::{CNTPCT_EL0, ID_AA64DFR0_EL1, MIDR_EL1, MPIDR_EL1, Readable};
use report::{Histogram, PAYLOAD, Text, VERSION};
use rt::{Tree, interrupt, println, timer};

use crate::plan::{Kind, Path, Row};

/// Bytes that a console at 115200 baud sends in a second.
const RATE: u64 = 11_520;
/// Instructions of the chain that gives the core's clock, each of which needs the one before.
const CHAIN: u64 = 16;
/// Repetitions of the chain.
const LINKS: u64 = 10_000;

/// A report that is being written.
pub struct Output {
    nonce: u64,
    sequence: u32,
    rows: u32,
    /// Bytes since the last pause.
    bytes: u64,
}

impl Output {
    /// Writes the first line.
    pub fn begin(nonce: u64, samples: u32, rows: u32) -> Self {
        let mut output = Self { nonce, sequence: 0, rows: 0, bytes: 0 };
        output.line(format_args!(
            "begin nonce={nonce:016x} version={VERSION} rows={rows} samples={samples}"
        ));
        output
    }

    fn line(&mut self, payload: Arguments) {
        let mut text = Text::new();
        report::line(&mut text, self.nonce, self.sequence, payload);
        println!("{}", text.as_str());
        self.sequence += 1;
        // EL2 puts the partition's name before the line, in colour.
        self.bytes += text.len() as u64 + 20;
    }

    /// Writes what the machine is, and two checks of its clocks: the physical and the virtual
    /// counter over the same time, and a chain of dependent instructions against the counter.
    pub fn machine(&mut self, tree: &Tree) {
        let gic = tree.gic_node().map_or(0, |gic| gic.version);
        self.line(format_args!(
            "machine hz={} midr={:x} mpidr={:x} gic={gic} pmu={}",
            timer::frequency(),
            MIDR_EL1.get(),
            MPIDR_EL1.get(),
            ID_AA64DFR0_EL1.read(ID_AA64DFR0_EL1::PMUVer),
        ));
        let (physical, start) = (CNTPCT_EL0.get(), timer::now());
        let (mut least, mut now) = (u64::MAX, start);
        while now < start + timer::milliseconds(20) {
            chain();
            let after = timer::now();
            // An interruption makes a repetition longer, never shorter.
            least = least.min(after - now);
            now = after;
        }
        let (virtual_ticks, physical_ticks) = (now - start, CNTPCT_EL0.get() - physical);
        let hz = CHAIN * LINKS * timer::frequency() / least.max(1);
        self.line(format_args!(
            "check virtual={virtual_ticks} physical={physical_ticks} chain-hz={hz}"
        ));
        self.settle();
    }

    /// Writes a row's distribution. `part` names it where the row has two.
    pub fn row(&mut self, row: &Row, part: &str, values: &Histogram) {
        let id = self.rows;
        self.rows += 1;
        let name = row.kind.name();
        let burst = if row.kind == Kind::Stream { row.burst() } else { 1 };
        let path = match row.path {
            Path::Direct => "direct",
            Path::Relayed => "relayed",
        };
        self.line(format_args!(
            "row id={id} name={name}{part} way={} path={path} load={} bytes={} burst={burst}",
            row.way.word(),
            row.load.name(),
            row.bytes,
        ));
        let Histogram { count, min, max, sum, .. } = values;
        self.line(format_args!("sum id={id} count={count} min={min} max={max} sum={sum}"));
        let mut text = Text::new();
        for (bucket, count) in values.buckets() {
            // 20 more bytes are room for one pair, and for the line's first words.
            if text.len() + 20 + 20 > PAYLOAD {
                self.line(format_args!("h id={id}{}", text.as_str()));
                text = Text::new();
            }
            // A text does not fail.
            let _ = write!(text, " {bucket}:{count}");
        }
        self.line(format_args!("h id={id}{}", text.as_str()));
        self.settle();
    }

    /// Writes the last line.
    pub fn end(&mut self) {
        let (lines, rows) = (self.sequence + 1, self.rows);
        self.line(format_args!("end lines={lines} rows={rows}"));
    }

    /// Waits until the UART has sent the lines, so that it does not send during a measurement.
    fn settle(&mut self) {
        let until = timer::now() + self.bytes * timer::frequency() / RATE;
        self.bytes = 0;
        while interrupt::wait_until(until).is_some() {
            while rt::console::read().is_some() {}
        }
    }
}

/// Adds numbers in such an order that each addition waits for the one before: a core needs one
/// cycle for each.
fn chain() {
    let mut value = black_box(0u64);
    for _ in 0..LINKS {
        // SAFETY: the instructions only add to a register.
        unsafe {
            asm!(
                ".rept {count}",
                "add {value}, {value}, #1",
                ".endr",
                count = const CHAIN,
                value = inout(reg) value,
                options(nomem, nostack, preserves_flags),
            );
        }
    }
    black_box(value);
}
