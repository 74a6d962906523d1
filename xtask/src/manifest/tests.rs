//! Tests of the manifest reader: shipped systems, programs, and one bad manifest a rule.

use std::path::{Path, PathBuf};

use super::*;
use crate::system::Range;

/// An ELF file with one segment of 16 bytes and 16 more to clear at `address`, where it also starts.
fn elf(address: u64) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let half = |file: &mut Vec<u8>, values: &[u16]| {
        values
            .iter()
            .for_each(|value| file.extend(value.to_le_bytes()));
    };
    let word = |file: &mut Vec<u8>, values: &[u64]| {
        values
            .iter()
            .for_each(|value| file.extend(value.to_le_bytes()));
    };
    // ET_EXEC, EM_AARCH64, version 1; entry, program headers at 64, no sections; flags 0.
    half(&mut file, &[2, 183, 1, 0]);
    word(&mut file, &[address, 64, 0]);
    half(&mut file, &[0, 0, 64, 56, 1, 0, 0, 0]);
    // PT_LOAD, R+X; offset 128, virtual and physical address, sizes in file and memory, alignment.
    half(&mut file, &[1, 0, 5, 0]);
    word(&mut file, &[128, address, address, 16, 32, 16]);
    file.resize(128, 0);
    file.extend(*b"sixteen bytes...");
    file
}

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the repository")
        .to_owned()
}

/// A folder for this test's files.
fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("bulkhead-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    folder
}

#[test]
fn duo_is_read_whole() {
    let file = scratch("duo").join("guest.elf");
    std::fs::write(&file, elf(0x4008_0000)).expect("the temporary folder can be written");
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
    assert_eq!(
        board.ram,
        [Range {
            base: 0x4000_0000,
            size: 1 << 30
        }]
    );
    assert_eq!((board.gic.version, board.gic.gicd.base), (3, 0x0800_0000));
    assert_eq!(
        board.uart,
        (
            Range {
                base: 0x0900_0000,
                size: 0x1000
            },
            33
        )
    );

    let [sensor, control] = system.partitions.as_slice() else {
        panic!("two partitions")
    };
    let cores: Vec<_> = sensor
        .vcpus
        .iter()
        .map(|vcpu| (vcpu.core, vcpu.class))
        .collect();
    assert_eq!(cores, [(0, plan::CLASS_COMM), (1, plan::CLASS_COMPUTE)]);
    assert_eq!(
        (control.name.as_str(), control.vcpus[0].core),
        ("control", 2)
    );
    assert_eq!(
        (control.memory[0].ipa, control.memory[0].size),
        (0x4000_0000, 32 << 20)
    );
    assert_eq!(control.image.entry, 0x4008_0000);
    let [segment] = control.image.segments.as_slice() else {
        panic!("one segment")
    };
    assert_eq!((segment.ipa, segment.clear), (0x4008_0000, 16));
    assert_eq!(segment.bytes, b"sixteen bytes...");
    assert!(control.console && control.interrupts.is_empty());

    let [channel] = system.channels.as_slice() else {
        panic!("one channel")
    };
    let ends: Vec<_> = channel
        .ends
        .iter()
        .map(|end| (end.partition, end.vcpu, end.bytes, end.rate))
        .collect();
    assert_eq!(ends, [(0, 0, 64 << 10, 10_000), (1, 0, 16 << 10, 10_000)]);
}
