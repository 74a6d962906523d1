// SPDX-License-Identifier: MIT OR Apache-2.0
//! Good systems, boards and programs.

use std::path::PathBuf;

use super::support::{elf, files, kernel, root, scratch};
use crate::catalogue::names;
use crate::image::Wish;
use crate::system::Range;
use crate::{SCHEME, board, image, load, raw, values, words};

#[test]
fn duo_is_read_whole() {
    let folder = scratch();
    let file = folder.path().join("guest.elf");
    std::fs::write(&file, elf(183, &[(0x4008_0000, 32)]))
        .expect("the temporary folder can be written");
    let mut built = Vec::new();
    let mut guests = |name: &str| {
        built.push(name.to_owned());
        Ok(file.clone())
    };
    let system = load(&root(), "duo", &mut guests).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(built, ["sensor", "control"]);
    assert_eq!(system.name, "duo");
    assert_eq!(system.console_core, 2);
    assert_eq!(system.at_end, plan::END_POWER_OFF);

    let board = &system.board;
    assert_eq!(board.name, "qemu-virt");
    assert_eq!(board.ram, [Range { base: 0x4000_0000, size: 1 << 30 }]);
    assert_eq!((board.gic.version, board.gic.gicd.base), (3, 0x0800_0000));
    assert_eq!(board.uart, (Range { base: 0x0900_0000, size: 0x1000 }, 33));

    let [sensor, control] = system.partitions.as_slice() else { panic!("two partitions") };
    let cores: Vec<_> = sensor.vcpus.iter().map(|vcpu| (vcpu.core, vcpu.class)).collect();
    assert_eq!(cores, [(0, plan::CLASS_COMM), (1, plan::CLASS_COMPUTE)]);
    assert_eq!((control.name.as_str(), control.vcpus[0].core), ("control", 2));
    assert_eq!((control.memory[0].ipa, control.memory[0].size), (0x4000_0000, 32 << 20));
    assert_eq!(control.image.entry, 0x4008_0000);
    let [segment] = control.image.segments.as_slice() else { panic!("one segment") };
    assert_eq!((segment.ipa, segment.clear), (0x4008_0000, 16));
    assert_eq!(segment.bytes, b"sixteen bytes...");
    assert!(control.console && control.interrupts.is_empty());

    let [channel] = system.channels.as_slice() else { panic!("one channel") };
    let ends: Vec<_> =
        channel.ends.iter().map(|end| (end.partition, end.vcpu, end.bytes, end.rate)).collect();
    assert_eq!(ends, [(0, 0, 64 << 10, 10_000), (1, 0, 16 << 10, 10_000)]);
}

#[test]
fn an_unknown_system_is_named_with_what_there_is() {
    let mut none = |_: &str| -> anyhow::Result<PathBuf> { unreachable!("nothing to build") };
    let errors = load(&root(), "dou", &mut none).expect_err("there is no such system");
    let text = errors.to_string();
    assert!(text.contains("cannot read boards/qemu-virt/systems/dou.toml"), "{text}");
    assert!(text.contains("help: did you mean `duo`?"), "{text}");
}

#[test]
fn a_damaged_board_file_is_shown() {
    let folder = scratch();
    let root = folder.path();
    let board = root.join("boards/mine");
    std::fs::create_dir_all(&board).expect("the temporary folder can be written");
    std::fs::write(board.join("board.toml"), "start = \"bios\"\n").expect("likewise");
    let path = root.join("mine.toml");
    std::fs::write(&path, "board = \"mine\"\nconsole-core = 0\n").expect("likewise");
    let mut none = |_: &str| -> anyhow::Result<PathBuf> { unreachable!("nothing to build") };
    let errors = load(root, path.to_str().expect("UTF-8"), &mut none).expect_err("a bad board");
    let text = errors.to_string();
    assert!(text.contains("boards/mine/board.toml cannot be used"), "{text}");
    assert!(text.contains("unknown variant `bios`"), "{text}");
}

