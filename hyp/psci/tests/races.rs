//! Tests CPU_ON against CPU_ON against CPU_OFF in every order the memory model allows. Run with
//! `RUSTFLAGS="--cfg loom" cargo test --release -p bulkhead-psci --test races`.
#![cfg(loom)]

use bulkhead_psci::{Action, Power, Start, fid, ret};
use loom::{sync::Arc, thread};

const ON64: u32 = fid::CPU_ON | fid::SMC64;

/// Returns a partition of three vCPUs, of which those in `on` run.
fn partition(on: &[usize]) -> Arc<Power> {
    let power = Power::default();
    for &vcpu in on {
        let start = Start { entry: 0, context: 0 };
        assert!(power.start(vcpu, start));
        assert!(power.take_start(vcpu).is_some());
    }
    Arc::new(power)
}

/// Calls CPU_ON of vCPU 2 from `me`, with an entry and a context that belong together.
fn on(power: &Power, me: usize) -> Action {
    let id = 0x1000 * (me as u64 + 1);
    power.call(ON64, [2, id, id + 1], me, 3, |_| true)
}

fn take(power: &Power) -> Option<u64> {
    power.take_start(2).map(|start| {
        assert_eq!(start.context, start.entry + 1, "a start torn in two");
        start.entry
    })
}

#[test]
fn of_two_cpu_ons_exactly_one_succeeds() {
    loom::model(|| {
        let power = partition(&[0, 1]);
        let other = power.clone();
        let second = thread::spawn(move || on(&other, 1));
        let target = power.clone();
        let started = thread::spawn(move || take(&target));
        let first = on(&power, 0);
        let second = second.join().unwrap();
        let wakes = [first, second].map(|action| action == Action::Wake { vcpu: 2 });
        assert!(wakes[0] != wakes[1], "{first:?} {second:?}");
        let loser = if wakes[0] { second } else { first };
        assert_eq!(loser, Action::Return(ret::ALREADY_ON));
        let seen = started.join().unwrap();
        let late = take(&power);
        assert!(seen.is_none() || late.is_none(), "started twice");
        assert_eq!(seen.or(late), Some(if wakes[0] { 0x1000 } else { 0x2000 }));
    });
}

#[test]
fn cpu_off_against_two_cpu_ons() {
    loom::model(|| {
        let power = partition(&[0, 1, 2]);
        let target = power.clone();
        let off = thread::spawn(move || {
            assert_eq!(target.call(fid::CPU_OFF, [0; 3], 2, 3, |_| true), Action::Off);
            take(&target)
        });
        let other = power.clone();
        let second = thread::spawn(move || on(&other, 1));
        let answers = [on(&power, 0), second.join().unwrap()];
        let seen = off.join().unwrap();
        let late = take(&power);
        let wakes = answers.iter().filter(|action| matches!(action, Action::Wake { .. })).count();
        // A call that found the vCPU still on returns that; a call that found it off starts it, and
        // then the other call does not.
        let starts = usize::from(seen.is_some()) + usize::from(late.is_some());
        assert!(wakes <= 1 && starts == wakes, "{answers:?} {seen:?} {late:?}");
        if wakes == 0 {
            assert_eq!(answers, [Action::Return(ret::ALREADY_ON); 2]);
        }
    });
}

#[test]
fn of_two_that_switch_off_at_least_one_sees_all_off() {
    loom::model(|| {
        let power = partition(&[0, 1]);
        let off = |power: &Power, me| {
            power.call(fid::CPU_OFF, [0; 3], me, 3, |_| true);
            power.all_off()
        };
        let other = power.clone();
        let second = thread::spawn(move || off(&other, 1));
        let first = off(&power, 0);
        assert!(second.join().unwrap() | first);
    });
}

#[test]
fn nothing_starts_in_a_partition_that_was_halted() {
    loom::model(|| {
        let power = partition(&[0, 1]);
        let caller = power.clone();
        let caller = thread::spawn(move || on(&caller, 1));
        power.halt_all();
        assert_eq!(take(&power), None);
        caller.join().unwrap();
        assert_eq!(take(&power), None);
    });
}
