// SPDX-License-Identifier: MIT OR Apache-2.0
//! TAP devices with the header of virtio-net (Linux, Documentation/networking/tuntap.rst).

use crate::sys::{self, InterfaceRequest};
use crate::{Error, Result};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::OFlags;
use rustix::net::{AddressFamily, SocketType, socket};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;

/// Bytes of `struct virtio_net_hdr`, which precedes each frame.
pub const FRAME_HEADER: usize = 10;

/// Flags of `TUNSETIFF`: frames with their Ethernet header, no further header but virtio-net's.
const IFF_TAP: u32 = 0x0002;
const IFF_NO_PI: u32 = 0x1000;
const IFF_VNET_HDR: u32 = 0x4000;
/// Family of Ethernet's addresses (include/uapi/linux/if_arp.h).
const ARPHRD_ETHER: u32 = 1;
/// Flag of an interface.
const IFF_UP: u32 = 0x1;

/// What the reader of frames can take (`TUN_F_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload(pub u32);

impl Offload {
    /// Frames whose checksum is not filled in.
    pub const CHECKSUM: Self = Self(0x01);
    /// Also TCP segments longer than the MTU, over IPv4 and IPv6.
    pub const SEGMENTS: Self = Self(0x07);

    /// Returns what both can take. Segments need the checksums.
    pub fn common(self, other: Self) -> Self {
        let both = self.0 & other.0;
        Self(if both & Self::CHECKSUM.0 == 0 { 0 } else { both & Self::SEGMENTS.0 })
    }
}

/// A TAP device.
#[derive(Debug)]
pub struct Tap {
    file: File,
    name: String,
}

impl Tap {
    /// Makes a TAP device, or opens a persistent one. Reading does not block. `name` has at most 15
    /// bytes; a `%d` in it becomes a number.
    ///
    /// # Errors
    /// If the kernel has no TAP devices, or this user may not make one.
    pub fn open(name: &str) -> Result<Self> {
        let path = "/dev/net/tun";
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
        let file = options.open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Error::Io { doing: format!("open {path}: run `modprobe tun`"), source: error }
            }
            _ => Error::file("open", path, error),
        })?;
        let mut request = request(name)?;
        // The flags are the union's first 16 bits; the machine is little-endian.
        request.value = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
        let made = sys::interface(file.as_fd(), sys::TUNSETIFF, &mut request);
        made.map_err(|error| Error::file("make the TAP device", name, error))?;
        let end = request.name.iter().position(|byte| *byte == 0).unwrap_or(request.name.len());
        let name = String::from_utf8_lossy(&request.name[..end]).into_owned();
        Ok(Self { file, name })
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sets the interface's address, and the longest packet that the kernel sends in one frame, and
    /// switches the interface on.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn start(&self, address: [u8; 6], mtu: u32) -> Result<()> {
        let socket = socket(AddressFamily::INET, SocketType::DGRAM, None);
        let socket = socket.map_err(|error| Error::io("make a socket", error))?;
        let call = |opcode, request: &mut InterfaceRequest, doing: &str| {
            let done = sys::interface(socket.as_fd(), opcode, request);
            done.map_err(|error| Error::file(doing, &self.name, error))
        };
        // A `struct sockaddr`: the family in 16 bits, then the address.
        let [a, b, rest @ ..] = address;
        let mut hardware = request(&self.name)?;
        hardware.value = ARPHRD_ETHER | u32::from(a) << 16 | u32::from(b) << 24;
        hardware.rest[0] = u32::from_le_bytes(rest);
        call(sys::SIOCSIFHWADDR, &mut hardware, "set the address of")?;
        let mut wanted = request(&self.name)?;
        wanted.value = mtu;
        call(sys::SIOCSIFMTU, &mut wanted, "set the MTU of")?;
        let mut flags = request(&self.name)?;
        call(sys::SIOCGIFFLAGS, &mut flags, "read the flags of")?;
        flags.value = (flags.value & 0xffff) | IFF_UP;
        call(sys::SIOCSIFFLAGS, &mut flags, "switch on")
    }

    /// Says what the reader of the kernel's frames can take.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_offload(&self, offload: Offload) -> Result<()> {
        let set = sys::offload(self.file.as_fd(), offload.0);
        set.map_err(|error| Error::file("set the offloads of", &self.name, error))
    }

    /// Says whether the peer is there. A kernel before 5.0 does not know of it; then the interface
    /// always has a carrier.
    pub fn set_carrier(&self, on: bool) {
        // The carrier is only a display.
        let _ = sys::carrier(self.file.as_fd(), on);
    }

    /// Reads one frame with its header; none if there is none now.
    ///
    /// # Errors
    /// If the device is gone.
    pub fn read(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        loop {
            match (&self.file).read(buffer) {
                Ok(length) => return Ok(Some(length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::file("read", &self.name, error)),
            }
        }
    }

    /// Writes one frame with its header. Returns false if the kernel does not take it: the frame
    /// is malformed, or the interface is off.
    ///
    /// # Errors
    /// If the device is gone.
    pub fn write(&self, frame: &[u8]) -> Result<bool> {
        match (&self.file).write(frame) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::file("write", &self.name, error))
            }
            Err(_) => Ok(false),
        }
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn request(name: &str) -> Result<InterfaceRequest> {
    let mut request = InterfaceRequest { name: [0; 16], value: 0, rest: [0; 5] };
    // The last byte stays zero.
    if name.is_empty() || name.len() > 15 {
        let what = format!("use {name:?} as an interface's name: it has 1 to 15 bytes");
        return Err(Error::io(&what, io::ErrorKind::InvalidInput));
    }
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_need_checksums() {
        let common = |a, b| Offload(a).common(Offload(b));
        assert_eq!(common(7, 7), Offload::SEGMENTS);
        assert_eq!(common(7, 1), Offload::CHECKSUM);
        assert_eq!(common(6, 7), Offload(0));
        assert_eq!(common(0xff, 0xff), Offload::SEGMENTS, "none that this side does not know");
    }

    #[test]
    fn names_that_are_too_long_are_refused() {
        assert!(request("bh0").is_ok());
        assert!(request("").is_err());
        assert!(request("sixteen-letters-").is_err());
    }
}
