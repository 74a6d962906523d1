//! Code that bench guests and the relay share: the phases of a run, messages, and counting.
#![no_std]
#![cfg(target_os = "none")]

extern crate alloc;

pub mod count;
pub mod forward;
pub mod message;
pub mod phase;
pub mod rendezvous;
