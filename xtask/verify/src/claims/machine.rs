//! The plan demands the machine that the board's file describes, and the console's core is the
//! manifest's.

use plan::{
    END_POWER_OFF, END_RESET, END_WAIT, Midr, START_PSCI, START_SPIN_TABLE, Write, options, writes,
};

use super::Context;
use crate::board::Start;
use crate::finding::{Claim, Findings};
use crate::image::FILLED;
use crate::manifest::{Class, MachineEnd};
use crate::ranges::merged;

/// Checks that the plan names the options of EL2 that the manifest does, and that its rows need no
/// other.
fn check_options(context: &Context<'_>, findings: &mut Findings) {
    let header = &context.image.header;
    let manifest = context.manifest();
    let must = [
        (manifest.crash_records, options::CRASH_RECORDS),
        (manifest.supervision, options::SUPERVISION),
    ];
    let must = must.iter().filter(|(is_there, _)| *is_there).map(|(_, option)| option).sum();
    let what = "the options of EL2";
    findings.expect(Claim::Machine, "Header", &["EL2"], what, header.options, must);
    for (p, _, partition) in context.partitions() {
        if partition.row.supervisor != 0 && header.options & options::SUPERVISION == 0 {
            let name = context.name(p);
            let what = format!("{name} is a supervisor, and EL2 has no calls for it");
            findings.add(Claim::Machine, "Header", &["EL2", name], what);
        }
    }
}

/// Checks header and machine.
pub fn check(context: &Context<'_>, findings: &mut Findings) {
    let header = &context.image.header;
    let (machine, board) = (&header.machine, context.board());
    let gic = &board.gic[0];
    let start = match board.start {
        Start::Psci => START_PSCI,
        Start::SpinTable => START_SPIN_TABLE,
    };
    for (what, found, must) in [
        ("gic_version", machine.gic_version, gic.version),
        ("list_registers", machine.list_registers, gic.list_registers),
        ("intids", machine.intids, gic.intids),
        ("pa_bits", machine.pa_bits, board.pa_bits),
        ("uart_intid", machine.uart_intid, board.console.intid),
        ("start", machine.start, start),
    ] {
        findings.expect(Claim::Machine, "Machine", &["EL2"], what, found, must);
    }
    for (what, found, must) in [
        ("gicd", machine.gicd, gic.gicd),
        ("gicr", machine.gicr, gic.gicr),
        ("gicc", machine.gicc, gic.gicc),
        ("gich", machine.gich, gic.gich),
        ("gicv", machine.gicv, gic.gicv),
        ("uart", machine.uart, board.console.regs),
    ] {
        findings.expect(Claim::Machine, "Machine", &["EL2"], what, found, must);
    }
    let must = board.core_type.iter();
    let must: Vec<Midr> = must.map(|kind| Midr { mask: kind.mask, value: kind.value }).collect();
    if context.image.midrs != must {
        let what = format!("core types are {:x?}, the board has {must:x?}", context.image.midrs);
        findings.add(Claim::Machine, "Machine::midrs", &["EL2"], what);
    }
    check_writes(context, findings);
    let must = merged(&board.reclaimed);
    if context.image.reclaimed != must {
        let what = format!(
            "the boot tree may reserve {:x?}, the board lets it reserve {must:x?}",
            context.image.reclaimed
        );
        findings.add(Claim::Machine, "Machine::reclaimed", &["EL2"], what);
    }

    for (what, found, must) in [
        ("at_end", header.at_end, context.manifest().at_end),
        ("on_refusal", header.on_refusal, context.manifest().on_refusal),
    ] {
        let must = match must {
            MachineEnd::PowerOff => END_POWER_OFF,
            MachineEnd::Wait => END_WAIT,
            MachineEnd::Reset => END_RESET,
        };
        findings.expect(Claim::Machine, "Header", &["EL2"], what, found, must);
    }
    check_options(context, findings);
    let share = context.manifest().console_share;
    let what = "console_share";
    findings.expect(Claim::Machine, "Header", &["EL2"], what, header.console_share, share);
    let console = context.core_index(context.manifest().console_core);
    let what = "console_core";
    findings.expect(Claim::Cores, "Header", &["EL2"], what, header.console_core as usize, console);
    let number = context.manifest().console_core;
    if context.cores.get(console) != Some(&number) {
        let what = format!("core {number} drains the console, but no partition owns it");
        findings.add(Claim::Cores, "Header", &["EL2"], what);
    } else {
        let (p, _, class) = context.owner(console);
        if class != Class::Comm {
            let what = "the console is drained by a compute core";
            findings.add(Claim::Cores, context.core_name(console), &[context.name(p)], what);
        }
    }
}

/// Checks the board's register writes: they are what its file says, and none is to RAM.
fn check_writes(context: &Context<'_>, findings: &mut Findings) {
    let (machine, board) = (&context.image.header.machine, context.board());
    for ((key, found), must) in writes::KEYS.iter().zip(&context.image.writes).zip(board.writes()) {
        let must: Vec<Write> = must
            .iter()
            .map(|write| Write { address: write.address, value: write.value, reserved: 0 })
            .collect();
        let place = format!("Machine::writes: {key}");
        if *found != must {
            let what = format!("EL2 writes {found:x?}, the board says {must:x?}");
            findings.add(Claim::Machine, &place, &["EL2"], what);
        }
        let in_ram = |write: &&Write| {
            board.ram.iter().any(|ram| write.address.wrapping_sub(ram.base) < ram.size)
        };
        if let Some(write) = found.iter().find(in_ram) {
            let what = format!("{:#x} is RAM, not a register", write.address);
            findings.add(Claim::Machine, &place, &["EL2"], what);
        }
    }
    let found = String::from_utf8_lossy(&machine.quiesced).into_owned();
    let must = format!("{:\0<1$}", board.quiesce.compatible, machine.quiesced.len());
    findings.expect(Claim::Machine, "Machine", &["EL2"], "quiesced", found, must);
    let period = board.watchdog.period.0;
    let what = "watchdog_period";
    findings.expect(Claim::Machine, "Machine", &["EL2"], what, machine.watchdog_period, period);
}

/// Checks that EL2's bytes are its executable's, except the words that the packer fills in.
pub fn check_el2(context: &Context<'_>, findings: &mut Findings) {
    let image = context.image;
    let must = &context.inputs.el2.bytes;
    let found = &image.bytes[..image.plan_offset];
    findings.expect(
        Claim::Image,
        "byte 64 of the image",
        &["EL2"],
        "the size of EL2's segments",
        found.len(),
        must.len(),
    );
    if found == must {
        return;
    }
    let filled = |at: &usize| FILLED.iter().any(|span| span.contains(at));
    let mut different = (0..found.len().min(must.len())).filter(|at| found[*at] != must[*at]);
    if let Some(at) = different.find(|at| !filled(at)) {
        let what = format!(
            "EL2's byte is {:#04x}, its executable has {:#04x}: the image is of another build, or \
             damaged",
            found[at], must[at]
        );
        findings.add(Claim::Image, format!("byte {at:#x} of the image"), &["EL2"], what);
    }
}
