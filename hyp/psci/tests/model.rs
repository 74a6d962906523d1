//! Tests every call and argument class by table, and random call sequences against a plain
//! sequential reference.
#![cfg(not(loom))]

use bulkhead_psci::{Action, MAX_VCPUS, Power, Start, fid, ret};
use proptest::prelude::*;

const MEMORY: std::ops::Range<u64> = 0x4000_0000..0x4200_0000;
const ENTRY: u64 = 0x4008_0000;
const HIGH: u64 = 0xdead_0000_0000_0000;

fn call(power: &Power, fid: u32, args: [u64; 3], me: usize, vcpus: usize) -> Action {
    power.call(fid, args, me, vcpus, |entry| MEMORY.contains(&entry))
}

fn running(vcpus: usize) -> Power {
    let power = Power::default();
    assert!(power.start(0, Start { entry: ENTRY, context: 7 }));
    assert_eq!(power.take_start(0), Some(Start { entry: ENTRY, context: 7 }));
    assert!(!power.start(0, Start { entry: 0, context: 0 }));
    assert!(vcpus <= MAX_VCPUS);
    power
}

#[test]
fn functions_and_arguments() {
    use Action::*;
    let suspend = |entry, context| Suspend { resume: Some(Start { entry, context }) };
    let rows: &[(u32, [u64; 3], Action)] = &[
        (fid::VERSION, [0; 3], Return(0x1_0001)),
        (fid::VERSION | fid::SMC64, [0; 3], Return(ret::NOT_SUPPORTED)),
        (fid::MIGRATE_INFO_TYPE, [0; 3], Return(2)),
        (fid::SYSTEM_OFF, [0; 3], SystemOff),
        (fid::SYSTEM_OFF | fid::SMC64, [0; 3], Return(ret::NOT_SUPPORTED)),
        (fid::SYSTEM_RESET, [0; 3], SystemReset),
        // MIGRATE, MIGRATE_INFO_UP_CPU, CPU_FREEZE, CPU_DEFAULT_SUSPEND, NODE_HW_STATE,
        // SYSTEM_SUSPEND, SET_SUSPEND_MODE, STAT_RESIDENCY, STAT_COUNT, MEM_PROTECT,
        // MEM_PROTECT_CHECK_RANGE, and numbers that are not PSCI calls.
        (0x8400_0005, [0; 3], Return(ret::NOT_SUPPORTED)),
        (0x8400_0007, [0; 3], Return(ret::NOT_SUPPORTED)),
        (0x8400_000b, [0; 3], Return(ret::NOT_SUPPORTED)),
        (0x8400_000c, [0; 3], Return(ret::NOT_SUPPORTED)),
        (0xc400_000c, [0; 3], Return(ret::NOT_SUPPORTED)),
        (0x8400_000d, [0; 3], Return(ret::NOT_SUPPORTED)),
        (0xc400_000e, [0; 3], Return(ret::NOT_SUPPORTED)),
        (0x8400_000f, [0; 3], Return(ret::NOT_SUPPORTED)),
        (0xc400_0010, [0; 3], Return(ret::NOT_SUPPORTED)),
        (0xc400_0011, [0; 3], Return(ret::NOT_SUPPORTED)),
        (0x8400_0012, [HIGH, 7, 7], SystemReset),
        (0xc400_0012, [0, 7, 7], SystemReset),
        (0xc400_0012, [1, 0, 0], Return(ret::INVALID_PARAMETERS)),
        (0x8400_0012, [0x8000_0000, 0, 0], Return(ret::INVALID_PARAMETERS)),
        (0x8400_0013, [0; 3], Return(ret::NOT_SUPPORTED)),
        (0xc400_0014, [0; 3], Return(ret::NOT_SUPPORTED)),
        (0x0400_0003, [1, ENTRY, 0], Return(ret::NOT_SUPPORTED)),
        (0, [0; 3], Return(ret::NOT_SUPPORTED)),
        (u32::MAX, [u64::MAX; 3], Return(ret::NOT_SUPPORTED)),
        // CPU_ON: the caller itself, not a vCPU of this partition, not an address of it.
        (fid::CPU_ON, [0, ENTRY, 0], Return(ret::ALREADY_ON)),
        (fid::CPU_ON, [2, ENTRY, 0], Return(ret::INVALID_PARAMETERS)),
        (fid::CPU_ON, [0x100, ENTRY, 0], Return(ret::INVALID_PARAMETERS)),
        (0xc400_0003, [0x1_0000_0001, ENTRY, 0], Return(ret::INVALID_PARAMETERS)),
        (0xc400_0003, [0x8000_0001, ENTRY, 0], Return(ret::INVALID_PARAMETERS)),
        (0xc400_0003, [u64::MAX, ENTRY, 0], Return(ret::INVALID_PARAMETERS)),
        (fid::CPU_ON, [1, MEMORY.end, 0], Return(ret::INVALID_ADDRESS)),
        (fid::CPU_ON, [1, 0, 0], Return(ret::INVALID_ADDRESS)),
        (fid::CPU_ON, [1, ENTRY + 1, 0], Return(ret::INVALID_ADDRESS)),
        (0xc400_0003, [1, ENTRY | HIGH, 0], Return(ret::INVALID_ADDRESS)),
        // A foreign target is reported before a foreign address.
        (fid::CPU_ON, [9, 0, 0], Return(ret::INVALID_PARAMETERS)),
        // AFFINITY_INFO: both vCPUs, targets that do not exist, levels.
        (fid::AFFINITY_INFO, [0, 0, 0], Return(ret::AFFINITY_ON)),
        (fid::AFFINITY_INFO, [HIGH, HIGH, 0], Return(ret::AFFINITY_ON)),
        (fid::AFFINITY_INFO, [1, 0, 0], Return(ret::AFFINITY_OFF)),
        (0xc400_0004, [1, 0, 0], Return(ret::AFFINITY_OFF)),
        (0xc400_0004, [1 | HIGH, 0, 0], Return(ret::INVALID_PARAMETERS)),
        (0xc400_0004, [2, 0, 0], Return(ret::INVALID_PARAMETERS)),
        (0xc400_0004, [u64::MAX, 0, 0], Return(ret::INVALID_PARAMETERS)),
        (0xc400_0004, [0, 1, 0], Return(ret::INVALID_PARAMETERS)),
        (0xc400_0004, [0, 4, 0], Return(ret::INVALID_PARAMETERS)),
        (0xc400_0004, [0, 1 << 32, 0], Return(ret::INVALID_PARAMETERS)),
        // CPU_SUSPEND: standby, powerdown, values that are not a core state.
        (fid::CPU_SUSPEND, [0, 0, 0], Suspend { resume: None }),
        (0xc400_0001, [0xffff, 0, 0], Suspend { resume: None }),
        (0xc400_0001, [0x1_0000, ENTRY, HIGH], suspend(ENTRY, HIGH)),
        (fid::CPU_SUSPEND, [0x1_0003, ENTRY | HIGH, HIGH + 5], suspend(ENTRY, 5)),
        (0xc400_0001, [0x1_0000, MEMORY.end, 0], Return(ret::INVALID_ADDRESS)),
        (0xc400_0001, [0x100_0000, ENTRY, 0], Return(ret::INVALID_PARAMETERS)),
        (0xc400_0001, [0x2_0000, ENTRY, 0], Return(ret::INVALID_PARAMETERS)),
        (0xc400_0001, [0x8000_0000, ENTRY, 0], Return(ret::INVALID_PARAMETERS)),
        (0xc400_0001, [HIGH, ENTRY, 0], Return(ret::INVALID_PARAMETERS)),
    ];
    for (fid, args, expected) in rows {
        let power = running(2);
        assert_eq!(call(&power, *fid, *args, 0, 2), *expected, "{fid:#x} {args:#x?}");
    }
}

