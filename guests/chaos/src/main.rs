//! Hostile guest: carries out the attack that `attack=NAME` on its command line names.
//!
//! It prints `attack NAME` first. If the attack is one that EL2 answers, `survived NAME: figures`
//! follows and the partition switches itself off. If EL2 has to halt the partition, anything
//! printed afterwards (`escaped NAME`) is a failure. Any answer that is not the specified one is a
//! failure too, and the partition ends as `failed`.
//!
//! [`ATTACKS`] describes each attack and how the partition has to end.
#![no_std]
#![no_main]

extern crate alloc;

mod calls;
mod channels;
mod crash;
mod function;
mod gic;
mod interrupts;
mod memory;
mod paths;
mod probe;
mod registers;
mod stray;
mod typed;
mod unemulatable;

pub(crate) use alloc::format;
use alloc::string::String;

use rt::log::info;
use rt::{Tree, fail, interrupt, timer};

/// The end of the attack's partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It prints `survived` and is switched off.
    Survives,
    /// EL2 halts it.
    Halted,
    /// The attack itself stops it: `off`, `reset` or `failed`.
    Stops,
}
use End::{Halted, Stops, Survives};

/// Name, end, function, description.
type Attack = (&'static str, End, fn(&Tree) -> String, &'static str);

/// All attacks. `at=ADDRESS` selects the address of the first three; `after=MILLISECONDS` delays
/// any of them.
const ATTACKS: &[Attack] = &[
    ("read-outside", Halted, memory::read_outside, "reads an address that no stage 2 maps"),
    ("write-outside", Halted, memory::write_outside, "writes such an address"),
    ("jump-outside", Halted, memory::jump_outside, "jumps to such an address"),
    ("read-el2", Halted, memory::read_el2, "reads the first byte after its own memory"),
    ("write-rx", Halted, memory::write_rx, "writes the channel pages of its peer"),
    ("exec-channel", Halted, memory::exec_channel, "runs code in its own channel pages"),
    ("gicr-outside", Halted, interrupts::gicr_outside, "reads after its last redistributor"),
    (
        "stray",
        Survives,
        stray::stray,
        "makes every kind of access, fetch, walk and maintenance where nothing answers",
    ),
    ("abort-storm", Survives, stray::storm, "takes external aborts for a second without a pause"),
    ("sizing", Survives, stray::sizing, "finds its memory's size and its devices by probing"),
    ("no-vector", Halted, stray::no_vector, "reads outside its memory with its vectors outside"),
    (
        "vector-faults",
        Halted,
        stray::vector_faults,
        "writes outside its memory with vectors that do the same",
    ),
    (
        "undefined-no-vector",
        Halted,
        stray::undefined_no_vector,
        "executes an undefined instruction with its vectors outside",
    ),
    ("deep-fault", Halted, crash::deep, "writes outside its memory, two calls deep"),
    ("frames", Halted, crash::frames, "does that with the frame pointer `chain=NAME`"),
    ("tables", Halted, crash::tables, "uses the translation tables `tables=NAME`"),
    ("spin", Halted, crash::spin, "loops with every interrupt masked"),
    (
        "reset-code",
        Survives,
        registers::reset_code,
        "sets the timer's frequency if no level is higher, as Zephyr does",
    ),
    (
        "typer",
        Survives,
        registers::typer,
        "reads the registers of all INTIDs that GICD_TYPER counts, `intids=NUMBER` of them",
    ),
    (
        "gic-foreign",
        Survives,
        interrupts::gicd,
        "accesses every GICD word; foreign interrupts must read as zero",
    ),
    ("gicr-foreign", Survives, interrupts::gicr, "accesses every word of its redistributors"),
    ("sgi-everywhere", Survives, interrupts::sgi, "sends SGIs of every kind to every affinity"),
    ("irq-flood", Survives, interrupts::flood, "takes its timer and its own SGIs without a pause"),
    (
        "dir-elsewhere",
        Survives,
        gic::elsewhere,
        "ends an SPI on another vCPU than the one that acknowledged it",
    ),
    (
        "dir-order",
        Survives,
        gic::order,
        "ends more SPIs than there are list registers in another order",
    ),
    (
        "level-withdrawn",
        Survives,
        gic::withdrawn,
        "withdraws its timer's interrupt before it acknowledges it",
    ),
    ("group-off", Survives, gic::group_off, "leaves urgent interrupts pending in a disabled group"),
    ("targets", Survives, gic::targets, "reads ITARGETSR back"),
    ("ring-foreign", Survives, calls::ring_foreign, "makes channel calls with foreign handles"),
    ("cpu-on-foreign", Survives, calls::cpu_on_foreign, "calls CPU_ON for foreign cores"),
    ("hvc-all", Survives, calls::hvc_all, "calls every function number by HVC"),
    ("smc-all", Survives, calls::smc_all, "calls every function number by SMC"),
    ("hvc-imm", Survives, calls::hvc_imm, "executes HVC with immediates other than 0"),
    ("smc-imm", Survives, calls::smc_imm, "executes SMC with immediates other than 0"),
    (
        "cpu-suspend",
        Survives,
        calls::cpu_suspend,
        "calls CPU_SUSPEND, with a wake-up at every moment",
    ),
    ("watchdog", Survives, calls::set_watchdog, "sets its watchdog in every wrong and right way"),
    ("pet", Survives, calls::pet, "keeps the watchdog that the manifest starts from being missed"),
    ("cpu-off", Stops, calls::cpu_off, "calls CPU_OFF on its last vCPU: it is off"),
    ("smc-off", Stops, calls::smc_off, "calls SYSTEM_OFF by SMC: only it is off"),
    ("reset", Stops, calls::reset, "calls SYSTEM_RESET: only it is reset"),
    ("fail", Stops, calls::fail, "calls FAIL: it is failed"),
    (
        "sysreg-storm",
        Survives,
        registers::sysreg_storm,
        "reads every system register, writes foreign ones",
    ),
    (
        "sys-storm",
        Survives,
        registers::sys_storm,
        "executes cache, TLB and translation instructions of every level",
    ),
    ("set-way", Survives, registers::set_way, "executes cache maintenance by set and way"),
    ("cache-off", Survives, registers::cache_off, "switches its MMU and caches off and on"),
    ("debug", Survives, registers::debug, "uses debug registers, HLT, BRK and DCPS"),
    ("eret-el2", Survives, registers::eret_el2, "returns to higher exception levels"),
    ("eret-el0", Survives, registers::eret_el0, "returns to EL0 in AArch64 and AArch32"),
    (
        "mmio-odd",
        Survives,
        unemulatable::mmio_odd,
        "accesses emulated pages by instructions without a syndrome",
    ),
    (
        "uart-garbage",
        Survives,
        unemulatable::uart,
        "accesses every PL011 offset in every size; prints forged verdicts",
    ),
    (
        "uart-flood",
        Survives,
        unemulatable::uart_flood,
        "prints short lines and invisible bytes for a second: each wakes the console core",
    ),
    (
        "uart-stream",
        Survives,
        unemulatable::uart_stream,
        "prints `lines=COUNT` numbers, half a FIFO per transmit interrupt, as Linux's driver does",
    ),
    ("ring-storm", Survives, channels::ring_storm, "rings a channel of its own for a second"),
    (
        "channel-storm",
        Survives,
        channels::storm,
        "writes random bytes to all its channel pages for a second, and rings",
    ),
    (
        "pci-function",
        Survives,
        function::storm,
        "writes garbage to a PCI function from two vCPUs, and rings without a pause",
    ),
    (
        "echo",
        Survives,
        typed::echo,
        "reads console input until Ctrl-D; `slow=MILLISECONDS` pauses after every few bytes",
    ),
    ("deaf", Survives, typed::deaf, "reads no console input for ten seconds"),
    ("remains", Survives, memory::remains, "looks for the loader's data in its memory"),
    (
        "left-registers",
        Survives,
        registers::left,
        "looks for the loader's values in its core's registers",
    ),
    (
        "paths",
        Survives,
        paths::drive,
        "runs operations with fast paths, and prints what it saw and what EL2 counted",
    ),
    ("paths-peer", Survives, paths::answer, "answers the attack `paths` as its peer"),
    ("listen", Survives, channels::listen, "is the honest peer of the attack `channel-storm`"),
];

