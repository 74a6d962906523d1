//! The lookup of emulated devices, for all arrangements of rows.

use bulkhead_plan::Ipa;
use bulkhead_plan::device::{DeviceKind, EmulatedDevice, NOWHERE, find, first_ipa};

const PAGE: u64 = bulkhead_plan::PAGE;

fn device(ipa: u64, pages: u32, kind: u16, index: u16) -> EmulatedDevice {
    EmulatedDevice { ipa: Ipa(ipa), size: pages * PAGE as u32, kind, index }
}

fn kinds() -> Vec<(u16, DeviceKind)> {
    let numbers = 0..=u16::MAX;
    numbers.filter_map(|n| Some((n, DeviceKind::from_number(n)?))).collect()
}

#[test]
fn a_kind_is_its_number() {
    let kinds = kinds();
    assert!(kinds.len() > 3);
    for (number, kind) in kinds {
        assert_eq!(number, kind as u16);
    }
    assert_eq!(DeviceKind::from_number(0), None, "a row of zeros is not a device");
}

#[test]
fn every_address_finds_its_device_only() {
    // Neighbours that touch, and gaps of a page, for every number of rows up to 12.
    for count in 0..=12u16 {
        let gap = |n: u16| u64::from(n / 3);
        let rows: Vec<_> = (0..count)
            .map(|n| device((2 + 2 * u64::from(n) + gap(n)) * PAGE, 2, 1 + n % 4, n))
            .collect();
        for ipa in (0..40 * PAGE).step_by(PAGE as usize / 4).flat_map(|ipa| [ipa, ipa + 7]) {
            let hit = rows.iter().find(|d| (d.ipa.0..d.ipa.0 + u64::from(d.size)).contains(&ipa));
            let must = hit.map(|d| {
                let kind = DeviceKind::from_number(d.kind).expect("1 to 4");
                (d, kind, ipa - d.ipa.0)
            });
            assert_eq!(find(&rows, Ipa(ipa)), must, "{count} rows, {ipa:#x}");
        }
    }
}

#[test]
fn an_unknown_kind_answers_nothing() {
    let known = kinds();
    let rows = |kind| [device(PAGE, 1, 4, 0), device(2 * PAGE, 1, kind, 0)];
    for kind in [0, known.last().expect("kinds").0 + 1, 0x100, u16::MAX] {
        assert_eq!(find(&rows(kind), Ipa(2 * PAGE)), None);
        assert!(find(&rows(kind), Ipa(PAGE)).is_some(), "its neighbour answers");
    }
}

#[test]
fn addresses_at_the_ends_are_safe() {
    let rows = [device(0, 1, 1, 0), device(u64::MAX - PAGE + 1, u32::MAX / PAGE as u32, 4, 0)];
    assert_eq!(find(&rows, Ipa(0)), Some((&rows[0], DeviceKind::Distributor, 0)));
    assert_eq!(find(&rows, Ipa(u64::MAX)), Some((&rows[1], DeviceKind::Pl011, PAGE - 1)));
    assert_eq!(find(&[], Ipa(0)), None);
    assert_eq!(find(&[device(PAGE, 0, 1, 0)], Ipa(PAGE)), None, "no bytes");
}

#[test]
fn rows_out_of_order_give_no_wrong_device() {
    let mut numbers = 1u64;
    let mut below = |most: u64| {
        numbers = numbers.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (numbers >> 33) % most
    };
    for _ in 0..2000 {
        let rows: Vec<_> = (0..below(8))
            .map(|_| device(below(8) * PAGE, below(4) as u32, below(6) as u16, below(3) as u16))
            .collect();
        let ipa = below(12 * PAGE);
        if let Some((device, kind, offset)) = find(&rows, Ipa(ipa)) {
            assert!(offset < u64::from(device.size), "{rows:x?} {ipa:#x}");
            assert_eq!((device.kind, device.ipa.0 + offset), (kind as u16, ipa));
        }
    }
}

#[test]
fn an_absent_device_is_nowhere() {
    let rows = [device(PAGE, 1, 1, 0), device(4 * PAGE, 1, 4, 1), device(5 * PAGE, 1, 4, 0)];
    assert_eq!(first_ipa(&rows, DeviceKind::Distributor), Ipa(PAGE));
    assert_eq!(first_ipa(&rows, DeviceKind::Pl011), Ipa(5 * PAGE), "number 0, not the first row");
    assert_eq!(first_ipa(&rows, DeviceKind::GiccDir), NOWHERE);
    // No offset that the fast paths know is at an address of 52 bits.
    assert!((0..1u64 << 20).all(|offset| NOWHERE.0.wrapping_add(offset) >> 52 != 0));
}
