//! Target `vgic`: guests' register accesses, arrivals, acknowledgements and ends in any order, with
//! the mock hardware of the vGIC's tests. That hardware panics where a foreign interrupt is
//! changed, one interrupt is in two list registers, or a linked list register has no active
//! physical interrupt.

#[path = "../../hyp/vgic/tests/machine/mod.rs"]
#[allow(missing_docs, unreachable_pub, reason = "the tests' own")]
mod machine;

use arbitrary::{Arbitrary, Unstructured};
use bulkhead_vgic::Entry;
use machine::{Machine, row};
use plan::{INTERRUPT_EDGE as EDGE, INTERRUPT_FIXED as FIXED, INTERRUPT_PHYSICAL as PHYSICAL};

/// The interrupts of the partition: physical or software's, level or edge, routed or fixed.
const ROWS: [(u16, u16, u32); 12] = [
    (16, EDGE, 0),
    (24, PHYSICAL | EDGE, 0),
    (27, PHYSICAL, 0),
    (30, PHYSICAL, 0),
    (33, 0, 0),
    (40, EDGE, 1),
    (45, PHYSICAL, 0),
    (46, PHYSICAL | EDGE, 1),
    (64, PHYSICAL, 1),
    (128, EDGE | FIXED, 0),
    (129, EDGE | FIXED, 1),
    (287, PHYSICAL, 0),
];

/// GICv2: `GICD_SGIR`.
const SGIR: u64 = 0xf00;

#[derive(Arbitrary, Debug)]
enum Step {
    /// An access of any kind: by vCPU, frame (the distributor from 8 on), offset, size, and a value
    /// to write.
    Access(u8, u8, u32, u8, Option<u64>),
    /// A write of a register of one bit per interrupt: by vCPU, frame, which, word, value.
    Bits(u8, u8, u8, u8, u32),
    Inject(u8, u16),
    Level(u8, u16, bool),
    Line(u8, u8, bool),
    Sgi(u8, u8, u64),
    SgiToOne(u8, u64),
    Acknowledge(u8),
    End(u8),
    /// With EOImode = 1: EOIR.
    Drop(u8),
    /// DIR, of one of the partition's interrupts or another.
    Deactivate(u8, u8, Option<u32>),
    /// EOImode, and the groups enabled in the CPU interface.
    Interface(u8, bool, u8),
    /// An entry into EL2 for another reason.
    Sample(u8),
    Park(u8),
    Enter(u8),
    Settle,
}

/// Runs one input: the GIC's version, vCPUs, list registers; then steps.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let _ = match input.ratio(1, 2) {
        Ok(true) => steps::<true>(&mut input),
        _ => steps::<false>(&mut input),
    };
}

fn steps<const V2: bool>(input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let vcpus = input.int_in_range(2..=4)?;
    let registers = input.int_in_range(1..=5)?;
    let rows = ROWS.map(|(intid, flags, vcpu)| row(intid, flags, vcpu));
    let mut machine = Machine::<V2>::new(vcpus, registers, &rows);
    machine.set_gicd(0, 0, 3);
    for step in input.arbitrary_iter()? {
        take(&mut machine, step?, vcpus);
    }
    // After any steps, entries into EL2 come to an end, and so do interrupts once devices and
    // siblings are quiet.
    let lines: Vec<u32> = (0..288).collect();
    for core in 0..vcpus {
        for &intid in &lines {
            machine.set_line(core, intid, false);
        }
        machine.vcpu(core).set_level(33, false);
    }
    machine.settle();
    for core in 0..vcpus {
        held_once(&machine, core);
    }
    Ok(())
}

/// Checks that an interrupt is not in two list registers of a core.
fn held_once<const V2: bool>(machine: &Machine<V2>, core: usize) {
    let entries = machine.cores[core].registers.iter().map(|&raw| Entry(raw));
    let mut held: Vec<u32> = entries.filter(|entry| !entry.is_over()).map(Entry::intid).collect();
    let count = held.len();
    held.sort_unstable();
    held.dedup();
    assert_eq!(held.len(), count);
}

