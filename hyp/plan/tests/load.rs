//! Loading covers each byte once: chunks against the ranges they divide, parts of a chunk against a
//! byte-by-byte model.

use bulkhead_plan as plan;
use plan::load::{CHUNK, chunk, first_part, ranges, total};
use plan::{Ipa, Load, Memory, Pa, Range};

/// A generator of pseudo-random numbers with a fixed seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn chunks_cover_every_range_once() {
    let mut numbers = Numbers(1);
    for _ in 0..200 {
        let mut base = 0x4000_0000;
        let mut range = || {
            base += numbers.below(3) * plan::PAGE;
            let size = numbers.below(3 * CHUNK / plan::PAGE) * plan::PAGE;
            let range = Range { base, size };
            base += size;
            range
        };
        let memory = [range(), range()].map(|Range { base, size }| Memory {
            ipa: Ipa(0),
            base: Pa(base),
            size,
        });
        let clears = [range()];
        let all = || ranges(&memory, &clears);
        let chunks: Vec<_> = (0..).map_while(|number| chunk(all(), number)).collect();
        assert!(chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.size)));
        let mut rest = chunks.iter();
        for range in all() {
            let mut at = range.base;
            while at < range.base + range.size {
                let next = rest.next().expect("a chunk for it");
                assert_eq!(next.base, at);
                at += next.size;
            }
            assert_eq!(at, range.base + range.size);
        }
        assert_eq!(rest.next(), None);
        let bytes = chunks.iter().map(|chunk| chunk.size).sum();
        assert_eq!(total(all()), (chunks.len() as u64, bytes));
        // Cores that find nothing left ask again.
        assert_eq!(chunk(all(), u64::from(u32::MAX)), None);
    }
}

#[test]
fn each_byte_is_copied_or_cleared() {
    let mut numbers = Numbers(2);
    for _ in 0..500 {
        // Loads that do not overlap, in any order, empty ones among them.
        let mut loads = Vec::new();
        let mut target = 100 + numbers.below(20);
        for source in [1000, 2000, 3000] {
            let size = numbers.below(30);
            loads.push(Load { source, target, size, clear: 0 });
            target += size + numbers.below(3) * numbers.below(20);
        }
        let turn = numbers.below(3) as usize;
        loads.rotate_left(turn);
        let (base, end) = (90 + numbers.below(60), 150 + numbers.below(60));
        let model = |at: u64| {
            let of = |load: &&Load| (load.target..load.target + load.size).contains(&at);
            loads.iter().find(of).map(|load| load.source + (at - load.target))
        };
        let mut at = base;
        while at < end {
            let (until, source) = first_part(&loads, at, end);
            assert!(at < until && until <= end, "{at} to {until} of {end}");
            for byte in at..until {
                assert_eq!(source.map(|source| source + (byte - at)), model(byte));
            }
            at = until;
        }
    }
}
