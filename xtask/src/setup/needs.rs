//! The needs of Bulkhead on the machine it is built on: one row per need, with its probe and its
//! fix.

use anyhow::{Context, Result, bail, ensure};
use runner::build::TARGET;
use runner::for_linux;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Oldest QEMU whose `virt` machine behaves as the tests expect.
pub const QEMU_MAJOR: u32 = 9;

/// The use of a need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Building images and running them: `cargo xtask qemu`.
    Run,
    /// Testing: `cargo xtask test`.
    Test,
}

/// How a need is met.
#[derive(Clone, Copy, Debug)]
pub enum Fix {
    /// `rustup` with these arguments.
    Rustup(&'static [&'static str]),
    /// A package, by its name for each [`Manager`].
    Package(Package),
}

/// A package's name for each package manager.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// Debian, Ubuntu.
    pub apt: &'static str,
    /// Fedora.
    pub dnf: &'static str,
    /// Arch.
    pub pacman: &'static str,
    /// Homebrew.
    pub brew: &'static str,
}

/// A program or file that must be there.
pub struct Need {
    /// Its name.
    pub name: &'static str,
    /// Its use.
    pub scope: Scope,
    /// Looks for it and returns its version.
    pub probe: fn() -> Result<String>,
    /// How to get it.
    pub fix: Fix,
}

/// Everything that must be there.
pub const NEEDS: [Need; 10] = [
    Need {
        name: "Rust target",
        scope: Scope::Run,
        probe: || rust_target(TARGET),
        fix: Fix::Rustup(&["target", "add", TARGET]),
    },
    // Programs for Linux in a partition.
    Need {
        name: "Linux target",
        scope: Scope::Test,
        probe: || rust_target(for_linux::TARGET),
        fix: Fix::Rustup(&["target", "add", for_linux::TARGET]),
    },
    Need {
        name: "QEMU",
        scope: Scope::Run,
        probe: qemu,
        fix: Fix::Package(Package {
            apt: "qemu-system-arm",
            dnf: "qemu-system-aarch64",
            pacman: "qemu-system-aarch64",
            brew: "qemu",
        }),
    },
    Need {
        name: "rustfmt",
        scope: Scope::Test,
        probe: || first_line("cargo", &["fmt", "--version"]),
        fix: Fix::Rustup(&["component", "add", "rustfmt"]),
    },
    Need {
        name: "Clippy",
        scope: Scope::Test,
        probe: || first_line("cargo", &["clippy", "--version"]),
        fix: Fix::Rustup(&["component", "add", "clippy"]),
    },
    Need {
        name: "C compiler",
        scope: Scope::Test,
        probe: || first_line("cc", &["--version"]),
        fix: Fix::Package(Package { apt: "gcc", dnf: "gcc", pacman: "gcc", brew: "gcc" }),
    },
    Need {
        name: "dtc",
        scope: Scope::Test,
        probe: || first_line("dtc", &["--version"]),
        fix: Fix::Package(Package {
            apt: "device-tree-compiler",
            dnf: "dtc",
            pacman: "dtc",
            brew: "dtc",
        }),
    },
    // These three read the images of cards.
    Need {
        name: "mtools",
        scope: Scope::Test,
        probe: || first_line("mdir", &["--version"]),
        fix: Fix::Package(Package {
            apt: "mtools",
            dnf: "mtools",
            pacman: "mtools",
            brew: "mtools",
        }),
    },
    Need {
        name: "fsck.fat",
        scope: Scope::Test,
        probe: fsck,
        fix: Fix::Package(Package {
            apt: "dosfstools",
            dnf: "dosfstools",
            pacman: "dosfstools",
            brew: "dosfstools",
        }),
    },
    Need {
        name: "sfdisk",
        scope: Scope::Test,
        probe: || first_line("sfdisk", &["--version"]),
        fix: Fix::Package(Package {
            apt: "fdisk",
            dnf: "util-linux",
            pacman: "util-linux",
            brew: "util-linux",
        }),
    },
];

/// Lines of `rustup component list --toolchain nightly --installed` where a nightly has Miri and
/// its sources.
const MIRI: [&str; 2] = ["miri", "rust-src"];

/// Whether a nightly toolchain is installed, and whether it has what `host/miri` needs. Only that
/// check needs a nightly, so none is installed for it.
pub fn miri() -> Option<bool> {
    let output = Command::new("rustup")
        .args(["component", "list", "--toolchain", "nightly", "--installed"])
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let has = |component: &&str| text.lines().any(|line| line.starts_with(component));
    Some(MIRI.iter().all(has))
}

