// SPDX-License-Identifier: MIT OR Apache-2.0
//! One bad event list per rule, which breaks only that rule, and a good one like it, which breaks
//! none.

mod support;

use silicon_model::event::{Barrier, Dc, Ic, Scope, Tlbi};
use silicon_model::register::Register;
use silicon_model::rules::RULES;
use silicon_model::{Event, Violation};
use support::{DATA, GICC, GICD, GICR, Machine, RELEASE, ROOT, TABLE_ENTRY, UNCLEAN, VALID_ENTRY};

const CPU_ON: u64 = 0xc400_0003;
const ALL: Barrier = Barrier::ALL;
const STORES: Barrier = Barrier::STORES;
const LOCAL: Barrier = Barrier::LOCAL;
const ALLE2: Event = Event::Tlbi(Tlbi { scope: Scope::El2, broadcast: false });
const VMALLS12: Event = Event::Tlbi(Tlbi { scope: Scope::Guest, broadcast: false });
const ERET: Event = Event::Eret { synchronizes: true };

/// Cleans and invalidates the line of `DATA`, with DSB.
fn clean(machine: &mut Machine, core: usize) {
    machine.does(core, Event::Dc(Dc::Civac, DATA));
    machine.does(core, Event::Dsb(ALL));
}

/// A core with its caches on, and one with its caches off.
fn two() -> Machine {
    let mut machine = Machine::new();
    machine.caches_on(0);
    machine
}

/// A list of events; the argument selects its bad form.
type List = fn(&mut Machine, bool);

/// Rule, and its lists: `true` makes the bad one.
const LISTS: &[(&str, List)] = &[
    ("read-under-dirty", |machine, bad| {
        machine.store(0, DATA);
        if !bad {
            clean(machine, 0);
        }
        machine.load(1, DATA);
    }),
    ("write-under-dirty", |machine, bad| {
        machine.store(0, DATA);
        if !bad {
            clean(machine, 0);
        }
        machine.store(1, DATA + 32);
    }),
    ("stale-read", |machine, bad| {
        machine.store(1, DATA);
        if !bad {
            clean(machine, 1);
        }
        // The access is to another byte of the line than the one that was changed.
        machine.load(0, DATA + 32);
        machine.load(0, DATA);
    }),
    ("clean-not-complete", |machine, bad| {
        machine.store(0, DATA);
        machine.does(0, Event::Dc(Dc::Cvac, DATA));
        // A DSB of another core, or one for stores, does not complete the maintenance.
        machine.does(1, Event::Dsb(ALL));
        machine.does(0, Event::Dsb(STORES));
        if !bad {
            machine.does(0, Event::Dsb(ALL));
        }
        machine.load(1, DATA);
    }),
    ("invalidate-dirty", |machine, bad| {
        machine.store(0, DATA);
        machine.does(0, Event::Dc(if bad { Dc::Ivac } else { Dc::Civac }, DATA));
        machine.does(0, Event::Dsb(ALL));
    }),
    ("walk-stale", |machine, bad| {
        // A table is written with caches off, on a core that then uses it with caches on.
        machine.poke(ROOT, VALID_ENTRY);
        machine.store(1, ROOT);
        machine.does(1, Event::Dsb(ALL));
        if !bad {
            machine.does(1, Event::Dc(Dc::Civac, ROOT));
            machine.does(1, Event::Dsb(ALL));
        }
        machine.caches_on(1);
    }),
    ("fetch-not-cleaned", |machine, bad| {
        machine.store(0, DATA);
        if !bad {
            machine.does(0, Event::Dc(Dc::Cvau, DATA));
        }
        machine.does(0, Event::Dsb(ALL));
        machine.does(0, Event::Ic(Ic::Iallu, 0));
        machine.does(0, Event::Dsb(ALL));
        machine.does(0, Event::Isb);
        machine.does(0, Event::Fetch(DATA, 16));
    }),
    ("fetch-not-invalidated", |machine, bad| {
        machine.store(0, DATA);
        clean(machine, 0);
        // Another core executes.
        machine.does(0, Event::Ic(if bad { Ic::Iallu } else { Ic::Ialluis }, 0));
        machine.does(0, Event::Dsb(ALL));
        machine.does(0, Event::Isb);
        machine.does(1, Event::Isb);
        machine.does(1, Event::Fetch(DATA, 16));
    }),
    ("fetch-stale", |machine, bad| {
        machine.store(1, DATA);
        if !bad {
            clean(machine, 1);
        }
        machine.does(1, Event::Ic(Ic::Ialluis, 0));
        machine.does(1, Event::Dsb(ALL));
        machine.does(0, Event::Isb);
        machine.does(0, Event::Fetch(DATA, 16));
    }),
    ("maintenance-not-complete", |machine, bad| {
        machine.does(0, Event::Dc(Dc::Civac, DATA));
        machine.does(0, Event::Dsb(if bad { STORES } else { ALL }));
        machine.does(0, ERET);
    }),
    ("tlb-unknown", |machine, bad| {
        machine.translation(1);
        machine.does(1, Event::Isb);
        if !bad {
            machine.does(1, ALLE2);
            machine.does(1, Event::Dsb(LOCAL));
            machine.does(1, Event::Isb);
        }
        machine.does(1, Event::Write(Register::SctlrEl2, 0x1005));
        machine.does(1, Event::Isb);
        machine.does(1, ERET);
    }),
    ("tlb-stale", |machine, bad| {
        machine.does(0, Event::Write(Register::Ttbr0El2, ROOT));
        machine.does(0, Event::Isb);
        if !bad {
            machine.does(0, ALLE2);
            machine.does(0, Event::Dsb(LOCAL));
            machine.does(0, Event::Isb);
        }
        machine.load(0, DATA);
    }),
    ("table-changed", |machine, bad| {
        let change = |machine: &mut Machine, to: u64| {
            machine.poke(TABLE_ENTRY, to);
            machine.store(0, TABLE_ENTRY);
            machine.does(0, Event::Dsb(ALL));
        };
        if !bad {
            change(machine, 0);
            machine.does(0, ALLE2);
            machine.does(0, Event::Dsb(ALL));
        }
        change(machine, VALID_ENTRY ^ 1 << 30);
    }),
    ("register-before-isb", |machine, bad| {
        machine.does(0, Event::Write(Register::VttbrEl2, 1 << 48));
        if !bad {
            machine.does(0, Event::Isb);
        }
        machine.does(0, VMALLS12);
        machine.does(0, Event::Dsb(LOCAL));
    }),
    ("stage-2-order", |machine, bad| {
        machine.stage_2(0);
        if !bad {
            machine.does(0, Event::Isb);
        }
        machine.does(0, Event::Write(Register::HcrEl2, 1));
        machine.does(0, Event::Isb);
        machine.does(0, VMALLS12);
        machine.does(0, Event::Dsb(LOCAL));
        machine.does(0, ERET);
    }),
    ("sgi-before-dsb", |machine, bad| {
        machine.load(1, DATA);
        clean(machine, 1);
        machine.store(0, DATA);
        // DMB does not order an MSR.
        machine.does(0, Event::Dmb(ALL));
        if !bad {
            machine.does(0, Event::Dsb(STORES));
        }
        machine.does(0, Event::Write(Register::IccSgi1r, 1));
    }),
    ("sev-before-dsb", |machine, bad| {
        machine.store(0, DATA);
        if !bad {
            machine.does(0, Event::Dsb(STORES));
        }
        machine.does(0, Event::Sev);
        // The model sees only now that another core reads the line.
        machine.caches_on(1);
        machine.load(1, DATA);
    }),
    ("release-before-dsb", |machine, bad| {
        machine.store(0, DATA);
        clean(machine, 0);
        machine.store(0, DATA + 64);
        if !bad {
            machine.does(0, Event::Dsb(STORES));
        }
        machine.does(0, Event::Smc(CPU_ON));
    }),
    ("list-register-before-isb", |machine, bad| {
        machine.does(0, Event::Write(Register::IchLr, 0));
        if !bad {
            machine.does(0, Event::Isb);
        }
        machine.does(0, Event::Read(Register::IchElrsr));
    }),
    ("acknowledge-before-dsb", |machine, bad| {
        machine.caches_on(1);
        machine.store(1, DATA);
        machine.does(0, Event::Read(Register::IccIar1));
        machine.does(0, Event::Write(Register::IccEoir1, 8));
        machine.does(0, Event::Isb);
        if !bad {
            machine.does(0, Event::Dsb(ALL));
        }
        machine.load(0, DATA);
    }),
    ("exclusive-uncached", |machine, bad| {
        machine.atomic(usize::from(bad), DATA);
    }),
    ("rwp-not-awaited", |machine, bad| {
        machine.device(0, GICR + 0x1_0180, 1, true);
        if !bad {
            machine.device(0, GICR, 0, false);
        }
        machine.device(0, GICR + 0x1_0c04, 0, true);
    }),
    ("wfe-without-event", |machine, bad| {
        machine.caches_on(1);
        machine.load(1, DATA);
        machine.does(1, Event::Wfe);
        machine.store(0, DATA);
        machine.does(0, Event::Dsb(ALL));
        if !bad {
            machine.does(0, Event::Sev);
        }
        machine.does(0, ERET);
    }),
];

