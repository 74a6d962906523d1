// SPDX-License-Identifier: MIT OR Apache-2.0
//! A channel without hardware: a folder with the files of sysfs and /dev for both ends, and a
//! thread that does what EL2 and the kernel's `uio_pci_generic` do. It is as strict as the
//! function may be: a doorbell that comes while Interrupt Control is off is lost.
#![allow(dead_code, reason = "each test program uses a part")]

use bhchan::{Channel, Device, Function, Pages, Registers, Wait, config, registers};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const PAGE: usize = 4096;
/// Where the vendor's capability is.
const CAPABILITY: usize = 0x40;
/// What the doorbell holds when nobody has rung.
const SILENT: u32 = u32::MAX;

/// A deadline that no test reaches.
pub fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(60))
}

/// Both ends of channels on one bus each: end 0's folder and end 1's.
pub struct Bus {
    folder: TempDir,
    lines: Vec<Line>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A channel of a [`Bus`].
struct Line {
    ends: [Arc<End>; 2],
    memory: Arc<Pages>,
    /// Bytes of an output section.
    section: usize,
}

/// What EL2 and the kernel have of an end.
struct End {
    registers: Registers,
    config: File,
    uio: File,
    /// The peer of a reset end is told so.
    told: AtomicBool,
}

/// What a test changes of an end before it is opened.
pub struct Shape {
    pub name: &'static str,
    pub bytes: usize,
}

impl Bus {
    /// Makes one channel with `bytes` bytes of data in each direction.
    pub fn new(bytes: usize) -> Self {
        Self::with(&[Shape { name: "link", bytes }])
    }

    /// Makes channels.
    pub fn with(shapes: &[Shape]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut lines = Vec::new();
        for (number, shape) in shapes.iter().enumerate() {
            lines.push(Line::new(folder.path(), number, shape));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let ends: Vec<_> = lines.iter().map(|line| line.ends.clone()).collect();
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || {
                while !stop.load(Relaxed) {
                    for ends in &ends {
                        carry(ends);
                    }
                    // As fast as a doorbell: a sleep would hide what a program does too late.
                    std::thread::yield_now();
                }
            }
        });
        Self { folder, lines, stop, thread: Some(thread) }
    }

    /// Returns the root folder of an end.
    pub fn root(&self, end: usize) -> PathBuf {
        self.folder.path().join(end.to_string())
    }

    /// Opens an end of the first channel.
    pub fn device(&self, end: usize, wait: Wait) -> Device {
        let function = Function::named(&self.root(end), Some("0000:00:01.0")).expect("a function");
        function.bind().expect("bound");
        Device::open(function, wait).expect("a device")
    }

    /// Starts an end's partition again, as EL2 does: its pages are cleared, its generation rises,
    /// and the peer gets an interrupt. The end's programs must have ended.
    pub fn restart(&self, end: usize) {
        for line in &self.lines {
            let (own, peer) = (&line.ends[end], &line.ends[1 - end]);
            let start = PAGE + end * line.section;
            // The indices first: a reader that finds cleared data also finds them cleared.
            for word in &line.memory.words()[start / 8..(start + line.section) / 8] {
                word.store(0, Relaxed);
                std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
            }
            let generation = own.registers.read(registers::OWN_GENERATION) + 1;
            own.registers.write(registers::OWN_GENERATION, generation);
            peer.registers.write(registers::PEER_GENERATION, generation);
            own.told.store(true, Relaxed);
        }
    }

    /// Returns the pages that an end writes, for a peer that does not keep to the protocol.
    pub fn pages(&self, end: usize) -> &[bhchan::ring::word::AtomicU64] {
        let line = &self.lines[0];
        let start = PAGE + end * line.section;
        &line.memory.words()[start / 8..(start + line.section) / 8]
    }

    pub fn registers(&self, end: usize) -> &Registers {
        &self.lines[0].ends[end].registers
    }

    /// Returns a file of an end's first function.
    pub fn file(&self, end: usize, name: &str) -> PathBuf {
        self.root(end).join("sys/bus/pci/devices/0000:00:01.0").join(name)
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.thread.take().map(JoinHandle::join).expect("a thread").expect("no panic");
    }
}

impl Line {
    fn new(folder: &Path, number: usize, shape: &Shape) -> Self {
        let section = PAGE + shape.bytes;
        let memory = folder.join(format!("memory{number}"));
        let file = File::create_new(&memory).expect("memory");
        // A region of PCI is a power of two.
        file.set_len((PAGE + 2 * section).next_power_of_two() as u64).expect("a size");
        let file = OpenOptions::new().read(true).write(true).open(&memory).expect("memory");
        let pages = Pages::map(&file, 0, PAGE + 2 * section, true).expect("pages");
        let ends = [0, 1].map(|end| {
            let root = folder.join(end.to_string());
            Arc::new(End::new(&root, end, number, shape, section, &memory))
        });
        Self { ends, memory: Arc::new(pages), section }
    }
}

