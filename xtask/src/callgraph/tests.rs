// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checks can fail: tiny hand-made programs with one fault each.

use super::checks::{CORE_STACK, Entries, Lists, look};
use super::code::{Code, Symbol};
use super::decode::{Instruction, decode};
use super::lists::{Branch, Does, Indirect, Open};
use super::report::Report;
use super::silicon::is_exclusive;

const RET: u32 = 0xd65f_03c0;
const NOP: u32 = 0xd503_201f;
const ERET: u32 = 0xd69f_03e0;
const BLR_X8: u32 = 0xd63f_0100;
const BR_X1: u32 = 0xd61f_0020;
const WFI_LOOP: u32 = 0x1400_0000;
/// `STP x29, x30, [sp, #-16]!` and `LDP x29, x30, [sp], #16`.
const SAVE: u32 = 0xa9bf_7bfd;
const RESTORE: u32 = 0xa8c1_7bfd;

/// `BL` by this number of instructions.
const fn bl(words: i32) -> u32 {
    0x9400_0000 | words as u32 & 0x3ff_ffff
}

/// `B` by this number of instructions.
const fn b(words: i32) -> u32 {
    0x1400_0000 | words as u32 & 0x3ff_ffff
}

/// `SUB sp, sp, #bytes`.
const fn down(bytes: u32) -> u32 {
    if bytes < 4096 { 0xd100_03ff | bytes << 10 } else { 0xd140_03ff | (bytes >> 12) << 10 }
}

/// A program of consecutive functions. Firmware enters the first.
fn program(functions: &[(&str, &[u32])]) -> Code {
    let mut code = Code::default();
    for (name, words) in functions {
        let symbol = Symbol { name: (*name).to_string(), is_function: true };
        code.symbols.insert(code.words.len() as u32 * 4, symbol);
        code.words.extend(*words);
    }
    code
}

const NOTHING: Lists = Lists { indirect: Vec::new(), open: &[], panics: &[] };

/// Returns the checks' result for a program that is entered at its start.
fn checked(code: &Code, lists: &Lists) -> Result<Report, String> {
    let entries = Entries { starts: vec![0], vectors: Vec::new(), unmapped: 1, mapped: None };
    let line = |at: u32| Some(format!("a.rs:{}", at / 4));
    look(code, lists, &entries, &line).map_err(|error| format!("{error:#}"))
}

fn refused(code: &Code, lists: &Lists) -> String {
    checked(code, lists).err().expect("it must be refused")
}

const fn call(from: &'static str, to: &'static str) -> Open {
    Open { from, to, why: "made up for this test" }
}

const fn branch(symbol: &'static str, branch: Branch, does: Does) -> Indirect {
    Indirect { symbol, branch, count: 1, gic: &[3], does, why: "made up for this test" }
}

/// `start` calls `a`, `a` calls `b`, which calls `a` again.
fn recursive() -> Code {
    program(&[
        ("start", &[bl(2), WFI_LOOP]),
        ("a", &[SAVE, bl(3), RESTORE, RET]),
        ("b", &[SAVE, bl(-5), RESTORE, RET]),
    ])
}

#[test]
fn instructions_are_decoded() {
    let cases = [
        (0x1400_0001, Instruction::Branch(4)),
        (0x17ff_ffff, Instruction::Branch(-4)),
        (0x97ff_fffe, Instruction::Call(-8)),
        (0x5400_3002, Instruction::Conditional(0x600)), // b.hs
        (0xb400_2e69, Instruction::Conditional(0x5cc)), // cbz x9
        (0x3607_ffe7, Instruction::Conditional(-4)),    // tbz w7, #0
        (0xd61f_0060, Instruction::Jump(3)),
        (BLR_X8, Instruction::CallRegister(8)),
        (0xd65f_00c0, Instruction::Return(6)),
        (RET, Instruction::Return(30)),
        (ERET, Instruction::ExceptionReturn),
        (0xd65f_0bff, Instruction::Unknown), // retaa
        (0, Instruction::Trap),
        (0xd420_0020, Instruction::Trap),
        (0x1000_0041, Instruction::Address(1, 8)),
        (0x7000_0041, Instruction::Address(1, 11)),
        (0x10ff_ffe3, Instruction::Address(3, -4)),
        (0xb000_0001, Instruction::Page(1, 1)),
        (0xd100_c3ff, Instruction::Push(48)),
        (0xd140_0bff, Instruction::Push(8192)),
        (0x9104_03ff, Instruction::Push(-256)),
        (0x9100_003f, Instruction::SetStack(1, 0)),
        (0xd104_003f, Instruction::SetStack(1, -256)),
        (0x9100_03fd, Instruction::Other),      // mov x29, sp
        (0xf104_03ff, Instruction::Other),      // cmp sp, #256
        (0xa9b0_07e0, Instruction::Push(256)),  // stp x0, x1, [sp, #-256]!
        (0xa8d0_07e0, Instruction::Push(-256)), // ldp x0, x1, [sp], #256
        (0xa901_0fe2, Instruction::Other),      // stp x2, x3, [sp, #16]
        (0xf81f_0ffe, Instruction::Push(16)),   // str x30, [sp, #-16]!
        (0xf841_07fe, Instruction::Push(-16)),  // ldr x30, [sp], #16
        (0xf940_07e1, Instruction::Other),      // ldr x1, [sp, #8]
        (0xcb28_63ff, Instruction::Unknown),    // sub sp, sp, x8
        (0x927c_ed1f, Instruction::Unknown),    // and sp, x8, #~15
        (0xf27c_ed1f, Instruction::Other),      // tst x8, #~15
        (NOP, Instruction::Other),
    ];
    for (word, instruction) in cases {
        assert_eq!(decode(word), instruction, "{word:#010x}");
    }
}

