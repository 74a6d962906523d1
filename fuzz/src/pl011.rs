//! Target `pl011`: guests' accesses to their emulated PL011, console input for them, EL2's own
//! lines and the console core's part in any order. With any output of guests, a line of the
//! terminal starts with its author's name or continues one.

use arbitrary::{Arbitrary, Unstructured};
use console::{Keys, LINE, Mux, Output, PREFIX, Partitions, Pl011, Ring, Typed, Waiting};
use zerocopy::FromZeros;

/// Partitions, one core each.
const NAMES: [&str; 2] = ["left", "right"];

#[derive(Arbitrary, Debug)]
enum Step {
    Read(bool, u16),
    Write(bool, u16, u32),
    /// Bytes written to DR.
    Say(bool, Vec<u8>),
    /// A line of EL2's.
    El2(bool, u8),
    /// Keys for the first partition or the second.
    Type(bool, Vec<u8>),
    /// Sets which partition is live.
    Live(Option<bool>),
    /// Drains this number of bytes.
    Drain(u16),
}

/// One partition: its guest's PL011, its rings.
struct Partition {
    uart: Pl011,
    output: Output,
    input: Ring,
}

/// The machine: its partitions, and the one that is live.
struct Machine {
    partitions: [Partition; 2],
    waiting: Waiting,
    live: Option<bool>,
    stopped: bool,
}

impl Partitions for Machine {
    fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    fn output(&self, index: usize) -> Option<&Output> {
        Some(&self.partitions.get(index)?.output)
    }

    fn live(&self, index: usize) -> (bool, bool) {
        (self.live == Some(index == 1), false)
    }

    fn stopped(&self, _: usize) -> bool {
        self.stopped
    }
}

impl Partition {
    fn new() -> Self {
        Self {
            uart: Pl011::default(),
            output: FromZeros::new_zeroed(),
            input: FromZeros::new_zeroed(),
        }
    }

    fn read(&self, offset: u64) {
        let (sent, typed) = (self.output.used(), self.input.waiting());
        self.uart.read(offset, &self.output, &self.input);
        assert_eq!(self.output.used(), sent, "a read sends");
        let taken = typed - self.input.waiting();
        assert!(taken == 0 || taken == 1 && offset < 4, "a read takes");
    }

    /// Stores like the guest, and checks the state after it. Returns true if the console core must
    /// be woken.
    fn write(&mut self, offset: u64, value: u32, live: bool) -> bool {
        let (output, input) = (&self.output, &self.input);
        let before = self.uart.line(output, input).0;
        let mut wakes = false;
        if offset == 0 {
            let full = self.uart.read(0x18, output, input) & 1 << 5 != 0;
            let used = self.uart.send(value as u8, output);
            assert!(full || used.is_some(), "lost, and FR said there was room");
            if let Some(used) = used {
                wakes = live || value as u8 == b'\n' || used >= LINE;
                let changed = self.uart.changed_by(used, output);
                let after = self.uart.line(output, input).0;
                assert!(changed || after == before, "the line changed unseen");
            }
        } else {
            self.uart.write(offset, value, output, input);
        }
        let shown = self.uart.read(0x40, output, input) != 0;
        assert_eq!(self.uart.line(output, input).0, shown, "a level that MIS does not show");
        wakes
    }
}

/// Runs one input: steps.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut machine = Machine {
        partitions: [Partition::new(), Partition::new()],
        waiting: FromZeros::new_zeroed(),
        live: None,
        stopped: false,
    };
    let (mut mux, mut keys) = (Mux::default(), Keys::default());
    for ((index, name), colour) in NAMES.iter().enumerate().zip(31..) {
        mux.set_name(index, name.as_bytes(), colour);
    }
    let mut ever_live = false;
    let mut shown = Vec::new();
    for step in input.arbitrary_iter::<Step>().into_iter().flatten() {
        let Ok(step) = step else { break };
        let Machine { partitions, waiting, live, .. } = &mut machine;
        match step {
            Step::Read(at, offset) => partitions[usize::from(at)].read(offset.into()),
            Step::Write(at, offset, value) => {
                if partitions[usize::from(at)].write(offset.into(), value, *live == Some(at)) {
                    waiting.mark(at.into());
                }
            }
            Step::Say(at, bytes) => {
                for byte in bytes {
                    if partitions[usize::from(at)].write(0, byte.into(), *live == Some(at)) {
                        waiting.mark(at.into());
                    }
                }
            }
            Step::El2(at, length) => {
                let line = vec![b'x'; length.into()];
                let output = &partitions[usize::from(at)].output;
                output.say(&[PREFIX.as_bytes(), &line, b"\r\n"]);
                waiting.mark(at.into());
            }
            Step::Type(at, bytes) => {
                let ring = &partitions[usize::from(at)].input;
                for byte in bytes {
                    let before = ring.put_in();
                    let typed = keys.take(Some(ring), 0, 1, || Some(byte));
                    let put = ring.put_in().wrapping_sub(before);
                    assert_eq!(put, u32::from(typed == Some(Typed::Text)), "{typed:?}");
                }
            }
            Step::Live(at) => {
                *live = at;
                ever_live |= at.is_some();
                if let Some(at) = at {
                    waiting.mark(at.into());
                }
            }
            Step::Drain(count) => drain(&mut mux, &machine, count.into(), &mut shown),
        }
    }
    machine.stopped = true;
    for (index, partition) in (0..).zip(&machine.partitions) {
        partition.output.end();
        machine.waiting.mark(index);
    }
    drain(&mut mux, &machine, usize::MAX, &mut shown);
    let used = machine.partitions.iter().map(|partition| partition.output.used());
    assert_eq!(used.sum::<u32>(), 0, "bytes are left");
    for line in shown.split(|&byte| byte == b'\n') {
        lawful(line, ever_live);
    }
}

fn drain(mux: &mut Mux, machine: &Machine, steps: usize, shown: &mut Vec<u8>) {
    for _ in 0..steps {
        if mux.step(10, 0, |byte| shown.push(byte), machine).is_none() {
            return;
        }
    }
}

/// Checks that a line starts as EL2 starts lines, and has no control byte after that unless its
/// guest was live.
fn lawful(line: &[u8], ever_live: bool) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut starts = vec![PREFIX.as_bytes().to_vec(), b"... ".to_vec()];
    for (core, name) in NAMES.iter().enumerate() {
        starts.push(format!("\x1b[{}m[{name}]\x1b[0m ", 31 + core).into_bytes());
    }
    let rest = starts.iter().find_map(|start| line.strip_prefix(&start[..]));
    let rest = rest.unwrap_or_else(|| {
        assert!(line.is_empty(), "a line without an author: {line:?}");
        line
    });
    let rest = rest.strip_suffix(b"\x18\x0f\x1b(B\x1b[0m").unwrap_or(rest);
    let lawful = |byte: &u8| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..);
    assert!(ever_live || rest.iter().all(lawful), "a control byte: {rest:?}");
}
