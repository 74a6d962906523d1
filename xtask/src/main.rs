//! `cargo xtask COMMAND`: reads the command line and calls the library.

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};
use runner::build::Builder;
use runner::linux::Overrides;
use runner::qemu::{Input, Options, restore_terminal};
use runner::ui;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use xtask::setup::{self, Scope};
use xtask::{
    bench, callgraph, check, draw, explain, fuzz, image, interface, qemu, schema, silicon, size,
    test, verify,
};

/// Bulkhead: a hypervisor that partitions a multi-core chip once, at build time.
///
/// Start with `cargo xtask qemu`: two virtual machines on their own cores, talking over a direct
/// channel.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build a system, run it on QEMU, and end with one verdict
    Qemu(QemuArgs),
    /// Build a system's image: one file for QEMU's -kernel, U-Boot's booti or the Raspberry Pi's
    /// firmware
    Image {
        #[command(flatten)]
        system: SystemArgs,
        /// Where to write it, instead of the name that the board's firmware looks for
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Say everything that is wrong with a system, or unwise
    Check {
        #[command(flatten)]
        system: SystemArgs,
        /// Fail on warnings too
        #[arg(long)]
        deny_warnings: bool,
    },
    /// Draw a system: cores, channels, memory and devices in one SVG
    Draw {
        #[command(flatten)]
        system: SystemArgs,
        /// Where to write it, instead of printing it
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Run a system under a checker of what QEMU does not model: caches, TLBs, barriers
    Silicon(SiliconArgs),
    /// Say why a rule of manifests or of `silicon` is there, with an example that breaks it
    Explain {
        /// The rule: the word in brackets behind `error` or `warning`; without one, all are listed
        rule: Option<String>,
    },
    /// Print the manifest's JSON schema, for editors
    Schema {
        /// Where to write it, instead of printing it
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Write what is generated from hyp/abi: the C header, and the tables of docs/guest-abi.md
    Abi,
    /// Get what is missing: the Rust target, and on Debian and Ubuntu QEMU and the tests' tools
    Setup,
    /// Say what is there, what is missing, and the command that mends it
    Doctor,
    /// Test everything: lints, host tests, budgets, whole systems on QEMU
    Test {
        /// Only checks whose name holds this: `host`, `attack/`, `duo/default`
        #[arg(default_value = "", hide_default_value = true)]
        filter: String,
        /// Nothing that needs QEMU
        #[arg(long, conflicts_with = "system_only")]
        host_only: bool,
        /// Only what needs QEMU
        #[arg(long)]
        system_only: bool,
        /// The cases too that take too long for CI
        #[arg(long)]
        long: bool,
        /// Only whole systems, with EL2 built without its fast paths
        #[arg(long, conflicts_with = "host_only")]
        without_fast_paths: bool,
        /// Checks to make at a time, instead of one a core
        #[arg(long, value_name = "N")]
        jobs: Option<usize>,
    },
    /// Prove from an image's bytes that nothing passes between its partitions but what the manifest
    /// declares
    Verify {
        /// The image, as `cargo xtask image` wrote it; with --live the system, which is built
        #[arg(value_name = "IMAGE", default_value = "duo", hide_default_value = true)]
        image: PathBuf,
        /// The system it is held against: a name, BOARD/NAME, or a path to a manifest
        #[arg(long, required_unless_present = "live")]
        system: Option<String>,
        #[command(flatten)]
        board: BoardArgs,
        /// Run the system on QEMU, and hold memory and EL2 registers of the running machine against
        /// its image
        #[arg(long, conflicts_with_all = ["system", "json"])]
        live: bool,
        /// Write the report as JSON too
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Try random inputs on what reads them: manifests, plans, device trees, syndromes, registers,
    /// images
    Fuzz {
        /// One target: a name from fuzz/fuzz_targets
        target: Option<String>,
        /// Seconds a target
        #[arg(long, value_name = "N", default_value_t = 60)]
        seconds: u32,
        /// Add what reaches more code than the seeds do to fuzz/seeds
        #[arg(long)]
        keep: bool,
    },
    /// Count what runs at EL2, in bytes and source lines, against its budgets
    Size,
    /// Show that EL2 does not recur and that its stacks suffice, from its instructions
    Callgraph,
    /// Measure what EL2 costs and what direct channels gain, in instructions
    Bench {
        /// Print the instructions of an operation's path instead; `boot` lists boot by function
        #[arg(long, value_name = "OPERATION", conflicts_with_all = ["compare", "wall", "bless"])]
        trace: Option<String>,
        /// GIC version of the traced machine, instead of the first that the board lists
        #[arg(long, value_name = "N", requires = "trace")]
        gic: Option<u32>,
        /// Say what moved against the figures in this file: an earlier bench.json, or
        /// tests/bench/baseline.json
        #[arg(long, value_name = "OLD.json", conflicts_with = "wall")]
        compare: Option<PathBuf>,
        /// Compare direct and relayed by the clock instead, all cores at once
        #[arg(long, conflicts_with = "bless")]
        wall: bool,
        /// Make these figures the baseline of CI, and put the tables into docs/performance.md
        #[arg(long)]
        bless: bool,
    },
    /// Print what a system becomes: memory map, cores, interrupts, channels, sizes
    Report {
        #[command(flatten)]
        system: SystemArgs,
    },
}

/// Which system is meant.
#[derive(Args)]
struct SystemArgs {
    /// The system: a name from the board's systems, BOARD/NAME, or a path to a manifest
    #[arg(default_value = "duo")]
    system: String,
    #[command(flatten)]
    board: BoardArgs,
}

#[derive(Args)]
struct BoardArgs {
    /// The board whose system of this name is meant, instead of qemu-virt
    #[arg(long, value_name = "BOARD")]
    board: Option<String>,
    /// The version of the board's GIC that the system is for, instead of the first that the board
    /// lists
    #[arg(long, value_name = "N")]
    gic: Option<u32>,
}

impl SystemArgs {
    fn spec(self) -> Result<String> {
        self.board.spec(self.system)
    }
}

impl BoardArgs {
    /// Returns the library's name for `system` on this board.
    fn spec(self, system: String) -> Result<String> {
        let Some(board) = self.board else {
            return Ok(system);
        };
        ensure!(
            !system.contains('/') && !system.ends_with(".toml"),
            "--board {board}: {system} names its board itself"
        );
        Ok(format!("{board}/{system}"))
    }
}

#[derive(Args)]
struct QemuArgs {
    #[command(flatten)]
    system: SystemArgs,
    /// Count instructions instead of time: every run is the same, byte for byte
    #[arg(long)]
    icount: bool,
    /// Number of cores, instead of the board's
    #[arg(long, value_name = "N")]
    smp: Option<u32>,
    /// RAM, instead of the board's: 512M, 2G
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Core type, instead of the board's: cortex-a72
    #[arg(long, value_name = "NAME")]
    cpu: Option<String>,
    /// Kernel for the partition that runs Debian's, instead of that: a plain arm64 Image
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Initial RAM disk, instead of the one made with Debian's busybox
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// Words for EL2 on the boot command line: bulkhead.gich-hw=1 (docs/boot.md)
    #[arg(long, value_name = "WORDS")]
    append: Option<String>,
    /// End the run and pass it when a console line holds this text
    #[arg(long, value_name = "TEXT", value_parser = until_text)]
    until: Option<String>,
    /// Seconds the run may take once partitions start, 0 for ever; without this 120, and for ever
    /// once a key was pressed
    #[arg(long, value_name = "SECONDS")]
    time_limit: Option<u64>,
    /// Seconds until partitions start, 0 for ever; without this 300, or for ever with --time-limit
    /// 0
    #[arg(long, value_name = "SECONDS")]
    boot_limit: Option<u64>,
    /// Do not look whether QEMU and the Rust target are there
    #[arg(long)]
    no_setup: bool,
    /// Further arguments for QEMU
    #[arg(last = true, value_name = "QEMU ARGUMENTS")]
    extra: Vec<String>,
}

/// Converts a limit in seconds; 0 is none.
fn limit(seconds: u64) -> Option<Duration> {
    (seconds != 0).then(|| Duration::from_secs(seconds))
}

/// Checks that a console line can hold the text.
fn until_text(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("a console line holds printable characters: give one at least, and no others");
    }
    Ok(text.to_string())
}

#[derive(Args)]
struct SiliconArgs {
    #[command(flatten)]
    system: SystemArgs,
    /// All cores at once, each in a thread of QEMU's, instead of the same run every time
    #[arg(long)]
    threads: bool,
    /// End the run after so many blocks of guest code
    #[arg(long, value_name = "BLOCKS")]
    stop: Option<u64>,
    /// Write the findings as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Take EL2's cache, TLB, barrier and event instructions away, one at a time, and say what
    /// tells that
    #[arg(long, conflicts_with = "threads")]
    mutants: bool,
    /// With --mutants: put the table of maintenance into docs/boot.md
    #[arg(long, requires = "mutants")]
    bless: bool,
    /// Explain one of the checker's rules instead; `all` lists them
    #[arg(long, value_name = "RULE", conflicts_with_all = ["threads", "stop", "json", "mutants"])]
    explain: Option<String>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match ui::catch_interrupts(restore_terminal).and_then(|()| dispatch(cli.command)) {
        Ok(true) if ui::all_said() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let why: Vec<_> = error.chain().map(|cause| cause.to_string()).collect();
            let why = why.join("\n  because ");
            // A manifest's errors have their own title.
            let title = if why.starts_with("error") || why.contains("\n  because error") {
                ""
            } else {
                "error: "
            };
            eprintln!("{title}{why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command; returns whether it found no fault.
fn dispatch(command: Command) -> Result<bool> {
    match command {
        Command::Qemu(args) => {
            let gic = args.system.board.gic;
            let options = Options {
                icount: args.icount,
                cores: args.smp,
                memory: args.memory,
                cpu: args.cpu,
                gic: None,
                append: args.append,
                level: None,
                extra: args.extra,
                nonce: None,
                boot_limit: limit(args.boot_limit.unwrap_or(match args.time_limit {
                    Some(0) => 0,
                    _ => 300,
                })),
                limit: limit(args.time_limit.unwrap_or(120)),
                limit_ends_with_key: args.time_limit.is_none(),
                input: Input::Stdin,
            };
            if !args.no_setup {
                setup::ensure(Scope::Run)?;
            }
            let overrides = Overrides { kernel: args.kernel, initrd: args.initrd };
            let spec = args.system.spec()?;
            Ok(qemu::command(&spec, gic, overrides, args.until, &options)?.passed())
        }
        Command::Image { system, output } => {
            setup::ensure(Scope::Run)?;
            let gic = system.board.gic;
            image::command(&system.spec()?, gic, output).map(|()| true)
        }
        Command::Check { system, deny_warnings } => {
            setup::ensure(Scope::Run)?;
            let gic = system.board.gic;
            check::command(&system.spec()?, gic, deny_warnings)
        }
        Command::Draw { system, output } => {
            setup::ensure(Scope::Run)?;
            let gic = system.board.gic;
            draw::command(&system.spec()?, gic, output.as_deref()).map(|()| true)
        }
        Command::Silicon(SiliconArgs { explain: Some(rule), .. }) => {
            silicon::explain_command(&rule).map(|()| true)
        }
        Command::Silicon(args) => {
            setup::ensure(Scope::Run)?;
            let gic = args.system.board.gic;
            let request = silicon::Request {
                run: silicon::Options {
                    threads: args.threads,
                    stop: args.stop,
                    ..silicon::Options::default()
                },
                json: args.json,
                mutants: args.mutants,
                bless: args.bless,
            };
            silicon::command(&args.system.spec()?, gic, &request)
        }
        Command::Explain { rule } => explain::command(rule.as_deref()).map(|()| true),
        Command::Schema { output } => schema::command(output.as_deref()).map(|()| true),
        Command::Abi => interface::command().map(|()| true),
        Command::Setup => setup::command(),
        Command::Doctor => Ok(setup::doctor()),
        Command::Test { filter, host_only, system_only, long, without_fast_paths, jobs } => {
            setup::ensure(Scope::Test)?;
            test::command(&test::Options {
                filter,
                host_only,
                system_only,
                long,
                without_fast_paths,
                jobs,
            })
        }
        Command::Verify { image, live, board, .. } if live => {
            setup::ensure(Scope::Run)?;
            let gic = board.gic;
            let spec = board.spec(image.to_string_lossy().into_owned())?;
            let report = verify::live::command(&spec, gic)?;
            ui::say(&report);
            Ok(report.holds())
        }
        Command::Verify { image, system, json, board, .. } => {
            setup::ensure(Scope::Run)?;
            let gic = board.gic;
            let system = board.spec(system.unwrap_or_default())?;
            let proof = verify::command(&image, &system, gic, json.as_deref())?;
            ui::say(&proof);
            Ok(proof.holds())
        }
        Command::Fuzz { target, seconds, keep } => {
            fuzz::command(&fuzz::Options { target, seconds, keep })
        }
        Command::Size => {
            setup::ensure(Scope::Run)?;
            size::command()
        }
        Command::Callgraph => {
            setup::ensure(Scope::Run)?;
            callgraph::command()
        }
        Command::Bench { trace, gic, compare, wall, bless } => {
            setup::ensure(Scope::Run)?;
            bench::command(&bench::Options { trace, gic, compare, wall, bless })
        }
        Command::Report { system } => {
            setup::ensure(Scope::Run)?;
            let mut builder = Builder::for_gic(system.board.gic);
            let system = builder.system(&system.spec()?)?;
            let image = builder.image(&system)?;
            ui::say(planner::report(&system, &image).trim_end());
            Ok(true)
        }
    }
}
