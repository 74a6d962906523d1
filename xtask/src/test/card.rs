// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boot media on what is closest to a card and a board without either: a loop device, and U-Boot on
//! QEMU's Raspberry Pi 4.

use super::skipped::Skipped;
use crate::flash::{Medium, refuse, write_to};
use anyhow::{Context, Result, ensure};
use crc::{CRC_32_ISO_HDLC, Crc};
use flash::disks::{self, Disk};
use flash::image::{FIRST_SECTOR, Image};
use flash::sysfs::Root;
use flash::write::Device;
use runner::build::Builder;
use runner::linux::{self, Unavailable};
use runner::qemu::{self, Watch};
use runner::workspace::{target_dir, unique, write};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The system on the card, and how it ends.
const SYSTEM: &str = "rpi4/duo";
const ENDS: [(&str, &str); 2] = [("sensor", "off"), ("control", "off")];
/// Debian's U-Boot for the board, which also runs on QEMU's.
const U_BOOT: (&str, &str) = ("u-boot-rpi", "usr/lib/u-boot/rpi_arm64/u-boot.bin");
/// A file of this name is on the card too: a folder, and a long name.
const IN_FOLDER: &str = "overlays/a-name-that-needs-two-entries.dtbo";
/// Where U-Boot loads files that it only checks.
const AT: &str = "0x1000000";
/// Larger files are not checked: U-Boot reads 200 KB/s here.
const LARGEST: usize = 1 << 20;
/// Time until U-Boot has checked every file, and from there.
const LIMIT: Duration = Duration::from_secs(120);

/// U-Boot, whose FAT and SD drivers are its own, finds every file on the card with the right
/// checksum, and starts the image.
pub fn u_boot() -> Result<usize> {
    let mut medium = Medium::build(SYSTEM, None, None).map_err(skipped)?;
    medium.content.add(IN_FOLDER, b"a file in a folder".to_vec(), "a test")?;
    let boot = linux::packaged(U_BOOT.0, &[U_BOOT.1]).map_err(skipped)?;
    let folder = target_dir().join("tests");
    let path = |name: &str| folder.join(format!("flash.{name}"));
    write(&path("uart1"), &[])?;
    Image::new(&medium.content)?.write_to(&path("img"))?;

    let files = medium.content.files().filter(|(_, bytes)| bytes.len() <= LARGEST);
    let files: Vec<_> = files.collect();
    // The first key stops U-Boot's countdown; U-Boot drops those that came before its UART was set.
    let mut keys = "\r".repeat(64);
    for (name, _) in &files {
        keys += &format!("fatload mmc 0:1 {AT} {name}; crc32 {AT} ${{filesize}}\r");
    }
    keys += "fatload mmc 0:1 ${kernel_addr_r} kernel8.img; booti ${kernel_addr_r} - ${fdt_addr}\r";
    write(&path("uart1.in"), keys.as_bytes())?;

    let system = Builder::default().system(SYSTEM)?;
    let second = format!(
        "file,id=second,path={},input-path={}",
        path("uart1").display(),
        path("uart1.in").display()
    );
    let card = format!("if=sd,format=raw,file={}", path("img").display());
    let extra = ["-chardev", &second, "-serial", "chardev:second", "-drive", &card];
    let options = qemu::Options {
        extra: extra.map(str::to_owned).to_vec(),
        boot_limit: Some(LIMIT),
        limit: Some(LIMIT),
        input: qemu::Input::Nobody,
        ..qemu::Options::default()
    };
    let watch = Watch::new(&system, None);
    let board = qemu::board(&system).map_err(skipped)?;
    let image = boot.files.first().context("U-Boot has no file")?;
    let outcome = qemu::run(&board, image, &options, false, watch, &mut |_| Ok(()))?;
    let log = format!("$ {}\n{}\n", outcome.command, outcome.console.lines.join("\n"));
    write(&path("log"), log.as_bytes())?;
    let place = || format!("{}, {}", path("log").display(), path("uart1").display());

    let said = std::fs::read(path("uart1")).context("U-Boot's UART left nothing")?;
    let said = String::from_utf8_lossy(&said);
    let sums: Vec<_> = said.lines().filter_map(|line| line.split_once("==> ")).collect();
    let crc = Crc::<u32>::new(&CRC_32_ISO_HDLC);
    for (number, (name, bytes)) in files.iter().enumerate() {
        let wanted = format!("{:08x}", crc.checksum(bytes));
        let found = sums.get(number).map(|(_, sum)| sum.trim());
        ensure!(
            found == Some(&wanted),
            "U-Boot reads {name} as {found:?}, not {wanted}: {}",
            place()
        );
    }
    let ends = qemu::ends(&qemu::partitions(&system), &outcome).map_err(anyhow::Error::msg);
    let ends = ends.with_context(place)?;
    let is = |((name, state), wanted): (&(String, String), (&str, &str))| {
        (name.as_str(), state.as_str()) == wanted
    };
    ensure!(ends.iter().zip(ENDS).all(is), "the system ended otherwise: {}", place());
    Ok(1)
}

/// Without a network the check is skipped, not failed.
fn skipped(error: anyhow::Error) -> anyhow::Error {
    match error.is::<Unavailable>() {
        true => Skipped("Debian's packages cannot be fetched here").into(),
        false => error,
    }
}

/// Writes an image to a loop device, which is a disk for the kernel and for this program, and holds
/// the rules against it.
pub fn loop_device() -> Result<usize> {
    let folder = target_dir().join("tests").join(format!("loop.{}", unique()));
    std::fs::create_dir_all(&folder)?;
    let result = on_loop_devices(&folder);
    // The files are not needed after success or failure.
    let _ = std::fs::remove_dir_all(&folder);
    result.map(|()| 1)
}