#[test]
fn a_program_without_faults_passes() {
    let code = program(&[
        ("start", &[down(32), bl(2), WFI_LOOP]),
        ("a", &[SAVE, bl(3), RESTORE, RET]),
        ("b", &[SAVE, RESTORE, RET]),
    ]);
    let report = checked(&code, &NOTHING).expect("it passes");
    assert!(report.fits());
    assert_eq!(report.stacks[0].bytes, 64);
    let path = "start 32 > a 48 > b 64";
    assert!(report.to_string().contains(path), "{report}");
}

#[test]
fn recursion_is_refused() {
    let error = refused(&recursive(), &NOTHING);
    assert_eq!(error, "EL2 is recursive:\n  a (a.rs:3) -> b (a.rs:7) -> a");
    // Recursion by branches, and of a function by itself.
    let tail = program(&[
        ("start", &[bl(1)]),
        ("a", &[b(1)]),
        ("b", &[b(-1)]),
        ("c", &[SAVE, bl(-1), RESTORE, RET]),
    ]);
    let error = refused(&tail, &NOTHING);
    assert!(error.ends_with("\n  a (a.rs:1) -> b (a.rs:2) -> a\n  c (a.rs:4) -> c"), "{error}");
}

#[test]
fn open_recursion_must_be_there() {
    let (there, gone) = ([call("b", "a")], [call("start", "a")]);
    let open = |open| Lists { open, ..NOTHING };
    let report = checked(&recursive(), &open(&there)).expect("it is listed");
    assert_eq!(report.stacks[0].bytes, 32);
    let shown = report.to_string();
    assert!(shown.contains("recursion by b -> a: made up"), "{shown}");
    let error = refused(&recursive(), &open(&gone));
    assert!(
        error.starts_with("start -> a does not close a cycle any more: remove it from"),
        "{error}"
    );
}

#[test]
fn indirect_branches_must_be_listed() {
    let code = program(&[("start", &[bl(2), WFI_LOOP]), ("a", &[SAVE, BLR_X8])]);
    let error = refused(&code, &NOTHING);
    assert!(error.ends_with("\n  a (a.rs:3): BLR at 0xc is not listed"), "{error}");
    let stale = branch("start", Branch::Jump, Does::JumpsToTaken);
    let listed = branch("a", Branch::Call, Does::JumpsToTaken);
    let lists = Lists { indirect: vec![&stale, &listed], ..NOTHING };
    let error = refused(&code, &lists);
    assert!(error.ends_with("\n  start: BR is listed 1 times and found 0 times"), "{error}");
    let lists = Lists { indirect: vec![&listed], ..NOTHING };
    checked(&code, &lists).expect("it is listed");
}

#[test]
fn a_table_is_jumped_into_with_a_bounded_index() {
    // and x0, x0, #15; adr x1, table; add x1, x1, x0, lsl #3; br x1
    let jump = [0x9240_0c00, 0x1000_0061, 0x8b00_0c21, BR_X1];
    let start = [&jump[..], &[NOP, WFI_LOOP].repeat(16)].concat();
    let listed = branch("start", Branch::Jump, Does::JumpsByTable);
    let lists = Lists { indirect: vec![&listed], ..NOTHING };
    checked(&program(&[("start", &start)]), &lists).expect("the index is bounded");
    for (at, word) in [(0, NOP), (0, 0x9240_1c00), (1, NOP), (2, 0x8b00_0821)] {
        let mut words = start.clone();
        words[at] = word;
        let error = refused(&program(&[("start", &words)]), &lists);
        assert!(error.contains("not a jump into a table"), "{error}");
    }
    // One pair is missing.
    let error = refused(&program(&[("start", &start[..34])]), &lists);
    assert!(error.contains("which is not code"), "{error}");
}

#[test]
fn a_fault_of_el2_adds_to_either_stack() {
    // adrp x1, boot_stack_top; mov sp, x1
    let boot = [0x9000_0001, 0x9100_003f, down(64), WFI_LOOP];
    let mut code = program(&[("start", &boot), ("fault", &[down(48), WFI_LOOP])]);
    code.boot_stack = (0, 112);
    let entries = Entries { starts: vec![0], vectors: vec![16], unmapped: 1, mapped: None };
    let looked = |code: &Code| look(code, &NOTHING, &entries, &|_| None);
    let report = looked(&code).expect("it passes");
    let bytes: Vec<_> = report.stacks.iter().map(|stack| stack.bytes).collect();
    assert_eq!((bytes, report.fits()), (vec![48, 112], true));
    code.boot_stack.1 -= 1;
    assert!(!looked(&code).expect("it passes").fits());
    code.boot_stack.0 += 16;
    assert!(looked(&code).is_err());
}

