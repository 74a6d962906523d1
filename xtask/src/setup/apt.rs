//! Installs packages on Debian and Ubuntu: from the configured suites if they have what is needed,
//! else QEMU from the release's backports.

use super::needs::{QEMU_MAJOR, major, on_path};
use super::sources::{Source, backports, suites};
use anyhow::{Context, Result, bail};
use runner::ui;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const QEMU_PACKAGE: &str = "qemu-system-arm";
/// Path of the backports source that is added; apt reads every `.sources` and `.list` file there.
const ADDED: &str = "/etc/apt/sources.list.d/bulkhead-backports";

/// Installs packages by their Debian names.
///
/// # Errors
/// If this user may not, no suite has a QEMU that is new enough, or apt fails.
pub fn install(packages: &[&str]) -> Result<()> {
    become_root()?;
    if packages.iter().any(|package| candidate(package, None).is_none()) {
        update()?;
    }
    let suite = match packages.contains(&QEMU_PACKAGE) {
        true => suite_for_qemu()?,
        false => None,
    };
    if install_from(packages, suite.as_deref())? {
        return Ok(());
    }
    // The lists may be older than the server's contents.
    update()?;
    if install_from(packages, suite.as_deref())? {
        return Ok(());
    }
    bail!(
        "apt-get could not install {}; try it by hand: sudo apt-get install {0}",
        packages.join(" ")
    )
}

/// Returns the suite that QEMU has to come from: none if the configured ones have a QEMU that is
/// new enough.
fn suite_for_qemu() -> Result<Option<String>> {
    if is_new_enough(None) {
        return Ok(None);
    }
    let os = std::fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let release = codename(&os).context("/etc/os-release does not name this release")?;
    let suite = format!("{release}-backports");
    let files = source_files();
    if !files.iter().any(|(file, deb822)| suites(file, *deb822).contains(&suite)) {
        let source = files.iter().find_map(|(file, deb822)| backports(file, *deb822, &release));
        let source = source.with_context(|| {
            format!(
                "apt has no source for {release} to take {suite} from; please install QEMU \
                 {QEMU_MAJOR} or newer"
            )
        })?;
        add(&source)?;
    }
    if !is_new_enough(Some(&suite)) {
        update()?;
    }
    if !is_new_enough(Some(&suite)) {
        bail!(
            "neither {release} nor {suite} has QEMU {QEMU_MAJOR} or newer: please upgrade this \
             system or install QEMU from its source"
        );
    }
    Ok(Some(suite))
}

fn is_new_enough(suite: Option<&str>) -> bool {
    candidate(QEMU_PACKAGE, suite).is_some_and(|version| version >= QEMU_MAJOR)
}

/// Returns the major version of a package that apt would install.
fn candidate(package: &str, suite: Option<&str>) -> Option<u32> {
    let mut command = Command::new("apt-cache");
    command.env("LC_ALL", "C").args(suite.map(|suite| ["-t", suite]).iter().flatten());
    let output = command.args(["policy", package]).stdin(Stdio::null()).output().ok()?;
    candidate_in(&String::from_utf8_lossy(&output.stdout))
}

/// Returns the major version after `Candidate:` in the output of `apt-cache policy`; none if there
/// is none.
pub(super) fn candidate_in(policy: &str) -> Option<u32> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?.trim();
    major(version.split_once(':').map_or(version, |(_, version)| version))
}

/// Returns the release's code name: Ubuntu's, for systems made from it, else the system's own.
pub(super) fn codename(os_release: &str) -> Option<String> {
    let value = |key: &str| {
        let mut lines = os_release.lines();
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(value.trim_matches('"').to_string())
    };
    value("UBUNTU_CODENAME").or_else(|| value("VERSION_CODENAME"))
}

/// Returns every source file's text, and whether it has the deb822 format.
fn source_files() -> Vec<(String, bool)> {
    let mut paths = vec![PathBuf::from("/etc/apt/sources.list")];
    let folder = std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    paths.extend(folder.map(|entry| entry.path()));
    paths.sort();
    let known = |path: &PathBuf| path.extension().is_some_and(|e| e == "sources" || e == "list");
    let read = |path: &PathBuf| {
        let deb822 = path.extension().is_some_and(|extension| extension == "sources");
        std::fs::read_to_string(path).ok().map(|text| (text, deb822))
    };
    paths.iter().filter(|path| known(path)).filter_map(read).collect()
}

fn add(source: &Source) -> Result<()> {
    let path = format!("{ADDED}.{}", source.extension);
    let _step = ui::Step::start(format!("adding {path}"));
    let mut tee = root("tee");
    let mut child =
        tee.arg(Path::new(&path)).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    child.stdin.take().context("no pipe to tee")?.write_all(source.text.as_bytes())?;
    if !child.wait()?.success() {
        bail!("cannot write {path}");
    }
    Ok(())
}

fn update() -> Result<()> {
    ui::run("updating apt's package lists", apt_get().arg("update"))?;
    Ok(())
}

fn install_from(packages: &[&str], suite: Option<&str>) -> Result<bool> {
    let mut command = apt_get();
    command.args(["install", "-y", "--no-install-recommends"]);
    command.args(suite.map(|suite| ["-t", suite]).iter().flatten()).args(packages);
    let (ok, output) = ui::attempt(&format!("installing {}", packages.join(", ")), &mut command)?;
    if !ok {
        eprintln!("{}", output[output.len().saturating_sub(10)..].join("\n"));
    }
    Ok(ok)
}

/// Returns apt-get as root, without questions.
fn apt_get() -> Command {
    let mut command = root("env");
    command.args(["DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get", "-q"]);
    command.args(["-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=120"]);
    command
}

/// Returns a command that runs as root; [`become_root`] made sure that it can.
fn root(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

/// Lets sudo ask for its password, if it needs one, before progress is shown.
fn become_root() -> Result<()> {
    if is_root() {
        return Ok(());
    }
    if !on_path("sudo") {
        bail!(
            "packages must be installed, but there is no sudo: please run `cargo xtask setup` as \
             root"
        );
    }
    let mut command = Command::new("sudo");
    let may_ask = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    command.args(if may_ask { ["-v"] } else { ["-nv"] });
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        _ => bail!(
            "packages must be installed, but sudo failed: please run `cargo xtask setup` as root"
        ),
    }
}

fn is_root() -> bool {
    // The owner of this process's entry in /proc is the effective user.
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0)
}
