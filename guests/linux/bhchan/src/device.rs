// SPDX-License-Identifier: MIT OR Apache-2.0
//! An open function: its registers, its pages and its interrupt.

use crate::function::{self, Function, config, registers};
use crate::sys::{PAGE, Pages, Registers};
use crate::{Error, Result};
use ::channel::word::{AtomicU64, fence};
use ::channel::{Indices, Pair, Region, layout, wait};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{FlockOperation, OFlags, flock};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::Ordering::SeqCst;

/// How a program waits for its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Sleeps until the function's interrupt. The function must be bound to `uio_pci_generic`.
    Interrupt,
    /// Reads the peer's indices again and again. Needs no driver, and takes a core.
    Poll,
}

/// The peer's bit of a state register that says that a program has the channel open.
const OPEN: u32 = 1;

/// A channel's function, opened by one process at a time.
#[derive(Debug)]
pub struct Device {
    function: Function,
    registers: Registers,
    config: File,
    /// What Command holds while interrupts are wanted.
    command: u16,
    uio: Option<File>,
    id: u32,
    own: Pages,
    peer: Pages,
    table: Pages,
    /// Holds the lock until the device is dropped.
    _lock: File,
}

impl Device {
    /// Opens a function: maps BAR0 and the pages, and with [`Wait::Interrupt`] opens the UIO
    /// device of its driver ([`Function::bind`]).
    ///
    /// # Errors
    /// If it is not bound, another process has it open, this user may not open it, or it is not
    /// what EL2 shows.
    pub fn open(function: Function, wait: Wait) -> Result<Self> {
        let lock = function.open("resource0")?;
        let exclusive = flock(&lock, FlockOperation::NonBlockingLockExclusive);
        exclusive.map_err(|_| Error::Busy(function.address().to_owned()))?;
        let uio = match wait {
            Wait::Interrupt => Some(open_uio(&function)?),
            Wait::Poll => None,
        };
        let registers = function.registers()?;
        let config = function.open("config")?;
        let command = function.enable(&config)? & !config::INTX_DISABLE;
        let id = registers.read(registers::ID);
        if id > 1 {
            return Err(function.malformed(format!("its number is {id}, not 0 or 1")));
        }
        let sizes = Sizes::of(&function, &config)?;
        let memory = function.open("resource2_wc")?;
        function.check_size(&memory, "resource2_wc", sizes.end)?;
        let map = |offset, bytes, writable| {
            let pages = Pages::map(&memory, offset, bytes, writable);
            pages.map_err(|error| Error::io("map resource2_wc", error))
        };
        let [own, peer] = [id, 1 - id].map(|end| sizes.table + u64::from(end) * sizes.output);
        let new = Self {
            own: map(own, PAGE + sizes.data, true)?,
            peer: map(peer, PAGE + sizes.data, false)?,
            table: map(0, PAGE, false)?,
            function,
            registers,
            config,
            command,
            uio,
            id,
            _lock: lock,
        };
        new.registers.write(registers::STATE, OPEN);
        Ok(new)
    }

    /// Returns the function.
    pub fn function(&self) -> &Function {
        &self.function
    }

    /// Returns the channel's name.
    pub fn name(&self) -> String {
        function::name(&self.registers)
    }

    /// Returns this end's number, 0 or 1.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Returns the generations of this partition and of the peer's, from BAR0.
    pub fn lives(&self) -> Pair {
        let generation = |register| self.registers.read(register) as u16;
        Pair {
            own: generation(registers::OWN_GENERATION),
            peer: generation(registers::PEER_GENERATION),
        }
    }

    /// Returns the state of the peer's partition, a number of `abi::state`.
    pub fn peer_state(&self) -> u32 {
        self.registers.read(registers::PEER_STATE)
    }

    /// Returns the peer's entry of the state table: 0 if its partition is down or no program has
    /// its end open.
    pub fn peer_entry(&self) -> u32 {
        let word = self.table.words().first();
        let word = word.map_or(0, |word| word.load(std::sync::atomic::Ordering::Relaxed));
        (word >> (32 * (1 - self.id))) as u32
    }