fn take<const V2: bool>(machine: &mut Machine<V2>, step: Step, vcpus: usize) {
    let core = |by: u8| usize::from(by) % vcpus;
    match step {
        Step::Access(by, frame, offset, size, write) => {
            let size = 1 << (size % 4);
            // The distributor has 64 KiB, a redistributor 128. Frames of vCPUs that do not exist
            // are included.
            let (frame, offset) = match frame % 16 {
                frame @ 0..8 => (Some(usize::from(frame)), offset & 0x1_ffff),
                _ => (None, offset & 0xffff),
            };
            let mut vcpu = machine.vcpu(core(by));
            let offset = u64::from(offset);
            match (write, V2) {
                (Some(value), true) => vcpu.write_v2(offset & 0xfff, size, value),
                (Some(value), false) => vcpu.write(frame, offset, size, value),
                (None, _) => {
                    let value = match V2 {
                        true => vcpu.read_v2(offset & 0xfff, size),
                        false => vcpu.read(frame, offset, size),
                    };
                    assert!(size == 8 || value >> (8 * size) == 0, "wider than asked");
                }
            }
        }
        Step::Bits(by, frame, which, word, value) => {
            let word = u64::from(word) % 9;
            let offset = 0x80 * (1 + u64::from(which) % 7) + 4 * word;
            match word {
                0 if !V2 => machine.set_gicr(core(by), core(frame), 0x1_0000 + offset, value),
                _ => machine.set_gicd(core(by), offset, value),
            }
        }
        Step::Inject(by, intid) => {
            let is_physical = |row: &(u16, u16, u32)| row.0 == intid && row.1 & PHYSICAL != 0;
            if !ROWS.iter().any(is_physical) {
                machine.vcpu(core(by)).inject(intid.into());
            }
        }
        Step::Level(by, intid, high) => machine.vcpu(core(by)).set_level(intid.into(), high),
        Step::Line(by, which, high) => {
            let (intid, flags, _) = ROWS[usize::from(which) % ROWS.len()];
            if flags & PHYSICAL != 0 {
                machine.set_line(core(by), intid.into(), high);
            }
        }
        Step::Sgi(by, _, value) if V2 => machine.set_gicd(core(by), SGIR, value as u32),
        Step::Sgi(by, register, value) => {
            // ICC_SGI1R_EL1, or one of the other two, which are only for Group 0.
            let only_group0 = register % 3 != 0;
            machine.vcpu(core(by)).send_sgi(value, only_group0);
        }
        Step::SgiToOne(by, value) if V2 => {
            machine.vcpu(core(by)).fast_send_sgi_v2(SGIR, value as u32);
        }
        Step::SgiToOne(by, value) => {
            machine.vcpu(core(by)).fast_send_sgi(value);
        }
        Step::Acknowledge(by) => {
            machine.cores[core(by)].acknowledge();
        }
        Step::End(by) => {
            // The guest ends the interrupt that it runs, which has the highest priority.
            let hardware = &mut machine.cores[core(by)];
            let running = hardware.running.iter().min().copied();
            let entry = hardware.registers.iter().map(|&raw| Entry(raw));
            let ended = running.and_then(|priority| {
                entry
                    .filter(|entry| entry.has(Entry::ACTIVE) && entry.priority() == priority)
                    .map(Entry::intid)
                    .next()
            });
            hardware.end(ended.unwrap_or(1023));
        }
        Step::Drop(by) => {
            machine.cores[core(by)].drop_priority();
        }
        Step::Deactivate(by, which, intid) => {
            let listed = ROWS[usize::from(which) % ROWS.len()].0.into();
            machine.vcpu(core(by)).deactivate(intid.unwrap_or(listed));
        }
        Step::Interface(by, split, groups) => {
            let hardware = &mut machine.cores[core(by)];
            hardware.split = split;
            hardware.groups = u32::from(groups) % 4;
        }
        Step::Sample(by) => machine.vcpu(core(by)).sample(),
        Step::Park(by) => {
            machine.vcpu(core(by)).park();
            machine.vcpu(core(by)).unpark();
        }
        Step::Enter(by) => {
            machine.entry(core(by));
        }
        Step::Settle => machine.settle(),
    }
}
