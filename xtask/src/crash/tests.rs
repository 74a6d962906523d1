// SPDX-License-Identifier: MIT OR Apache-2.0
//! Logs that are whole, cut, torn and hostile.

use crc::{CRC_32_ISCSI, Crc};
use record::{Cause, LINES, PER_LINE, Place, Record, word};

use super::log::Log;
use super::names::Symbols;
use super::{Names, Options, command};

fn sealed(number: u64, cause: Cause) -> Record {
    let place = Place { partition: 1, vcpu: 0, core: 2, generation: 3 };
    let mut record = Record::new(number, cause, place);
    record.set(word::ELR, 0xffff_8000_1234_5678);
    record.seal(|bytes| Crc::<u32>::new(&CRC_32_ISCSI).checksum(bytes));
    record
}

/// The lines that EL2 prints.
fn lines(record: &Record) -> Vec<String> {
    let number = record.number();
    let chunks = (1..).zip(record.words().chunks(PER_LINE));
    let line = |(line, words): (usize, &[u64])| {
        let words: Vec<_> = words.iter().map(|word| format!(" {word:x}")).collect();
        format!("bulkhead: record {number} line {line} of {LINES}:{}", words.concat())
    };
    chunks.map(line).collect()
}

fn read(lines: &[String]) -> Log {
    Log::read(lines.join("\r\n").as_bytes())
}

#[test]
fn records_are_found_between_other_lines() {
    let [first, second] = [sealed(0, Cause::Reset), sealed(1, Cause::Watchdog)];
    let mut all = vec!["\x1b[32m[linux]\x1b[0m boots".to_string()];
    for (one, other) in lines(&first).into_iter().zip(lines(&second)) {
        all.extend([one, "[control] works".into(), other]);
    }
    let log = read(&all);
    assert_eq!(log.records, [first, second]);
    assert!(log.problems.is_empty(), "{:?}", log.problems);
}

#[test]
fn a_record_that_is_printed_again_counts_once() {
    let record = sealed(7, Cause::Fault);
    let whole = lines(&record);
    let log = read(&[&whole[..], &whole[..]].concat());
    assert_eq!((log.records.len(), log.problems.len()), (1, 0));
    // The second time begins before the first is complete, and after it.
    let log = read(&[&whole[..3], &whole[..], &whole[5..]].concat());
    assert_eq!(log.records, [record]);
    assert!(log.problems.is_empty(), "{:?}", log.problems);
}

#[test]
fn two_runs_may_have_one_number() {
    let [first, second] = [Cause::Reset, Cause::Failed].map(|cause| sealed(0, cause));
    let log = read(&[lines(&first), lines(&second)].concat());
    assert_eq!(log.records, [first.clone(), second.clone()]);
    // The first run's log is cut.
    let log = read(&[&lines(&first)[..2], &lines(&second)].concat());
    assert_eq!(log.records, [second]);
    assert_eq!(
        log.problems,
        ["lines 1 to 2: record 0 is not whole: the log lacks its line 3, 4, 5, 6, 7, 8 of 8"]
    );
}

#[test]
fn every_cut_is_told() {
    let text = lines(&sealed(4, Cause::Fault)).join("\n");
    for end in 0..text.len() {
        let log = Log::read(&text.as_bytes()[..end]);
        assert!(log.records.is_empty(), "{end} bytes");
        let is_begun = end >= "bulkhead: record ".len();
        assert_eq!(log.problems.is_empty(), !is_begun, "{end} bytes: {:?}", log.problems);
    }
}

#[test]
fn every_damaged_digit_is_told() {
    let whole = lines(&sealed(4, Cause::Fault));
    for (at, line) in whole.iter().enumerate() {
        for (place, byte) in line.bytes().enumerate().skip_while(|(_, byte)| *byte != b':').skip(1)
        {
            if !byte.is_ascii_hexdigit() || place < 30 {
                continue;
            }
            let mut damaged = line.clone().into_bytes();
            damaged[place] = if byte == b'7' { b'6' } else { b'7' };
            let mut all = whole.clone();
            all[at] = String::from_utf8(damaged).expect("ASCII");
            let log = read(&all);
            assert!(log.records.is_empty(), "line {at}, byte {place}");
            assert!(log.problems[0].starts_with("lines 1 to 8: "), "{:?}", log.problems);
        }
    }
}

#[test]
fn a_guest_cannot_forge_a_record() {
    let lines: Vec<_> =
        lines(&sealed(0, Cause::Fault)).iter().map(|line| format!("[chaos] {line}")).collect();
    let log = read(&lines);
    assert!(log.records.is_empty() && log.problems.is_empty());
    assert_eq!(log.indented, Some(1));
}

#[test]
fn a_time_may_come_first() {
    let record = sealed(3, Cause::Fault);
    for time in [
        "12:00:01 ",
        "[2026-11-30 12:00:01.123456] ",
        "2026-11-30T12:00:01.123+01:00 ",
        "[   12.345678] ",
        "(12:00:01) | ",
        "<1.5> ",
    ] {
        let timed: Vec<_> = lines(&record).iter().map(|line| format!("{time}{line}")).collect();
        assert_eq!(read(&timed).records, std::slice::from_ref(&record), "{time}");
    }
    // Names of partitions may be digits, and the guest prints what follows.
    for name in ["[2026] ", "[12] 12:00:01 ", "[1-1]1.5 ", "[a] ", "[a] [1.5] ", "2026 ", "[1-1] "]
    {
        let forged: Vec<_> = lines(&record).iter().map(|line| format!("{name}{line}")).collect();
        let log = read(&forged);
        assert!(log.records.is_empty() && log.problems.is_empty(), "{name}");
    }
}

