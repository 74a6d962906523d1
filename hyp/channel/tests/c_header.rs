//! The C header: its numbers are those of `abi` and of this crate, and a C program exchanges
//! messages with this crate through shared memory.
#![cfg(not(any(loom, miri)))]

use bulkhead_channel::word::AtomicU64;
use bulkhead_channel::{Doorbell, Error, Indices, Pair, Region, open};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const HEADER: &str = include_str!("../include/bulkhead_abi.h");

/// Every number the header defines, as the compiler evaluates it; `cargo xtask abi` reads the
/// sources' text.
const NUMBERS: &[(&str, i64)] = &[
    ("REVISION_MAJOR", abi::REVISION_MAJOR as i64),
    ("REVISION_MINOR", abi::REVISION_MINOR as i64),
    ("CALL_VERSION", abi::call::VERSION as i64),
    ("CALL_QUERY", abi::call::QUERY as i64),
    ("CALL_CHANNEL", abi::call::CHANNEL as i64),
    ("CALL_RING", abi::call::RING as i64),
    ("CALL_MASK", abi::call::MASK as i64),
    ("CALL_STATUS", abi::call::STATUS as i64),
    ("CALL_PEER", abi::call::PEER as i64),
    ("CALL_ENTRIES", abi::call::ENTRIES as i64),
    ("CALL_FAIL", abi::call::FAIL as i64),
    ("CALL_EL2_INSTRUCTIONS", abi::call::EL2_INSTRUCTIONS as i64),
    ("CALL_WATCHDOG", abi::call::WATCHDOG as i64),
    ("CALL_CRASH_RECORD", abi::call::CRASH_RECORD as i64),
    ("CALL_PARTITION", abi::call::PARTITION as i64),
    ("CALL_PARTITION_ENTRIES", abi::call::PARTITION_ENTRIES as i64),
    ("CALL_PARTITION_DOORBELLS", abi::call::PARTITION_DOORBELLS as i64),
    ("CALL_SUPERVISE", abi::call::SUPERVISE as i64),
    ("ERROR_NOT_SUPPORTED", abi::error::NOT_SUPPORTED),
    ("ERROR_BAD_HANDLE", abi::error::BAD_HANDLE),
    ("ERROR_BAD_ARGUMENT", abi::error::BAD_ARGUMENT),
    ("ERROR_PEER_DOWN", abi::error::PEER_DOWN),
    ("ERROR_NO_DOORBELL", abi::error::NO_DOORBELL),
    ("ERROR_DAMAGED", abi::error::DAMAGED),
    ("ERROR_TOO_MANY", abi::error::TOO_MANY),
    ("RING_SENT", abi::ring::SENT),
    ("RING_COALESCED", abi::ring::COALESCED),
    ("RING_DEFERRED", abi::ring::DEFERRED),
    ("SUPERVISE_STOP", abi::supervise::STOP as i64),
    ("SUPERVISE_START", abi::supervise::START as i64),
    ("SUPERVISE_RESTART", abi::supervise::RESTART as i64),
    ("SUPERVISE_PER_SECOND", abi::supervise::PER_SECOND as i64),
    ("SUPERVISE_BURST", abi::supervise::BURST as i64),
    ("QUERY_VCPU", abi::query::VCPU as i64),
    ("QUERY_VCPUS", abi::query::VCPUS as i64),
    ("QUERY_CLASS", abi::query::CLASS as i64),
    ("QUERY_ENDS", abi::query::ENDS as i64),
    ("QUERY_PARTITION", abi::query::PARTITION as i64),
    ("STATUS_PENDING", abi::status::PENDING as i64),
    ("STATUS_SENT", abi::status::SENT as i64),
    ("STATUS_COALESCED", abi::status::COALESCED as i64),
    ("STATUS_DEFERRED", abi::status::DEFERRED as i64),
    ("STATUS_RECEIVED", abi::status::RECEIVED as i64),
    ("STATE_LOADING", abi::state::LOADING as i64),
    ("STATE_RUNNING", abi::state::RUNNING as i64),
    ("STATE_OFF", abi::state::OFF as i64),
    ("STATE_RESET", abi::state::RESET as i64),
    ("STATE_HALTED", abi::state::HALTED as i64),
    ("STATE_FAILED", abi::state::FAILED as i64),
    ("STATE_RESTARTING", abi::state::RESTARTING as i64),
    ("STATE_STOPPED", abi::state::STOPPED as i64),
    ("REASON_HVC", abi::Reason::Hvc as i64),
    ("REASON_SMC", abi::Reason::Smc as i64),
    ("REASON_SYSREG", abi::Reason::Sysreg as i64),
    ("REASON_MMIO", abi::Reason::Mmio as i64),
    ("REASON_INTERRUPT", abi::Reason::Interrupt as i64),
    ("REASON_SIBLING", abi::Reason::Sibling as i64),
    ("REASON_MAINTENANCE", abi::Reason::Maintenance as i64),
    ("REASON_DEFERRED", abi::Reason::Deferred as i64),
    ("REASON_DOORBELL", abi::Reason::Doorbell as i64),
    ("REASON_CONSOLE", abi::Reason::Console as i64),
    ("REASON_CONTROL", abi::Reason::Control as i64),
    ("REASON_OTHER", abi::Reason::Other as i64),
    ("REASON_ABORT", abi::Reason::Abort as i64),
    ("WAIT_DOORBELL", bulkhead_channel::wait::DOORBELL as i64),
    ("WAIT_WFE", bulkhead_channel::wait::WFE as i64),
    ("WAIT_POLL", bulkhead_channel::wait::POLL as i64),
    ("LAYOUT_PRODUCED", bulkhead_channel::layout::PRODUCED as i64),
    ("LAYOUT_CONSUMED", bulkhead_channel::layout::CONSUMED as i64),
    ("LAYOUT_WANT_DATA", bulkhead_channel::layout::WANT_DATA as i64),
    ("LAYOUT_WANT_ROOM", bulkhead_channel::layout::WANT_ROOM as i64),
    ("LAYOUT_DATA", bulkhead_channel::layout::DATA as i64),
];

