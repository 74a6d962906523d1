// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loader for a board's card: its image, and the systems that are sent to it over a serial
//! line.

use crate::verify;
use anyhow::{Context, Result, ensure};
use clap::Args;
use hil::port::Port;
use hil::upload::{self, Event, Order, RATE, Uploaded};
use loader_protocol::Board;
use loader_protocol::board::{OFFSET, ROOM, WRITES};
use object::{Object, ObjectSegment, ObjectSymbol};
use plan::writes;
use runner::build::Builder;
use runner::ui;
use std::time::Duration;

/// The loader's package.
const PACKAGE: &str = "bulkhead-loader";
/// Where firmware loads an arm64 Image unless it is told otherwise, and where the loader does not
/// meet firmware's device tree.
pub const ADDRESS: u64 = 0x20_0000;

/// Options of a transfer over the serial line.
#[derive(Args, Clone, Copy, Debug)]
pub struct Serial {
    /// Bits per second over the serial line, once the loader has answered at 115200
    #[arg(long, value_name = "RATE", default_value_t = RATE)]
    pub baud: u32,
    /// Seconds to wait for the loader
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u32,
}

impl Default for Serial {
    fn default() -> Self {
        Self { baud: RATE, wait: 60 }
    }
}

/// Builds the loader for a board.
///
/// # Errors
/// If it does not build, or the board's file lacks what it needs.
pub fn image(builder: &mut Builder, board: &manifest::system::Board) -> Result<Vec<u8>> {
    let elf = builder.program(PACKAGE)?;
    let elf = std::fs::read(&elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let mut bytes = flat(&elf).context("the loader's program")?;
    let room = bytes.get_mut(OFFSET..OFFSET + ROOM).context("the loader has no header")?;
    room.copy_from_slice(&data(board)?.encode());
    Ok(bytes)
}

/// Returns what the loader has to know of a board.
fn data(board: &manifest::system::Board) -> Result<Board> {
    let file = format!("boards/{}/board.toml: [console]", board.name);
    ensure!(
        board.uart_clock > 0,
        "{file}: the loader needs `clock`, the UART's clock in Hz, to set its rate"
    );
    let rows = &board.writes[writes::CONSOLE];
    ensure!(rows.len() <= WRITES, "{file}: `init` has more than {WRITES} writes");
    let mut init = [(0, 0); WRITES];
    init[..rows.len()].copy_from_slice(rows);
    Ok(Board { uart: board.uart.0.base, clock: board.uart_clock, init })
}

/// Returns the bytes of a program that is linked at 0, from its first one to `_image_end`.
fn flat(elf: &[u8]) -> Result<Vec<u8>> {
    let file = object::File::parse(elf)?;
    let end = file.symbols().find(|symbol| symbol.name() == Ok("_image_end"));
    let end = end.context("it has no `_image_end`")?.address();
    let mut bytes = vec![0; usize::try_from(end)?];
    for segment in file.segments() {
        let data = segment.data()?;
        let at = usize::try_from(segment.address())?;
        let place = bytes.get_mut(at..at + data.len());
        place.context("a segment is after `_image_end`")?.copy_from_slice(data);
    }
    Ok(bytes)
}

/// Builds and verifies a system, and sends it to the loader at `port`, which then starts it.
///
/// # Errors
/// If it cannot be built, or does not get there.
pub fn send(port: &mut Port, spec: &str, serial: Serial) -> Result<Uploaded> {
    let mut builder = Builder::default();
    let system = builder.system(spec)?;
    let image = verify::image(&mut builder, &system)?;
    let order = Order {
        image: &image.bytes,
        target: image.design.places.image.base,
        rate: serial.baud,
        wait: Duration::from_secs(serial.wait.into()),
    };
    let mut screen = Screen::default();
    let sent = upload::upload(port, &order, &mut |event| screen.show(event))?;
    drop(screen);
    ui::say(format_args!("{}: {sent}", port.name));
    Ok(sent)
}

/// An upload on the terminal: its steps, and a bar with the rate and the blocks sent again.
#[derive(Default)]
struct Screen {
    step: Option<ui::Step>,
    bar: Option<ui::Transfer>,
}

impl Screen {
    fn show(&mut self, event: Event) {
        match event {
            Event::Waiting => {
                self.step = Some(ui::Step::start("waiting for the loader on the board"));
            }
            Event::Note(note) => eprintln!("{note}"),
            Event::Sent(done, all, again) => {
                self.step = None;
                let bar = self.bar.get_or_insert_with(|| ui::Transfer::start("sending", all));
                bar.at(done);
                if again > 0 {
                    bar.note(format!("{again} blocks sent again"));
                }
            }
            Event::Unpacking => {
                self.bar = None;
                self.step = Some(ui::Step::start("the board unpacks the image"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runner::workspace::root;

    #[test]
    fn each_board_has_what_the_loader_needs() {
        for (name, clock) in [("rpi4", 48_000_000), ("qemu-virt", 24_000_000)] {
            let board = manifest::board(&root(), name).expect("a board");
            let data = data(&board).expect("its console");
            assert_eq!(Board::decode(&data.encode()), Some(data));
            assert_eq!((data.uart, data.clock), (board.uart.0.base, clock));
        }
        let mut board = manifest::board(&root(), "rpi4").expect("a board");
        board.writes[writes::CONSOLE].resize(WRITES + 1, (4, 0));
        let why = data(&board).expect_err("too many").to_string();
        assert!(why.contains("`init` has more than 16 writes"), "{why}");
        board.uart_clock = 0;
        let why = data(&board).expect_err("no clock").to_string();
        assert!(why.starts_with("boards/rpi4/board.toml: [console]: the loader needs `clock`"));
    }
}