rt::main!(main);

/// Number of vCPUs of this partition.
fn vcpus() -> u64 {
    rt::hv::query(abi::query::VCPUS).unwrap_or(1)
}

/// Parses a number of the command line, hexadecimal after `0x`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn main(tree: &'static Tree) {
    let wanted = tree.option("attack").unwrap_or("");
    let Some((name, end, attack, what)) = ATTACKS.iter().find(|(name, ..)| *name == wanted) else {
        for (name, end, _, what) in ATTACKS {
            info!("{name:15} {end:?}: {what}");
        }
        fail!("no attack {wanted:?}; the command line says attack=NAME")
    };
    info!("attack {name}: {what}");
    if *end != Halted {
        // An attack that has to be halted must not get a chance to recover, so the hook is set only
        // for the others.
        probe::init();
    }
    if let Some(after) = tree.option("after").and_then(number) {
        let start = timer::now() + timer::milliseconds(after);
        while timer::now() < start {
            interrupt::wait_until(start);
        }
    }
    let figures = attack(tree);
    if *end != Survives {
        fail!("escaped {name}: {figures}");
    }
    still_works();
    info!("survived {name}: {figures}");
}

/// Checks that the guest's own devices still work after the attack: its timer's interrupt arrives.
fn still_works() {
    interrupt::enable(timer::INTID);
    let deadline = timer::now() + timer::milliseconds(2);
    // Interrupts that the attack left pending come first.
    for _ in 0..1000 {
        if interrupt::wait_until(deadline).is_none() {
            return;
        }
    }
    fail!("interrupts without end");
}
