//! `cargo xtask verify --live`: runs a system on QEMU and compares the running machine with its
//! image. The machine is stopped three times or more: as soon as every core runs its guest, under
//! load, and after EL2's last line.

mod compare;
mod gdb;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use compare::Standard;
use gdb::{Gdb, Stop};
use manifest::system::System;
use manifest::words::count;
use planner::Image;
use runner::build::Builder;
use runner::errands;
use runner::qemu::{self, Console, Verdict, Watch};
use runner::ui::Step;
use runner::workspace;

/// Time limit of a run.
const LIMIT: Duration = Duration::from_secs(300);
/// EL2's line when all memory is loaded and the first guests start.
const STARTED: &str = "bulkhead: machine matches plan";
/// Prefix of its last line.
const ENDED: &str = "bulkhead: end ";
/// Time that the machine runs before the first comparison under load. Each further time is twice as
/// long: a short run is compared several times, and a long one to its end.
const BETWEEN: Duration = Duration::from_millis(250);
/// Time that cores may take from that line to their guests' registers, and the machine from its
/// last line to power off.
const SOON: Duration = Duration::from_secs(5);

/// A change to the machine, for tests that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meddling {
    /// No change.
    None,
    /// Once its guests run, a bit of a translation table is inverted in memory, which changes
    /// nothing for them.
    Table,
}

/// The result.
pub struct Report {
    /// Number of comparisons at boot, under load, at the end.
    pub looks: [usize; 3],
    /// Bytes of memory and number of registers compared each time.
    pub size: (usize, usize),
    /// Every difference, with its time.
    pub differences: Vec<String>,
    /// The verdict on the run itself.
    pub verdict: Verdict,
}

impl Report {
    /// Whether the machine agreed with the image to the end.
    pub fn holds(&self) -> bool {
        self.differences.is_empty() && self.verdict.passed() && !self.looks.contains(&0)
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for difference in &self.differences {
            writeln!(f, "live: {difference}")?;
        }
        let [boot, load, end] = self.looks;
        let (bytes, registers) = self.size;
        writeln!(
            f,
            "live: {} KiB of memory and {registers} EL2 registers compared {} at boot, {load} \
             under load, {end} at the end: {}",
            bytes >> 10,
            count(boot, "time"),
            count(self.differences.len(), "difference")
        )?;
        writeln!(f, "{}", self.verdict)?;
        let words = if self.holds() { "PASS" } else { "FAIL" };
        write!(f, "live: {words}")
    }
}

/// Builds `spec` for GIC version `gic` or its board's first, runs it and compares it with its
/// image.
///
/// # Errors
/// If it cannot be built, verified or run; differences are in the report.
pub fn command(spec: &str, gic: Option<u32>) -> Result<Report> {
    let mut builder = Builder::for_gic(gic);
    let system = builder.system(spec)?;
    let image = builder.image(&system)?;
    let step = Step::start(format!("running and inspecting {}", system.name));
    let report = run(&mut builder, &system, &image, &image.bytes, Meddling::None);
    drop(step);
    report
}

/// Starts the image `started` and compares the machine with `image`; the two differ only in tests.
///
/// # Errors
/// If `image` does not verify, or the machine cannot be run or read.
pub fn run(
    builder: &mut Builder,
    system: &System,
    image: &Image,
    started: &[u8],
    meddling: Meddling,
) -> Result<Report> {
    let inputs = super::inputs(builder, system)?;
    let (proof, expected) = verify::expectations(&image.bytes, &inputs);
    let Some(expected) = expected else {
        bail!("{}: its image does not verify\n{}", system.name, proof.refusal());
    };
    let el2 =
        std::fs::read(builder.hypervisor_of(system)?).context("cannot read EL2's executable")?;
    let standard = Standard::new(system, image, expected, &el2)?;

    let files = Files::new(&system.name);
    workspace::write(&files.image, started)?;
    let socket = format!("unix:{},server=on,wait=off", files.socket.display());
    let options = qemu::Options {
        // With these, cores and memory can be read after power-off.
        extra: ["-gdb", &socket, "-no-shutdown", "-S"].map(String::from).to_vec(),
        boot_limit: Some(LIMIT),
        limit: Some(LIMIT),
        limit_ends_with_key: false,
        input: match errands::errands(system) {
            steps if steps.is_empty() => qemu::Input::Nobody,
            steps => qemu::Input::Typed(steps),
        },
        ..qemu::Options::default()
    };
    let board = qemu::board(system)?;
    let (sender, chunks) = channel();
    std::thread::scope(|scope| {
        let machine = scope.spawn(|| {
            let sender = sender;
            qemu::run(&board, &files.image, &options, false, Watch::default(), &mut |bytes| {
                // A send fails when the receiver needs no more output.
                let _ = sender.send(bytes.to_vec());
                Ok(())
            })
        });
        let exchange = files.memory.clone();
        let connected = Gdb::connect(&files.socket, exchange, || machine.is_finished());
        let looked = connected.and_then(|mut gdb| {
            let looked = Looks::new(&standard, &mut gdb, chunks, meddling).all();
            // QEMU has already ended if that made the comparison fail.
            let _ = gdb.kill();
            looked
        });
        let outcome = machine.join().map_err(|_| anyhow::anyhow!("lost QEMU"))??;
        let verdict = qemu::judge(&qemu::partitions(system), &outcome);
        let (looks, differences) = looked.with_context(|| verdict.to_string())?;
        Ok(Report { looks, size: standard.size(), differences, verdict })
    })
}

