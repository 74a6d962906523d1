//! Accesses outside all of the partition's addresses, where EL2 answers as hardware does: by a
//! synchronous external abort.

use alloc::string::String;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::Reason;
use rt::mmu::{self, Kind};
use rt::{Tree, hv, timer};

use crate::format;
use crate::probe::{self, Outcome, execute, mrs, register};

/// An address that no stage 2 maps, also used for a page table.
const OUTSIDE: u64 = 0x7000_0000;

/// `ESR_EL1` of an abort: class, IL, then the syndrome.
const fn data(iss: u64) -> u64 {
    0x25 << 26 | 1 << 25 | iss
}
const fn fetch(iss: u64) -> u64 {
    0x21 << 26 | 1 << 25 | iss
}
/// The same exception taken from EL0.
const fn from_el0(esr: u64) -> u64 {
    esr - (1 << 26)
}
const WNR: u64 = 1 << 6;
const CM: u64 = 1 << 8;
/// DFSC and IFSC: synchronous external abort; on a walk, and the level.
const EXTERNAL: u64 = 0x10;
const WALK: u64 = 0x14;

const LDR: u32 = 0xf940_0002; // ldr x2, [x0]
const STR: u32 = 0xf900_0002; // str x2, [x0]
const BR: u32 = 0xd61f_0000; // br x0
const ERET: u32 = 0xd69f_03e0;
const AT_S1E1R: u32 = 0xd508_7800; // at s1e1r, x0
/// DC IVAC, CVAC, CVAU, CIVAC; IC IVAU.
const MAINTENANCE: [u32; 5] = [0xd508_7620, 0xd50b_7a20, 0xd50b_7b20, 0xd50b_7e20, 0xd50b_7520];
const DC_CVAP: u32 = 0xd50b_7c20;

/// Stores of every form, the last one of a whole block: the syndrome shows each as a write.
const STORES: [u32; 4] = [STR, 0xa900_0c02, 0x889f_fc02, 0xd50b_7420];
/// Loads of every form: LDR, LDP, LDXR, LDAR.
const LOADS: [u32; 4] = [LDR, 0xa940_0c02, 0xc85f_7c02, 0x88df_fc02];

/// Checks that `word` on the address `at` gives the abort `esr`, with that address.
fn aborts(word: u32, at: u64, esr: u64) {
    let outcome = execute(word, [at, 0, 0, 0]);
    let far = probe::far();
    if outcome != Outcome::Caught(esr) || far != at {
        rt::fail!("{word:#010x} at {at:#x}: {outcome:x?} FAR {far:#x}, must be {esr:#x} there");
    }
    TAKEN.fetch_add(1, Ordering::Relaxed);
}

fn all_abort(words: &[u32], at: u64, esr: u64) {
    for &word in words {
        aborts(word, at, esr);
    }
}

/// Checks that cache maintenance at `at` ends as if it had been done.
fn maintains(at: u64) {
    for word in MAINTENANCE {
        let outcome = execute(word, [at, 1, 2, 3]);
        if outcome != Outcome::Done([at, 1, 2, 3]) {
            rt::fail!("maintenance {word:#010x} at {at:#x}: {outcome:x?}");
        }
    }
    // ID_AA64ISAR1_EL1.DPB: DC CVAP. QEMU does not model caches and does this one as a load,
    // without CM in the syndrome, so EL2 has to answer it as a load.
    let done = Outcome::Done([at, 1, 2, 3]);
    if let Outcome::Done([id, ..]) = execute(mrs(register(3, 0, 0, 6, 1)), [0; 4])
        && id & 0xf != 0
        && let outcome = execute(DC_CVAP, [at, 1, 2, 3])
        && ![done, Outcome::Caught(data(EXTERNAL))].contains(&outcome)
    {
        rt::fail!("DC CVAP at {at:#x}: {outcome:x?}");
    }
}

