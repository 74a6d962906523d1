//! Runs the whole-system tests of `tests/` on QEMU, several at a time, and judges them.

use super::tally::{Tally, each};
use super::{damage, loader};
use crate::{crash, verify};
use anyhow::{Context, Result, bail, ensure};
use manifest::system::{Qemu, System};
use plan::options::{CRASH_RECORDS, SUPERVISION};
use runner::build::Builder;
use runner::linux;
use runner::qemu::{self, Outcome, REFUSED, Watch};
use runner::workspace;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use system_tests::{Case, Entry, Expect, Loader, Machine};

/// Time limit of one run. The longest takes a quarter of it where two runs share two cores.
const LIMIT: Duration = Duration::from_secs(300);
/// Time limit of a run that is too long for CI.
const LONG_LIMIT: Duration = Duration::from_secs(7200);
/// First of the numbers that a console must show.
const FIRST_NUMBER: usize = 100_000;
/// The nonce of runs that are compared with each other.
const NONCE: u64 = 0x1234_5678_9abc_def0;
/// Bytes of a case's disk.
const DISK: u64 = 8 << 20;
/// Console lines shown with a failure.
const TAIL: usize = 15;

/// A case with its image.
struct Job {
    case: Case,
    system: Arc<System>,
    image: PathBuf,
    /// EL2's executable, if the case decodes crash records.
    el2: Option<PathBuf>,
    /// The image with EL2 built without its fast paths, which must give the same output.
    other: Option<PathBuf>,
    /// The tests' boot loader, an ELF file, if the case has one in front of the image.
    loader: Option<PathBuf>,
    /// The tests' firmware, an ELF file, if the case has it at EL3.
    firmware: Option<PathBuf>,
}

/// More pets of a watchdog than these beyond those that a case wants are too many.
const SPARE: usize = 8;
/// The word that starts the board's watchdog.
const WATCHDOG: &str = "bulkhead.watchdog=1";
/// Packages of the tests' boot loader and of their firmware.
const LOADER: &str = "loader";
const FIRMWARE: &str = "firmware";
/// Where the firmware finds the loader with the image.
const AT: u32 = 0x4200_0000;

/// Runs `cases`, at most `parallel` at a time, and records each in `tally`.
///
/// # Errors
/// If a system does not build, because no case can be judged then.
pub fn run(cases: &[Case], parallel: usize, tally: &mut Tally) -> Result<()> {
    each(prepare(cases)?, parallel, tally, |(): &mut (), job| {
        (job.case.name.to_owned(), judge(&job).map(|()| 1))
    });
    Ok(())
}

/// Builds every image. Cases with the same system and the same command line start the same file.
fn prepare(cases: &[Case]) -> Result<VecDeque<Job>> {
    let mut builder = Builder::default();
    let mut images = BTreeMap::new();
    let mut jobs = VecDeque::new();
    for case in cases {
        builder.gic = case.machine.gic;
        let mut image = |builder: &mut Builder, without_fast_paths| -> Result<_> {
            builder.without_fast_paths = without_fast_paths;
            let Case { system, command_line, damage, machine, options, .. } = *case;
            let key = (system, command_line, damage, machine.gic, options, without_fast_paths);
            if let Some(known) = images.get(&key) {
                return Ok(Clone::clone(known));
            }
            let made =
                build_image(builder, case).with_context(|| format!("{}: no image", case.name))?;
            Ok(images.entry(key).or_insert(made).clone())
        };
        let (system, first) = image(&mut builder, case.without_fast_paths)?;
        let other = match case.expect.compares_builds() {
            true => Some(image(&mut builder, true)?.1),
            false => None,
        };
        builder.without_fast_paths = case.without_fast_paths;
        let el2 = match case.crash {
            [] => None,
            _ => Some(builder.hypervisor_of(&system)?),
        };
        let loader = case.machine.loader.map(|_| builder.program(LOADER)).transpose()?;
        let firmware = case.machine.kept.map(|_| builder.program(FIRMWARE)).transpose()?;
        jobs.push_back(Job { loader, firmware, case: *case, system, image: first, el2, other });
    }
    Ok(jobs)
}

