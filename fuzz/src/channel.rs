//! Target `channel`: an honest end of a channel, and a peer that writes any value to any of its
//! pages between any two calls.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arbitrary::{Arbitrary, Unstructured};
use channel::{Consumer, Error, Indices, Pair, Producer, Region, layout, open};

/// The four indices of a region.
const INDICES: [usize; 4] =
    [layout::PRODUCED, layout::CONSUMED, layout::WANT_DATA, layout::WANT_ROOM];

/// One end's pages.
struct Memory {
    page: Vec<AtomicU64>,
    data: Vec<AtomicU64>,
}

impl Memory {
    fn new(words: usize, start: u32) -> Self {
        Self {
            page: (0..layout::DATA / 8).map(|_| u64::from(start).into()).collect(),
            data: (0..words).map(|_| 0.into()).collect(),
        }
    }

    fn region(&self, doorbells: bool) -> Region<'_> {
        let indices = Indices::new(&self.page).expect("a whole page");
        let region = Region::new(indices, &self.data).expect("a power of two");
        if doorbells { region } else { region.without_doorbells() }
    }

    fn index(&self, at: usize) -> u32 {
        self.page[at / 8].load(Relaxed) as u32
    }

    fn words(&self) -> Vec<u64> {
        let page = self.page.iter().map(|word| word.load(Relaxed));
        let data = self.data.iter().map(|word| word.load(Relaxed));
        page.chain(data).collect()
    }
}

#[derive(Arbitrary, Debug)]
enum Step {
    /// The peer writes an index, or moves it.
    Index(u8, u32),
    /// The peer writes an index of another life, which cleared pages are too.
    Life(u8, u64),
    Nudge(u8, i16),
    /// The peer writes data.
    Data(u16, u64),
    Length(u16, u8),
    Receive(u8),
    Peek(bool, u8),
    Publish,
    WaitForData(u32),
    Send(u8),
    Push(u8, u8),
    Abandon(u8),
    WaitForRoom(u8, u32),
    Look,
}

/// Runs one input: sizes of both sides, the start of the indices, both ways of waiting; then steps.
pub fn run(data: &[u8]) {
    let _ = steps(&mut Unstructured::new(data));
}

fn steps(input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let (shifts, start): ([u8; 2], u32) = input.arbitrary()?;
    let doorbells: [bool; 2] = input.arbitrary()?;
    let start = start & !7;
    let [mine, theirs] = shifts.map(|shift| Memory::new(2 << (shift % 5), start));
    let (mut tx, mut rx) =
        open(mine.region(doorbells[0]), theirs.region(doorbells[1]), Pair::default());
    // This end's own count of its bytes.
    let (mut sent, mut received) = (start, start);
    for step in input.arbitrary_iter()? {
        let step = step?;
        match step {
            Step::Index(which, value) => strike(&theirs, which, |_| value.into()),
            Step::Life(which, value) => strike(&theirs, which, |_| value),
            Step::Nudge(which, by) => {
                strike(&theirs, which, |old| (old as u32).wrapping_add_signed(by.into()).into());
            }
            Step::Data(at, value) => {
                theirs.data[at as usize % theirs.data.len()].store(value, Relaxed)
            }
            Step::Length(at, value) => {
                theirs.data[at as usize % theirs.data.len()].store(value.into(), Relaxed);
            }
            _ => {
                let before = theirs.words();
                act(&step, &mut tx, &mut rx, &mut sent, &mut received);
                assert_eq!(before, theirs.words(), "{step:?} wrote into the peer's pages");
                let published = (mine.index(layout::PRODUCED), mine.index(layout::CONSUMED));
                let ahead = (sent.wrapping_sub(published.0), received.wrapping_sub(published.1));
                assert!(ahead.0 <= tx.capacity() && ahead.1 <= rx.capacity());
                assert_eq!(ahead.1, rx.unpublished());
            }
        }
    }
    Ok(())
}

fn strike(memory: &Memory, which: u8, new: impl Fn(u64) -> u64) {
    let word = &memory.page[INDICES[which as usize % INDICES.len()] / 8];
    word.store(new(word.load(Relaxed)), Relaxed);
}

/// Returns the bytes of a message's record.
fn record(len: usize) -> u32 {
    8 + len.next_multiple_of(8) as u32
}

/// Makes one call of the honest end, and checks its answer.
fn act(
    step: &Step,
    tx: &mut Producer<'_>,
    rx: &mut Consumer<'_>,
    sent: &mut u32,
    received: &mut u32,
) {
    let faults = (tx.faults(), rx.faults());
    let bytes = [0x5a; 256];
    let mut buffer = [0; 256];
    let mut failed = None;
    match *step {
        Step::Receive(room) => match rx.recv(&mut buffer[..room.into()]) {
            Ok((len, _)) => {
                assert!(len <= room.into() && record(len) <= rx.capacity());
                *received = received.wrapping_add(record(len));
            }
            Err(error) => failed = Some(error),
        },
        Step::Peek(release, at) => match rx.peek() {
            Ok(view) => {
                let (len, span) = (view.len(), view.words());
                assert_eq!(span.first.len() + span.second.len(), len.div_ceil(8));
                let fits = usize::from(at) + 8 <= len;
                assert_eq!(view.read(at.into(), &mut buffer[..8]).is_ok(), fits);
                if release {
                    match view.release() {
                        Ok(()) => *received = received.wrapping_add(record(len)),
                        Err(error) => failed = Some(error),
                    }
                }
            }
            Err(error) => failed = Some(error),
        },
        Step::Publish => {
            let _ = (tx.publish(), rx.publish());
        }
        Step::WaitForData(bytes) => failed = rx.wait_begin_for(bytes).err(),
        Step::Send(len) => match tx.try_send(&bytes[..len.into()]) {
            Ok(_) => *sent = sent.wrapping_add(record(len.into())),
            Err(error) => failed = Some(error),
        },
        Step::Push(first, second) => {
            let parts = [&bytes[..first.into()], &bytes[..second.into()]];
            match tx.push(&parts) {
                Ok(()) => {
                    *sent = sent.wrapping_add(record(usize::from(first) + usize::from(second)))
                }
                Err(error) => failed = Some(error),
            }
        }
        Step::Abandon(len) => {
            if let Ok(mut lease) = tx.reserve(len.into()) {
                assert!(lease.write(len.into(), &[1]).is_err(), "beyond the lease");
            }
        }
        Step::WaitForRoom(len, room) => failed = tx.wait_begin(len.into(), room).err(),
        Step::Look => {
            if let Ok(used) = tx.in_flight() {
                assert!(used <= tx.capacity());
            }
            if let Ok(there) = rx.available() {
                assert!(there <= rx.capacity());
            }
        }
        Step::Index(..) | Step::Life(..) | Step::Nudge(..) | Step::Data(..) | Step::Length(..) => {}
    }
    // A direction that the peer broke stays closed, and each use of it returns the error.
    if failed == Some(Error::PeerCorrupt) {
        assert!(tx.faults() > faults.0 || rx.faults() > faults.1);
    }
    assert!(tx.faults() >= faults.0 && rx.faults() >= faults.1);
    if faults.1 != 0 {
        assert_eq!(rx.peek().err(), Some(Error::PeerCorrupt));
    }
}
