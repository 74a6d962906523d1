//! Each channel end that its guest sees as a PCI function has one row, whose BARs do not overlap
//! anything else of the guest, and its pages are where the function says.

use plan::{PAGE, Range};

use super::Context;
use crate::finding::{Claim, Findings, range};
use crate::manifest::End;
use crate::ranges::end;

/// Checks the rows of a partition's functions.
pub fn check(context: &Context<'_>, p: usize, findings: &mut Findings) {
    let rows = &context.image.partitions[p].views;
    let who = [context.name(p)];
    let is_own = |end: &&End| end.partition == p && context.manifest().is_function(**end);
    let declared: Vec<_> = context.ends.iter().filter(is_own).copied().collect();
    let place = format!("PCI functions of partition {}", context.name(p));
    let what = "the number of PCI functions";
    findings.expect(Claim::Channels, &place, &who, what, rows.len(), declared.len());
    for (n, (end, row)) in declared.into_iter().zip(rows).enumerate() {
        self::row(context, end, row, n, findings);
    }
    bars(context, p, findings);
}

fn row(context: &Context<'_>, end: End, row: &plan::View, n: usize, findings: &mut Findings) {
    let place = format!("PCI device {n} of partition {}", context.name(end.partition));
    let who = [context.name(end.partition), context.name(context.peer(end).partition)];
    let channel = &context.manifest().channel[end.channel];
    let name: Vec<u8> = row.name.iter().copied().take_while(|&byte| byte != 0).collect();
    let named = name == channel.name.as_bytes() && row.name[name.len()..].iter().all(|b| *b == 0);
    if !named {
        let found = String::from_utf8_lossy(&row.name);
        let what = format!("its channel's name is {found:?}, must be {:?}", channel.name);
        findings.add(Claim::Channels, &place, &who, what);
    }
    let core = context.core_of(end.partition, end.vcpu) as u32;
    let wait = context.manifest().wait(context.peer(end)) as u32;
    for (what, found, must) in [
        ("its core", row.core, core),
        ("its handle", row.handle, end.handle as u32),
        ("its ID", row.id, end.side as u32),
        ("its peer's way of waiting", row.peer_wait, wait),
    ] {
        findings.expect(Claim::Channels, &place, &who, what, found, must);
    }
    let section = super::region_size(context.manifest(), end);
    let size = PAGE.saturating_add(section.saturating_mul(2)).next_power_of_two();
    findings.expect(Claim::Channels, &place, &who, "its section's size", row.section, section);
    findings.expect(Claim::Channels, &place, &who, "the size of BAR2", row.size, size);
    if !row.shared.is_multiple_of(size) {
        let what = format!("BAR2 is at {:#x}, which is not a multiple of its size", row.shared);
        findings.add(Claim::Channels, &place, &who, what);
    }
    if row.registers >= 1 << 32 || !row.registers.is_multiple_of(PAGE) {
        let what = format!("BAR0 at {:#x} is not a page below 4 GiB", row.registers);
        findings.add(Claim::Channels, &place, &who, what);
    }
    let Some(pages) = context.end_row(end) else {
        return;
    };
    let at =
        |side: usize| row.shared.wrapping_add(PAGE).wrapping_add(section.wrapping_mul(side as u64));
    for (what, found, must) in [
        ("the guest address of the section it writes", pages.tx_ipa, at(end.side)),
        ("the guest address of the section its peer writes", pages.rx_ipa, at(1 - end.side)),
    ] {
        findings.expect(Claim::Channels, &place, &who, what, found, must);
    }
}

/// Checks that nothing else of the guest is inside a BAR2. What it does not map itself would
/// otherwise be reached through the function, as far as a driver can tell.
fn bars(context: &Context<'_>, p: usize, findings: &mut Findings) {
    let row = &context.image.partitions[p];
    let bars = row.views.iter().map(|view| Range { base: view.shared, size: view.size });
    let mut list: Vec<(String, Range)> =
        bars.enumerate().map(|(n, bar)| (format!("BAR2 of PCI device {n}"), bar)).collect();
    let count = list.len();
    for piece in &row.memory {
        list.push(("memory".into(), Range { base: piece.ipa.0, size: piece.size }));
    }
    for device in context.emulated(p) {
        list.push((device.what.into(), device.range));
    }
    for device in context.devices(p) {
        list.push((format!("device {}", device.name), device.regs));
    }
    for (end, row) in context.ends_of(p).filter(|(end, _)| !context.manifest().is_function(*end)) {
        for (base, size) in [(row.tx_ipa, row.tx_size), (row.rx_ipa, row.rx_size)] {
            let what = format!("the pages of {}", context.channel_name(end));
            list.push((what, Range { base, size }));
        }
    }
    for (n, (what, bar)) in list[..count].iter().enumerate() {
        for (other, at) in &list[n + 1..] {
            if at.base < end(*bar) && bar.base < end(*at) {
                let place = format!("IPA {}", range(bar.base, bar.size));
                let what = format!("{what} overlaps {other}");
                findings.add(Claim::Channels, place, &[context.name(p)], what);
            }
        }
    }
}
