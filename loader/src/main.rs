// SPDX-License-Identifier: MIT OR Apache-2.0
//! The boot loader for a board's card. Firmware starts it once, at EL2, as it starts any arm64
//! Image. It moves itself to the top of RAM, takes an image over the serial line of the console,
//! and starts it in the state in which firmware started the loader: at EL2, with the address of the
//! boot device tree in x0, interrupts masked, MMU and caches off, and the other cores where
//! firmware keeps them.
//!
//! It runs on the boot core, with the MMU off all the time. So nothing that it writes is in a
//! cache, and no exclusive access is used. `entry.rs` has the first instructions, `serve.rs` the
//! messages, `ram.rs` the device tree; `loader/protocol` has all that can be tested on the host.
#![no_std]
#![no_main]

mod cpu;
mod entry;
mod ram;
mod serve;
mod uart;

use core::fmt::Write;

use loader_protocol::Board;
use loader_protocol::board::{OFFSET, ROOM};
use loader_protocol::place::Range;

/// Returns where the loader, `size` bytes at `image`, is to go, with room for the device tree after
/// it: the top of RAM below 4 GiB. Without a device tree it stays where it is.
extern "C" fn choose_place(tree: u64, image: u64, size: u64) -> u64 {
    let Some(bytes) = ram::tree(tree) else { return image };
    let mut memory = ram::memory(bytes);
    let own = [(image, size), (tree, bytes.len() as u64)];
    let has_room = own.into_iter().all(|(base, size)| memory.kept.add(base, size));
    let room = size.next_multiple_of(ram::PAGE) + bytes.len() as u64;
    let found = if has_room { memory.highest(room, ram::ALIGN, ram::LIMIT) } else { None };
    found.unwrap_or(image)
}

/// Runs the loader, `size` bytes at `image`, which is where it was moved. `tree` is firmware's
/// device tree; `sctlr` and `vbar` are what firmware left in `SCTLR_EL2` and `VBAR_EL2`.
extern "C" fn main(tree: u64, sctlr: u64, vbar: u64, image: u64, size: u64) -> ! {
    // SAFETY: the room is in the loader's first page, which nothing writes.
    let room = unsafe { cpu::bytes(image + OFFSET as u64, ROOM as u64) };
    let Some(board) = Board::decode(room) else { cpu::wait_for_ever() };
    let mut uart = uart::Uart::start(&board);
    cpu::note_uart(&board);

    let mut own = Range { base: image, size: size.next_multiple_of(ram::PAGE) };
    let mut memory = Default::default();
    let mut start_tree = tree;
    if let Some(bytes) = ram::tree(tree) {
        memory = ram::memory(bytes);
        start_tree = own.base + own.size;
        let length = bytes.len() as u64;
        let place = Range { base: start_tree, size: length };
        if tree != start_tree {
            cpu::clean_invalidate(&place);
            // SAFETY: `choose_place` found free RAM for the loader and the tree after it.
            unsafe { cpu::bytes_mut(start_tree, length) }.copy_from_slice(bytes);
            cpu::clean_invalidate(&place);
        }
        own.size += length;
        let _ = memory.kept.add(own.base, own.size);
    }
    // A line that is lost does not matter.
    let _ = write!(
        uart,
        "\r\nloader: at {:#x}; waiting for an image: cargo xtask flash --serial PORT\r\n",
        own.base
    );
    let mut loader = serve::Loader::new(board, memory);
    let entry = serve::serve(&mut loader, &mut uart);
    cpu::start(start_tree, entry, sctlr, vbar)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    if let Some(mut uart) = cpu::uart() {
        let _ = write!(uart, "\r\nloader: {}\r\n", info.message());
    }
    cpu::wait_for_ever()
}