/// Arguments for rustup that add Miri to the nightly toolchain.
pub const ADD_MIRI: [&str; 6] = ["component", "add", "--toolchain", "nightly", MIRI[0], MIRI[1]];

/// Returns the needs of `scope` (those of running are also those of testing) that are not met.
pub fn missing(scope: Scope) -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| need.scope <= scope && (need.probe)().is_err()).collect()
}

/// The package manager of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// Debian, Ubuntu: this program installs packages itself.
    Apt,
    /// Fedora.
    Dnf,
    /// Arch.
    Pacman,
    /// Homebrew.
    Brew,
}

impl Manager {
    /// Returns the first one on the search path.
    pub fn find() -> Option<Self> {
        let programs = [
            ("apt-get", Manager::Apt),
            ("dnf", Manager::Dnf),
            ("pacman", Manager::Pacman),
            ("brew", Manager::Brew),
        ];
        programs.into_iter().find(|(program, _)| on_path(program)).map(|(_, manager)| manager)
    }

    /// Returns the command that installs `packages`, for people to type.
    pub fn command(self, packages: &[Package]) -> String {
        let (command, name): (_, fn(&Package) -> &'static str) = match self {
            Manager::Apt => ("sudo apt-get install", |package| package.apt),
            Manager::Dnf => ("sudo dnf install", |package| package.dnf),
            Manager::Pacman => ("sudo pacman -S", |package| package.pacman),
            Manager::Brew => ("brew install", |package| package.brew),
        };
        let names: Vec<_> = packages.iter().map(name).collect();
        format!("{command} {}", names.join(" "))
    }
}

impl Need {
    /// Returns what to type if this need is not met.
    pub fn advice(&self, manager: Option<Manager>) -> String {
        match (&self.fix, manager) {
            (Fix::Rustup(_), _) if on_path("rustup") => "cargo xtask setup".to_string(),
            (Fix::Rustup(arguments), _) => {
                format!("install rustup, then: rustup {}", arguments.join(" "))
            }
            (Fix::Package(_), Some(Manager::Apt)) => "cargo xtask setup".to_string(),
            (Fix::Package(package), Some(manager)) => manager.command(&[*package]),
            (Fix::Package(package), None) => format!("install the package {}", package.dnf),
        }
    }
}

/// Whether a program is on the search path.
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn rust_target(target: &str) -> Result<String> {
    ensure!(for_linux::has_target(target), "{target} is not installed");
    Ok(format!("{target}, {}", first_line("rustc", &["--version"])?))
}

fn qemu() -> Result<String> {
    let line = first_line(runner::qemu::PROGRAM, &["--version"])?;
    let version = line.split(' ').find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let version = version.context("it does not print its version")?;
    let number = major(version).context("it does not print its version")?;
    ensure!(number >= QEMU_MAJOR, "found version {version}, need {QEMU_MAJOR}");
    Ok(format!("{} {version}", runner::qemu::PROGRAM))
}

/// First number of a version.
pub fn major(version: &str) -> Option<u32> {
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// fsck.fat has no option for its version, but prints it before it finds no file system.
fn fsck() -> Result<String> {
    let output = command("fsck.fat").args(["-n", "/dev/null"]).output();
    let Ok(output) = output else { bail!("fsck.fat is not installed") };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().next().unwrap_or_default().trim();
    ensure!(line.starts_with("fsck.fat "), "fsck.fat is not dosfstools'");
    Ok(line.to_owned())
}

/// Returns a command for a program that may be in a folder that only root's search path has.
fn command(program: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM_FOLDERS.map(PathBuf::from));
    let mut command = Command::new(program);
    // A folder whose name has a colon cannot be on the path.
    if let Ok(path) = std::env::join_paths(folders) {
        command.env("PATH", path);
    }
    command.stdin(Stdio::null());
    command
}

/// Folders of Debian's search path for root.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

fn first_line(program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = command(program);
    // Rust's tools are those of the repository's toolchain, which rustup selects by the folder.
    command.args(arguments).current_dir(runner::workspace::root());
    let Ok(output) = command.output() else { bail!("{program} is not installed") };
    ensure!(output.status.success(), "{program} is not installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().next().unwrap_or_default().trim().to_string())
}
