// SPDX-License-Identifier: MIT OR Apache-2.0
//! QEMU's log of every executed instruction: what each core ran at EL2, in order.

use anyhow::{Context, Result, bail, ensure};
use std::io::BufRead;
use std::path::Path;

/// The address where QEMU's `virt` loads an arm64 Image with text_offset 0 (hw/arm/boot.c,
/// `KERNEL64_LOAD_ADDR`): EL2 runs there until it has moved itself.
pub const LOADED: u64 = 0x4020_0000;

/// An instruction, as QEMU disassembled it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Its encoding.
    pub opcode: u32,
    /// Its text.
    pub text: String,
}

/// The instructions that ran at EL2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The instructions that each core ran, in order, as bytes from EL2's first one at its address
    /// of that time.
    pub cores: Vec<Vec<u32>>,
    /// The instructions themselves, by the same bytes, one per word.
    text: Vec<Option<Instruction>>,
}

/// The addresses of EL2's code in a run: first where it was loaded, then where it moved.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// Address it moves to.
    pub base: u64,
    /// Bytes.
    pub size: u64,
}

impl Code {
    /// Returns QEMU's arguments that write the trace of this code to `log`: one instruction per
    /// block, each block logged each time.
    #[must_use]
    pub fn arguments(&self, log: &Path) -> Vec<String> {
        let Self { base, size } = self;
        let ranges = format!("{LOADED:#x}+{size:#x},{base:#x}+{size:#x}");
        let log = log.display().to_string();
        let accelerator = "tcg,one-insn-per-tb=on";
        let words = ["-accel", accelerator, "-d", "exec,nochain,in_asm"];
        let words = words.map(String::from).into_iter();
        words.chain(["-dfilter".into(), ranges, "-D".into(), log]).collect()
    }

    /// Returns the bytes from the code's start to the instruction at `address`.
    fn offset(&self, address: u64) -> Option<u32> {
        let from = |base| {
            let offset = address.checked_sub(base)?;
            (offset < self.size).then_some(offset as u32)
        };
        from(self.base).or_else(|| from(LOADED))
    }
}

impl Trace {
    /// Reads QEMU's log.
    ///
    /// # Errors
    /// If it cannot be read, is not such a log, or has no instruction of this code.
    pub fn read(log: &Path, code: Code) -> Result<Self> {
        let file =
            std::fs::File::open(log).with_context(|| format!("cannot read {}", log.display()))?;
        let trace = Self::parse(std::io::BufReader::new(file), code)
            .with_context(|| log.display().to_string())?;
        ensure!(
            trace.cores.iter().any(|core| !core.is_empty()),
            "{}: no instruction of EL2: was the image loaded elsewhere than at {LOADED:#x}?",
            log.display()
        );
        Ok(trace)
    }

    /// Reads lines of `-d exec,nochain,in_asm` with one instruction a block (QEMU,
    /// accel/tcg/cpu-exec.c):
    ///
    /// ```text
    /// Trace 0: 0x7fc134000900 [00000000/0000000040200000/00000461/ff022201]
    /// Stopped execution of TB chain before 0x7fc134023500 [0000000040208028]
    /// 0x40200000:  14000014  b        #0x40200050
    /// ```
    ///
    /// A block is logged before it runs; one that stopped before its first instruction is logged
    /// again when it does run.
    pub fn parse(mut log: impl BufRead, code: Code) -> Result<Self> {
        let mut trace = Self::default();
        let mut line = Vec::new();
        let mut latest = 0;
        while log.read_until(b'\n', &mut line)? > 0 {
            if let Some(rest) = line.strip_prefix(b"Trace ") {
                let (core, address) = executed(rest).with_context(|| bad(&line))?;
                if let Some(offset) = code.offset(address) {
                    if trace.cores.len() <= core {
                        trace.cores.resize(core + 1, Vec::new());
                    }
                    trace.cores[core].push(offset);
                    latest = core;
                }
            } else if line.starts_with(b"Stopped execution") {
                let address = bracketed(&line).and_then(hex);
                let offset = code.offset(address.with_context(|| bad(&line))?);
                let core = trace.cores.get_mut(latest);
                if let Some(core) = core.filter(|core| core.last().copied() == offset) {
                    core.pop();
                }
            } else if line.starts_with(b"0x") {
                let (address, instruction) = disassembled(&line).with_context(|| bad(&line))?;
                if let Some(offset) = code.offset(address) {
                    trace.name(offset, instruction);
                }
            }
            line.clear();
        }
        let unknown = |offset: &&u32| trace.text(**offset).is_none();
        if let Some(offset) = trace.cores.iter().flatten().find(unknown) {
            bail!("an instruction at {offset:#x} ran, but the log does not disassemble it");
        }
        Ok(trace)
    }

    pub(super) fn name(&mut self, offset: u32, instruction: Instruction) {
        let word = offset as usize / 4;
        if self.text.len() <= word {
            self.text.resize(word + 1, None);
        }
        self.text[word] = Some(instruction);
    }

    fn text(&self, offset: u32) -> Option<&Instruction> {
        self.text.get(offset as usize / 4)?.as_ref()
    }

    /// Returns the encoding of the instruction at `offset`.
    #[must_use]
    pub fn opcode(&self, offset: u32) -> u32 {
        self.text(offset).map_or(0, |instruction| instruction.opcode)
    }

    /// Returns QEMU's text for it.
    #[must_use]
    pub fn words(&self, offset: u32) -> &str {
        self.text(offset).map_or("?", |instruction| &instruction.text)
    }
}

fn bad(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    format!("not a line of QEMU's log: `{}`", line.trim_end())
}

/// Parses `0: 0x7f… [cs_base/pc/flags/cflags]`: core and address.
fn executed(rest: &[u8]) -> Option<(usize, u64)> {
    let colon = rest.iter().position(|&byte| byte == b':')?;
    let core = std::str::from_utf8(&rest[..colon]).ok()?.parse().ok()?;
    let address = bracketed(rest)?.split(|&byte| byte == b'/').nth(1)?;
    Some((core, hex(address)?))
}

fn bracketed(line: &[u8]) -> Option<&[u8]> {
    let open = line.iter().position(|&byte| byte == b'[')?;
    let close = line.iter().position(|&byte| byte == b']')?;
    line.get(open + 1..close)
}

fn hex(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Parses `0x40200000: 14000014 b #0x40200050`.
fn disassembled(line: &[u8]) -> Option<(u64, Instruction)> {
    let line = std::str::from_utf8(line).ok()?;
    let (address, rest) = line.strip_prefix("0x")?.split_once(':')?;
    let (opcode, text) = rest.trim().split_once(' ')?;
    let words: Vec<_> = text.split_whitespace().collect();
    let instruction =
        Instruction { opcode: u32::from_str_radix(opcode, 16).ok()?, text: words.join(" ") };
    Some((u64::from_str_radix(address, 16).ok()?, instruction))
}