/// Files of one run.
struct Files {
    image: PathBuf,
    memory: PathBuf,
    socket: PathBuf,
}

impl Files {
    fn new(name: &str) -> Self {
        let id = workspace::unique();
        let folder = workspace::target_dir().join("images");
        Self {
            image: folder.join(format!("{name}-live-{id}.img")),
            memory: folder.join(format!("{name}-live-{id}.memory")),
            // A socket's path has 107 bytes at most, and a path in the target folder may be longer.
            socket: std::env::temp_dir().join(format!("bulkhead-{id}.gdb")),
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let remove = |path: &Path| {
            // Some of the files may not exist.
            let _ = std::fs::remove_file(path);
        };
        remove(&self.image);
        remove(&self.memory);
        remove(&self.socket);
    }
}

/// The comparisons of one run.
struct Looks<'a> {
    standard: &'a Standard,
    gdb: &'a mut Gdb,
    chunks: Receiver<Vec<u8>>,
    console: Console,
    meddling: Meddling,
    looks: [usize; 3],
    differences: Vec<String>,
}

/// The time of a comparison.
#[derive(Clone, Copy)]
enum Moment {
    Boot,
    Load,
    End,
}

impl<'a> Looks<'a> {
    fn new(
        standard: &'a Standard,
        gdb: &'a mut Gdb,
        chunks: Receiver<Vec<u8>>,
        meddling: Meddling,
    ) -> Self {
        Self {
            standard,
            gdb,
            chunks,
            console: Console::new(0),
            meddling,
            looks: [0; 3],
            differences: Vec::new(),
        }
    }

    /// Runs from boot to the end; returns the numbers of comparisons, and the differences.
    fn all(mut self) -> Result<([usize; 3], Vec<String>)> {
        self.gdb.resume()?;
        if self.until_started()? {
            let deadline = Instant::now() + SOON;
            while !self.standard.is_ready(self.gdb)? && Instant::now() < deadline {
                self.gdb.resume()?;
                std::thread::sleep(Duration::from_millis(2));
                self.gdb.interrupt()?;
            }
            self.look(Moment::Boot)?;
            if self.meddling == Meddling::Table {
                let table = self.standard.a_table().context("the image has no table")?;
                // Bit 55 is ignored by hardware (DDI 0487, D8.3): the guests go on, so the machine
                // can be compared under load.
                let byte = self.gdb.memory(table + 6, 1)?[0];
                self.gdb.write(table + 6, byte ^ 0x80)?;
            }
            self.gdb.resume()?;
            self.until_ended()?;
            self.look(Moment::End)?;
        }
        Ok((self.looks, self.differences))
    }

    fn look(&mut self, moment: Moment) -> Result<()> {
        let word = ["at boot", "under load", "at the end"][moment as usize];
        let found = self.standard.differences(self.gdb)?;
        let new = found.into_iter().filter(|new| {
            let known = |old: &String| old.split_once(": ").is_some_and(|(_, old)| old == new);
            !self.differences.iter().any(known)
        });
        let new: Vec<_> = new.map(|difference| format!("{word}: {difference}")).collect();
        self.differences.extend(new);
        self.looks[moment as usize] += 1;
        Ok(())
    }

    /// Takes the console's new output, for `time` at most; returns whether more may come.
    fn listen(&mut self, time: Duration) -> bool {
        match self.chunks.recv_timeout(time) {
            Ok(bytes) => {
                self.console.feed(&bytes);
                true
            }
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => false,
        }
    }

    /// Whether EL2 has printed a line that starts with `words`; guests cannot (`qemu/console.rs`).
    fn said(&self, words: &str) -> bool {
        self.console.lines.iter().any(|line| line.starts_with(words))
    }

    /// Lets the machine run until its guests start, and stops it; returns false if they never do.
    fn until_started(&mut self) -> Result<bool> {
        while !self.said(STARTED) {
            if self.gdb.wait(Duration::from_millis(1))?.is_some()
                || !self.listen(Duration::from_millis(5))
            {
                return Ok(false);
            }
        }
        self.gdb.interrupt()?;
        Ok(true)
    }

    /// Compares the machine while it runs, until it has powered off or printed its last line; then
    /// it is stopped.
    fn until_ended(&mut self) -> Result<()> {
        let mut last = Instant::now();
        let mut pause = BETWEEN;
        loop {
            if self.gdb.wait(Duration::from_millis(1))? == Some(Stop::PoweredOff) {
                return Ok(());
            }
            if !self.listen(Duration::from_millis(20)) {
                bail!("QEMU ended");
            }
            if self.said(ENDED) {
                // With `at-end = "wait"` it stays powered on.
                return match self.gdb.wait(SOON.min(Duration::from_secs(1)))? {
                    Some(_) => Ok(()),
                    None => self.gdb.interrupt().map(|_| ()),
                };
            }
            if last.elapsed() > pause {
                if self.gdb.interrupt()? == Stop::PoweredOff {
                    return Ok(());
                }
                self.look(Moment::Load)?;
                self.gdb.resume()?;
                last = Instant::now();
                pause *= 2;
            }
        }
    }
}