fn on_loop_devices(folder: &Path) -> Result<()> {
    let image = image()?;
    let size = image.bytes().len() as u64;
    let file = folder.join("card");
    {
        let card = Loop::new(&file, 2 * size, 0)?;
        let disk = card.disk()?;
        refused(&disk, size, false, "is built in, not removable")?;
        refuse(&disk, size, true)?;
        write_to(&image, &card.0)?;
    }
    let written = std::fs::read(&file)?;
    ensure!(&written[..image.used().len()] == image.used(), "the file has other bytes");

    // Sizes; the file has holes.
    let large = Loop::new(&folder.join("large"), 257_000_000_000 / 4096 * 4096, 0)?;
    refused(&large.disk()?, size, false, "more than 256.0 GB")?;
    let small = Loop::new(&folder.join("small"), size / 2, 0)?;
    refused(&small.disk()?, size, true, "and the image has ")?;

    // The medium behind the disk takes half of the image, and then nothing.
    let place = folder.join("half");
    std::fs::create_dir(&place)?;
    let half = format!("size={}", image.used().len() / 2);
    let memory = Mount::new(&["-t", "tmpfs", "-o", &half], Path::new("none"), &place)?;
    let vanishing = Loop::new(&place.join("card"), size, 0)?;
    let error = write_to(&image, &vanishing.0).err().context("nobody missed the half")?;
    let text = format!("{error:#}");
    ensure!(text.starts_with("the card is incomplete: write it again: "), "{text}");
    drop(vanishing);
    let start = &std::fs::read(place.join("card"))?[..512];
    ensure!(start.iter().all(|&byte| byte == 0), "half a card has a partition table");
    drop(memory);
    on_a_mounted_one(folder, &file, &image)
}

/// A disk with a mounted file system is refused by the rules, and by the kernel if it is mounted
/// only after the rules were checked.
fn on_a_mounted_one(folder: &Path, written: &Path, image: &Image) -> Result<()> {
    let size = image.bytes().len() as u64;
    let place = folder.join("mounted");
    std::fs::create_dir(&place)?;
    let known = std::fs::read_to_string("/proc/filesystems")?;
    let has_fat = known.lines().any(|line| line.trim() == "vfat");
    // Some kernels cannot read FAT: there it is another file system on another file.
    let (file, offset) = match has_fat {
        true => (written.to_owned(), u64::from(FIRST_SECTOR) * 512),
        false => (folder.join("other"), 0),
    };
    let card = Loop::new(&file, 2 * size, offset)?;
    if !has_fat {
        let made = Command::new("mkfs.ext4").arg("-q").arg(&card.0).output();
        let made = made.is_ok_and(|output| output.status.success());
        ensure!(made, Skipped("this kernel has no FAT, and there is no mkfs.ext4"));
    }
    let mounted = Mount::new(&["-o", "ro"], &card.0, &place)?;
    if has_fat {
        let read = std::fs::read(place.join("overlays/disable-bt.dtbo"))?;
        ensure!(read == [7; 1000], "the kernel reads other bytes");
    }
    let before = flash::sha256(&std::fs::read(&file)?);
    refused(&card.disk()?, size, true, "is mounted at ")?;
    let error = write_to(image, &card.0).err().context("it was written while mounted")?;
    ensure!(format!("{error:#}").contains("busy"), "refused because: {error:#}");
    ensure!(flash::sha256(&std::fs::read(&file)?) == before, "a refusal wrote something");
    drop(mounted);
    Device::open(&card.0).context("it is not mounted any more")?;
    Ok(())
}

/// Checks that the disk is refused for a reason with these words.
fn refused(disk: &Disk, size: u64, force: bool, words: &str) -> Result<()> {
    let why = refuse(disk, size, force).err();
    let why = why.map(|error| error.to_string()).unwrap_or_default();
    ensure!(why.contains(words), "{} must be refused, `{words}`: {why:?}", disk.path());
    Ok(())
}

/// An image that needs nothing to be built.
fn image() -> Result<Image> {
    let mut content = flash::content::Content::default();
    content.add("kernel8.img", vec![0x5a; 6_000_000], "a test")?;
    content.add("overlays/disable-bt.dtbo", vec![7; 1000], "a test")?;
    content.add_list("a test")?;
    Image::new(&content)
}

/// A loop device, which is given back when this value is dropped.
struct Loop(PathBuf);

impl Loop {
    /// Makes a loop device of a file's bytes from `offset` on. The file is made `size` bytes long.
    fn new(file: &Path, size: u64, offset: u64) -> Result<Self> {
        File::options().create(true).truncate(false).write(true).open(file)?.set_len(size)?;
        let mut command = Command::new("losetup");
        command.args(["--find", "--show", "--offset", &offset.to_string()]).arg(file);
        let output = command.output().ok().filter(|output| output.status.success());
        let output = output.ok_or(Skipped("loop devices are not to be had: root and losetup"))?;
        Ok(Self(PathBuf::from(String::from_utf8(output.stdout)?.trim())))
    }

    fn disk(&self) -> Result<Disk> {
        disks::find(&Root::default(), &self.0.display().to_string())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // It fails only if somebody else gave it back.
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

/// A mounted file system, which is unmounted when this value is dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(options: &[&str], what: &Path, place: &Path) -> Result<Self> {
        let output = Command::new("mount").args(options).args([what, place]).output()?;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "cannot mount: {words}");
        Ok(Self(place.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // It fails only if somebody else unmounted it.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