impl End {
    fn new(
        root: &Path,
        end: usize,
        number: usize,
        shape: &Shape,
        section: usize,
        memory: &Path,
    ) -> Self {
        let address = format!("0000:00:{:02x}.0", number + 1);
        let function = root.join("sys/bus/pci/devices").join(&address);
        let driver = root.join("sys/bus/pci/drivers/uio_pci_generic");
        for folder in [&function.join(format!("uio/uio{number}")), &driver, &root.join("dev")] {
            fs::create_dir_all(folder).expect("a folder");
        }
        let write = |name: &str, contents: &[u8]| {
            fs::write(function.join(name), contents).expect("a file");
        };
        for (name, id) in [
            ("vendor", "0x110a\n"),
            ("device", "0x4106\n"),
            ("subsystem_vendor", "0x110a\n"),
            ("subsystem_device", "0x4248\n"),
        ] {
            write(name, id.as_bytes());
        }
        write("driver_override", b"(null)\n");
        fs::write(root.join("sys/bus/pci/drivers_probe"), b"").expect("a file");
        symlink(&driver, function.join("driver")).expect("a link");

        let mut space = vec![0_u8; 256];
        space[config::STATUS as usize] = 0x10;
        space[config::CAPABILITIES] = CAPABILITY as u8;
        let capability = &mut space[CAPABILITY..CAPABILITY + 0x18];
        capability[..4].copy_from_slice(&[config::VENDOR, 0, 0x18, 0]);
        capability[4..8].copy_from_slice(&(PAGE as u32).to_le_bytes());
        capability[0x10..0x18].copy_from_slice(&(section as u64).to_le_bytes());
        write("config", &space);

        let bar = fs::File::create_new(function.join("resource0")).expect("a BAR");
        bar.set_len(PAGE as u64).expect("a size");
        fs::hard_link(memory, function.join("resource2_wc")).expect("a link");
        let fifo = root.join("dev").join(format!("uio{number}"));
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).expect("a pipe");

        let open = |path: PathBuf| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
                .open(path)
                .expect("a file")
        };
        let new = Self {
            registers: Registers::map(open(function.join("resource0"))).expect("registers"),
            config: open(function.join("config")),
            uio: open(fifo),
            told: AtomicBool::new(false),
        };
        new.registers.write(registers::ID, end as u32);
        new.registers.write(4, 2);
        new.registers.write(registers::DOORBELL, SILENT);
        new.registers.write(registers::OWN_GENERATION, 1);
        new.registers.write(registers::PEER_GENERATION, 1);
        new.registers.write(registers::PEER_STATE, 1);
        let mut name = [0; 16];
        name[..shape.name.len()].copy_from_slice(shape.name.as_bytes());
        for (word, bytes) in name.as_chunks::<4>().0.iter().enumerate() {
            new.registers.write(registers::NAME + 4 * word, u32::from_le_bytes(*bytes));
        }
        new
    }

    fn half(&self, at: u64) -> u16 {
        let mut bytes = [0; 2];
        self.config.read_exact_at(&mut bytes, at).expect("configuration space");
        u16::from_le_bytes(bytes)
    }

    fn set_half(&self, at: u64, value: u16) {
        self.config.write_all_at(&value.to_le_bytes(), at).expect("configuration space");
    }

    /// Delivers an interrupt, if the end has allowed it. The kernel's handler answers with
    /// INTxDisable, and the one-shot mode clears Interrupt Control.
    fn interrupt(&self) {
        let command = self.half(config::COMMAND);
        if self.registers.read(registers::INTERRUPT_CONTROL) & 1 == 0
            || command & config::INTX_DISABLE != 0
        {
            return;
        }
        let mut control = [0];
        let at = (CAPABILITY + config::CONTROL) as u64;
        self.config.read_exact_at(&mut control, at).expect("configuration space");
        if control == [1] {
            self.registers.write(registers::INTERRUPT_CONTROL, 0);
        }
        self.set_half(config::COMMAND, command | config::INTX_DISABLE);
        (&self.uio).write_all(&1_u32.to_le_bytes()).expect("a pipe");
    }
}

/// Carries doorbells and resets from end to end.
fn carry(ends: &[Arc<End>; 2]) {
    for (number, end) in ends.iter().enumerate() {
        let peer = &ends[1 - number];
        let rung = end.registers.read(registers::DOORBELL);
        if rung != SILENT {
            // A doorbell that is written now becomes one with this.
            end.registers.write(registers::DOORBELL, SILENT);
            assert_eq!(rung >> 16, 1 - number as u32, "an end rings its peer");
            peer.interrupt();
        }
        if end.told.swap(false, Relaxed) {
            peer.interrupt();
        }
    }
}

/// Opens a channel of a device that stays until the process ends.
pub fn channel(bus: &Bus, end: usize, wait: Wait) -> Channel<'static> {
    let device = Box::leak(Box::new(bus.device(end, wait)));
    Channel::open(device).expect("a channel")
}