    /// Returns bytes of data that this end sends, and that the peer sends.
    pub fn bytes(&self) -> (usize, usize) {
        let data = |pages: &Pages| pages.words().len() * 8 - layout::DATA;
        (data(&self.own), data(&self.peer))
    }

    /// Rings the peer.
    pub fn ring(&self) {
        // The peer must see what was written before the doorbell.
        fence(SeqCst);
        self.registers.write(registers::DOORBELL, (1 - self.id) << 16);
    }

    /// Allows one interrupt. The caller then looks at the ring, before it sleeps.
    pub(crate) fn arm(&self) -> Result<()> {
        if self.uio.is_none() {
            return Ok(());
        }
        let written = self.config.write_all_at(&self.command.to_le_bytes(), config::COMMAND);
        written.map_err(|error| Error::io("write the Command register", error))?;
        self.registers.write(registers::INTERRUPT_CONTROL, 1);
        // Orders the register, which is device memory, before the loads of the ring.
        fence(SeqCst);
        Ok(())
    }

    /// Takes note of interrupts that have come; returns whether there were any.
    pub(crate) fn take_interrupts(&self) -> Result<bool> {
        let mut some = false;
        let Some(mut uio) = self.uio.as_ref() else { return Ok(false) };
        loop {
            // The number is how many there ever were.
            match uio.read(&mut [0; 4]) {
                Ok(4) => some = true,
                Ok(_) => return Err(Error::NotBound(self.function.address().to_owned())),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(some),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read the UIO device", error)),
            }
        }
    }

    /// Returns the descriptor that becomes readable at an interrupt, if this device has one.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.uio.as_ref().map(File::as_fd)
    }

    /// Returns the region that this end writes, and the peer's.
    pub(crate) fn regions(&self) -> Result<(Region<'_>, Region<'_>)> {
        let own = region(self.own.words())?;
        let own = if self.uio.is_some() { own } else { own.without_doorbells() };
        let peer = region(self.peer.words())?;
        let takes = self.registers.read(registers::PEER_WAIT) == wait::DOORBELL;
        Ok((own, if takes { peer } else { peer.without_doorbells() }))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.registers.write(registers::INTERRUPT_CONTROL, 0);
        self.registers.write(registers::STATE, 0);
    }
}

/// Opens the UIO device, so that a read never blocks.
fn open_uio(function: &Function) -> Result<File> {
    let path = function.uio().ok_or_else(|| Error::NotBound(function.address().to_owned()))?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
    let opened = options.open(&path);
    opened.map_err(|error| match error.kind() {
        std::io::ErrorKind::ResourceBusy => Error::Busy(function.address().to_owned()),
        _ => Error::file("open", path, error),
    })
}

fn region(words: &[AtomicU64]) -> Result<Region<'_>> {
    let (page, data) = words.split_at(layout::DATA / 8);
    Ok(Region::new(Indices::new(page)?, data)?)
}

/// Where the parts of BAR2 are.
struct Sizes {
    table: u64,
    output: u64,
    /// Bytes of data in each section.
    data: usize,
    /// Where the last section ends.
    end: u64,
}

impl Sizes {
    /// Reads them from the capability, and allows one-shot interrupts there.
    fn of(function: &Function, config: &File) -> Result<Self> {
        let page = PAGE as u64;
        let (function::Sections { table, common, output }, at) = function.sections()?;
        let data = output.saturating_sub(page);
        let whole = [table, output].iter().all(|size| *size >= page && size.is_multiple_of(page));
        let fits = data == 0 || data.is_power_of_two();
        if !whole || output > 1 << 32 || table > 1 << 32 || common != 0 || !fits {
            let what = format!(
                "its sections do not fit a channel: state table {table:#x}, common section \
                 {common:#x}, output sections {output:#x}"
            );
            return Err(function.malformed(what));
        }
        let one_shot = config.write_all_at(&[1], (at + config::CONTROL) as u64);
        one_shot.map_err(|error| Error::io("write the vendor capability", error))?;
        Ok(Self { table, output, data: data as usize, end: table + 2 * output })
    }
}
