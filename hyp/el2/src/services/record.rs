// SPDX-License-Identifier: MIT OR Apache-2.0
//! Crash records: the core that stops a partition writes one, and prints it for
//! `cargo xtask crash`.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use ::console::LineBuffer;
use aarch64_cpu::registers::*;
use abi::error;
use plan::address::translate;
use plan::{Ipa, Memory, Pa};
use record::trace::{self, Stage1};
use record::{Cause, LINES, PER_LINE, Place, Record, SLOTS, WORDS, slot, word};

use super::{console, restart};
use crate::arch::timer;
use crate::state::deadlines::Deadline;
use crate::state::frame::Frame;
use crate::state::next::Stop;
use crate::state::percpu::PerCpu;

/// Rate, Hz, at which a core looks whether the console has room for more of a record.
const LOOKS_HZ: u64 = 50;

/// A record that has its number and is not written yet.
pub struct Begun {
    number: u64,
    cause: Cause,
    /// `ESR_EL2`, `ELR_EL2`, `FAR_EL2` and `HPFAR_EL2` of a fault; otherwise only the ELR, if there
    /// are registers.
    at: [u64; 4],
}

/// Takes the number for the record of this stop, if the stop leaves one. The partition has just
/// changed its state.
pub fn begin(cpu: &PerCpu, stop: Stop, has_registers: bool) -> Option<Begun> {
    let cause = match stop {
        Stop::BySibling | Stop::Off | Stop::Ordered | Stop::OrderedRestart => return None,
        Stop::Reset => Cause::Reset,
        Stop::Failed => Cause::Failed,
        Stop::Watchdog => Cause::Watchdog,
        Stop::Device => Cause::Device,
        Stop::Fault | Stop::Defect => cpu.fault.cause,
    };
    let at = match stop {
        Stop::Fault | Stop::Defect => cpu.fault.registers,
        _ if has_registers => [0, cpu.left[0], 0, 0],
        _ => [0; 4],
    };
    let number = cpu.shared.global.records.next.fetch_add(1, AcqRel);
    Some(Begun { number, cause, at })
}

impl Begun {
    /// Adds the record's number to the partition's line, and what the line of another cause than a
    /// fault does not say.
    pub fn name(&self, cpu: &PerCpu, line: &mut LineBuffer) {
        line.str("; record ").dec(self.number);
        if matches!(self.cause, Cause::Watchdog | Cause::Reset | Cause::Failed) {
            line.str(": vCPU ").dec(cpu.row.vcpu.into()).str(" ELR ").hex(self.at[1]);
        }
    }

    /// Writes the record, and prints as much of it as the console has room for.
    pub fn write(self, cpu: &mut PerCpu, frame: Option<&Frame>) {
        let place = Place {
            partition: cpu.row.partition as u8,
            vcpu: cpu.row.vcpu as u8,
            core: cpu.index as u8,
            generation: cpu.shared.generation(cpu.row.partition as usize) as u16,
        };
        let mut record = Record::new(self.number, self.cause, place);
        let origin = timer::frequency() << 32 | u64::from(cpu.plan.header.crc);
        record.set(word::ORIGIN, origin);
        record.set(word::TIME, timer::now());
        if self.cause == Cause::Failed {
            record.set(word::CODE, cpu.fail_code);
        }
        for (index, value) in (word::ESR..).zip(self.at) {
            record.set(index, value);
        }
        for (index, count) in (word::ENTRIES_AT..).zip(&cpu.mine.entries) {
            record.set(index, count.load(Relaxed));
        }
        if let Some(frame) = frame {
            registers(cpu, frame, &mut record);
        }
        let bit = 1 << slot(self.number);
        let known = &cpu.shared.global.records;
        known.untold.fetch_and(!bit, AcqRel);
        cpu.shared.ring.write(&mut record);
        known.untold.fetch_or(bit, AcqRel);
        tell(cpu, false);
    }
}