fn build_image(builder: &mut Builder, case: &Case) -> Result<(Arc<System>, PathBuf)> {
    let mut system = builder.system(case.system)?;
    if let Some((name, line)) = case.command_line {
        let partition = system.partitions.iter_mut().find(|partition| partition.name == name);
        let partition = partition.with_context(|| format!("the system has no partition {name}"))?;
        partition.command_line = Some(line.to_string());
    }
    if let Some(names) = case.options {
        let has = |&option: &u64| plan::options::names(option).any(|name| names.contains(&name));
        system.options = [CRASH_RECORDS, SUPERVISION].into_iter().filter(has).sum();
    }
    let watchdog = &mut system.board.writes[plan::writes::WATCHDOG];
    if is_watched(case) {
        let uart = system.board.devices.iter().find(|device| device.name == "uart1");
        let uart = uart.context("the board has no second UART for a watchdog")?;
        *watchdog = vec![(uart.regs.base, u32::from(b'w'))];
        system.board.watchdog_period = 100_000;
    }
    // The manifest has only its own command line and options, so an image with others is not
    // verified against it.
    let image = match (case.command_line, case.options) {
        (None, None) => verify::image(builder, &system)?,
        _ => builder.image(&system)?,
    };
    let mut bytes = image.bytes;
    if let Some(damage) = case.damage {
        damage::inflict(damage, &mut bytes).context("the image has no such place")?;
    }
    let path = file(case, if builder.without_fast_paths { "plain.img" } else { "img" });
    workspace::write(&path, &bytes)?;
    Ok((Arc::new(system), path))
}

/// Whether the case's machine has a watchdog that prints on the second UART.
fn is_watched(case: &Case) -> bool {
    case.machine.devices.is_some()
        && case.machine.append.is_some_and(|text| text.contains(WATCHDOG))
}

/// The path of a case's file.
fn file(case: &Case, extension: &str) -> PathBuf {
    workspace::target_dir().join("tests").join(format!("{}.{extension}", case.name))
}

fn judge(job: &Job) -> Result<()> {
    if job.case.machine.keeps_memory {
        // The file belongs only to this case, and nothing is left of an earlier one.
        workspace::write(&file(&job.case, "ram"), &[])?;
        run_once(job, &job.image, "first.log")?;
    }
    let first = run_once(job, &job.image, "log")?;
    if job.case.machine.keeps_memory {
        // It is as large as the machine's RAM.
        std::fs::remove_file(file(&job.case, "ram")).context("cannot remove the RAM's file")?;
    }
    let result = check(job, &first).and_then(|()| {
        if matches!(job.case.expect, Expect::EndsTwice(_)) {
            let second = run_once(job, &job.image, "second.log")?;
            ensure!(
                first.bytes == second.bytes,
                "a second run printed different lines; {}",
                difference(&first.console.lines, &second.console.lines)
            );
        }
        if let Some(other) = &job.other {
            let second = run_once(job, other, "second.log")?;
            check(job, &second).context("without fast paths")?;
            let [with, without] = [&first, &second].map(by_partition);
            ensure!(
                with == without,
                "EL2 without fast paths behaves differently; {}",
                difference(&with, &without)
            );
        }
        Ok(())
    });
    result.with_context(|| {
        let lines = &first.console.lines;
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n    ");
        format!("{}:\n    {tail}", file(&job.case, "log").display())
    })
}

