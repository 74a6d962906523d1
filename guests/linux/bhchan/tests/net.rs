// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bhchan net`: two TAP devices, each in a network namespace, joined by a channel without
//! hardware. Needs root, `ip` and /dev/net/tun.

mod common;

use common::Bus;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A namespace that goes with its value.
struct Space(String);

impl Space {
    fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Relaxed);
        let name = format!("bhchan-{}-{number}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).output().ok()?;
        made.status.success().then_some(Self(name))
    }

    /// Returns the command in this namespace.
    fn bhchan(&self, bus: &Bus, end: usize) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, env!("CARGO_BIN_EXE_bhchan")]);
        command.env("BHCHAN_ROOT", bus.root(end)).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn bridge(&self, bus: &Bus, end: usize, more: &[&str]) -> Bridge {
        let up = format!("ip address add 192.0.2.{}/24 dev $TAP", end + 1);
        let mut command = self.bhchan(bus, end);
        command.args(["net", "link", "--tap", "bh0", "--up", &up]).args(more);
        let mut child = command.spawn().expect("started");
        let lines = BufReader::new(child.stderr.take().expect("a pipe"));
        Bridge { child, lines }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // It is gone with the machine at the latest.
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).status();
    }
}

/// A running bridge, with the lines that it prints.
struct Bridge {
    child: Child,
    lines: BufReader<ChildStderr>,
}

impl Bridge {
    /// Returns the next line; empty if the bridge has ended.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }
}

/// Returns two namespaces, or says why the test is skipped.
fn spaces(test: &str) -> Option<[Space; 2]> {
    let found = std::path::Path::new("/dev/net/tun").exists();
    let spaces = found.then(|| Some([Space::new()?, Space::new()?])).flatten();
    if spaces.is_none() {
        eprintln!("SKIPPED {test}: it needs root, `ip` (iproute2) and /dev/net/tun");
    }
    spaces
}

/// Sends a pattern from end 0 to end 1 over TCP, and back.
fn over_tcp(spaces: &[Space; 2], bus: &Bus, bytes: &str) -> String {
    let address = "192.0.2.2:7000";
    let mut listen = spaces[1].bhchan(bus, 1);
    let listen = listen.args(["tcp", address, "--listen", "--timeout", "60"]).spawn();
    let listen = listen.expect("started");
    let mut talk = spaces[0].bhchan(bus, 0);
    let talk = talk.args(["tcp", address, "--bytes", bytes, "--timeout", "60"]).output();
    let talk = talk.expect("ended");
    let error = String::from_utf8_lossy(&talk.stderr).into_owned();
    assert_eq!((talk.status.code(), error), (Some(0), String::new()));
    let listen = listen.wait_with_output().expect("ended");
    assert_eq!(listen.status.code(), Some(0));
    String::from_utf8_lossy(&talk.stdout).into_owned()
}

#[test]
fn tcp_crosses_two_bridges_and_restarts() {
    let Some(spaces) = spaces("tcp_crosses_two_bridges_and_restarts") else { return };
    // Room for whole segments, for checksums only, and neither.
    for (bytes, more, takes) in [
        (256 * 1024, &[][..], "whole segments without checksums"),
        (32 * 1024, &[], "packets without checksums"),
        (32 * 1024, &["--no-offload"], "packets"),
    ] {
        let bus = Bus::new(bytes);
        let mut near = spaces[0].bridge(&bus, 0, more);
        let mut far = spaces[1].bridge(&bus, 1, more);
        let met = format!("bhchan: link: the peer is there, and takes {takes}");
        for bridge in [&mut near, &mut far] {
            assert_eq!(bridge.line(), "bhchan: bh0 bridges link");
            assert_eq!(bridge.line(), met);
        }
        let text = over_tcp(&spaces, &bus, "2M");
        assert!(text.starts_with("2097152 bytes both ways over TCP, checksum "), "{text}");

        // The bridge starts again in the same life; and then its whole partition does.
        for restarts in [false, true] {
            far.kill();
            if restarts {
                bus.restart(1);
                assert_eq!(near.line(), "bhchan: link: the peer has restarted");
            }
            far = spaces[1].bridge(&bus, 1, more);
            assert_eq!(far.line(), "bhchan: bh0 bridges link");
            assert_eq!(far.line(), met);
            if restarts {
                assert_eq!(near.line(), met);
            }
            over_tcp(&spaces, &bus, "200K");
        }
        near.kill();
        far.kill();
    }
}

/// Two sides with other MTUs: both say so and end.
#[test]
fn another_mtu_is_refused() {
    let Some(spaces) = spaces("another_mtu_is_refused") else { return };
    let bus = Bus::new(64 * 1024);
    let mut near = spaces[0].bridge(&bus, 0, &[]);
    let mut far = spaces[1].bridge(&bus, 1, &["--mtu", "9000"]);
    let line = |own, peer| {
        format!(
            "bhchan: link: the peer's MTU is {peer}, and this side's is {own}: give both the same \
             --mtu"
        )
    };
    for (bridge, expected) in [(&mut near, line(1500, 9000)), (&mut far, line(9000, 1500))] {
        assert_eq!(bridge.line(), "bhchan: bh0 bridges link");
        assert_eq!(bridge.line(), expected);
        assert_eq!(bridge.child.wait().expect("ended").code(), Some(7));
    }
    // What does not fit into the channel is refused before there is a device.
    let mut large = spaces[0].bridge(&bus, 0, &["--mtu", "65535"]);
    assert!(large.line().starts_with("bhchan: --mtu 65535: the channel takes frames of 65528"));
    assert_eq!(large.child.wait().expect("ended").code(), Some(2));
}
