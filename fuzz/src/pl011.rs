//! Target `pl011`: guests' accesses to their emulated PL011, EL2's own lines and the console core's draining in any
//! order. Whatever guests write, a line of the terminal starts with its author's name.

use arbitrary::{Arbitrary, Unstructured};
use console::{Mux, PREFIX, Pl011, Progress, Rings, Source};

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
    /// Drains: patient, budget, bytes the UART takes.
    Drain(bool, u8, u16),
}

/// Input: steps.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let rings: [Box<Rings>; 2] = Default::default();
    let uarts: [Pl011; 2] = Default::default();
    let mut mux = Mux::default();
    let mut shown = Vec::new();
    for step in input.arbitrary_iter::<Step>().into_iter().flatten() {
        let Ok(step) = step else { break };
        match step {
            Step::Read(core, offset) => {
                let ring = &rings[usize::from(core)].guest;
                let before = ring.len();
                uarts[usize::from(core)].read(offset.into(), ring);
                assert_eq!(ring.len(), before, "a read sends");
            }
            Step::Write(core, offset, value) => {
                write(
                    &uarts[usize::from(core)],
                    &rings[usize::from(core)],
                    offset,
                    value,
                );
            }
            Step::Say(core, bytes) => {
                for byte in bytes {
                    write(
                        &uarts[usize::from(core)],
                        &rings[usize::from(core)],
                        0,
                        byte.into(),
                    );
                }
            }
            Step::El2(core, length) => {
                rings[usize::from(core)]
                    .el2
                    .push_line(&b"x".repeat(length.into()));
            }
            Step::Drain(patient, budget, mut room) => {
                drain(&mut mux, &rings, patient, budget.into(), |byte| {
                    let takes = room != 0;
                    room = room.saturating_sub(1);
                    if takes {
                        shown.push(byte);
                    }
                    takes
                });
            }
        }
    }
    let progress = drain(&mut mux, &rings, false, u32::MAX, |byte| {
        shown.push(byte);
        true
    });
    assert_eq!(progress, Progress::Idle);
    for line in shown.split(|&byte| byte == b'\n') {
        lawful(line);
    }
}

/// A store of a guest, and what must hold after it.
fn write(uart: &Pl011, rings: &Rings, offset: u16, value: u32) {
    let ring = &rings.guest;
    let before = ring.len();
    uart.write(offset.into(), value, ring);
    let most = u32::from(offset == 0);
    assert!(
        ring.len() - before <= most,
        "a register that is not DR sends"
    );
    assert!(
        !uart.level(ring) || uart.read(0x40, ring) != 0,
        "an interrupt that MIS does not show"
    );
}

fn drain(
    mux: &mut Mux,
    rings: &[Box<Rings>; 2],
    patient: bool,
    budget: u32,
    emit: impl FnMut(u8) -> bool,
) -> Progress {
    let source = |core: usize| {
        Some(Source {
            rings: rings.get(core)?,
            name: NAMES.get(core)?.as_bytes(),
            colour: 31 + core as u32,
        })
    };
    mux.drain(NAMES.len(), source, patient, budget, emit)
}

/// A line starts as EL2 starts lines, and holds no control byte behind that.
fn lawful(line: &[u8]) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut starts = vec![PREFIX.as_bytes().to_vec()];
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
    let lawful = |byte: &u8| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..);
    assert!(rest.iter().all(lawful), "a control byte: {rest:?}");
}
