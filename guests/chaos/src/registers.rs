//! Attacks by system register and system instruction.

use alloc::string::String;
use core::arch::asm;

use rt::{Tree, mmio};

use crate::format;
use crate::probe::{EC_ILLEGAL, Outcome, after, execute, mrs, msr, register};

/// Bytes that cache maintenance by address may spoil.
#[repr(C, align(4096))]
struct Scratch([u8; 4096]);

static mut SCRATCH: Scratch = Scratch([0; 4096]);

/// Counts how instructions ended.
#[derive(Default)]
struct Tally {
    done: u32,
    caught: u32,
}

impl Tally {
    fn count(&mut self, outcome: Outcome) -> bool {
        let done = matches!(outcome, Outcome::Done(_));
        if done {
            self.done += 1
        } else {
            self.caught += 1
        }
        done
    }

    fn words(&self) -> String {
        format!("{} executed, {} trapped into the guest", self.done, self.caught)
    }
}

/// Every number of a system register with these op0, op1 and CRn.
fn space(op0: u32, op1: u32, crn: u32) -> impl Iterator<Item = u32> {
    (0..128).map(move |low| register(op0, op1, crn, low >> 3, low & 7))
}

pub fn sysreg_storm(_: &Tree) -> String {
    let mut tally = Tally::default();
    for op0 in [2, 3] {
        for (op1, crn) in (0..8).flat_map(|op1| (0..16).map(move |crn| (op1, crn))) {
            for number in space(op0, op1, crn) {
                let read = tally.count(execute(mrs(number), [0; 4]));
                // op1 4 and 5 are EL2's registers (5 with E2H), 6 EL3's, 7 Secure EL1's (DDI 0487,
                // C5.1.2).
                if read && op0 == 3 && op1 >= 4 {
                    rt::fail!("register S3_{op1}_C{crn} ({number:#x}) of a higher level was read");
                }
            }
        }
    }
    // These are writes to registers of higher levels, performance monitors (CRn 9),
    // implementation-defined space (11 and 15).
    for (op1, crn) in (0..8).flat_map(|op1| (0..16).map(move |crn| (op1, crn))) {
        if op1 >= 4 || matches!(crn, 9 | 11 | 15) {
            for number in space(3, op1, crn) {
                tally.count(execute(msr(number), [u64::MAX, 0, 0, 0]));
            }
        }
    }
    for (name, number, mask) in HIDDEN {
        match execute(mrs(number), [0; 4]) {
            Outcome::Done([value, ..]) if value & mask == 0 => {}
            other => rt::fail!("{name} shows what it should hide: {other:x?}"),
        }
    }
    tally.words()
}

/// Features that a guest must not see (DDI 0487, D24.2), and the fields that have to read as zero
/// for that.
const HIDDEN: [(&str, u32, u64); 3] = [
    ("ID_AA64PFR0_EL1 (EL3)", register(3, 0, 0, 4, 0), 0xf000),
    ("ID_AA64DFR0_EL1 (PMU)", register(3, 0, 0, 5, 0), 0x0f00),
    // vCPU n has affinity n, on each core that it may run on.
    ("MPIDR_EL1 (affinity)", register(3, 0, 0, 0, 5), 0xff_00ff_ffff),
];

/// Cache and TLB maintenance, address translation (CRn 7 and 8), implementation-defined
/// instructions (11 and 15).
pub fn sys_storm(_: &Tree) -> String {
    let scratch = &raw mut SCRATCH as u64;
    let mut tally = Tally::default();
    for (op1, crn) in (0..8).flat_map(|op1| [7, 8, 11, 15].map(|crn| (op1, crn))) {
        for number in space(1, op1, crn) {
            tally.count(execute(msr(number), [scratch, 0, 0, 0]));
        }
    }
    tally.words()
}

/// Cleans and invalidates caches by set and way, over more sets and ways than there are.
pub fn set_way(_: &Tree) -> String {
    let mut count = 0;
    for level in 0..4_u64 {
        for (set, way) in (0..64_u64).flat_map(|set| (0..16_u64).map(move |way| (set, way))) {
            let operand = way << 28 | set << 6 | level << 1;
            // SAFETY: cleaning loses no data, and EL2 makes DC ISW clean too (HCR_EL2.SWIO).
            unsafe {
                asm!(
                    "dc csw, {0}",
                    "dc cisw, {0}",
                    "dc isw, {0}",
                    in(reg) operand,
                    options(nostack),
                );
            }
            count += 3;
        }
    }
    format!("{count} operations")
}

