// SPDX-License-Identifier: MIT OR Apache-2.0
//! Systems for tests, and an executable in the form of EL2's. The planner's tests use this file,
//! and so do those of the runner and of the commands.
#![allow(dead_code, reason = "each test program uses a part; what none uses is found by reading")]

use std::path::PathBuf;

use plan::{CLASS_COMM, CLASS_COMPUTE, END_POWER_OFF, START_PSCI};

use manifest::system::{
    Board, BoardCore, Channel, Device, End, Gic, Image, Interrupt, Memory, Outside, Partition,
    Policy, Range, Segment, System, Vcpu, View,
};

/// 1 MiB.
pub const MIB: u64 = 1 << 20;

/// A board like QEMU's `virt` with GICv3, 1 GiB and 8 cores.
pub fn board() -> Board {
    let range = |base, size| Range { base, size };
    let core = |n| BoardCore { mpidr: n, cluster: 0, release: 0 };
    Board {
        name: "test-board".into(),
        ram: vec![range(0x4000_0000, 1 << 30)],
        reserved: vec![],
        reclaimed: vec![],
        cores: (0..8).map(core).collect(),
        midrs: vec![("cortex-a53".into(), 0xff0f_fff0, 0x410f_d030)],
        errata: Vec::new(),
        pa_bits: 40,
        start: START_PSCI,
        writes: Default::default(),
        watchdog_period: 0,
        quiesced: String::new(),
        gic: Gic {
            version: 3,
            list_registers: 4,
            intids: 288,
            gicd: range(0x0800_0000, 0x1_0000),
            gicr: range(0x080a_0000, 0x10_0000),
            gicc: range(0, 0),
            gich: range(0, 0),
            gicv: range(0, 0),
        },
        gics: Vec::new(),
        uart: (range(0x0900_0000, 0x1000), 33),
        uart_clock: 0,
        devices: vec![Device {
            name: "uart1".into(),
            regs: range(0x0904_0000, 0x1000),
            interrupts: vec![Interrupt { intid: 40, edge: false }],
            node: "serial".into(),
            compatible: vec!["arm,pl011".into(), "arm,primecell".into()],
            clock_names: vec!["uartclk".into(), "apb_pclk".into()],
            flags: Vec::new(),
            units: 1,
            dma: false,
            quiesce: Vec::new(),
        }],
        card: None,
        qemu: None,
    }
}

/// A partition whose image is one segment of `fill` bytes and a little bss.
pub fn partition(name: &str, vcpus: &[(u32, u32)], memory: u64, fill: u8) -> Partition {
    Partition {
        name: name.into(),
        vcpus: vcpus.iter().map(|&(core, class)| Vcpu { core, class }).collect(),
        memory: vec![Memory { ipa: 0x4000_0000, size: memory, physical: None, rom: false }],
        image: Image {
            file: PathBuf::from(name),
            segments: vec![Segment { ipa: 0x4008_0000, bytes: vec![fill; 5000], clear: 100 }],
            entry: 0x4008_0000,
        },
        command_line: None,
        initrd: None,
        device_tree: None,
        devices: vec![],
        interrupts: vec![],
        console: true,
        outside: Outside::Abort,
        policy: Policy::default(),
        supervisor: false,
        pass: None,
        fail: None,
    }
}

/// A channel between vCPUs 0 of partitions 0 and 1.
pub fn channel(name: &str, bytes: [u64; 2]) -> Channel {
    let end = |partition, bytes| End {
        partition,
        vcpu: 0,
        bytes,
        wait: channel::wait::DOORBELL,
        rate: 10_000,
        burst: 32,
        view: View::Pages,
    };
    Channel { name: name.into(), ends: [end(0, bytes[0]), end(1, bytes[1])] }
}

/// Two partitions on three cores with one channel; the second has a passed-through UART, too.
pub fn duo() -> System {
    let sensor = partition("sensor", &[(0, CLASS_COMM), (1, CLASS_COMPUTE)], 32 * MIB, 1);
    let mut control = partition("control", &[(2, CLASS_COMM)], 32 * MIB, 2);
    control.devices = vec![0];
    control.interrupts = board().devices[0].interrupts.clone();
    control.command_line = Some("quiet".into());
    System {
        name: "duo".into(),
        path: PathBuf::from("duo.toml"),
        board: board(),
        partitions: vec![sensor, control],
        channels: vec![channel("samples", [64 << 10, 16 << 10])],
        console_core: 2,
        console_share: 25,
        at_end: END_POWER_OFF,
        on_refusal: END_POWER_OFF,
        options: plan::options::ALL,
    }
}

/// Sizes of the fake EL2's segments: text, rodata, data in the file, data in memory.
const EL2: [usize; 4] = [0x1800, 0x900, 0x40, 0x3000];
/// Its size in the image.
pub const EL2_SIZE: u64 = 0x2000 + 0x1000 + 0x3000;

/// Returns an executable with the header and segments that EL2's has, but without code.
pub fn el2_elf() -> Vec<u8> {
    const PF_X: u32 = 1;
    const PF_W: u32 = 2;
    const PF_R: u32 = 4;
    let [text, rodata, data, data_memory] = EL2;
    let segments = [
        (PF_R | PF_X, 0, text, text),
        (PF_R, 0x2000, rodata, rodata),
        (PF_R | PF_W, 0x3000, data, data_memory),
    ];
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend(3u16.to_le_bytes()); // ET_DYN
    file.extend(183u16.to_le_bytes()); // EM_AARCH64
    file.extend(1u32.to_le_bytes());
    file.extend([0u64, 64, 0].map(u64::to_le_bytes).concat()); // entry, program headers, sections
    file.extend(0u32.to_le_bytes());
    file.extend([64u16, 56, 3, 64, 0, 0].map(u16::to_le_bytes).concat());
    for (flags, address, size, memory) in segments {
        file.extend([1, flags].map(u32::to_le_bytes).concat());
        let offset = 0x1000 + address as u64;
        let row = [offset, address as u64, address as u64, size as u64, memory as u64, 0x1000];
        file.extend(row.map(u64::to_le_bytes).concat());
    }
    file.resize(0x1000 + 0x3000 + data, 0xe1);
    file[0x1000..0x1000 + 80].fill(0);
    file[0x1000 + 56..0x1000 + 60].copy_from_slice(b"ARM\x64");
    file
}
