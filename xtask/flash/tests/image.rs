// SPDX-License-Identifier: MIT OR Apache-2.0
//! The image of a card, as the tools of others read it: sfdisk, fsck.fat, mtools.

mod support;

use bulkhead_flash::content::{Content, LIST};
use bulkhead_flash::fat32::SECTOR;
use bulkhead_flash::image::{FIRST_SECTOR, Image};
use bulkhead_flash::{bmap, sha256};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use support::{bytes, content, text, tool};

/// Writes the file system without the table in front, as fsck.fat takes it.
fn volume(image: &Image, folder: &Path) -> PathBuf {
    let path = folder.join("volume");
    let start = FIRST_SECTOR as usize * SECTOR;
    std::fs::write(&path, &image.used()[start..]).expect("it can be written");
    let file = File::options().write(true).open(&path).expect("it was written");
    file.set_len((image.bytes().len() - start) as u64).expect("it can grow");
    path
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let image = Image::new(&content()).expect("it fits");
    let again = Image::new(&content()).expect("it fits");
    assert!(image.bytes() == again.bytes());
    // The only times are those of 1980, so that no later run differs.
    let mut other = content();
    other.add("more.txt", Vec::new(), "").expect("no such file");
    let other = Image::new(&other).expect("it fits");
    assert_ne!(image.bytes()[440..444], other.bytes()[440..444], "signatures tell cards apart");
    // A digest that was computed once: it also holds on other days and machines.
    let digest = "9d5fd4b6090eafded9094e36243917ce669dcb43589352255cbe423578b6eee6";
    assert_eq!(sha256(image.bytes()), digest, "the layout has changed; is that meant?");
}

#[test]
fn the_partition_table_is_what_firmware_and_qemu_want() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sd.img");
    let image = Image::new(&content()).expect("it fits");
    image.write_to(&path).expect("it can be written");
    assert_eq!(image.bytes().len(), 128 << 20);
    tool("sfdisk", &["--verify", text(&path)]);
    let dump = tool("sfdisk", &["--dump", text(&path)]);
    assert!(dump.contains("label: dos\n"), "{dump}");
    let partitions: Vec<_> = dump.lines().filter(|line| line.contains("start=")).collect();
    let [partition] = partitions[..] else { panic!("one partition: {dump}") };
    let squeezed: String = partition.split_whitespace().collect();
    let sectors = (128 << 20) / SECTOR as u32 - FIRST_SECTOR;
    assert!(sectors as usize * SECTOR >= 64 << 20);
    assert!(squeezed.ends_with(&format!("start=8192,size={sectors},type=c")), "{partition}");
}

#[test]
fn the_file_system_is_clean_and_has_every_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sd.img");
    let content = content();
    let image = Image::new(&content).expect("it fits");
    image.write_to(&path).expect("it can be written");
    let volume = volume(&image, folder.path());
    let report = tool("fsck.fat", &["-n", "-V", "-v", text(&volume)]);
    assert!(report.contains("2 FATs, 32 bit entries"), "{report}");
    for word in ["differ", "rong", "uninitialized", "irty", "nvalid"] {
        assert!(!report.contains(word), "{report}");
    }
    let drive = format!("{}@@{}", path.display(), FIRST_SECTOR as usize * SECTOR);
    let listing = tool("mdir", &["-i", &drive, "-/", "-a", "::"]);
    assert!(listing.contains("Volume in drive : is BULKHEAD"), "{listing}");
    assert!(listing.contains("1980-01-01"), "{listing}");
    let out = folder.path().join("out");
    std::fs::create_dir(&out).expect("a new folder");
    tool("mcopy", &["-i", &drive, "-s", "::*", text(&out)]);
    let mut count = 0;
    for (path, bytes) in content.files() {
        let read = std::fs::read(out.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert!(read == bytes, "{path} differs");
        count += 1;
    }
    assert_eq!(count, 9);
    // The list is in the form that sha256sum reads.
    let mut sums = std::process::Command::new("sha256sum");
    let output = sums.args(["--strict", "--check", LIST]).current_dir(&out).output();
    let output = output.expect("sha256sum runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(out.join("config.txt"), "other").expect("it can be written");
    let output = sums.output().expect("sha256sum runs");
    assert!(!output.status.success());
}

/// The file has holes, and its bytes are the image's.
#[test]
fn the_file_is_sparse() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sd.img");
    let image = Image::new(&content()).expect("it fits");
    image.write_to(&path).expect("it can be written");
    assert!(std::fs::read(&path).expect("it was written") == image.bytes());
    let data = std::fs::metadata(&path).expect("it was written");
    // The files have 4 MB that are not zero.
    let on_disk = data.blocks() * 512;
    assert!(on_disk < 16 << 20, "{on_disk} of {} bytes", data.len());
}

