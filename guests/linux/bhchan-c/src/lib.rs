// SPDX-License-Identifier: MIT OR Apache-2.0
//! The functions of `bhchan.h`. All of this crate's `unsafe` is about pointers of the C program's,
//! for whose validity the program answers, as the header says.

use bhchan::{Channel, Device, Error, Function, Interest, Result, Wait, ring};
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// `BHCHAN_POLL`.
const POLL: c_uint = 1;

/// Numbers of `enum bhchan_error`.
mod code {
    pub const FAILED: i32 = -1;
    pub const BAD_ARGUMENT: i32 = -2;
    pub const NO_CHANNEL: i32 = -3;
    pub const BUSY: i32 = -4;
    pub const TIMED_OUT: i32 = -5;
    pub const RESTARTED: i32 = -6;
    pub const PEER_CORRUPT: i32 = -7;
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// An open channel. The channel borrows the device, so it is dropped first.
pub struct Handle {
    channel: ManuallyDrop<Channel<'static>>,
    device: *mut Device,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: this runs once, and nothing uses the channel afterwards.
        unsafe { ManuallyDrop::drop(&mut self.channel) };
        // SAFETY: `bhchan_open` made the pointer of a box, only the channel borrowed the device,
        // and it is gone.
        drop(unsafe { Box::from_raw(self.device) });
    }
}

/// Keeps an error's text, and returns its number.
fn failed(error: &Error) -> c_int {
    let number = match error {
        Error::NoFunction
        | Error::Unknown { .. }
        | Error::Several(_)
        | Error::NoModule
        | Error::NotBound(_)
        | Error::NotPermitted(_) => code::NO_CHANNEL,
        Error::Busy(_) => code::BUSY,
        Error::TimedOut => code::TIMED_OUT,
        Error::Restarted { .. } => code::RESTARTED,
        Error::Ring(ring::Error::PeerCorrupt) => code::PEER_CORRUPT,
        Error::Ring(_) => code::BAD_ARGUMENT,
        Error::Malformed { .. } | Error::Io { .. } => code::FAILED,
    };
    refuse(number, &error.to_string())
}

fn refuse(number: c_int, text: &str) -> c_int {
    // No message has a zero byte.
    LAST.set(CString::new(text).unwrap_or_default());
    number
}

fn deadline(timeout: c_int) -> Option<Instant> {
    let milliseconds = u64::try_from(timeout).ok()?;
    Some(Instant::now() + Duration::from_millis(milliseconds))
}

/// Returns the handle's channel, or refuses a null pointer.
///
/// # Safety
/// `handle` is null or of `bhchan_open`, and no other thread uses it.
unsafe fn channel<'a>(handle: *mut Handle) -> std::result::Result<&'a mut Channel<'static>, c_int> {
    // SAFETY: the caller's condition.
    match unsafe { handle.as_mut() } {
        Some(handle) => Ok(&mut handle.channel),
        None => Err(refuse(code::BAD_ARGUMENT, "the handle is a null pointer")),
    }
}

fn number(result: Result<()>) -> c_int {
    result.map_or_else(|error| failed(&error), |()| 0)
}

fn open(name: Option<&str>, wait: Wait) -> Result<Box<Handle>> {
    let root = std::env::var_os("BHCHAN_ROOT").unwrap_or_else(|| "/".into());
    let function = Function::named(Path::new(&root), name)?;
    if wait == Wait::Interrupt {
        function.bind()?;
    }
    let device = Box::into_raw(Box::new(Device::open(function, wait)?));
    // SAFETY: the pointer is a box's; `Handle` drops the channel before the device, and gives out
    // no other reference.
    match Channel::open(unsafe { &*device }) {
        Ok(channel) => Ok(Box::new(Handle { channel: ManuallyDrop::new(channel), device })),
        Err(error) => {
            // SAFETY: as above; the channel does not exist.
            drop(unsafe { Box::from_raw(device) });
            Err(error)
        }
    }
}

/// See bhchan.h.
///
/// # Safety
/// `handle` is null or a valid place for a pointer, `name` null or a string that ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bhchan_open(
    handle: *mut *mut Handle,
    name: *const c_char,
    flags: c_uint,
) -> c_int {
    if handle.is_null() || flags & !POLL != 0 {
        return refuse(code::BAD_ARGUMENT, "no place for the handle, or unknown flags");
    }
    // SAFETY: the caller's condition on `name`.
    let name = (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_string_lossy());
    let wait = if flags & POLL != 0 { Wait::Poll } else { Wait::Interrupt };
    match open(name.as_deref(), wait) {
        Ok(new) => {
            // SAFETY: the caller's condition on `handle`, which is not null.
            unsafe { handle.write(Box::into_raw(new)) };
            0
        }
        Err(error) => failed(&error),
    }
}

