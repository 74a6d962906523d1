// SPDX-License-Identifier: MIT OR Apache-2.0
//! The serial loader without a board: QEMU starts it, and between it and `cargo xtask flash
//! --serial` is a line with rates and faults. QEMU reports the rate that the loader sets, so a
//! wrong one is garbage here too.

use super::tally::{Tally, each};
use crate::{board, loader, verify};
use anyhow::{Context, Result, bail, ensure};
use hil::duplex::{self, Rates};
use hil::line::Faults;
use hil::port::Port;
use hil::upload::{self, Event, Order, RATE, Uploaded};
use runner::build::Builder;
use runner::qemu::{self, Machine, Options, Verdict, Watch};
use runner::workspace::{target_dir, unique, write};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Time limit of a run.
const LIMIT: Duration = Duration::from_secs(180);
/// QEMU's event for a change of the rate.
const RATE_CHANGE: &str = "pl011_baudrate_change";

/// What must come of a case.
enum Wanted {
    /// The system runs to this verdict.
    Runs(&'static str),
    /// The upload fails with these words.
    Why(&'static str),
}

/// A case.
struct Case {
    name: &'static str,
    system: &'static str,
    /// The faults of the line from the board, and to it.
    down: Faults,
    up: Faults,
    /// The highest rate that the line carries.
    limit: u32,
    /// The rate that is asked for.
    rate: u32,
    /// Where the image is to be, instead of where it belongs.
    target: Option<u64>,
    /// Words that a note must have.
    note: Option<&'static str>,
    is_long: bool,
    wanted: Wanted,
}

/// Probability of a fault per byte.
fn noisy(seed: u64, each: f64) -> Faults {
    Faults { seed, lose: each, flip: each, ..Faults::default() }
}

fn cases() -> Vec<Case> {
    let pass = || Wanted::Runs("sensor off, control off");
    let case = |name, wanted| Case {
        name,
        // Its other cores do not run before they are started, unlike the Raspberry Pi's.
        system: "qemu-virt/duo",
        down: Faults::default(),
        up: Faults::default(),
        limit: u32::MAX,
        rate: RATE,
        target: None,
        note: None,
        is_long: false,
        wanted,
    };
    vec![
        case("serial/clean", pass()),
        Case {
            system: "rpi4/duo",
            down: noisy(9, 1e-4),
            up: noisy(10, 1e-4),
            ..case("serial/spin-table", pass())
        },
        Case { down: noisy(1, 1e-4), up: noisy(2, 1e-4), ..case("serial/noisy", pass()) },
        Case {
            // The first orders come while nobody reads, and later 300 bytes.
            up: Faults { unread: Some((20_000, 300)), ..noisy(3, 0.0) },
            ..case("serial/overrun", pass())
        },
        Case {
            up: Faults { flip: 0.3, until: Some(100), ..noisy(4, 0.0) },
            ..case("serial/garbage-first", pass())
        },
        Case {
            limit: 200_000,
            note: Some("no answer at 921600 baud: the line is back at 115200 baud"),
            ..case("serial/slow-line", pass())
        },
        Case {
            rate: 5_000_000,
            note: Some("the loader refused it: a clock of 24000000 Hz does not give 5000000 baud"),
            ..case("serial/impossible-rate", pass())
        },
        Case {
            // Nothing comes through for a long time in the middle of the image.
            up: Faults { dead: Some((40_000, Duration::from_secs(6))), ..Faults::default() },
            note: Some("silence at 921600 baud: back to 115200 baud"),
            ..case("serial/silence", pass())
        },
        Case {
            up: Faults { cut: Some(30_000), ..Faults::default() },
            ..case("serial/cut", Wanted::Why("closed: the adapter was unplugged"))
        },
        Case {
            up: Faults { lose: 1.0, from: 1000, ..noisy(6, 0.0) },
            ..case("serial/gone", Wanted::Why("does not answer any more: was the board switched"))
        },
        Case {
            down: noisy(7, 1e-6),
            up: noisy(8, 1e-6),
            system: "rpi4/linux",
            is_long: true,
            ..case("serial/linux", Wanted::Runs("sensor off, control off"))
        },
        Case {
            target: Some(0xffff_0000),
            ..case("serial/outside", Wanted::Why("the loader refused it: the image, 0xffff0000 to"))
        },
        Case {
            // QEMU's tree has RAM up to 0x8000_0000, and takes 1 MiB beside the loader.
            target: Some(0x7ff8_0000),
            ..case("serial/over-loader", Wanted::Why("which the loader or firmware has"))
        },
    ]
}

/// A check: of a case, or one of its own.
enum Job {
    Case(Box<Case>),
    NoLoader,
}

/// Runs the checks whose name is chosen, at most `parallel` at a time, and records each in `tally`.
/// `long`: also those that take minutes.
pub fn run(chosen: &dyn Fn(&str) -> bool, long: bool, parallel: usize, tally: &mut Tally) {
    let cases = cases().into_iter().filter(|case| chosen(case.name) && (long || !case.is_long));
    let cases = cases.filter(|case| tally.can_run(case.name, case.system));
    let mut jobs: Vec<_> = cases.map(|case| Job::Case(Box::new(case))).collect();
    if chosen("serial/no-loader") {
        jobs.push(Job::NoLoader);
    }
    each(jobs.into(), parallel, tally, |(): &mut (), job| match job {
        Job::Case(case) => (case.name.to_owned(), check(&case).map(|()| 1)),
        Job::NoLoader => ("serial/no-loader".to_owned(), no_loader().map(|()| 1)),
    });
}

/// QEMU with the loader.
struct Board {
    /// It ends with this value.
    _machine: Machine,
    image: PathBuf,
}

impl Drop for Board {
    fn drop(&mut self) {
        // QEMU read it when it started; a file that stays is only in the way.
        let _ = std::fs::remove_file(&self.image);
    }
}

/// Starts QEMU with the loader for a system's board, and follows its rate.
fn start(system: &manifest::system::System, rates: &Arc<Rates>) -> Result<(Port, Board)> {
    let bytes = loader::image(&mut Builder::default(), &system.board)?;
    let image = target_dir().join("images").join(format!("loader-{}.img", unique()));
    write(&image, &bytes)?;
    let options = Options {
        extra: ["-trace", RATE_CHANGE].map(str::to_owned).to_vec(),
        ..Options::default()
    };
    let mut machine = qemu::start(&qemu::board(system)?, &image, &options)?;
    let (output, input) = machine.take_console()?;
    let errors = machine.take_errors()?;
    let clock = system.board.uart_clock;
    let rates = Arc::clone(rates);
    std::thread::spawn(move || {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            let rate = line.contains(RATE_CHANGE).then(|| rate(clock, &line)).flatten();
            if let Some(rate) = rate {
                rates.board.store(rate, Relaxed);
            }
        }
    });
    Ok((Port::of("QEMU", output, input), Board { _machine: machine, image }))
}

/// Returns the rate that the divisor in QEMU's line gives: "… (clk: 0hz, ibrd: 3, fbrd: 16)".
fn rate(clock: u32, line: &str) -> Option<u32> {
    let number = |name: &str| {
        let (_, rest) = line.split_once(name)?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    };
    let (whole, parts) = (number("ibrd: ")?, number("fbrd: ")?);
    let divisor = whole * 64 + parts;
    (divisor > 0).then(|| (u64::from(clock) * 4 / u64::from(divisor)) as u32)
}

/// Sends a case's system to the loader, and judges the run.
fn check(case: &Case) -> Result<()> {
    let mut builder = Builder::default();
    let system = builder.system(case.system)?;
    let image = verify::image(&mut builder, &system)?;
    let rates = Rates::new(case.limit);
    let (board, emulator) = start(&system, &rates)?;
    let mut port = duplex::start(board, case.down.clone(), case.up.clone(), &rates)?;
    let order = Order {
        image: &image.bytes,
        target: case.target.unwrap_or(image.design.places.image.base),
        rate: case.rate,
        wait: LIMIT,
    };
    let mut notes = Vec::new();
    let result = upload::upload(&mut port, &order, &mut |event| {
        if let Event::Note(note) = event {
            notes.push(note);
        }
    });
    let sent = match (&case.wanted, result) {
        (Wanted::Runs(_), Ok(sent)) => sent,
        (Wanted::Runs(_), Err(error)) => return Err(error.context("the image was not sent")),
        (Wanted::Why(words), Err(error)) => {
            let why = format!("{error:#}");
            ensure!(why.contains(words), "failed with `{why}`, expected `{words}`");
            return Ok(());
        }
        (Wanted::Why(words), Ok(_)) => bail!("the image was sent, expected `{words}`"),
    };
    if let Some(words) = case.note {
        ensure!(notes.iter().any(|note| note.contains(words)), "{notes:?}, expected `{words}`");
    }
    // On a busy host QEMU may be silent for seconds, which a board never is.
    let is_busy = notes.iter().any(|note| note.starts_with("silence at"));
    ensure!(case.note.is_some() || is_busy || notes.is_empty(), "{notes:?}");
    plausible(case, &sent, is_busy)?;
    let options = Options {
        boot_limit: Some(LIMIT),
        limit: Some(LIMIT),
        input: qemu::Input::Nobody,
        ..Options::default()
    };
    let watch = Watch::new(&system, None);
    let outcome = board::attend(port, 0, &options, watch, &mut |_| Ok(()))?;
    drop(emulator);
    let verdict = board::verdict(&qemu::partitions(&system), &outcome);
    let Wanted::Runs(wanted) = case.wanted else { return Ok(()) };
    let last: Vec<_> = outcome.console.lines.iter().rev().take(3).collect();
    ensure!(verdict == Verdict::Pass(wanted.to_owned()), "{sent}; {verdict}; {last:?}");
    write(
        &target_dir().join("tests").join(format!("{}.log", case.name)),
        sent.to_string().as_bytes(),
    )
}

/// Checks what an upload says of itself; `is_busy`: the host was.
fn plausible(case: &Case, sent: &Uploaded, is_busy: bool) -> Result<()> {
    let rate = if case.note.is_some() { 115_200 } else { case.rate };
    ensure!(is_busy || sent.rate == rate, "the rate is {}, expected {rate}", sent.rate);
    let is_clean =
        case.up.lose + case.up.flip == 0.0 && case.up.unread.is_none() && case.up.dead.is_none();
    ensure!(
        is_clean || case.up.until.is_some() || sent.repeats > 0,
        "no block was damaged: {sent}"
    );
    // The line's own time: no run can be faster.
    let least = sent.packed as f64 * 10.0 / f64::from(RATE);
    ensure!(sent.time.as_secs_f64() >= least, "{sent}: the line takes {least:.2} s");
    Ok(())
}

/// A board without a loader: the sentence says what to do.
fn no_loader() -> Result<()> {
    let rates = Rates::new(u32::MAX);
    let (near, far) = std::os::unix::net::UnixStream::pair()?;
    let board = Port::of("a board", near.try_clone()?, near);
    let mut port = duplex::start(board, Faults::default(), Faults::default(), &rates)?;
    let mut system = far.try_clone()?;
    std::io::Write::write_all(&mut system, b"bulkhead: loading\r\nbulkhead: 2 partitions\r\n")?;
    let order =
        Order { image: &[1; 100], target: 0x20_0000, rate: RATE, wait: Duration::from_secs(1) };
    let error = upload::upload(&mut port, &order, &mut |_| ()).err();
    let why = format!("{:#}", error.context("there is no loader")?);
    for words in [
        "after 1 s no loader answers: a system of Bulkhead's runs: reset the board",
        "cargo xtask flash --loader --device",
    ] {
        ensure!(why.contains(words), "{why}");
    }
    drop(far);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use loader_protocol::board::divisor;

    #[test]
    fn qemu_s_line_gives_the_rate() {
        let line = "pl011_baudrate_change new baudrate 0 (clk: 0hz, ibrd: 3, fbrd: 16)";
        assert_eq!(rate(48_000_000, line), Some(923_076));
        assert_eq!(divisor(48_000_000, RATE), Some((3, 16)));
        assert_eq!(rate(48_000_000, "something else"), None);
    }
}
