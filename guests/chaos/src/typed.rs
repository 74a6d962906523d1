//! A guest's handling of console input: it takes all of it, at its own speed, or none.

use alloc::string::String;

use rt::{Tree, console, interrupt, timer};

use crate::{format, number};

/// Ctrl-D: the end of the input.
const END: u8 = 0x04;
/// Bytes that `slow=` takes at once.
const BATCH: usize = 64;
/// Longest time without input, seconds.
const PATIENCE: u64 = 20;

/// Takes console input until Ctrl-D, by interrupt. `slow=MILLISECONDS` is the pause after every few
/// bytes.
pub fn echo(tree: &Tree) -> String {
    let Some(intid) = console::listen(tree) else { rt::fail!("no UART in the device tree") };
    let pause = tree.option("slow").and_then(number).unwrap_or(0);
    let deadline = timer::now() + PATIENCE * timer::frequency();
    // FNV-1a, 64 bits.
    let (mut count, mut sum) = (0, 0xcbf2_9ce4_8422_2325_u64);
    loop {
        if interrupt::wait_until(deadline) != Some(intid) {
            rt::fail!("{count} input bytes came, but no Ctrl-D");
        }
        for _ in 0..BATCH {
            match console::read() {
                Some(END) => return format!("{count} bytes, sum {sum:#018x}"),
                Some(byte) => {
                    count += 1;
                    sum = (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
                }
                None => break,
            }
        }
        let resume = timer::now() + timer::milliseconds(pause);
        while timer::now() < resume {
            core::hint::spin_loop();
        }
    }
}

/// Takes no input, while bytes arrive as fast as possible.
pub fn deaf(_: &Tree) -> String {
    let end = timer::now() + 10 * timer::frequency();
    while interrupt::wait_until(end).is_some() {}
    match console::read() {
        Some(byte) => format!("the first input byte is still there: {byte:#04x}"),
        None => rt::fail!("no input came"),
    }
}
