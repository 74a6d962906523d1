// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disks and serial ports of machines that are made of files, and the rules for writing.

use bulkhead_flash::disks::{self, Disk};
use bulkhead_flash::ports;
use bulkhead_flash::rules::{LARGEST, refusals};
use bulkhead_flash::sysfs::Root;
use std::fs;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

/// The least that every image needs.
const SIZE: u64 = 128 << 20;

/// A machine with a built-in disk, a card in a USB reader, an empty slot of that reader, a card in
/// a reader of the mainboard, its soldered flash memory, and two serial adapters.
fn machine() -> (TempDir, Root) {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    };
    let usb = "sys/devices/pci0/usb1/1-2";
    write(&format!("{usb}/idVendor"), "0bda\n");
    write(&format!("{usb}/idProduct"), "0316\n");
    write(&format!("{usb}/manufacturer"), "Generic\n");
    write(&format!("{usb}/product"), "Reader\n");
    let disk = |place: &str, name: &str, sectors: u64, number: &str, removable: &str| {
        let folder = format!("{place}/block/{name}");
        write(&format!("{folder}/size"), &format!("{sectors}\n"));
        write(&format!("{folder}/dev"), number);
        write(&format!("{folder}/removable"), removable);
        write(&format!("{folder}/ro"), "0\n");
        fs::create_dir_all(root.join("sys/block")).expect("it can be made");
        symlink(root.join(&folder), root.join("sys/block").join(name)).expect("a new link");
        write(&format!("dev/{name}"), "");
    };
    disk("sys/devices/pci0/ata1", "sda", 1_000_215_216, "8:0\n", "0\n");
    disk(usb, "sdb", 62_333_952, "8:16\n", "0\n");
    disk(usb, "sdc", 0, "8:32\n", "1\n");
    disk("sys/devices/platform/sdhci0", "mmcblk0", 61_071_360, "179:0\n", "0\n");
    disk("sys/devices/platform/sdhci1", "mmcblk1", 61_071_360, "179:8\n", "0\n");
    for (name, model) in [("sda", "INTERNAL 512"), ("sdb", "SD/MMC  ")] {
        write(&format!("sys/block/{name}/device/vendor"), "Maker\n");
        write(&format!("sys/block/{name}/device/model"), &format!("{model}\n"));
    }
    for (name, kind) in [("mmcblk0", "SD"), ("mmcblk1", "MMC")] {
        write(&format!("sys/block/{name}/device/type"), &format!("{kind}\n"));
        write(&format!("sys/block/{name}/device/name"), "SC32G\n");
    }
    for (disk, part, number) in [("sda", "sda1", "8:1"), ("sdb", "sdb1", "8:17")] {
        let folder = format!("sys/block/{disk}/{part}");
        write(&format!("{folder}/partition"), "1\n");
        write(&format!("{folder}/dev"), &format!("{number}\n"));
        write(&format!("{folder}/size"), "2097152\n");
        write(&format!("dev/{part}"), "");
    }
    write("run/udev/data/b8:17", "S:disk/x\nE:ID_FS_TYPE=vfat\nE:ID_FS_LABEL=PHOTOS\n");
    write("proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
    write("proc/swaps", "Filename\tType\tSize\n");
    let serial = "sys/devices/pci0/usb1/1-4";
    write(&format!("{serial}/idVendor"), "0403\n");
    write(&format!("{serial}/idProduct"), "6001\n");
    write(&format!("{serial}/manufacturer"), "FTDI\n");
    write(&format!("{serial}/product"), "TTL232R-3V3\n");
    write(&format!("{serial}/serial"), "FT1\n");
    fs::create_dir_all(root.join(serial).join("ttyUSB0/tty/ttyUSB0")).expect("it can be made");
    write("sys/devices/pnp0/00:03/tty/ttyS0/x", "");
    for (name, device) in
        [("ttyUSB0", format!("{serial}/ttyUSB0")), ("ttyS0", "sys/devices/pnp0/00:03".to_owned())]
    {
        let class = root.join("sys/class/tty").join(name);
        fs::create_dir_all(&class).expect("it can be made");
        symlink(root.join(device), class.join("device")).expect("a new link");
    }
    let at = Root::at(root);
    (folder, at)
}

fn card(root: &Root) -> Disk {
    disks::find(root, "/dev/sdb").expect("it is there")
}

#[test]
fn only_what_can_be_taken_out_is_listed() {
    let (_folder, root) = machine();
    let names: Vec<_> = disks::list(&root).into_iter().map(|disk| disk.name).collect();
    assert_eq!(names, ["mmcblk0", "sdb"], "no disk built in, and no empty slot");
    assert_eq!(
        card(&root).to_string(),
        "/dev/sdb  31.9 GB  Maker SD/MMC, USB 0bda:0316\n  sdb1  1.0 GB  vfat PHOTOS"
    );
    let ports: Vec<_> = ports::list(&root).iter().map(ToString::to_string).collect();
    assert_eq!(ports, ["/dev/ttyUSB0  0403:6001  FTDI TTL232R-3V3, serial number FT1"]);
    let nothing = tempfile::tempdir().expect("a folder");
    let root = Root::at(nothing.path());
    assert!(disks::list(&root).is_empty() && ports::list(&root).is_empty());
}

