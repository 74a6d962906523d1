//! EL2: all of Bulkhead that needs privilege. Pure logic is in the other crates of `hyp/`.
//!
//! The folders are floors. A file imports only from its own folder or from a floor below it
//! (`xtask/tests/floors`), so each floor can be read without the ones above:
//!
//! 1. `vectors/`: the first instructions of an entry
//! 2. `traps/`: why EL2 was entered; handlers return `Next` to one loop
//! 3. `services/`: the answers, one file per feature
//! 4. `boot/`: from the loader to the MMU
//! 5. `drivers/`: the interrupt controllers and the UART
//! 6. `state/`: what a core, a partition and the system remember
//! 7. `arch/`: the processor
#![no_std]
#![no_main]
// An EL2 without an option does not use all of what it shares with those that have it.
#![cfg_attr(not(all(feature = "crash-records", feature = "supervision")), allow(dead_code))]

// `arch` comes first, since `drivers` uses its macros.
#[macro_use]
mod arch;
mod boot;
mod drivers;
mod services;
mod state;
mod traps;
mod vectors;
