// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plan has what the manifest says about restarts, and EL2 maps the registers that it writes.

use manifest::system::Policy;
use plan::{ACTION_HALT, ACTION_RESTART, ACTION_STOP_SYSTEM, Write};

use super::plan_reader::Plan;
use super::support::{duo, el2_elf};
use crate::compile;
use crate::tables::Access;

#[test]
fn a_policy_is_in_its_row() {
    let mut system = duo();
    system.partitions[0].policy = Policy {
        on_fault: ACTION_RESTART,
        on_reset: ACTION_STOP_SYSTEM,
        on_off: ACTION_HALT,
        limit: 3,
        within: 1_000_000,
        delay: 500,
        back_off: 10,
        first: 7,
    };
    let image = compile(&system, &el2_elf()).unwrap();
    let plan = Plan::read(&image.bytes);
    let [sensor, control] = plan.partitions()[..] else { panic!("two partitions") };
    let policy = sensor.policy;
    let actions = [policy.on_fault, policy.on_reset, policy.on_off];
    assert_eq!(actions, [ACTION_RESTART, ACTION_STOP_SYSTEM, ACTION_HALT]);
    assert_eq!((policy.limit, policy.within, policy.delay), (3, 1_000_000, 500));
    assert_eq!((policy.back_off, policy.first, policy.quiesce.count), (10, 7, 0));
    let policy = control.policy;
    let actions = [policy.on_fault, policy.on_reset, policy.on_off];
    assert_eq!(actions, [ACTION_RESTART, ACTION_RESTART, ACTION_HALT]);
    assert_eq!((policy.limit, policy.within, policy.delay), (5, 60_000_000, 100_000));
    assert_eq!((policy.back_off, policy.first), (2, 0));
}

/// The writes are those of the partition's own devices, and only the cores that load it map the
/// registers, once for all writes of a page. A partition that never restarts has none.
#[test]
fn a_device_is_silenced_by_its_own_partition() {
    let mut system = duo();
    let page = system.board.devices[0].regs.base;
    let writes = [(page + 0x38, 0), (page + 0x30, 5)];
    system.board.devices[0].quiesce = writes.to_vec();
    for (action, count) in [(ACTION_RESTART, 1), (ACTION_HALT, 0)] {
        system.partitions[1].policy =
            Policy { on_fault: action, on_reset: action, ..Policy::default() };
        let image = compile(&system, &el2_elf()).unwrap();
        let plan = Plan::read(&image.bytes);
        let [sensor, control] = plan.partitions()[..] else { panic!("two partitions") };
        assert_eq!(sensor.policy.quiesce.count, 0);
        let found: Vec<Write> = plan.array(control.policy.quiesce);
        let wanted = writes.map(|(address, value)| Write { address, value, reserved: 0 });
        assert_eq!(found, wanted[..2 * count]);
        let maps = &image.design.maps;
        for (core, loads) in [(0, 0), (1, 0), (2, count)] {
            let of_page = |map: &crate::maps::Map| {
                let mappings = map.mappings.iter().filter(|m| m.input == page);
                mappings.filter(|m| m.access == Access::Device && m.size == plan::PAGE).count()
            };
            assert_eq!((of_page(&maps.run[core]), of_page(&maps.load[core])), (0, loads), "{core}");
        }
    }
}
