//! Boot, in the order it happens:
//!
//! 1. `entry.rs`, boot core, MMU off: relocate EL2 where the loader put it, take a stack.
//! 2. [`check_machine`]: one pass over the boot device tree, the plan's CRC32C; a machine that does
//!    not cover the plan, or a plan that is damaged, is refused. Then the board's own writes: start
//!    its watchdog, silence its devices, bring up its console.
//! 3. `entry.rs`: move the image to its planned address, relocate again, clean to the point of
//!    coherency.
//! 4. [`moved`]: clear the shared region, set up the distributor, start the other cores.
//! 5. `entry.rs`, every core: take its own stack, [`check_core`], MMU on with the tables of the
//!    plan.
//! 6. `run_core` in `traps/run.rs`: interrupt controller, the partition's images, a barrier for all
//!    cores, the guest.

pub mod end;
mod entry;
pub mod fault;
mod interrupts;
pub mod leftovers;
mod machine;
mod options;
pub mod refuse;
mod tree;

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{ID_AA64MMFR0_EL1, MIDR_EL1, MPIDR_EL1, Readable};
use plan::{Core, Header, Midr, Range, writes};

use crate::arch::{cache, registers, timer, unreachable_state};
use crate::drivers::{Gic, gic::GicDriver};
use crate::state::plan_view::{self, PlanView};
use crate::state::shared::Shared;
use end::PSCI;
use refuse::{refusal, refuse, refuse_gic};

/// The run's nonce, from the boot command line: it makes EL2's last line unforgeable. It moves with
/// the image.
static NONCE: AtomicU64 = AtomicU64::new(0);

/// Whether the board's watchdog runs. It moves with the image.
pub static WATCHDOG: AtomicBool = AtomicBool::new(false);
/// Why the board was reset last, with [`SOME`] set, or 0 if firmware does not say it. It moves with
/// the image.
static RESET_CAUSE: AtomicU64 = AtomicU64::new(0);

/// The counter's frequency, Hz, from the tree or the first core; 0 before. It is written with the
/// MMU off.
static FREQUENCY: AtomicU64 = AtomicU64::new(0);
/// MPIDR of the core that passed [`check_core`] last, with [`SOME`] set. It is written with the MMU
/// off.
static PASSED: AtomicU64 = AtomicU64::new(0);
/// Bit of [`PASSED`] that no MPIDR has: a core has passed.
const SOME: u64 = 1 << 63;
/// Plausible frequencies of the counter, Hz. The architecture asks for 1 GHz from Armv8.6 on, and
/// known boards do not have more.
const FREQUENCIES: core::ops::RangeInclusive<u64> = 1_000_000..=1_000_000_000;
/// Longest time that a core may take to pass its checks, s.
const PATIENCE: u64 = 10;

/// Returns why the board was reset last, if its firmware says it.
pub fn reset_cause() -> Option<u64> {
    let cause = RESET_CAUSE.load(Relaxed);
    (cause != 0).then_some(cause & !SOME)
}

/// Affinity fields of `MPIDR_EL1`.
const AFFINITY: u64 = 0xff_00ff_ffff;

unsafe extern "C" {
    /// Entry point of the other cores (`boot/entry.rs`).
    static secondary_start: u8;
    /// Switches from the boot stack to the core's own and continues with step 5 (`boot/entry.rs`).
    fn start_core(row: &'static Core, plan: &'static Header) -> !;
}

/// The range that the image moves to.
#[repr(C)]
pub struct Target {
    base: u64,
    size: u64,
}

/// Does step 2. `dtb` is the address of the boot device tree, `level` the exception level that the
/// loader entered at.
pub extern "C" fn check_machine(dtb: u64, level: u64) -> Target {
    let plan = PlanView::here();
    let image = Range { base: plan_view::image_base(), size: plan.header.image_size };
    let checked = machine::check(dtb, level, &plan, image);
    options::check(plan.header.options);
    NONCE.store(checked.nonce, Relaxed);
    FREQUENCY.store(checked.frequency, Relaxed);
    RESET_CAUSE.store(checked.reset_cause.map_or(0, |cause| cause | SOME), Relaxed);
    let writes = plan.header.machine.writes;
    if checked.watchdog && writes[writes::WATCHDOG].count != 0 {
        WATCHDOG.store(true, Relaxed);
        plan.write(writes[writes::WATCHDOG]);
    }
    if checked.quiesce {
        // A device must not write memory that EL2 moves to or hands out.
        plan.write(writes[writes::QUIESCE]);
    }
    end::stage_done(&plan);
    Target { base: plan.header.el2_base, size: plan.header.image_size }
}

/// Does step 4, in the moved image. Returns only if this core is not the plan's and could not be
/// switched off.
pub extern "C" fn moved() {
    let plan = PlanView::here();
    let header = plan.header;
    end::stage_done(&plan);

    // Other cores read this with their caches on, and this core writes it with its caches off.
    cache::clean_invalidate(header.shared.base, header.shared.size);
    cache::clean_invalidate(header.records.base, header.records.size);
    Shared::clear(header, NONCE.load(Relaxed));
    cache::clean_invalidate(header.shared.base, header.shared.size);

    let me = MPIDR_EL1.get() & AFFINITY;
    let own = plan.cores().iter().find(|core| core.mpidr == me);
    check_frequency(me);
    interrupts::init_distributor(&plan);
    // If all cores are of a type that the plan does not admit, the boot core refuses first, and
    // only once.
    if let Some(own) = own {
        check_core(own);
    }
    end::stage_done(&plan);
    for core in plan.cores() {
        cache::clean_invalidate(core.private.base, core.private.size);
        if core.mpidr != me {
            start(core);
            await_core(core);
        }
    }
    end::stage_done(&plan);
    match own {
        // SAFETY: the machine is checked, the image moved and the plan undamaged, so the core's row
        // is right.
        Some(core) => unsafe { start_core(core, header) },
        // No partition owns the boot core, so its work is done.
        None => {
            if PSCI.load(Relaxed) {
                registers::smc(psci::fid::CPU_OFF.into(), [0; 3]);
            }
        }
    }
}

