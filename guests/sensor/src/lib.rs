//! Sample.
#![no_std]
