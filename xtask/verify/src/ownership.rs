//! The physical address space according to the tables: for every range, who can read, write and
//! execute it. All translations of all cores are joined here, so this also shows what partitions
//! share: channel pages, each with one writer.

use plan::PAGE;
use serde::Serialize;

use crate::claims::Context;
use crate::claims::el2_map::El2Map;
use crate::finding::{Claim, Findings, range};
use crate::places::Places;
use crate::walk::{Leaf, Rights};

/// A physical range and everyone who can access it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// First address.
    pub base: u64,
    /// Bytes.
    pub size: u64,
    /// A name for the range, which is also the reason for the access.
    pub what: String,
    /// Partitions, with their rights: stage 2.
    pub guests: Vec<Access>,
    /// EL2 while guests run, by core: stage 1.
    pub el2: Vec<Access>,
    /// EL2 while a core loads its partition, where it maps more then.
    pub loading: Vec<Access>,
}

/// A party and its rights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Access {
    /// A partition's name, or board core numbers of EL2's cores.
    pub who: String,
    /// Rights in letters.
    pub rights: String,
}

/// The ranges that a partition's stage 2 maps.
pub struct GuestMap {
    /// Index of the partition.
    pub partition: usize,
    /// Its leaves.
    pub leaves: Vec<Leaf>,
}

/// Lists who can access what, and checks that partitions share only channel pages (and GICV, whose
/// registers are separate per core).
pub fn check(
    context: &Context<'_>,
    places: &Places,
    guests: &[GuestMap],
    el2: &[El2Map],
    findings: &mut Findings,
) -> Vec<Reach> {
    let leaves = guests.iter().flat_map(|map| &map.leaves);
    let leaves = leaves.chain(el2.iter().flat_map(|map| &map.leaves));
    let mut cuts: Vec<u64> =
        leaves.flat_map(|leaf| [leaf.output, leaf.output + leaf.size]).collect();
    let bounds = places.list.iter().map(|place| place.range);
    cuts.extend(bounds.flat_map(|r| [r.base, r.base.saturating_add(r.size)]));
    cuts.sort_unstable();
    cuts.dedup();
    let mut list: Vec<Reach> = Vec::new();
    for pair in cuts.windows(2) {
        let [base, end] = *pair else { continue };
        let here = |leaves: &[Leaf]| -> Vec<Rights> {
            let here = leaves.iter().filter(|leaf| base.wrapping_sub(leaf.output) < leaf.size);
            here.map(|leaf| leaf.rights).collect()
        };
        let of_guests = guests.iter().flat_map(|map| {
            let rights = here(&map.leaves).into_iter();
            rights.map(|rights| (map.partition, rights))
        });
        let of_guests: Vec<_> = of_guests.collect();
        let of_el2 = |load| {
            let maps = el2.iter().filter(move |map| map.load == load);
            let all = maps.flat_map(|map| here(&map.leaves).into_iter().map(|r| (map.core, r)));
            all.collect::<Vec<_>>()
        };
        let (running, loading) = (of_el2(false), of_el2(true));
        if of_guests.is_empty() && running.is_empty() && loading.is_empty() {
            continue;
        }
        meet(context, places, (base, end), &of_guests, &running, &loading, findings);
        let more: Vec<_> = loading.iter().filter(|one| !running.contains(one)).copied().collect();
        let reach = Reach {
            base,
            size: end - base,
            what: places.words(base),
            guests: of_guests
                .iter()
                .map(|&(p, rights)| Access {
                    who: context.name(p).to_string(),
                    rights: rights.letters(),
                })
                .collect(),
            el2: by_core(context, &running),
            loading: by_core(context, &more),
        };
        match list.last_mut() {
            Some(last) if last.base + last.size == base && same(last, &reach) => {
                last.size += reach.size;
            }
            _ => list.push(reach),
        }
    }
    list
}

/// Checks the accesses that are allowed together at one range.
fn meet(
    context: &Context<'_>,
    places: &Places,
    (base, end): (u64, u64),
    guests: &[(usize, Rights)],
    running: &[(usize, Rights)],
    loading: &[(usize, Rights)],
    findings: &mut Findings,
) {
    let channel = places.at(base).and_then(|place| place.channel);
    let table = places.at(base).and_then(|place| place.table);
    let place = format!("physical {}", range(base, end - base));
    let what = places.words(base);
    let mut add = |partitions: &[usize], text: String| {
        let mut names: Vec<_> = partitions.iter().map(|&p| context.name(p)).collect();
        names.dedup();
        findings.add(Claim::Ownership, &place, &names, text);
    };
    let partitions: Vec<_> = guests.iter().map(|(p, _)| *p).collect();
    // Hardware shows each core its own virtual CPU interface (IHI 0048, 5.5), so partitions do not
    // share it.
    let gic = &context.board().gic[0];
    let banked = gic.version == 2 && base.wrapping_sub(gic.gicv.base) < PAGE;
    let shared = |&(p, rights): &(usize, Rights)| match channel {
        _ if banked => rights == Rights::of("rw-"),
        Some((writer, _)) if p == writer => rights == Rights::of("rw-"),
        Some((_, reader)) if p == reader => rights == Rights::of("r--"),
        _ => table.is_some_and(|both| both.contains(&p)) && rights == Rights::of("r--"),
    };
    let distinct = partitions.windows(2).all(|pair| pair[0] != pair[1]);
    if guests.len() > 1 && !(distinct && guests.iter().all(shared)) {
        let all = guests.iter().map(|(p, r)| format!("{} ({})", context.name(*p), r.letters()));
        let all: Vec<_> = all.collect();
        add(&partitions, format!("{what} can be accessed by {}", all.join(" and by ")));
    }
    // EL2 on the cores of both ends writes a state table, which no guest may write.
    let tabled = |core: usize| table.is_some_and(|both| both.contains(&context.owner(core).0));
    let mapped = running.iter().filter(|(core, _)| !guests.is_empty() && !tabled(*core));
    for (core, _) in mapped {
        let name = context.core_name(*core);
        let text = format!("EL2 on {name} maps {what}, which a guest can access, while guests run");
        add(&partitions, text);
    }
    for (core, _) in loading {
        let (own, _, _) = context.owner(*core);
        let writer = channel.is_some_and(|(writer, _)| writer == own) || tabled(*core);
        if let Some(other) = partitions.iter().find(|&&p| p != own && !writer) {
            let name = context.core_name(*core);
            add(&[*other, own], format!("EL2 on {name} maps {what} while it loads"));
        }
    }
}

/// Joins cores with the same rights into one row.
fn by_core(context: &Context<'_>, list: &[(usize, Rights)]) -> Vec<Access> {
    let mut rows: Vec<(Rights, Vec<String>)> = Vec::new();
    for &(core, rights) in list {
        let number = context.cores[core].to_string();
        match rows.iter_mut().find(|(known, _)| *known == rights) {
            Some((_, cores)) => cores.push(number),
            None => rows.push((rights, vec![number])),
        }
    }
    let rows = rows.into_iter().map(|(rights, cores)| Access {
        who: match cores.as_slice() {
            all if all.len() == context.cores.len() => "every core".into(),
            [core] => format!("core {core}"),
            some => format!("cores {}", some.join(" ")),
        },
        rights: rights.letters(),
    });
    rows.collect()
}

fn same(one: &Reach, other: &Reach) -> bool {
    let of = |reach: &Reach| {
        let Reach { what, guests, el2, loading, .. } = reach.clone();
        (what, guests, el2, loading)
    };
    of(one) == of(other)
}
