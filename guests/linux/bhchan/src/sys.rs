// SPDX-License-Identifier: MIT OR Apache-2.0
//! What needs `unsafe`: shared mappings, registers, and the ioctls of TAP devices. No other file of
//! this crate may use it.
//!
//! The crates for TUN and TAP devices either do not offer IFF_VNET_HDR, or bring a runtime and a
//! segmentation of their own. What is needed here is four ioctls and a structure of 40 bytes.

use ::channel::word::AtomicU64;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, Setter, ioctl};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::io;
use std::ptr::{NonNull, null_mut};

/// Bytes of a page, and of the register region.
pub(crate) const PAGE: usize = 4096;

/// A shared mapping of a file, of whole pages. The peer may read or write it at any moment, so its
/// words are atomics.
#[derive(Debug)]
pub struct Pages {
    at: NonNull<AtomicU64>,
    bytes: usize,
}

// SAFETY: the mapping belongs to no thread, and it is accessed only as atomics or as volatile
// registers.
unsafe impl Send for Pages {}
// SAFETY: as above.
unsafe impl Sync for Pages {}

impl Pages {
    /// Maps `bytes` bytes of `file` from `offset` on, both multiples of 4 KiB. A store to pages
    /// that were not mapped `writable` ends the process by SIGSEGV.
    ///
    /// # Errors
    /// If the kernel does not map them, or they are not whole pages.
    pub fn map(file: impl AsFd, offset: u64, bytes: usize, writable: bool) -> io::Result<Self> {
        if bytes == 0 || !bytes.is_multiple_of(PAGE) || !offset.is_multiple_of(PAGE as u64) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let protection =
            if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: the kernel chooses the address of a new mapping, so no memory of this program
        // changes. The mapping is used only through the references that `words` and `Registers`
        // make, which do not outlive it.
        let at = unsafe { mmap(null_mut(), bytes, protection, MapFlags::SHARED, file, offset) }?;
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { at, bytes })
    }

    /// Returns the words of the mapping.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, has this many bytes, and stays until `self` is
        // dropped. Any bits are a value of the type, and others access the memory whole words at a
        // time.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.bytes / 8) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: `map` made exactly this mapping, and no reference to it outlives `self`.
        // It cannot fail for a mapping that exists.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), self.bytes) };
    }
}

/// A page of 32-bit registers.
#[derive(Debug)]
pub struct Registers(Pages);

impl Registers {
    /// Maps the first page of `file`.
    ///
    /// # Errors
    /// As [`Pages::map`].
    pub fn map(file: impl AsFd) -> io::Result<Self> {
        Pages::map(file, 0, PAGE, true).map(Self)
    }

    fn register(&self, offset: usize) -> *mut u32 {
        assert!(offset < PAGE && offset.is_multiple_of(4), "{offset:#x} is not a register");
        self.0.at.as_ptr().cast::<u32>().wrapping_byte_add(offset)
    }

    /// Reads the register at byte `offset`.
    pub fn read(&self, offset: usize) -> u32 {
        // SAFETY: `register` checks that it is an aligned word within the mapping. Others may
        // change it at any moment, which a volatile access allows for.
        unsafe { self.register(offset).read_volatile() }
    }

    /// Writes the register at byte `offset`.
    pub fn write(&self, offset: usize, value: u32) {
        // SAFETY: as in `read`.
        unsafe { self.register(offset).write_volatile(value) }
    }
}

/// `struct ifreq` (Linux, include/uapi/linux/if.h): a name and 24 bytes of a union, of which a
/// number is in the first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct InterfaceRequest {
    pub name: [u8; 16],
    pub value: u32,
    pub rest: [u32; 5],
}

const _: () = assert!(size_of::<InterfaceRequest>() == 40);

/// ioctls that take an [`InterfaceRequest`], or for the others the number itself or a pointer to
/// it (Linux, include/uapi/linux/if_tun.h and sockios.h; the same on arm64 and x86-64).
pub(crate) const TUNSETIFF: Opcode = 0x4004_54ca;
pub(crate) const TUNSETOFFLOAD: Opcode = 0x4004_54d0;
const TUNSETCARRIER: Opcode = 0x4004_54e2;
pub(crate) const SIOCGIFFLAGS: Opcode = 0x8913;
pub(crate) const SIOCSIFFLAGS: Opcode = 0x8914;
pub(crate) const SIOCSIFMTU: Opcode = 0x8922;
pub(crate) const SIOCSIFHWADDR: Opcode = 0x8924;

/// An ioctl that reads and writes an [`InterfaceRequest`].
struct Interface<'a>(Opcode, &'a mut InterfaceRequest);

// SAFETY: each opcode that `interface` is called with takes a pointer to a `struct ifreq`, which
// the request is laid out as, and keeps no pointer.
unsafe impl Ioctl for Interface<'_> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.0
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut *self.1).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// Calls one of the ioctls that take an [`InterfaceRequest`].
pub(crate) fn interface(
    file: BorrowedFd<'_>,
    opcode: Opcode,
    request: &mut InterfaceRequest,
) -> Result<(), Errno> {
    const KNOWN: [Opcode; 5] = [TUNSETIFF, SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFMTU, SIOCSIFHWADDR];
    assert!(KNOWN.contains(&opcode));
    // SAFETY: `Interface` describes the opcodes that the assertion lets through.
    unsafe { ioctl(file, Interface(opcode, request)) }
}

/// An ioctl that takes a number.
struct Number(Opcode, usize);

// SAFETY: the opcode that `offload` calls takes a number in place of the pointer.
unsafe impl Ioctl for Number {
    type Output = ();
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        self.0
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::without_provenance_mut(self.1)
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// Says which offloads the reader of a TAP device understands (`TUN_F_*`).
pub(crate) fn offload(tap: BorrowedFd<'_>, flags: u32) -> Result<(), Errno> {
    // SAFETY: `TUNSETOFFLOAD` takes a number (drivers/net/tun.c, `set_offload`).
    unsafe { ioctl(tap, Number(TUNSETOFFLOAD, flags as usize)) }
}

/// Switches the carrier of a TAP device on or off.
pub(crate) fn carrier(tap: BorrowedFd<'_>, on: bool) -> Result<(), Errno> {
    // SAFETY: `TUNSETCARRIER` reads an int.
    unsafe { ioctl(tap, Setter::<TUNSETCARRIER, i32>::new(on.into())) }
}
