// SPDX-License-Identifier: MIT OR Apache-2.0
//! The event lists of each rule.

use silicon_model::Event;
use silicon_model::event::{Dc, Ic};
use silicon_model::register::Register;

use crate::support::*;

/// A list of events; the argument selects its bad form.
pub type List = fn(&mut Machine, bool);

/// Rule, and its lists: `true` makes the bad one.
pub const LISTS: &[(&str, List)] = &[
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
    ("dc-before-barrier", |machine, bad| {
        machine.caches_on(1);
        machine.store(1, DATA);
        // A barrier of the writer, or for stores only, does not order this core's loads.
        machine.does(1, Event::Dsb(ALL));
        machine.does(0, Event::Dsb(STORES));
        if !bad {
            machine.does(0, Event::Dmb(ALL));
        }
        machine.does(0, Event::Dc(Dc::Civac, DATA));
        machine.does(0, Event::Dsb(ALL));
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
    ("gic-write-before-dsb", |machine, bad| {
        machine.guest(0);
        machine.caches_on(1);
        machine.store(1, DATA);
        machine.device(0, GICD + 0x104, 1, true);
        // The distributor is outside the Inner Shareable domain.
        machine.does(0, Event::Dsb(INNER));
        if !bad {
            machine.does(0, Event::Dsb(ALL));
        }
        machine.load(0, DATA);
    }),
    ("end-before-silent", |machine, bad| {
        machine.device(0, UART + 0x44, 1, true);
        if !bad {
            machine.does(0, Event::Dsb(ALL));
        }
        machine.does(0, Event::Write(Register::IccEoir1, 33));
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