/// Switches caches and MMU off and on.
pub fn cache_off(_: &Tree) -> String {
    const COUNT: u32 = 10_000;
    for _ in 0..COUNT {
        // SAFETY: between off and on the only accesses to memory are fetches, from code that was
        // cleaned when it was loaded; the map is an identity map.
        unsafe {
            asm!(
                "mrs {on}, sctlr_el1",
                "bic {off}, {on}, #1",
                "bic {off}, {off}, #4",
                "bic {off}, {off}, #0x1000",
                "msr sctlr_el1, {off}",
                "isb",
                "msr sctlr_el1, {on}",
                "isb",
                on = out(reg) _,
                off = out(reg) _,
                options(nostack),
            );
        }
    }
    format!("{COUNT} times")
}

/// Does what an operating system does at reset, such as Zephyr's code. If ID_AA64PFR0_EL1 says that
/// no level above its own is implemented, it sets the timer's frequency, which only the highest
/// level can set.
pub fn reset_code(tree: &Tree) -> String {
    let read = |number| match execute(mrs(number), [0; 4]) {
        Outcome::Done([value, ..]) => value,
        outcome => rt::fail!("an ID register: {outcome:x?}"),
    };
    const CURRENT_EL: u32 = register(3, 0, 4, 2, 2);
    const CNTFRQ_EL0: u32 = register(3, 3, 14, 0, 0);
    let pfr0 = read(register(3, 0, 0, 4, 0));
    let highest = (63 - ((pfr0 & 0xff00) | 1).leading_zeros()) / 4;
    let (level, frequency) = (read(CURRENT_EL) >> 2, read(CNTFRQ_EL0));
    if level >= highest.into() {
        match execute(msr(CNTFRQ_EL0), [frequency, 0, 0, 0]) {
            Outcome::Done(_) => {}
            outcome => rt::fail!("EL{level} is the highest, and its timer: {outcome:x?}"),
        }
    }
    // The next queries of such code, and the required answers: the level above has no host
    // extensions and no nesting.
    let field = |number, shift: u32| read(number) >> shift & 0xf;
    let gicv3 = tree.gic_node().is_some_and(|gic| gic.version == 3);
    let must = [
        ("EL2", field(register(3, 0, 0, 4, 0), 8), 1),
        ("EL3", field(register(3, 0, 0, 4, 0), 12), 0),
        ("GIC", field(register(3, 0, 0, 4, 0), 24), gicv3.into()),
        ("VH", field(register(3, 0, 0, 7, 1), 8), 0),
        ("NV", field(register(3, 0, 0, 7, 2), 24), 0),
    ];
    for (name, found, must) in must {
        if found != must {
            rt::fail!("{name} is {found}, must be {must}");
        }
    }
    format!("EL{level} of EL{highest}, {frequency} Hz")
}

/// Checks GICD_TYPER for guests that size their loops by it, as Bao does: it gives the board's
/// INTIDs, all of which answer.
pub fn typer(tree: &Tree) -> String {
    let Some([(base, _), _]) = tree.gic() else { rt::fail!("no GIC in the device tree") };
    // SAFETY: registers of the emulated GIC, which the runtime has mapped.
    let lines = unsafe { mmio::read32(base + 4) } & 0x1f;
    let count = 32 * (lines + 1);
    let wanted = tree.option("intids").and_then(crate::number);
    if wanted != Some(count.into()) {
        rt::fail!("{count} INTIDs, the board has {wanted:?}");
    }
    for word in 0..u64::from(lines) + 1 {
        for offset in [0x80, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380] {
            // SAFETY: as above; a read does not enable anything.
            unsafe { mmio::read32(base + offset + 4 * word) };
        }
    }
    format!("{count} INTIDs")
}

/// Accesses debug registers, and runs instructions that ask a debugger, a host or another level for
/// something.
pub fn debug(_: &Tree) -> String {
    let mut tally = Tally::default();
    // OSLAR_EL1, MDSCR_EL1, then all breakpoints and watchpoints. PSTATE.D stays set, so none of
    // them fires here.
    for value in [u64::MAX, 0] {
        for number in [register(2, 0, 1, 0, 4), register(2, 0, 0, 2, 2)] {
            tally.count(execute(msr(number), [value, 0, 0, 0]));
        }
        for number in (0..16).flat_map(|n| (4..8).map(move |op2| register(2, 0, 0, n, op2))) {
            tally.count(execute(msr(number), [value, 0, 0, 0]));
        }
    }
    // HLT #0xf000 (semihosting), HLT #0, BRK #0, SVC #0, DCPS1 to 3, UDF #0.
    let instructions = [
        0xd45e_0000,
        0xd440_0000,
        0xd420_0000,
        0xd400_0001,
        0xd4a0_0001,
        0xd4a0_0002,
        0xd4a0_0003,
        0,
    ];
    for word in instructions {
        // Semihosting's SYS_EXIT in w0.
        if tally.count(execute(word, [0x18, 0, 0, 0])) {
            rt::fail!("instruction {word:#010x} did not trap");
        }
    }
    tally.words()
}