/// Adds the registers in `frame` and, if they are a guest's, those of EL1 and the stack trace.
fn registers(cpu: &PerCpu, frame: &Frame, record: &mut Record) {
    record.mark_registers();
    record.set(word::PC, cpu.left[0]);
    record.set(word::SPSR, cpu.left[1]);
    for (index, &value) in (word::X0..word::ENTRIES_AT).zip(frame.all()) {
        record.set(index, value);
    }
    if record.cause().is_some_and(Cause::is_el2) {
        record.set(word::SP_EL1, frame.get(0));
        record.set(word::X0, 0);
        return;
    }
    let el1 = [
        SP_EL0.get(),
        SP_EL1.get(),
        ELR_EL1.get(),
        SPSR_EL1.get(),
        ESR_EL1.get(),
        FAR_EL1.get(),
        VBAR_EL1.get(),
    ];
    for (index, value) in (word::SP_EL0..).zip(el1) {
        record.set(index, value);
    }
    let stage1 = Stage1 {
        sctlr: SCTLR_EL1.get(),
        tcr: TCR_EL1.get(),
        ttbr: [TTBR0_EL1.get(), TTBR1_EL1.get()],
    };
    let memory = cpu.plan.slice::<Memory>(cpu.partition.memory);
    let read = |ipa: u64| {
        let Pa(address) = translate(memory, Ipa(ipa)).filter(|pa| pa.0.is_multiple_of(8))?;
        // SAFETY: the word is in the partition's own memory, whose pieces are whole pages, and the
        // loading tables map all of it. A sibling that has not stopped yet may write it meanwhile.
        Some(unsafe { (address as *const u64).read_volatile() })
    };
    restart::use_tables(cpu.row.ttbr_load);
    let frames = record.trace_mut().map(|trace| trace::frames(&stage1, frame.get(29), trace, read));
    restart::use_tables(cpu.row.ttbr_run);
    record.set_frames(frames.unwrap_or(0));
}

/// Returns record `number`, if it is still there.
pub fn read(cpu: &PerCpu, number: u64) -> Option<Record> {
    cpu.shared.ring.read(number)
}

/// Answers a supervisor's call `CRASH_RECORD`.
pub fn call(frame: &mut Frame, cpu: &PerCpu) -> i64 {
    let (number, first) = (frame.get(1), frame.get(2));
    if first >= WORDS as u64 {
        return error::BAD_ARGUMENT;
    }
    let Some(record) = read(cpu, number) else {
        frame.set(1, cpu.shared.global.records.next.load(Acquire));
        return error::BAD_HANDLE;
    };
    for register in 0..3 {
        frame.set(1 + register, record.get(first as usize + usize::from(register)));
    }
    0
}

/// Prints the records of this partition, or of all, that are not on the console yet, as far as the
/// console has room, and arms nothing but sets the time of the next look. Returns whether some of
/// it is left.
pub fn tell(cpu: &mut PerCpu, all: bool) -> bool {
    let known = &cpu.shared.global.records;
    let next = known.next.load(Acquire);
    cpu.deadlines.set(Deadline::Record, timer::NEVER);
    for number in next.saturating_sub(SLOTS as u64)..next {
        let bit = 1 << slot(number);
        if known.untold.load(Acquire) & bit == 0 {
            continue;
        }
        // The core that writes a record here sets the bit anew.
        let Some(record) = read(cpu, number) else {
            continue;
        };
        if !all && u32::from(record.place().partition) != cpu.row.partition {
            continue;
        }
        if cpu.told.0 != number {
            cpu.told = (number, 0);
        }
        while let Some(line) = line(&record, cpu.told.1) {
            if !console::print_if_room(cpu, &line) {
                let at = timer::now() + timer::frequency() / LOOKS_HZ;
                cpu.deadlines.set(Deadline::Record, at);
                return true;
            }
            cpu.told.1 += 1;
        }
        known.untold.fetch_and(!bit, AcqRel);
        // Another core may have written a newer record here before that, and set the bit.
        if read(cpu, number).is_none() {
            known.untold.fetch_or(bit, AcqRel);
        }
    }
    false
}

/// Returns line `index` of a record's dump, from 0.
fn line(record: &Record, index: usize) -> Option<LineBuffer> {
    let words = record.words().chunks(PER_LINE).nth(index)?;
    let mut line = LineBuffer::default();
    line.str("record ").dec(record.number());
    line.str(" line ").dec(index as u64 + 1).str(" of ").dec(LINES as u64).byte(b':');
    for &word in words {
        line.byte(b' ').digits(word, 16);
    }
    Some(line)
}

/// Prints how many records of an earlier run there are, if any, on the plan's first core, and those
/// of this partition on the core of its vCPU 0.
pub fn tell_kept(cpu: &mut PerCpu) {
    let kept = cpu.shared.global.records.kept.load(Relaxed);
    if kept == 0 {
        return;
    }
    if cpu.index == 0 {
        let mut line = LineBuffer::default();
        line.dec(kept.into()).str(" crash records of an earlier run");
        console::print_line(cpu, &line);
    }
    if cpu.row.vcpu == 0 {
        tell(cpu, false);
        cpu.deadlines.arm();
    }
}