/// On a board with two clusters the classes can be kept apart, and `mixed-clusters = "refuse"`
/// enforces that.
#[test]
fn classes_are_kept_in_clusters_of_their_own() {
    let scratch = scratch();
    let folder = scratch.path();
    let board = folder.join("boards/two");
    std::fs::create_dir_all(&board).expect("the temporary folder can be written");
    let mut text = std::fs::read_to_string(root().join("boards/qemu-virt/board.toml")).expect("it");
    for core in 4..8 {
        let one = format!("mpidr = {core}, cluster = 0");
        assert!(text.contains(&one));
        text = text.replace(&one, &format!("mpidr = {core}, cluster = 1"));
    }
    std::fs::write(board.join("board.toml"), text).expect("likewise");
    let program = folder.join("program.elf");
    std::fs::write(&program, elf(183, &[(0x4008_0000, 32)])).expect("likewise");
    let check = |core: u32, policy: &str| {
        let path = folder.join("system.toml");
        let text = format!(
            "board = \"two\"\nconsole-core = 0\n{policy}\n[[partition]]\nname = \"one\"\n\
             vcpus = [{{ core = 0, class = \"comm\" }}, {{ core = {core}, class = \"compute\" }}]\n\
             memory = [{{ size = \"32MiB\" }}]\nimage = {{ elf = \"program.elf\" }}\n"
        );
        std::fs::write(&path, text).expect("likewise");
        let mut none = |_: &str| -> anyhow::Result<PathBuf> { unreachable!("nothing to build") };
        let read = load(folder, path.to_str().expect("UTF-8"), &mut none);
        read.err().map(|errors| errors.to_string())
    };
    let refuse = "mixed-clusters = \"refuse\"";
    assert_eq!(check(4, refuse), None);
    assert_eq!(check(3, ""), None, "allowed unless refused");
    let text = check(3, refuse).expect("an error");
    assert!(text.contains("cluster 0 of two has cores of both classes"));
    assert!(text.contains("cores of other clusters"), "{text}");
}

/// The plan does not use what firmware keeps, even if the boot tree lists it as RAM.
#[test]
fn what_is_reserved_is_not_reclaimed() {
    let text = std::fs::read_to_string(root().join("boards/rpi4/board.toml")).expect("a board");
    let with = |base: u64| {
        let line = format!("reclaimed = [{{ base = {base:#x}, size = \"64KiB\" }}]\n");
        board::read("rpi4", &text.replacen("core = [", &format!("{line}core = ["), 1))
    };
    let board = with(0x0010_0000).expect("beside what firmware keeps");
    let range = board.reclaimed.first().expect("a range");
    assert_eq!((range.base, range.size), (0x0010_0000, 0x1_0000));
    let error = with(0x000f_0000).expect_err("in it").to_string();
    assert!(error.contains("0xf0000 is in both `reserved` and `reclaimed`"), "{error}");
}

/// Firmware loads the image where it belongs, except where firmware's device tree would overwrite
/// it.
#[test]
fn settings_of_the_card_have_the_address_unless_the_tree_is_there() {
    let text = std::fs::read_to_string(root().join("boards/rpi4/board.toml")).expect("a board");
    let card = board::read("rpi4", &text).expect("valid").card.expect("a card");
    let below = card.settings(0x2eef_0000, 0x1_0000);
    assert!(below.contains("\nkernel_address=0x2eef0000\n"), "{below}");
    let above = card.settings(0x2f00_0000, 0x100_0000);
    assert!(above.contains("\nkernel_address=0x2f000000\n"), "{above}");
    for (base, size) in [(0x2eef_0000, 0x1_0001), (0x2eff_ffff, 1), (0x2e00_0000, 0x200_0000)] {
        let text = card.settings(base, size);
        assert!(!text.contains("\nkernel_address") && !text.contains('{'), "{text}");
        assert!(text.contains(&format!("# Left out: at {base:#x} ")), "{text}");
        assert!(text.contains("\ngpu_mem=76\n"), "{text}");
    }
    // Nothing is known of a board without the key.
    let line = text.lines().find(|line| line.starts_with("device-tree =")).expect("its line");
    let unknown =
        board::read("rpi4", &text.replace(line, "")).expect("valid").card.expect("a card");
    assert!(!unknown.takes(0, 1));
}

#[test]
fn a_wrong_board_is_refused() {
    let text = std::fs::read_to_string(root().join("boards/rpi4/board.toml")).expect("a board");
    let refused = |from: &str, to: &str, why: &str| {
        assert!(text.contains(from), "{from}");
        let error = board::read("rpi4", &text.replacen(from, to, 1)).expect_err(to).to_string();
        assert!(error.contains(why), "{error}");
    };
    let plain = "write a path below the card's root";
    refused("\"start4.elf\"", "\"../start4.elf\"", plain);
    refused("\"start4.elf\"", "\"/start4.elf\"", plain);
    refused("image = \"kernel8.img\"", "image = \"\"", plain);
    refused("{load-address}", "{address}", "`config` has {address}, and only {load-address}");
    refused("raspi-firmware:usr", "raspi-firmware/usr", "`debian` of start4.elf: write");
    for key in ["power-off = [", "reset = ["] {
        let start = text.find(key).expect("the key");
        let end = start + text[start..].find("\n]\n").expect("its end") + 3;
        refused(&text[start..end], "", "a spin table needs `power-off` and `reset`");
    }
    refused("address = 0xfd58_0808", "address = 0x0010_0000", "`quiesce.writes`: 0x100000 is not");
    refused("address = 0xfe20_1030", "address = 0xfe20_1032", "`console.init`: 0xfe201032 is not");
    refused("period = \"5s\"", "period = \"5\"", "[watchdog]: `period`: \"5\" is not a time");
    refused("period = \"5s\"", "period = \"0s\"", "[watchdog]: `period`: \"0s\" is not a time");
    let long = "compatible = \"brcm,bcm2711-genet-v5-and-more-text\"";
    refused("compatible = \"brcm,bcm2711-genet-v5\"", long, "[quiesce]: `compatible`: write at");
}