/// See bhchan.h.
///
/// # Safety
/// `handle` is null or of `bhchan_open`, and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bhchan_close(handle: *mut Handle) {
    if !handle.is_null() {
        // SAFETY: the caller's condition: `bhchan_open` made it of a box.
        drop(unsafe { Box::from_raw(handle) });
    }
}

/// See bhchan.h.
///
/// # Safety
/// `handle` is null or of `bhchan_open`, and no other thread uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bhchan_longest(handle: *mut Handle) -> usize {
    // SAFETY: the caller's condition.
    unsafe { channel(handle) }.map_or(0, |channel| channel.longest())
}

/// See bhchan.h.
///
/// # Safety
/// As [`bhchan_longest`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bhchan_longest_received(handle: *mut Handle) -> usize {
    // SAFETY: the caller's condition.
    unsafe { channel(handle) }.map_or(0, |channel| channel.longest_received())
}

/// See bhchan.h.
///
/// # Safety
/// As [`bhchan_longest`]; and `message` has `length` readable bytes, or `length` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bhchan_send(
    handle: *mut Handle,
    message: *const c_void,
    length: usize,
    timeout: c_int,
) -> c_int {
    // SAFETY: the caller's condition.
    let channel = match unsafe { channel(handle) } {
        Ok(channel) => channel,
        Err(number) => return number,
    };
    let message = match (message.is_null(), length) {
        (_, 0) => &[],
        (true, _) => return refuse(code::BAD_ARGUMENT, "the message is a null pointer"),
        // SAFETY: the caller's condition on `message`, which is not null.
        (false, _) => unsafe { std::slice::from_raw_parts(message.cast::<u8>(), length) },
    };
    number(channel.send(message, deadline(timeout)))
}

/// See bhchan.h.
///
/// # Safety
/// As [`bhchan_longest`]; and `buffer` has `space` writable bytes, or `space` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bhchan_recv(
    handle: *mut Handle,
    buffer: *mut c_void,
    space: usize,
    timeout: c_int,
) -> i64 {
    // SAFETY: the caller's condition.
    let channel = match unsafe { channel(handle) } {
        Ok(channel) => channel,
        Err(number) => return number.into(),
    };
    let buffer = match (buffer.is_null(), space) {
        (_, 0) => &mut [],
        (true, _) => return refuse(code::BAD_ARGUMENT, "the buffer is a null pointer").into(),
        (false, _) => {
            // The ring only writes the buffer, but a reference must be to bytes with a value.
            // SAFETY: the caller's condition on `buffer`, which is not null.
            unsafe { buffer.cast::<u8>().write_bytes(0, space) };
            // SAFETY: as above.
            unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), space) }
        }
    };
    match channel.recv(buffer, deadline(timeout)) {
        Ok(length) => length.try_into().unwrap_or(i64::MAX),
        Err(error) => failed(&error).into(),
    }
}

/// See bhchan.h.
///
/// # Safety
/// As [`bhchan_longest`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bhchan_drain(handle: *mut Handle, timeout: c_int) -> c_int {
    // SAFETY: the caller's condition.
    match unsafe { channel(handle) } {
        Ok(channel) => number(channel.drain(deadline(timeout))),
        Err(number) => number,
    }
}

/// See bhchan.h.
///
/// # Safety
/// As [`bhchan_longest`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bhchan_fd(handle: *mut Handle) -> c_int {
    // SAFETY: the caller's condition.
    let channel = unsafe { channel(handle) };
    channel.ok().and_then(|channel| channel.fd()).map_or(-1, |fd| fd.as_raw_fd())
}

/// See bhchan.h.
///
/// # Safety
/// As [`bhchan_longest`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bhchan_arm(handle: *mut Handle, room: usize) -> c_int {
    // SAFETY: the caller's condition.
    match unsafe { channel(handle) } {
        Ok(channel) => {
            let interest = Interest { data: true, room: (room > 0).then_some(room) };
            channel.arm(interest).map_or_else(|error| failed(&error), c_int::from)
        }
        Err(number) => number,
    }
}

/// See bhchan.h.
///
/// # Safety
/// As [`bhchan_longest`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bhchan_acknowledge(handle: *mut Handle) -> c_int {
    // SAFETY: the caller's condition.
    match unsafe { channel(handle) } {
        Ok(channel) => number(channel.acknowledge().map(|_| ())),
        Err(number) => number,
    }
}

/// See bhchan.h.
#[unsafe(no_mangle)]
pub extern "C" fn bhchan_error() -> *const c_char {
    LAST.with_borrow(|text| text.as_ptr())
}
