//! Runs one instruction word of the attacker's choice and survives its exception.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use rt::exception::{self, Frame};

/// The result of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It completed: x0 to x3 after it.
    Done([u64; 4]),
    /// The guest took an exception with this syndrome (ESR_EL1).
    Caught(u64),
}

impl Outcome {
    /// Returns the exception class, or `None` if there was no exception.
    pub fn class(self) -> Option<u64> {
        match self {
            Outcome::Done(_) => None,
            Outcome::Caught(esr) => Some(esr >> 26 & 0x3f),
        }
    }
}

/// ESR_ELx.EC: unknown reason, which is what an undefined instruction has.
pub const EC_UNDEFINED: u64 = 0;
/// ESR_ELx.EC: illegal execution state.
pub const EC_ILLEGAL: u64 = 0x0e;

const RET: u32 = 0xd65f_03c0;
/// SPSR_ELx: EL1 with its own stack pointer, all exceptions masked.
const EL1H_MASKED: u64 = 0x3c5;

#[repr(C, align(64))]
struct Code([u32; 16]);

// SAFETY (of all uses): only vCPU 0 uses it, through raw pointers.
static mut CODE: Code = Code([RET; 16]);

/// Number of exceptions caught, and the latest syndrome.
static CAUGHT: AtomicU64 = AtomicU64::new(0);
static ESR: AtomicU64 = AtomicU64::new(0);
/// Its FAR_EL1, SPSR_EL1 and vector.
static FAR: AtomicU64 = AtomicU64::new(0);
static SPSR: AtomicU64 = AtomicU64::new(0);
static SLOT: AtomicU64 = AtomicU64::new(0);

/// Catches exceptions from now on.
pub fn init() {
    exception::set_hook(hook);
}

/// FAR_EL1 of the latest exception caught.
pub fn far() -> u64 {
    FAR.load(Ordering::Relaxed)
}

/// Its SPSR_EL1: where it came from.
pub fn spsr() -> u64 {
    SPSR.load(Ordering::Relaxed)
}

/// The vector that it was taken to, 0 to 15.
pub fn slot() -> u64 {
    SLOT.load(Ordering::Relaxed)
}

/// Address of the instruction after the one that `execute` runs.
pub fn after() -> u64 {
    &raw const CODE as u64 + 4
}

fn hook(slot: usize, frame: &mut Frame) -> bool {
    if slot == exception::IRQ {
        rt::interrupt::take();
        return true;
    }
    CAUGHT.fetch_add(1, Ordering::Relaxed);
    ESR.store(frame.esr, Ordering::Relaxed);
    FAR.store(frame.far, Ordering::Relaxed);
    SPSR.store(frame.spsr, Ordering::Relaxed);
    SLOT.store(slot as u64, Ordering::Relaxed);
    // An SError (slots 3, 7, 11, 15) interrupts code that can continue at the same instruction.
    if slot % 4 != 3 {
        frame.elr = after();
        frame.spsr = EL1H_MASKED;
    }
    true
}

/// Runs `word` with `registers` in x0 to x3.
pub fn execute(word: u32, registers: [u64; 4]) -> Outcome {
    let [mut x0, mut x1, mut x2, mut x3] = registers;
    let before = CAUGHT.load(Ordering::Relaxed);
    // SAFETY: CODE has `word; ret`. The word belongs to an attack whose whole effect is on
    // registers that are listed here, on system registers and on memory that its author gave for
    // it; exceptions come back to the `ret`.
    unsafe {
        let code = &raw mut CODE as *mut u32;
        code.write_volatile(word);
        asm!(
            "dc cvau, x16",
            "dsb ish",
            "ic ivau, x16",
            "dsb ish",
            "isb",
            "blr x16",
            in("x16") code,
            inout("x0") x0,
            inout("x1") x1,
            inout("x2") x2,
            inout("x3") x3,
            clobber_abi("C"),
        );
    }
    if CAUGHT.load(Ordering::Relaxed) == before {
        Outcome::Done([x0, x1, x2, x3])
    } else {
        Outcome::Caught(ESR.load(Ordering::Relaxed))
    }
}

/// `MRS x0, S<op0>_<op1>_C<crn>_C<crm>_<op2>` with the five numbers packed as in the instruction
/// (bits 20:5).
pub const fn mrs(register: u32) -> u32 {
    0xd520_0000 | register
}

/// `MSR S<op0>_<op1>_C<crn>_C<crm>_<op2>, x0`, and `SYS` where op0 is 1.
pub const fn msr(register: u32) -> u32 {
    0xd500_0000 | register
}

/// Packs a system register's five numbers.
pub const fn register(op0: u32, op1: u32, crn: u32, crm: u32, op2: u32) -> u32 {
    op0 << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5
}

/// Marsaglia's xorshift: random enough for attacks, and the same in every run.
pub struct Random(pub u64);

impl Random {
    /// Returns the next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