/// Returns from a made-up exception to `target` in the state `spsr`.
fn eret_to(target: u64, spsr: u64) -> Outcome {
    // SAFETY: no code uses ELR_EL1 and SPSR_EL1 outside an exception.
    unsafe {
        asm!(
            "msr elr_el1, {0}",
            "msr spsr_el1, {1}",
            in(reg) target,
            in(reg) spsr,
            options(nostack),
        );
    }
    execute(0xd69f_03e0, [0; 4])
}

/// ERET to EL2 and EL3, which raises Illegal Execution state at EL1 (DDI 0487, D1.4.2).
pub fn eret_el2(_: &Tree) -> String {
    let modes = [("EL2h", 9), ("EL2t", 8), ("EL3h", 13), ("EL1 AArch32", 0x13)];
    for (name, mode) in modes {
        let outcome = eret_to(after(), 0x3c0 | mode);
        if outcome.class() != Some(EC_ILLEGAL) {
            rt::fail!("exception return to {name}: {outcome:x?}");
        }
    }
    "illegal every time".into()
}

/// ERET to EL0 in both states, to an address without a translation, so that it faults into EL1 at
/// once.
pub fn eret_el0(_: &Tree) -> String {
    const UNMAPPED: u64 = 0x3000_0000;
    const EC_INSTRUCTION_ABORT_EL0: u64 = 0x20;
    let (mut aborts, mut illegal) = (0, 0);
    for mode in [0, 0x10] {
        match eret_to(UNMAPPED, 0x3c0 | mode).class() {
            Some(EC_INSTRUCTION_ABORT_EL0) => aborts += 1,
            // A core without AArch32 refuses the return itself.
            Some(EC_ILLEGAL) => illegal += 1,
            other => rt::fail!("EL0 ran, state {mode:#x}: exception class {other:x?}"),
        }
    }
    format!("{aborts} faults, {illegal} illegal returns")
}

/// Checks the values that a loader may leave in registers that this guest reads without a trap:
/// those of FP and SIMD, breakpoints, watchpoints, the OS lock. All must be as on a core out of
/// reset, and zero where the architecture leaves them open.
pub fn left(_: &Tree) -> String {
    let mut vectors = [0u128; 32];
    let mut others = [0u64; 6];
    // SAFETY: this program is built without FP and SIMD; the registers go to the two arrays.
    unsafe {
        asm!(
            ".arch_extension fp",
            ".arch_extension simd",
            "mrs {scratch}, CPACR_EL1",
            "orr {scratch}, {scratch}, #3 << 20",
            "msr CPACR_EL1, {scratch}",
            "isb",
            ".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,\
                     16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
            "str q\\i, [{vectors}, #16 * \\i]",
            ".endr",
            "mrs {scratch}, FPCR",
            "str {scratch}, [{others}, #0]",
            "mrs {scratch}, FPSR",
            "str {scratch}, [{others}, #8]",
            "mrs {scratch}, DBGBCR0_EL1",
            "str {scratch}, [{others}, #16]",
            "mrs {scratch}, DBGBCR5_EL1",
            "str {scratch}, [{others}, #24]",
            "mrs {scratch}, DBGWCR3_EL1",
            "str {scratch}, [{others}, #32]",
            "mrs {scratch}, OSLSR_EL1",
            "and {scratch}, {scratch}, #2", // OSLK
            "str {scratch}, [{others}, #40]",
            ".arch_extension nosimd",
            ".arch_extension nofp",
            scratch = out(reg) _,
            vectors = in(reg) vectors.as_mut_ptr(),
            others = in(reg) others.as_mut_ptr(),
            options(nostack),
        );
    }
    let left = vectors.iter().filter(|&&value| value != 0).count()
        + others.iter().filter(|&&value| value != 0).count();
    match left {
        0 => format!("none of {} registers is the loader's", vectors.len() + others.len()),
        _ => rt::fail!("{left} registers are the loader's: {others:x?} {vectors:x?}"),
    }
}