#[test]
fn a_live_console_is_shown_with_its_records() {
    let mut builder = runner::build::Builder::default();
    let system = builder.system("duo").expect("the first system");
    let names = Names::new(&system, std::path::Path::new("/"), &plan_only(), &[]).expect("names");
    let record = lines(&sealed(2, Cause::Reset));
    let all = [&["[control] works".to_string()][..], &record, &["[control] ends".into()]].concat();
    let mut shown = Vec::new();
    let whole = super::live(all.join("\r\n").as_bytes(), &mut shown, &names);
    assert!(whole.expect("it can be read"));
    let shown = String::from_utf8(shown).expect("ASCII");
    let first = shown.find("record 2 of control: asked for a reset\n").expect("a record");
    assert!(shown.find("line 8 of 8").expect("its last line") < first, "{shown}");
    assert!(shown.ends_with("[control] ends"), "{shown}");
    // A record that lacks a line is told at the end.
    shown_of_cut(&record[..7], &names);
}

/// Returns an image that is only an empty plan.
fn plan_only() -> Vec<u8> {
    let mut image = vec![0; 8192];
    image[64..72].copy_from_slice(&4096_u64.to_le_bytes());
    image
}

fn shown_of_cut(lines: &[String], names: &Names) {
    let mut shown = Vec::new();
    let whole = super::live(lines.join("\n").as_bytes(), &mut shown, names);
    assert!(!whole.expect("it can be read"));
    let shown = String::from_utf8(shown).expect("ASCII");
    assert!(shown.contains("error: line"), "{shown}");
}

#[test]
fn wrong_lines_are_told() {
    for (line, words) in [
        ("bulkhead: record 1 line 9 of 8: 0 0 0 0 0 0 0 0 0 0", "line 1: not a line of a record"),
        ("bulkhead: record 1 line 0 of 8: 0 0 0 0 0 0 0 0 0 0", "line 1: not a line of a record"),
        ("bulkhead: record 1 line 1 of 9: 0 0 0 0 0 0 0 0 0 0", "line 1: not a line of a record"),
        ("bulkhead: record 1 line 1 of 8: 0 0 0 0 0 0 0 0 0", "line 1: not a line of a record"),
        ("bulkhead: record 1 line 1 of 8: 0 0 0 0 0 0 0 0 0 0 0", "line 1: not a line"),
        ("bulkhead: record 1 line 1 of 8: 0 0 0 0 0 0 0 0 0 x", "line 1: not a line of a record"),
        ("bulkhead: record 99999999999999999999 line 1 of 8: 0 0 0 0 0 0 0 0 0 0", "line 1: not"),
        ("bulkhead: record 1 line 1 of 8: 0 0 0 0 0 0 0 0 0 0", "line 1: record 1 is not whole"),
    ] {
        let log = Log::read(line.as_bytes());
        assert!(log.problems.iter().any(|problem| problem.starts_with(words)), "{line}: {log:?}");
    }
}

#[test]
fn any_bytes_are_read() {
    let text = lines(&sealed(4, Cause::Fault)).join("\n");
    let mut state = 1u64;
    for _ in 0..2000 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] = (state >> 24) as u8;
        }
        let log = Log::read(&bytes);
        assert!(log.records.len() <= 1);
    }
}

/// Returns the error of the command for a log with these bytes.
fn refused(bytes: &[u8], symbols: &[&str]) -> String {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("it is writable");
    let options = Options {
        log: file.path().to_path_buf(),
        system: "duo".into(),
        gic: None,
        live: false,
        symbols: symbols.iter().map(|word| (*word).to_string()).collect(),
    };
    let error = command(&options).expect_err("it is refused").to_string();
    error.replace(&file.path().display().to_string(), "LOG")
}

#[test]
fn bad_input_is_refused() {
    assert_eq!(
        refused(b"[chaos] works\n", &[]),
        "LOG has no crash record: no line starts with `bulkhead: record`"
    );
    let timed = lines(&sealed(0, Cause::Fault)).join("\nttyUSB0 ");
    assert_eq!(
        refused(timed.split_once('\n').expect("lines").1.as_bytes(), &[]),
        "LOG, line 1: `bulkhead: record` is not at the start of the line: remove what was put in \
         front of each line; only a time may stay"
    );
    let whole = lines(&sealed(0, Cause::Fault)).join("\n");
    assert_eq!(refused(whole.as_bytes(), &["linux"]), "--symbols linux: expected PARTITION=FILE");
}

#[test]
fn a_system_map_names_addresses() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let text = "ffff800008000000 T _text\nffff800008010000 t $x\nffff800008010000 t panic [m]\n";
    std::fs::write(file.path(), text).expect("it is writable");
    let symbols = Symbols::read(file.path()).expect("a map");
    assert_eq!(symbols.at(0xffff_8000_0801_0000), ["panic"]);
    assert_eq!(symbols.at(0xffff_8000_0801_0184), ["panic+0x184"]);
    assert!(symbols.at(0x1000).is_empty());
    std::fs::write(file.path(), "ffff800008000000 T _text\nhello\n").expect("it is writable");
    let error = Symbols::read(file.path()).err().expect("no map").to_string();
    assert!(error.ends_with(
        ", line 2: none of ELF file, Linux kernel and System.map: expected an address, a letter \
         and a name"
    ));
    std::fs::write(file.path(), b"\x7fELF but no more").expect("it is writable");
    assert!(Symbols::read(file.path()).is_err());
}
