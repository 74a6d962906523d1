//! A message is the same after encoding and decoding, and every changed bit is detected.

use super::{Message, SIZE, Sample, checksum};
use proptest::prelude::*;

fn message() -> impl Strategy<Value = Message> {
    (1..=4_u8, any::<u64>(), any::<u64>()).prop_map(|(kind, first, second)| match kind {
        1 => Message::Sample(Sample { sequence: first >> 1, time: second }),
        2 => Message::End { total: first },
        3 => Message::Ack { received: first, checksum: second },
        _ => Message::Done { received: first, checksum: second },
    })
}

proptest! {
    #[test]
    fn decodes_what_was_encoded(message in message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Some(message));
    }

    #[test]
    fn no_changed_bit_passes_for_the_same_sample(
        sequence in 0..1_u64 << 40, time: u64, bit in 0..SIZE * 8,
    ) {
        let message = Message::Sample(Sample { sequence, time });
        let mut bytes = message.encode();
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(Message::decode(&bytes), None);
    }

    #[test]
    fn any_bytes_decode_to_themselves_or_not_at_all(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        if let Some(message) = Message::decode(&bytes) {
            prop_assert_eq!(&message.encode()[..], &bytes[..]);
        }
    }
}

#[test]
fn the_checksum_knows_the_order() {
    let a = Sample { sequence: 1, time: 10 };
    let b = Sample { sequence: 2, time: 20 };
    assert_ne!(checksum(checksum(0, a), b), checksum(checksum(0, b), a));
}
