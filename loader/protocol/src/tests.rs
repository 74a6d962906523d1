// SPDX-License-Identifier: MIT OR Apache-2.0
//! Both sides against each other over a line that loses and flips bytes.

use crate::board::{Board, WRITES};
use crate::place::{Memory, Misplaced, Range};
use crate::sender::ATTEMPTS;
use crate::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

fn framed(message: &Message) -> Vec<u8> {
    let mut buffer = [0; FRAME];
    encode(message, &mut buffer).to_vec()
}

/// The messages in a stream, as text.
fn found(bytes: &[u8]) -> Vec<std::string::String> {
    let mut decoder = Decoder::default();
    let mut found = Vec::new();
    for &byte in bytes {
        found.extend(decoder.push(byte).map(|message| std::format!("{message:?}")));
    }
    found
}

#[test]
fn the_longest_messages_fit_and_come_back() {
    let bytes = [0xff; BLOCK];
    let block = Message::Block { session: u32::MAX, number: u32::MAX, bytes: &bytes };
    let zeros = Message::Block { session: 0, number: 0, bytes: &[0; BLOCK] };
    let text = "x".repeat(BLOCK);
    let refused = Message::Refused { why: &text };
    for message in [block, zeros, refused] {
        assert_eq!(found(&framed(&message)), [std::format!("{message:?}")]);
    }
    let long = "x".repeat(2 * BLOCK);
    assert_eq!(framed(&Message::Refused { why: &long }), [0u8; 0]);
}

#[test]
fn the_answer_to_a_block_fits_a_fifo() {
    // It is sent while the next block arrives, so sending must not wait.
    let have = Message::Have { session: 0xffff, next: 1 << 20, more: u32::MAX };
    assert!(framed(&have).len() <= 20, "{}", framed(&have).len());
}

#[test]
fn a_rate_needs_a_divisor() {
    assert_eq!(divisor(48_000_000, 115_200), Some((26, 3)));
    assert_eq!(divisor(24_000_000, 115_200), Some((13, 1)));
    assert_eq!(divisor(48_000_000, 3_000_000), Some((1, 0)));
    assert_eq!(divisor(48_000_000, 921_600), Some((3, 16)));
    for wrong in [0, 10, 4_000_000, u32::MAX] {
        assert_eq!(divisor(48_000_000, wrong), None, "{wrong}");
    }
    // The nearest possible rate is 2.9 % off.
    assert_eq!(divisor(24_000_000, 1_600_000), None);
}

#[test]
fn a_board_comes_back_from_its_room() {
    let mut board = Board { uart: u64::MAX, clock: u32::MAX, init: [(u64::MAX, u32::MAX); WRITES] };
    assert_eq!(Board::decode(&board.encode()), Some(board));
    board.init = [(0, 0); WRITES];
    board.uart = 0xfe20_1000;
    assert_eq!(Board::decode(&board.encode()), Some(board));
    assert_eq!(Board::decode(&[0; board::ROOM]), None);
}

#[test]
fn things_are_placed_in_free_ram() {
    let mut memory = Memory::default();
    assert!(memory.ram.add(0, 0x3b40_0000) && memory.ram.add(0x4000_0000, 0xbc00_0000));
    assert!(memory.ram.add(0x1_0000_0000, 0x1_0000_0000) && memory.kept.add(0, 0x1000));
    let limit = 1 << 32;
    assert_eq!(memory.highest(0x10_0000, 0x1000, limit), Some(0xfbf0_0000));
    assert!(memory.kept.add(0xfbff_f000, 0x1000));
    assert_eq!(memory.highest(0x10_0000, 0x10_0000, limit), Some(0xfbe0_0000));
    assert_eq!(memory.highest(1 << 40, 0x1000, limit), None);
    let check = |base, size| memory.check(&Range { base, size });
    assert_eq!(check(0x20_0000, 0x1000), Ok(()));
    assert_eq!(check(0, 0x1000), Err(Misplaced::NoRam));
    assert_eq!(check(0x3b3f_f000, 0x1001), Err(Misplaced::NoRam));
    assert_eq!(check(u64::MAX, 2), Err(Misplaced::NoRam));
    let kept = Range { base: 0xfbff_f000, size: 0x1000 };
    assert_eq!(check(0xfbff_e000, 0x1001), Err(Misplaced::Kept(kept)));
    assert_eq!(check(0xfbff_e000, 0x1000), Ok(()));
}

#[test]
fn an_image_that_is_not_the_announced_one_is_refused() {
    let image: Vec<u8> = (0..100_000u32).map(|n| (n / 7) as u8).collect();
    let packed = lz4_flex::block::compress(&image);
    let crc = checksum(&image);
    let mut copy = vec![0; image.len()];
    assert_eq!(unpack(&packed, &mut copy, crc), Ok(()));
    assert_eq!(copy, image);
    assert_eq!(unpack(&packed, &mut copy, crc ^ 1), Err(Damage::Checksum));
    assert_eq!(unpack(&packed, &mut vec![0; image.len() + 1], crc), Err(Damage::Form));
    assert_eq!(unpack(&packed, &mut vec![0; image.len() - 1], crc), Err(Damage::Form));
    assert_eq!(unpack(&packed[..50], &mut copy, crc), Err(Damage::Form));
}

