// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writing an image to media that are well, that vanish, and that lie.

mod support;

use anyhow::{Result, bail};
use bulkhead_flash::image::Image;
use bulkhead_flash::write::{Device, Medium, Stage, write};
use std::io;
use support::content;

/// A medium in memory.
struct Memory {
    bytes: Vec<u8>,
    /// After so many bytes written it is gone.
    vanishes_at: Option<usize>,
    /// It keeps addresses modulo this: cards that say they are larger do so.
    real_size: usize,
    written: usize,
    /// What was settled, in order: a copy of the first block each time.
    settled: Vec<Vec<u8>>,
}

impl Memory {
    fn new(size: usize) -> Self {
        let bytes = vec![0xa5; size];
        Self { bytes, vanishes_at: None, real_size: size, written: 0, settled: Vec::new() }
    }

    fn there(&self) -> io::Result<()> {
        match self.vanishes_at {
            // ENODEV, as the kernel says when a card is taken out.
            Some(limit) if self.written >= limit => Err(io::Error::from_raw_os_error(19)),
            _ => Ok(()),
        }
    }
}

impl Medium for Memory {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut at = offset as usize;
        let mut rest = bytes;
        while !rest.is_empty() {
            self.there()?;
            let place = at % self.real_size;
            let left = self.vanishes_at.map_or(usize::MAX, |limit| limit - self.written);
            let count = rest.len().min(self.real_size - place).min(left);
            self.bytes[place..place + count].copy_from_slice(&rest[..count]);
            (at, rest) = (at + count, &rest[count..]);
            self.written += count;
        }
        Ok(())
    }

    fn settle(&mut self) -> io::Result<()> {
        self.there()?;
        self.settled.push(self.bytes[..4096].to_vec());
        Ok(())
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.there()?;
        let start = offset as usize % self.real_size;
        let end = (start + bytes.len()).min(self.real_size);
        let (first, wrapped) = bytes.split_at_mut(end - start);
        first.copy_from_slice(&self.bytes[start..end]);
        wrapped.copy_from_slice(&self.bytes[..wrapped.len()]);
        Ok(())
    }
}

fn image() -> Image {
    Image::new(&content()).expect("it fits")
}

fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[test]
fn everything_is_written_and_the_partition_table_last() {
    let image = image();
    let mut medium = Memory::new(image.bytes().len());
    let mut stages = Vec::new();
    let mut done = 0;
    let mut progress = |stage, bytes| {
        if stages.last() != Some(&stage) {
            stages.push(stage);
        }
        done = bytes;
        Ok(())
    };
    write(&image, &mut medium, &mut progress).expect("a medium that is well");
    assert_eq!((stages, done), (vec![Stage::Writing, Stage::Checking], image.used().len()));
    let (used, rest) = medium.bytes.split_at(image.used().len());
    assert!(used == image.used());
    assert!(rest.iter().all(|&byte| byte == 0xa5), "free clusters stay as they are");
    let [before, after] = &medium.settled[..] else { panic!("twice") };
    assert!(before.iter().all(|&byte| byte == 0), "there was no partition in the meantime");
    assert!(after[..] == image.bytes()[..4096]);
}

#[test]
fn a_medium_that_vanishes_in_the_middle_is_an_error_and_has_no_partition() {
    let image = image();
    let used = image.used().len();
    for limit in [0, 1, 4096, 5000, used / 2, used - 4096, used] {
        let mut medium = Memory::new(image.bytes().len());
        medium.vanishes_at = Some(limit);
        let error = write(&image, &mut medium, &mut |_, _| Ok(())).expect_err("it is gone");
        let text = chain(&error);
        assert!(text.starts_with("the card is incomplete: write it again: "), "{limit}: {text}");
        assert!(text.contains("(os error 19)"), "{limit}: {text}");
        let signature = &medium.bytes[510..512];
        assert!(signature != [0x55, 0xaa], "{limit}: the table is there");
    }
    let mut medium = Memory::new(image.bytes().len());
    medium.vanishes_at = Some(used + 4096);
    let error = write(&image, &mut medium, &mut |_, _| Ok(())).expect_err("it is gone");
    assert!(chain(&error).contains("(os error 19)"), "{}", chain(&error));
}

#[test]
fn a_card_that_is_smaller_than_it_says_is_noticed() {
    let image = image();
    let mut medium = Memory::new(image.bytes().len());
    medium.real_size = image.used().len() / 2;
    let error = write(&image, &mut medium, &mut |_, _| Ok(())).expect_err("it is smaller");
    let text = chain(&error);
    assert!(text.starts_with("the card cannot be relied on: byte "), "{text}");
    assert!(text.ends_with("or has less memory than it says"), "{text}");
}

#[test]
fn an_interrupted_write_says_so() {
    let image = image();
    let mut medium = Memory::new(image.bytes().len());
    let mut progress = |_: Stage, done: usize| -> Result<()> {
        if done > 2 << 20 {
            bail!("interrupted");
        }
        Ok(())
    };
    let error = write(&image, &mut medium, &mut progress).expect_err("interrupted");
    assert_eq!(chain(&error), "the card is incomplete: write it again: interrupted");
    assert!(medium.bytes[..4096].iter().all(|&byte| byte == 0));
}

#[test]
fn a_file_is_not_a_disk() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let error = Device::open(file.path()).err().expect("no disk").to_string();
    assert!(error.ends_with(" is not a disk"), "{error}");
    let error = Device::open("/dev/no-such-disk".as_ref()).err().expect("nothing there");
    assert_eq!(error.to_string(), "/dev/no-such-disk has gone");
}