#[test]
fn a_path_that_is_not_a_disk_is_explained() {
    let (_folder, root) = machine();
    let error = |path: &str| disks::find(&root, path).expect_err(path).to_string();
    assert_eq!(
        error("/dev/sdb1"),
        "/dev/sdb1 is a partition: the image has a partition table, so name /dev/sdb"
    );
    for path in ["/dev/sdx", "/dev/", "/dev/../dev/null"] {
        assert!(error(path).starts_with(&format!("{path} is not a disk; ")), "{}", error(path));
    }
    assert!(error("sdb").starts_with("--device sdb: expected a disk below /dev"));
    // Links of /dev/disk name disks too.
    fs::create_dir(root.path("dev/disk")).expect("it can be made");
    symlink(root.path("dev/sdb"), root.path("dev/disk/card")).expect("a new link");
    assert_eq!(disks::find(&root, "/dev/disk/card").expect("a disk").name, "sdb");
}

#[test]
fn a_card_may_be_written() {
    let (_folder, root) = machine();
    assert_eq!(refusals(&card(&root), SIZE, false), [""; 0]);
    let built_in_reader = disks::find(&root, "/dev/mmcblk0").expect("it is there");
    assert_eq!(refusals(&built_in_reader, SIZE, false), [""; 0]);
}

#[test]
fn a_built_in_disk_needs_force_and_a_mounted_one_is_never_written() {
    let (_folder, root) = machine();
    let flash = disks::find(&root, "/dev/mmcblk1").expect("it is there");
    let why = refusals(&flash, SIZE, false);
    assert_eq!(why.len(), 1);
    assert!(why[0].contains("built in, not removable"), "{why:?}");
    assert_eq!(refusals(&flash, SIZE, true), [""; 0]);
    let system = disks::find(&root, "/dev/sda").expect("it is there");
    for force in [false, true] {
        let why = refusals(&system, SIZE, force);
        assert_eq!(why[0], "sda1 is mounted at /");
        assert!(why[1].starts_with("unmount every file system of /dev/sda first"), "{why:?}");
    }
}

#[test]
fn every_use_is_seen() {
    let (_folder, root) = machine();
    let add = |path: &str, text: &str| {
        let old = fs::read_to_string(root.path(path)).unwrap_or_default();
        fs::write(root.path(path), old + text).expect("it can be written");
    };
    let seen = || refusals(&card(&root), SIZE, true).first().cloned().unwrap_or_default();
    add("proc/self/mountinfo", "30 1 8:17 / /media/a\\040card rw - vfat /dev/sdb1 rw\n");
    assert_eq!(seen(), "sdb1 is mounted at /media/a card");
    let (_folder, root) = machine();
    let seen = || refusals(&card(&root), SIZE, true).first().cloned().unwrap_or_default();
    fs::write(root.path("proc/self/mountinfo"), "30 1 8:16 / /mnt rw - vfat /dev/sdb rw\n")
        .unwrap();
    assert_eq!(seen(), "sdb is mounted at /mnt");
    fs::write(root.path("proc/self/mountinfo"), "").expect("it can be written");
    fs::write(root.path("proc/swaps"), "Filename Type\n/dev/sdb1 partition\n").expect("likewise");
    assert_eq!(seen(), "sdb1 is swap space");
    fs::write(root.path("proc/swaps"), "").expect("it can be written");
    fs::create_dir_all(root.path("sys/block/sdb/sdb1/holders/dm-0")).expect("it can be made");
    assert_eq!(seen(), "sdb1 is part of /dev/dm-0");
}

#[test]
fn sizes_and_switches_are_looked_at() {
    let (_folder, root) = machine();
    let with = |change: fn(&mut Disk), force| {
        let mut disk = card(&root);
        change(&mut disk);
        refusals(&disk, SIZE, force).join("; ")
    };
    let small = with(|disk| disk.size = SIZE - 1, true);
    assert_eq!(small, "/dev/sdb has 134.2 MB, and the image has 134.2 MB");
    assert_eq!(with(|disk| disk.size = SIZE, false), "");
    assert_eq!(with(|disk| disk.size = 0, true), "/dev/sdb has no card in it");
    assert_eq!(with(|disk| disk.size = LARGEST, false), "");
    let large = with(|disk| disk.size = LARGEST + 1, false);
    assert!(large.contains("more than 256.0 GB; if it is the right one, add --force"), "{large}");
    assert_eq!(with(|disk| disk.size = LARGEST + 1, true), "");
    let protected = with(|disk| disk.read_only = true, true);
    assert!(protected.contains("is write-protected"), "{protected}");
}
