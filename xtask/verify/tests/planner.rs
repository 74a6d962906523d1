//! A planner that is wrong in a consistent way: tables, rows and device trees agree with each
//! other, and not with the manifest.

mod support;

use manifest::system::{Interrupt, System};
use plan::PAGE;
use planner::{guest::Guest, place::Places};
use support::{compile, full};

/// A mistake in the planner's decisions, and the words of the finding that names it.
type Placed = (&'static str, fn(&mut Places, &mut Vec<Guest>), &'static [&'static str]);
/// A mistake in the planner's input.
type Read = (&'static str, fn(&mut System), &'static [&'static str]);

const PLACED: &[Placed] = &[
    (
        "two partitions are given one page",
        |places, _| places.memory[1][0].base = places.memory[0][0].base + 0x20_0000,
        &[
            "one range is both memory of alpha and memory of beta",
            "memory of alpha can be accessed by alpha (rwx) and by beta (rwx)",
        ],
    ),
    (
        "a region is one page too long",
        |_, guests| guests[2].ends[0].rx.size += PAGE,
        &[
            "the size of what it receives is 0x2000, must be 0x1000",
            "stage 2 of gamma reaches",
            "which is not declared",
        ],
    ),
    (
        "memory overlaps EL2's stack of another core",
        |places, _| places.memory[0][1].base = places.private[4].base,
        &["EL2's private region of core 5 (beta/0)", "memory of alpha"],
    ),
    (
        "memory overlaps a neighbour's state",
        |places, _| places.memory[0][1].base = places.state[1].base,
        &["EL2's state of beta", "memory of alpha"],
    ),
    (
        "two cores have one stack",
        |places, _| places.private[1] = places.private[0],
        &["EL2's private region of core 0 (gamma/0) and EL2's private region of core 1 (alpha/1)"],
    ),
    (
        "two partitions have one state",
        |places, _| places.state[2] = places.state[0],
        &["EL2's state of alpha and EL2's state of gamma"],
    ),
    (
        "the shared region is too small",
        |places, _| places.shared.size -= PAGE,
        &["the size of EL2's region is 0x12000, must be 0x13000"],
    ),
    (
        "the crash records are too few",
        |places, _| places.records.size -= PAGE,
        &["Header::records", "the size of EL2's region is 0x1000, must be 0x2000"],
    ),
    (
        "the crash records are outside RAM",
        |places, _| places.records.base = 0x8000_0000,
        &["EL2's crash records is outside the board's RAM"],
    ),
    (
        "memory is outside RAM",
        |places, _| places.memory[1][0].base = 0x8000_0000,
        &["memory of beta is outside the board's RAM"],
    ),
    (
        "two channels share pages",
        |places, _| places.regions[2][0].base = places.regions[0][0].base,
        &["pages of channel both, alpha/0 to beta/0", "pages of channel again"],
    ),
    (
        "channel pages are in a third partition's memory",
        |places, _| places.regions[0][0].base = places.memory[2][0].base,
        &["pages of channel both, alpha/0 to beta/0 and memory of gamma"],
    ),
    ("a handle is another one", |_, guests| guests[1].ends.swap(0, 1), &["channel"]),
    (
        "a doorbell is a private interrupt",
        |_, guests| {
            let spi = guests[0].ends[0].intid.replace(20);
            let mut rows = guests[0].interrupts.iter_mut();
            if let Some(row) = rows.find(|row| Some(u32::from(row.intid)) == spi) {
                row.intid = 20;
            }
        },
        &["its doorbell's INTID is 20, which is not an SPI"],
    ),
    (
        "a doorbell is the console UART's, on the core that has both",
        |_, guests| {
            let spi = guests[1].ends[0].intid.replace(33);
            let mut rows = guests[1].interrupts.iter_mut();
            if let Some(row) = rows.find(|row| Some(u32::from(row.intid)) == spi) {
                row.intid = 33;
            }
        },
        &["its doorbell's INTID is 33, which belongs to the console UART"],
    ),
    (
        "the device tree is elsewhere",
        |_, guests| {
            guests[1].dtb += PAGE;
            if let Some(load) = guests[1].loads.last_mut() {
                load.ipa += PAGE;
            }
        },
        &["the address of its device tree (x0 of vCPU 0) is 0x40101000, must be 0x40100000"],
    ),
    (
        "a segment is loaded elsewhere",
        |_, guests| guests[2].loads[0].ipa += PAGE,
        &["its image is not loaded there"],
    ),
];

const READ: &[Read] = &[
    (
        "a row to a compute core",
        |system| system.channels[0].ends[0].vcpu = 1,
        &[
            "a doorbell rings core 1 (alpha/1), a compute core, must ring core 3 (alpha/0)",
            "a compute core is an end of a channel",
        ],
    ),
    (
        "a class is another one",
        |system| system.partitions[0].vcpus[1].class = plan::CLASS_COMM,
        &[
            "its class (0 compute, 1 comm) is 1, must be 0",
            "bulkhead,class is \"comm\", must be \"compute\"",
        ],
    ),
    (
        "cores are swapped",
        |system| {
            system.partitions[0].vcpus[0].core = 0;
            system.partitions[2].vcpus[0].core = 3;
        },
        &["core 0 (gamma/0)", "its partition is 0, must be 2"],
    ),
    (
        "a device is another's",
        |system| {
            let devices = std::mem::take(&mut system.partitions[0].devices);
            system.partitions[2].devices = devices;
        },
        &[
            "stage 2 of gamma reaches device uart1 (rw-), which is not declared",
            "stage 2 of alpha does not reach device uart1",
        ],
    ),
    (
        "one SPI is two partitions'",
        |system| {
            let spi = system.partitions[0].interrupts[1];
            system.partitions[2].interrupts.push(spi);
        },
        &[
            "a physical interrupt has two owners",
            "where: SPI 96 (INTID 128)\n  who:   alpha, gamma",
        ],
    ),
    (
        "the console's SPI is a guest's",
        |system| {
            system.partitions[1].interrupts.push(Interrupt { intid: 33, edge: false });
        },
        &["it belongs to the console UART, which EL2 owns"],
    ),
    (
        "a trigger is another one",
        |system| system.partitions[0].interrupts[2].edge = true,
        &[
            "physical edge-triggered interrupt 132",
            "must be physical level-triggered interrupt 132",
        ],
    ),
    (
        "a partition is a page larger",
        |system| system.partitions[0].memory[0].size += PAGE,
        &["the size is 0x401000, must be 0x400000"],
    ),
    (
        "memory is seen elsewhere",
        |system| system.partitions[0].memory[1].ipa += 0x20_0000,
        &["the guest address is 0x60200000, must be 0x60000000"],
    ),
    (
        "memory with a fixed place is elsewhere",
        |system| system.partitions[0].memory[1].physical = Some(0x4900_0000),
        &["the physical address is 0x49000000, must be 0x48800000"],
    ),
    (
        "a channel is smaller",
        |system| system.channels[0].ends[1].bytes = 4096,
        &["the size of what it receives is 0x2000, must be 0x201000"],
    ),
    (
        "a rate is not limited",
        |system| system.channels[1].ends[0].rate = 0,
        &["its rate is 0, must be 100"],
    ),
    (
        "an end that polls is rung",
        |system| system.channels[2].ends[0].wait = 0,
        &[
            "beta waits by poll, but a doorbell rings core 4 of the plan",
            "its doorbell's INTID (it takes no doorbells) is 129, must be 0",
        ],
    ),
    (
        "a channel joins others",
        |system| {
            system.channels[1].ends[1].partition = 1;
            system.channels[1].ends[1].vcpu = 0;
        },
        &["channel"],
    ),
    (
        "names are exchanged",
        |system| {
            system.partitions[1].name = "gamma".into();
            system.partitions[2].name = "beta".into();
        },
        &["its row is named \"gamma\", must be \"beta\""],
    ),
    (
        "the console is drained elsewhere",
        |system| system.console_core = 0,
        &["console_core is 0, must be 4", "the console's UART (rw-), which is not declared"],
    ),
    (
        "the console takes another share",
        |system| system.console_share = 50,
        &["console_share is 50, must be 10"],
    ),
    (
        "the end is another one",
        |system| system.at_end = plan::END_POWER_OFF,
        &["at_end is 0, must be 1"],
    ),
    (
        "a command line is another one",
        |system| system.partitions[0].command_line = Some("quiet".into()),
        &["bootargs is \"quiet\", must be \"quiet attack=none\""],
    ),
    (
        "a console is there that was declined",
        |system| system.partitions[1].console = true,
        &["the node is not expected", "interrupt 33"],
    ),
    (
        "a program is another one",
        |system| system.partitions[2].image.segments[0].bytes[17] ^= 1,
        &["byte 0x11 of its image is 0x79, its file has 0x78"],
    ),
    (
        "an initial RAM disk is another one",
        |system| {
            if let Some((_, bytes)) = &mut system.partitions[0].initrd {
                bytes.push(b'!');
            }
        },
        &["its initial RAM disk has 961 bytes and 0 zeros, must have 960 and 0"],
    ),
    (
        "a guest starts elsewhere",
        |system| system.partitions[0].image.entry += 0x100,
        &["the entry of vCPU 0 is 0x40100110, must be 0x40100010"],
    ),
    (
        "the board is another one",
        |system| {
            system.board.uart.0.base = 0x0904_0000;
            system.board.pa_bits = 44;
            system.board.midrs.pop();
            system.board.gic.gicd.base = 0x0900_0000;
        },
        &[
            "pa_bits is 44, must be 40",
            "core types are",
            "gicd is 0x9000000-0x900ffff, must be 0x8000000-0x800ffff",
            "VTCR_EL2.PS is 0x4, must be 0x2",
        ],
    ),
    (
        "a core's redistributor and MPIDR are another's",
        |system| system.board.cores.swap(3, 5),
        &["its MPIDR is 0x5, must be 0x3"],
    ),
];

/// Checks an image of the planner with one mistake, and looks for the words in the findings.
fn check(name: &str, image: &[u8], good: &support::Good, words: &[&str]) {
    let proof = bulkhead_verify::verify(image, &good.inputs);
    assert!(!proof.holds(), "{name}: not refused");
    let text = proof.refusal();
    for words in words {
        assert!(text.contains(words), "{name}: `{words}` is not in\n{text}");
    }
}

#[test]
fn places_that_err_consistently() {
    let good = full();
    for (name, change, words) in PLACED {
        let image = compile(&good.system, change);
        check(name, &image, &good, words);
    }
    println!("{} of {} mistakes in placing refused (100 %)", PLACED.len(), PLACED.len());
}

#[test]
fn a_reader_that_errs_consistently() {
    let good = full();
    for (name, change, words) in READ {
        let mut system = good.system.clone();
        change(&mut system);
        let image = compile(&system, |_, _| ());
        check(name, &image, &good, words);
    }
    println!("{} of {} mistakes in reading refused (100 %)", READ.len(), READ.len());
}
