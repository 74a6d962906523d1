//! Target `pl011`: guests' accesses to their emulated PL011, what is typed for them, EL2's own lines and the console core's
//! part in any order. Whatever guests write, a line of the terminal starts with its author's name or goes on.

use arbitrary::{Arbitrary, Unstructured};
use console::{Keys, Mux, PREFIX, Pl011, Printer, Ring, Typed};
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
    /// Keys, for the first partition or the second.
    Type(bool, Vec<u8>),
    /// Which partition is live.
    Live(Option<bool>),
    /// Drains so many bytes.
    Drain(u16),
}

/// One core: its guest's PL011, its printer, its rings.
struct Core<'a> {
    uart: Pl011,
    printer: Printer<'a>,
    output: &'a Ring,
    input: &'a Ring,
}

impl<'a> Core<'a> {
    fn new([output, input]: &'a [Ring; 2], name: &'a str, colour: u32) -> Self {
        Self {
            uart: Pl011::default(),
            printer: Printer::new(output, name.as_bytes(), colour),
            output,
            input,
        }
    }

    fn read(&self, offset: u64) {
        let (sent, typed) = (self.output.waiting(), self.input.waiting());
        self.uart.read(offset, &self.printer, self.input);
        assert_eq!(self.output.waiting(), sent, "a read sends");
        let taken = typed - self.input.waiting();
        assert!(taken == 0 || taken == 1 && offset < 4, "a read takes");
    }

    /// A store of the guest, and what must hold after it.
    fn write(&mut self, offset: u64, value: u32, live: bool) {
        self.uart.write(offset, value, self.input);
        if offset == 0 {
            self.printer.print(value as u8, live, false);
        }
        let (printer, input) = (&self.printer, self.input);
        let shown = self.uart.read(0x40, printer, input) != 0;
        assert_eq!(
            self.uart.level(printer, input),
            shown,
            "a level that MIS does not show"
        );
    }
}

/// Input: steps.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let rings: [[Ring; 2]; 2] = FromZeros::new_zeroed();
    let [left, right] = NAMES;
    let mut cores = [
        Core::new(&rings[0], left, 31),
        Core::new(&rings[1], right, 32),
    ];
    let (mut mux, mut keys) = (Mux::default(), Keys::default());
    let (mut live, mut ever_live) = (None, false);
    let mut shown = Vec::new();
    for step in input.arbitrary_iter::<Step>().into_iter().flatten() {
        let Ok(step) = step else { break };
        match step {
            Step::Read(core, offset) => cores[usize::from(core)].read(offset.into()),
            Step::Write(core, offset, value) => {
                cores[usize::from(core)].write(offset.into(), value, live == Some(core));
            }
            Step::Say(core, bytes) => {
                for byte in bytes {
                    cores[usize::from(core)].write(0, byte.into(), live == Some(core));
                }
            }
            Step::El2(core, length) => {
                let mut line = console::Line::default();
                for _ in 0..length {
                    line.byte(b'x');
                }
                cores[usize::from(core)].printer.say(&line);
            }
            Step::Type(core, bytes) => {
                let ring = cores[usize::from(core)].input;
                for byte in bytes {
                    let before = ring.put_in();
                    let typed = keys.take(Some(ring), || Some(byte));
                    let put = ring.put_in().wrapping_sub(before);
                    assert_eq!(put, u32::from(typed == Some(Typed::Text)), "{typed:?}");
                }
            }
            Step::Live(core) => {
                live = core;
                ever_live |= core.is_some();
            }
            Step::Drain(count) => drain(&mut mux, &cores, count.into(), &mut shown),
        }
    }
    for core in &mut cores {
        core.printer.end();
    }
    // A line that is live holds the others up to the end of a drain.
    for _ in 0..4 {
        drain(&mut mux, &cores, usize::MAX, &mut shown);
    }
    assert!(cores.iter().all(|core| core.output.waiting() == 0));
    for line in shown.split(|&byte| byte == b'\n') {
        lawful(line, ever_live);
    }
}

fn drain(mux: &mut Mux, cores: &[Core<'_>; 2], count: usize, shown: &mut Vec<u8>) {
    let waiting = || {
        let waits = |core: usize| u32::from(cores[core].output.waiting() != 0) << core;
        waits(0) | waits(1)
    };
    let next = |step| mux.next(step == 0, waiting(), |core| cores[core].output.pop());
    shown.extend((0..count).map_while(next));
}

/// A line starts as EL2 starts lines, and holds no control byte behind that unless its guest was live.
fn lawful(line: &[u8], ever_live: bool) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut starts = vec![PREFIX.as_bytes().to_vec(), b"... ".to_vec()];
    for (core, name) in NAMES.iter().enumerate() {
        starts.push(format!("\x1b[{}m[{name}]\x1b[0m ", 31 + core).into_bytes());
    }
    let rest = starts
        .iter()
        .find_map(|start| line.strip_prefix(&start[..]));
    let rest = rest.unwrap_or_else(|| {
        assert!(line.is_empty(), "a line without an author: {line:?}");
        line
    });
    let rest = rest.strip_suffix(b"\x18\x0f\x1b(B\x1b[0m").unwrap_or(rest);
    let lawful = |byte: &u8| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..);
    assert!(
        ever_live || rest.iter().all(lawful),
        "a control byte: {rest:?}"
    );
}
