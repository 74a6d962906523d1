// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ways to break a rule that the lists do not have.

use silicon_model::event::{Barrier, Dc, Ic, Scope, Tlbi};
use silicon_model::register::Register;
use silicon_model::{Event, Violation};

use crate::support::*;

/// The loader may have left any line dirty outside the image and the device tree.
#[test]
fn what_the_loader_left_is_not_read_with_caches_off() {
    let far = RAM + 0x2000_0000;
    let mut machine = two();
    machine.load(1, far);
    assert_eq!(rules(&machine), ["read-under-dirty"]);
    let mut machine = two();
    machine.store(1, far);
    assert_eq!(rules(&machine), ["write-under-dirty"]);
    let mut machine = two();
    machine.does(1, Event::Dc(Dc::Civac, far));
    machine.does(1, Event::Dsb(ALL));
    machine.store(1, far);
    assert!(rules(&machine).is_empty());
}

/// A line that no core maps cacheable stays out of caches once it is invalidated and every core is
/// EL2's.
#[test]
fn speculation_needs_a_mapping() {
    let run = |unmapped: bool| {
        let mut machine = Machine::new();
        machine.does(0, Event::Enter);
        machine.does(1, Event::Enter);
        if !unmapped {
            machine.caches_on(0);
        }
        clean(&mut machine, 1);
        machine.store(1, DATA);
        machine.caches_on(1);
        machine.load(1, DATA);
        rules(&machine)
    };
    assert!(run(true).is_empty());
    assert_eq!(run(false), ["stale-read"]);
}

/// Before that, firmware's cores may cache any line.
#[test]
fn firmware_caches_anything_until_the_last_core_is_handed_over() {
    let mut machine = Machine::new();
    machine.does(0, Event::Enter);
    clean(&mut machine, 0);
    machine.store(0, DATA);
    machine.does(1, Event::Enter);
    machine.caches_on(0);
    machine.load(0, DATA);
    assert_eq!(rules(&machine), ["stale-read"]);
}

/// Firmware may poll its own line while EL2 cleans it, until EL2 has written it; EL2 may not.
#[test]
fn firmware_polls_its_own_line_while_it_is_cleaned() {
    let run = |by_firmware: bool, written: bool| {
        let mut machine = Machine::new();
        if written {
            machine.caches_on(0);
            machine.store(0, UNCLEAN);
        }
        machine.does(0, Event::Dc(Dc::Civac, UNCLEAN));
        match by_firmware {
            true => machine.firmware_load(1, UNCLEAN),
            false => machine.load(1, UNCLEAN),
        }
        rules(&machine)
    };
    assert!(run(true, false).is_empty());
    assert_eq!(run(false, false), ["clean-not-complete"]);
    assert_eq!(run(true, true), ["clean-not-complete"]);
}

/// Each byte of a line has its own writer: a stale read is attributed to the one that wrote past
/// the caches, not to the one that later wrote another byte of the line through them.
#[test]
fn a_stale_read_names_who_wrote_past_the_caches() {
    let run = |invalidated: bool| {
        let mut machine = two();
        machine.store(1, DATA);
        let past = machine.last();
        if invalidated {
            clean(&mut machine, 1);
        }
        machine.caches_on(1);
        machine.store(1, DATA + 8);
        machine.load(1, DATA + 8);
        machine.load(1, DATA);
        let cause = |violation: &Violation| violation.cause.map(|cause| cause.pc);
        let causes: Vec<_> = machine.model.violations().map(cause).collect();
        (rules(&machine), causes, past)
    };
    let (found, ..) = run(true);
    assert!(found.is_empty());
    let (found, causes, past) = run(false);
    assert_eq!(found, ["stale-read"]);
    assert_eq!(causes, [Some(past)]);
}

/// With the data cache off, tables may be switched, and a range may be cleaned if no core fetches
/// from it during that.
#[test]
fn a_mapping_counts_while_the_data_cache_is_on() {
    let mut machine = two();
    machine.does(0, Event::Enter);
    machine.does(1, Event::Enter);
    machine.does(0, Event::Write(Register::SctlrEl2, 0x1001));
    machine.does(0, Event::Isb);
    clean(&mut machine, 0);
    machine.store(1, DATA);
    machine.caches_on(1);
    machine.load(1, DATA);
    assert!(rules(&machine).is_empty(), "{:?}", rules(&machine));
}

/// A violation at the MMU's start names which of TLBI, DSB and ISB are missing.
#[test]
fn a_tlbi_needs_both_barriers() {
    let run = |events: &[Event]| {
        let mut machine = Machine::new();
        machine.translation(0);
        machine.does(0, Event::Isb);
        for event in events {
            machine.does(0, *event);
        }
        machine.does(0, Event::Write(Register::SctlrEl2, 0x1005));
        let details = machine.model.violations().map(|violation| violation.detail.clone());
        details.collect::<Vec<_>>().join("; ")
    };
    assert!(run(&[]).starts_with("no TLBI ALLE2"));
    assert!(run(&[ALLE2]).contains("no DSB after it"));
    assert!(run(&[ALLE2, Event::Dsb(STORES)]).contains("no DSB after it"));
    assert!(run(&[ALLE2, Event::Dsb(LOCAL)]).contains("no ISB after them"));
    assert_eq!(run(&[ALLE2, Event::Dsb(LOCAL), Event::Isb]), "");
    let broadcast = Event::Tlbi(Tlbi { scope: Scope::El2, broadcast: true });
    assert!(run(&[broadcast, Event::Dsb(LOCAL), Event::Isb]).contains("no DSB after it"));
}