fn run_once(job: &Job, image: &Path, log: &str) -> Result<Outcome> {
    let Machine {
        board,
        icount,
        cores,
        memory,
        cpu,
        gic: _,
        foreign_gic,
        devices,
        slow,
        firmware,
        append,
        is_busy,
        keeps_memory,
        loader,
        entry,
        kept,
    } = job.case.machine;
    // The load ends with the run, which has a time limit.
    let _load = is_busy.then(Load::start);
    let mut extra = Vec::new();
    if slow {
        extra.extend(["-icount", "shift=4"].map(String::from));
    }
    if let Some(name) = firmware {
        let package = name.strip_prefix(manifest::SCHEME).unwrap_or(name);
        let path = linux::file(package, &linux::Overrides::default())?;
        extra.extend(["-bios".to_string(), path.display().to_string()]);
    }
    // QEMU ends at both, and logs only a power-off.
    let off = file(&job.case, "power-off");
    let ends = [job.system.at_end, job.system.on_refusal];
    let resets = ends.contains(&plan::END_RESET);
    if resets {
        workspace::write(&off, &[])?;
        let path = off.display().to_string();
        extra.extend(["-trace", "qemu_system_shutdown_request", "-D", &path].map(String::from));
    }
    let second = file(&job.case, "uart1");
    if devices.is_some() {
        let disk = file(&job.case, "disk");
        workspace::write(&disk, &[])?;
        std::fs::File::create(&disk)?.set_len(DISK)?;
        // The sink belongs only to this case, so that it has nothing from an earlier run.
        workspace::write(&second, &[])?;
        let typed = file(&job.case, "uart1.in");
        workspace::write(&typed, "who is there?\n".repeat(64).as_bytes())?;
        extra.extend([
            "-chardev".to_string(),
            format!("file,id=second,path={},input-path={}", second.display(), typed.display()),
            "-serial".to_string(),
            "chardev:second".to_string(),
            "-drive".to_string(),
            format!("if=none,id=disk,format=raw,file={}", disk.display()),
            "-device".to_string(),
            "virtio-blk-device,drive=disk,bus=virtio-mmio-bus.0".to_string(),
        ]);
    }
    let mut machine = match board {
        Some(name) => manifest::board(&workspace::root(), name)
            .map_err(anyhow::Error::msg)?
            .qemu
            .context("QEMU has no machine for that board")?,
        None => qemu::board(&job.system)?,
    };
    if keeps_memory {
        machine.machine += ",memory-backend=kept";
        let (size, ram) = (machine.memory, file(&job.case, "ram"));
        let backend = format!("id=kept,size={size},share=on,mem-path={}", ram.display());
        extra.extend(["-object".to_string(), format!("memory-backend-file,{backend}")]);
    }
    let mut options = qemu::Options {
        icount,
        cores,
        memory: memory.map(String::from),
        cpu: cpu.map(String::from),
        gic: foreign_gic,
        append: append.map(String::from),
        extra,
        // A loader passes a tree that was made before the run.
        nonce: (loader.is_some() || matches!(job.case.expect, Expect::EndsTwice(_)))
            .then_some(NONCE),
        level: entry.map(|entry| match entry {
            Entry::El1 => qemu::Level::El1,
            Entry::El3 => qemu::Level::El3,
        }),
        boot_limit: Some(LIMIT),
        limit: Some(match job.case.is_long {
            true => LONG_LIMIT,
            false => LIMIT,
        }),
        limit_ends_with_key: false,
        input: match typed(&job.case) {
            steps if steps.is_empty() => qemu::Input::Nobody,
            steps => qemu::Input::Typed(steps),
        },
    };
    let watch = Watch::new(&job.system, job.case.until.map(String::from));
    let image = match (&job.loader, loader) {
        (Some(elf), Some(loader)) => &behind_loader(job, elf, loader, &machine, &options)?,
        _ => image,
    };
    if let (Some(elf), Some(kept)) = (&job.firmware, kept) {
        options.extra.extend(at_el3(job, elf, kept, image)?);
    }
    let outcome = qemu::run(&machine, image, &options, false, watch, &mut |_| Ok(()))?;
    let text = format!(
        "$ {}\n{}\n{}\n",
        outcome.command,
        outcome.console.lines.join("\n"),
        outcome.stderr
    );
    workspace::write(&file(&job.case, log), text.as_bytes())?;
    if resets {
        let log = std::fs::read_to_string(&off).context("QEMU wrote no log")?;
        ensure!(log.is_empty(), "the machine was powered off, not reset: {log}");
    }
    if let Some(words) = devices {
        let said = std::fs::read(&second).context("the second UART printed nothing")?;
        ensure!(
            String::from_utf8_lossy(&said).contains(words),
            "the second UART did not print `{words}`; {} has the console",
            file(&job.case, log).display()
        );
        let pets = said.iter().filter(|&&byte| byte == b'w').count();
        ensure!(
            !is_watched(&job.case) || pets <= words.len() + SPARE,
            "{pets} pets, expected {} to {}",
            words.len(),
            words.len() + SPARE
        );
    }
    Ok(outcome)
}

