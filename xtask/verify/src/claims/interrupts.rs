//! Every interrupt of a partition is declared, with its trigger and its route; physical ones have
//! one owner.

use plan::{INTERRUPT_EDGE, INTERRUPT_FIXED, INTERRUPT_PHYSICAL, INTIDS, Interrupt};

use super::{Context, GUEST_PL011_INTID};
use crate::board::Trigger;
use crate::finding::{Claim, Findings};
use crate::manifest::{End, FIRST_SPI, Wait};

/// The core's virtual and physical EL1 timers, which every guest owns (`docs/guest-abi.md`,
/// "Interrupts").
pub const TIMERS: [u32; 2] = [27, 30];

/// Checks the interrupt rows of every partition, and all of them together.
pub fn check(context: &Context<'_>, findings: &mut Findings) {
    for (p, _, _) in context.partitions() {
        partition(context, p, findings);
    }
    owners(context, findings);
}

fn partition(context: &Context<'_>, p: usize, findings: &mut Findings) {
    let name = context.name(p);
    let rows = &context.image.partitions[p].interrupts;
    let must = declared(context, p);
    let mut add = |intid: u32, what: String| {
        let place = format!("interrupt row {intid} of partition {name}");
        findings.add(Claim::Interrupts, place, &[name], what);
    };
    for pair in rows.windows(2) {
        if pair[0].intid >= pair[1].intid {
            let what = format!("INTIDs do not ascend: it follows {}", pair[0].intid);
            add(pair[1].intid.into(), what);
        }
    }
    for row in rows {
        let intid = u32::from(row.intid);
        if !(16..INTIDS as u32).contains(&intid) {
            add(intid, format!("INTIDs are 16 to {}", INTIDS - 1));
        }
        match must.iter().find(|(must, _)| must.intid == row.intid) {
            None => add(intid, format!("{} is not declared", words(row))),
            Some((must, what)) if must != row => {
                add(intid, format!("{what} is {}, must be {}", words(row), words(must)));
            }
            Some(_) => {}
        }
    }
    for (n, (row, what)) in must.iter().enumerate() {
        if rows.iter().all(|found| found.intid != row.intid) {
            add(row.intid.into(), format!("{what} is missing"));
        }
        if let Some((_, other)) = must[..n].iter().find(|(other, _)| other.intid == row.intid) {
            add(row.intid.into(), format!("it is {other} and {what}"));
        }
    }
}

/// Returns the rows that a partition must have, each with its description.
fn declared(context: &Context<'_>, p: usize) -> Vec<(Interrupt, String)> {
    // If a number does not fit its row, the row that should have it is reported.
    let row = |intid: u32, flags: u16, vcpu: usize| Interrupt {
        intid: u16::try_from(intid).unwrap_or(u16::MAX),
        flags,
        vcpu: vcpu as u32,
    };
    let timers = TIMERS.map(|intid| (row(intid, INTERRUPT_PHYSICAL, 0), "its core's timer".into()));
    let mut list: Vec<_> = timers.into();
    for (intid, trigger) in context.manifest().passed(context.board(), p) {
        let edge = match trigger {
            Trigger::Edge => INTERRUPT_EDGE,
            Trigger::Level => 0,
        };
        let what = "a passed-through interrupt".to_string();
        list.push((row(intid, INTERRUPT_PHYSICAL | edge, 0), what));
    }
    if context.manifest().partition[p].console {
        list.push((row(GUEST_PL011_INTID, 0, 0), "its emulated PL011's".into()));
    }
    let rung = |(end, _): &(End, plan::End)| context.manifest().wait(*end) == Wait::Doorbell;
    for (end, ends) in context.ends_of(p).filter(rung) {
        let flags = INTERRUPT_EDGE | INTERRUPT_FIXED;
        let what = format!("the doorbell of {}", context.direction(context.peer(end)));
        list.push((row(ends.intid, flags, end.vcpu), what));
    }
    if context.manifest().partition[p].supervisor {
        let intid = context.image.partitions[p].row.supervisor;
        let flags = INTERRUPT_EDGE | INTERRUPT_FIXED;
        list.push((row(intid, flags, 0), "the supervisor's".into()));
    }
    list
}

fn words(row: &Interrupt) -> String {
    let flag = |bit, yes, no| if row.flags & bit != 0 { yes } else { no };
    let rest = row.flags & !(INTERRUPT_PHYSICAL | INTERRUPT_EDGE | INTERRUPT_FIXED);
    format!(
        "{} {}-triggered {}interrupt {} to vCPU {}{}",
        flag(INTERRUPT_PHYSICAL, "physical", "virtual"),
        flag(INTERRUPT_EDGE, "edge", "level"),
        flag(INTERRUPT_FIXED, "fixed ", ""),
        row.intid,
        row.vcpu,
        if rest != 0 { format!(" with flags {rest:#x}") } else { String::new() }
    )
}

/// Checks that a physical SPI has one owner, exists, and is not EL2's.
fn owners(context: &Context<'_>, findings: &mut Findings) {
    let gic = &context.board().gic[0];
    let uart = context.board().console.intid;
    let mut known: Vec<(u16, usize)> = Vec::new();
    for (p, _, row) in context.partitions() {
        let shared = row.interrupts.iter().filter(|row| u32::from(row.intid) >= FIRST_SPI);
        for row in shared.filter(|row| row.flags & INTERRUPT_PHYSICAL != 0) {
            let intid = u32::from(row.intid);
            let name = context.name(p);
            let place = format!("SPI {} (INTID {intid})", intid - FIRST_SPI);
            if let Some((_, other)) = known.iter().find(|(known, _)| *known == row.intid) {
                let who = [context.name(*other), name];
                findings.add(
                    Claim::Interrupts,
                    &place,
                    &who,
                    "a physical interrupt has two owners",
                );
            }
            if intid == uart {
                let who = ["EL2", name];
                findings.add(
                    Claim::Interrupts,
                    &place,
                    &who,
                    "it belongs to the console UART, which EL2 owns",
                );
            }
            if intid >= gic.intids {
                let what = format!("the board has {} INTIDs", gic.intids);
                findings.add(Claim::Interrupts, &place, &[name], what);
            }
            known.push((row.intid, p));
        }
    }
}