#[test]
fn features_name_exactly_what_is_there() {
    let there = [
        0x8400_0000,
        0x8400_0001,
        0xc400_0001,
        0x8400_0002,
        0x8400_0003,
        0xc400_0003,
        0x8400_0004,
        0xc400_0004,
        0x8400_0006,
        0x8400_0008,
        0x8400_0009,
        0x8400_000a,
        0x8400_0012,
        0xc400_0012,
        0x8000_0000,
    ];
    let power = running(1);
    let all = (0x8400_0000..0x8400_0020u32).chain(0xc400_0000..0xc400_0020);
    for asked in all.chain([0x8000_0000, 0x8000_0001, 0, u32::MAX]) {
        let answer = call(&power, fid::FEATURES, [u64::from(asked) | HIGH, 0, 0], 0, 1);
        let expected = if there.contains(&asked) { 0 } else { ret::NOT_SUPPORTED };
        assert_eq!(answer, Action::Return(expected), "{asked:#x}");
    }
}

#[test]
fn a_core_is_switched_on_once_and_comes_back() {
    let power = running(2);
    let on = |context| call(&power, 0xc400_0003, [1, ENTRY, context], 0, 2);
    assert_eq!(power.take_start(1), None);
    assert_eq!(on(HIGH), Action::Wake { vcpu: 1 });
    assert_eq!(on(2), Action::Return(ret::ALREADY_ON));
    assert_eq!(
        call(&power, fid::AFFINITY_INFO, [1, 0, 0], 0, 2),
        Action::Return(ret::AFFINITY_ON_PENDING)
    );
    assert_eq!(power.take_start(1), Some(Start { entry: ENTRY, context: HIGH }));
    assert_eq!(power.take_start(1), None);
    assert_eq!(on(3), Action::Return(ret::ALREADY_ON));
    assert_eq!(call(&power, fid::CPU_OFF, [0; 3], 1, 2), Action::Off);
    assert!(!power.all_off());
    assert_eq!(on(4), Action::Wake { vcpu: 1 });
    // Neither vCPU is on, but one is about to be.
    assert_eq!(call(&power, fid::CPU_OFF, [0; 3], 0, 2), Action::Off);
    assert!(!power.all_off());
    assert!(power.take_start(1).is_some());
    assert_eq!(call(&power, fid::CPU_OFF, [0; 3], 1, 2), Action::Off);
    assert!(power.all_off());
}

