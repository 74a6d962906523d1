//! Models of guests' drivers: bytes that the registers promised room for are not lost.

use super::pl011::{DR, Device, FR, ICR, IFLS, IMSC, LCR_H, MIS, RIS};
use super::*;
use proptest::prelude::*;

/// Returns a text in which lost or repeated bytes show.
fn text() -> impl Iterator<Item = u8> {
    (0..40_000u32).map(|n| if n % 24 == 23 { b'\n' } else { b'a' + (n / 24 + n % 24) as u8 % 26 })
}

/// Linux's driver fills the FIFO until FR says full, then waits for the transmit interrupt, and at
/// each interrupt writes half a FIFO without a look at FR. It clears the interrupt or does not.
#[test]
fn half_a_fifo_fits_at_each_transmit_interrupt() {
    for clears in [false, true] {
        for drained in [1, 5, 16, 200, 5000] {
            let mut d = Device::new();
            d.write(LCR_H, 0x70);
            d.write(IFLS, 0x12);
            let (mut left, mut sent, mut got) = (text(), Vec::new(), Vec::new());
            while d.read(FR) & 0x20 == 0 {
                let byte = left.next().unwrap();
                sent.push(byte);
                d.write(DR, byte.into());
            }
            d.write(IMSC, 0x20);
            loop {
                if !d.level() {
                    let before = got.len();
                    got.extend((0..drained).map_while(|_| pop(d.output)));
                    assert!(got.len() > before, "it waits for an interrupt that never comes");
                    continue;
                }
                assert_eq!(d.read(MIS), 0x20);
                if clears {
                    d.write(ICR, 0x20);
                }
                let burst: Vec<u8> = left.by_ref().take(16).collect();
                burst.iter().for_each(|&byte| d.write(DR, byte.into()));
                sent.extend(&burst);
                if burst.len() < 16 {
                    break;
                }
            }
            got.extend(printed(d.output));
            assert!(sent == got && d.lost() == 0, "{} of {} bytes", got.len(), sent.len());
            assert_eq!(sent.len(), 40_000);
        }
    }
}

/// At every level, and without FIFOs, there is as much room at an interrupt as the hardware has.
#[test]
fn the_interrupt_comes_at_the_level_and_stays_away_when_cleared() {
    for (lcr_h, ifls, level) in [
        (0x10, 0, 4),
        (0x10, 1, 8),
        (0x10, 2, 16),
        (0x10, 3, 24),
        (0x10, 4, 28),
        (0x10, 7, 28),
        (0, 2, 0),
    ] {
        let mut d = Device::new();
        d.write(LCR_H, lcr_h);
        d.write(IFLS, ifls);
        d.write(IMSC, 0x20);
        assert!(!d.level(), "nothing sent yet");
        let depth = if lcr_h == 0 { 1 } else { 32 };
        let mut flags = Vec::new();
        for _ in 0..ROOM - 32 + depth {
            flags.push(d.read(FR) & 0xa8);
            d.write(DR, b'x'.into());
        }
        let full = d.read(FR) & 0xa8;
        assert_eq!(full, 0x28, "TXFF, BUSY");
        assert!(flags[..3041.min(flags.len())].iter().all(|&flags| flags == 0x80), "TXFE");
        assert!(flags[3041.min(flags.len())..].iter().all(|&flags| flags == 0x08), "BUSY");
        assert_eq!(d.read(RIS), 0, "above the level");
        // An interrupt that is cleared while it waits for the level still comes.
        d.write(ICR, 0x20);
        for fill in (level..depth).rev() {
            assert!(!d.level());
            pop(d.output).unwrap();
            assert_eq!(d.level(), fill == level, "{fill}");
        }
        d.write(ICR, 0x20);
        assert!(!d.level(), "cleared");
        printed(d.output);
        assert!(!d.level(), "still");
        d.write(DR, b'x'.into());
        assert!(d.level(), "the next byte has left");
    }
}

/// A byte that is written while the transmitter is full is lost, and counted once when the burst is
/// over.
#[test]
fn what_does_not_fit_is_counted() {
    let mut d = Device::new();
    for _ in 0..ROOM + PROMISED + 100 {
        d.write(DR, b'x'.into());
    }
    assert_eq!(d.lost(), 0, "it goes on");
    assert!(d.waits_for_room());
    assert_eq!(printed(d.output).len() as u32, ROOM + PROMISED);
    assert_eq!((d.lost(), d.lost()), (100, 0));
    assert!(!d.waits_for_room());
}

#[test]
fn a_line_of_el2s_takes_no_room_that_was_promised() {
    let mut d = Device::new();
    d.write(LCR_H, 1 << 4);
    for _ in 0..ROOM - 1 {
        d.write(DR, b'x'.into());
    }
    assert_eq!(d.read(FR) & 0x20, 0, "not full");
    assert!(d.output.say(&[&[b'-'; 200]]));
    d.write(DR, b'y'.into());
    assert_ne!(d.read(FR) & 0x20, 0, "full");
    printed(d.output);
    assert_eq!(d.lost(), 0);
}

proptest! {
    /// A driver that relies on the registers loses nothing at any level: it writes while FR says
    /// not full, or at an interrupt as much as the level leaves room for.
    #[test]
    fn nothing_that_fits_is_lost(
        ifls in 0u32..5,
        fen in any::<bool>(),
        steps in prop::collection::vec((0usize..5000, 0u8..3), 1..60),
    ) {
        let mut d = Device::new();
        d.write(LCR_H, u32::from(fen) << 4);
        d.write(IFLS, ifls);
        d.write(IMSC, 0x20);
        let room = if fen { [28, 24, 16, 8, 4][ifls as usize] } else { 1 };
        let (mut left, mut sent, mut got) = (text(), Vec::new(), Vec::new());
        for (count, how) in steps {
            match how {
                0 => got.extend((0..count).map_while(|_| pop(d.output))),
                1 => for byte in left.by_ref().take(count) {
                    if d.read(FR) & 0x20 != 0 {
                        got.extend(pop(d.output));
                    }
                    sent.push(byte);
                    d.write(DR, byte.into());
                },
                _ => if d.level() {
                    for byte in left.by_ref().take(room) {
                        sent.push(byte);
                        d.write(DR, byte.into());
                    }
                }
            }
        }
        got.extend(printed(d.output));
        prop_assert_eq!(d.lost(), 0);
        prop_assert!(sent == got);
    }
}
