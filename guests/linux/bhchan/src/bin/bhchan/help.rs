// SPDX-License-Identifier: MIT OR Apache-2.0
//! The text of `--help`.

/// Commands, options and exit codes.
pub const TEXT: &str = "\
bhchan: channels between this Linux and other partitions of Bulkhead

usage: bhchan COMMAND [CHANNEL] [OPTIONS]

CHANNEL is a channel's name in the system's manifest, or its function's address on the PCI bus.
It may be left out where there is only one.

commands
  list              the channels of this partition: name, address, driver, sizes, peer
  bind              give channels to the kernel's uio_pci_generic, as the other commands do
  send              standard input to the channel; a message of length 0 ends it
  recv              messages from the channel to standard output, until one of length 0
  cat               both at the same time, until both directions have ended
  echo              send every message back, until one ping or bench has ended
  ping              measure the round trip of messages, with a histogram; the peer runs echo
  bench             send a pattern, check what comes back, and compare counts with the peer
  forward A B       copy messages between two channels, both ways, until it is stopped
  net               bridge the channel with a TAP device, until it is stopped
  tcp ADDRESS:PORT  send a pattern to `tcp --listen` over TCP, and check what comes back

options
  --poll            look at the channel again and again, instead of sleeping until an interrupt
  --timeout SECONDS end with code 5 when nothing happens for so long
  --bytes N         bench, tcp: bytes to send, also as 64K, 16M; default 16M
  --size N          send, ping, bench: bytes per message; default: 16K, ping 64
  --lines           send: a message per line, empty ones left out; recv: print lines
  --count N         recv: messages to take; ping: round trips, default 1000
  --interval MS     ping: pause between two round trips, default 0
  --forever         recv, echo: do not end at a message of length 0, nor when the peer restarts
  --tap NAME        net: the TAP device's name, default bh%d, which becomes bh0
  --mtu N           net: longest packet in bytes, the same on both sides; default 1500
  --up COMMAND      net: shell command to run once the device is there; $TAP is its name
  --no-offload      net: every packet with its checksum and no longer than the MTU
  --listen          tcp: wait at this address, send back what comes, and end after one connection
  -h, --help        this text
  -V, --version     the version

exit codes
  0  done
  1  the kernel, or a file, refused something
  2  the command line is wrong
  3  no such channel, or not set up: not bound, no module, no permission
  4  another process has the channel open
  5  nothing happened within the timeout
  6  the peer's partition has restarted in the middle
  7  the peer sent wrong data, has another MTU, or broke the channel's protocol
";