/// GICv2's SGIs are stores, and DMB orders them; without a barrier they are not ordered.
#[test]
fn an_sgi_by_store_needs_a_dmb() {
    let run = |barrier: Option<Barrier>| {
        let mut machine = two();
        machine.caches_on(1);
        machine.load(1, DATA);
        machine.store(0, DATA);
        if let Some(barrier) = barrier {
            machine.does(0, Event::Dmb(barrier));
        }
        machine.device(0, GICD + 0xf00, 1, true);
        rules(&machine)
    };
    assert_eq!(run(None), ["sgi-before-dsb"]);
    assert_eq!(run(Some(LOCAL)), ["sgi-before-dsb"]);
    assert!(run(Some(STORES)).is_empty());
}

/// On GICv2 the acknowledgement is a load and its end a store; other interrupts than SGIs need no
/// DSB.
#[test]
fn an_acknowledgement_by_load_needs_a_dsb() {
    let run = |intid: u64| {
        let mut machine = two();
        machine.caches_on(1);
        machine.store(1, DATA);
        machine.device(0, GICC + 0x0c, intid, false);
        machine.device(0, GICC + 0x10, intid, true);
        machine.load(0, DATA);
        rules(&machine)
    };
    assert_eq!(run(8 | 1 << 10), ["acknowledge-before-dsb"]);
    assert!(run(27).is_empty());
}

/// A spin-table release is a store: earlier stores must be complete.
#[test]
fn a_release_by_store_needs_a_dsb() {
    let run = |complete: bool| {
        let mut machine = Machine::new();
        machine.store(0, DATA);
        if complete {
            machine.does(0, Event::Dsb(ALL));
        }
        machine.store(0, RELEASE);
        rules(&machine)
    };
    assert_eq!(run(false), ["release-before-dsb"]);
    assert!(run(true).is_empty());
}

/// A waiter that armed its monitor is woken by the store itself.
#[test]
fn an_armed_wait_needs_no_event() {
    let mut machine = two();
    machine.caches_on(1);
    machine.atomic(1, DATA);
    machine.does(1, Event::Wfe);
    machine.store(0, DATA);
    machine.does(0, ERET);
    assert!(rules(&machine).is_empty());
}

/// If ERET is taken not to synchronize, the rules that rely on it are broken.
#[test]
fn an_eret_that_does_not_synchronize_shows_what_relies_on_it() {
    let run = |synchronizes: bool| {
        let mut machine = two();
        machine.does(0, Event::Write(Register::IchLr, 0));
        machine.does(0, Event::Eret { synchronizes });
        rules(&machine)
    };
    assert!(run(true).is_empty());
    assert_eq!(run(false), ["register-before-isb"]);
}

/// One line of IC IVAU is not all lines.
#[test]
fn an_ic_ivau_invalidates_one_line() {
    let run = |line: u64| {
        let mut machine = two();
        machine.store(0, DATA);
        clean(&mut machine, 0);
        machine.does(0, Event::Ic(Ic::Ivau, line));
        machine.does(0, Event::Dsb(ALL));
        machine.does(1, Event::Isb);
        machine.does(1, Event::Fetch(DATA, 16));
        rules(&machine)
    };
    assert!(run(DATA).is_empty());
    assert_eq!(run(DATA + 64), ["fetch-not-invalidated"]);
}

/// A DC uses EL2's translation: after a switch of tables, it needs TLBI, DSB and ISB before it. A
/// walk may otherwise continue from entries of the old tables.
#[test]
fn a_dc_after_a_switch_of_tables_needs_a_complete_tlbi() {
    let run = |events: &[Event]| {
        let mut machine = two();
        machine.does(0, Event::Write(Register::Ttbr0El2, ROOT));
        machine.does(0, Event::Isb);
        for event in events {
            machine.does(0, *event);
        }
        clean(&mut machine, 0);
        let details = machine.model.violations().map(|violation| violation.detail.clone());
        (rules(&machine).join(" "), details.collect::<Vec<_>>().join("; "))
    };
    for (events, missing) in [
        (&[][..], "no TLBI followed"),
        (&[ALLE2][..], "a TLBI without DSB"),
        (&[ALLE2, Event::Dsb(LOCAL)][..], "a TLBI and DSB without ISB"),
    ] {
        let (rules, details) = run(events);
        assert_eq!(rules, "tlb-stale");
        assert!(details.contains(missing), "{details}");
    }
    assert_eq!(run(&[ALLE2, Event::Dsb(LOCAL), Event::Isb]).0, "");
}

