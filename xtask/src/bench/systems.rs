//! Generates manifests for the bench's systems that differ in a number or a word.

use super::run::folder;
use anyhow::{Context, Result};
use runner::workspace;
use std::fmt::Write;

/// Sizes of messages, bytes: those of guests/bench/src/phase.rs.
pub const SIZES: [u64; 8] = [64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576];
/// Messages in a batch, as there.
const BATCH: u64 = 60;
/// Ways to wait.
pub const WAITS: [&str; 3] = ["doorbell", "wfe", "poll"];

/// A rate limit that has its cost but never delays a doorbell.
const RATE: &str = "{ per-second = 1000000, burst = 1000 }";

/// The path of messages from source to sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// One channel.
    Direct,
    /// Two channels, with the relay between them.
    Relayed,
}

impl Path {
    /// Both paths.
    pub const ALL: [Self; 2] = [Self::Direct, Self::Relayed];

    /// Its name in figures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relayed => "relayed",
        }
    }
}

/// A manifest being written.
struct Manifest(String);

impl Manifest {
    fn new(console_core: usize) -> Self {
        Self(format!("board = \"qemu-virt\"\nconsole-core = {console_core}\n"))
    }

    /// `vcpus` are core numbers and classes.
    fn partition(
        &mut self,
        name: &str,
        vcpus: &[(usize, &str)],
        memory: &str,
        guest: &str,
        line: &str,
    ) {
        let vcpus =
            vcpus.iter().map(|(core, class)| format!("{{ core = {core}, class = \"{class}\" }}"));
        let vcpus = vcpus.collect::<Vec<_>>().join(", ");
        // Writing to a string does not fail.
        let _ = write!(
            self.0,
            "\n[[partition]]\nname = \"{name}\"\nvcpus = [{vcpus}]\nmemory = [{{ size = \
             \"{memory}\" }}]\n\
             image = {{ guest = \"{guest}\" }}\ncommand-line = \"{line}\"\n\
             on-fault = \"halt\"\non-reset = \"halt\"\n"
        );
    }

    fn channel(&mut self, name: &str, ends: [&str; 2], bytes: [u64; 2], wait: &str) {
        let [from, to] = ends;
        let [there, back] = bytes;
        let _ = write!(
            self.0,
            "\n[[channel]]\nname = \"{name}\"\nends = [\"{from}\", \"{to}\"]\nbytes = [{there}, \
             {back}]\n\
             waits = [\"{wait}\", \"{wait}\"]\nrate = [{RATE}, {RATE}]\n"
        );
    }

    /// Writes it to the bench's folder; returns its path.
    fn save(self, name: &str) -> Result<String> {
        let path = folder().join("systems").join(format!("{name}.toml"));
        workspace::write(&path, self.0.as_bytes())?;
        Ok(path.display().to_string())
    }
}

/// Returns the bytes of data that hold `messages` of `size` bytes (8 more for each,
/// docs/guest-abi.md).
fn ring(messages: u64, size: u64) -> u64 {
    (messages * (size + 8)).next_power_of_two().max(4096)
}

/// Channels of all sizes between two ends, with room for two batches there and one message back,
/// and one for doorbells.
fn links(manifest: &mut Manifest, prefix: &str, ends: [&str; 2], wait: &str) {
    for size in SIZES {
        let bytes = [ring(2 * BATCH, size), ring(1, size)];
        manifest.channel(&format!("{prefix}{size}"), ends, bytes, wait);
    }
    if wait == "doorbell" {
        manifest.channel(&format!("{prefix}bell"), ends, [0, 0], wait);
    }
}

/// Writes the manifest of a source and a sink, with or without a relay between them; returns its
/// path.
///
/// # Errors
/// If it cannot be written.
pub fn stream(path: Path, wait: &str) -> Result<String> {
    let comm = |core| [(core, "comm")];
    let sink = match path {
        Path::Direct => 1,
        Path::Relayed => 2,
    };
    let mut manifest = Manifest::new(sink + 1);
    manifest.partition("source", &comm(0), "16MiB", "bench", "role=source links=s");
    match path {
        Path::Direct => {
            manifest.partition("sink", &comm(sink), "16MiB", "bench", "role=sink links=s");
            links(&mut manifest, "s", ["source/0", "sink/0"], wait);
        }
        Path::Relayed => {
            manifest.partition("relay", &comm(1), "16MiB", "relay", "up=s down=t");
            manifest.partition("sink", &comm(sink), "16MiB", "bench", "role=sink links=t");
            links(&mut manifest, "s", ["source/0", "relay/0"], wait);
            links(&mut manifest, "t", ["relay/0", "sink/0"], wait);
        }
    }
    console(&mut manifest, sink + 1);
    manifest.save(&format!("{}-{wait}", path.name()))
}

/// Adds a partition that stops immediately, on the core that drains the console.
fn console(manifest: &mut Manifest, core: usize) {
    manifest.partition("console", &[(core, "comm")], "2MiB", "bench", "role=console");
}

/// Writes the manifest of a pair that sends doorbells over its last channel, with `channels`
/// between the two and `partitions` in all; returns its path.
///
/// # Errors
/// If it cannot be written.
pub fn growth(partitions: usize, channels: usize) -> Result<String> {
    // The last partition drains the console: it sleeps, or is the pair's second if there are no
    // others.
    let mut manifest = Manifest::new(partitions - 1);
    let partition = |manifest: &mut Manifest, name: &str, core, role: &str| {
        let line = format!("role={role}");
        manifest.partition(name, &[(core, "comm")], "2MiB", "bench", &line);
    };
    partition(&mut manifest, "ring", 0, "ring");
    partition(&mut manifest, "rung", 1, "rung");
    for core in 2..partitions {
        let name = format!("sleep{core}");
        partition(&mut manifest, &name, core, "sleep");
        let ends = ["ring/0", &format!("{name}/0")];
        manifest.channel(&format!("wake{core}"), ends, [0, 0], "doorbell");
    }
    // Handles follow the manifest's order: the last channel has the highest.
    for number in 1..channels {
        let name = format!("idle{number}");
        manifest.channel(&name, ["ring/0", "rung/0"], [4096; 2], "doorbell");
    }
    manifest.channel("last", ["ring/0", "rung/0"], [4096; 2], "doorbell");
    manifest.save(&format!("growth-{partitions}-{channels}"))
}

/// Writes the manifest of two partitions, each with a comm and a compute core, that send a million
/// messages; returns its path.
///
/// # Errors
/// If it cannot be written.
pub fn flood() -> Result<String> {
    let mut manifest = Manifest::new(4);
    let vcpus = |core| [(core, "comm"), (core + 1, "compute")];
    manifest.partition("flood", &vcpus(0), "4MiB", "bench", "role=flood");
    manifest.partition("drain", &vcpus(2), "4MiB", "bench", "role=drain");
    console(&mut manifest, 4);
    for number in 0..4 {
        let name = format!("flood{number}");
        manifest.channel(&name, ["flood/0", "drain/0"], [4096; 2], "doorbell");
    }
    manifest.save("flood")
}

/// Writes the manifest `of` with two partitions that measure in their second life; returns its
/// path.
///
/// # Errors
/// If it cannot be read or written.
pub fn restarted(of: &str) -> Result<String> {
    let file = workspace::root().join(of);
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}", file.display()))?;
    let text = text.replace("on-reset = \"halt\"\n", "");
    let text = ["operations", "answer"].iter().fold(text, |text, role| {
        text.replace(&format!("role={role}\""), &format!("role={role} life=2\""))
    });
    Manifest(text).save("restarted")
}