/// Aborts taken so far.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// A translation table of the upper half, which the runtime does not use.
#[repr(align(4096))]
struct Table([AtomicU64; 512]);
static UPPER: Table = Table([const { AtomicU64::new(0) }; 512]);
/// Code that runs at EL0, and at EL1 with SP_EL0.
#[repr(align(4096))]
struct Code(#[allow(dead_code, reason = "it is only executed")] [u32; 1024]);
static USER: Code = Code([LDR; 1024]);

/// First address of the upper half with T1SZ = 25, whose root is of level 1.
const HIGH: u64 = 0xffff_ff80_0000_0000;
const GIB: u64 = 1 << 30;

/// Returns the alias of `address` in the upper half, of the GiB from [`GIB`] on: EL0 may read and
/// execute it.
fn alias(address: u64) -> u64 {
    HIGH + address - GIB
}

/// Lets the walks of the upper half start at `root`.
fn set_upper_root(root: u64) {
    // T1SZ = 25, walks Write-Back Inner Shareable, 4 KiB granule; no EPD1.
    const UPPER_TCR: u64 = 25 << 16 | 1 << 24 | 1 << 26 | 3 << 28 | 2 << 30;
    // SAFETY: no Rust code or data is in the upper half.
    unsafe {
        asm!(
            "msr ttbr1_el1, {root}",
            "mrs {tcr}, tcr_el1",
            "bic {tcr}, {tcr}, #(1 << 23)",
            "orr {tcr}, {tcr}, {upper}",
            "msr tcr_el1, {tcr}",
            "dsb sy",
            "isb",
            "tlbi vmalle1",
            "dsb sy",
            "isb",
            root = in(reg) root,
            upper = in(reg) UPPER_TCR,
            tcr = out(reg) _,
            options(nostack),
        );
    }
}

/// Checks everything together: each kind of access, each address without an answer, each level that
/// a guest runs at.
pub fn stray(tree: &Tree) -> String {
    let first = tree.channels().next();
    let Some(channel) = first else { rt::fail!("this attack needs a channel") };
    let (own, peer) = (channel.own.0, channel.peer.0);
    // Stage 1 permits writes and execution on all of it.
    mmu::map(own, channel.own.1, Kind::Ram);
    mmu::map(peer, channel.peer.1, Kind::Ram);
    let before = hv::entries(0, Reason::Abort as usize).unwrap_or_default();

    for at in [OUTSIDE, OUTSIDE + 0xff8] {
        all_abort(&LOADS, at, data(EXTERNAL));
        all_abort(&STORES, at, data(WNR | EXTERNAL));
        aborts(BR, at & !7, fetch(EXTERNAL));
        maintains(at);
    }
    // These are accesses to memory that it may only read, and to memory that it may not execute.
    all_abort(&STORES, peer, data(WNR | EXTERNAL));
    maintains(peer);
    if !matches!(execute(LDR, [peer, 0, 0, 0]), Outcome::Done(_)) {
        rt::fail!("the peer's pages cannot be read");
    }
    aborts(BR, own, fetch(EXTERNAL));
    aborts(BR, peer, fetch(EXTERNAL));
    // Emulated devices do not answer these.
    let uart = tree.device("arm,pl011").map(|(base, _)| base);
    let distributor = tree.gic().map(|[(base, _), _]| base);
    for at in uart.into_iter().chain(distributor) {
        aborts(LOADS[1], at, data(EXTERNAL));
        aborts(STORES[1], at, data(WNR | EXTERNAL));
        maintains(at);
    }
    fetches(uart.into_iter().chain(distributor));

    walks(uart.into_iter().chain([OUTSIDE, peer + channel.peer.1]));
    levels();

    let counted = hv::entries(0, Reason::Abort as usize).unwrap_or_default() - before;
    let taken = TAKEN.load(Ordering::Relaxed);
    if counted < taken {
        rt::fail!("{taken} aborts taken, {counted} counted");
    }
    format!("{taken} aborts, each as on hardware")
}

/// Checks fetches from devices of the first GiB. The runtime maps these as never executed, so the
/// fetches go through an alias that is not.
fn fetches(devices: impl Iterator<Item = u64>) {
    const DEVICE_BLOCK: u64 = 1 << 10 | 1;
    UPPER.0[2].store(DEVICE_BLOCK, Ordering::Release);
    set_upper_root(UPPER.0.as_ptr() as u64);
    for at in devices {
        aborts(BR, HIGH + 2 * GIB + at, fetch(EXTERNAL));
    }
}

/// Checks walks that need a table at an unmapped address: the root, which is of level 1, and one
/// below it.
fn walks(roots: impl Iterator<Item = u64>) {
    const VALID_TABLE: u64 = 3;
    for root in roots {
        set_upper_root(root);
        aborts(LDR, HIGH + 0x1000, data(WALK + 1));
        aborts(BR, HIGH + 0x1000, fetch(WALK + 1));
        // A core may choose whether a failed walk for a store is reported as a write; here it is.
        aborts(STR, HIGH + 0x1000, data(WNR | (WALK + 1)));
        aborts(AT_S1E1R, HIGH + 0x1000, data(CM | WNR | (WALK + 1)));
        // Below the root the level is unknown, and the last level is reported.
        UPPER.0[1].store(root & !0xfff | VALID_TABLE, Ordering::Release);
        set_upper_root(UPPER.0.as_ptr() as u64);
        aborts(LDR, HIGH + GIB, data(WALK + 3));
        aborts(BR, HIGH + GIB, fetch(WALK + 3));
    }
}

/// Checks aborts from EL0, and from EL1 with SP_EL0: other vectors, another class.
fn levels() {
    const EL0: u64 = 0x3c0;
    const EL1T: u64 = 0x3c4;
    // A block, Normal, AP 01: EL0 has all rights, EL1 cannot execute.
    const USER_BLOCK: u64 = GIB | 1 << 10 | 3 << 8 | 1 << 6 | 1 << 2 | 1;
    UPPER.0[0].store(USER_BLOCK, Ordering::Release);
    set_upper_root(UPPER.0.as_ptr() as u64);
    let user = &raw const USER as u64;
    let cases = [
        (alias(user), EL0, alias(OUTSIDE), from_el0(data(EXTERNAL)), 8),
        (alias(OUTSIDE), EL0, alias(OUTSIDE), from_el0(fetch(EXTERNAL)), 8),
        (user, EL1T, OUTSIDE, data(EXTERNAL), 0),
        (OUTSIDE, EL1T, OUTSIDE, fetch(EXTERNAL), 0),
    ];
    for (pc, mode, at, esr, slot) in cases {
        // NZCV do not change on the way to EL1 and back.
        let spsr = mode | 0xa << 28;
        // SAFETY: no code uses ELR_EL1 and SPSR_EL1 outside an exception.
        unsafe {
            asm!(
                "msr elr_el1, {0}",
                "msr spsr_el1, {1}",
                in(reg) pc,
                in(reg) spsr,
                options(nostack),
            );
        }
        aborts(ERET, at, esr);
        if (probe::slot(), probe::spsr()) != (slot, spsr) {
            rt::fail!("vector {} SPSR {:#x}", probe::slot(), probe::spsr());
        }
    }
}

/// Causes aborts without a pause for a second; this must cost only this partition time.
pub fn storm(_: &Tree) -> String {
    let end = timer::now() + timer::frequency();
    while timer::now() < end {
        aborts(LDR, OUTSIDE, data(EXTERNAL));
        aborts(BR, OUTSIDE, fetch(EXTERNAL));
    }
    format!("{} aborts", TAKEN.load(Ordering::Relaxed))
}

/// Finds the size of memory as firmware does, by reading upwards until no memory answers. Also
/// finds devices by their PrimeCell identification.
pub fn sizing(tree: &Tree) -> String {
    const STEP: u64 = 1 << 20;
    let memory = tree.memory_at(tree.address()).unwrap_or_default();
    let (start, size) = (memory.0 as u64, memory.1 as u64);
    let mut end = start;
    while let Outcome::Done(_) = execute(LDR, [end, 0, 0, 0]) {
        end += STEP;
    }
    if end - start != size || probe::far() != end {
        rt::fail!("{:#x} bytes answer, but the device tree says {size:#x}", end - start);
    }
    // PCellID0 of a PL011, a PL031 and a PL061 on QEMU's machine; a virtio transport's magic.
    let places = [0x900_0ff0, 0x901_0ff0, 0x903_0ff0, 0xa00_0000];
    for at in places {
        mmu::map(at, 4, Kind::Device);
    }
    const LDR_WORD: u32 = 0xb940_0001; // ldr w1, [x0]
    let found = places.map(|at| execute(LDR_WORD, [at, 0, 0, 0]).class().is_none());
    if found != [true, false, false, false] {
        rt::fail!("devices found: {found:?}");
    }
    format!("{} MiB, one device", size / STEP)
}

/// Points the vectors at `at`.
fn set_vectors(at: u64) {
    // SAFETY: only an exception uses this register.
    unsafe { asm!("msr vbar_el1, {0}", "isb", in(reg) at, options(nostack)) }
}

/// Makes a stray read, with vectors at an unmapped address.
pub fn no_vector(_: &Tree) -> String {
    set_vectors(OUTSIDE);
    // SAFETY: no part of this program is at that address.
    format!("read {:#x}", unsafe { (OUTSIDE as *const u64).read_volatile() })
}

/// Makes a stray write, with vectors whose first instruction does the same.
pub fn vector_faults(_: &Tree) -> String {
    #[repr(align(2048))]
    struct Vectors(#[allow(dead_code, reason = "it is only executed")] [u32; 512]);
    static VECTORS: Vectors = Vectors([STR; 512]);
    set_vectors(&raw const VECTORS as u64);
    // SAFETY: no part of this program is at that address.
    unsafe { asm!("str x2, [x0]", in("x0") OUTSIDE, in("x2") 0) };
    "wrote".into()
}

/// Runs an undefined instruction, which EL1 takes itself, with vectors at an unmapped address.
pub fn undefined_no_vector(_: &Tree) -> String {
    set_vectors(OUTSIDE);
    // SAFETY: its only effect is the exception.
    unsafe { asm!("udf #0", options(nostack)) };
    "went on".into()
}
