// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command, as one process per end of a channel without hardware.

mod common;

use common::{Bus, PAGE, Shape};
use std::io::{Read, Write};
use std::process::{Child, Command, Output, Stdio};

const BYTES: usize = 64 * 1024;
/// No test takes as long.
const PATIENCE: &str = "60";

/// Returns the command at one end.
fn bhchan(bus: &Bus, end: usize, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bhchan"));
    command.env("BHCHAN_ROOT", bus.root(end)).args(line.split_whitespace());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts a command that gives up in the end.
fn start(bus: &Bus, end: usize, line: &str) -> Child {
    bhchan(bus, end, line).args(["--timeout", PATIENCE]).spawn().expect("started")
}

fn start_with_input(bus: &Bus, end: usize, line: &str, input: &[u8]) -> Child {
    let mut command = bhchan(bus, end, line);
    let mut child =
        command.args(["--timeout", PATIENCE]).stdin(Stdio::piped()).spawn().expect("started");
    let mut pipe = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // A process that has failed does not read all of it.
    std::thread::spawn(move || drop(pipe.write_all(&input)));
    child
}

fn ended(child: Child) -> (Option<i32>, String, String) {
    ended_with(child.wait_with_output().expect("ended"))
}

fn ended_with(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_file_arrives_as_it_was() {
    let bus = Bus::new(BYTES);
    let data: Vec<u8> = (0..3_000_000_u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
    let sender = start_with_input(&bus, 0, "send", &data);
    let receiver = start(&bus, 1, "recv link");
    let received = receiver.wait_with_output().expect("ended");
    assert_eq!(received.status.code(), Some(0));
    assert!(received.stdout == data, "{} bytes of {}", received.stdout.len(), data.len());
    assert_eq!(ended(sender), (Some(0), String::new(), String::new()));
}

#[test]
fn lines_are_messages() {
    let bus = Bus::new(BYTES);
    let sender = start_with_input(&bus, 0, "send --lines --poll", b"one\n\ntwo\nthree");
    let receiver = start(&bus, 1, "recv --lines --count 2 --poll");
    assert_eq!(ended(receiver), (Some(0), "one\ntwo\n".into(), String::new()));
    // The rest is there for the next program.
    let receiver = start(&bus, 1, "recv --lines");
    assert_eq!(ended(receiver), (Some(0), "three\n".into(), String::new()));
    assert_eq!(ended(sender).0, Some(0));
}

#[test]
fn both_directions_at_once() {
    let bus = Bus::new(BYTES);
    let (there, back) = ("there\n".repeat(50_000), "and back\n".repeat(40_000));
    let a = start_with_input(&bus, 0, "cat --size 1000", there.as_bytes());
    let b = start_with_input(&bus, 1, "cat", back.as_bytes());
    let a = std::thread::spawn(|| ended(a));
    let (code, output, error) = ended(b);
    assert_eq!((code, error), (Some(0), String::new()));
    assert!(output == there);
    let (code, output, error) = a.join().expect("ended");
    assert_eq!((code, error), (Some(0), String::new()));
    assert!(output == back);
}

/// Returns the number after a word.
fn number(text: &str, word: &str) -> u64 {
    let (_, rest) = text.split_once(word).unwrap_or_else(|| panic!("no {word:?} in {text}"));
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number after {word:?} in {text}"))
}

#[test]
fn a_pattern_comes_back_with_interrupts_on_both_sides() {
    let bus = Bus::new(BYTES);
    let echo = start(&bus, 1, "echo");
    let (code, output, error) = ended(start(&bus, 0, "bench --bytes 4M"));
    assert_eq!((code, error), (Some(0), String::new()), "{output}");
    assert!(output.starts_with("4194304 bytes both ways in 256 messages of 16384, checksum "));
    assert!(number(&output, "interrupts") > 0, "{output}");
    assert!(number(&output, "here,") > 0, "{output}");
    assert_eq!(ended(echo), (Some(0), String::new(), String::new()));
}

#[test]
fn round_trips_have_a_histogram() {
    let bus = Bus::new(BYTES);
    let mut echo = start(&bus, 1, "echo --forever");
    for poll in ["", "--poll"] {
        let line = format!("ping --count 50 --size 100 {poll}");
        let (code, output, error) = ended(start(&bus, 0, &line));
        assert_eq!((code, error), (Some(0), String::new()), "{output}");
        assert!(output.starts_with("50 round trips of 100 bytes, in microseconds: least "));
        assert!(output.contains("\n    99.9%  "), "{output}");
        let interrupts = number(&output, "interrupts");
        assert_eq!(interrupts == 0, poll == "--poll", "{output}");
    }
    // Another program than echo at the other end.
    echo.kill().expect("killed");
    echo.wait().expect("ended");
    let mut peer = start_with_input(&bus, 1, "send", b"nonsense");
    let (code, _, error) = ended(start(&bus, 0, "ping"));
    assert_eq!(code, Some(7));
    assert_eq!(error, "bhchan: round trip 0: something else came back; does it run echo?\n");
    peer.kill().expect("killed");
    peer.wait().expect("ended");
}

/// One partition in the middle joins two channels.
#[test]
fn messages_are_forwarded_both_ways() {
    let near = Bus::new(BYTES);
    let far = Bus::new(BYTES);
    // The middle has an end of each.
    let middle = Bus::with(&[]);
    for (number, bus) in [&near, &far].into_iter().enumerate() {
        let end = usize::from(number == 0);
        join(bus, end, &middle, number);
    }
    let mut forward = start(&middle, 0, "forward a b");
    let echo = start(&far, 1, "echo");
    let (code, output, error) = ended(start(&near, 0, "bench --bytes 1M --size 5000"));
    assert_eq!((code, error), (Some(0), String::new()), "{output}");
    assert_eq!(ended(echo).0, Some(0));
    forward.kill().expect("killed");
    assert_eq!(ended(forward).2, "");
}

/// Shows an end of a bus in the middle's folder, under another address and name.
fn join(bus: &Bus, end: usize, middle: &Bus, number: usize) {
    let root = middle.root(0);
    let functions = root.join("sys/bus/pci/devices");
    std::fs::create_dir_all(&functions).expect("a folder");
    std::fs::create_dir_all(root.join("sys/bus/pci/drivers/uio_pci_generic")).expect("a folder");
    std::fs::create_dir_all(root.join("dev")).expect("a folder");
    let name = [b'a' + number as u8, 0, 0, 0];
    bus.registers(end).write(bhchan::registers::NAME, u32::from_le_bytes(name));
    let target = functions.join(format!("0000:00:0{}.0", number + 1));
    std::os::unix::fs::symlink(bus.file(end, ""), &target).expect("a link");
    let uio = bus.file(end, "uio");
    std::fs::rename(uio.join("uio0"), uio.join(format!("uio{number}"))).expect("renamed");
    let device = bus.root(end).join("dev/uio0");
    std::os::unix::fs::symlink(device, root.join(format!("dev/uio{number}"))).expect("a link");
}

/// The peer's partition restarts in the middle of a transfer: the program says so, and the next one
/// works.
#[test]
fn a_restart_in_the_middle_of_a_transfer() {
    let bus = Bus::new(BYTES);
    for side in [0, 1] {
        let mut bench = start(&bus, 0, "bench --bytes 4096M");
        let mut echo = start(&bus, 1, "echo");
        std::thread::sleep(std::time::Duration::from_millis(500));
        let (killed, other) = if side == 0 { (&mut bench, echo) } else { (&mut echo, bench) };
        killed.kill().expect("killed");
        killed.wait().expect("ended");
        bus.restart(side);
        let (code, _, error) = ended(other);
        assert_eq!(code, Some(6), "{error}");
        assert!(error.starts_with("bhchan: the peer has restarted: at most "), "{error}");
        let echo = start(&bus, 1, "echo");
        let (code, output, error) = ended(start(&bus, 0, "bench --bytes 1M"));
        assert_eq!((code, error), (Some(0), String::new()), "{output}");
        assert_eq!(ended(echo).0, Some(0));
    }
}

/// What the list says of a peer that has not opened its end.
const PEER: &str = "running, closed, life 1";

#[test]
fn the_list_shows_every_channel() {
    let bus =
        Bus::with(&[Shape { name: "sensor", bytes: 4096 }, Shape { name: "net", bytes: 1 << 20 }]);
    let (code, output, error) = ended(bhchan(&bus, 0, "list").spawn().expect("started"));
    assert_eq!((code, error), (Some(0), String::new()));
    let line = |name: &str, address: &str, size: &str| {
        let driver = "uio_pci_generic";
        format!("{name}           {address}  {driver}     {size}       {size}     1  {PEER}")
    };
    let lines: Vec<_> = output.lines().map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            "CHANNEL          ADDRESS       DRIVER           SENDS    TAKES  LIFE  PEER".into(),
            line("sensor", "0000:00:01.0", "4K"),
            line("net   ", "0000:00:02.0", "1M"),
        ]
    );
}

/// Each state in which a channel cannot be used has its line and its code.
#[test]
fn errors_say_what_to_do() {
    let one_line = |bus: &Bus, line: &str| {
        let (code, output, error) = ended(bhchan(bus, 0, line).spawn().expect("started"));
        assert_eq!(output, "", "{line}");
        (code.expect("a code"), error.trim_end().to_owned())
    };
    let nothing = Bus::with(&[]);
    for line in ["list", "recv", "bind", "send sensor"] {
        let (code, error) = one_line(&nothing, line);
        assert_eq!(code, 3);
        let start =
            "bhchan: no channel: there is no PCI function 110a:4106 of subsystem 110a:4248;";
        assert!(error.starts_with(start), "{error}");
        assert!(error.contains("the view \"ivshmem\" (key `views`)"), "{error}");
    }
    let bus =
        Bus::with(&[Shape { name: "sensor", bytes: 4096 }, Shape { name: "net", bytes: 4096 }]);
    let channels = "sensor (0000:00:01.0), net (0000:00:02.0)";
    let expected = (3, format!("bhchan: name one of the channels: {channels}"));
    assert_eq!(one_line(&bus, "recv"), expected);
    let expected = (3, format!("bhchan: no channel \"nat\"; there are: {channels}"));
    assert_eq!(one_line(&bus, "recv nat"), expected);
    let (code, error) = one_line(&bus, "recv sensor --timeout 0.1");
    assert_eq!((code, error.as_str()), (5, "bhchan: nothing came in time"));
    let (code, error) = one_line(&bus, "ping 0000:00:01.0 --size 4096 --timeout 0.1");
    assert_eq!(code, 2);
    assert!(
        error.starts_with("bhchan: --size: sensor takes messages of 1 to 4088 bytes"),
        "{error}"
    );

    let user = bus.device(0, bhchan::Wait::Poll);
    let (code, error) = one_line(&bus, "recv sensor");
    assert_eq!((code, error.as_str()), {
        let text = "bhchan: 0000:00:01.0: another process has this channel open";
        (4, text)
    });
    drop(user);

    // Not bound: the driver has no device, and this kernel makes none.
    std::fs::remove_file(bus.file(0, "driver")).expect("removed");
    std::fs::remove_dir_all(bus.file(0, "uio")).expect("removed");
    let (code, error) = one_line(&bus, "recv sensor");
    assert_eq!(code, 3);
    let text = "0000:00:01.0 is not bound to uio_pci_generic: run `bhchan bind` as root, or use \
                --poll";
    assert!(error.contains(text), "{error}");
    let asked = std::fs::read_to_string(bus.file(0, "driver_override")).expect("a file");
    assert!(asked.starts_with("uio_pci_generic"), "{asked}");
    let probed = bus.root(0).join("sys/bus/pci/drivers_probe");
    assert_eq!(std::fs::read_to_string(probed).expect("a file"), "0000:00:01.0");
    std::fs::remove_dir_all(bus.root(0).join("sys/bus/pci/drivers")).expect("removed");
    let (code, error) = one_line(&bus, "recv sensor");
    assert_eq!(code, 3);
    assert!(error.contains("run `modprobe uio_pci_generic`, or use --poll"), "{error}");
    assert_eq!(one_line(&bus, "recv sensor --poll --timeout 0.1").0, 5, "it needs no driver");
}

/// A peer that writes random words into its pages ends the programs with a line and a code, and
/// never by a signal.
#[test]
fn a_peer_that_writes_garbage() {
    use std::sync::atomic::Ordering::Relaxed;
    let bus = Bus::new(8192);
    let mut seed = 0x1234_5678_9abc_def1_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..12 {
        let line = ["recv", "bench --bytes 1M", "cat", "echo"][round % 4];
        let child = bhchan(&bus, 0, line).args(["--timeout", "0.3"]).spawn().expect("started");
        let mut child = child;
        let lives = 1 << 32 | (round as u64 / 12 + 1) << 48;
        while child.try_wait().expect("a state").is_none() {
            let words = bus.pages(1);
            let at = (next() as usize) % words.len();
            // Every other word is of the right lives, so that the index itself is looked at.
            words[at].store(next(), Relaxed);
            for index in [0, 0x80, 0x100, 0x180] {
                words[index / 8].store(lives | (next() & 0xffff_fff8), Relaxed);
            }
            words[PAGE / 8].store(next() & 0x1fff, Relaxed);
        }
        let mut error = String::new();
        child.stderr.take().expect("a pipe").read_to_string(&mut error).expect("text");
        let code = child.wait().expect("ended").code();
        assert!(matches!(code, Some(0 | 5 | 7)), "{line}: {code:?} {error}");
    }
}
