//! Each channel row joins the two ends of one channel of the manifest, and sends doorbells to a
//! comm core.

use plan::{CLASS_COMM, MAX_ENDS, NO_CORE};

use super::{Context, region_size};
use crate::finding::{Claim, Findings};
use crate::manifest::{Class, End, FIRST_SPI, Wait};

/// Checks the rows of every core.
pub fn check(context: &Context<'_>, findings: &mut Findings) {
    for index in 0..context.cores.len() {
        let (p, vcpu, class) = context.owner(index);
        let rows = &context.image.cores[index].ends;
        let place = format!("channel rows of {}", context.core_name(index));
        let mine = |end: &&End| (end.partition, end.vcpu) == (p, vcpu);
        let declared: Vec<_> = context.ends.iter().filter(mine).copied().collect();
        let what = "the number of channel ends";
        let who = [context.name(p)];
        findings.expect(Claim::Channels, &place, &who, what, rows.len(), declared.len());
        if class == Class::Compute && !rows.is_empty() {
            let what = "a compute core is an end of a channel";
            findings.add(Claim::Channels, &place, &who, what);
        }
        if declared.len() > MAX_ENDS {
            let what = format!("{} channel ends, a pending word has {MAX_ENDS}", declared.len());
            findings.add(Claim::Channels, &place, &who, what);
        }
        for (end, row) in declared.into_iter().zip(rows) {
            self::row(context, end, row, findings);
        }
    }
}

fn row(context: &Context<'_>, end: End, row: &plan::End, findings: &mut Findings) {
    let peer = context.peer(end);
    let (name, other) = (context.name(end.partition), context.name(peer.partition));
    let core = context.core_of(end.partition, end.vcpu);
    let place = format!(
        "channel row {} of {} ({})",
        end.handle,
        context.core_name(core),
        context.direction(end)
    );
    let who = [name, other];
    let manifest = context.manifest();
    let target = context.core_of(peer.partition, peer.vcpu);
    let found = row.peer_core as usize;
    if manifest.wait(peer) != Wait::Doorbell {
        if row.peer_core != NO_CORE {
            let wait = manifest.wait(peer).word();
            let what =
                format!("{other} waits by {wait}, but a doorbell rings core {found} of the plan");
            findings.add(Claim::Channels, &place, &who, what);
        }
    } else if found != target {
        let (rung, whose) = match found < context.cores.len() {
            true => {
                let (p, _, class) = context.owner(found);
                let what = format!("{}, a {} core", context.core_name(found), class.word());
                (what, Some(context.name(p)))
            }
            false => (format!("core {found}, which the plan does not have"), None),
        };
        let mut who = who.to_vec();
        who.extend(whose.filter(|name| !who.contains(name)));
        let must = context.core_name(target);
        let what = format!("a doorbell rings {rung}, must ring {must}");
        findings.add(Claim::Channels, &place, &who, what);
    }
    // Another claim checks the row's own class word; a target is comm by plan and by manifest.
    let comm = |core: usize| {
        let row = context.image.cores.get(core);
        row.is_some_and(|core| core.row.class == CLASS_COMM) && context.owner(core).2 == Class::Comm
    };
    if found < context.cores.len() && !comm(found) {
        let rung = context.core_name(found);
        let what = format!("a doorbell rings {rung}, which is not a comm core");
        findings.add(Claim::Channels, &place, &who, what);
    }
    if manifest.wait(end) != Wait::Doorbell {
        let what = "its doorbell's INTID (it takes no doorbells)";
        findings.expect(Claim::Channels, &place, &who, what, row.intid, 0);
    } else if row.intid < FIRST_SPI {
        let what = format!("its doorbell's INTID is {}, which is not an SPI", row.intid);
        findings.add(Claim::Channels, &place, &who, what);
    } else if row.intid == context.board().console.intid {
        // On the console's core, EL2 would take the UART's interrupt for the guest's.
        let what =
            format!("its doorbell's INTID is {}, which belongs to the console UART", row.intid);
        findings.add(Claim::Channels, &place, &who, what);
    }
    let channel = &manifest.channel[end.channel];
    let rate = channel.rate[end.side];
    for (what, found, must) in [
        ("the peer's handle", row.peer_handle, peer.handle as u32),
        ("the peer's partition", row.peer_partition, peer.partition as u32),
        ("its rate", row.rate, rate.per_second),
        ("its burst", row.burst, rate.burst),
        ("the number of its PCI device", row.view, context.device_number(end)),
        ("its reserved word", row.reserved, 0),
    ] {
        findings.expect(Claim::Channels, &place, &who, what, found, must);
    }
    for (what, found, must) in [
        ("the size of what it sends", row.tx_size, region_size(manifest, end)),
        ("the size of what it receives", row.rx_size, region_size(manifest, peer)),
    ] {
        findings.expect(Claim::Channels, &place, &who, what, found, must);
    }
    let entry =
        context.state_table(end).map_or(0, |table| table.base.wrapping_add(4 * end.side as u64));
    let what = "the address of its state";
    findings.expect(Claim::Channels, &place, &who, what, row.state_entry, entry);
    // The tables of both sides map their addresses to the same pages.
    let what = match (context.region(end), received(context, end)) {
        (Some(sent), Some(received)) if sent.base != received => format!(
            "{name} sends through pages at {:#x}, {other} receives through pages at {received:#x}",
            sent.base
        ),
        // Every other claim about the pages starts from their physical address.
        (None, _) => format!("neither {name} nor {other} has the pages through which {name} sends"),
        _ => return,
    };
    findings.add(Claim::Channels, &place, &who, what);
}

/// Returns the physical address of the peer's receiving address, by the peer's stage 2.
fn received(context: &Context<'_>, end: End) -> Option<u64> {
    let peer = context.peer(end);
    let row = context.end_row(peer)?;
    context.translated(peer, row.rx_ipa)
}
