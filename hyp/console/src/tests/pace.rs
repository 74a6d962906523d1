//! Tests of the console's share of its core's time.

use super::*;
use proptest::prelude::*;

#[test]
fn a_drain_is_followed_by_a_pause() {
    let mut pace = Pace::new(10, 50_000_000);
    assert_eq!(pace.wait(0), None);
    // 100 ticks are charged as 150, and the pause is nine times that.
    assert_eq!(pace.charge(1000, 1100), 1100 + 1350);
    assert_eq!((pace.wait(1100), pace.wait(2449), pace.wait(2450)), (Some(2450), Some(2450), None));
    // A drain within one tick has a pause too, and one in which the core was stopped has a bounded
    // pause.
    assert_eq!(pace.charge(3000, 3000), 3009);
    assert_eq!(pace.charge(10_000, 5_000_000), 5_000_000 + 1500 * 9);
}

proptest! {
    /// All drains, with half as much for entry and return, take at most the share.
    #[test]
    fn the_share_holds(share in 1u32..=100, drains in prop::collection::vec(10u64..1000, 2..200)) {
        let mut pace = Pace::new(share, 50_000_000);
        let (mut now, mut spent) = (0, 0);
        for drain in &drains {
            if let Some(at) = pace.wait(now) {
                now = at;
            }
            spent += drain * 3 / 2;
            now = pace.charge(now, now + drain);
        }
        let time = now + drains.iter().sum::<u64>();
        prop_assert!(spent * 100 <= time * u64::from(share), "{spent} of {now}");
    }
}