#[test]
fn every_shipped_board_is_read() {
    for name in names(&root().join("boards")) {
        let file = root().join("boards").join(&name).join("board.toml");
        let text = std::fs::read_to_string(file).expect("a board has a board.toml");
        let board = board::read(&name, &text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!board.cores.is_empty() && !board.ram.is_empty() && !board.midrs.is_empty());
        for range in board.reserved {
            let end = range.base + range.size;
            let held =
                board.ram.iter().any(|ram| range.base >= ram.base && end <= ram.base + ram.size);
            assert!(held, "{name}: {range:x?} is reserved but no RAM");
        }
    }
}

#[test]
fn every_shipped_system_is_read() {
    let folder = files();
    let files = folder.path().join("files");
    let file =
        |name: &str| files.join(if name.starts_with(SCHEME) { "Image" } else { "program.elf" });
    let boards = root().join("boards");
    let mut folders: Vec<PathBuf> =
        names(&boards).iter().map(|b| boards.join(b).join("systems")).collect();
    folders.push(root().join("tests/systems"));
    for folder in folders {
        for name in names(&folder) {
            let path = folder.join(name);
            let spec = path.to_str().expect("UTF-8");
            let system = load(&root(), spec, &mut |name| Ok(file(name)));
            assert!(system.is_ok(), "{}", system.expect_err("errors"));
        }
    }
}

#[test]
fn an_elf_goes_to_its_physical_addresses() {
    // Linked at virtual 0xffff_0000_4008_0000, loaded at 0x4008_0000: the entry follows.
    let mut file = elf(183, &[(0x4008_0000, 32)]);
    file[24..32].copy_from_slice(&0xffff_0000_4008_0010u64.to_le_bytes());
    file[80..88].copy_from_slice(&0xffff_0000_4008_0000u64.to_le_bytes());
    let image = image::read(raw::Kind::Elf, PathBuf::new(), file, Wish::default()).expect("an ELF");
    assert_eq!((image.entry, image.segments[0].ipa), (0x4008_0010, 0x4008_0000));
}

#[test]
fn an_arm64_image_goes_behind_a_multiple_of_2_mib() {
    let mut file = kernel(0);
    file[8..16].copy_from_slice(&0x8_0000u64.to_le_bytes());
    let wish = Wish { memory: 0x4010_0000, ..Wish::default() };
    let image = image::read(raw::Kind::Linux, PathBuf::new(), file, wish).expect("a kernel");
    assert_eq!(image.entry, 0x4028_0000);
    assert_eq!((image.segments[0].ipa, image.segments[0].clear), (0x4028_0000, (1 << 20) - 64));
}

#[test]
fn raw_bytes_start_where_they_load_or_where_told() {
    let wish = Wish { load: Some(0x4008_0000), ..Wish::default() };
    let read = |wish| image::read(raw::Kind::Raw, PathBuf::new(), vec![1; 8], wish).expect("bytes");
    assert_eq!(read(wish).entry, 0x4008_0000);
    assert_eq!(read(Wish { entry: Some(0x4008_0004), ..wish }).entry, 0x4008_0004);
}

#[test]
fn sizes_and_numbers_read_as_people_write_them() {
    use values::parse_size;
    assert_eq!(parse_size("64KiB"), Some(64 << 10));
    assert_eq!(parse_size("1 GiB"), Some(1 << 30));
    for bad in ["", "KiB", "1", "1KB", "-1KiB", "1.5MiB", "99999999999999GiB", "0x10KiB"] {
        assert_eq!(parse_size(bad), None, "{bad}");
    }
    use words::{address, bytes, nearest};
    assert_eq!(address(0), "0x0000");
    assert_eq!(address(0x1_2345_6789), "0x0001_2345_6789");
    assert_eq!(bytes(3 << 20), "3 MiB");
    assert_eq!(bytes((256 << 20) + (88 << 10)), "256.1 MiB");
    assert_eq!(bytes(5000), "5000 bytes");
    assert_eq!(nearest("consol-core", ["board", "console-core"]), Some("console-core"));
    assert_eq!(nearest("colour", ["name", "vcpus"]), None);
}
