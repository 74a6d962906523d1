// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules on what a guest sees of a channel end.

use plan::MAX_VIEWS;

use super::channels::label;
use crate::decode::At;
use crate::raw::{Channel, Manifest, Partition};
use crate::report::Finding;
use crate::resolve::split_end;
use crate::system::View;
use crate::words::bytes;

/// Every end with the view `ivshmem`: its channel, its index there, and the view.
fn functions(m: &Manifest) -> impl Iterator<Item = (&Channel, usize, &At<View>)> {
    m.channels.iter().flat_map(|channel| {
        let views = channel.views.iter().flat_map(|views| views.get_ref()).enumerate();
        let views = views.filter_map(move |(index, view)| Some((channel, index, view.as_ref()?)));
        views.filter(|(_, _, view)| *view.get_ref() == View::Ivshmem)
    })
}

pub fn channel_views(m: &Manifest) -> Vec<Finding> {
    let lists = m.channels.iter().filter_map(|channel| Some((channel, channel.views.as_ref()?)));
    lists
        .filter(|(_, list)| list.get_ref().len() != 2)
        .map(|(channel, list)| {
            let title = format!("channel {} needs two views", label(channel));
            Finding::new(list.span(), title, format!("{} here", list.get_ref().len())).help(
                "write what the first end's guest sees, then what the second's does: `views = \
                 [\"pages\", \"ivshmem\"]`",
            )
        })
        .collect()
}

pub fn channel_view_waits(m: &Manifest) -> Vec<Finding> {
    use channel::wait::{DOORBELL, NAMES, WFE};
    let mut found = Vec::new();
    for (channel, index, view) in functions(m) {
        let waits = channel.waits.iter().flat_map(|waits| waits.get_ref()).enumerate();
        for (end, wait) in waits.filter_map(|(end, wait)| Some((end, wait.as_ref()?))) {
            let (title, why) = match *wait.get_ref() {
                DOORBELL => continue,
                _ if end == index => {
                    (format!("an ivshmem end of {} takes no doorbells", label(channel)), "its wait")
                }
                WFE => (
                    format!("the peer of an ivshmem end of {} waits by wfe", label(channel)),
                    "this wait needs cacheable pages",
                ),
                _ => continue,
            };
            let other = match end == index {
                true => "its view",
                false => "this view makes the pages Non-cacheable",
            };
            found.push(
                Finding::new(wait.span(), title, why)
                    .other(view.span(), other)
                    .help(format!("write \"{}\"", NAMES[DOORBELL as usize])),
            );
        }
    }
    found
}

pub fn channel_view_bytes(m: &Manifest) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    let mut last = None;
    for (channel, _, view) in functions(m) {
        let Some(sizes) = &channel.bytes else { continue };
        if let [Some(first), Some(second)] = sizes.get_ref().as_slice()
            && first.get_ref() != second.get_ref()
            && !last.is_some_and(|before| std::ptr::eq(before, channel))
        {
            last = Some(channel);
            let title = format!("the two directions of channel {} differ in size", label(channel));
            let both = [first, second].map(|size| bytes(*size.get_ref()));
            let larger = if first.get_ref() > second.get_ref() { &both[0] } else { &both[1] };
            found.push(
                Finding::new(sizes.span(), title, format!("{} and {}", both[0], both[1]))
                    .other(view.span(), "all sections of ivshmem have the same size")
                    .help(format!("write {larger} twice")),
            );
        }
    }
    found
}

pub fn channel_views_too_many(m: &Manifest) -> Vec<Finding> {
    let owner = |channel: &Channel, index: usize| {
        let end = channel.ends.as_ref()?.get_ref().get(index)?.as_ref()?;
        Some(split_end(end.get_ref())?.0.to_owned())
    };
    let mut found = Vec::new();
    for name in m.partitions.iter().map(Partition::label) {
        let is_own = |&(channel, index, _): &(&Channel, usize, &At<View>)| {
            owner(channel, index).is_some_and(|owner| owner == name)
        };
        let own: Vec<_> = functions(m).filter(is_own).collect();
        if let Some((_, _, view)) = own.get(MAX_VIEWS) {
            let title = format!("{name} has {} ends with the view ivshmem", own.len());
            found.push(
                Finding::new(view.span(), title, format!("a PCI bus has {MAX_VIEWS} devices"))
                    .help("carry several streams in one channel"),
            );
        }
    }
    found
}
