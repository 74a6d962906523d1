//! Cores and VMIDs have one owner each; a core's row and its registers are those that manifest and
//! board give.

use plan::{
    ACTION_HALT, ACTION_RESTART, ACTION_STOP_SYSTEM, CLASS_COMM, CLASS_COMPUTE, INTIDS,
    PARTITION_HALT_OUTSIDE, Write,
};

use super::{Context, GUEST_PL011_INTID};
use crate::board::{Device, GICR_SIZE};
use crate::finding::{Claim, Findings};
use crate::manifest::{Action, Class, Mixed, Outside};
use crate::registers;

/// Checks every core's row and every partition's.
pub fn check(context: &Context<'_>, findings: &mut Findings) {
    for pair in context.cores.windows(2) {
        if pair[0] == pair[1] {
            let name = |p: &crate::manifest::Partition| {
                let given = p.vcpus.iter().any(|vcpu| vcpu.core == pair[0]);
                given.then(|| p.name.clone())
            };
            let names: Vec<_> = context.manifest().partition.iter().filter_map(name).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let place = format!("core {}", pair[0]);
            findings.add(Claim::Cores, place, &names, "the core is given twice");
        }
    }
    clusters(context, findings);
    for index in 0..context.cores.len() {
        core(context, index, findings);
    }
    vmids(context, findings);
    for (p, _, _) in context.partitions() {
        partition(context, p, findings);
    }
}

fn core(context: &Context<'_>, index: usize, findings: &mut Findings) {
    let number = context.cores[index];
    let (p, vcpu, class) = context.owner(index);
    let place = context.core_name(index);
    let who = [context.name(p)];
    let core = &context.image.cores[index];
    let row = &core.row;
    let board = &context.board().core[number as usize];
    let gic = &context.board().gic[0];
    let class = match class {
        Class::Comm => CLASS_COMM,
        Class::Compute => CLASS_COMPUTE,
    };
    for (what, found, must) in [
        ("its partition", row.partition, p as u32),
        ("its vCPU", row.vcpu, vcpu as u32),
        ("its class (0 compute, 1 comm)", row.class, class),
        ("a reserved word", row.reserved, 0),
    ] {
        findings.expect(Claim::Cores, &place, &who, what, found, must);
    }
    let gicr = match gic.version {
        3 => gic.gicr.base + u64::from(number) * GICR_SIZE,
        _ => 0,
    };
    for (what, found, must) in [
        ("its MPIDR", row.mpidr, board.mpidr),
        ("its redistributor", row.gicr, gicr),
        ("its release address", row.release, board.release),
        ("VMPIDR_EL2", row.vmpidr, 1 << 31 | vcpu as u64),
    ] {
        findings.expect(Claim::Cores, &place, &who, what, found, must);
    }
    registers::check_core(core, &place, &who, findings);
    // Each partition has one translation.
    let first = &context.core_row(p, 0).row;
    for (what, found, must) in [
        ("VTTBR_EL2, which is vCPU 0's,", row.vttbr, first.vttbr),
        ("VTCR_EL2, which is vCPU 0's,", row.vtcr, first.vtcr),
    ] {
        findings.expect(Claim::Registers, &place, &who, what, found, must);
    }
}

/// Checks that a cluster does not have cores of both classes, where the manifest refuses that.
fn clusters(context: &Context<'_>, findings: &mut Findings) {
    if context.manifest().mixed_clusters == Mixed::Allow {
        return;
    }
    let cluster = |core: usize| context.board().core[context.cores[core] as usize].cluster;
    for one in 0..context.cores.len() {
        let other = (0..one).find(|&other| {
            cluster(other) == cluster(one) && context.owner(other).2 != context.owner(one).2
        });
        if let Some(other) = other {
            let who = [other, one].map(|core| context.name(context.owner(core).0));
            let place = format!("{}, {}", context.core_name(other), context.core_name(one));
            let what = format!("cluster {} has cores of both classes", cluster(one));
            findings.add(Claim::Cores, place, &who, what);
        }
    }
}

/// Checks that each partition has its own VMID; EL2 ran with VMID 0 before.
fn vmids(context: &Context<'_>, findings: &mut Findings) {
    let vmid = |p: usize| context.core_row(p, 0).row.vttbr >> 48;
    for (p, _, _) in context.partitions() {
        let place = format!("VTTBR_EL2 of {}", context.core_name(context.core_of(p, 0)));
        if !(1..=255).contains(&vmid(p)) {
            let what = format!("VMID {} is not in 1 to 255", vmid(p));
            findings.add(Claim::Cores, &place, &[context.name(p)], what);
        }
        if let Some(other) = (0..p).find(|&other| vmid(other) == vmid(p)) {
            let who = [context.name(other), context.name(p)];
            let what = format!("two partitions have VMID {}", vmid(p));
            findings.add(Claim::Cores, &place, &who, what);
        }
    }
}

