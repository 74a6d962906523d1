//! Tests of console input.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

/// Types `bytes`. Returns the commands among them.
fn typed(keys: &mut Keys, ring: Option<&Ring>, bytes: &[u8]) -> Vec<u8> {
    let mut left: VecDeque<u8> = bytes.iter().copied().collect();
    let mut commands = Vec::new();
    while let Some(typed) = keys.take(ring, 0, 1000, || left.pop_front()) {
        match typed {
            Typed::Command(key) => commands.push(key),
            Typed::Waits => break,
            Typed::Nothing | Typed::Key(_) | Typed::Text => {}
        }
    }
    commands
}

#[test]
fn keys_go_to_the_ring_and_commands_do_not() {
    let (mut keys, ring) = (Keys::default(), ring());
    assert_eq!(keys.take(Some(ring), 0, 1000, || None), None);
    assert_eq!(keys.take(Some(ring), 0, 1000, || Some(b'l')), Some(Typed::Text));
    assert_eq!(typed(&mut keys, Some(ring), b"s\r\x03\x1b[A\0\xff"), b"");
    assert_eq!(take(ring), b"ls\r\x03\x1b[A\0\xff");
    assert_eq!(typed(&mut keys, Some(ring), b"a\x012b\x01?\x01\x01c\x01\x01\x010"), b"2?0");
    assert_eq!(take(ring), b"ab\x01c\x01");
    // A command may come in two pieces.
    assert_eq!(keys.take(Some(ring), 0, 1000, || Some(1)), Some(Typed::Nothing));
    assert_eq!(keys.take(Some(ring), 0, 1000, || None), None);
    assert_eq!(keys.take(Some(ring), 0, 1000, || Some(b'7')), Some(Typed::Command(b'7')));
    assert_eq!(ring.waiting(), 0);
}

#[test]
fn nobody_has_the_input() {
    let mut keys = Keys::default();
    assert_eq!(keys.take(None, 0, 1000, || Some(b'x')), Some(Typed::Key(b'x')));
    assert_eq!(typed(&mut keys, None, b"lost\x011"), b"1");
}

#[test]
fn a_full_ring_makes_the_sender_wait_but_not_for_ever() {
    let (mut keys, ring) = (Keys::default(), ring());
    assert_eq!(typed(&mut keys, Some(ring), &[b'x'; 4096]), b"");
    let (mut keys, refuse) = (Keys::default(), || panic!("taken without room"));
    for now in [70, 71, 1069] {
        assert_eq!(keys.take(Some(ring), now, 1000, refuse), Some(Typed::Waits));
    }
    // Reading a byte makes room for one that is typed, and the wait starts again.
    ring.pop();
    assert_eq!(keys.take(Some(ring), 1075, 1000, || Some(b'y')), Some(Typed::Text));
    for now in [2000, 2999] {
        assert_eq!(keys.take(Some(ring), now, 1000, refuse), Some(Typed::Waits));
    }
    // The wait is over: Ctrl-A gets through, text is lost, and that is counted.
    let mut left: VecDeque<u8> = b"lost\x013".iter().copied().collect();
    let mut commands = Vec::new();
    while let Some(typed) = keys.take(Some(ring), 3000, 1000, || left.pop_front()) {
        if let Typed::Command(key) = typed {
            commands.push(key);
        }
    }
    assert_eq!((&commands[..], ring.overruns()), (&b"3"[..], 4));
    let waiting = take(ring);
    assert_eq!((waiting.len(), waiting.last()), (4096, Some(&b'y')));
    assert_eq!(keys.take(Some(ring), 9000, 1000, || Some(b'z')), Some(Typed::Text));
}

proptest! {
    /// Input arrives whole and in order, no matter how slowly it is read and in which pieces it
    /// comes.
    #[test]
    fn nothing_is_lost_or_changed(
        text in prop::collection::vec(
            any::<u8>().prop_filter("no Ctrl-A", |&byte| byte != 1),
            0..9000,
        ),
        steps in prop::collection::vec((0usize..300, 0usize..300), 1..50),
    ) {
        let (mut keys, ring) = (Keys::default(), ring());
        let (mut left, mut read) = (VecDeque::from(text.clone()), Vec::new());
        for (typing, reading) in steps.iter().cycle() {
            for _ in 0..*typing {
                keys.take(Some(ring), 0, 1000, || left.pop_front());
            }
            read.extend((0..*reading + 1).map_while(|_| ring.pop()));
            if left.is_empty() || read.len() == text.len() {
                break;
            }
            keys.take(Some(ring), 0, 1000, || left.pop_front());
        }
        read.extend(take(ring));
        prop_assert_eq!(read, text);
    }
}