#[test]
fn a_halted_partition_stays_halted() {
    let power = running(2);
    assert_eq!(call(&power, fid::CPU_ON, [1, ENTRY, 0], 0, 2), Action::Wake { vcpu: 1 });
    power.halt_all();
    assert_eq!(power.take_start(1), None);
    assert_eq!(call(&power, fid::CPU_ON, [1, ENTRY, 0], 0, 2), Action::Return(ret::DENIED));
    assert_eq!(call(&power, fid::CPU_OFF, [0; 3], 0, 2), Action::Off);
    assert_eq!(
        call(&power, fid::AFFINITY_INFO, [0, 0, 0], 0, 2),
        Action::Return(ret::AFFINITY_OFF)
    );
    assert!(power.all_off());
    assert!(!power.start(0, Start { entry: ENTRY, context: 1 }));
    assert_eq!(power.take_start(0), None);
}

#[test]
fn numbers_out_of_range_are_harmless() {
    let power = running(2);
    assert_eq!(power.take_start(MAX_VCPUS), None);
    assert!(!power.start(usize::MAX, Start { entry: 0, context: 0 }));
    assert_eq!(call(&power, fid::CPU_OFF, [0; 3], 99, 2), Action::Off);
    // A count above the maximum is taken as the maximum.
    let last = MAX_VCPUS as u64;
    assert_eq!(
        call(&power, fid::CPU_ON, [last, ENTRY, 0], 0, 99),
        Action::Return(ret::INVALID_PARAMETERS)
    );
}

/// State of one vCPU in the reference.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Off,
    Pending(u64),
    On,
}

#[derive(Clone, Debug)]
enum Step {
    On(u64, u64),
    Off,
    Info(u64),
    Take,
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        (0u64..5, 0u64..1000).prop_map(|(target, context)| Step::On(target, context)),
        Just(Step::Off),
        (0u64..5).prop_map(Step::Info),
        Just(Step::Take),
        Just(Step::Take),
    ];
    prop::collection::vec((0usize..4, step), 0..200)
}

proptest! {
    #[test]
    fn any_sequence_is_as_the_reference_says(steps in steps()) {
        const VCPUS: usize = 4;
        let power = running(VCPUS);
        let mut model = [State::Off; VCPUS];
        model[0] = State::On;
        for (me, step) in steps {
            // A vCPU that is not on makes no calls; one that is on takes no start.
            match step {
                Step::Take if model[me] != State::On => {
                    let expected = match model[me] {
                        State::Pending(context) => {
                            model[me] = State::On;
                            Some(Start { entry: ENTRY, context })
                        }
                        _ => None,
                    };
                    prop_assert_eq!(power.take_start(me), expected);
                }
                Step::On(target, context) if model[me] == State::On => {
                    let expected = match model.get_mut(target as usize) {
                        None => Action::Return(ret::INVALID_PARAMETERS),
                        Some(State::On | State::Pending(_)) => Action::Return(ret::ALREADY_ON),
                        Some(state) => {
                            *state = State::Pending(context);
                            Action::Wake { vcpu: target as usize }
                        }
                    };
                    let arguments = [target, ENTRY, context];
                    let action = call(&power, fid::CPU_ON | fid::SMC64, arguments, me, VCPUS);
                    prop_assert_eq!(action, expected);
                }
                Step::Info(target) if model[me] == State::On => {
                    let expected = match model.get(target as usize) {
                        None => ret::INVALID_PARAMETERS,
                        Some(State::On) => ret::AFFINITY_ON,
                        Some(State::Off) => ret::AFFINITY_OFF,
                        Some(State::Pending(_)) => ret::AFFINITY_ON_PENDING,
                    };
                    let action = call(&power, fid::AFFINITY_INFO, [target, 0, 0], me, VCPUS);
                    prop_assert_eq!(action, Action::Return(expected));
                }
                Step::Off if model[me] == State::On => {
                    prop_assert_eq!(call(&power, fid::CPU_OFF, [0; 3], me, VCPUS), Action::Off);
                    model[me] = State::Off;
                }
                _ => {}
            }
            prop_assert_eq!(power.all_off(), model.iter().all(|state| *state == State::Off));
        }
    }

    #[test]
    fn any_call_is_answered(
        fid: u32, psci in 0u32..0x20, wide: bool, args: [u64; 3], me: usize, vcpus: usize,
    ) {
        let known = 0x8400_0000 | psci | if wide { fid::SMC64 } else { 0 };
        for fid in [fid, known] {
            let power = Power::default();
            match call(&power, fid, args, me, vcpus) {
                // The answer never names a vCPU the partition does not have, nor an address outside
                // it.
                Action::Wake { vcpu } => prop_assert!(vcpu < vcpus.min(MAX_VCPUS)),
                Action::Suspend { resume: Some(start) } => {
                    prop_assert!(MEMORY.contains(&start.entry));
                }
                _ => {}
            }
        }
    }
}