#[test]
fn a_stack_that_overflows_is_refused() {
    let most = CORE_STACK as u32;
    let deep = |more: u32| {
        program(&[
            ("start", &[down(most - 4096), bl(2), WFI_LOOP]),
            ("a", &[down(4096 - 16), down(more), bl(1)]),
            ("b", &[WFI_LOOP]),
        ])
    };
    assert!(checked(&deep(16), &NOTHING).expect("no other fault").fits());
    let report = checked(&deep(32), &NOTHING).expect("no other fault");
    assert!(!report.fits());
    let shown = format!("core's stack: {} OVER the {most} bytes", most + 16);
    assert!(report.to_string().contains(&shown), "{report}");
}

#[test]
fn stacks_of_unknown_depth_are_refused() {
    let cases: [(&[u32], &str); 5] = [
        (&[SAVE, b(-1)], "it is pushed to in a loop"),
        (&[0xcb28_63ff, WFI_LOOP], "is an unknown instruction"),
        (&[SAVE, RET], "returns with 16 bytes on the stack"),
        (&[SAVE, ERET], "entered at 0xc with 16 bytes on the stack"),
        (&[NOP], "which is not code"),
    ];
    let eret = branch("a", Branch::ExceptionReturn, Does::EntersGuest);
    for (words, expected) in cases {
        let code = program(&[("start", &[bl(2), WFI_LOOP]), ("a", words)]);
        let lists = Lists {
            indirect: [&eret].into_iter().filter(|_| words.contains(&ERET)).collect(),
            ..NOTHING
        };
        let error = refused(&code, &lists);
        assert!(error.contains(expected), "{error}");
    }
    let error = refused(&program(&[("start", &[RET])]), &NOTHING);
    assert_eq!(error, "start returns, but nothing called it");
}

#[test]
fn panics_are_refused() {
    let code = program(&[
        ("start", &[bl(1)]),
        ("a", &[bl(1)]),
        ("core::panicking::panic_fmt", &[WFI_LOOP]),
    ]);
    let error = refused(&code, &NOTHING);
    assert_eq!(error, "EL2 may panic: start (a.rs:0) -> a (a.rs:1) -> core::panicking::panic_fmt");
    let listed = [call("a", "core::panicking::panic_fmt")];
    let stale = [call("start", "core::panicking::panic_fmt")];
    let panics = |panics| Lists { panics, ..NOTHING };
    checked(&code, &panics(&listed)).expect("it is listed");
    let error = refused(&code, &panics(&stale));
    assert!(error.contains("does not panic any more: remove"), "{error}");
}

/// `LDXR w0, [x1]`.
const LDXR: u32 = 0x885f_7c20;
/// `LDR x4, [x5]`.
const LDR: u32 = 0xf940_00a4;

#[test]
fn exclusive_accesses_are_decoded() {
    // LDXR, STLXR, LDAXP, CASP, CASAL, LDADDAL, SWP.
    let exclusive = [LDXR, 0x8800_fc20, 0xc87f_8c20, 0x4820_7c22, 0xc8e0_fc22, 0xf8e0_0022];
    assert!(exclusive.into_iter().chain([0xb820_8022]).all(is_exclusive));
    // LDAR, STLR, LDAPR, LDR, STP, LDRB with a register offset.
    let others = [0x88df_fc20, 0x889f_fc20, 0xb8bf_c020, LDR, 0xa900_0440, 0x3862_6820];
    assert!(!others.into_iter().any(is_exclusive));
}

#[test]
fn an_exclusive_access_before_the_mmu_is_on_is_refused() {
    // `start` calls `a`, and then enters `run` with the MMU on.
    let code = |a: u32, run: u32| {
        program(&[("start", &[bl(2), b(3)]), ("a", &[a, RET]), ("run", &[run, WFI_LOOP])])
    };
    let entries = Entries { starts: vec![0], vectors: Vec::new(), unmapped: 1, mapped: Some(16) };
    let line = |_: u32| None;
    let checked = |code: &Code| look(code, &NOTHING, &entries, &line);
    assert_eq!(checked(&code(NOP, LDXR)).expect("it is after the switch").unmapped, 2);
    let refused = checked(&code(LDXR, NOP)).err().expect("it is before the switch");
    assert_eq!(
        refused.to_string(),
        "a has an exclusive access at 0x8, and may run before the MMU is on"
    );
}

#[test]
fn the_sequence_of_erratum_843419_is_refused() {
    let page = |at: usize| {
        let mut words = vec![NOP; 1024];
        words[at] = 0x9000_0000;
        words.push(WFI_LOOP);
        program(&[("start", &words)])
    };
    checked(&page(1021), &NOTHING).expect("it is not in the last two words");
    for at in [1022, 1023] {
        let found = refused(&page(at), &NOTHING);
        assert!(found.contains("843419"), "{found}");
    }
}
