// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boards at a serial line: the port ([`port`]), what the board has come to ([`stage`]), a session
//! that orders a report and collects it ([`session`], [`collect`]), the figures in it ([`figures`])
//! and their limits ([`limits`]); and the host's side of the serial loader ([`upload`]). For tests
//! without a board there is a line with faults ([`mod@line`], [`duplex`]) and a board that repeats
//! a recorded report ([`recorded`]).
pub mod collect;
pub mod duplex;
pub mod figures;
pub mod limits;
pub mod line;
pub mod port;
pub mod recorded;
pub mod session;
pub mod stage;
pub mod upload;
