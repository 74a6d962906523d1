//! EL2 emulates for each guest exactly the devices that its device tree has and that no hardware
//! provides, at addresses that stage 2 leaves unmapped.

use plan::{DeviceKind, EmulatedDevice, PAGE, Range};

use super::Context;
use crate::finding::{Claim, Findings, Shown, range};
use crate::ranges::end;
use crate::walk::Leaf;

fn place(context: &Context<'_>, p: usize, n: usize) -> String {
    format!("emulated device row {n} of partition {}", context.name(p))
}

fn of(row: &EmulatedDevice) -> Range {
    Range { base: row.ipa.0, size: row.size.into() }
}

/// Checks the rows of a partition's emulated devices: each alone, next to the one before, and all
/// of them against what the guest must have.
pub fn check(context: &Context<'_>, p: usize, findings: &mut Findings) {
    let rows = &context.image.partitions[p].devices;
    let who = [context.name(p)];
    for (n, row) in rows.iter().enumerate() {
        let mut add = |what: String| findings.add(Claim::Devices, place(context, p, n), &who, what);
        let most = match DeviceKind::from_number(row.kind) {
            None => {
                add(format!("{} is not the number of a kind of device", row.kind));
                continue;
            }
            Some(DeviceKind::Redistributor) => context.manifest().partition[p].vcpus.len(),
            Some(DeviceKind::Ivshmem) => context.image.partitions[p].views.len(),
            Some(_) => 1,
        };
        if usize::from(row.index) >= most {
            add(format!("its index is {}, must be below {most}", row.index));
        }
        let at = of(row);
        if !(at.base | at.size).is_multiple_of(PAGE) || at.size == 0 {
            add(format!("IPA {} is not whole pages", range(at.base, at.size)));
        }
    }
    // EL2 searches them by address.
    for (n, pair) in (1..).zip(rows.windows(2)) {
        if end(of(&pair[0])) > pair[1].ipa.0 {
            let what = format!(
                "it is at IPA {:#x}, which is not after the row before it: {}",
                pair[1].ipa,
                of(&pair[0]).shown()
            );
            findings.add(Claim::Devices, place(context, p, n), &who, what);
        }
    }
    demanded(context, p, findings);
}

/// Checks that the rows are those devices that the guest must have, and no others.
fn demanded(context: &Context<'_>, p: usize, findings: &mut Findings) {
    let rows = &context.image.partitions[p].devices;
    let who = [context.name(p)];
    let demanded = context.emulated(p);
    for must in &demanded {
        let is_it = |row: &&EmulatedDevice| (row.kind, row.index) == (must.kind as u16, must.index);
        let at = format!("IPA {}", range(must.range.base, must.range.size));
        let Some(row) = rows.iter().find(is_it) else {
            let what = format!("{} (index {}) is not in the plan", must.what, must.index);
            findings.add(Claim::Devices, at, &who, what);
            continue;
        };
        findings.expect(Claim::Devices, at, &who, must.what, of(row), must.range);
    }
    for (n, row) in rows.iter().enumerate() {
        let same = |index: u16, kind: u16| (index, kind) == (row.index, row.kind);
        let is_demanded = demanded.iter().any(|must| same(must.index, must.kind as u16));
        let is_second = rows[..n].iter().any(|other| same(other.index, other.kind));
        if !is_demanded || is_second {
            let what = format!(
                "EL2 emulates kind {} index {} at IPA {}, {}",
                row.kind,
                row.index,
                of(row).shown(),
                if is_second { "a second time" } else { "which the guest must not have" }
            );
            findings.add(Claim::Devices, place(context, p, n), &who, what);
        }
    }
}

/// Checks that stage 2, which maps `leaves`, maps nothing where EL2 emulates: an access there would
/// not reach EL2.
pub fn check_unmapped(context: &Context<'_>, p: usize, leaves: &[Leaf], findings: &mut Findings) {
    let who = [context.name(p)];
    for (n, row) in context.image.partitions[p].devices.iter().enumerate() {
        let at = of(row);
        let hit =
            |leaf: &&Leaf| leaf.input < end(at) && at.base < leaf.input.saturating_add(leaf.size);
        if let Some(leaf) = leaves.iter().find(hit) {
            let what = format!(
                "stage 2 maps IPA {}, where EL2 must emulate {}",
                range(leaf.input, leaf.size),
                range(at.base, at.size)
            );
            findings.add(Claim::Devices, place(context, p, n), &who, what);
        }
    }
}
