// SPDX-License-Identifier: MIT OR Apache-2.0
//! Trap values as whole numbers, and checks of their tables.

use crate::tables::{Shape, Stage};
use crate::traps;

#[test]
fn values() {
    let stage2 = Shape::covering(Stage::Two, 0x4200_0000).unwrap();
    let stage1 = Shape::covering(Stage::One, 0x8000_0000).unwrap();
    assert_eq!(traps::hcr().value(), 0x18_803c_003f);
    assert_eq!(traps::cptr().value(), 0x4010_33ff);
    assert_eq!(traps::mdcr().value(), 0x0008_40e0);
    assert_eq!(traps::hstr().value(), 0);
    assert_eq!(traps::cnthctl().value(), 3);
    assert_eq!(traps::cntvoff().value(), 0);
    // T0SZ 33, SL0 0, Write-Back, Inner Shareable, 4 KiB, 40 bits.
    assert_eq!(traps::vtcr(stage2, 40).value(), 0x8002_3521);
    assert_eq!(traps::tcr(stage1, 40).value(), 0x8082_3521);
    assert_eq!(traps::vmpidr(3), 0x8000_0003);
    assert_eq!(traps::vttbr(0x7fe1_2000, 0), 0x0001_0000_7fe1_2000);
}

#[test]
fn physical_address_sizes() {
    let encoded = [32, 36, 40, 42, 44, 48].map(traps::ps);
    assert_eq!(encoded, [0, 1, 2, 3, 4, 5]);
    assert_eq!(traps::ps(39), 1, "never more than there is");
    assert_eq!(traps::ps(52), 5);
}

#[test]
fn every_field_has_its_own_bits_and_a_reason() {
    let shape = Shape::covering(Stage::Two, 1 << 48).unwrap();
    for register in [
        traps::hcr(),
        traps::cptr(),
        traps::mdcr(),
        traps::hstr(),
        traps::cnthctl(),
        traps::cntvoff(),
        traps::vtcr(shape, 48),
        traps::tcr(shape, 48),
    ] {
        let mut seen = 0u64;
        for field in &register.fields {
            let bits = field.value.max(1) << field.shift;
            assert_eq!(seen & bits, 0, "{} {}", register.name, field.name);
            seen |= bits;
            assert!(!field.reason.is_empty());
        }
    }
}
