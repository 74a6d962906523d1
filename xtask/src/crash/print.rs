// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prints a crash record in words.

use std::fmt::Write;

use abi::Reason;
use record::{Cause, Record, word};

use super::names::Names;

/// Registers in one line.
const PER_LINE: usize = 4;

/// Returns a record in words, with `names` for its addresses.
#[must_use]
pub fn print(record: &Record, names: &Names) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = head(&mut text, record, names);
    if record.has_registers() {
        let _ = places(&mut text, record, names);
        let _ = registers(&mut text, record);
    }
    let _ = entries(&mut text, record);
    text
}

fn head(text: &mut String, record: &Record, names: &Names) -> std::fmt::Result {
    let place = record.place();
    let who = match names.partition(place.partition) {
        Some(name) => name.to_string(),
        None => format!("partition {}, which {} does not have", place.partition, names.system),
    };
    let esr = record.get(word::ESR);
    let cause = match record.cause() {
        Some(cause) if cause.has_syndrome() => trap::cause(esr).to_string() + cause.words(),
        Some(Cause::Failed) => format!("reported failure, code {:#x}", record.get(word::CODE)),
        Some(cause) => cause.words().to_string(),
        None => "a cause that this version does not know".to_string(),
    };
    writeln!(text, "record {} of {who}: {cause}", record.number())?;
    let ticks = u128::from(record.get(word::TIME)) * 1_000_000;
    let micros = ticks.checked_div(record.frequency().into()).unwrap_or(0);
    writeln!(
        text,
        "  vCPU {} on core {}, life {}, {}.{:06} s after the counter's start",
        place.vcpu,
        place.core,
        place.generation,
        micros / 1_000_000,
        micros % 1_000_000
    )?;
    if record.plan() != names.plan {
        writeln!(
            text,
            "  note: another image wrote it (plan {:#010x}, that of {} is {:#010x}), so names may \
             be wrong",
            record.plan(),
            names.system,
            names.plan
        )?;
    }
    if esr != 0 {
        let [elr, far, hpfar] = [word::ELR, word::FAR, word::HPFAR].map(|at| record.get(at));
        writeln!(text, "  ESR {esr:#x} ELR {elr:#x} FAR {far:#x} HPFAR {hpfar:#x}")?;
    }
    Ok(())
}

/// Prints where the vCPU was and how it came there.
fn places(text: &mut String, record: &Record, names: &Names) -> std::fmt::Result {
    let cause = record.cause();
    let partition = record.place().partition;
    let is_el2 = cause.is_some_and(Cause::is_el2);
    // A call returns to the instruction after it; its own line is that of the one before.
    let is_call = matches!(cause, Some(Cause::Reset | Cause::Failed));
    let mut is_named = is_el2;
    let mut show = |word: &str, address: u64, back: u64| {
        let at = address.wrapping_sub(back);
        let found = if is_el2 { names.el2(at) } else { names.guest(partition, at) };
        is_named |= !found.is_empty();
        let mut found = found.into_iter();
        let first = found.next().unwrap_or_default();
        writeln!(text, "{}", format!("  {word:<4} {address:#018x} {first}").trim_end())?;
        found.try_for_each(|outer| writeln!(text, "{:26}inlined into {outer}", ""))
    };
    let (elr, pc) = (record.get(word::ELR), record.get(word::PC));
    show("at", elr, if is_call { 4 } else { 0 })?;
    if pc != elr {
        show("now", pc, 0)?;
    }
    // In a function without a frame the caller is only in x30.
    let link = record.get(word::X0 + 30);
    if record.trace().first() != Some(&link) {
        show("lr", link, 4)?;
    }
    for &address in record.trace() {
        show("from", address, 4)?;
    }
    if !is_el2 && record.trace().is_empty() {
        let frame = record.get(word::X0 + 29);
        writeln!(text, "  no stack trace: x29 ({frame:#x}) is not the address of a frame")?;
    }
    if !is_named {
        let name = names.partition(partition).unwrap_or("?");
        writeln!(
            text,
            "  note: no symbols of {name}: give its vmlinux or System.map by --symbols {name}=FILE"
        )?;
    }
    Ok(())
}

fn registers(text: &mut String, record: &Record) -> std::fmt::Result {
    let general = (0..31).map(|index| (format!("x{index}"), record.get(word::X0 + index)));
    let others = [
        ("SPSR", word::SPSR),
        ("SP_EL0", word::SP_EL0),
        ("SP_EL1", word::SP_EL1),
        ("ELR_EL1", word::ELR_EL1),
        ("SPSR_EL1", word::SPSR_EL1),
        ("ESR_EL1", word::ESR_EL1),
        ("FAR_EL1", word::FAR_EL1),
        ("VBAR_EL1", word::VBAR_EL1),
    ];
    let is_el2 = record.cause().is_some_and(Cause::is_el2);
    let others = others.into_iter().filter(|&(name, _)| !is_el2 || name.len() < 7);
    let others = others.map(|(name, at)| match (is_el2, name) {
        (true, "SP_EL1") => ("SP_EL2".to_string(), record.get(at)),
        _ => (name.to_string(), record.get(at)),
    });
    let all: Vec<_> = general.chain(others).collect();
    for line in all.chunks(PER_LINE) {
        let words: Vec<_> =
            line.iter().map(|(name, value)| format!("{name:>8} {value:016x}")).collect();
        writeln!(text, "{}", words.join(" "))?;
    }
    Ok(())
}

fn entries(text: &mut String, record: &Record) -> std::fmt::Result {
    let counts = (word::ENTRIES_AT..).zip(Reason::NAMES);
    let counts = counts.map(|(at, name)| (name, record.get(at))).filter(|(_, count)| *count != 0);
    let words: Vec<_> = counts.map(|(name, count)| format!("{name} {count}")).collect();
    writeln!(text, "  EL2 entries of the core since boot: {}", words.join(" "))
}
