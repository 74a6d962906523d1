//! Prints EL2's counters.

use abi::{Reason, status};

use crate::link::Link;
use crate::{Tree, hv, print, println};

/// Returns the entries into EL2 on the core of `vcpu` for any of `reasons`.
pub fn entries(vcpu: usize, reasons: &[Reason]) -> u64 {
    let counts = reasons.iter().map(|&reason| hv::entries(vcpu as u64, reason as usize));
    counts.map(Result::unwrap_or_default).sum()
}

/// Prints the doorbells of a channel end.
pub fn print_doorbells(link: &Link) {
    let count = |item| hv::status(link.node.handle, item).unwrap_or_default();
    log::info!(
        "  doorbells     {} sent, {} received, {} coalesced, {} deferred",
        count(status::SENT),
        count(status::RECEIVED),
        count(status::COALESCED),
        count(status::DEFERRED)
    );
}

/// Prints the entries into EL2 on each of the partition's cores, by reason, where there were any.
///
/// One `print!` per part of a line is safe here: the other vCPUs have finished.
pub fn print_entries(tree: &Tree) {
    for vcpu in 0..tree.vcpus() {
        print!("  EL2 entries   vCPU {vcpu} ({}):", tree.class(vcpu));
        for (reason, name) in Reason::NAMES.iter().enumerate() {
            let count = hv::entries(vcpu as u64, reason).unwrap_or_default();
            if count != 0 {
                print!(" {name} {count}");
            }
        }
        println!();
    }
}
