//! Tests of the reader of QEMU's log on a made-up one, and of the cutting into entries.

use super::log::LOADED;
use super::*;
use anyhow::Result;

const CODE: Code = Code { base: 0x7000_0000, size: 0x10_0000 };

/// Returns a line as QEMU logs an instruction that runs.
fn ran(core: usize, address: u64) -> String {
    format!("Trace {core}: 0x7fc134000900 [00000000/{address:016x}/00000461/ff022201] \n")
}

fn is(address: u64, opcode: u32, text: &str) -> String {
    format!("----------------\nIN: \n{address:#x}:  {opcode:08x}  {text}\n\n")
}

fn parse(log: &str) -> Result<Trace> {
    Trace::parse(log.as_bytes(), CODE)
}

#[test]
fn code_counts_where_it_was_loaded_and_where_it_moved() {
    let log = [
        is(LOADED, 0x1400_0014, "b        #0x40200050"),
        ran(0, LOADED),
        is(CODE.base + 8, 0xd503_201f, "nop      "),
        ran(1, CODE.base + 8),
        ran(0, 0x4008_0000), // a guest
    ];
    let trace = parse(&log.concat()).expect("a log");
    assert_eq!(trace.cores, [vec![0], vec![8]]);
    assert_eq!(trace.words(0), "b #0x40200050");
    assert_eq!(trace.opcode(8), 0xd503_201f);
}

#[test]
fn what_stopped_before_it_ran_counts_once() {
    let stopped =
        format!("Stopped execution of TB chain before 0x7fc134023500 [{:016x}] \n", CODE.base);
    let nop = is(CODE.base, 0xd503_201f, "nop");
    let run = ran(0, CODE.base);
    let trace = parse(&[&*nop, &run, &stopped, &run].concat()).expect("a log");
    assert_eq!(trace.cores, [[0]]);
}

#[test]
fn a_log_that_is_none_is_refused() {
    assert!(parse("Trace zero: [0/0/0/0]\n").is_err());
    assert!(parse("Trace 0: no brackets\n").is_err());
    assert!(parse("0x12 no colon\n").is_err());
    // The instruction ran, but the log does not have its text.
    assert!(parse(&ran(0, CODE.base)).is_err());
}

/// A trace of one core that ran `(offset, opcode)` in this order.
fn trace(ran: &[(u32, u32)]) -> Trace {
    let mut trace = Trace::default();
    trace.cores.push(Vec::new());
    for &(offset, opcode) in ran {
        trace.cores[0].push(offset);
        let text = String::new();
        trace.name(offset, Instruction { opcode, text });
    }
    trace
}

const NOP: u32 = 0xd503_201f;
const ERET: u32 = 0xd69f_03e0;

#[test]
fn an_entry_lasts_from_vector_to_eret() {
    let vectors = 0x800;
    let trace = trace(&[
        (0, NOP),
        (4, ERET), // boot's end
        (0xc00, NOP),
        (0x10, 0xd518_cba3), // msr icc_sgi1r_el1, x3
        (0x14, ERET),
        (0xc80, NOP),
        (0x18, 0xd53b_9d40), // mrs x0, pmxevcntr_el0
        (0x14, ERET),
        (0xc00, NOP), // still there when the log ends
    ]);
    let entries = entries(&trace, 0, vectors);
    let seen: Vec<_> =
        entries.iter().map(|entry| (entry.at.clone(), entry.vector, entry.sent)).collect();
    assert_eq!(seen, [(2..5, 0x400, Some(2)), (5..8, 0x480, None)]);
    assert_eq!(readings(&trace, 0), [6]);
    assert_eq!(entries::first_return(&trace, 0), Some(2));
}
