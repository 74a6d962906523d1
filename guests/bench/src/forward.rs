//! A relay's work: takes a message from one ring, copies it to another, and checks the copy.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use channel::Span;
use rt::link::{Error, Link};

use crate::message::Header;
use crate::phase::patience;

/// Waits for a message, forwards it and publishes it.
///
/// # Errors
///
/// As [`Link::wait`] and [`Link::lease`].
pub fn one(from: &mut Link, to: &mut Link, check: impl Fn(Header, usize)) -> Result<(), Error> {
    while !forward(from, to, &check)? {
        from.wait(patience())?;
    }
    to.flush()
}

/// Copies the next message from ring to ring, if there is one, and checks the copy, because the
/// message in the first ring can still change.
///
/// # Errors
///
/// As [`Link::peek`] and [`Link::lease`].
pub fn forward(
    from: &mut Link,
    to: &mut Link,
    check: impl Fn(Header, usize),
) -> Result<bool, Error> {
    let Some(view) = from.peek()? else {
        return Ok(false);
    };
    let length = view.len();
    let lease = to.lease(length, patience())?;
    let target = lease.words();
    copy(view.words(), target);
    let mut copied = target.first.iter().chain(target.second);
    let mut word = || copied.next().map_or(0, |word| word.load(Relaxed));
    check(Header::from_words(word(), word()), length);
    view.release()?;
    lease.commit(length);
    Ok(true)
}

/// Copies word by word. Each span has one or two runs of words.
fn copy(source: Span, target: Span) {
    let mut rooms = [target.first, target.second].into_iter();
    let mut room: &[AtomicU64] = &[];
    for mut words in [source.first, source.second] {
        while !words.is_empty() {
            if room.is_empty() {
                let Some(next) = rooms.next() else { return };
                room = next;
            }
            let (now, later) = words.split_at(words.len().min(room.len()));
            let (here, rest) = room.split_at(now.len());
            for (from, to) in now.iter().zip(here) {
                to.store(from.load(Relaxed), Relaxed);
            }
            (words, room) = (later, rest);
        }
    }
}
