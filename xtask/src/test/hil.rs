// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask hil` and `board` without a board: a recorded run, or QEMU, behind a line with
//! faults. Each fault must end in a report after a retry, or in a sentence that says what happened.

use super::tally::{Tally, each};
use crate::board;
use crate::hil::boot::{Boot, Load};
use crate::hil::emulator::Emulator;
use crate::hil::{measure, report};
use anyhow::{Context, Result, bail, ensure};
use hil::figures::Figures;
use hil::limits::Limits;
use hil::line::{Faults, start};
use hil::port::Port;
use hil::recorded::{Behaviour, Recorded};
use hil::session::{Reset, Session, Times};
use runner::qemu::{Options, Verdict, Watch};
use runner::workspace::{root, target_dir, unique, write};
use std::time::Duration;

/// The console of a run on QEMU with few rows.
const LOG: &str = "tests/hil/rpi4.log";
/// Rows of that run.
const ROWS: usize = 45;
/// Lines of its report.
const LINES: usize = 178;
/// Values per row on QEMU.
const SAMPLES: u32 = 4;
/// Time limit of a run on QEMU.
const LIMIT: Duration = Duration::from_secs(120);

/// What must come of a fault.
enum Wanted {
    /// A report, in so many attempts.
    Report(u32),
    /// A report, in any number of attempts.
    AnyReport,
    /// Several reports, merged.
    Merged,
    /// A failure with these words.
    Why(&'static str),
}

/// A recorded board with a fault.
struct Fault {
    name: &'static str,
    faults: Faults,
    behaviour: Behaviour,
    /// Lines of the console before the recorded ones.
    before: &'static str,
    /// Whether there is a command that resets it.
    has_reset: bool,
    /// Seconds of reports.
    soak: f64,
    wanted: Wanted,
}

/// A check on QEMU.
type Check = fn() -> Result<()>;

/// A check that waits for its turn.
enum Job {
    Fault(Box<Fault>),
    Qemu(&'static str, Check),
}

impl Job {
    fn name(&self) -> &'static str {
        match self {
            Self::Fault(fault) => fault.name,
            Self::Qemu(name, _) => name,
        }
    }
}

/// Runs the checks whose name is chosen, at most `parallel` at a time, and records each in `tally`.
pub fn run(chosen: &dyn Fn(&str) -> bool, parallel: usize, tally: &mut Tally) {
    let on_qemu: [(_, Check); 3] =
        [("hil/qemu", qemu), ("hil/board", on_a_board), ("hil/netboot", netboot)];
    let on_qemu = on_qemu.into_iter().filter(|(name, _)| chosen(name));
    // The board's device tree is Debian's.
    let on_qemu = on_qemu.filter(|(name, _)| tally.can_run(name, "rpi4/latency"));
    let on_qemu: Vec<_> = on_qemu.map(|(name, check)| Job::Qemu(name, check)).collect();
    let faults = faults().into_iter().map(|fault| Job::Fault(Box::new(fault)));
    let faults = faults.filter(|job| chosen(job.name()));
    each(on_qemu.into_iter().chain(faults).collect(), parallel, tally, |(): &mut (), job| {
        let result = match &job {
            Job::Fault(fault) => recorded(fault),
            Job::Qemu(_, check) => check(),
        };
        (job.name().to_owned(), result.map(|()| 1))
    });
}

fn faults() -> Vec<Fault> {
    let fault = |name, faults: Faults, wanted| Fault {
        name,
        faults: Faults { seed: 1, ..faults },
        behaviour: Behaviour::default(),
        before: "",
        has_reset: false,
        soak: 0.0,
        wanted,
    };
    let board =
        |name, behaviour, wanted| Fault { behaviour, ..fault(name, Faults::default(), wanted) };
    let none = Faults::default;
    let does = Behaviour::default;
    vec![
        fault("hil/clean", none(), Wanted::Report(1)),
        fault("hil/paced", Faults { baud: 115_200, ..none() }, Wanted::Report(1)),
        fault(
            "hil/garbage-first",
            Faults { flip: 0.5, until: Some(100), ..none() },
            Wanted::Report(1),
        ),
        fault(
            "hil/lost",
            Faults { lose: 0.05, from: 2000, until: Some(2400), ..none() },
            Wanted::Report(2),
        ),
        fault(
            "hil/flipped",
            Faults { flip: 0.05, from: 2000, until: Some(2400), ..none() },
            Wanted::Report(2),
        ),
        fault("hil/overrun", Faults { unread: Some((5000, 300)), ..none() }, Wanted::Report(2)),
        fault(
            "hil/noisy",
            Faults { flip: 0.002, from: 200, ..none() },
            Wanted::Why("figures: 3 reports did not count: line"),
        ),
        fault("hil/lost-orders", Faults { lose_orders: 0.02, ..none() }, Wanted::AnyReport),
        fault(
            "hil/cut",
            Faults { cut: Some(5000), ..none() },
            Wanted::Why("closed: the adapter was unplugged, or its server ended"),
        ),
        fault(
            "hil/wrong-rate",
            Faults { wrong_rate: true, ..none() },
            Wanted::Why("firmware: after 1 s"),
        ),
        board(
            "hil/silent",
            Behaviour { stops_at_boot: Some(0), ..does() },
            Wanted::Why("power: after 1 s no byte came: is the board powered"),
        ),
        Fault {
            before: "a line of firmware\n",
            ..board(
                "hil/only-firmware",
                Behaviour { stops_at_boot: Some(1), ..does() },
                Wanted::Why("firmware: after 1 s only firmware spoke"),
            )
        },
        Fault {
            before: "bulkhead: core 3 is waited for\n",
            ..board(
                "hil/no-partitions",
                Behaviour { stops_at_boot: Some(1), ..does() },
                Wanted::Why("plan: after 1 s EL2 printed a line, but its partitions did not start"),
            )
        },
        Fault {
            before: "bulkhead: refused: the machine has 3 cores\n",
            ..board(
                "hil/refused",
                Behaviour { stops_at_boot: Some(1), ..does() },
                Wanted::Why("plan: Bulkhead refused the machine: the machine has 3 cores"),
            )
        },
        board("hil/runs-already", Behaviour { is_running: true, ..does() }, Wanted::Report(1)),
        board("hil/reset", Behaviour { resets_at: Some(50), ..does() }, Wanted::Report(2)),
        // The last line.
        board("hil/lost-end", Behaviour { skips: Some(LINES - 1), ..does() }, Wanted::Report(2)),
        board(
            "hil/halted",
            Behaviour { halts_at: Some(50), ..does() },
            Wanted::Why("figures: peer: vCPU 0 on core 2 halted: a test"),
        ),
        board(
            "hil/hangs",
            Behaviour { hangs_at: Some(50), ..does() },
            Wanted::Why("figures: after 2 s the partitions run, but nothing more came"),
        ),
        Fault {
            has_reset: true,
            ..board(
                "hil/reset-command",
                Behaviour { hangs_at: Some(50), ..does() },
                Wanted::Report(2),
            )
        },
        Fault {
            soak: 1.0,
            ..fault("hil/soak", Faults { baud: 921_600, ..none() }, Wanted::Merged)
        },
        board(
            "hil/deaf",
            Behaviour { is_deaf: true, ..does() },
            Wanted::Why("the board took none of 5 orders"),
        ),
    ]
}

/// The times of a recorded board, which has no work to do.
fn short() -> Times {
    let seconds = Duration::from_secs;
    Times {
        power: seconds(1),
        firmware: seconds(1),
        plan: seconds(1),
        silence: seconds(2),
        answer: Duration::from_millis(300),
        end: seconds(5),
        report: seconds(30),
    }
}

fn recorded(fault: &Fault) -> Result<()> {
    let log = std::fs::read_to_string(root().join(LOG))?;
    let recorded = Recorded::parse(&format!("{}{log}", fault.before))?;
    let board = recorded.start(fault.behaviour)?;
    let port = Port::open(&start(board, fault.faults.clone())?)?;
    let mut tell = |_| ();
    let mut press = |_: &mut Port| {
        recorded.reset();
        Ok(())
    };
    let reset: Reset = if fault.has_reset { Some(&mut press) } else { None };
    let mut session = Session::new(port, short(), reset, &mut tell);
    let result = measure(&mut session, 100, Some(fault.soak / 3600.0));
    match (&fault.wanted, result) {
        (Wanted::Report(attempts), Ok(figures)) => {
            ensure!(
                figures.attempts == *attempts,
                "a report in {} attempts, expected {attempts}",
                figures.attempts
            );
            same(&figures, &recorded)
        }
        (Wanted::Merged, Ok(figures)) => {
            let one = Figures::parse(recorded.payloads())?;
            let times = figures.rows[0].count / one.rows[0].count;
            ensure!(
                times > 1 && times == u64::from(figures.reports),
                "{} reports have {times} times the values of one",
                figures.reports
            );
            ensure!(figures.rows[0].ns == one.rows[0].ns, "the same values have other quantiles");
            Ok(())
        }
        (Wanted::AnyReport, Ok(figures)) => same(&figures, &recorded),
        (Wanted::Why(words), Err(error)) => {
            let why = format!("{error:#}");
            ensure!(why.contains(words), "failed with `{why}`, expected `{words}`");
            Ok(())
        }
        (Wanted::Why(words), Ok(_)) => bail!("a report came, expected `{words}`"),
        (_, Err(error)) => Err(error.context("no report")),
    }
}

/// Checks that a report has the recorded figures, each of them.
fn same(figures: &Figures, recorded: &Recorded) -> Result<()> {
    let expected = Figures::parse(recorded.payloads())?;
    ensure!(figures.rows.len() == ROWS, "{} rows, expected {ROWS}", figures.rows.len());
    ensure!(figures.rows == expected.rows, "the report has other figures than were recorded");
    ensure!(figures.machine == expected.machine, "the report is of another machine");
    Ok(())
}

/// The measuring system on QEMU's board, behind a line that damages the first report: all rows
/// come, the limits hold, and the report has its plots.
fn qemu() -> Result<()> {
    let (console, emulator) = Emulator::start("rpi4/latency")?;
    let faults = Faults {
        seed: 3,
        baud: 921_600,
        flip: 0.01,
        from: 2000,
        until: Some(3000),
        ..Faults::default()
    };
    let port = Port::open(&start(console, faults)?)?;
    let mut again = 0;
    let mut tell = |event| again += usize::from(matches!(event, hil::session::Event::Again(_)));
    let times = Times { report: LIMIT, ..Times::default() };
    let mut session = Session::new(port, times, None, &mut tell);
    let figures = measure(&mut session, SAMPLES, None);
    let last = session.console.last.clone();
    drop(session);
    let said = emulator.stop();
    let mut figures = figures.with_context(|| format!("the last line: {last}; QEMU: {said}"))?;
    ensure!(again == 1 && figures.attempts == 2, "the damaged report was not repeated");
    figures.emulated = true;
    "rpi4".clone_into(&mut figures.board);
    for row in &figures.rows {
        ensure!(row.count >= u64::from(SAMPLES), "{}: {} values", row.key(), row.count);
    }
    let slower = |name: &str, way: &str| {
        let path = |path| figures.find(&format!("{name} {way} {path} none 64"));
        let pair = path("direct").zip(path("relayed"));
        pair.map(|(direct, relayed)| relayed.ns.min > direct.ns.min)
    };
    ensure!(
        slower("message-one-way", "doorbell") == Some(true),
        "a relayed message is not slower than a direct one at its best"
    );
    let limits = Limits::load(&root().join("boards/rpi4/hil.toml"))?;
    let checks = limits.check(&figures);
    if let Some(check) = checks.iter().find(|check| check.why.is_some()) {
        bail!("{}: {:?}", check.name, check.why);
    }
    let html = report::html(&figures, &checks, &[]);
    let plots = plots(&html)?;
    ensure!(plots >= 12, "the report has {plots} plots");
    ensure!(html.contains("say nothing about silicon"), "the report looks like a board's");
    Ok(())
}

/// Returns the number of plots of a page, each of which must be XML with at least one curve.
fn plots(html: &str) -> Result<usize> {
    let mut count = 0;
    for piece in html.split("<svg").skip(1) {
        let (svg, _) = piece.split_once("</svg>").context("a plot has no end")?;
        let text = format!("<svg{svg}</svg>");
        let tree = roxmltree::Document::parse(&text).context("a plot is not XML")?;
        let shapes = tree
            .descendants()
            .filter(|node| ["polyline", "circle"].contains(&node.tag_name().name()));
        ensure!(shapes.count() > 0, "a plot is empty");
        count += 1;
    }
    Ok(count)
}

/// `cargo xtask board`'s console and verdict, with QEMU behind a TCP port.
fn on_a_board() -> Result<()> {
    let spec = "rpi4/duo";
    let (console, emulator) = Emulator::start(spec)?;
    let port = Port::open(&start(console, Faults::default())?)?;
    let options = Options { boot_limit: Some(LIMIT), limit: Some(LIMIT), ..Options::default() };
    let outcome = board::attend(port, 0, &options, Watch::default(), &mut |_| Ok(()))?;
    emulator.stop();
    let verdict = board::verdict(&["sensor", "control"], &outcome);
    ensure!(
        verdict == Verdict::Pass("sensor off, control off".to_owned()),
        "{verdict}; the last lines: {:?}",
        outcome.console.lines.iter().rev().take(3).collect::<Vec<_>>()
    );
    // A board that firmware does not start.
    let log = std::fs::read_to_string(root().join(LOG))?;
    let board = Recorded::parse(&format!("a line of firmware\n{log}"))?;
    let port = board.start(Behaviour { stops_at_boot: Some(1), ..Behaviour::default() })?;
    let options = Options { boot_limit: Some(Duration::from_millis(500)), ..options };
    let outcome = board::attend(port, 0, &options, Watch::default(), &mut |_| Ok(()))?;
    let verdict = board::verdict(&["sensor", "control"], &outcome).to_string();
    ensure!(
        verdict.contains("did not start within 0 s")
            && verdict.ends_with("only firmware spoke, and EL2 printed no line"),
        "{verdict}"
    );
    Ok(())
}

/// The files of `--load netboot=DIR`: the image, and EL2's nonce for the verdict.
fn netboot() -> Result<()> {
    let folder = target_dir().join("tests").join(format!("netboot-{}", unique()));
    let firmware = folder.join("firmware");
    // The board does not start here, so any bytes will do.
    for name in ["start4.elf", "fixup4.dat", "bcm2711-rpi-4-b.dtb"] {
        write(&firmware.join(name), b"a file of firmware's")?;
    }
    let boot = Boot {
        port: "none".to_owned(),
        load: Load::Netboot(folder.join("tftp")),
        reset: Some("true".to_owned()),
        firmware: Some(firmware),
        prefix: Some("10000000DEADBEEF".to_owned()),
        append: Some("bulkhead.watchdog=1".to_owned()),
        ..Boot::default()
    };
    boot.check()?;
    let nonce = boot.nonce();
    boot.prepare("rpi4/duo", nonce)?;
    let own = folder.join("tftp/deadbeef");
    let line = std::fs::read_to_string(own.join("cmdline.txt"))?;
    let wanted = format!("bulkhead.nonce={nonce:016x} bulkhead.watchdog=1\n");
    ensure!(line == wanted, "the command line is {line:?}");
    for name in ["kernel8.img", "config.txt", "start4.elf"] {
        ensure!(own.join(name).is_file(), "the board would not find {name}");
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