/// Threads that keep every core of the host busy as long as this value exists.
struct Load(Arc<AtomicBool>);

impl Load {
    fn start() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores {
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || {
                while !is_over.load(Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(is_over)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Writes the file with the tests' loader, the case's image and the boot device tree that QEMU
/// makes of the machine, changed.
fn behind_loader(
    job: &Job,
    elf: &Path,
    loader: &Loader,
    machine: &Qemu,
    options: &qemu::Options,
) -> Result<PathBuf> {
    let read = |path: &Path| {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let made = file(&job.case, "dtb");
    workspace::write(&made, &[])?;
    qemu::device_tree(machine, &job.image, options, &made)?;
    let tree = loader::edited(&read(&made)?, loader.tree)?;
    let bytes = loader::in_front(&read(elf)?, loader, &read(&job.image)?, &tree)?;
    let path = file(&job.case, "loaded.img");
    workspace::write(&path, &bytes)?;
    Ok(path)
}

/// Writes the file with the tests' firmware, and returns QEMU's arguments that start the loader
/// with it.
fn at_el3(job: &Job, elf: &Path, kept: u32, image: &Path) -> Result<[String; 6]> {
    let elf = std::fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let path = file(&job.case, "bios");
    workspace::write(&path, &loader::firmware(&elf, job.system.board.gic.version, kept, AT)?)?;
    let load = format!("loader,file={},addr={AT:#x},force-raw=on", image.display());
    let path = path.display().to_string();
    Ok(["-machine", "secure=on", "-bios", &path, "-device", &load].map(String::from))
}

/// Returns all input of a case.
fn typed(case: &Case) -> Vec<qemu::Step> {
    let step =
        |seen: &str, keys: String| qemu::Step { seen: seen.to_string(), keys: keys.into_bytes() };
    let pieces = case.typed.iter().map(|(text, times)| text.repeat(*times));
    let dialogue = case.dialogue.iter();
    let dialogue = dialogue.map(|(seen, keys)| step(seen, (*keys).to_string()));
    pieces.map(|keys| step("", keys)).chain(dialogue).collect()
}

/// Compares an outcome with the case's expectation.
fn check(job: &Job, outcome: &Outcome) -> Result<()> {
    let case = &job.case;
    let console = &outcome.console;
    if let Some(words) = &outcome.unseen {
        bail!("the console did not show {words:?}, for which the next keys wait");
    }
    match case.expect {
        Expect::Ends(expected) | Expect::EndsTwice(expected) | Expect::EndsAlike(expected) => {
            let ends =
                qemu::ends(&qemu::partitions(&job.system), outcome).map_err(anyhow::Error::msg)?;
            let same = |((name, state), expected): (&(String, String), &(&str, &str))| {
                (name.as_str(), state.as_str()) == *expected
            };
            if ends.len() != expected.len() || !ends.iter().zip(expected).all(same) {
                bail!("ended as {}, expected {}", pairs(ends), pairs(expected));
            }
        }
        Expect::Verdict(expected) => {
            let verdict = qemu::judge(&qemu::partitions(&job.system), outcome).to_string();
            ensure!(verdict == expected, "{verdict}, expected {expected}");
        }
        Expect::Refused(words) => {
            ensure!(!outcome.timed_out, "the machine did not power off");
            ensure!(
                outcome.status.is_some_and(|status| status.success()),
                "QEMU failed: {}",
                outcome.stderr
            );
            let refusals: Vec<_> =
                console.lines.iter().filter(|line| line.starts_with(REFUSED)).collect();
            ensure!(refusals.len() == 1, "{} lines are refusals, expected 1", refusals.len());
            if let Some(word) = words.iter().find(|word| !refusals[0].contains(*word)) {
                bail!("the refusal does not contain `{word}`");
            }
            ensure!(
                console.guest_lines().next().is_none(),
                "a guest ran although EL2 refused the machine"
            );
        }
    }
    let has = |words: &&&str| console.lines.iter().any(|line| line.contains(**words));
    if let Some(words) = case.wanted.iter().find(|words| !has(words)) {
        bail!("no line contains `{words}`");
    }
    if let Some(words) = case.unwanted.iter().find(has) {
        bail!("a line contains `{words}`");
    }
    let restarted =
        |line: &&String| line.starts_with("bulkhead: ") && line.ends_with(": starts again");
    if let Some(line) = console.lines.iter().find(restarted).filter(|_| !case.restarts) {
        bail!("a partition restarted: `{line}`");
    }
    if let Some(el2) = &job.el2 {
        let image = std::fs::read(&job.image).context("cannot read the image")?;
        let names = crash::Names::new(&job.system, el2, &image, &[])?;
        let text = crash::decode(&outcome.bytes, &names)?;
        if let Some(words) = case.crash.iter().find(|words| !text.contains(**words)) {
            bail!("the crash records do not say `{words}`:\n{text}");
        }
        ensure!(!text.contains("another image"), "the records are of another image:\n{text}");
    }
    if case.numbers != 0 {
        numbers(&console.lines, case.numbers)?;
    }
    let first = |words: &str| console.lines.iter().position(|line| line.contains(words));
    for pair in case.order.windows(2) {
        ensure!(
            first(pair[0]).is_some() && first(pair[0]) < first(pair[1]),
            "no line contains `{}` before the first with `{}`",
            pair[0],
            pair[1]
        );
    }
    Ok(())
}

/// Compares the lines that are numbers, with a partition's name or without, with `count` numbers
/// from 100000 on, digit by digit. A line that EL2 broke off goes on in a later one.
fn numbers(lines: &[String], count: usize) -> Result<()> {
    let (mut next, mut begun) = (FIRST_NUMBER, String::new());
    // Before that a board's console shows the stages of boot.
    for line in lines.iter().skip_while(|line| !line.ends_with(::console::STARTED)) {
        let rest = match line.strip_prefix('[').and_then(|line| line.split_once("] ")) {
            Some((_, rest)) => rest,
            None => match line.strip_prefix(::console::CONTINUED) {
                Some(rest) if !begun.is_empty() => rest,
                _ => line,
            },
        };
        if rest.is_empty() || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        begun += rest;
        if begun.len() < 6 {
            continue;
        }
        ensure!(
            begun == next.to_string(),
            "found `{begun}`, expected {next} of {count} numbers from {FIRST_NUMBER}"
        );
        begun.clear();
        next += 1;
    }
    let shown = next - FIRST_NUMBER;
    ensure!(shown == count && begun.is_empty(), "{shown} of {count} numbers arrived");
    Ok(())
}

fn pairs(ends: &[(impl AsRef<str>, impl AsRef<str>)]) -> String {
    let words = ends.iter().map(|(name, state)| format!("{} {}", name.as_ref(), state.as_ref()));
    words.collect::<Vec<_>>().join(", ")
}

/// Returns the guests' output by partition, because the mix of their lines depends on the time they
/// take.
fn by_partition(outcome: &Outcome) -> Vec<String> {
    let mut lines: Vec<_> = outcome.console.guest_lines().map(String::from).collect();
    lines.sort_by(|a, b| a.split(' ').next().cmp(&b.split(' ').next()));
    lines
}

/// Returns the first line in which two runs differ.
fn difference(first: &[String], second: &[String]) -> String {
    let at = first.iter().zip(second).take_while(|(a, b)| a == b).count();
    let line =
        |lines: &[String]| lines.get(at).map_or("nothing".to_string(), |line| format!("`{line}`"));
    format!("line {}: {} and then {}", at + 1, line(first), line(second))
}