fn partition(context: &Context<'_>, p: usize, findings: &mut Findings) {
    let declared = &context.manifest().partition[p];
    let rows = &context.image.partitions[p];
    let row = &rows.row;
    let name = context.name(p);
    let place = format!("partition {name}");
    let who = [name];
    let mut padded = [0; 16];
    if let Some(bytes) = padded.get_mut(..name.len()) {
        bytes.copy_from_slice(name.as_bytes());
    }
    if row.name != padded || name.len() >= padded.len() {
        let found = String::from_utf8_lossy(&row.name).replace('\0', "");
        let what = format!("its row is named {found:?}, must be {name:?}, zero-padded");
        findings.add(Claim::Cores, &place, &who, what);
    }
    let vcpus = (0..declared.vcpus.len()).map(|vcpu| context.core_of(p, vcpu) as u32);
    let vcpus: Vec<_> = vcpus.collect();
    if rows.vcpus != vcpus {
        let what =
            format!("its vCPUs run on cores {:?} of the plan, must be {vcpus:?}", rows.vcpus);
        findings.add(Claim::Cores, &place, &who, what);
    }

    let intids = rows.interrupts.iter().map(|row| u32::from(row.intid) + 1);
    let board = context.board().gic[0].intids.min(INTIDS as u32);
    let intids = intids.chain([board]).max().unwrap_or(0);
    let intids = intids.next_multiple_of(32);
    let uart_intid = if declared.console { GUEST_PL011_INTID } else { 0 };
    let gic = &row.gic;
    for (what, found, must) in [
        ("its GIC's version", gic.version, context.board().gic[0].version),
        ("its GIC's number of INTIDs", gic.intids, intids),
        ("its PL011's INTID", row.uart_intid, uart_intid),
    ] {
        findings.expect(Claim::Interrupts, &place, &who, what, found, must);
    }
    let flags = match declared.outside {
        Outside::Abort => 0,
        Outside::Halt => PARTITION_HALT_OUTSIDE,
    };
    for (what, found, must) in [
        ("its flags (1: an access outside halts it)", row.flags, flags),
        (
            "whether it is a supervisor (1)",
            u32::from(row.supervisor != 0),
            u32::from(declared.supervisor),
        ),
    ] {
        findings.expect(Claim::Cores, &place, &who, what, found, must);
    }
    check_policy(context, p, findings);
    if row.colour != 0 && !(31..=36).contains(&row.colour) {
        let what = format!("the colour of its console is {}, must be 0 or 31 to 36", row.colour);
        findings.add(Claim::Cores, &place, &who, what);
    }
}

/// Checks what follows when the partition stops: the actions, how it restarts, and that only its
/// own devices are written to before it does.
fn check_policy(context: &Context<'_>, p: usize, findings: &mut Findings) {
    let declared = &context.manifest().partition[p];
    let rows = &context.image.partitions[p];
    let found = &rows.row.policy;
    let name = context.name(p);
    let (place, who) = (format!("policy of partition {name}"), [name]);
    let action = |action| match action {
        Action::Halt => ACTION_HALT,
        Action::Restart => ACTION_RESTART,
        Action::StopSystem => ACTION_STOP_SYSTEM,
    };
    let all = [declared.on_fault, declared.on_reset, declared.on_off];
    let restart = &declared.restart;
    let first = declared.watchdog.map_or(0, |watchdog| watchdog.first.0);
    let [on_fault, on_reset, on_off] = all.map(action);
    for (what, found, must) in [
        ("the action after a fault", found.on_fault, on_fault),
        ("the action after a reset", found.on_reset, on_reset),
        ("the action after an off", found.on_off, on_off),
        ("the factor of the delay", found.back_off, restart.back_off),
    ] {
        findings.expect(Claim::Cores, &place, &who, what, u32::from(found), u32::from(must));
    }
    let what = "the limit of restarts";
    findings.expect(Claim::Cores, &place, &who, what, found.limit, restart.limit);
    for (what, found, must) in [
        ("the window of restarts, us", found.within, restart.within.0),
        ("the delay of a restart, us", found.delay, restart.delay.0),
        ("the watchdog's first time, us", found.first, first),
    ] {
        findings.expect(Claim::Cores, &place, &who, what, found, must);
    }
    let writes = context.quiesced(p).flat_map(|device| &device.quiesce);
    let must: Vec<_> = writes
        .map(|write| Write { address: write.address, value: write.value, reserved: 0 })
        .collect();
    for write in &rows.quiesce {
        let inside = |device: &Device| {
            write.address.is_multiple_of(4)
                && write.address.wrapping_sub(device.regs.base) < device.regs.size
        };
        if !context.devices(p).any(inside) {
            let what =
                format!("EL2 writes {:#x}, which is not a register of its devices", write.address);
            findings.add(Claim::Cores, &place, &who, what);
        }
    }
    if rows.quiesce != must {
        let what =
            format!("its devices are silenced by {:x?}, the board says {must:x?}", rows.quiesce);
        findings.add(Claim::Cores, &place, &who, what);
    }
}
