//! Spans between two readings of EL2's counter, kept until the last measurement, because printing
//! enters EL2.

use alloc::vec::Vec;

use abi::call;
use rt::{fail, hv, println, smp};

/// One measurement.
#[derive(Clone, Copy, Debug)]
struct Span {
    name: &'static str,
    /// How many readings this vCPU had made before the span's first one.
    reading: u32,
    count: u32,
    work: u32,
}

/// Measures on the vCPU that made it.
pub struct Meter {
    vcpu: usize,
    readings: u32,
    spans: Vec<Span>,
}

impl Meter {
    /// Makes a meter for the calling vCPU, which must not have read the counter before.
    pub fn new() -> Self {
        let mut meter = Self { vcpu: smp::vcpu(), readings: 0, spans: Vec::with_capacity(64) };
        // The cost of a reading itself, which is subtracted from every other span.
        meter.span("reading", 1, |_| ());
        meter
    }

    /// Returns EL2's instructions on this core so far.
    fn read(&mut self) -> u32 {
        self.readings += 1;
        let answer = hv::hvc(call::EL2_INSTRUCTIONS.into(), [0; 3])[0];
        u32::try_from(answer).unwrap_or_else(|_| fail!("this core has no PMU that EL2 can use"))
    }

    /// Measures `count` repetitions of `operation`, which gets their numbers from 0 on.
    pub fn span(&mut self, name: &'static str, count: u32, mut operation: impl FnMut(u32)) {
        let reading = self.readings;
        let before = self.read();
        for number in 0..count {
            operation(number);
        }
        let work = self.read().wrapping_sub(before);
        self.spans.push(Span { name, reading, count, work });
    }

    /// Prints `span NAME VCPU READING COUNT WORK` for each span.
    pub fn print(&self) {
        for span in &self.spans {
            println!(
                "span {} {} {} {} {}",
                span.name, self.vcpu, span.reading, span.count, span.work
            );
        }
    }
}
