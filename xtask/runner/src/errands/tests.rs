// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of which shells get input.

use super::*;
use crate::tests::systems::duo;
use crate::workspace::target_dir;
use std::path::PathBuf;

/// Only shells of guests/linux get input, each by its partition's number, and no partition has the
/// input after that.
#[test]
fn errands_go_to_shells() {
    let mut system = duo();
    assert!(errands(&system).is_empty(), "no Linux");
    system.partitions[1].initrd = Some((target_dir().join("debian/initramfs.cpio"), Vec::new()));
    let typed: Vec<_> = errands(&system)
        .into_iter()
        .map(|step| (step.seen, String::from_utf8(step.keys).expect("text")))
        .collect();
    let expected = [("", "\x012\r"), ("/ # ", "load 15 && poweroff\r"), ("", "\x010")];
    let expected = expected.map(|(seen, keys)| (seen.to_owned(), keys.to_owned()));
    assert_eq!(typed, expected);

    let own = Some((PathBuf::from("/boot/initrd.img"), Vec::new()));
    let of_another = std::mem::replace(&mut system.partitions[1].initrd, own);
    assert!(errands(&system).is_empty(), "another's initial RAM disk");
    system.partitions[1].initrd = of_another;
    system.partitions[1].command_line = Some("bulkhead.run=\"load 600\"".to_owned());
    assert!(errands(&system).is_empty(), "it ends by itself");
    system.partitions[0].command_line = Some("role=lead".to_owned());
    let typed = errands(&system);
    assert!(typed.iter().all(|step| step.seen == READY));
    let order = |step: &Step| Order::decode(&String::from_utf8_lossy(&step.keys));
    let orders: Vec<_> = typed.iter().map(order).collect();
    assert_eq!(orders, [Some(Order::Run { nonce: 0, samples: 1 }), Some(Order::End)]);
}