/// Free clusters need not be written, and nothing else may be left out.
#[test]
fn what_is_not_used_is_zero_and_free() {
    let image = Image::new(&content()).expect("it fits");
    let rest = &image.bytes()[image.used().len()..];
    assert!(rest.iter().all(|&byte| byte == 0));
    assert!(image.used().len() < 16 << 20, "{}", image.used().len());
    // Old bytes of a card stay there, and the file system is still clean.
    let folder = tempfile::tempdir().expect("a folder");
    let volume = folder.path().join("volume");
    let mut card = vec![0xa5; image.bytes().len()];
    card[..image.used().len()].copy_from_slice(image.used());
    let start = FIRST_SECTOR as usize * SECTOR;
    std::fs::write(&volume, &card[start..]).expect("it can be written");
    tool("fsck.fat", &["-n", "-V", text(&volume)]);
    tool("mcopy", &["-i", text(&volume), "-s", "-n", "::*", text(&folder.path().join("."))]);
    for (path, bytes) in content().files() {
        assert!(std::fs::read(folder.path().join(path)).expect("copied") == bytes, "{path}");
    }
}

/// Larger contents give larger images, up to where clusters become larger.
#[test]
fn a_large_content_fits() {
    for (megabytes, size) in [(100, 128 << 20), (130, 256 << 20), (260, 512 << 20)] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut content = Content::default();
        let kernel = bytes(9, 1 << 16).repeat(megabytes << 4);
        content.add("kernel8.img", kernel, "").expect("the first");
        let image = Image::new(&content).expect("it fits");
        assert_eq!(image.bytes().len(), size);
        let volume = volume(&image, folder.path());
        let report = tool("fsck.fat", &["-n", "-v", text(&volume)]);
        assert!(report.contains("2 FATs, 32 bit entries"), "{report}");
    }
}

/// Short names are made unique, and a name that looks like a made one keeps its own.
#[test]
fn names_that_begin_alike_stay_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut content = Content::default();
    let mut names: Vec<_> = (0..30).map(|n| format!("a long name {n}.txt")).collect();
    let more = ["ALONGN~1.TXT", "ALONGN~2.txt", "UPPER.TXT", "x.tar.gz", ".start", "a+b.[c]"];
    names.extend(more.map(str::to_owned));
    // A folder of several clusters, in a folder of a folder.
    for (number, name) in names.iter().enumerate() {
        let path = format!("one/two/{name}");
        content.add(&path, bytes(number as u32, 700), "").expect("paths differ");
    }
    let image = Image::new(&content).expect("it fits");
    let volume = volume(&image, folder.path());
    tool("fsck.fat", &["-n", "-V", text(&volume)]);
    let out = folder.path().join("out");
    std::fs::create_dir(&out).expect("a new folder");
    tool("mcopy", &["-i", text(&volume), "-s", "::*", text(&out)]);
    for (path, bytes) in content.files() {
        assert!(std::fs::read(out.join(path)).expect("copied") == bytes, "{path}");
    }
    let mut wrong = Content::default();
    wrong.add("one", Vec::new(), "").expect("the first");
    wrong.add("one/two", Vec::new(), "").expect("another path");
    let error = Image::new(&wrong).err().expect("both").to_string();
    assert_eq!(error, "one/two: one is a folder and a file");
}

#[test]
fn a_path_that_fat_does_not_take_is_named() {
    let mut content = Content::default();
    content.add("a:b", Vec::new(), "").expect("the first");
    let error = Image::new(&content).err().expect("no such name").to_string();
    assert_eq!(error, "a:b: not a name on a FAT file system");
    let mut content = Content::default();
    content.add("config.txt", Vec::new(), "").expect("the first");
    let error = content.add("CONFIG.TXT", Vec::new(), "").expect_err("the same on FAT");
    assert_eq!(error.to_string(), "the card would have CONFIG.TXT twice");
}

#[test]
fn the_block_map_describes_the_image() {
    let image = Image::new(&content()).expect("it fits");
    let text = bmap::map(&image);
    let document = roxmltree::Document::parse(&text).expect("XML");
    let field = |name: &str| {
        let node = document.descendants().find(|node| node.has_tag_name(name));
        node.and_then(|node| node.text()).unwrap_or_else(|| panic!("{name}")).trim().to_owned()
    };
    assert_eq!(document.root_element().attribute("version"), Some("2.0"));
    assert_eq!(field("ImageSize"), image.bytes().len().to_string());
    assert_eq!(field("BlockSize"), "4096");
    assert_eq!(field("BlocksCount"), (image.bytes().len() / 4096).to_string());
    let sum = field("BmapFileChecksum");
    assert_eq!(sha256(text.replace(&sum, &"0".repeat(64)).as_bytes()), sum);
    let ranges = document.descendants().filter(|node| node.has_tag_name("Range"));
    let mut covered = 0;
    for range in ranges {
        let (first, last) = range.text().expect("blocks").trim().split_once('-').expect("two");
        let [first, last] = [first, last].map(|n| n.parse::<usize>().expect("a number"));
        assert_eq!(first, covered, "in order and without a gap");
        covered = last + 1;
        let bytes = &image.bytes()[first * 4096..covered * 4096];
        assert_eq!(range.attribute("chksum"), Some(sha256(bytes).as_str()));
    }
    assert_eq!(covered, image.used().len() / 4096);
    assert_eq!(field("MappedBlocksCount"), covered.to_string());
}