#[test]
fn the_header_has_the_numbers_of_the_abi() {
    let defined: Vec<(&str, i64)> = HEADER
        .lines()
        .filter(|line| !line.ends_with("_H"))
        .filter_map(|line| line.strip_prefix("#define BULKHEAD_")?.split_once(' '))
        .filter(|(_, value)| !value.starts_with('"'))
        .map(|(name, value)| {
            let digits = value.trim_matches(['(', ')']);
            let number = match digits.strip_prefix("0x") {
                Some(hex) => i64::from_str_radix(hex, 16),
                None => digits.parse(),
            };
            (name, number.unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
        })
        .collect();
    assert_eq!(defined, NUMBERS);
}

#[test]
fn the_header_has_the_strings_of_device_trees() {
    use bulkhead_channel::tree;
    let strings: Vec<(&str, &str)> = HEADER
        .lines()
        .filter_map(|line| line.strip_prefix("#define BULKHEAD_TREE_")?.split_once(' '))
        .map(|(name, value)| (name, value.trim_matches('"')))
        .collect();
    let wanted = [
        ("HYPERVISOR", tree::HYPERVISOR),
        ("CHANNEL", tree::CHANNEL),
        ("HANDLE", tree::HANDLE),
        ("CPU", tree::CPU),
        ("NAME", tree::NAME),
        ("WAIT", tree::WAIT),
        ("PEER_WAIT", tree::PEER_WAIT),
        ("NON_CACHEABLE", tree::NON_CACHEABLE),
        ("SUPERVISOR", tree::SUPERVISOR),
        ("PARTITIONS", tree::PARTITIONS),
        ("CLASS", tree::CLASS),
    ];
    assert_eq!(strings, wanted);
}

unsafe extern "C" {
    fn mmap(
        at: *mut u8,
        size: usize,
        protection: i32,
        flags: i32,
        file: i32,
        offset: i64,
    ) -> *mut u8;
}

/// Maps a file of `size` bytes shared, read-only or writable, and never unmaps it.
fn map(file: &File, size: usize, writable: bool) -> Region<'static> {
    let (read, write, shared) = (1, 2, 1);
    let protection = if writable { read | write } else { read };
    // SAFETY: a fresh mapping of a file this test has just made and sized; nothing else is at its
    // address.
    let at = unsafe { mmap(std::ptr::null_mut(), size, protection, shared, file.as_raw_fd(), 0) };
    assert!(at.align_offset(4096) == 0 && !at.is_null(), "mmap failed");
    // SAFETY: the mapping is page-aligned, at least a page long, never unmapped, and accessed only
    // as atomics.
    let page = unsafe { std::slice::from_raw_parts(at.cast::<AtomicU64>(), 512) };
    // SAFETY: as above; the data fill the mapping from the second page to its end.
    let data =
        unsafe { std::slice::from_raw_parts(at.add(4096).cast::<AtomicU64>(), (size - 4096) / 8) };
    Region::new(Indices::new(page).unwrap(), data).unwrap()
}

/// Compiles the C side with every warning an error.
fn compile(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bulkhead-peer-{name}"));
    let status = Command::new("cc")
        .args([
            "-std=c11",
            "-D_POSIX_C_SOURCE=200809L",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Wconversion",
            "-Werror",
        ])
        .arg("-I")
        .arg(root.join("include"))
        .arg(root.join("tests/peer.c"))
        .arg("-o")
        .arg(&program)
        .status()
        .unwrap_or_else(|error| {
            panic!(
                "cannot run `cc` ({error}): install a C compiler (Debian: apt install gcc \
                 libc6-dev)"
            )
        });
    assert!(status.success(), "cc refused tests/peer.c: {status}");
    program
}

