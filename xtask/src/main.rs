//! `cargo xtask COMMAND`: reads the command line and calls the library.

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};
use runner::build::Builder;
use runner::linux::Overrides;
use runner::qemu::{Input, Options, restore_terminal};
use runner::ui;
use std::path::PathBuf;
use std::process::ExitCode;
use xtask::setup::{self, Scope};
use xtask::{
    bench, board, callgraph, check, crash, draw, explain, flash, fuzz, hil, image, interface,
    package, qemu, schema, silicon, size, test, verify,
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
    /// Run a system on a board at a serial port: console and verdict as with qemu
    Board(board::Request),
    /// Measure latencies on a board at a serial port, or on QEMU in its place, and write a report
    Hil(hil::Options),
    /// Build a system's image: one file for QEMU's -kernel, U-Boot's booti or the Raspberry Pi's
    /// firmware
    Image {
        #[command(flatten)]
        system: SystemArgs,
        /// Path to write, instead of the name that the board's firmware expects
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Write a board's boot medium: a card, the image of one, or a TFTP server's folder; without
    /// one, list disks and serial ports
    Flash(flash::Options),
    /// Report all errors and warnings of a system
    Check {
        #[command(flatten)]
        system: SystemArgs,
        /// Fail on warnings too
        #[arg(long)]
        deny_warnings: bool,
    },
    /// Build Debian package files for Linux in a partition: bhchan, and its library for C
    Package {
        /// Folder to write to, instead of Cargo's target folder
        #[arg(short, long, value_name = "FOLDER")]
        output: Option<PathBuf>,
    },
    /// Draw a system: cores, channels, memory and devices in one SVG
    Draw {
        #[command(flatten)]
        system: SystemArgs,
        /// Path to write, instead of standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Decode the crash records in a console's log: functions, files and lines of the guests
    Crash(CrashArgs),
    /// Run a system under a checker of what QEMU does not model: caches, TLBs, barriers
    Silicon(SiliconArgs),
    /// Explain a rule of manifests or of `silicon`, with an example that breaks it
    Explain {
        /// The rule: the word in brackets after `error` or `warning`; default: list all rules
        rule: Option<String>,
    },
    /// Print the manifest's JSON schema, for editors
    Schema {
        /// Path to write, instead of standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Generate the C header and the tables of docs/guest-abi.md from hyp/abi
    Abi,
    /// Install missing tools: the Rust target, and on Debian and Ubuntu QEMU and the tests' tools
    Setup,
    /// List each tool with its version, or with the command that installs it
    Doctor,
    /// Test everything: lints, host tests, budgets, whole systems on QEMU
    Test {
        /// Only checks whose name contains this: `host`, `attack/`, `duo/default`
        #[arg(default_value = "", hide_default_value = true)]
        filter: String,
        /// Only checks that do not need QEMU
        #[arg(long, conflicts_with = "system_only")]
        host_only: bool,
        /// Only checks that need QEMU
        #[arg(long)]
        system_only: bool,
        /// Also cases that take too long for CI
        #[arg(long)]
        long: bool,
        /// Only whole systems, with EL2 built without its fast paths
        #[arg(long, conflicts_with = "host_only")]
        without_fast_paths: bool,
        /// Number of checks to run at a time, instead of one per core
        #[arg(long, value_name = "N")]
        jobs: Option<usize>,
    },
    /// Prove from an image's bytes that its partitions can exchange only what the manifest declares
    Verify {
        /// The image that `cargo xtask image` wrote; with --live, the system to build
        #[arg(value_name = "IMAGE", default_value = "duo", hide_default_value = true)]
        image: PathBuf,
        /// The system to compare it with: a name, BOARD/NAME, or a path to a manifest
        #[arg(long, required_unless_present = "live")]
        system: Option<String>,
        #[command(flatten)]
        board: BoardArgs,
        /// Run the system on QEMU, and compare memory and EL2 registers of the running machine with
        /// its image
        #[arg(long, conflicts_with_all = ["system", "json"])]
        live: bool,
        /// Also write the report as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Fuzz every parser: manifests, plans, device trees, syndromes, registers, images, crash
    /// records
    Fuzz {
        /// One target: a name from fuzz/fuzz_targets
        target: Option<String>,
        /// Seconds per target
        #[arg(long, value_name = "N", default_value_t = 60)]
        seconds: u32,
        /// Add inputs that reach more code than the seeds to fuzz/seeds
        #[arg(long)]
        keep: bool,
    },
    /// Compare EL2's size, in bytes and source lines, with its budgets
    Size,
    /// Prove from EL2's instructions that it is not recursive and that its stacks are large enough
    Callgraph,
    /// Measure the cost of EL2 and the gain of direct channels, in instructions
    Bench {
        /// Instead print the instructions of an operation's path; `boot` lists boot by function
        #[arg(long, value_name = "OPERATION", conflicts_with_all = ["compare", "wall", "bless"])]
        trace: Option<String>,
        /// GIC version of the traced machine, instead of the first that the board lists
        #[arg(long, value_name = "N", requires = "trace")]
        gic: Option<u32>,
        /// Report changes from the figures in this file: an earlier bench.json, or
        /// tests/bench/baseline.json
        #[arg(long, value_name = "OLD.json", conflicts_with = "wall")]
        compare: Option<PathBuf>,
        /// Instead compare direct and relayed messages by wall-clock time, all cores at once
        #[arg(long, conflicts_with = "bless")]
        wall: bool,
        /// Make these figures the baseline of CI, and put the tables into docs/performance.md
        #[arg(long)]
        bless: bool,
    },
    /// Print a system's layout: memory map, cores, interrupts, channels, sizes
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
    /// The board of the system, instead of qemu-virt
    #[arg(long, value_name = "BOARD")]
    board: Option<String>,
    /// The GIC version to build for, instead of the first that the board lists
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
struct CrashArgs {
    /// The console's log; `-`, or no log, is standard input
    #[arg(value_name = "LOG", default_value = "-", hide_default_value = true)]
    log: PathBuf,
    /// The system that ran: a name, BOARD/NAME, or a path to a manifest
    #[arg(long, default_value = "duo")]
    system: String,
    #[command(flatten)]
    board: BoardArgs,
    /// The symbols of a partition that has none of its own: a vmlinux, another ELF file or a
    /// System.map
    #[arg(long, value_name = "PARTITION=FILE")]
    symbols: Vec<String>,
    /// Show the log as it comes, with each record decoded after its last line
    #[arg(long)]
    live: bool,
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
    /// Kernel to use instead of Debian's: a plain arm64 Image
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Initial RAM disk, instead of the one made with Debian's busybox
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// Words for EL2 on the boot command line: bulkhead.gich-hw=1 (docs/boot.md)
    #[arg(long, value_name = "WORDS")]
    append: Option<String>,
    /// End the run with a pass when a console line contains this text
    #[arg(long, value_name = "TEXT", value_parser = qemu::until_text)]
    until: Option<String>,
    /// Time limit in seconds after partitions start, 0 for none; default: 120, or none once a key
    /// was pressed
    #[arg(long, value_name = "SECONDS")]
    time_limit: Option<u64>,
    /// Time limit in seconds until partitions start, 0 for none; default: 300, or none with
    /// --time-limit 0
    #[arg(long, value_name = "SECONDS")]
    boot_limit: Option<u64>,
    /// Do not check that QEMU and the Rust target are installed
    #[arg(long)]
    no_setup: bool,
    /// Further arguments for QEMU
    #[arg(last = true, value_name = "QEMU ARGUMENTS")]
    extra: Vec<String>,
}

#[derive(Args)]
struct SiliconArgs {
    #[command(flatten)]
    system: SystemArgs,
    /// Run each core in its own QEMU thread, instead of a run that repeats exactly
    #[arg(long)]
    threads: bool,
    /// End the run after this many blocks of guest code
    #[arg(long, value_name = "BLOCKS")]
    stop: Option<u64>,
    /// Also write the findings as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Take EL2's cache, TLB, barrier and event instructions away one at a time, and report what
    /// notices it
    #[arg(long, conflicts_with = "threads")]
    mutants: bool,
    /// With --mutants: write the table of maintenance to docs/boot.md
    #[arg(long, requires = "mutants")]
    bless: bool,
    /// Instead explain one of the checker's rules; `all` lists them
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
                boot_limit: qemu::limit(args.boot_limit.unwrap_or(match args.time_limit {
                    Some(0) => 0,
                    _ => 300,
                })),
                limit: qemu::limit(args.time_limit.unwrap_or(120)),
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
        Command::Board(args) => {
            setup::ensure(Scope::Run)?;
            Ok(board::command(&args)?.passed())
        }
        Command::Hil(options) => {
            setup::ensure(Scope::Run)?;
            hil::command(&options)
        }
        Command::Image { system, output } => {
            setup::ensure(Scope::Run)?;
            let gic = system.board.gic;
            image::command(&system.spec()?, gic, output).map(|()| true)
        }
        Command::Flash(options) => {
            setup::ensure(Scope::Run)?;
            flash::command(&options).map(|()| true)
        }
        Command::Check { system, deny_warnings } => {
            setup::ensure(Scope::Run)?;
            let gic = system.board.gic;
            check::command(&system.spec()?, gic, deny_warnings)
        }
        Command::Package { output } => package::command(output).map(|()| true),
        Command::Draw { system, output } => {
            setup::ensure(Scope::Run)?;
            let gic = system.board.gic;
            draw::command(&system.spec()?, gic, output.as_deref()).map(|()| true)
        }
        Command::Crash(args) => {
            setup::ensure(Scope::Run)?;
            crash::command(&crash::Options {
                log: args.log,
                gic: args.board.gic,
                system: args.board.spec(args.system)?,
                symbols: args.symbols,
                live: args.live,
            })
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