fn rules(machine: &Machine) -> Vec<String> {
    let name = |violation: &Violation| violation.rule.clone();
    let mut rules: Vec<_> = machine.model.violations().map(name).collect();
    rules.dedup();
    rules
}

#[test]
fn each_bad_list_breaks_its_rule_and_no_other() {
    for (rule, list) in LISTS {
        let mut machine = two();
        list(&mut machine, true);
        assert_eq!(rules(&machine), [*rule]);
        let warns = silicon_model::rules::find(rule).is_some_and(|rule| rule.warns);
        assert_eq!(machine.model.failed(), !warns, "{rule}");
    }
}

#[test]
fn each_good_list_breaks_none() {
    for (rule, list) in LISTS {
        let mut machine = two();
        list(&mut machine, false);
        let violations: Vec<_> = machine.model.violations().collect();
        assert!(violations.is_empty(), "{rule}: {violations:#?}");
    }
}

#[test]
fn every_rule_has_its_lists_and_its_words() {
    let listed: Vec<_> = LISTS.iter().map(|(rule, _)| *rule).collect();
    let rules: Vec<_> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(listed, rules);
    for rule in RULES {
        assert!(
            rule.says.ends_with('.') && rule.why.ends_with('.') && rule.why.len() > 40,
            "{}",
            rule.id
        );
        let sources = ["DDI 0487", "IHI 0069", "DEN 0022"];
        assert!(sources.iter().any(|source| rule.section.contains(source)), "{}", rule.id);
    }
}

// Ways to break a rule that the lists above do not have.

/// The loader may have left any line dirty outside the image and the device tree.
#[test]
fn what_the_loader_left_is_not_read_with_caches_off() {
    let far = support::RAM + 0x2000_0000;
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