/// Starts another core at `secondary_start`. Uses PSCI if firmware has it, even if the board has a
/// spin table too.
fn start(core: &Core) {
    let entry = &raw const secondary_start as u64;
    if PSCI.load(Relaxed) {
        let result =
            registers::smc((psci::fid::CPU_ON | psci::fid::SMC64).into(), [core.mpidr, entry, 0]);
        if result != 0 {
            refuse!(str "cores: the plan needs MPIDR ", hex core.mpidr,
                str ", firmware does not start it: PSCI error -", dec result.unsigned_abs())
        }
    } else {
        let release = core.release as *mut u64;
        // The write goes to memory, where the core polls. A cache line of firmware's must not be
        // written back over it later, nor be read instead.
        cache::clean_invalidate(core.release, 8);
        // SAFETY: the board's data names the address as this core's spin-table slot, and only
        // firmware polls it.
        unsafe { release.write_volatile(entry) };
        barrier::dsb(barrier::SY);
        cache::clean_invalidate(core.release, 8);
        aarch64_cpu::asm::sev();
    }
}

/// Waits until `core` has passed its checks, so that cores refuse one after another, and a core
/// that does not start is named.
fn await_core(core: &Core) {
    let start = timer::now();
    while PASSED.load(Relaxed) != core.mpidr | SOME {
        if end::is_refused() {
            unreachable_state()
        }
        if timer::now().wrapping_sub(start) > PATIENCE * timer::frequency() {
            refuse!(str "cores: the plan needs MPIDR ", hex core.mpidr,
                str ", which did not report within ", dec PATIENCE, str " s")
        }
        // SAFETY: a hint.
        unsafe { core::arch::asm!("yield", options(nomem, nostack, preserves_flags)) };
    }
}

/// Refuses a core whose counter has not been set up, or whose frequency differs from the other
/// cores' or the device tree's: guests on both ends of a channel compare times.
fn check_frequency(mpidr: u64) {
    let own = timer::frequency();
    if !FREQUENCIES.contains(&own) {
        refuse!(str "timer: core ", hex mpidr, str " has CNTFRQ_EL0 = ", dec own,
            str " Hz, the plan needs ", dec *FREQUENCIES.start(),
            str " to ", dec *FREQUENCIES.end())
    }
    let known = FREQUENCY.load(Relaxed);
    if known != 0 && known != own {
        refuse!(str "timer: core ", hex mpidr, str " has CNTFRQ_EL0 = ", dec own,
            str " Hz, the boot core or the device tree says ", dec known)
    }
    FREQUENCY.store(own, Relaxed);
}

/// Does the checks of step 5, which only the core itself can do. `core` is its row.
pub extern "C" fn check_core(core: &Core) {
    check_frequency(core.mpidr);
    let plan = PlanView::here();
    let machine = &plan.header.machine;
    let midr = MIDR_EL1.get() as u32;
    let admitted: &[Midr] = plan.slice(machine.midrs);
    if !admitted.iter().any(|row| midr & row.mask == row.value) {
        let mut line = refusal();
        line.str("core type: core ").hex(core.mpidr);
        line.str(" has MIDR ").hex(midr.into());
        line.str(", the plan admits");
        for row in admitted {
            line.str(" ").hex(row.value.into());
        }
        end::refused(&mut line)
    }
    // Cortex-A72 up to r0p3, erratum 859971: no instruction prefetch (CPUACTLR_EL1, bit 32; Trusted
    // Firmware-A, cortex_a72.S). Firmware with PSCI has done this; the Raspberry Pi's stub does
    // not, and opens the register to EL2.
    if midr & 0xff0f_fff0 == 0x410f_d080 && midr <= 0x410f_d083 && !PSCI.load(Relaxed) {
        // SAFETY: a prefetcher's switch.
        unsafe {
            core::arch::asm!("mrs {0}, S3_1_C15_C2_0", "orr {0}, {0}, #1 << 32",
                "msr S3_1_C15_C2_0, {0}", out(reg) _,
                options(nomem, nostack, preserves_flags));
        }
    }
    let bits = match ID_AA64MMFR0_EL1.read(ID_AA64MMFR0_EL1::PARange) {
        range @ 0..=6 => [32, 36, 40, 42, 44, 48, 52][range as usize & 7],
        _ => 52,
    };
    if bits < u64::from(machine.pa_bits) {
        refuse!(str "address width: the plan needs ", dec machine.pa_bits.into(),
            str " bits, core ", hex core.mpidr, str " has ", dec bits)
    }
    if let Some(words) = Gic::check_core(core) {
        refuse_gic(&words)
    }
    let registers = Gic::list_register_count();
    if registers < u64::from(machine.list_registers) {
        refuse!(str "list registers: the plan needs ", dec machine.list_registers.into(),
            str ", core ", hex core.mpidr, str " has ", dec registers)
    }
    PASSED.store(core.mpidr | SOME, Relaxed);
}