/// A line: bytes are lost or flipped with these probabilities, of 2^32.
struct Line {
    seed: u64,
    lose: u32,
    flip: u32,
}

impl Line {
    fn number(&mut self) -> u32 {
        self.seed = self.seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.seed >> 32) as u32
    }

    fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for &byte in bytes {
            if self.number() < self.lose {
                continue;
            }
            let flips = self.number() < self.flip;
            out.push(if flips { byte ^ 1 << (self.number() % 8) } else { byte });
        }
        out
    }
}

/// Sends an image over a line; returns the blocks that were sent, or the error.
fn sent(image: &Image, packed: &[u8], line: &mut Line) -> Result<u64, sender::Hopeless> {
    let mut sender = Sender::new(*image, 0);
    let mut transfer = Transfer::new(*image);
    let mut stored = vec![0; packed.len()];
    let (mut host, mut board) = (Decoder::default(), Decoder::default());
    let mut count = 0;
    let mut quiet = 0;
    while !sender.is_complete() {
        let mut answers = Vec::new();
        if let Some(number) = sender.next_block()? {
            count += 1;
            quiet = 0;
            let from = number as usize * BLOCK;
            let bytes = &packed[from..from + image.length(number)];
            let frame = framed(&Message::Block { session: image.session, number, bytes });
            for byte in line.pass(&frame) {
                if let Some(Message::Block { number, bytes, .. }) = board.push(byte) {
                    if let Some(at) = transfer.take(number, bytes.len()) {
                        stored[at..at + bytes.len()].copy_from_slice(bytes);
                    }
                    answers.extend(framed(&transfer.have()));
                }
            }
        } else {
            quiet += 1;
            if quiet > 1 {
                sender.give_up_waiting();
            }
        }
        for byte in line.pass(&answers) {
            if let Some(Message::Have { next, more, .. }) = host.push(byte) {
                sender.acknowledge(next, more);
            }
        }
    }
    assert!(transfer.is_complete() && stored == packed);
    Ok(count)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn an_image_arrives_whole(
        seed: u64, size in 1usize..60_000, lose in 0u32..2_000_000, flip in 0u32..2_000_000,
    ) {
        let mut line = Line { seed, lose, flip };
        let packed: Vec<u8> = (0..size).map(|_| line.number() as u8).collect();
        let image = Image { session: 9, packed: size as u32, ..Image::default() };
        let count = sent(&image, &packed, &mut line).expect("it arrives");
        // At most 38 % of the frames are damaged, and as many of the answers are short.
        prop_assert!(count <= 20 + 3 * u64::from(image.blocks()), "{count}");
    }

    #[test]
    fn no_bytes_make_a_side_fail(bytes: Vec<u8>, number: u32, next: u32, more: u32) {
        let mut decoder = Decoder::default();
        for byte in bytes {
            decoder.push(byte);
        }
        let image = Image { packed: 50_000, ..Image::default() };
        let mut transfer = Transfer::new(image);
        transfer.take(number, BLOCK);
        let mut sender = Sender::new(image, 0);
        sender.next_block().expect("a block");
        sender.acknowledge(next, more);
        prop_assert!(sender.done() <= 1);
    }
}

#[test]
fn a_line_that_loses_everything_ends_the_transfer() {
    let mut line = Line { seed: 1, lose: u32::MAX, flip: 0 };
    let image = Image { packed: 3000, ..Image::default() };
    assert_eq!(sent(&image, &[7; 3000], &mut line), Err(sender::Hopeless::Block(0)));
    let mut sender = Sender::new(image, 0);
    for _ in 0..ATTEMPTS {
        sender.give_up_waiting();
        sender.next_block().expect("an attempt");
    }
}

#[test]
fn blocks_may_come_in_any_order_and_twice() {
    let image = Image { packed: 40 * BLOCK as u32 - 1, ..Image::default() };
    let mut transfer = Transfer::new(image);
    assert_eq!(transfer.take(1, BLOCK), Some(BLOCK));
    assert_eq!(transfer.take(1, BLOCK), None, "twice");
    assert_eq!(transfer.take(33, BLOCK), None, "too far ahead");
    assert_eq!(transfer.take(32, BLOCK), Some(32 * BLOCK));
    assert_eq!(transfer.take(0, BLOCK - 1), None, "short");
    assert_eq!(transfer.have(), Message::Have { session: 0, next: 0, more: 1 | 1 << 31 });
    assert_eq!(transfer.take(0, BLOCK), Some(0));
    assert_eq!(transfer.have(), Message::Have { session: 0, next: 2, more: 1 << 29 });
    for number in (2..40).rev() {
        let _ = transfer.take(number, image.length(number));
    }
    for number in 2..39 {
        let _ = transfer.take(number, image.length(number));
    }
    assert!(
        !transfer.is_complete()
            || transfer.have() == Message::Have { session: 0, next: 40, more: 0 }
    );
    assert_eq!(transfer.take(39, BLOCK), None, "the last block is shorter");
    assert_eq!(transfer.take(40, 0), None, "past the last");
}