/// Returns the next number of a small deterministic generator (Knuth's MMIX constants).
fn next(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize
}

/// Both sides sleep and wake only by doorbells.
#[test]
fn messages_pass_between_rust_and_c() {
    exchange("doorbell");
}

/// Neither side ever asks for a doorbell or is asked for one.
#[test]
fn messages_pass_without_doorbells() {
    exchange("poll");
}

/// Sends 20,000 random messages to the C program, which echoes them.
fn exchange(wait: &str) {
    let polls = wait == "poll";
    let program = compile(wait);
    let file = |name: &str, size: usize, pair: u64| {
        let name = format!("{name}-{wait}");
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        file.set_len(size as u64).unwrap();
        // Both indices start just short of where 32 bits wrap, as after 4 GiB of messages of
        // the first lives.
        for at in [bulkhead_channel::layout::PRODUCED, bulkhead_channel::layout::CONSUMED] {
            std::os::unix::fs::FileExt::write_all_at(
                &file,
                &(pair << 32 | u64::from(0_u32.wrapping_sub(64 << 10))).to_le_bytes(),
                at as u64,
            )
            .unwrap();
        }
        (path, file)
    };
    let (here, there) = (8192, 4096 + 16384);
    let ((own_path, own), (peer_path, peer)) =
        (file("own", here, 0x1_0007), file("peer", there, 0x7_0001));
    let regions = [map(&own, here, true), map(&peer, there, false)];
    let [near, far] = match polls {
        true => regions.map(Region::without_doorbells),
        false => regions,
    };
    // The program runs twice: as two lives of the peer's partition.
    for generation in 1..=2 {
        talk(&program, [&peer_path, &own_path], wait, [near, far], generation);
    }
}

/// Runs one life of the program, its `generation`.
fn talk(
    program: &Path,
    [peer_path, own_path]: [&PathBuf; 2],
    wait: &str,
    [near, far]: [Region<'static>; 2],
    generation: u16,
) {
    let polls = wait == "poll";
    let pair = Pair { own: 7, peer: generation };
    let (mut tx, mut rx) = open(near, far, pair);
    let mut child = Command::new(program)
        .args([peer_path, own_path])
        .args([wait, &pair.peer.to_string(), &pair.own.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = child.stdin.take().unwrap();
    let mut from = child.stdout.take().unwrap();
    // A lost wake-up would leave both asleep: then the watchdog kills the child, and reading its
    // doorbells fails.
    let (done, limit) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let late = limit.recv_timeout(Duration::from_secs(60)).is_err();
        if late {
            child.kill().unwrap();
        }
        (late, child.wait().unwrap())
    });
    let mut rings = 0;
    let mut ring = |doorbell: Doorbell| {
        if doorbell.needed() {
            rings += 1;
            to.write_all(b"!").unwrap();
        }
    };

    let count = 20_000;
    let message = |n: usize| -> Vec<u8> {
        let mut seed = n as u64;
        let longest = if next(&mut seed).is_multiple_of(16) { 4088 } else { 200 };
        // The last one is empty and ends the program.
        let len = if n == count { 0 } else { 1 + next(&mut seed) % longest };
        (0..len).map(|_| next(&mut seed) as u8).collect()
    };
    let (mut sent, mut received) = (0, 0);
    let mut buffer = [0; 4096];
    let mut one = [0];
    while received <= count {
        let mut progress = false;
        while sent <= count && tx.push(&[&message(sent)]).is_ok() {
            (sent, progress) = (sent + 1, true);
            if sent % 3 == 0 {
                ring(tx.publish());
            }
        }
        ring(tx.publish());
        match rx.recv(&mut buffer) {
            Ok((len, doorbell)) => {
                ring(doorbell);
                assert_eq!(buffer[..len], message(received), "message {received}");
                (received, progress) = (received + 1, true);
            }
            Err(error) => assert!(matches!(error, Error::Empty | Error::NotConnected)),
        }
        if progress {
            continue;
        }
        let data = rx.wait_begin().unwrap();
        ring(data.doorbell);
        let mut ready = data.ready;
        if sent <= count {
            let room = tx.wait_begin(message(sent).len(), 2048).unwrap();
            ring(room.doorbell);
            ready |= room.ready;
        }
        if polls {
            std::thread::yield_now();
        } else if !ready {
            from.read_exact(&mut one).expect("the C side sleeps or has failed");
        }
    }
    done.send(()).unwrap();
    let (late, status) = watchdog.join().unwrap();
    assert!(!late && status.success(), "the C side: {status}");
    assert_eq!((tx.faults(), rx.faults()), (0, 0));
    let plausible = if polls { 0..1 } else { 1..2 * count };
    assert!(plausible.contains(&rings), "{rings} doorbells for {count} messages each way");
}