/// DSB ISH does not complete maintenance for a core with its caches off, whose accesses are Outer
/// Shareable. It completes maintenance to the point of unification.
#[test]
fn maintenance_to_the_point_of_coherency_needs_a_full_dsb() {
    let run = |barrier: Barrier| {
        let mut machine = two();
        machine.store(0, DATA);
        machine.does(0, Event::Dc(Dc::Civac, DATA));
        machine.does(0, Event::Dsb(barrier));
        machine.load(1, DATA);
        rules(&machine)
    };
    assert_eq!(run(INNER), ["clean-not-complete"]);
    assert!(run(ALL).is_empty());
    let mut machine = two();
    machine.store(0, DATA);
    machine.does(0, Event::Dc(Dc::Cvau, DATA));
    machine.does(0, Event::Dsb(INNER));
    machine.does(0, Event::Ic(Ic::Ialluis, 0));
    machine.does(0, Event::Dsb(INNER));
    machine.does(0, Event::Isb);
    machine.does(0, Event::Fetch(DATA, 16));
    assert!(rules(&machine).is_empty());
}

/// The GIC is outside the Inner Shareable domain, and an acknowledgement by MRS is neither a load
/// nor a store: only a full DSB completes it.
#[test]
fn an_acknowledgement_needs_a_full_dsb() {
    let run = |barrier: Barrier| {
        let mut machine = two();
        machine.caches_on(1);
        machine.store(1, DATA);
        machine.does(0, Event::Read(Register::IccIar1));
        machine.does(0, Event::Write(Register::IccEoir1, 8));
        machine.does(0, Event::Dsb(barrier));
        machine.load(0, DATA);
        rules(&machine)
    };
    for barrier in [INNER, Barrier { loads: false, ..ALL }, Barrier { stores: false, ..ALL }] {
        assert_eq!(run(barrier), ["acknowledge-before-dsb"]);
    }
    assert!(run(ALL).is_empty());
}

/// A source is silenced by a write to a system register or to GICH, which need ISB and DSB; the end
/// of another interrupt does not depend on it.
#[test]
fn each_level_sensitive_interrupt_has_its_source() {
    let run = |source: &dyn Fn(&mut Machine), intid: u64| {
        let mut machine = two();
        source(&mut machine);
        machine.does(0, Event::Write(Register::IccDir, intid));
        rules(&machine)
    };
    let timer = |machine: &mut Machine| machine.does(0, Event::Write(Register::CnthpCtl, 0));
    let list = |machine: &mut Machine| machine.does(0, Event::Write(Register::IchLr, 0));
    let gich = |machine: &mut Machine| machine.device(0, GICH + 0x100, 0, true);
    for (source, intid) in [(&timer as &dyn Fn(&mut Machine), 26), (&list, 25), (&gich, 25)] {
        assert_eq!(run(source, intid), ["end-before-silent"]);
        for other in [27, 8, 40] {
            assert!(run(source, other).is_empty());
        }
    }
}

/// Debug and FP registers depend on others that must be synchronized first; an SGI may wait for the
/// next context synchronization event, so it must come before a wait.
#[test]
fn registers_that_decide_about_others_need_an_isb() {
    let pairs = [
        (Register::OslarEl1, Event::Write(Register::MdscrEl1, 0)),
        (Register::CptrEl2, Event::Write(Register::Fpcr, 0)),
        (Register::IccSgi1r, Event::Wfi),
        (Register::IccSgi1r, Event::Wfe),
    ];
    for (register, event) in pairs {
        for synchronized in [false, true] {
            let mut machine = two();
            machine.does(0, Event::Write(register, 1));
            if synchronized {
                machine.does(0, Event::Isb);
            }
            machine.does(0, event);
            let wanted: &[&str] = if synchronized { &[] } else { &["register-before-isb"] };
            assert_eq!(rules(&machine), wanted, "{register:?}");
        }
    }
}

/// A waiter may read other words between its word and WFE. With the event stream on, WFE ends by
/// itself.
#[test]
fn a_wait_reads_more_than_its_word() {
    let run = |events: u64| {
        let mut machine = two();
        machine.caches_on(1);
        machine.does(1, Event::Write(Register::CnthctlEl2, events));
        for _ in 0..2 {
            machine.load(1, DATA);
            machine.load(1, DATA + 128);
            machine.does(1, Event::Wfe);
        }
        machine.load(1, DATA);
        machine.store(0, DATA);
        machine.does(0, ERET);
        rules(&machine)
    };
    assert_eq!(run(0), ["wfe-without-event"]);
    assert!(run(1 << 2).is_empty());
}

/// A core that firmware lets wait for its release with WFE is woken by SEV.
#[test]
fn a_release_by_store_needs_an_sev() {
    let run = |sends: bool| {
        let mut machine = Machine::new();
        machine.firmware_load(1, RELEASE);
        machine.firmware_wait(1);
        machine.store(0, RELEASE);
        machine.does(0, Event::Dsb(ALL));
        if sends {
            machine.does(0, Event::Sev);
        }
        machine.does(0, ERET);
        rules(&machine)
    };
    assert_eq!(run(false), ["wfe-without-event"]);
    assert!(run(true).is_empty());
}
